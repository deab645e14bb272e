//! Optimizers that give their state away so that a run can be resumed bit for bit. Those that need the gradient alone keep
//! candle-nn's interface; the others ask the batch, see [`Batch`].

mod adagrad;
mod adagrad_norm;
mod adam;
mod cblr;
mod lamb;
mod lars;
mod lbfgs;
mod mclr;
mod percent_delta;
mod proximal;
mod range;
mod rmsprop;
mod rule;
mod sam;
mod settings;
mod sgd;
mod smooth_out;
mod tensors;

pub use adagrad::{AdaGrad, AdaGradSettings};
pub use adagrad_norm::{AdaGradNorm, AdaGradNormSettings};
pub use adam::{Adam, AdamSettings};
pub use cblr::CblrSettings;
pub use lamb::{Lamb, LambSettings};
pub use lars::{Lars, LarsSettings};
pub use lbfgs::LbfgsSettings;
pub use mclr::{Mclr, MclrSettings};
pub use percent_delta::{PercentDelta, PercentDeltaSettings};
pub use proximal::ProximalSettings;
pub use rmsprop::{RmsProp, RmsPropSettings};
pub use rule::{Batch, ObjectiveAt};
pub use sam::{AsamSettings, SamSettings};
pub use settings::OptimizerSettings;
pub use sgd::{Sgd, SgdSettings};
pub use smooth_out::SmoothOutSettings;

pub(crate) use rule::{GradientRule, Resume};

use basin_tape::Layout;
use candle_core::{Tensor, Var};
use rule::Rule;

use crate::{HeavyBall, Result};

/// Any of the optimizers, over one parameter vector.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, SgdSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let quadratic = Quadratic::new(Tensor::new(&[[2.0]], &Device::Cpu)?, Tensor::new(&[0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[1.0], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[1]);
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &OptimizerSettings::Sgd(SgdSettings::default()))?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 0.25)?;
/// assert_eq!(theta.to_vec1::<f64>()?, [0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Optimizer(Rule);

impl Optimizer {
    /// The optimizer that the settings describe, for a vector in which tensors lie as the layout says; what is drawn at
    /// random follows from the seed and the step.
    ///
    /// # Errors
    /// When an optimizer is built on one that needs more than the gradient, or candle fails.
    pub fn new(theta: &Var, layout: &Layout, seed: u64, settings: &OptimizerSettings) -> Result<Self> {
        Ok(Self(settings.rule(theta, layout, seed)?))
    }

    /// Sets the momentum that was chosen with a learning rate; only stochastic gradient descent has both.
    pub(crate) fn set_momentum(&mut self, chosen: HeavyBall) {
        if let Rule::Gradient(rule) = &mut self.0 {
            rule.set_momentum(chosen.momentum);
        }
    }

    /// One step on a batch from θ, at a learning rate.
    ///
    /// # Errors
    /// When what the step asks of the batch cannot be computed.
    pub fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()> {
        match &mut self.0 {
            Rule::Gradient(rule) => rule.update(theta, batch.gradient()?, learning_rate),
            Rule::Batch(rule) => rule.step(theta, batch, learning_rate),
        }
    }

    /// The tensors that the next step depends on, by name.
    ///
    /// # Errors
    /// When candle fails.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        match &self.0 {
            Rule::Gradient(rule) => rule.state(),
            Rule::Batch(rule) => rule.state(),
        }
    }

    /// Puts back what [`state`](Self::state) gave after `steps` steps: each tensor is asked of `saved` by its name, with one
    /// of its shape and dtype.
    ///
    /// # Errors
    /// The one that `saved` gives for a tensor it does not have.
    pub fn restore(&mut self, steps: u64, saved: impl Fn(&str, &Tensor) -> Result<Tensor>) -> Result<()> {
        match &mut self.0 {
            Rule::Gradient(rule) => rule.restore(steps, &saved),
            Rule::Batch(rule) => rule.restore(steps, &saved),
        }
    }
}

/// g + λθ.
fn with_weight_decay(gradient: &Tensor, theta: &Tensor, weight_decay: f64) -> candle_core::Result<Tensor> {
    if weight_decay == 0.0 { Ok(gradient.clone()) } else { gradient + (theta * weight_decay)? }
}
