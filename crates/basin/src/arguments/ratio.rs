//! What `basin landscape ratio` takes.

use std::path::PathBuf;

use clap::Args;

use super::plane::{DirectionArguments, FormatArgument, Points, Ranges, StatisticsArgument};
use super::{Common, shard};

#[derive(Debug, Args)]
pub(crate) struct Ratio {
    /// The safetensors checkpoint at the origin.
    #[arg(value_name = "CKPT", required_unless_present = "merge")]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) directions: DirectionArguments,
    #[command(flatten)]
    pub(crate) ranges: Ranges,
    /// Points along each axis, like 15, or along x and along y, like 15x9; each takes tens of products.
    #[arg(long, default_value = "15", value_name = "N|NxM")]
    pub(crate) points: Points,
    /// An eigenvalue λ has converged when its residual is at most TOLERANCE · |λ|.
    #[arg(long, default_value_t = 1e-3)]
    pub(crate) tolerance: f64,
    /// Products that a point may take.
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) max_products: usize,
    /// The statistics of batch norm at each point; recomputed when absent.
    #[arg(long, value_enum)]
    pub(crate) batch_norm_statistics: Option<StatisticsArgument>,
    /// Evaluate the i-th of n parts of the rows, like 1/4, to share the work among machines.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<(usize, usize)>,
    /// Put the records of all parts together, instead of evaluating.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["checkpoint", "shard"])]
    pub(crate) merge: Vec<PathBuf>,
    /// Write these files beside --out too; OUT.csv and OUT.npz are always written.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FORMAT")]
    pub(crate) also: Vec<FormatArgument>,
    #[command(flatten)]
    pub(crate) common: Common,
}
