//! LAMB (You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020, algorithm 2): Adam's step,
//! scaled to the norm of each tensor w. With its gradient g and weight decay λ:
//!
//! m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², r = m̂ / (√v̂ + ε) + λ w, w ← w − η (φ(‖w‖) / ‖r‖) r,
//!
//! with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). The paper leaves φ open; it is φ(x) = x here, as in TensorFlow Addons.
//!
//! - Where ‖w‖ or ‖r‖ is zero the ratio is 1.
//! - Tensors of at most one axis, biases and what belongs to norms, have neither ratio nor weight decay, as in the authors' training
//!   of BERT: they move by Adam's step.

use basin_tape::Layout;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{below_one, not_negative, positive};
use super::rule::{Resume, Saved};
use super::tensors::{Tensors, is_bias_or_norm, norm};

/// Settings of [`Lamb`]: the paper's β₁, β₂, ε and λ; its η depends on the batch size, the default is that of TensorFlow
/// Addons.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LambSettings {
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
}

impl Default for LambSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weight_decay: 0.01 }
    }
}

impl LambSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        below_one("beta1", self.beta1)?;
        below_one("beta2", self.beta2)?;
        positive("epsilon", self.epsilon)?;
        not_negative("weight decay", self.weight_decay)
    }
}

/// LAMB.
///
/// ```
/// use basin_training::{Lamb, LambSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[[3.0, 4.0]], &Device::Cpu)?)?;
/// let settings = LambSettings { learning_rate: 0.1, weight_decay: 0.0, ..LambSettings::default() };
/// let mut optimizer = Lamb::new(vec![theta.clone()], settings)?;
/// // Adam's first step is the sign of the gradient, of norm √2; it is scaled to η ‖w‖ = 0.5.
/// optimizer.backward_step(&theta.sqr()?.sum_all()?)?;
/// let moved = theta.to_vec2::<f64>()?;
/// assert!((moved[0][0] - (3.0 - 0.5 / 2_f64.sqrt())).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Lamb {
    variables: Vec<Tensors>,
    /// m and v of each variable.
    moments: Vec<(Tensor, Tensor)>,
    steps: u64,
    settings: LambSettings,
}

impl Lamb {
    /// For a parameter vector in which tensors lie as the layout says; [`new`](candle_nn::Optimizer::new) takes each variable
    /// for one tensor.
    ///
    /// # Errors
    /// When candle fails.
    pub fn in_layout(theta: Var, layout: &Layout, settings: LambSettings) -> Result<Self> {
        Self::over(Tensors::laid_out(theta, layout), settings)
    }

    fn over(variables: Vec<Tensors>, settings: LambSettings) -> Result<Self> {
        let zeros = |tensors: &Tensors| Ok((tensors.var.zeros_like()?, tensors.var.zeros_like()?));
        let moments = variables.iter().map(zeros).collect::<Result<Vec<_>>>()?;
        Ok(Self { variables, moments, steps: 0, settings })
    }
}

impl Resume for Lamb {
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

impl candle_nn::Optimizer for Lamb {
    type Config = LambSettings;

    fn new(vars: Vec<Var>, settings: LambSettings) -> Result<Self> {
        Self::over(Tensors::whole(vars), settings)
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let LambSettings { learning_rate, beta1, beta2, epsilon, weight_decay } = self.settings;
        self.steps += 1;
        let correction = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        for (tensors, (m, v)) in self.variables.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(&tensors.var) else { continue };
            *m = ((&*m * beta1)? + (gradient * (1.0 - beta1))?)?;
            *v = ((&*v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let denominator = ((&*v / correction(beta2))?.sqrt()? + epsilon)?;
            let adam = ((&*m / correction(beta1))? / denominator)?;
            let step = tensors.map(&adam, |entry, w, adam| {
                if is_bias_or_norm(entry) {
                    return Ok(adam);
                }
                let step = (adam + (&w * weight_decay)?)?;
                let (norm, step_norm) = (norm(&w)?, norm(&step)?);
                if norm == 0.0 || step_norm == 0.0 { Ok(step) } else { step * (norm / step_norm) }
            })?;
            tensors.var.set(&(tensors.var.as_detached_tensor() - (step * learning_rate)?)?)?;
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
