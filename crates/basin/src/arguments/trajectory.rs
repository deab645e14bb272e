//! What `basin landscape trajectory` takes.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::plane::{FormatArgument, Points, Ranges, StatisticsArgument};

#[derive(Debug, Args)]
pub(crate) struct Trajectory {
    /// The directory of a run, or checkpoints in the order of training.
    #[arg(value_name = "RUN|CKPT", required = true)]
    pub(crate) iterates: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) ranges: Ranges,
    /// Points along each axis, like 25, or along x and along y, like 25x19.
    #[arg(long, default_value = "25", value_name = "N|NxM")]
    pub(crate) points: Points,
    /// Add lines between neighbouring ones where the surface bends, so often at most: 2 may quarter the space between them.
    #[arg(long, value_name = "TIMES")]
    pub(crate) refine: Option<u32>,
    /// Save the two components, as safetensors under x.NAME and y.NAME with the parameters' names.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_directions: Option<PathBuf>,
    /// The statistics of batch norm at each point; recomputed when absent.
    #[arg(long, value_enum)]
    pub(crate) batch_norm_statistics: Option<StatisticsArgument>,
    /// Write these files beside --out too; OUT.csv and OUT.npz are always written.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FORMAT")]
    pub(crate) also: Vec<FormatArgument>,
    #[command(flatten)]
    pub(crate) common: Common,
}
