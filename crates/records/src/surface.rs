//! Loss and accuracy on a plane of parameters: θ(x, y) = θ + x d₁ + y d₂.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::float;
use crate::spectrum::Eigenvalue;

/// A plane and what was found on it. The lists of values have one row per y, ascending, with one element per x; of a part
/// of a surface, the rows that other parts have are empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// The axis along d₁, of the columns.
    pub x: Axis,
    /// The axis along d₂, of the rows.
    pub y: Axis,
    /// ⟨d₁, d₂⟩/(‖d₁‖ ‖d₂‖): normalisation of orthogonal directions makes them a little oblique.
    #[serde(with = "float")]
    pub cosine: f64,
    /// How the axes that are `normalized` were scaled to the weights.
    pub normalization: Normalization,
    /// Parameters that do not change along the axes that are `normalized`: biases and parameters of norm layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// The file with the directions, if they were saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directions: Option<String>,
    /// Where the model has batch norm: how its statistics were had at each point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// Mean loss on the training split.
    #[serde(with = "float::rows")]
    pub train_loss: Vec<Vec<f64>>,
    /// Fraction of the training split classified rightly, in [0, 1]; empty if the targets are no classes.
    #[serde(default, with = "float::rows", skip_serializing_if = "Vec::is_empty")]
    pub train_accuracy: Vec<Vec<f64>>,
    /// Mean loss on the test split; empty if there is none.
    #[serde(default, with = "float::rows", skip_serializing_if = "Vec::is_empty")]
    pub test_loss: Vec<Vec<f64>>,
    /// As `train_accuracy`, on the test split.
    #[serde(default, with = "float::rows", skip_serializing_if = "Vec::is_empty")]
    pub test_accuracy: Vec<Vec<f64>>,
    /// Checkpoints on or near the plane; the first is θ itself, at (0, 0).
    pub marks: Vec<Mark>,
    /// Points whose training loss is NaN or infinite.
    pub not_finite: u64,
    /// `i/n` where only the i-th of n parts of the rows was evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

/// One of the two axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// What the direction is.
    pub name: String,
    /// Positions along the direction d, ascending.
    #[serde(with = "float::list")]
    pub coordinates: Vec<f64>,
    /// ‖d‖₂: coordinate · norm is the true displacement in parameter space.
    #[serde(with = "float")]
    pub norm: f64,
    /// Whether d was scaled to the weights as `normalization` says; directions to checkpoints and eigenvectors are not.
    pub normalized: bool,
    /// vᵀ H v at (0, 0) with v = d/‖d‖, of the training loss, by an exact product.
    #[serde(with = "float")]
    pub curvature: f64,
    /// The same from the second difference of `train_loss`, where (0, 0) and its neighbours are points of the grid.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub curvature_difference: Option<f64>,
    /// Of an eigenvector: its eigenvalue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eigenvalue: Option<Eigenvalue>,
}

/// How a direction d was scaled to the weights w (Li and others, 2018).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Not at all.
    None,
    /// Each filter d_f to the norm of w_f.
    Filter,
    /// Each tensor to the norm of its weights.
    Layer,
    /// d ∘ |w|.
    Weight,
}

/// A checkpoint in the plane's coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The file.
    pub name: String,
    /// The coordinate of its projection along d₁.
    #[serde(with = "float")]
    pub x: f64,
    /// The coordinate of its projection along d₂.
    #[serde(with = "float")]
    pub y: f64,
    /// Its distance from the plane in parameter space.
    #[serde(with = "float")]
    pub distance: f64,
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Filter => "filter",
            Self::Layer => "layer",
            Self::Weight => "weight",
        })
    }
}
