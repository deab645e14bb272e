//! The training loop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basin_objective::{Error as ObjectiveError, LossSpec, Network, Objective, SampledNetwork, random};
use basin_records::Training;
use basin_records::training::{Epoch, Settings as RecordedSettings};
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;

use crate::batch::{BatchAt, Drawn, Gradient, StepAt, TrainingBatch};
use crate::batch_schedule::{BatchSchedule, Stage};
use crate::checkpoint::CheckpointMetadata;
use crate::controller::BatchGaussNewton;
use crate::directory::RunDirectory;
use crate::observables::{AtEpoch, Observable, Update};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::state::{InUse, State};
use crate::{Error, LearningRate, Result};

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
        /// Steps of the whole run, should it last for all its epochs and no test enlarge its batches any more.
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
        true => State::read(&directory.state(), &problem.start, settings, device)?,
        false => State::initial(&problem.start, settings, device)?,
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
        if self.settings.checkpoint_every.is_some() && state.step == 0 {
            self.write_checkpoint(state, &self.directory.checkpoint(0))?;
        }
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
            loss: self.problem.loss.clone(),
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

    fn stage(&self, epoch: u64) -> Stage {
        self.settings.batch_schedule.stage(epoch, self.settings.batch_size, self.problem.train.samples())
    }

    /// Samples of a step in an epoch, as far as is known now.
    fn batch_size(&self, state: &State, epoch: u64) -> usize {
        state.tested.map_or_else(|| self.stage(epoch).batch_size, |tested| tested.batch_size)
    }

    /// Steps that are still to do.
    fn steps_left(&self, state: &State) -> u64 {
        let samples = self.problem.train.samples();
        let steps = |epoch: u64, samples: usize| samples.div_ceil(self.batch_size(state, epoch)) as u64;
        let later = (state.epoch + 1..self.settings.epochs).map(|epoch| steps(epoch, samples));
        steps(state.epoch, samples - state.done) + later.sum::<u64>()
    }

    /// The learning rate of the next step, on so many samples.
    fn learning_rate(&self, state: &State, samples: usize) -> f64 {
        let Settings { schedule, optimizer, batch_size, epochs, .. } = self.settings;
        let progress = |done: usize| state.epoch as f64 + done as f64 / self.problem.train.samples() as f64;
        let stage = self.stage(state.epoch);
        let full = stage.learning_rate.unwrap_or_else(|| match optimizer.learning_rate() {
            LearningRate::Fixed(learning_rate) => learning_rate * schedule.scale(*batch_size),
            LearningRate::Automatic => state.controller.unwrap_or_default().choice().learning_rate,
        });
        let step = progress(state.done)..progress(state.done + samples);
        full * stage.factor * schedule.factor(step, *epochs, *batch_size)
    }

    /// Chooses learning rate and momentum anew where they are automatic and it is time.
    fn control(&self, state: &mut State, batch: &BatchAt, samples: usize) -> Result<()> {
        let automatic = self.settings.optimizer.learning_rate() == LearningRate::Automatic;
        let before = state.controller.unwrap_or_default();
        if !automatic || !before.is_due(state.updates) {
            return Ok(());
        }
        let dtype = self.settings.dtype()?;
        let dimension = self.problem.model.parameters().len();
        let matrix = BatchGaussNewton { batch, dimension, device: self.device, dtype };
        let seed = self.settings.seed.wrapping_add(state.updates);
        let controller = before.measured(&matrix, batch.kept_share(), seed).map_err(|error| match error {
            ObjectiveError::NotFinite { .. } => self.diverged(state, f64::NAN, samples),
            error => error.into(),
        })?;
        state.optimizer.set_momentum(controller.choice());
        state.controller = Some(controller);
        Ok(())
    }

    /// Chooses the size of the next batches where a test does and it is time.
    fn test_variance(&self, state: &mut State, batch: &BatchAt, gradient: &Tensor, samples: usize) -> Result<()> {
        let BatchSchedule::Test { test, interval, largest } = self.settings.batch_schedule else { return Ok(()) };
        if let Some(tested) = &mut state.tested
            && state.updates.is_multiple_of(interval)
        {
            let largest = largest.unwrap_or(self.problem.train.samples());
            tested.batch_size = test.next_batch_size(&batch.gradient_moments(gradient)?, tested.batch_size, largest);
            tested.cost += samples as u64;
        }
        Ok(())
    }

    /// The error of a step on so many samples that is not taken.
    fn diverged(&self, state: &State, loss: f64, samples: usize) -> Error {
        let learning_rate = self.learning_rate(state, samples);
        Error::Diverged { loss, step: state.step + 1, epoch: state.epoch + 1, learning_rate }
    }

    /// Adds a step to what is observed along them.
    fn observe_step(&self, state: &mut State, gradient: &Tensor, learning_rate: f64) -> Result<()> {
        let after = state.theta.as_detached_tensor();
        let Some(before) = state.theta_before().cloned() else { return Ok(()) };
        let update = Update { gradient, before: &before, after: &after, learning_rate };
        state.along_steps.add(&self.settings.observe, self.problem.model.parameters(), &update)
    }

    /// What was observed along the steps of the epoch that ends and is at its end, what an automatic learning rate followed from, and
    /// what it and tests of the batch size cost.
    fn observed(&self, state: &mut State, train: &Network) -> Result<BTreeMap<String, f64>> {
        let mut observed = state.along_steps.take();
        observed.extend(self.at_epoch(state, train)?);
        if let Some(controller) = &mut state.controller {
            let followed = [
                ("momentum", controller.choice().momentum),
                ("ritz_largest", controller.largest),
                ("ritz_bulk", controller.smallest()),
                ("controller_gradient_equivalents", std::mem::take(&mut controller.cost)),
            ];
            observed.extend(followed.map(|(name, value)| (name.to_owned(), value)));
        }
        if let Some(tested) = &mut state.tested {
            observed.insert("batch_test_sample_gradients".to_owned(), std::mem::take(&mut tested.cost) as f64);
        }
        Ok(observed)
    }

    fn at_epoch(&self, state: &State, train: &Network) -> Result<BTreeMap<String, f64>> {
        let (settings, problem) = (self.settings, self.problem);
        let due = state.epoch.is_multiple_of(settings.observe_every);
        let wanted: Vec<Observable> = settings.observe.iter().copied().filter(|one| due || !one.is_dear()).collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let dtype = settings.dtype()?;
        let at = AtEpoch {
            objective: train,
            batches: &SampledNetwork {
                model: &problem.model,
                buffers: &state.buffers,
                loss: problem.loss.clone(),
                data: &problem.train,
                options: problem.options(dtype, self.device),
            },
            layout: problem.model.parameters(),
            theta: &state.theta.as_detached_tensor(),
            initial: &problem.start.parameters.to_device(self.device)?,
            batch_size: state.in_use.batch_size,
            learning_rate: state.in_use.learning_rate,
            seed: settings.seed.wrapping_add(state.epoch),
        };
        at.observe(&wanted)
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
        while state.done < order.len() {
            let end = (state.done + self.batch_size(state, state.epoch)).min(order.len());
            let loss = self.step(state, train, &order[state.done..end])?;
            let steps = state.step + self.steps_left(state);
            let interrupted = observe(&Event::Step { step: state.step, steps, loss });
            if interrupted.is_err() || self.saved.elapsed() > SAVE_EVERY {
                state.write(&self.directory.state())?;
                self.saved = Instant::now();
            }
            interrupted?;
        }
        Ok(())
    }

    /// The samples at `positions`, in the parts that a step is computed in, as they are changed for it.
    fn batch<'b>(&self, state: &State, train: &'b Network, positions: &'b [u32]) -> Result<TrainingBatch<'b>>
    where
        Self: 'b,
    {
        let Settings { ghost_batch, micro_batch, augmentation, seed, .. } = *self.settings;
        let part = ghost_batch.or(micro_batch).unwrap_or(positions.len());
        let drawn = Drawn { augmentation, seed, epoch: state.epoch };
        let Problem { training, adversary, loss, .. } = self.problem;
        let batch = TrainingBatch::new(train, training, loss, positions, part, drawn)?;
        match adversary {
            Some(adversary) => Ok(batch.against(adversary, &state.theta.as_detached_tensor(), &state.buffers)?),
            None => Ok(batch),
        }
    }

    /// Which of the samples at `positions` are not discarded.
    fn kept(&self, state: &State, train: &Network, positions: &[u32]) -> Result<Vec<u32>> {
        let discard = self.settings.discard;
        if !discard.is_on(state.epoch) {
            return Ok(positions.to_vec());
        }
        let batch = self.batch(state, train, positions)?;
        let losses = batch.at(&state.theta.as_detached_tensor(), &state.buffers)?.losses()?;
        Ok(discard.kept(&losses).into_iter().map(|place| positions[place]).collect())
    }

    /// One optimizer step on the samples at `positions`; the mean loss before it.
    fn step(&mut self, state: &mut State, train: &Network, positions: &[u32]) -> Result<f64> {
        let samples = positions.len();
        let kept = self.kept(state, train, positions)?;
        let batch = self.batch(state, train, &kept)?;
        if batch.weight() == 0.0 {
            self.count(state, samples);
            return Ok(f64::NAN);
        }
        let at = batch.at(&state.theta.as_detached_tensor(), &state.buffers)?;
        let Gradient { loss, gradient, buffers } = at.gradient(&state.buffers)?;
        if !loss.is_finite() {
            return Err(self.diverged(state, loss, samples));
        }
        self.control(state, &at, samples)?;
        let batch_size = self.batch_size(state, state.epoch);
        self.test_variance(state, &at, &gradient, samples)?;
        let learning_rate = self.learning_rate(state, samples);
        state.in_use = InUse { learning_rate, batch_size };
        state.remember()?;
        let step = StepAt { at: &at, buffers: &state.buffers, loss, gradient: &gradient };
        state.optimizer.step(&state.theta, &step, learning_rate)?;
        self.observe_step(state, &gradient, learning_rate)?;
        state.buffers = buffers;
        state.updates += 1;
        self.count(state, samples);
        if !state.is_finite()? {
            // Not every such weight shows in the loss: max(NaN, 0) may be 0.
            let (step, epoch) = (state.step, state.epoch + 1);
            return Err(Error::Diverged { loss: f64::NAN, step, epoch, learning_rate });
        }
        Ok(loss)
    }

    fn count(&mut self, state: &mut State, samples: usize) {
        state.step += 1;
        state.done += samples;
        self.steps_taken += 1;
    }

    /// Measures, notes and saves the end of an epoch. The state is written last: a kill before it repeats the epoch.
    fn end_epoch(&mut self, state: &mut State, train: &mut Network, test: Option<&mut Network>) -> Result<()> {
        let theta = state.theta.as_detached_tensor();
        train.set_buffers(&state.buffers)?;
        let measured = train.evaluate(&theta)?;
        if !measured.loss.is_finite() {
            let InUse { learning_rate, .. } = state.in_use;
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
        state.done = 0;
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
            learning_rate: state.in_use.learning_rate,
            batch_size: state.in_use.batch_size as u64,
            observed: self.observed(state, train)?,
        };
        self.epochs.push(epoch.clone());
        if self.settings.checkpoint_every.is_some_and(|every| state.epoch.is_multiple_of(every)) {
            self.write_checkpoint(state, &self.directory.checkpoint(state.epoch))?;
        }
        self.directory.append(&epoch)?;
        state.write(&self.directory.state())?;
        self.saved = Instant::now();
        Ok(())
    }

    fn checkpoints_along(&self, epochs: u64) -> Vec<(u64, PathBuf)> {
        let every = self.settings.checkpoint_every.unwrap_or(u64::MAX);
        (1..=epochs).filter(|epoch| epoch.is_multiple_of(every)).map(|e| (e, self.directory.checkpoint(e))).collect()
    }

    fn write_checkpoint(&self, state: &State, path: &Path) -> Result<()> {
        // A run that diverged goes back to weights between two epochs, at which nothing was measured.
        let measured = self.epochs.last().filter(|last| last.step == state.step);
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
            start: self.settings.start.clone(),
            inputs: (!self.settings.inputs.is_none()).then(|| self.settings.inputs.to_string()),
            train_loss: measured.map(|epoch| epoch.train_loss),
            train_accuracy: measured.and_then(|epoch| epoch.train_accuracy),
            test_loss: measured.and_then(|epoch| epoch.test_loss),
            test_accuracy: measured.and_then(|epoch| epoch.test_accuracy),
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
