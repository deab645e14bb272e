//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), as PyTorch's. With g ← ∇L + λθ for Adam,
//! θ ← (1 − ηλ) θ first for AdamW:
//!
//! m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ − η m̂ / (√v̂ + ε), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
//!
//! candle-nn's AdamW computes the same; it keeps its moments to itself, so that a run with it cannot be resumed.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{below_one, not_negative, positive};
use super::rule::{Resume, Saved};
use super::with_weight_decay;

/// Settings of [`Adam`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSettings {
    /// η.
    pub learning_rate: f64,
    /// β₁, the memory of the mean gradient.
    pub beta1: f64,
    /// β₂, the memory of the mean squared gradient.
    pub beta2: f64,
    /// ε, which bounds the step where gradients vanish.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
    /// Whether weight decay acts on the weights (AdamW) or through the gradient (Adam); set by the optimizer's name.
    #[serde(skip)]
    pub decoupled: bool,
}

impl Default for AdamSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

impl AdamSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        below_one("beta1", self.beta1)?;
        below_one("beta2", self.beta2)?;
        positive("epsilon", self.epsilon)?;
        not_negative("weight decay", self.weight_decay)
    }
}

/// Adam and AdamW.
#[derive(Debug)]
pub struct Adam {
    vars: Vec<Var>,
    /// m and v of each variable.
    moments: Vec<(Tensor, Tensor)>,
    steps: u64,
    settings: AdamSettings,
}

impl Resume for Adam {
    fn state(&self) -> crate::Result<Vec<(String, Tensor)>> {
        let named =
            |(m, v): &(Tensor, Tensor)| [("first_moment".into(), m.clone()), ("second_moment".into(), v.clone())];
        Ok(self.moments.iter().flat_map(named).collect())
    }

    fn restore(&mut self, steps: u64, saved: &Saved<'_>) -> crate::Result<()> {
        for (m, v) in &mut self.moments {
            (*m, *v) = (saved("first_moment", m)?, saved("second_moment", v)?);
        }
        self.steps = steps;
        Ok(())
    }
}

impl candle_nn::Optimizer for Adam {
    type Config = AdamSettings;

    fn new(vars: Vec<Var>, settings: AdamSettings) -> Result<Self> {
        let zeros = |var: &Var| Ok((var.zeros_like()?, var.zeros_like()?));
        let moments = vars.iter().map(zeros).collect::<Result<Vec<_>>>()?;
        Ok(Self { vars, moments, steps: 0, settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let AdamSettings { learning_rate, beta1, beta2, epsilon, weight_decay, decoupled } = self.settings;
        self.steps += 1;
        let correction = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        for (var, (m, v)) in self.vars.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(var) else { continue };
            let mut theta = var.as_detached_tensor();
            let mut gradient = gradient.clone();
            if weight_decay != 0.0 && decoupled {
                theta = (theta * (1.0 - learning_rate * weight_decay))?;
            } else {
                gradient = with_weight_decay(&gradient, &theta, weight_decay)?;
            }
            *m = ((&*m * beta1)? + (&gradient * (1.0 - beta1))?)?;
            *v = ((&*v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let denominator = ((&*v / correction(beta2))?.sqrt()? + epsilon)?;
            let step = ((&*m * (learning_rate / correction(beta1)))? / denominator)?;
            var.set(&(theta - step)?)?;
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
