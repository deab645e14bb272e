//! RMSprop (Tieleman and Hinton, "Lecture 6.5: Divide the gradient by a running average of its recent magnitude", 2012), as
//! PyTorch's `torch.optim.RMSprop`. With g ← ∇L + λθ:
//!
//! v ← α v + (1 − α) g², u ← μ u + g / (√v + ε), θ ← θ − η u.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{below_one, not_negative, positive};
use super::rule::{Resume, Saved};
use super::with_weight_decay;

/// Settings of [`RmsProp`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsPropSettings {
    /// η.
    pub learning_rate: f64,
    /// α, the memory of the mean squared gradient.
    pub alpha: f64,
    /// ε, which bounds the step where gradients vanish.
    pub epsilon: f64,
    /// μ.
    pub momentum: f64,
    /// λ, added to the gradient as λθ.
    pub weight_decay: f64,
}

impl Default for RmsPropSettings {
    fn default() -> Self {
        Self { learning_rate: 0.01, alpha: 0.99, epsilon: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

impl RmsPropSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        below_one("alpha", self.alpha)?;
        positive("epsilon", self.epsilon)?;
        below_one("momentum", self.momentum)?;
        not_negative("weight decay", self.weight_decay)
    }
}

/// RMSprop.
///
/// ```
/// use basin_training::{RmsProp, RmsPropSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[1.0, -2.0], &Device::Cpu)?)?;
/// let settings = RmsPropSettings { learning_rate: 0.1, alpha: 0.75, ..RmsPropSettings::default() };
/// let mut optimizer = RmsProp::new(vec![theta.clone()], settings)?;
/// optimizer.backward_step(&theta.sqr()?.sum_all()?)?;
/// // The first step is η / √(1 − α) along the sign of the gradient.
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 0.8).abs() < 1e-7 && (moved[1] + 1.8).abs() < 1e-7);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RmsProp {
    vars: Vec<Var>,
    /// v and u of each variable.
    averages: Vec<(Tensor, Tensor)>,
    settings: RmsPropSettings,
}

impl Resume for RmsProp {
    fn state(&self) -> crate::Result<Vec<(String, Tensor)>> {
        let named = |(v, u): &(Tensor, Tensor)| [("second_moment".into(), v.clone()), ("velocity".into(), u.clone())];
        Ok(self.averages.iter().flat_map(named).collect())
    }

    fn restore(&mut self, _steps: u64, saved: &Saved<'_>) -> crate::Result<()> {
        for (v, u) in &mut self.averages {
            (*v, *u) = (saved("second_moment", v)?, saved("velocity", u)?);
        }
        Ok(())
    }
}

impl candle_nn::Optimizer for RmsProp {
    type Config = RmsPropSettings;

    fn new(vars: Vec<Var>, settings: RmsPropSettings) -> Result<Self> {
        let zeros = |var: &Var| Ok((var.zeros_like()?, var.zeros_like()?));
        let averages = vars.iter().map(zeros).collect::<Result<Vec<_>>>()?;
        Ok(Self { vars, averages, settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let RmsPropSettings { learning_rate, alpha, epsilon, momentum, weight_decay } = self.settings;
        for (var, (v, u)) in self.vars.iter().zip(&mut self.averages) {
            let Some(gradient) = gradients.get(var) else { continue };
            let theta = var.as_detached_tensor();
            let gradient = with_weight_decay(gradient, &theta, weight_decay)?;
            *v = ((&*v * alpha)? + (gradient.sqr()? * (1.0 - alpha))?)?;
            *u = ((&*u * momentum)? + (gradient / (v.sqrt()? + epsilon)?)?)?;
            var.set(&(theta - (&*u * learning_rate)?)?)?;
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
