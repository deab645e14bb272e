//! Loss and accuracy on the straight line between two minima: θ(α) = (1 − α) θ_A + α θ_B.

use serde::{Deserialize, Serialize};

use crate::{Checkpoint, float};

/// A line and what was found on it, one element per α in every list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Where α = 0: θ_A.
    pub from: Endpoint,
    /// Where α = 1: θ_B.
    pub to: Endpoint,
    /// True displacement ‖θ_B − θ_A‖₂ between α = 0 and α = 1; α · distance is the axis in parameter space.
    #[serde(with = "float")]
    pub distance: f64,
    /// Where the model has batch norm: how its statistics were had at each point, for those of the ends do not belong to
    /// the points between and beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// Positions α, ascending.
    #[serde(with = "float::list")]
    pub alpha: Vec<f64>,
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

/// An end of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The parameters.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// Batch size that they were trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Seed that they were trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_seed: Option<u64>,
}
