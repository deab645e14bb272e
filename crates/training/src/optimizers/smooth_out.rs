//! SmoothOut (Wen et al., "SmoothOut: smoothing out sharp minima to improve generalization in deep learning", 2018):
//! stochastic descent on the loss averaged over a box, which sharp minima do not survive. The step of a base optimizer from θ is by
//!
//! ∇L_B(θ + u), uᵢ uniform in [−a, a],
//!
//! with u drawn anew for each step. A step costs one gradient.

use basin_objective::random;
use candle_core::{Tensor, Var};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::OptimizerSettings;
use super::range::positive;
use super::rule::{Batch, BatchRule, GradientRule, Resume, Saved};
use super::sam::momentum;
use crate::Result;

/// Settings of SmoothOut. The paper chooses a for each network; the default is the one in the example of the authors' code. Rates
/// and weight decay are the base's.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, SmoothOutSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let hessian = Tensor::new(&[[1.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[3.0, 4.0], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[2]);
/// let settings = OptimizerSettings::SmoothOut(SmoothOutSettings { noise: 0.5, ..SmoothOutSettings::default() });
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings)?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 0.1)?;
/// // A gradient somewhere in θ ± 0.5.
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 2.7).abs() <= 0.05 && (moved[1] - 3.6).abs() <= 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmoothOutSettings {
    /// a, half the width of the box.
    pub noise: f64,
    /// The optimizer that takes the step.
    pub base: Box<OptimizerSettings>,
}

impl Default for SmoothOutSettings {
    fn default() -> Self {
        Self { noise: 0.006, base: Box::new(momentum()) }
    }
}

impl SmoothOutSettings {
    pub(super) fn check(&self) -> Result<()> {
        positive("noise", self.noise)
    }
}

/// SmoothOut.
#[derive(Debug)]
pub(super) struct SmoothOut {
    noise: f64,
    seed: u64,
    steps: u64,
    base: Box<dyn GradientRule>,
}

impl SmoothOut {
    pub(super) fn new(settings: &SmoothOutSettings, seed: u64, base: Box<dyn GradientRule>) -> Self {
        Self { noise: settings.noise, seed, steps: 0, base }
    }

    /// u.
    fn draw(&self, theta: &Tensor) -> Result<Tensor> {
        let mut rng = random::stream(self.seed, "smoothout", &self.steps.to_string());
        let noise = |_| self.noise * (2.0 * rng.random::<f64>() - 1.0);
        let noise: Vec<f64> = (0..theta.elem_count()).map(noise).collect();
        Ok(Tensor::from_vec(noise, theta.dims(), theta.device())?.to_dtype(theta.dtype())?)
    }
}

impl Resume for SmoothOut {
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.base.state()
    }

    fn restore(&mut self, steps: u64, saved: &Saved<'_>) -> Result<()> {
        self.steps = steps;
        self.base.restore(steps, saved)
    }
}

impl BatchRule for SmoothOut {
    fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()> {
        let here = theta.as_detached_tensor();
        let (_, gradient) = batch.at(&(&here + self.draw(&here)?)?)?;
        self.steps += 1;
        self.base.update(theta, gradient, learning_rate)
    }
}
