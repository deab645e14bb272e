//! Sharpness in an ε-neighbourhood, after Keskar et al. (ICLR 2017), metric 2.1:
//! φ(ε, A) = 100 · (max_{y ∈ C_ε} L(θ + A y) − L(θ)) / (1 + L(θ)), with the box |y_i| ≤ ε (|(A⁺θ)_i| + 1).

use serde::{Deserialize, Serialize};

use crate::float;

/// The maximisations at one θ and their summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keskar {
    /// Every maximisation.
    pub measurements: Vec<Measurement>,
    /// Mean and spread over the draws of A, one row per ε, subspace, columns and dimension.
    pub summary: Vec<Summary>,
}

/// One maximisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Half-width ε of the box, relative to |(A⁺θ)_i| + 1.
    #[serde(with = "float")]
    pub epsilon: f64,
    /// Where the maximum was sought.
    pub subspace: Subspace,
    /// Dimension p of the box: P for the full space.
    pub dimension: u64,
    /// How the columns of A were drawn; none for the full space, where A = I.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// Number of the draw of A, from 0.
    pub draw: u64,
    /// Sharpness φ, percent of 1 + L(θ).
    #[serde(with = "float")]
    pub value: f64,
    /// L(θ), the centre of the box.
    #[serde(with = "float")]
    pub loss: f64,
    /// Largest loss found in the box: a lower bound of the maximum.
    #[serde(with = "float")]
    pub max_loss: f64,
    /// Iterations of the maximiser.
    pub iterations: u64,
    /// Evaluations of the loss and its gradient, line searches included.
    pub evaluations: u64,
    /// Why the maximiser stopped.
    pub reason: String,
}

/// Sharpness over the draws of A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// As in [`Measurement::epsilon`].
    #[serde(with = "float")]
    pub epsilon: f64,
    /// As in [`Measurement::subspace`].
    pub subspace: Subspace,
    /// As in [`Measurement::columns`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// As in [`Measurement::dimension`].
    pub dimension: u64,
    /// Mean of φ over the draws.
    #[serde(with = "float")]
    pub mean: f64,
    /// Sample standard deviation (divisor draws − 1) of φ; none for one draw.
    #[serde(default, with = "float::optional")]
    pub std: Option<f64>,
    /// Number of draws.
    pub draws: u64,
}

/// Where the maximum is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subspace {
    /// All of R^P: A = I.
    Full,
    /// The range of a random A with few columns.
    Manifold,
}

/// How the columns of A are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Columns {
    /// Independent standard normal entries.
    Gaussian,
    /// Independent entries uniform in an interval around zero.
    Uniform,
    /// Orthonormal columns of a uniformly distributed subspace.
    Orthonormal,
}

impl Keskar {
    /// The measurements with their summary.
    pub fn new(measurements: Vec<Measurement>) -> Self {
        let summary = summarize(&measurements);
        Self { measurements, summary }
    }
}

/// Mean and sample standard deviation over the draws, in the order in which the settings first appear.
///
/// ```
/// use basin_records::keskar::{Measurement, Subspace, summarize};
///
/// let draw = |draw, value| Measurement {
///     epsilon: 1e-3, subspace: Subspace::Manifold, dimension: 100, columns: None, draw, value,
///     loss: 0.1, max_loss: 0.2, iterations: 10, evaluations: 12, reason: "iterations".into(),
/// };
/// let summary = summarize(&[draw(0, 1.0), draw(1, 3.0)]);
/// assert_eq!((summary[0].mean, summary[0].std, summary[0].draws), (2.0, Some(2f64.sqrt()), 2));
/// ```
pub fn summarize(measurements: &[Measurement]) -> Vec<Summary> {
    let mut groups: Vec<(&Measurement, Vec<f64>)> = Vec::new();
    for measurement in measurements {
        match groups.iter_mut().find(|(first, _)| first.setting() == measurement.setting()) {
            Some((_, values)) => values.push(measurement.value),
            None => groups.push((measurement, vec![measurement.value])),
        }
    }
    groups.into_iter().map(|(first, values)| first.summary(&values)).collect()
}

impl Measurement {
    fn setting(&self) -> (u64, Subspace, Option<Columns>, u64) {
        (self.epsilon.to_bits(), self.subspace, self.columns, self.dimension)
    }

    fn summary(&self, values: &[f64]) -> Summary {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Summary {
            epsilon: self.epsilon,
            subspace: self.subspace,
            columns: self.columns,
            dimension: self.dimension,
            mean,
            std: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
            draws: values.len() as u64,
        }
    }
}
