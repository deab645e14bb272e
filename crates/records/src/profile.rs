//! Loss and accuracy along directions through one checkpoint: θ(t) = θ + t d.

use serde::{Deserialize, Serialize};

use crate::float;
use crate::spectrum::Eigenvalue;
use crate::surface::Normalization;

/// The loss along one or more directions, at the same places t along each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Places t, ascending.
    #[serde(with = "float::list")]
    pub coordinates: Vec<f64>,
    /// How the directions that are `normalized` were scaled to the weights.
    pub normalization: Normalization,
    /// Parameters that do not change along them: biases and parameters of norm layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// Where the model has batch norm: how its statistics were had at each point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// What was found along each direction.
    pub directions: Vec<Along>,
}

/// One direction d, and a value for each t in every list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Along {
    /// What the direction is; independent draws have the same name.
    pub name: String,
    /// ‖d‖₂: t · norm is the true displacement in parameter space.
    #[serde(with = "float")]
    pub norm: f64,
    /// Whether d was scaled to the weights as `normalization` says.
    pub normalized: bool,
    /// vᵀ H v at t = 0 with v = d/‖d‖, of the training loss, by an exact product.
    #[serde(with = "float")]
    pub curvature: f64,
    /// The same from the second difference of `train_loss`, where t = 0 and its neighbours are among the places.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub curvature_difference: Option<f64>,
    /// Of an eigenvector: its eigenvalue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eigenvalue: Option<Eigenvalue>,
    /// Mean loss on the training split.
    #[serde(with = "float::list")]
    pub train_loss: Vec<f64>,
    /// Fraction of the training split classified rightly, in [0, 1]; empty if the targets are no classes.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub train_accuracy: Vec<f64>,
    /// Mean loss on the test split; empty if there is none.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub test_loss: Vec<f64>,
    /// As `train_accuracy`, on the test split.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub test_accuracy: Vec<f64>,
}

/// A value at one place over directions of one name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean over the directions.
    pub mean: f64,
    /// Standard error of the mean, s/√n; none of a single direction.
    pub stderr: Option<f64>,
}

impl Profile {
    /// The directions of each name, in the order of their first.
    pub fn by_name(&self) -> Vec<(&str, Vec<&Along>)> {
        let mut groups: Vec<(&str, Vec<&Along>)> = Vec::new();
        for along in &self.directions {
            match groups.iter_mut().find(|(name, _)| *name == along.name) {
                Some((_, members)) => members.push(along),
                None => groups.push((&along.name, vec![along])),
            }
        }
        groups
    }
}

impl Spread {
    /// Mean and standard error of values; none of no value.
    ///
    /// ```
    /// use basin_records::profile::Spread;
    ///
    /// let spread = Spread::of(&[1.0, 3.0]).expect("two values");
    /// assert_eq!((spread.mean, spread.stderr), (2.0, Some(1.0)));
    /// assert_eq!(Spread::of(&[5.0]).and_then(|spread| spread.stderr), None);
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, stderr: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) })
    }
}
