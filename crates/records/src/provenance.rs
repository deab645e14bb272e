//! Where a result comes from.

use serde::{Deserialize, Serialize};

use crate::{float, timestamp};

/// What stands beside every result: on what, with what, when and at what cost it was found.
///
/// Start from [`Provenance::now`] and fill in what applies; what stays `None` is left out of the JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Moment of writing, RFC 3339 in UTC.
    pub created: String,
    /// Version of basin that wrote the record, `0.1.0+commit`.
    pub basin: String,
    /// The parameters θ that were analysed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The patterns of the names of the parameters that were measured in; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// The samples that the objective is the mean over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// What was done to the inputs of these samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// How well the checkpoint does on these samples; of several, the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// Model spec, as `--model` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Loss by name: `cross-entropy`, `mse`, `bce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Batch size that the checkpoint was trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Name of the study's variant that the checkpoint was trained by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Epochs that the checkpoint was trained for; 0 is the initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Optimizer steps that the checkpoint was trained for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Optimizer that trained the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<String>,
    /// Seed of the training run: initial weights and order of the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_seed: Option<u64>,
    /// `batch` where batch norm used the statistics of the samples analysed instead of its stored ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// Device of the measurement: `cpu`, `cuda:0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Number format of the measurement: `f32`, `f64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Seed of the measurement: start vectors, directions, probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Wall-clock time of the measurement, seconds.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Multiplications of a curvature matrix with a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub products: Option<u64>,
    /// Cost of the measurement in gradients of L on the same samples.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub gradient_equivalents: Option<f64>,
}

/// A file of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The file, as the user named it or relative to the study directory.
    pub path: String,
    /// BLAKE3 hash of the file, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Number of parameters P.
    pub parameters: u64,
}

/// The samples of an objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Data spec, as `--data` takes it.
    pub spec: String,
    /// `train` or `test`.
    pub split: String,
    /// Number of samples N analysed.
    pub samples: u64,
    /// BLAKE3 hash of the samples and their targets, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// What was done to inputs before the model saw them, in this order: resized, cut, standardized. `null` is nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Mean that was subtracted: one for all inputs, or one per channel.
    #[serde(default)]
    pub mean: Option<Vec<f64>>,
    /// Standard deviation that was divided by.
    #[serde(default)]
    pub std: Option<Vec<f64>>,
    /// Size of the shorter side, as in `256`, or height and width, as in `224x224`.
    #[serde(default)]
    pub resize: Option<String>,
    /// The middle of images, as in `224` or `224x192`.
    #[serde(default)]
    pub crop: Option<String>,
}

/// How well a checkpoint does on the samples of a measurement: says whether model and inputs are those it was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss.
    #[serde(with = "float")]
    pub loss: f64,
    /// Share classified right, where targets are classes.
    #[serde(default, with = "float::optional")]
    pub accuracy: Option<f64>,
    /// Number of samples.
    pub samples: u64,
}

impl Provenance {
    /// This version of basin at this moment, nothing else known yet.
    pub fn now() -> Self {
        Self { created: timestamp::now(), basin: env!("BASIN_VERSION").into(), ..Self::default() }
    }
}
