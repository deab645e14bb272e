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
    /// Trace over the largest eigenvalue.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub intrinsic_dimension: Option<f64>,
    /// Squared trace over squared Frobenius norm.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub effective_rank: Option<f64>,
    /// How many of the eigenvalues found lie below zero by more than their residual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative: Option<u64>,
    /// λ_min/λ_max, where both ends were sought.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// c of the c I that was added for weight decay.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// The patterns of the names of the parameters whose block this is; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
    /// Labels drawn per sample for the Fisher matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_draws: Option<u64>,
    /// Density of all eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Box<Density>>,
    /// The file with the diagonal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagonal: Option<Box<Diagonal>>,
    /// What single products in f64 say of those in the record's dtype.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Box<Verification>>,
    /// The same figures on parts of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Box<Subsets>>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over the probes.
    #[serde(with = "float")]
    pub value: f64,
    /// Standard error of that mean; none where one probe leaves it unknown.
    #[serde(default, with = "float::optional")]
    pub stderr: Option<f64>,
    /// How it was estimated: `hutchinson`, `hutch++` or `xtrace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Products that it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub products: Option<u64>,
    /// Whether the standard error asked for was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converged: Option<bool>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An estimate of the diagonal, in a file of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagonal {
    /// Safetensors with the parameters' names, and each with `.stderr` behind it.
    pub path: String,
    /// ‖standard errors‖ / ‖diagonal‖.
    #[serde(with = "float")]
    pub relative_error: f64,
    /// Products that it took.
    pub products: u64,
    /// Whether the standard error asked for was reached.
    pub converged: bool,
    /// Why it ended.
    pub reason: String,
}

/// Single products repeated in f64.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// xᵀAx in f64 with the eigenvector x of the first eigenvalue of the record, λ.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// ‖A x − λ x‖ in f64.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// zᵀAz of a trace's first probe z, as computed and in f64.
    #[serde(with = "float")]
    pub form: f64,
    /// The same in f64.
    #[serde(with = "float")]
    pub form_f64: f64,
    /// ‖A z − A₆₄ z‖ / ‖A₆₄ z‖.
    #[serde(with = "float")]
    pub product_difference: f64,
}

/// Figures on disjoint random subsets of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subsets {
    /// Samples in each.
    pub samples: u64,
    /// The largest eigenvalue.
    pub lambda_max: Spread,
    /// The trace, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Spread>,
    /// Whether every figure on every subset converged.
    pub converged: bool,
}

/// A figure on several subsets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// On each.
    #[serde(with = "float::list")]
    pub values: Vec<f64>,
    /// Their mean.
    #[serde(with = "float")]
    pub mean: f64,
    /// Their standard deviation: what the choice of so many samples does to the figure.
    #[serde(with = "float")]
    pub std: f64,
}

impl Spread {
    /// Mean and standard deviation (with n − 1) of at least two values.
    ///
    /// ```
    /// let spread = basin_records::spectrum::Spread::of(vec![1.0, 3.0]);
    /// assert_eq!((spread.mean, spread.std), (2.0, 2.0_f64.sqrt()));
    /// ```
    pub fn of(values: Vec<f64>) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        Self { values, mean, std }
    }
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
    /// Standard error of each value over the probes; empty where one probe leaves it unknown.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<f64>,
    /// Standard deviation of the smoothing Gaussian.
    #[serde(with = "float")]
    pub sigma: f64,
    /// How many of the nodes, the first ones, are eigenvalues known exactly, each of weight 1/P.
    #[serde(default)]
    pub atoms: u64,
    /// Random start vectors.
    #[serde(default)]
    pub probes: u64,
    /// Lanczos steps from each.
    #[serde(default)]
    pub steps: u64,
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
    /// Density of the block's eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Box<Density>>,
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
            intrinsic_dimension: None,
            effective_rank: None,
            negative: None,
            ratio: None,
            weight_decay: None,
            block: None,
            label_draws: None,
            density: None,
            diagonal: None,
            verification: None,
            subsets: None,
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

    /// Whether everything that was sought, on blocks and subsets as well, is as exact as was asked for.
    pub fn converged(&self) -> bool {
        let estimates =
            [&self.trace, &self.frobenius].into_iter().chain(self.blocks.iter().flat_map(|b| [&b.trace, &b.frobenius]));
        let eigenvalues = self.eigenvalues.iter().chain(self.blocks.iter().flat_map(|block| &block.eigenvalues));
        eigenvalues.into_iter().all(|eigenvalue| eigenvalue.converged)
            && estimates.flatten().all(|estimate| estimate.converged != Some(false))
            && self.diagonal.as_ref().is_none_or(|diagonal| diagonal.converged)
            && self.subsets.as_ref().is_none_or(|subsets| subsets.converged)
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
