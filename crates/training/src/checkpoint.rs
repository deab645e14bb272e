//! Weights together with what they are: a safetensors file that needs no option to be analysed.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::models::Model;
use basin_objective::weights::{self, Weights};
use candle_core::Tensor;

use crate::Result;

/// What a checkpoint notes about itself, in the metadata of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

impl CheckpointMetadata {
    /// What a file's metadata holds; a file of another program's holds nothing of it.
    pub fn read(weights: &Weights) -> Self {
        let text = |key: &str| weights.metadata.get(key).cloned();
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
        }
    }

    fn entries(&self) -> BTreeMap<String, String> {
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
            ("basin", Some(env!("CARGO_PKG_VERSION").into())),
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
