//! What `basin landscape line` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Common;
use super::plane::{DirectionArgument, ScalingArguments};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PathArgument {
    /// The straight line.
    Linear,
    /// A quarter of an ellipse about the origin.
    Curved,
}

impl From<PathArgument> for basin_records::line::Path {
    fn from(path: PathArgument) -> Self {
        match path {
            PathArgument::Linear => Self::Linear,
            PathArgument::Curved => Self::Curved,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Line {
    /// The checkpoint at α = 0, or the one that directions go through.
    pub(crate) a: PathBuf,
    /// The checkpoint at α = 1.
    #[arg(required_unless_present = "along", conflicts_with = "along")]
    pub(crate) b: Option<PathBuf>,
    /// Go along directions through one checkpoint instead: random, gradient, eigenvector:K, pca:K:RUN, FILE.safetensors or
    /// FILE.safetensors:PREFIX.
    #[arg(long, value_delimiter = ',', value_name = "DIRECTION", conflicts_with_all = ["path", "align"])]
    pub(crate) along: Vec<DirectionArgument>,
    /// Independent draws of a random direction, over which means and their errors are taken.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) draws: usize,
    #[command(flatten)]
    pub(crate) scaling: ScalingArguments,
    /// First and last α: -1,2 when absent, -1,1 along directions.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "FIRST,LAST", allow_hyphen_values = true)]
    pub(crate) range: Option<Vec<f64>>,
    /// Number of points, both ends included.
    #[arg(long, default_value_t = 61)]
    pub(crate) points: usize,
    /// The straight line (1 − α) A + α B, or Keskar's curve cos(απ/2) A + sin(απ/2) B.
    #[arg(long, value_enum, default_value_t = PathArgument::Linear)]
    pub(crate) path: PathArgument,
    /// Put B's hidden units into the order in which its weights are nearest to A's before: its function stays the same, and a
    /// barrier that comes from their order alone goes away. For mlp, f1, f2, c1 … c4, alexnet, vgg…, resnet… and wrn….
    #[arg(long)]
    pub(crate) align: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}
