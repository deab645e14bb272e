//! The training loop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::{BatchNorm, Model, ModelSpec};
use basin_objective::{
    Error as ObjectiveError, LossSpec, Network, NetworkOptions, Objective, batch_statistics, random,
};
use basin_records::Training;
use basin_records::training::{Epoch, Settings as RecordedSettings};
use basin_tape::{Linearization, Tape};
use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;

use crate::batch::TrainingBatch;
use crate::checkpoint::CheckpointMetadata;
use crate::controller::BatchGaussNewton;
use crate::directory::RunDirectory;
use crate::optimizers::Batch as _;
use crate::settings::Settings;
use crate::state::State;
use crate::{Error, LearningRate, Result};

/// PyTorch's default weight of a batch in running statistics.
const STATISTICS_MOMENTUM: f64 = 0.1;
/// Relative fall of the train loss that counts as an improvement.
const IMPROVEMENT: f64 = 0.01;
/// Time between two saved states within an epoch.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// What a run reports while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was taken.
    Step {
        /// Steps done, over all epochs.
        step: u64,
        /// Steps of the whole run, should it last for all its epochs.
        steps: u64,
        /// The mean loss of the batch before the step; NaN for a batch whose labels are all ignored, which changes no
        /// weight.
        loss: f64,
    },
    /// An epoch ended.
    Epoch(&'a Epoch),
}

/// A finished run.
#[derive(Debug)]
pub struct Run {
    /// What happened, epoch by epoch.
    pub history: Training,
    /// The weights at its end, always finite. A run that diverged ends with the weights before its last step: the last
    /// ones of which a loss that is a number was seen.
    pub checkpoint: PathBuf,
    /// The checkpoints along the way, with the epochs after which they were written.
    pub along: Vec<(u64, PathBuf)>,
    /// The loss that was trained on.
    pub loss: LossSpec,
    /// The number of training samples.
    pub samples: usize,
    /// The fingerprint of the training samples.
    pub fingerprint: String,
    /// The steps that this call took: 0 when the run was already finished.
    pub steps_taken: u64,
    /// Why training diverged, if it did, see [`Run::checkpoint`].
    pub diverged: Option<Error>,
}

/// [`train_on`] the CPU.
///
/// # Errors
/// As [`train_on`].
pub fn train(
    settings: &Settings,
    directory: &Path,
    observe: &mut dyn FnMut(&Event) -> basin_objective::Result<()>,
) -> Result<Run> {
    train_on(&Device::Cpu, settings, directory, observe)
}

/// Trains in `directory`, or goes on where an earlier call with the same settings stopped. Samples, weights and the
/// optimizer's state lie on the device; checkpoints are copied from there.
///
/// `observe` sees every step; when it returns an error the state is saved and the error returned, so that the same call
/// continues. The weights at the end do not depend on how often the run was stopped.
///
/// # Errors
/// When settings, data and model do not belong together, the directory holds another run, or a file cannot be written.
/// A loss that leaves the numbers is no error: it ends the run, see [`Run::diverged`].
pub fn train_on(
    device: &Device,
    settings: &Settings,
    directory: &Path,
    observe: &mut dyn FnMut(&Event) -> basin_objective::Result<()>,
) -> Result<Run> {
    settings.check()?;
    let problem = Problem::load(settings)?;
    let directory = RunDirectory::open(directory, settings)?;
    let mut state = match directory.state().exists() {
        true => State::read(&directory.state(), &problem.model, settings, device)?,
        false => State::initial(&problem.model, settings, device)?,
    };
    let epochs = directory.resume_history(state.epoch)?;
    let (problem, directory) = (&problem, &directory);
    Trainer { device, settings, problem, directory, epochs, steps_taken: 0, saved: Instant::now() }
        .run(&mut state, observe)
}

/// Refuses settings that cannot be trained with, reading the data but writing nothing.
///
/// The number of parameters of the model is returned.
///
/// # Errors
/// When settings, data and model do not belong together.
pub fn check(settings: &Settings) -> Result<usize> {
    settings.check()?;
    Ok(Problem::load(settings)?.model.parameters().len())
}

/// What is trained on what.
struct Problem {
    model: Model,
    loss: LossSpec,
    train: Dataset,
    test: Option<Dataset>,
}

impl Problem {
    fn load(settings: &Settings) -> Result<Self> {
        let data: DataSpec = settings.data.parse()?;
        let spec: ModelSpec = settings.model.parse()?;
        let mut train = Dataset::load(&data, Split::Train)?;
        if let Some(samples) = settings.samples {
            train = train.take(samples)?;
        }
        if settings.batch_size > train.samples() {
            return Err(ObjectiveError::input(
                format!("the batch size is {}, the data has {} samples", settings.batch_size, train.samples()),
                "give a batch size of at most the number of samples",
            )
            .into());
        }
        if settings.optimizer.needs_all_samples() && settings.batch_size < train.samples() {
            return Err(ObjectiveError::input(
                format!(
                    "{} needs all samples in each step: the batch size is {}, the data has {} samples",
                    settings.optimizer.name(),
                    settings.batch_size,
                    train.samples()
                ),
                format!("give `--batch-size {}`, or fewer samples", train.samples()),
            )
            .into());
        }
        let loss = settings.loss()?.unwrap_or_else(|| LossSpec::default_for(&train));
        let model = Model::new(&spec, train.sample_shape(), loss.outputs(&train)?)?;
        let test = Dataset::load_if_any(&data, Split::Test)?;
        Ok(Self { model, loss, train, test })
    }

    fn network(&self, data: &Dataset, dtype: DType, device: &Device, buffers: &Tensor) -> Result<Network<'_>> {
        let options = NetworkOptions { dtype, device: device.clone(), ..NetworkOptions::default() };
        Ok(Network::new(&self.model, buffers, self.loss, data, options)?)
    }
}

struct Trainer<'a> {
    device: &'a Device,
    settings: &'a Settings,
    problem: &'a Problem,
    directory: &'a RunDirectory,
    epochs: Vec<Epoch>,
    steps_taken: u64,
    saved: Instant,
}

impl Trainer<'_> {
    fn run(mut self, state: &mut State, observe: &mut dyn FnMut(&Event) -> basin_objective::Result<()>) -> Result<Run> {
        let dtype = self.settings.dtype()?;
        let mut train = self.problem.network(&self.problem.train, dtype, self.device, &state.buffers)?;
        let test = self.problem.test.as_ref();
        let mut test = test.map(|test| self.problem.network(test, dtype, self.device, &state.buffers)).transpose()?;
        let mut reason = self.finished(state);
        let mut diverged = None;
        while reason.is_none() {
            match self.epoch(state, &train, observe).and_then(|()| self.end_epoch(state, &mut train, test.as_mut())) {
                Err(error @ Error::Diverged { .. }) => {
                    reason = Some("diverged".into());
                    diverged = Some(error);
                    state.go_back()?;
                    break;
                }
                other => other?,
            }
            if let Some(epoch) = self.epochs.last() {
                observe(&Event::Epoch(epoch))?;
            }
            reason = self.finished(state);
        }
        let checkpoint = self.directory.last_checkpoint();
        self.write_checkpoint(state, &checkpoint)?;
        Ok(Run {
            checkpoint,
            loss: self.problem.loss,
            samples: self.problem.train.samples(),
            fingerprint: self.problem.train.fingerprint()?,
            along: self.checkpoints_along(state.epoch),
            history: Training {
                settings: self.recorded_settings(),
                epochs: self.epochs,
                reason: reason.unwrap_or_default(),
            },
            steps_taken: self.steps_taken,
            diverged,
        })
    }

    /// Why the run is over, if it is.
    fn finished(&self, state: &State) -> Option<String> {
        let patience = self.settings.patience.unwrap_or(u64::MAX);
        if state.epoch >= self.settings.epochs {
            Some("epochs".into())
        } else if state.epoch.saturating_sub(state.best.1) >= patience {
            Some("loss stopped improving".into())
        } else {
            None
        }
    }

    fn batches_per_epoch(&self) -> usize {
        self.problem.train.samples().div_ceil(self.settings.batch_size)
    }

    /// The learning rate of a step.
    fn learning_rate(&self, state: &State, step: u64) -> f64 {
        let factor = self.settings.schedule.factor(step, self.batches_per_epoch() as u64, self.settings.epochs);
        let full = match self.settings.optimizer.learning_rate() {
            LearningRate::Fixed(learning_rate) => learning_rate,
            LearningRate::Automatic => state.controller.unwrap_or_default().choice().learning_rate,
        };
        full * factor
    }

    /// Chooses learning rate and momentum anew where they are automatic and it is time.
    fn control(&self, state: &mut State, linearization: &Linearization, weight: f64) -> Result<()> {
        let automatic = self.settings.optimizer.learning_rate() == LearningRate::Automatic;
        let before = state.controller.unwrap_or_default();
        if !automatic || !before.is_due(state.updates) {
            return Ok(());
        }
        let dtype = self.settings.dtype()?;
        let batch = BatchGaussNewton { linearization, weight, device: self.device, dtype };
        let seed = self.settings.seed.wrapping_add(state.updates);
        let controller = before.measured(&batch, seed).map_err(|error| match error {
            ObjectiveError::NotFinite { .. } => self.diverged(state, f64::NAN),
            error => error.into(),
        })?;
        state.optimizer.set_momentum(controller.choice());
        state.controller = Some(controller);
        Ok(())
    }

    /// The error of a step that is not taken.
    fn diverged(&self, state: &State, loss: f64) -> Error {
        let learning_rate = self.learning_rate(state, state.step);
        Error::Diverged { loss, step: state.step + 1, epoch: state.epoch + 1, learning_rate }
    }

    /// What an automatic learning rate followed from and what it cost in this epoch.
    fn observed(&self, state: &mut State) -> BTreeMap<String, f64> {
        let Some(controller) = &mut state.controller else { return BTreeMap::new() };
        let observed = [
            ("momentum", controller.choice().momentum),
            ("ritz_largest", controller.largest),
            ("ritz_bulk", controller.smallest()),
            ("controller_gradient_equivalents", std::mem::take(&mut controller.cost)),
        ];
        observed.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The steps of the current epoch that are still to do.
    fn epoch(
        &mut self,
        state: &mut State,
        train: &Network,
        observe: &mut dyn FnMut(&Event) -> basin_objective::Result<()>,
    ) -> Result<()> {
        let mut order: Vec<u32> = (0..self.problem.train.samples() as u32).collect();
        order.shuffle(&mut random::stream(self.settings.seed, "shuffle", &state.epoch.to_string()));
        let steps = self.batches_per_epoch() as u64 * self.settings.epochs;
        for batch in order.chunks(self.settings.batch_size).skip(state.batch) {
            let loss = self.step(state, train, batch)?;
            let interrupted = observe(&Event::Step { step: state.step, steps, loss });
            if interrupted.is_err() || self.saved.elapsed() > SAVE_EVERY {
                state.write(&self.directory.state())?;
                self.saved = Instant::now();
            }
            interrupted?;
        }
        Ok(())
    }

    /// One optimizer step on the samples at `positions`; the mean loss before it.
    fn step(&mut self, state: &mut State, train: &Network, positions: &[u32]) -> Result<f64> {
        let program = self.problem.model.program(BatchNorm::Batch);
        let loss = self.problem.loss.build();
        let samples = train.select(positions)?;
        if samples.weight == 0.0 {
            self.count(state);
            return Ok(f64::NAN);
        }
        let theta = state.theta.as_detached_tensor();
        let batch = TrainingBatch::new(program, loss.as_ref(), &samples, &theta, &state.buffers)?;
        if !batch.loss().is_finite() {
            return Err(self.diverged(state, batch.loss()));
        }
        self.control(state, batch.linearization(), samples.weight)?;
        let learning_rate = self.learning_rate(state, state.step);
        let buffers = updated_statistics(batch.linearization().tape(), &state.buffers)?;
        state.remember()?;
        state.optimizer.step(&state.theta, &batch, learning_rate)?;
        state.buffers = buffers;
        state.updates += 1;
        self.count(state);
        if !state.is_finite()? {
            // Not every such weight shows in the loss: max(NaN, 0) may be 0.
            let (step, epoch) = (state.step, state.epoch + 1);
            return Err(Error::Diverged { loss: f64::NAN, step, epoch, learning_rate });
        }
        Ok(batch.loss())
    }

    fn count(&mut self, state: &mut State) {
        state.step += 1;
        state.batch += 1;
        self.steps_taken += 1;
    }

    /// Measures, notes and saves the end of an epoch. The state is written last: a kill before it repeats the epoch.
    fn end_epoch(&mut self, state: &mut State, train: &mut Network, test: Option<&mut Network>) -> Result<()> {
        let theta = state.theta.as_detached_tensor();
        train.set_buffers(&state.buffers)?;
        let measured = train.evaluate(&theta)?;
        if !measured.loss.is_finite() {
            let learning_rate = self.learning_rate(state, state.step.saturating_sub(1));
            let (loss, step, epoch) = (measured.loss, state.step, state.epoch + 1);
            return Err(Error::Diverged { loss, step, epoch, learning_rate });
        }
        let tested = match test {
            Some(test) => {
                test.set_buffers(&state.buffers)?;
                Some(test.evaluate(&theta)?)
            }
            None => None,
        };
        state.epoch += 1;
        state.batch = 0;
        state.before = None;
        if measured.loss < state.best.0 * (1.0 - IMPROVEMENT) {
            state.best = (measured.loss, state.epoch);
        }
        let epoch = Epoch {
            epoch: state.epoch,
            step: state.step,
            train_loss: measured.loss,
            train_accuracy: measured.accuracy,
            test_loss: tested.map(|tested| tested.loss),
            test_accuracy: tested.and_then(|tested| tested.accuracy),
            learning_rate: self.learning_rate(state, state.step.saturating_sub(1)),
            batch_size: self.settings.batch_size as u64,
            observed: self.observed(state),
        };
        if self.settings.checkpoint_every.is_some_and(|every| state.epoch.is_multiple_of(every)) {
            self.write_checkpoint(state, &self.directory.checkpoint(state.epoch))?;
        }
        self.directory.append(&epoch)?;
        self.epochs.push(epoch);
        state.write(&self.directory.state())?;
        self.saved = Instant::now();
        Ok(())
    }

    fn checkpoints_along(&self, epochs: u64) -> Vec<(u64, PathBuf)> {
        let every = self.settings.checkpoint_every.unwrap_or(u64::MAX);
        (1..=epochs).filter(|epoch| epoch.is_multiple_of(every)).map(|e| (e, self.directory.checkpoint(e))).collect()
    }

    fn write_checkpoint(&self, state: &State, path: &Path) -> Result<()> {
        let metadata = CheckpointMetadata {
            model: Some(self.problem.model.name().to_string()),
            data: Some(self.settings.data.clone()),
            loss: Some(self.problem.loss.to_string()),
            epoch: Some(state.epoch),
            step: Some(state.step),
            batch_size: Some(self.settings.batch_size as u64),
            optimizer: Some(self.settings.optimizer.name().into()),
            seed: Some(self.settings.seed),
            samples: self.settings.samples.map(|samples| samples as u64),
        };
        metadata.write(path, &self.problem.model, &state.theta.as_detached_tensor(), &state.buffers)
    }

    fn recorded_settings(&self) -> RecordedSettings {
        let settings = serde_json::to_value(self.settings).unwrap_or_default();
        let others = settings.as_object().into_iter().flatten();
        let named = ["model", "optimizer", "batch_size", "epochs", "seed"];
        let mut others: BTreeMap<_, _> =
            others.filter(|(key, _)| !named.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
        others.insert("optimizer_settings".into(), settings["optimizer"].clone());
        RecordedSettings {
            model: self.settings.model.clone(),
            optimizer: self.settings.optimizer.name().into(),
            learning_rate: match self.settings.optimizer.learning_rate() {
                LearningRate::Fixed(learning_rate) => learning_rate,
                LearningRate::Automatic => f64::NAN,
            },
            batch_size: self.settings.batch_size as u64,
            epochs: self.settings.epochs,
            seed: self.settings.seed,
            others,
        }
    }
}

/// Running means and variances after a batch, as PyTorch moves them: with the unbiased variance of the batch. A batch
/// of one value per channel has none and leaves them as they are.
fn updated_statistics(tape: &Tape, buffers: &Tensor) -> Result<Tensor> {
    let program = tape.program();
    let mut views: Vec<Option<Tensor>> = program.buffers().views(buffers)?.into_iter().map(Some).collect();
    for (index, batch) in batch_statistics(tape)? {
        if let Some(running) = views[index].take() {
            let moved = ((running * (1.0 - STATISTICS_MOMENTUM))? + (batch * STATISTICS_MOMENTUM)?)?;
            views[index] = Some(moved);
        }
    }
    Ok(program.buffers().join(views, buffers.dtype(), buffers.device())?)
}
