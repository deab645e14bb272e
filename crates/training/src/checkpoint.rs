//! Weights together with what they are: a safetensors file that needs no option to be analysed.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::models::Model;
use basin_objective::weights::{self, Weights};
use candle_core::Tensor;

use crate::Result;

/// The key that says that basin wrote a file, with its version.
const WRITER: &str = "basin";

/// What a checkpoint notes about itself, in the metadata of its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckpointMetadata {
    /// The model, as in `--model`.
    pub model: Option<String>,
    /// The data, as in `--data`.
    pub data: Option<String>,
    /// The loss, as in `--loss`.
    pub loss: Option<String>,
    /// Epochs trained.
    pub epoch: Option<u64>,
    /// Optimizer steps taken.
    pub step: Option<u64>,
    /// Samples of one step.
    pub batch_size: Option<u64>,
    /// The optimizer's name.
    pub optimizer: Option<String>,
    /// The run's seed.
    pub seed: Option<u64>,
    /// How many of the first training samples were trained on, where not on all.
    pub samples: Option<u64>,
    /// The checkpoint that the run started from, where its weights were not drawn.
    pub start: Option<String>,
    /// What was done to the inputs, as the text of a [`Preprocessing`](basin_objective::data::Preprocessing); absent where
    /// nothing was.
    pub inputs: Option<String>,
    /// Loss on the training samples, with `samples` only on these.
    pub train_loss: Option<f64>,
    /// Accuracy on them.
    pub train_accuracy: Option<f64>,
    /// Loss on the test samples.
    pub test_loss: Option<f64>,
    /// Accuracy on them.
    pub test_accuracy: Option<f64>,
}

impl CheckpointMetadata {
    /// What a file's metadata holds; a file that another program wrote holds nothing of it, whatever its keys are.
    pub fn read(weights: &Weights) -> Self {
        if !weights.metadata.contains_key(WRITER) {
            // A network that was exported is in the file of its weights.
            return Self {
                model: weights.are_of_network().then(|| weights.path.display().to_string()),
                ..Self::default()
            };
        }
        let text = |key: &str| weights.metadata.get(key).cloned();
        let real = |key: &str| weights.metadata.get(key).and_then(|value| value.parse().ok());
        let number = |key: &str| weights.metadata.get(key).and_then(|value| value.parse().ok());
        Self {
            model: text("model"),
            data: text("data"),
            loss: text("loss"),
            epoch: number("epoch"),
            step: number("step"),
            batch_size: number("batch_size"),
            optimizer: text("optimizer"),
            seed: number("seed"),
            samples: number("samples"),
            start: text("start"),
            inputs: text("inputs"),
            train_loss: real("train_loss"),
            train_accuracy: real("train_accuracy"),
            test_loss: real("test_loss"),
            test_accuracy: real("test_accuracy"),
        }
    }

    fn entries(&self) -> BTreeMap<String, String> {
        // As many digits as two devices agree on; a history read back from its file may differ in the last ones.
        let real = |value: Option<f64>| value.map(|value| format!("{value:.9e}"));
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let entries = [
            ("model", self.model.clone()),
            ("data", self.data.clone()),
            ("loss", self.loss.clone()),
            ("epoch", number(self.epoch)),
            ("step", number(self.step)),
            ("batch_size", number(self.batch_size)),
            ("optimizer", self.optimizer.clone()),
            ("seed", number(self.seed)),
            ("samples", number(self.samples)),
            ("start", self.start.clone()),
            ("inputs", self.inputs.clone()),
            ("train_loss", real(self.train_loss)),
            ("train_accuracy", real(self.train_accuracy)),
            ("test_loss", real(self.test_loss)),
            ("test_accuracy", real(self.test_accuracy)),
            (WRITER, Some(env!("CARGO_PKG_VERSION").into())),
        ];
        entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Writes parameters and buffers under their PyTorch names, with this metadata.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, model: &Model, theta: &Tensor, buffers: &Tensor) -> Result<()> {
        let mut tensors = Vec::new();
        for (layout, vector) in [(model.parameters(), theta), (model.buffers(), buffers)] {
            let views = layout.views(vector)?;
            tensors.extend(layout.entries().iter().map(|entry| entry.name.clone()).zip(views));
        }
        Ok(weights::write(path, &tensors, &self.entries())?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn metadata_is_read_back_and_believed_of_basins_own_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let model = Model::new(&"mlp:2-2".parse().unwrap(), &[2], 2).unwrap();
        let vectors = (model.initial_parameters(0, DType::F32).unwrap(), model.initial_buffers(DType::F32).unwrap());
        let metadata = CheckpointMetadata {
            model: Some("mlp:2-2".into()),
            seed: Some(7),
            samples: Some(100),
            inputs: Some("standardize=mnist".into()),
            train_loss: Some(0.125),
            ..CheckpointMetadata::default()
        };
        metadata.write(&path, &model, &vectors.0, &vectors.1).unwrap();
        assert_eq!(CheckpointMetadata::read(&Weights::read(&path).unwrap()), metadata);

        let foreign = BTreeMap::from([("seed".to_owned(), "7".to_owned()), ("model".to_owned(), "bert".to_owned())]);
        let tensors = [("a".to_owned(), Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap())];
        weights::write(&path, &tensors, &foreign).unwrap();
        assert_eq!(CheckpointMetadata::read(&Weights::read(&path).unwrap()), CheckpointMetadata::default());
    }
}
