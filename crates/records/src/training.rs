//! The history of one training run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::float;

/// One training run, epoch by epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// What the run was told to do.
    pub settings: Settings,
    /// What was seen after each epoch, ascending; epoch 0 is the initial weights.
    pub epochs: Vec<Epoch>,
    /// Why the run ended: `epochs`, `loss stopped improving`, `diverged`, `interrupted`.
    pub reason: String,
}

/// What a run was told to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Model spec, as `--model` takes it.
    pub model: String,
    /// Optimizer by name: `sgd`, `adam`, ….
    pub optimizer: String,
    /// Initial learning rate; NaN where it is chosen automatically.
    #[serde(with = "float")]
    pub learning_rate: f64,
    /// Samples per step, before any schedule of the batch size.
    pub batch_size: u64,
    /// Largest number of epochs.
    pub epochs: u64,
    /// Seed of initial weights and order of the samples.
    pub seed: u64,
    /// Whatever else was set, by its name in the study file: `momentum`, `weight_decay`, `schedule`, ….
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// The state after an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epochs done.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Mean loss over the training split at the θ reached.
    #[serde(with = "float")]
    pub train_loss: f64,
    /// Fraction of the training split classified rightly, in [0, 1].
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub train_accuracy: Option<f64>,
    /// Mean loss over the test split.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Fraction of the test split classified rightly, in [0, 1].
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Learning rate of the last step.
    #[serde(with = "float")]
    pub learning_rate: f64,
    /// Samples of the last step, unless too few were left of the epoch for a whole one.
    pub batch_size: u64,
    /// Statistics observed on the way, by name: `gradient_norm`, `distance` (‖θ − θ₀‖₂), ….
    #[serde(default, with = "float::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<String, f64>,
}
