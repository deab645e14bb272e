//! Where a run stands between two steps, and the file that keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::Error as ObjectiveError;
use basin_objective::weights::{self, Weights};
use basin_tape::vector;
use candle_core::{Device, Tensor, Var};

use crate::Result;
use crate::batch_schedule::BatchSchedule;
use crate::controller::Controller;
use crate::observables::AlongSteps;
use crate::optimizers::Optimizer;
use crate::problem::Start;
use crate::settings::Settings;

/// The fields of a [`Controller`] in the file.
const CONTROLLER: [&str; 3] = ["controller.largest", "controller.condition", "controller.cost"];
/// Where the sums of what was observed along the steps stand in the file, and the number of these steps.
const OBSERVED: &str = "observed.";
const OBSERVED_STEPS: &str = "observed_steps";

/// What a run that diverged goes back to.
#[derive(Debug)]
pub(crate) struct Before {
    theta: Tensor,
    buffers: Tensor,
    step: u64,
}

/// What was in use in the last update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InUse {
    /// NaN before the first update.
    pub(crate) learning_rate: f64,
    /// Samples of a step; the last one of an epoch may hold fewer.
    pub(crate) batch_size: usize,
}

/// Where tests of the gradient's variance have brought the batch size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tested {
    pub(crate) batch_size: usize,
    /// Gradients of single samples since the epoch began.
    pub(crate) cost: u64,
}

/// Everything the next step depends on, beside the settings. Shuffling is drawn anew for each epoch from the seed, so
/// that the position in the epoch stands for the state of the generator.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) theta: Var,
    pub(crate) buffers: Tensor,
    pub(crate) optimizer: Optimizer,
    /// Whole epochs done.
    pub(crate) epoch: u64,
    /// Samples done in the current epoch: batches may have different sizes.
    pub(crate) done: usize,
    /// Steps done, those on batches without a counted label included.
    pub(crate) step: u64,
    /// What an automatic learning rate follows from, once it was measured.
    pub(crate) controller: Option<Controller>,
    /// Updates of the optimizer done.
    pub(crate) updates: u64,
    /// What was observed along the steps of the current epoch.
    pub(crate) along_steps: AlongSteps,
    /// What the end of the epoch records.
    pub(crate) in_use: InUse,
    /// The batch size where tests decide it.
    pub(crate) tested: Option<Tested>,
    /// What was before the last update, until the end of the epoch shows that its loss is a number: what is left of a
    /// run that diverged. It is saved too, so that a run stopped in between ends with the same weights.
    pub(crate) before: Option<Before>,
    /// The lowest train loss so far that counted as an improvement, and the epoch in which it was reached.
    pub(crate) best: (f64, u64),
}

impl State {
    pub(crate) fn initial(start: &Start, settings: &Settings, device: &Device) -> Result<Self> {
        let theta = Var::from_tensor(&start.parameters.to_device(device)?.copy()?)?;
        let optimizer = Optimizer::new(&theta, &start.layout, settings.seed, &settings.optimizer)?;
        let buffers = placed(start.buffers.clone(), device)?;
        let best = (f64::INFINITY, 0);
        let tests = matches!(settings.batch_schedule, BatchSchedule::Test { .. });
        Ok(Self {
            theta,
            buffers,
            optimizer,
            epoch: 0,
            done: 0,
            step: 0,
            controller: None,
            updates: 0,
            along_steps: AlongSteps::default(),
            in_use: InUse { learning_rate: f64::NAN, batch_size: settings.batch_size },
            tested: tests.then_some(Tested { batch_size: settings.batch_size, cost: 0 }),
            before: None,
            best,
        })
    }

    /// Notes what is there before an update.
    pub(crate) fn remember(&mut self) -> Result<()> {
        let theta = self.theta.as_detached_tensor().copy()?;
        self.before = Some(Before { theta, buffers: self.buffers.clone(), step: self.step });
        Ok(())
    }

    /// θ before the last update.
    pub(crate) fn theta_before(&self) -> Option<&Tensor> {
        self.before.as_ref().map(|before| &before.theta)
    }

    /// Puts back weights and buffers as they were before the last update; the state can be looked at but not continued.
    pub(crate) fn go_back(&mut self) -> Result<()> {
        if let Some(Before { theta, buffers, step }) = self.before.take() {
            self.theta.set(&theta)?;
            (self.buffers, self.step) = (buffers, step);
        }
        Ok(())
    }

    /// Whether weights and buffers are numbers.
    pub(crate) fn is_finite(&self) -> Result<bool> {
        for vector in [&self.theta.as_detached_tensor(), &self.buffers] {
            // 0 x is 0, or NaN where x is NaN or infinite.
            if vector.elem_count() > 0 && vector::total(&(vector * 0.0)?)?.is_nan() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut tensors =
            vec![("theta".to_owned(), self.theta.as_detached_tensor()), ("buffers".to_owned(), self.buffers.clone())];
        tensors.extend(self.optimizer.state()?.into_iter().map(|(name, tensor)| (format!("optimizer.{name}"), tensor)));
        let mut metadata = BTreeMap::from([
            ("epoch".to_owned(), self.epoch.to_string()),
            ("done".to_owned(), self.done.to_string()),
            ("step".to_owned(), self.step.to_string()),
            ("updates".to_owned(), self.updates.to_string()),
            ("learning_rate".to_owned(), self.in_use.learning_rate.to_bits().to_string()),
            ("batch_size".to_owned(), self.in_use.batch_size.to_string()),
            ("best_loss".to_owned(), self.best.0.to_bits().to_string()),
            ("best_epoch".to_owned(), self.best.1.to_string()),
        ]);
        metadata.insert(OBSERVED_STEPS.to_owned(), self.along_steps.steps.to_string());
        let sums = self.along_steps.sums.iter();
        metadata.extend(sums.map(|(name, sum)| (format!("{OBSERVED}{name}"), sum.to_bits().to_string())));
        if let Some(Controller { largest, condition, cost }) = self.controller {
            let values = CONTROLLER.into_iter().zip([largest, condition, cost]);
            metadata.extend(values.map(|(key, value)| (key.to_owned(), value.to_bits().to_string())));
        }
        if let Some(Tested { batch_size, cost }) = self.tested {
            metadata.insert("tested_batch_size".to_owned(), batch_size.to_string());
            metadata.insert("tested_cost".to_owned(), cost.to_string());
        }
        if let Some(Before { theta, buffers, step }) = &self.before {
            tensors.push(("before.theta".to_owned(), theta.clone()));
            tensors.push(("before.buffers".to_owned(), buffers.clone()));
            metadata.insert("before_step".to_owned(), step.to_string());
        }
        Ok(weights::write(path, &tensors, &metadata)?)
    }

    /// The state that `path` holds for a run with this start and these settings.
    pub(crate) fn read(path: &Path, start: &Start, settings: &Settings, device: &Device) -> Result<Self> {
        let damaged = |what: &str| {
            ObjectiveError::input(
                format!("`{}` is not the state of this run: {what}", path.display()),
                "remove the file to start the run again",
            )
        };
        let weights = Weights::read(path)?;
        let number = |key: &str| -> Result<u64> {
            let value = weights.metadata.get(key).and_then(|value| value.parse().ok());
            Ok(value.ok_or_else(|| damaged(&format!("metadata `{key}` is missing")))?)
        };
        let mut state = Self::initial(start, settings, device)?;
        let vector = |name: &str, like: &Tensor| -> Result<Tensor> {
            let tensor = weights.tensors.get(name).filter(|t| t.dims() == like.dims() && t.dtype() == like.dtype());
            let tensor = tensor.ok_or_else(|| damaged(&format!("tensor `{name}` is missing or misshapen")))?;
            placed(tensor.clone(), device)
        };
        state.theta.set(&vector("theta", &state.theta)?)?;
        state.buffers = vector("buffers", &state.buffers)?;
        state.epoch = number("epoch")?;
        state.done = number("done")? as usize;
        state.step = number("step")?;
        state.updates = number("updates")?;
        if weights.metadata.contains_key(OBSERVED_STEPS) {
            state.along_steps.steps = number(OBSERVED_STEPS)?;
        }
        for (key, name) in weights.metadata.keys().filter_map(|key| Some((key, key.strip_prefix(OBSERVED)?))) {
            state.along_steps.sums.insert(name.to_owned(), f64::from_bits(number(key)?));
        }
        state.in_use = InUse {
            learning_rate: f64::from_bits(number("learning_rate")?),
            batch_size: number("batch_size")? as usize,
        };
        if let Some(tested) = &mut state.tested {
            let batch_size = number("tested_batch_size")? as usize;
            if batch_size < settings.batch_size {
                return Err(damaged(&format!("batches of {batch_size} samples have shrunk")).into());
            }
            *tested = Tested { batch_size, cost: number("tested_cost")? };
        }
        if weights.metadata.contains_key("before_step") {
            state.before = Some(Before {
                theta: vector("before.theta", &state.theta)?,
                buffers: vector("before.buffers", &state.buffers)?,
                step: number("before_step")?,
            });
        }
        state.best = (f64::from_bits(number("best_loss")?), number("best_epoch")?);
        if weights.metadata.contains_key(CONTROLLER[0]) {
            let mut values = [0.0; CONTROLLER.len()];
            for (value, key) in values.iter_mut().zip(CONTROLLER) {
                *value = f64::from_bits(number(key)?);
            }
            let [largest, condition, cost] = values;
            let controller = Controller { largest, condition, cost };
            state.optimizer.set_momentum(controller.choice());
            state.controller = Some(controller);
        }
        state.optimizer.restore(state.updates, |name, like| vector(&format!("optimizer.{name}"), like))?;
        Ok(state)
    }
}

/// A vector on a device. CUDA has no empty memory: one without elements stays on the host.
fn placed(vector: Tensor, device: &Device) -> Result<Tensor> {
    Ok(if vector.elem_count() == 0 { vector } else { vector.to_device(device)? })
}
