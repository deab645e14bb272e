//! AdaGrad (Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011), as
//! PyTorch's `torch.optim.Adagrad`. With g ← ∇L + λθ:
//!
//! s ← s + g², θ ← θ − η g / (√s + ε).

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{not_negative, positive};
use super::rule::{Resume, Saved};
use super::with_weight_decay;

/// Settings of [`AdaGrad`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaGradSettings {
    /// η.
    pub learning_rate: f64,
    /// ε, which bounds the step where gradients vanish.
    pub epsilon: f64,
    /// λ, added to the gradient as λθ.
    pub weight_decay: f64,
}

impl Default for AdaGradSettings {
    fn default() -> Self {
        Self { learning_rate: 0.01, epsilon: 1e-10, weight_decay: 0.0 }
    }
}

impl AdaGradSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        positive("epsilon", self.epsilon)?;
        not_negative("weight decay", self.weight_decay)
    }
}

/// AdaGrad.
///
/// ```
/// use basin_training::{AdaGrad, AdaGradSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[1.0, -2.0], &Device::Cpu)?)?;
/// let mut optimizer = AdaGrad::new(vec![theta.clone()], AdaGradSettings::default())?;
/// optimizer.backward_step(&theta.sqr()?.sum_all()?)?;
/// // The first step is η along the sign of the gradient.
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 0.99).abs() < 1e-9 && (moved[1] + 1.99).abs() < 1e-9);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct AdaGrad {
    vars: Vec<Var>,
    /// s of each variable.
    sums: Vec<Tensor>,
    settings: AdaGradSettings,
}

impl Resume for AdaGrad {
    fn state(&self) -> crate::Result<Vec<(String, Tensor)>> {
        Ok(self.sums.iter().map(|sum| ("squared_gradients".into(), sum.clone())).collect())
    }

    fn restore(&mut self, _steps: u64, saved: &Saved<'_>) -> crate::Result<()> {
        for sum in &mut self.sums {
            *sum = saved("squared_gradients", sum)?;
        }
        Ok(())
    }
}

impl candle_nn::Optimizer for AdaGrad {
    type Config = AdaGradSettings;

    fn new(vars: Vec<Var>, settings: AdaGradSettings) -> Result<Self> {
        let sums = vars.iter().map(|var| var.zeros_like()).collect::<Result<Vec<_>>>()?;
        Ok(Self { vars, sums, settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let AdaGradSettings { learning_rate, epsilon, weight_decay } = self.settings;
        for (var, sum) in self.vars.iter().zip(&mut self.sums) {
            let Some(gradient) = gradients.get(var) else { continue };
            let theta = var.as_detached_tensor();
            let gradient = with_weight_decay(gradient, &theta, weight_decay)?;
            *sum = (&*sum + gradient.sqr()?)?;
            let step = ((gradient * learning_rate)? / (sum.sqrt()? + epsilon)?)?;
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
