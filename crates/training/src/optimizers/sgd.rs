//! Stochastic gradient descent as PyTorch's `torch.optim.SGD`: with g ← ∇L + λθ and v ← μ v + g (v = g at first),
//! θ ← θ − η v, or θ ← θ − η (g + μ v) after Nesterov.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdSettings {
    /// η.
    pub learning_rate: f64,
    /// μ.
    pub momentum: f64,
    /// Whether the gradient is taken ahead of the momentum's step.
    pub nesterov: bool,
    /// λ, added to the gradient as λθ.
    pub weight_decay: f64,
}

impl Default for SgdSettings {
    fn default() -> Self {
        Self { learning_rate: 0.1, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

/// Stochastic gradient descent with momentum.
#[derive(Debug)]
pub struct Sgd {
    vars: Vec<Var>,
    velocities: Vec<Option<Tensor>>,
    settings: SgdSettings,
}

impl Sgd {
    pub(super) fn state(&self) -> Vec<(&'static str, Tensor)> {
        self.velocities.iter().flatten().map(|velocity| ("velocity", velocity.clone())).collect()
    }

    /// There is no velocity without momentum, and none before the first step.
    pub(super) fn restore(&mut self, steps: u64, state: impl Fn(&str) -> crate::Result<Tensor>) -> crate::Result<()> {
        let moves = steps > 0 && self.settings.momentum != 0.0;
        self.velocities = vec![moves.then(|| state("velocity")).transpose()?];
        Ok(())
    }
}

impl candle_nn::Optimizer for Sgd {
    type Config = SgdSettings;

    fn new(vars: Vec<Var>, settings: SgdSettings) -> Result<Self> {
        Ok(Self { velocities: vec![None; vars.len()], vars, settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let SgdSettings { learning_rate, momentum, nesterov, weight_decay } = self.settings;
        for (var, velocity) in self.vars.iter().zip(&mut self.velocities) {
            let Some(gradient) = gradients.get(var) else { continue };
            let theta = var.as_detached_tensor();
            let mut step = gradient.clone();
            if weight_decay != 0.0 {
                step = (step + (&theta * weight_decay)?)?;
            }
            if momentum != 0.0 {
                let moved = match velocity.take() {
                    Some(velocity) => ((velocity * momentum)? + &step)?,
                    None => step.clone(),
                };
                step = if nesterov { (step + (&moved * momentum)?)? } else { moved.clone() };
                *velocity = Some(moved);
            }
            var.set(&(theta - (step * learning_rate)?)?)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.settings.learning_rate = learning_rate;
    }
}
