//! What `basin batch-hessian` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Common, shard};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BatchMatrixArgument {
    /// Second derivatives of the loss.
    Hessian,
    /// Generalized Gauss-Newton matrix.
    Ggn,
}

#[derive(Debug, Args)]
pub(crate) struct BatchHessian {
    /// A safetensors checkpoint.
    #[arg(value_name = "CKPT", required_unless_present = "merge")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Batch sizes; the powers of two from 8 up, and all samples, when absent.
    #[arg(long, value_delimiter = ',', value_name = "B")]
    pub(crate) batch_sizes: Option<Vec<usize>>,
    /// Batches drawn of each size.
    #[arg(long, default_value_t = 10)]
    pub(crate) draws: usize,
    /// The curvature matrix.
    #[arg(long, value_enum, default_value_t = BatchMatrixArgument::Hessian)]
    pub(crate) matrix: BatchMatrixArgument,
    /// β of the learning rates with momentum.
    #[arg(long, default_value_t = 0.9, value_name = "BETA", allow_hyphen_values = true)]
    pub(crate) momentum: f64,
    /// Measure the batches as Adam's preconditioner at θ leaves them as well.
    #[arg(long)]
    pub(crate) adam: bool,
    /// β₁ of Adam.
    #[arg(long, default_value_t = 0.9, requires = "adam", allow_hyphen_values = true)]
    pub(crate) beta1: f64,
    /// ε of Adam.
    #[arg(long, default_value_t = 1e-8, requires = "adam", allow_hyphen_values = true)]
    pub(crate) adam_epsilon: f64,
    /// Estimate the densities of all eigenvalues: of all samples, and of the first batch of each size.
    #[arg(long)]
    pub(crate) density: bool,
    /// Random start vectors of each density.
    #[arg(long, default_value_t = 10, value_name = "N", requires = "density")]
    pub(crate) probes: usize,
    /// Lanczos steps from each of them.
    #[arg(long, default_value_t = 80, value_name = "N", requires = "density")]
    pub(crate) steps: usize,
    /// Check the learning rates: short runs from the checkpoint, at multiples of the predicted ones, say where it diverges.
    #[arg(long)]
    pub(crate) check: bool,
    /// Multiples of the predicted learning rates.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0],
        value_name = "M",
        requires = "check",
        allow_hyphen_values = true
    )]
    pub(crate) multiples: Vec<f64>,
    /// Optimizer steps of each run.
    #[arg(long, default_value_t = 100, value_name = "N", requires = "check")]
    pub(crate) check_steps: usize,
    /// Runs at each learning rate, with other batches.
    #[arg(long, default_value_t = 3, value_name = "N", requires = "check")]
    pub(crate) check_runs: usize,
    /// Measure the i-th of n parts of all batches, like 1/4, to share the work among machines.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<(usize, usize)>,
    /// Put the records of all parts together, instead of measuring.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["checkpoint", "shard"])]
    pub(crate) merge: Vec<PathBuf>,
    /// An eigenvalue λ has converged when ‖Hv − λv‖ ≤ tolerance · |λ|, or at the rounding of a product.
    #[arg(long, default_value_t = 1e-3, allow_hyphen_values = true)]
    pub(crate) tolerance: f64,
    /// Products that the eigenvalues of a batch may take.
    #[arg(long, default_value_t = 5000, value_name = "N")]
    pub(crate) max_products: usize,
    #[command(flatten)]
    pub(crate) common: Common,
}
