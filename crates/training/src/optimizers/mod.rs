//! Optimizers that keep candle-nn's interface, and give their state away so that a run can be resumed bit for bit.

mod adam;
mod sgd;

pub use adam::{Adam, AdamSettings};
pub use sgd::{Sgd, SgdSettings};

use basin_objective::Error;
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::Optimizer as _;
use serde::{Deserialize, Serialize};

use crate::{HeavyBall, LearningRate, Result};

/// Which optimizer, with all its settings but the learning rate's schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSettings {
    /// Stochastic gradient descent.
    Sgd(SgdSettings),
    /// Adam with weight decay added to the gradient.
    Adam(AdamSettings),
    /// Adam with decoupled weight decay.
    AdamW(AdamSettings),
}

impl OptimizerSettings {
    /// The optimizer's name as on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
        }
    }

    /// The full learning rate.
    pub fn learning_rate(&self) -> LearningRate {
        match self {
            Self::Sgd(settings) => settings.learning_rate,
            Self::Adam(settings) | Self::AdamW(settings) => LearningRate::Fixed(settings.learning_rate),
        }
    }

    /// Refuses settings outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its range and its value.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, x: f64| ranged(name, x, "a positive number", x > 0.0 && x.is_finite());
        let not_negative = |name: &str, x: f64| ranged(name, x, "0 or a positive number", x >= 0.0 && x.is_finite());
        let below_one = |name: &str, x: f64| ranged(name, x, "at least 0 and below 1", (0.0..1.0).contains(&x));
        if let LearningRate::Fixed(learning_rate) = self.learning_rate() {
            positive("learning rate", learning_rate)?;
        }
        match self {
            Self::Sgd(sgd) => {
                if sgd.learning_rate == LearningRate::Automatic && (sgd.momentum != 0.0 || sgd.nesterov) {
                    let message = "an automatic learning rate comes with the momentum that belongs to it";
                    return Err(Error::input(message, "leave out the momentum and Nesterov's method").into());
                }
                below_one("momentum", sgd.momentum)?;
                not_negative("weight decay", sgd.weight_decay)?;
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return Err(Error::input("Nesterov's method needs a momentum", "give `--momentum 0.9`").into());
                }
                Ok(())
            }
            Self::Adam(adam) | Self::AdamW(adam) => {
                below_one("beta1", adam.beta1)?;
                below_one("beta2", adam.beta2)?;
                positive("epsilon", adam.epsilon)?;
                not_negative("weight decay", adam.weight_decay)
            }
        }
    }
}

fn ranged(name: &str, x: f64, range: &str, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::input(format!("the {name} is {x}, expected {range}"), "see `basin train --help` for defaults").into())
}

/// Any of the optimizers, over one parameter vector.
#[derive(Debug)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam and AdamW.
    Adam(Adam),
}

impl Optimizer {
    /// The optimizer that the settings describe.
    ///
    /// # Errors
    /// When candle fails.
    pub fn new(theta: &Var, settings: &OptimizerSettings) -> Result<Self> {
        let vars = vec![theta.clone()];
        Ok(match settings {
            OptimizerSettings::Sgd(settings) => Self::Sgd(Sgd::new(vars, *settings)?),
            OptimizerSettings::Adam(settings) => {
                Self::Adam(Adam::new(vars, AdamSettings { decoupled: false, ..*settings })?)
            }
            OptimizerSettings::AdamW(settings) => {
                Self::Adam(Adam::new(vars, AdamSettings { decoupled: true, ..*settings })?)
            }
        })
    }

    /// Sets the momentum that was chosen with a learning rate; Adam has none.
    pub(crate) fn set_momentum(&mut self, chosen: HeavyBall) {
        if let Self::Sgd(sgd) = self {
            sgd.set_momentum(chosen.momentum);
        }
    }

    /// One update with the gradient of the vector, at a learning rate.
    ///
    /// # Errors
    /// When candle fails.
    pub fn step(&mut self, theta: &Var, gradient: Tensor, learning_rate: f64) -> Result<()> {
        let mut store = GradStore::default();
        store.insert(theta, gradient);
        match self {
            Self::Sgd(sgd) => {
                sgd.set_learning_rate(learning_rate);
                sgd.step(&store)?;
            }
            Self::Adam(adam) => {
                adam.set_learning_rate(learning_rate);
                adam.step(&store)?;
            }
        }
        Ok(())
    }

    /// The vectors that the next update depends on, by name.
    pub fn state(&self) -> Vec<(&'static str, Tensor)> {
        match self {
            Self::Sgd(sgd) => sgd.state(),
            Self::Adam(adam) => adam.state(),
        }
    }

    /// Puts back what [`state`](Self::state) gave after `steps` updates: each vector that the next update depends on is
    /// asked of `state` by its name.
    ///
    /// # Errors
    /// The one that `state` gives for a vector it does not have.
    pub fn restore(&mut self, steps: u64, state: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.restore(steps, state),
            Self::Adam(adam) => adam.restore(steps, state),
        }
    }
}
