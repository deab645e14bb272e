//! A curve of low loss between two minima, and the straight line beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::line::{Barrier, Endpoint};
use crate::{Alignment, float};

/// A curve φ(t) from φ(0) = θ_A to φ(1) = θ_B that was trained, and what was found on it and on the line (1 − t) θ_A + t θ_B, one
/// element per t in every list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Where t = 0: θ_A.
    pub from: Endpoint,
    /// Where t = 1: θ_B.
    pub to: Endpoint,
    /// ‖θ_B − θ_A‖₂.
    #[serde(with = "float")]
    pub distance: f64,
    /// Where the hidden units of B were put into the order of A's before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
    /// The kind of curve.
    pub shape: Shape,
    /// Points between the ends that were trained.
    pub bends: u64,
    /// How they were trained.
    pub training: Training,
    /// The file with the bends, if they were saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where the model has batch norm: how its statistics were had at each point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// Positions t, ascending from 0 to 1.
    #[serde(with = "float::list")]
    pub t: Vec<f64>,
    /// The length in parameter space of the curve up to each position.
    #[serde(with = "float::list")]
    pub arclength: Vec<f64>,
    /// On the curve.
    pub curve: Profile,
    /// On the straight line.
    pub line: Profile,
}

/// A curve between two points, drawn by its ends and the bends between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Bézier's, of one degree more than there are bends.
    Bezier,
    /// Straight from each point to the next: a polygonal chain.
    Chain,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bezier => "Bézier curve",
            Self::Chain => "polygonal chain",
        })
    }
}

/// How bends were trained: stochastic gradient descent, one t for each batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Times that all samples were gone through.
    pub epochs: u64,
    /// Samples of a step.
    pub batch_size: u64,
    /// The rate of the first half of the epochs.
    #[serde(with = "float")]
    pub learning_rate: f64,
    /// What is left of a step in the next one.
    #[serde(with = "float")]
    pub momentum: f64,
    /// λ of the penalty λ/2 ‖φ(t)‖².
    #[serde(with = "float")]
    pub weight_decay: f64,
}

/// Loss and accuracy along a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
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
    /// What stands between the ends, of the training split and of the test split; none where a value is no number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barriers: Vec<Barrier>,
}

impl Profile {
    /// Fills in the barriers, which follow from losses and accuracies at the positions `t`.
    ///
    /// ```
    /// use basin_records::connection::Profile;
    ///
    /// let profile = Profile { train_loss: vec![1.0, 4.0, 2.0], ..Profile::default() }.with_barriers(&[0.0, 0.5, 1.0]);
    /// assert_eq!(profile.barriers.len(), 1);
    /// assert_eq!((profile.barriers[0].height, profile.barriers[0].alpha), (2.5, 0.5));
    /// ```
    #[must_use]
    pub fn with_barriers(self, t: &[f64]) -> Self {
        let splits =
            [("train", &self.train_loss, &self.train_accuracy), ("test", &self.test_loss, &self.test_accuracy)];
        let found = splits.into_iter().filter(|(_, loss, _)| !loss.is_empty());
        let barriers = found.filter_map(|(split, loss, accuracy)| Barrier::of(split, t, loss, accuracy)).collect();
        Self { barriers, ..self }
    }
}
