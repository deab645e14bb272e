//! Where a run stands between two steps, and the file that keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::weights::{self, Weights};
use basin_objective::{Error as ObjectiveError, models::Model};
use basin_tape::vector;
use candle_core::{Device, Tensor, Var};

use crate::Result;
use crate::controller::Controller;
use crate::optimizers::Optimizer;
use crate::settings::Settings;

/// The fields of a [`Controller`] in the file.
const CONTROLLER: [&str; 3] = ["controller.largest", "controller.condition", "controller.cost"];

/// What a run that diverged goes back to.
#[derive(Debug)]
pub(crate) struct Before {
    theta: Tensor,
    buffers: Tensor,
    step: u64,
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
    /// Batches done in the current epoch.
    pub(crate) batch: usize,
    /// Steps done, those on batches without a counted label included.
    pub(crate) step: u64,
    /// What an automatic learning rate follows from, once it was measured.
    pub(crate) controller: Option<Controller>,
    /// Updates of the optimizer done.
    pub(crate) updates: u64,
    /// What was before the last update, until the end of the epoch shows that its loss is a number: what is left of a
    /// run that diverged. It is saved too, so that a run stopped in between ends with the same weights.
    pub(crate) before: Option<Before>,
    /// The lowest train loss so far that counted as an improvement, and the epoch in which it was reached.
    pub(crate) best: (f64, u64),
}

impl State {
    pub(crate) fn initial(model: &Model, settings: &Settings, device: &Device) -> Result<Self> {
        let dtype = settings.dtype()?;
        let theta = Var::from_tensor(&model.initial_parameters(settings.seed, dtype)?.to_device(device)?)?;
        let optimizer = Optimizer::new(&theta, model.parameters(), settings.seed, &settings.optimizer)?;
        let buffers = placed(model.initial_buffers(dtype)?, device)?;
        let best = (f64::INFINITY, 0);
        Ok(Self {
            theta,
            buffers,
            optimizer,
            epoch: 0,
            batch: 0,
            step: 0,
            controller: None,
            updates: 0,
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
            ("batch".to_owned(), self.batch.to_string()),
            ("step".to_owned(), self.step.to_string()),
            ("updates".to_owned(), self.updates.to_string()),
            ("best_loss".to_owned(), self.best.0.to_bits().to_string()),
            ("best_epoch".to_owned(), self.best.1.to_string()),
        ]);
        if let Some(Controller { largest, condition, cost }) = self.controller {
            let values = CONTROLLER.into_iter().zip([largest, condition, cost]);
            metadata.extend(values.map(|(key, value)| (key.to_owned(), value.to_bits().to_string())));
        }
        if let Some(Before { theta, buffers, step }) = &self.before {
            tensors.push(("before.theta".to_owned(), theta.clone()));
            tensors.push(("before.buffers".to_owned(), buffers.clone()));
            metadata.insert("before_step".to_owned(), step.to_string());
        }
        Ok(weights::write(path, &tensors, &metadata)?)
    }

    /// The state that `path` holds for this model and these settings.
    pub(crate) fn read(path: &Path, model: &Model, settings: &Settings, device: &Device) -> Result<Self> {
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
        let mut state = Self::initial(model, settings, device)?;
        let vector = |name: &str, like: &Tensor| -> Result<Tensor> {
            let tensor = weights.tensors.get(name).filter(|t| t.dims() == like.dims() && t.dtype() == like.dtype());
            let tensor = tensor.ok_or_else(|| damaged(&format!("tensor `{name}` is missing or misshapen")))?;
            placed(tensor.clone(), device)
        };
        state.theta.set(&vector("theta", &state.theta)?)?;
        state.buffers = vector("buffers", &state.buffers)?;
        state.epoch = number("epoch")?;
        state.batch = number("batch")? as usize;
        state.step = number("step")?;
        state.updates = number("updates")?;
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
