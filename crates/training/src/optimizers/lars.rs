//! LARS (You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1): each tensor w has a
//! rate of its own. With its gradient g, weight decay β and trust coefficient τ:
//!
//! λ = τ ‖w‖ / (‖g‖ + β ‖w‖), v ← μ v + η λ (g + β w), w ← w − v.
//!
//! **LARC** clips: its rate is min(λ, η) in place of η λ, so that no tensor moves faster than by plain descent (NVIDIA's Apex,
//! `apex.parallel.LARC`, which sets τ = 0.02).
//!
//! - Where ‖w‖ or ‖g‖ is zero there is no ratio: the tensor moves by η g without weight decay, as in Apex.
//! - Tensors of at most one axis, biases and what belongs to norms, have neither ratio nor weight decay: v ← μ v + η g. The paper
//!   does not speak of them; this is how LARS is used for its published results (MLPerf's reference of ResNet-50).

use basin_tape::Layout;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{below_one, not_negative, positive};
use super::rule::{Resume, Saved};
use super::tensors::{Tensors, is_bias_or_norm, norm};

/// Settings of [`Lars`]. τ, μ and β are the paper's; its η depends on the batch size, so that the default is ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LarsSettings {
    /// η.
    pub learning_rate: f64,
    /// τ.
    pub trust: f64,
    /// μ.
    pub momentum: f64,
    /// β.
    pub weight_decay: f64,
    /// Whether the rate is clipped as in LARC.
    pub clip: bool,
}

impl Default for LarsSettings {
    fn default() -> Self {
        Self { learning_rate: 1.0, trust: 1e-3, momentum: 0.9, weight_decay: 5e-4, clip: false }
    }
}

impl LarsSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        positive("trust coefficient", self.trust)?;
        below_one("momentum", self.momentum)?;
        not_negative("weight decay", self.weight_decay)
    }

    /// The rate of a tensor whose norm and whose gradient's norm are not zero.
    fn rate(&self, norm: f64, gradient_norm: f64) -> f64 {
        let local = self.trust * norm / (gradient_norm + self.weight_decay * norm);
        if self.clip { local.min(self.learning_rate) } else { self.learning_rate * local }
    }
}

/// LARS and LARC.
///
/// ```
/// use basin_training::{Lars, LarsSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[[3.0, 4.0]], &Device::Cpu)?)?;
/// let settings = LarsSettings { learning_rate: 2.0, trust: 0.1, weight_decay: 0.0, ..LarsSettings::default() };
/// let mut optimizer = Lars::new(vec![theta.clone()], settings)?;
/// // However steep the loss, the first step is η τ of the tensor's norm.
/// optimizer.backward_step(&(theta.sqr()?.sum_all()? * 1000.0)?)?;
/// let moved = theta.to_vec2::<f64>()?;
/// assert!((moved[0][0] - 2.4).abs() < 1e-12 && (moved[0][1] - 3.2).abs() < 1e-12);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Lars {
    variables: Vec<Tensors>,
    velocities: Vec<Tensor>,
    settings: LarsSettings,
}

impl Lars {
    /// For a parameter vector in which tensors lie as the layout says; [`new`](candle_nn::Optimizer::new) takes each variable
    /// for one tensor.
    ///
    /// # Errors
    /// When candle fails.
    pub fn in_layout(theta: Var, layout: &Layout, settings: LarsSettings) -> Result<Self> {
        Self::over(Tensors::laid_out(theta, layout), settings)
    }

    fn over(variables: Vec<Tensors>, settings: LarsSettings) -> Result<Self> {
        let velocities = variables.iter().map(|tensors| tensors.var.zeros_like()).collect::<Result<Vec<_>>>()?;
        Ok(Self { variables, velocities, settings })
    }
}

impl Resume for Lars {
    fn state(&self) -> crate::Result<Vec<(String, Tensor)>> {
        Ok(self.velocities.iter().map(|velocity| ("velocity".into(), velocity.clone())).collect())
    }

    fn restore(&mut self, _steps: u64, saved: &Saved<'_>) -> crate::Result<()> {
        for velocity in &mut self.velocities {
            *velocity = saved("velocity", velocity)?;
        }
        Ok(())
    }
}

impl candle_nn::Optimizer for Lars {
    type Config = LarsSettings;

    fn new(vars: Vec<Var>, settings: LarsSettings) -> Result<Self> {
        Self::over(Tensors::whole(vars), settings)
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let LarsSettings { learning_rate, momentum, weight_decay, .. } = self.settings;
        for (tensors, velocity) in self.variables.iter().zip(&mut self.velocities) {
            let Some(gradient) = gradients.get(&tensors.var) else { continue };
            let scaled = tensors.map(gradient, |entry, w, g| {
                let (norm, gradient_norm) = (norm(&w)?, norm(&g)?);
                if is_bias_or_norm(entry) || norm == 0.0 || gradient_norm == 0.0 {
                    return g * learning_rate;
                }
                (g + (w * weight_decay)?)? * self.settings.rate(norm, gradient_norm)
            })?;
            *velocity = ((&*velocity * momentum)? + scaled)?;
            tensors.var.set(&(tensors.var.as_detached_tensor() - &*velocity)?)?;
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
