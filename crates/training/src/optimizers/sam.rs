//! SAM, sharpness-aware minimization (Foret et al., "Sharpness-aware minimization for efficiently improving generalization",
//! 2021, equations 2 and 3): the step of a base optimizer from θ, by the gradient at the point nearby where the loss is about
//! the highest. With g = ∇L_B(θ):
//!
//! ε = ρ g / ‖g‖, then the base's step by ∇L_B(θ + ε).
//!
//! **ASAM** (Kwon et al., "ASAM: adaptive sharpness-aware minimization for scale-invariant learning of deep neural networks", 2021,
//! algorithm 1) measures the distance relative to the weights, with T = |θ| + η elementwise:
//!
//! ε = ρ T² g / ‖T g‖.
//!
//! Where g is zero there is no such point and ε = 0. A step costs two gradients.

use basin_tape::vector;
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::{not_negative, positive};
use super::rule::{Batch, BatchRule, GradientRule, Resume, Saved};
use super::{OptimizerSettings, SgdSettings};
use crate::Result;

/// Settings of SAM: ρ as in the paper's experiments, on gradient descent with its momentum; rates and weight decay are the
/// base's.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, SamSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let hessian = Tensor::new(&[[1.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[3.0, 4.0], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[2]);
/// let settings = OptimizerSettings::Sam(SamSettings { rho: 0.5, ..SamSettings::default() });
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings)?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 0.1)?;
/// // The gradient at θ (1 + 0.5 / 5).
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 2.67).abs() < 1e-12 && (moved[1] - 3.56).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamSettings {
    /// ρ, the distance.
    pub rho: f64,
    /// The optimizer that takes the step.
    pub base: Box<OptimizerSettings>,
}

impl Default for SamSettings {
    fn default() -> Self {
        Self { rho: 0.05, base: Box::new(momentum()) }
    }
}

impl SamSettings {
    pub(super) fn check(&self) -> Result<()> {
        positive("rho", self.rho)
    }
}

/// Settings of ASAM: ρ and η as in the paper's experiments on CIFAR-10, on gradient descent with its momentum.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, AsamSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let hessian = Tensor::new(&[[1.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[2.0, 0.0], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[2]);
/// let settings = OptimizerSettings::Asam(AsamSettings { eta: 0.0, ..AsamSettings::default() });
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings)?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 0.1)?;
/// // The gradient at θ (1 + 0.5): the distance is relative to the weight.
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 1.7).abs() < 1e-12 && moved[1] == 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsamSettings {
    /// ρ, the distance relative to the weights.
    pub rho: f64,
    /// η, which lets zero weights move.
    pub eta: f64,
    /// The optimizer that takes the step.
    pub base: Box<OptimizerSettings>,
}

impl Default for AsamSettings {
    fn default() -> Self {
        Self { rho: 0.5, eta: 0.01, base: Box::new(momentum()) }
    }
}

impl AsamSettings {
    pub(super) fn check(&self) -> Result<()> {
        positive("rho", self.rho)?;
        not_negative("eta", self.eta)
    }
}

/// Gradient descent with the momentum that published results of methods built on it use.
pub(super) fn momentum() -> OptimizerSettings {
    OptimizerSettings::Sgd(SgdSettings { momentum: 0.9, ..SgdSettings::default() })
}

/// SAM and ASAM.
#[derive(Debug)]
pub(super) struct Sam {
    rho: f64,
    /// η, where the distance is relative to the weights.
    eta: Option<f64>,
    base: Box<dyn GradientRule>,
}

impl Sam {
    pub(super) fn plain(settings: &SamSettings, base: Box<dyn GradientRule>) -> Self {
        Self { rho: settings.rho, eta: None, base }
    }

    pub(super) fn adaptive(settings: &AsamSettings, base: Box<dyn GradientRule>) -> Self {
        Self { rho: settings.rho, eta: Some(settings.eta), base }
    }

    /// ε.
    fn perturbation(&self, theta: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let scale = self.eta.map(|eta| theta.abs()? + eta).transpose()?;
        let scaled = |x: &Tensor| scale.as_ref().map_or(Ok(x.clone()), |scale| x * scale);
        let slope = scaled(gradient)?;
        let steepness = vector::dot(&slope, &slope)?.sqrt();
        if steepness == 0.0 {
            return Ok(gradient.zeros_like()?);
        }
        Ok((scaled(&slope)? * (self.rho / steepness))?)
    }
}

impl Resume for Sam {
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.base.state()
    }

    fn restore(&mut self, steps: u64, saved: &Saved<'_>) -> Result<()> {
        self.base.restore(steps, saved)
    }
}

impl BatchRule for Sam {
    fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()> {
        let here = theta.as_detached_tensor();
        let highest = (&here + self.perturbation(&here, &batch.gradient()?)?)?;
        let (_, gradient) = batch.at(&highest)?;
        self.base.update(theta, gradient, learning_rate)
    }
}
