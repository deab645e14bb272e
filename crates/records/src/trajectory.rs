//! The way of a run through parameter space, seen in the plane in which its checkpoints vary most.

use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Surface, float};

/// A run's checkpoints projected onto their first two principal components, and the loss over that plane. Its origin is the
/// last checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// The share of the checkpoints' variance along each principal component, descending; the first two span the plane.
    #[serde(with = "float::list")]
    pub explained_variance: Vec<f64>,
    /// The checkpoints, in the order of training.
    pub iterates: Vec<Iterate>,
    /// The loss over the plane, whose axes have length 1: coordinates are displacements.
    pub surface: Surface,
}

/// A checkpoint on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Iterate {
    /// The parameters.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// Epochs trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Optimizer steps taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Its coordinate along the first component.
    #[serde(with = "float")]
    pub x: f64,
    /// Its coordinate along the second component.
    #[serde(with = "float")]
    pub y: f64,
    /// Its distance from the plane.
    #[serde(with = "float")]
    pub distance: f64,
    /// Mean loss on the training split at the checkpoint itself.
    #[serde(with = "float")]
    pub train_loss: f64,
    /// The same at its projection, the point of the plane that a picture shows it at.
    #[serde(with = "float")]
    pub projected_train_loss: f64,
    /// Fraction of the training split classified rightly, where the targets are classes.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub train_accuracy: Option<f64>,
    /// Mean loss on the test split, where there is one.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// As `train_accuracy`, on the test split.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
}
