//! Conservative training (Li, Zhang, Chen and Smola, "Efficient mini-batch training for stochastic optimization", 2014; Keskar and
//! others, 2017, appendix E.2): each step goes as far towards the minimum of the batch's loss as a proximal term allows,
//!
//! θ_{k+1} ≈ argmin L_B(θ) + (λ/2) ‖θ − θ_k‖²,
//!
//! by a few inner steps of a base optimizer with the gradient ∇L_B(θ) + λ (θ − θ_k). A step costs as many gradients as it has inner
//! steps. What the base remembers is kept from step to step, which the papers leave open.

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::not_negative;
use super::rule::{Batch, BatchRule, GradientRule, Resume, Saved};
use super::{AdamSettings, OptimizerSettings};
use crate::Result;

/// Settings of conservative training: λ, the number of inner steps and their optimizer as in Keskar's appendix.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, ProximalSettings, SgdSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let quadratic = Quadratic::new(Tensor::new(&[[2.0]], &Device::Cpu)?, Tensor::new(&[0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[1.0], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[1]);
/// let base = Box::new(OptimizerSettings::Sgd(SgdSettings::default()));
/// let settings = OptimizerSettings::Proximal(ProximalSettings { penalty: 4.0, inner: 2, base });
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings)?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 0.25)?;
/// // 1 − 0.25 · 2, then 0.5 − 0.25 · (2 · 0.5 + 4 · (0.5 − 1)).
/// assert_eq!(theta.to_vec1::<f64>()?, [0.75]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProximalSettings {
    /// λ.
    pub penalty: f64,
    /// Inner steps.
    pub inner: u32,
    /// The optimizer that takes them.
    pub base: Box<OptimizerSettings>,
}

impl Default for ProximalSettings {
    fn default() -> Self {
        Self { penalty: 1e-3, inner: 3, base: Box::new(OptimizerSettings::Adam(AdamSettings::default())) }
    }
}

impl ProximalSettings {
    pub(super) fn check(&self) -> Result<()> {
        if self.inner == 0 {
            let message = "conservative training takes 0 inner steps";
            return Err(basin_objective::Error::input(message, "give at least 1; 3 are usual").into());
        }
        not_negative("penalty", self.penalty)
    }
}

/// Conservative training.
#[derive(Debug)]
pub(super) struct Proximal {
    penalty: f64,
    inner: u32,
    base: Box<dyn GradientRule>,
}

impl Proximal {
    pub(super) fn new(settings: &ProximalSettings, base: Box<dyn GradientRule>) -> Self {
        Self { penalty: settings.penalty, inner: settings.inner, base }
    }
}

impl Resume for Proximal {
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.base.state()
    }

    fn restore(&mut self, steps: u64, saved: &Saved<'_>) -> Result<()> {
        self.base.restore(steps * u64::from(self.inner), saved)
    }
}

impl BatchRule for Proximal {
    fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()> {
        let start = theta.as_detached_tensor().copy()?;
        let mut gradient = batch.gradient()?;
        for inner in 1..=self.inner {
            self.base.update(theta, gradient.clone(), learning_rate)?;
            if inner < self.inner {
                let here = theta.as_detached_tensor();
                gradient = (batch.at(&here)?.1 + ((&here - &start)? * self.penalty)?)?;
            }
        }
        Ok(())
    }
}
