//! AdaGrad-Norm (Ward, Wu and Bottou, "AdaGrad stepsizes: sharp convergence over nonconvex landscapes", 2019, algorithm 1):
//! one number for all parameters. With g ← ∇L + λθ:
//!
//! b² ← b² + ‖g‖², θ ← θ − η g / b, from b = b₀ > 0.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{not_negative, positive};
use super::rule::{Resume, Saved};
use super::tensors::norm;
use super::with_weight_decay;

/// Settings of [`AdaGradNorm`]. The paper proves convergence for any η and b₀ and leaves both open; the defaults are those of
/// Lau, Liu and Kolar's code for "AdAdaGrad" (2024), whose sum of squares starts from 0.01.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaGradNormSettings {
    /// η.
    pub learning_rate: f64,
    /// b₀.
    pub initial: f64,
    /// λ, added to the gradient as λθ.
    pub weight_decay: f64,
}

impl Default for AdaGradNormSettings {
    fn default() -> Self {
        Self { learning_rate: 1.0, initial: 0.1, weight_decay: 0.0 }
    }
}

impl AdaGradNormSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        positive("initial norm", self.initial)?;
        not_negative("weight decay", self.weight_decay)
    }
}

/// AdaGrad-Norm.
///
/// ```
/// use basin_training::{AdaGradNorm, AdaGradNormSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[1.5, 2.0], &Device::Cpu)?)?;
/// let settings = AdaGradNormSettings { learning_rate: 1.3, initial: 12.0, ..AdaGradNormSettings::default() };
/// let mut optimizer = AdaGradNorm::new(vec![theta.clone()], settings)?;
/// // A gradient of norm 5: b = √(12² + 5²) = 13.
/// optimizer.backward_step(&theta.sqr()?.sum_all()?)?;
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 1.2).abs() < 1e-12 && (moved[1] - 1.6).abs() < 1e-12);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct AdaGradNorm {
    vars: Vec<Var>,
    /// b².
    squares: f64,
    settings: AdaGradNormSettings,
}

impl Resume for AdaGradNorm {
    fn state(&self) -> crate::Result<Vec<(String, Tensor)>> {
        Ok(vec![("squares".into(), Tensor::new(self.squares, &Device::Cpu)?)])
    }

    fn restore(&mut self, _steps: u64, saved: &Saved<'_>) -> crate::Result<()> {
        self.squares = saved("squares", &Tensor::new(self.squares, &Device::Cpu)?)?.to_scalar()?;
        Ok(())
    }
}

impl candle_nn::Optimizer for AdaGradNorm {
    type Config = AdaGradNormSettings;

    fn new(vars: Vec<Var>, settings: AdaGradNormSettings) -> Result<Self> {
        Ok(Self { vars, squares: settings.initial.powi(2), settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let AdaGradNormSettings { learning_rate, weight_decay, .. } = self.settings;
        let mut moves = Vec::new();
        for var in &self.vars {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = with_weight_decay(gradient, &var.as_detached_tensor(), weight_decay)?;
            self.squares += norm(&gradient)?.powi(2);
            moves.push((var, gradient));
        }
        let rate = learning_rate / self.squares.sqrt();
        for (var, gradient) in moves {
            let step = (gradient * rate)?;
            var.set(&(var.as_detached_tensor() - step)?)?;
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
