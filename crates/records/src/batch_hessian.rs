//! Extremal eigenvalues of the curvature of mini-batches against those of all samples, and the learning rates they allow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::float;
use crate::spectrum::{Density, Eigenvalue, Estimate, Matrix};

/// What was found at one θ, by batch size.
///
/// ```
/// use basin_records::batch_hessian::{BatchHessian, Spread};
///
/// let spread = Spread::of(&[1.0, 3.0]);
/// assert_eq!((spread.mean, spread.std, spread.stderr), (2.0, Some(2.0_f64.sqrt()), Some(1.0)));
/// let json = r#"{"matrix": "ggn", "theory": "marchenko-pastur", "samples": 90, "momentum": 0.9, "crossover": null, "rows": [],
///     "empirical": {"lambda_max": 2.0, "eigenvalues": []},
///     "noise": {"total": {"value": 0.5, "stderr": 0.1}, "batch_size": 8, "groups": 64, "probes": 7}}"#;
/// let result: BatchHessian = serde_json::from_str(json)?;
/// assert!(result.converged());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchHessian {
    /// The matrix.
    pub matrix: Matrix,
    /// The law of the noise behind the predictions.
    pub theory: Theory,
    /// N.
    pub samples: u64,
    /// Of all N samples.
    pub empirical: Empirical,
    /// How far the matrices of single samples lie from their mean.
    pub noise: Noise,
    /// β of the learning rates with momentum.
    #[serde(with = "float")]
    pub momentum: f64,
    /// The batch size B* at which the noise has doubled the largest eigenvalue: below it the learning rate grows with the
    /// batch size, above it saturates.
    #[serde(default, with = "float::optional")]
    pub crossover: Option<f64>,
    /// The Adam whose preconditioned matrices were measured too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adam: Option<Adam>,
    /// How the learning rates were checked, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The part i/n of all draws that was measured, where not all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// One per batch size, ascending.
    pub rows: Vec<Row>,
}

/// What is assumed of the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Theory {
    /// Symmetric noise with independent elements on a matrix of low rank.
    Wigner,
    /// The noise of a sample covariance; this form is basin's own.
    MarchenkoPastur,
}

/// The curvature of all samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Empirical {
    /// The largest eigenvalue.
    #[serde(with = "float")]
    pub lambda_max: f64,
    /// The smallest eigenvalue, where the matrix can have negative ones.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub lambda_min: Option<f64>,
    /// The same with their residuals.
    pub eigenvalues: Vec<Eigenvalue>,
    /// Sum of all eigenvalues, from the same products as the noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Estimate>,
    /// Sum of their squares, from the same products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_frobenius: Option<Estimate>,
    /// Density of all eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Box<Density>>,
}

/// Adam near a stationary point: θ is moved by −η P⁻¹ m with P = √E(g_B²) + ε and the gradients' running mean m.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// β₁, the memory of the mean.
    #[serde(with = "float")]
    pub beta1: f64,
    /// ε.
    #[serde(with = "float")]
    pub epsilon: f64,
    /// Groups of samples from whose gradients E(g_B²) follows.
    pub groups: u64,
}

/// Short runs from θ with the batch's gradients, at multiples of the predicted learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Optimizer steps of a run.
    pub steps: u64,
    /// Runs at each learning rate, with other batches.
    pub runs: u64,
    /// L(θ).
    #[serde(with = "float")]
    pub loss: f64,
    /// The loss of all samples above which a run counts as diverged.
    #[serde(with = "float")]
    pub level: f64,
}

/// Variances over samples, with N − 1, so that those of a batch of B without replacement are 1/B − 1/N times as large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Pσ², the variance of an element times P: the mean of ‖(H_i − H) z‖² over unit vectors z.
    pub total: Estimate,
    /// The variance of vᵀH_i v along the eigenvector v of the largest eigenvalue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curvature_along_top: Option<Estimate>,
    /// The mean of ‖(H_i − H) v‖².
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_along_top: Option<Estimate>,
    /// Samples in each of the batches that were compared.
    pub batch_size: u64,
    /// Independent pairs of batches.
    pub groups: u64,
    /// Random unit vectors of each pair.
    pub probes: u64,
}

/// One batch size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// B.
    pub batch_size: u64,
    /// Batches drawn.
    pub draws: u64,
    /// The largest eigenvalues of the batches.
    pub lambda_max: Spread,
    /// The smallest, where the matrix can have negative ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda_min: Option<Spread>,
    /// What the theory says of the largest.
    #[serde(with = "float")]
    pub predicted_lambda_max: f64,
    /// What the standard error of Pσ² makes of it.
    #[serde(default, with = "float::optional")]
    pub predicted_lambda_max_stderr: Option<f64>,
    /// What the theory says of the smallest.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub predicted_lambda_min: Option<f64>,
    /// What the standard error of Pσ² makes of it.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub predicted_lambda_min_stderr: Option<f64>,
    /// λ + E‖(H_B − H) v‖²/λ with the part across the top eigenvector v of the noise that was measured along it.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub predicted_lambda_max_along_top: Option<f64>,
    /// Squared cosine between the top eigenvectors of a batch and of all samples.
    pub overlap: Spread,
    /// What the theory says of it.
    #[serde(with = "float")]
    pub predicted_overlap: f64,
    /// 2/λ' with the predicted λ'.
    #[serde(default, with = "float::optional")]
    pub max_learning_rate_sgd: Option<f64>,
    /// 2 (1 + β)/λ'.
    #[serde(default, with = "float::optional")]
    pub max_learning_rate_momentum: Option<f64>,
    /// 2/√λ', which holds for a preconditioner that equals the root of the batch's curvature.
    #[serde(default, with = "float::optional")]
    pub max_learning_rate_adam: Option<f64>,
    /// 2/λ' with the mean of the measured λ'.
    #[serde(default, with = "float::optional")]
    pub max_learning_rate_measured: Option<f64>,
    /// The largest eigenvalues of the batches preconditioned as Adam does at this batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditioned_lambda_max: Option<Spread>,
    /// 2 (1 + β₁)/((1 − β₁) λ) with their mean.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub max_learning_rate_adam_measured: Option<f64>,
    /// Necessary for mean-square stability along the top eigenvector (Mulayoff and Michaeli, equation 15).
    #[serde(default)]
    pub max_learning_rate_mean_square: Option<Estimate>,
    /// Necessary for it by trace and Frobenius norm (equation 16).
    #[serde(default)]
    pub max_learning_rate_mean_square_trace: Option<Estimate>,
    /// The least of those along the top eigenvectors of single batches (equation 24).
    #[serde(default)]
    pub max_learning_rate_mean_square_directions: Option<Estimate>,
    /// Density of all eigenvalues of the first batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Box<Density>>,
    /// Where short runs diverged, by optimizer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub divergence: Vec<Divergence>,
    /// These runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// Each batch.
    pub values: Vec<Draw>,
}

/// Between which of the learning rates tried runs begin to diverge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// The optimizer.
    pub optimizer: Descent,
    /// The largest rate up to which no run diverged; none where one did at the smallest.
    #[serde(default, with = "float::optional")]
    pub stable: Option<f64>,
    /// The smallest rate from which all runs diverged; none where one did not at the largest.
    #[serde(default, with = "float::optional")]
    pub diverging: Option<f64>,
}

/// How a run descends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Descent {
    /// Stochastic gradient descent.
    Sgd,
    /// The same with momentum.
    Momentum,
    /// Adam from its stationary second moments.
    Adam,
}

impl fmt::Display for Descent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "SGD",
            Self::Momentum => "momentum",
            Self::Adam => "Adam",
        })
    }
}

/// One short run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The optimizer.
    pub optimizer: Descent,
    /// The learning rate over the one predicted.
    #[serde(with = "float")]
    pub multiple: f64,
    /// The learning rate.
    #[serde(with = "float")]
    pub learning_rate: f64,
    /// Its number among those at this learning rate, from 0.
    pub run: u64,
    /// Steps that were taken: fewer than asked for where it diverged.
    pub steps: u64,
    /// The last loss of all samples seen.
    #[serde(with = "float")]
    pub loss: f64,
    /// Whether that is above the level, or no number.
    pub diverged: bool,
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// Its number, from 0.
    pub draw: u64,
    /// Its extremal eigenvalues with their residuals.
    pub eigenvalues: Vec<Eigenvalue>,
    /// The largest of the matrix preconditioned as Adam does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditioned: Option<Eigenvalue>,
    /// Squared cosine between its top eigenvector and that of all samples.
    #[serde(with = "float")]
    pub overlap: f64,
    /// Products that it took.
    pub products: u64,
}

/// A figure over the draws.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    #[serde(with = "float")]
    pub mean: f64,
    /// Standard deviation; none of a single draw.
    #[serde(default, with = "float::optional")]
    pub std: Option<f64>,
    /// Standard error of the mean.
    #[serde(default, with = "float::optional")]
    pub stderr: Option<f64>,
}

impl Spread {
    /// Of independent values; NaN of none.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Self { mean, std, stderr: std.map(|std| std / n.sqrt()) }
    }

    /// Whether the mean and what is predicted of it part, by more than three standard errors of their difference and by a tenth of
    /// the mean; a single draw leaves that open, and so does what is no number.
    ///
    /// ```
    /// use basin_records::batch_hessian::Spread;
    ///
    /// let measured = Spread::of(&[1.9, 2.0, 2.1]);
    /// assert_eq!(measured.parts_from(1.0, None), Some(true));
    /// assert_eq!(measured.parts_from(1.0, Some(0.5)), Some(false));
    /// assert_eq!(Spread::of(&[2.0]).parts_from(1.0, None), None);
    /// ```
    pub fn parts_from(&self, predicted: f64, stderr: Option<f64>) -> Option<bool> {
        const STANDARD_ERRORS: f64 = 3.0;
        const SHARE: f64 = 0.1;
        let stderr = self.stderr?.hypot(stderr.unwrap_or(0.0));
        let apart = (self.mean - predicted).abs();
        let known = apart.is_finite() && stderr.is_finite();
        known.then_some(apart > STANDARD_ERRORS * stderr && apart > SHARE * self.mean.abs())
    }

    /// What cannot vary.
    pub fn exact(value: f64) -> Self {
        Self { mean: value, std: Some(0.0), stderr: Some(0.0) }
    }
}

impl BatchHessian {
    /// Whether every eigenvalue reached the tolerance.
    pub fn converged(&self) -> bool {
        let draws = self.rows.iter().flat_map(|row| &row.values);
        let draws = draws.flat_map(|draw| draw.eigenvalues.iter().chain(&draw.preconditioned));
        self.empirical.eigenvalues.iter().chain(draws).all(|eigenvalue| eigenvalue.converged)
    }
}
