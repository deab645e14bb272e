//! What `basin spectrum` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Common;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatrixArgument {
    /// Second derivatives of the loss.
    Hessian,
    /// Generalized Gauss-Newton matrix.
    Ggn,
    /// Fisher matrix of labels drawn from the model's predictions.
    Fisher,
    /// Uncentred second moment of per-sample gradients.
    EmpiricalFisher,
    /// Covariance of per-sample gradients.
    GradientCovariance,
    /// Hessian minus generalized Gauss-Newton matrix.
    Residual,
}

impl MatrixArgument {
    /// Whether the matrix can have negative eigenvalues.
    pub(crate) fn indefinite(self) -> bool {
        matches!(self, Self::Hessian | Self::Residual)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceArgument {
    /// Independent random probes.
    Hutchinson,
    /// Exact on a random sketch of the range, probes on the rest.
    #[value(name = "hutch++")]
    HutchPlusPlus,
    /// Every probe for both.
    #[value(name = "xtrace")]
    XTrace,
}

/// Which matrix.
#[derive(Clone, Debug, Args)]
pub(crate) struct MatrixSettings {
    /// The curvature matrix.
    #[arg(long, value_enum, default_value_t = MatrixArgument::Hessian)]
    pub(crate) matrix: MatrixArgument,
    /// Labels drawn for each sample for `--matrix fisher`; 1 when absent.
    #[arg(long, value_name = "N")]
    pub(crate) label_draws: Option<usize>,
    /// Add the curvature of weight decay, C times the identity.
    #[arg(long, value_name = "C", default_value_t = 0.0, allow_hyphen_values = true)]
    pub(crate) weight_decay: f64,
    /// The same for the diagonal block of each layer.
    #[arg(long, conflicts_with = "parameters")]
    pub(crate) per_layer: bool,
}

/// Which eigenvalues are sought, and how well.
#[derive(Clone, Debug, Args)]
pub(crate) struct EigenvalueSettings {
    /// Largest eigenvalues to find.
    #[arg(long, default_value_t = 1)]
    pub(crate) top: usize,
    /// Smallest eigenvalues to find; 1 of the Hessian and the residual and 0 of the other matrices, which have none below
    /// 0, when absent.
    #[arg(long)]
    pub(crate) bottom: Option<usize>,
    /// An eigenvalue λ has converged when ‖Hv − λv‖ ≤ tolerance · |λ|, or at the rounding of a product, 4 ε max |λ|.
    #[arg(long, default_value_t = 1e-4, allow_hyphen_values = true)]
    pub(crate) tolerance: f64,
    /// Largest Krylov basis; it is restarted when it is full.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) max_basis: usize,
    /// Products that the eigenvalues, and each estimate, may take.
    #[arg(long, default_value_t = 5000, value_name = "N")]
    pub(crate) max_products: usize,
    /// Write the eigenvectors of a single checkpoint to this safetensors file, under the parameters' names.
    #[arg(long, value_name = "FILE")]
    pub(crate) eigenvectors: Option<PathBuf>,
}

/// What is estimated besides.
#[derive(Clone, Debug, Args)]
pub(crate) struct EstimateSettings {
    /// Estimate the trace, by hutch++ when no method is named.
    #[arg(long, value_enum, value_name = "METHOD", num_args = 0..=1, require_equals = true, default_missing_value = "hutch++")]
    pub(crate) trace: Option<TraceArgument>,
    /// Estimate the Frobenius norm.
    #[arg(long)]
    pub(crate) frobenius: bool,
    /// Estimate the diagonal of a single checkpoint and write it to this safetensors file, under the parameters' names.
    #[arg(long, value_name = "FILE")]
    pub(crate) diagonal: Option<PathBuf>,
    /// Standard error, relative to the value, at which an estimate ends.
    #[arg(long, default_value_t = 0.02, value_name = "SHARE", allow_hyphen_values = true)]
    pub(crate) standard_error: f64,
    /// Estimate the density of all eigenvalues.
    #[arg(long)]
    pub(crate) density: bool,
    /// Random start vectors of the density.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) probes: usize,
    /// Lanczos steps from each of them.
    #[arg(long, default_value_t = 80, value_name = "N")]
    pub(crate) steps: usize,
    /// Standard deviation of the Gaussian that smooths the density; what the steps resolve when absent.
    #[arg(long, value_name = "SIGMA", allow_hyphen_values = true)]
    pub(crate) kernel_width: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct Spectrum {
    /// Safetensors checkpoints.
    #[arg(required = true, value_name = "CKPT")]
    pub(crate) checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) matrix: MatrixSettings,
    #[command(flatten)]
    pub(crate) eigenvalues: EigenvalueSettings,
    #[command(flatten)]
    pub(crate) estimates: EstimateSettings,
    /// Repeat a product of the first eigenvector and one of a random probe in f64, and say how far they differ.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Measure the largest eigenvalue (and the trace) on K disjoint random subsets of the data as well.
    #[arg(long, value_name = "K")]
    pub(crate) subsets: Option<usize>,
    #[command(flatten)]
    pub(crate) common: Common,
}
