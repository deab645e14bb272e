//! Everything that determines a training run.

use basin_objective::data::Preprocessing;
use basin_objective::models::Dropout;
use basin_objective::weights::Rename;
use basin_objective::{Error, LossSpec};
use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::adversarial::Adversarial;
use crate::augmentation::Augmentation;
use crate::batch_schedule::BatchSchedule;
use crate::discard::Discard;
use crate::learning_rate::LearningRate;
use crate::observables::Observable;
use crate::optimizers::{AdamSettings, OptimizerSettings};
use crate::schedule::{Scaling, Schedule};

/// A run is a function of these settings: the same settings give the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model, as in `--model`.
    pub model: String,
    /// The data, as in `--data`.
    pub data: String,
    /// The loss, as in `--loss`; the data's default when absent.
    pub loss: Option<String>,
    /// Train on the first samples only.
    pub samples: Option<usize>,
    /// What is done to the inputs.
    pub inputs: Preprocessing,
    /// What is done to training images.
    pub augmentation: Augmentation,
    /// The samples of each batch with the smallest losses that are left out of its step.
    pub discard: Discard,
    /// The chance with which a training label is replaced by a class drawn evenly.
    pub label_noise: f64,
    /// The chance with which activations are zeroed.
    pub dropout: Dropout,
    /// How far samples are moved to where their losses are larger.
    pub adversarial: Adversarial,
    /// The checkpoint whose weights the run starts from, instead of drawn ones.
    pub start: Option<String>,
    /// Other names for the tensors of that checkpoint.
    pub rename: Vec<Rename>,
    /// Samples of one optimizer step; the last one of an epoch may hold fewer.
    pub batch_size: usize,
    /// What the batch size becomes in the course of the run.
    pub batch_schedule: BatchSchedule,
    /// Samples whose gradient is computed at a time, to bound the memory of a step; the whole batch when absent. The gradient
    /// is that of the batch, up to rounding.
    pub micro_batch: Option<usize>,
    /// Samples that batch norm takes its statistics over (Hoffer, Hubara and Soudry, "Train longer, generalize better", 2017);
    /// the whole batch when absent.
    pub ghost_batch: Option<usize>,
    /// The largest number of epochs.
    pub epochs: u64,
    /// Stop when the train loss has not fallen by 1 % in this many epochs.
    pub patience: Option<u64>,
    /// The optimizer and its rates.
    pub optimizer: OptimizerSettings,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// Seed of initial weights and shuffling.
    pub seed: u64,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Write a checkpoint before the first epoch and every so many epochs, beside the one at the end.
    pub checkpoint_every: Option<u64>,
    /// What is observed beside losses and accuracies.
    pub observe: Vec<Observable>,
    /// Every so many epochs the dear ones of these are taken.
    pub observe_every: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: "mlp:64-128-64-10:relu".into(),
            data: "digits".into(),
            loss: None,
            samples: None,
            inputs: Preprocessing::default(),
            augmentation: Augmentation::default(),
            discard: Discard::default(),
            label_noise: 0.0,
            dropout: Dropout::None,
            adversarial: Adversarial::default(),
            start: None,
            rename: Vec::new(),
            batch_size: 64,
            batch_schedule: BatchSchedule::Constant,
            micro_batch: None,
            ghost_batch: None,
            epochs: 100,
            patience: None,
            optimizer: OptimizerSettings::Adam(AdamSettings::default()),
            schedule: Schedule::default(),
            seed: 0,
            dtype: "f32".into(),
            checkpoint_every: None,
            observe: Vec::new(),
            observe_every: 1,
        }
    }
}

impl Settings {
    /// Refuses what cannot be run, before anything is read or written.
    ///
    /// # Errors
    /// Names the setting, what was expected and what was found.
    pub fn check(&self) -> Result<()> {
        self.dtype()?;
        self.loss()?;
        self.optimizer.check()?;
        let at_least_one = [
            ("batch size", Some(self.batch_size as u64)),
            ("micro-batch", self.micro_batch.map(|size| size as u64)),
            ("ghost batch", self.ghost_batch.map(|size| size as u64)),
            ("number of epochs", Some(self.epochs)),
            ("patience", self.patience),
            ("number of epochs between checkpoints", self.checkpoint_every),
            ("number of epochs between observations", Some(self.observe_every)),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == Some(0)) {
            return Err(Error::input(format!("the {name} is 0"), "give at least 1").into());
        }
        self.discard.check()?;
        self.dropout.check()?;
        self.adversarial.check()?;
        self.schedule.check()?;
        self.batch_schedule.check(self.batch_size)?;
        self.check_division()?;
        let own_rate = matches!(self.batch_schedule, BatchSchedule::First { .. });
        if self.optimizer.learning_rate() == LearningRate::Automatic
            && (own_rate || self.schedule.scaling != Scaling::None)
        {
            return Err(Error::input(
                "an automatic learning rate follows the curvature of the batch at hand",
                "leave out the scaling and the first epochs' own learning rate, or give a learning rate",
            )
            .into());
        }
        Ok(())
    }

    /// A ghost batch is normalised as one.
    fn check_division(&self) -> Result<()> {
        match (self.micro_batch, self.ghost_batch) {
            (Some(micro), Some(ghost)) if micro < ghost => Err(Error::input(
                format!("micro-batches of {micro} samples would divide the ghost batches of {ghost}"),
                "give a ghost batch of at most the micro-batch",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// The numbers to compute in.
    ///
    /// # Errors
    /// When the name is neither `f32` nor `f64`.
    pub fn dtype(&self) -> Result<DType> {
        match self.dtype.as_str() {
            "f32" => Ok(DType::F32),
            "f64" => Ok(DType::F64),
            other => Err(Error::input(format!("unknown dtype `{other}`"), "known: f32, f64").into()),
        }
    }

    /// The loss, where one is named.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn loss(&self) -> Result<Option<LossSpec>> {
        Ok(self.loss.as_deref().map(str::parse).transpose()?)
    }
}
