//! CBLR, the curvature-based learning rate (Gao and Zhong, "Study on the large batch size training of neural networks based on the
//! second order gradient", 2020, equations 9 to 11): each weight moves in proportion to the radius of curvature of the loss along
//! it. With g = ∇L_B and h = diag ∇²L_B:
//!
//! θ ← θ − γ R g, R = (1 + g²)^{3/2} / |h| elementwise.
//!
//! - h is the mean of z ∘ (∇²L_B z) over random signs z (Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix",
//!   2007): unbiased, and exact where the Hessian is diagonal. The paper does not say how it finds h.
//! - Where the loss is flat R has no bound, and the paper gives none: |h| counts as at least a floor.
//!
//! R has the units of the loss: unlike a ratio of norms it changes when the loss is multiplied by a constant. A step costs a gradient
//! and one Hessian product, of two gradients, for each z.

use basin_objective::{Error, random};
use candle_core::{Tensor, Var};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::range::positive;
use super::rule::{Batch, BatchRule, Resume, Saved};
use crate::Result;

/// Settings of CBLR. The paper does not tell its γ; the defaults are ours and keep the rate γ / |h| of small gradients at or below 1.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, CblrSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let hessian = Tensor::new(&[[1.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[0.001, 0.001], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[2]);
/// let settings = OptimizerSettings::Cblr(CblrSettings::default());
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings)?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 0.5)?;
/// // Where gradients are small, Newton's step along each axis, shortened by the rate.
/// let moved = theta.to_vec1::<f64>()?;
/// assert!(moved.iter().all(|x| (x - 0.0005).abs() < 1e-6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CblrSettings {
    /// γ.
    pub learning_rate: f64,
    /// The least |h| in R.
    pub floor: f64,
    /// Vectors z for each step.
    pub probes: usize,
}

impl Default for CblrSettings {
    fn default() -> Self {
        Self { learning_rate: 0.1, floor: 0.1, probes: 1 }
    }
}

impl CblrSettings {
    pub(super) fn check(&self) -> Result<()> {
        positive("floor", self.floor)?;
        match self.probes {
            0 => Err(Error::input("the diagonal of the Hessian is estimated from 0 probes", "give at least 1").into()),
            _ => Ok(()),
        }
    }
}

/// CBLR.
#[derive(Debug)]
pub(super) struct Cblr {
    settings: CblrSettings,
    seed: u64,
    steps: u64,
}

impl Cblr {
    pub(super) fn new(settings: CblrSettings, seed: u64) -> Self {
        Self { settings, seed, steps: 0 }
    }

    /// h.
    fn diagonal(&self, like: &Tensor, batch: &dyn Batch) -> Result<Tensor> {
        let mut sum = like.zeros_like()?;
        for probe in 0..self.settings.probes {
            let mut rng = random::stream(self.seed, "cblr", &format!("{} {probe}", self.steps));
            let signs: Vec<f32> = (0..like.elem_count()).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
            let signs = Tensor::from_vec(signs, like.dims(), like.device())?.to_dtype(like.dtype())?;
            sum = (sum + (&signs * batch.hessian(&signs)?)?)?;
        }
        Ok((sum / self.settings.probes as f64)?)
    }
}

impl Resume for Cblr {
    fn restore(&mut self, steps: u64, _saved: &Saved<'_>) -> Result<()> {
        self.steps = steps;
        Ok(())
    }
}

impl BatchRule for Cblr {
    fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()> {
        let gradient = batch.gradient()?;
        let curvature = self.diagonal(&gradient, batch)?.abs()?.maximum(self.settings.floor)?;
        self.steps += 1;
        let squared = (gradient.sqr()? + 1.0)?;
        let radius = ((&squared * squared.sqrt()?)? / curvature)?;
        let step = ((radius * gradient)? * learning_rate)?;
        Ok(theta.set(&(theta.as_detached_tensor() - step)?)?)
    }
}
