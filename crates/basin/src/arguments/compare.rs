//! What `basin compare` takes.

use std::path::PathBuf;

use clap::Args;

use super::{BallSettings, Common, KeskarSettings, MeasureArgument};

/// What `--out` of a comparison does.
const COMPARED_TO: &str = "Write a report: a directory, or a name without an ending, gets comparison.json and index.html, in which other \
    records lying there are drawn too. A file such as minima.jsonl gets the record appended, one JSON line each";

#[derive(Debug, Args)]
#[command(mut_arg("out", |out| out.value_name("PATH").help(COMPARED_TO)))]
pub(crate) struct Compare {
    /// Safetensors checkpoints.
    #[arg(required = true, value_name = "CKPT")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// What is measured beside Keskar's sharpness and the Hessian's extremal eigenvalues.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "adaptive-average,fisher-rao,relative-flatness,critical"
    )]
    pub(crate) measure: Vec<MeasureArgument>,
    #[command(flatten)]
    pub(crate) ball: BallSettings,
    #[command(flatten)]
    pub(crate) keskar: KeskarSettings,
    #[command(flatten)]
    pub(crate) common: Common,
}
