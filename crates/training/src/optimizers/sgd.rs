//! Stochastic gradient descent as PyTorch's `torch.optim.SGD`: with g ← ∇L + λθ and v ← μ v + g (v = g at first),
//! θ ← θ − η v, or θ ← θ − η (g + μ v) after Nesterov.

use basin_objective::Error;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{below_one, not_negative};
use super::rule::{Resume, Saved};
use super::with_weight_decay;
use crate::LearningRate;

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdSettings {
    /// η, or `auto`: the steps are told it, with the momentum.
    pub learning_rate: LearningRate,
    /// μ.
    pub momentum: f64,
    /// Whether the gradient is taken ahead of the momentum's step.
    pub nesterov: bool,
    /// λ, added to the gradient as λθ.
    pub weight_decay: f64,
}

impl Default for SgdSettings {
    fn default() -> Self {
        Self { learning_rate: LearningRate::Fixed(0.1), momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl SgdSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        if self.learning_rate == LearningRate::Automatic && (self.momentum != 0.0 || self.nesterov) {
            let message = "an automatic learning rate comes with the momentum that belongs to it";
            return Err(Error::input(message, "leave out the momentum and Nesterov's method").into());
        }
        below_one("momentum", self.momentum)?;
        not_negative("weight decay", self.weight_decay)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::input("Nesterov's method needs a momentum", "give `--momentum 0.9`").into());
        }
        Ok(())
    }
}

/// Stochastic gradient descent with momentum.
#[derive(Debug)]
pub struct Sgd {
    vars: Vec<Var>,
    velocities: Vec<Option<Tensor>>,
    learning_rate: f64,
    settings: SgdSettings,
}

impl Resume for Sgd {
    fn state(&self) -> crate::Result<Vec<(String, Tensor)>> {
        Ok(self.velocities.iter().flatten().map(|velocity| ("velocity".into(), velocity.clone())).collect())
    }

    /// There is no velocity without momentum, and none before the first step.
    fn restore(&mut self, steps: u64, saved: &Saved<'_>) -> crate::Result<()> {
        let moves = steps > 0 && self.settings.momentum != 0.0;
        for (var, velocity) in self.vars.iter().zip(&mut self.velocities) {
            *velocity = moves.then(|| saved("velocity", var)).transpose()?;
        }
        Ok(())
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.settings.momentum = momentum;
    }
}

impl candle_nn::Optimizer for Sgd {
    type Config = SgdSettings;

    fn new(vars: Vec<Var>, settings: SgdSettings) -> Result<Self> {
        let learning_rate = match settings.learning_rate {
            LearningRate::Fixed(learning_rate) => learning_rate,
            // No step before a rate was chosen.
            LearningRate::Automatic => 0.0,
        };
        Ok(Self { velocities: vec![None; vars.len()], vars, learning_rate, settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let SgdSettings { momentum, nesterov, weight_decay, .. } = self.settings;
        let learning_rate = self.learning_rate;
        for (var, velocity) in self.vars.iter().zip(&mut self.velocities) {
            let Some(gradient) = gradients.get(var) else { continue };
            let theta = var.as_detached_tensor();
            let mut step = with_weight_decay(gradient, &theta, weight_decay)?;
            if momentum != 0.0 {
                let moved = match velocity.take() {
                    Some(velocity) => ((velocity * momentum)? + &step)?,
                    None => step.clone(),
                };
                step = if nesterov { (step + (&moved * momentum)?)? } else { moved.clone() };
                *velocity = Some(moved);
            } else {
                *velocity = None;
            }
            var.set(&(theta - (step * learning_rate)?)?)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }
}
