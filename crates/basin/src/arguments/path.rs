//! What `basin landscape path` takes.

use std::path::PathBuf;

use basin_records::connection::Shape;
use clap::{Args, ValueEnum};

use super::Common;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeArgument {
    /// Bézier's, of one degree more than there are bends.
    Bezier,
    /// A polygonal chain, straight from bend to bend.
    Chain,
}

impl From<ShapeArgument> for Shape {
    fn from(shape: ShapeArgument) -> Self {
        match shape {
            ShapeArgument::Bezier => Self::Bezier,
            ShapeArgument::Chain => Self::Chain,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Path {
    /// The checkpoint at t = 0.
    pub(crate) a: PathBuf,
    /// The checkpoint at t = 1.
    pub(crate) b: PathBuf,
    /// The kind of curve.
    #[arg(long, value_enum, default_value_t = ShapeArgument::Bezier)]
    pub(crate) curve: ShapeArgument,
    /// Points between the ends that are trained.
    #[arg(long, default_value_t = 1)]
    pub(crate) bends: usize,
    /// Times that all samples are gone through.
    #[arg(long, default_value_t = 200)]
    pub(crate) epochs: u64,
    /// Samples of a step.
    #[arg(long, default_value_t = 128)]
    pub(crate) batch_size: u64,
    /// Learning rate of the first half of the epochs; from there it falls to a hundredth.
    #[arg(long, default_value_t = 0.03)]
    pub(crate) learning_rate: f64,
    /// λ of the penalty λ/2 ‖φ(t)‖² on the point of the curve.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) weight_decay: f64,
    /// Number of points at which curve and straight line are evaluated, both ends included.
    #[arg(long, default_value_t = 61)]
    pub(crate) points: usize,
    /// Put B's hidden units into the order in which its weights are nearest to A's before, as `line --align` does.
    #[arg(long)]
    pub(crate) align: bool,
    /// Save the trained points as safetensors under bend1.NAME, bend2.NAME, … with the parameters' names.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_bends: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}
