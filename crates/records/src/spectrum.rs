//! Eigenvalues, trace, norm and density of a curvature matrix.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::float;

/// What was found of the spectrum of one matrix at one θ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// The matrix.
    pub matrix: Matrix,
    /// Extreme eigenvalues, descending.
    pub eigenvalues: Vec<Eigenvalue>,
    /// Sum of all eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Estimate>,
    /// Frobenius norm, √(sum of the squared eigenvalues).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frobenius: Option<Estimate>,
    /// Density of all eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Density>,
    /// The same per layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// Iterations of the eigensolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Relative residual at which an eigenvalue counts as converged: ‖A v − λ v‖ ≤ tolerance · |λ|, or at the rounding of a
    /// product, 4 ε max |λ| with the ε of the record's dtype.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Why the eigensolver stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A symmetric matrix that describes curvature in θ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Matrix {
    /// Second derivatives of L.
    Hessian,
    /// Generalized Gauss-Newton matrix, mean of Jᵀ (∇²loss) J.
    Ggn,
    /// Fisher matrix with labels drawn from the model.
    Fisher,
    /// Uncentred second moment of the per-sample gradients.
    EmpiricalFisher,
    /// Covariance of the per-sample gradients about their mean.
    GradientCovariance,
    /// Hessian minus generalized Gauss-Newton matrix.
    Residual,
}

/// One eigenvalue and how far to trust it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Eigenvalue {
    /// Ritz value λ, in units of the loss per squared parameter.
    #[serde(with = "float")]
    pub value: f64,
    /// ‖A v − λ v‖ at unit v: a true eigenvalue lies at most this far away.
    #[serde(with = "float")]
    pub residual: f64,
    /// Whether the residual reached the tolerance.
    pub converged: bool,
    /// The end of the spectrum at which it was sought.
    pub end: End,
}

/// An end of the spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The largest eigenvalues.
    Top,
    /// The smallest, most negative eigenvalues.
    Bottom,
}

/// A stochastic estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over the probes.
    #[serde(with = "float")]
    pub value: f64,
    /// Standard error of that mean; none where one probe leaves it unknown.
    #[serde(default, with = "float::optional")]
    pub stderr: Option<f64>,
}

/// Spectral density by stochastic Lanczos quadrature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Density {
    /// Ritz values of all probes.
    #[serde(with = "float::list")]
    pub nodes: Vec<f64>,
    /// Their weights, summing to 1.
    #[serde(with = "float::list")]
    pub weights: Vec<f64>,
    /// Eigenvalues at which the smoothed density is given.
    #[serde(with = "float::list")]
    pub grid: Vec<f64>,
    /// Density on the grid, integral 1.
    #[serde(with = "float::list")]
    pub values: Vec<f64>,
    /// Standard deviation of the smoothing Gaussian.
    #[serde(with = "float")]
    pub sigma: f64,
}

/// The diagonal block of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Layer, or parameter, by its name in the state_dict.
    pub name: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Extreme eigenvalues of the block, descending.
    pub eigenvalues: Vec<Eigenvalue>,
    /// Trace of the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Estimate>,
    /// Frobenius norm of the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frobenius: Option<Estimate>,
}

impl Spectrum {
    /// Eigenvalues of a matrix, sorted descending here; the rest is unknown until it is set.
    pub fn new(matrix: Matrix, mut eigenvalues: Vec<Eigenvalue>) -> Self {
        eigenvalues.sort_by(|a, b| b.value.total_cmp(&a.value));
        Self {
            matrix,
            eigenvalues,
            trace: None,
            frobenius: None,
            density: None,
            blocks: Vec::new(),
            iterations: None,
            tolerance: None,
            reason: None,
        }
    }

    /// The largest eigenvalue λ_max, where the top was sought.
    pub fn largest(&self) -> Option<&Eigenvalue> {
        self.eigenvalues
            .iter()
            .filter(|eigenvalue| eigenvalue.end == End::Top)
            .max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// The smallest eigenvalue λ_min, where the bottom was sought.
    pub fn smallest(&self) -> Option<&Eigenvalue> {
        let bottom = self.eigenvalues.iter().filter(|eigenvalue| eigenvalue.end == End::Bottom);
        bottom.min_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// How many eigenvalues did not reach the tolerance.
    pub fn unconverged(&self) -> usize {
        self.eigenvalues.iter().filter(|eigenvalue| !eigenvalue.converged).count()
    }
}

impl Matrix {
    /// The name, as `--matrix` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hessian => "hessian",
            Self::Ggn => "ggn",
            Self::Fisher => "fisher",
            Self::EmpiricalFisher => "empirical-fisher",
            Self::GradientCovariance => "gradient-covariance",
            Self::Residual => "residual",
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
