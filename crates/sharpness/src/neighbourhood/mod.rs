//! How much the loss rises in a ball around θ: at worst, on average, and after one step of sharpness-aware minimisation.
//!
//! The ball is { δ : ‖δ∘c⁻¹‖_p ≤ ρ } with p = 2 or ∞ and c = 1, or c = |θ| elementwise where it is adaptive (Kwon et al.,
//! "ASAM", ICML 2021; Andriushchenko et al., "A modern look at the relationship between sharpness and generalization", ICML
//! 2023). All that searches it works on u = δ∘c⁻¹, in which the ball is round: the slope there is c∘∇L, so that the
//! steepest step of an adaptive ℓ₂ ball is c²∘∇L/‖c∘∇L‖ in δ, and a rescaling of layers that leaves the network's function
//! as it is changes no iterate.

mod average_case;
mod ball;
mod one_step;
mod worst_case;

pub use average_case::average_case;
pub use ball::Ball;
pub use one_step::{asam, sam};
pub use worst_case::{WorstCase, worst_case};

use basin_objective::{Error, Evaluation, Objective, Result};
use basin_tape::vector;
use candle_core::{DType, Tensor};

/// Called after each evaluation with its cost in gradients of L on the same samples; an error of its making, such as
/// [`Error::Interrupted`], ends the work.
pub type Observe<'a> = dyn FnMut(f64) -> Result<()> + 'a;

/// What an evaluation of the loss alone costs in gradients, by the matrix products of a linear layer.
pub const FORWARD: f64 = 1.0 / 3.0;

/// What numbers that are not finite mean at θ.
const DIVERGED: &str = "training has diverged, or the checkpoint is damaged: `basin inspect` shows its tensors";

/// A point θ with L(θ) and ∇L(θ), around which is measured.
pub struct Centre<'a> {
    objective: &'a dyn Objective,
    /// In f64, so that no digit of a small δ is lost before θ + δ is rounded.
    theta: Tensor,
    evaluation: Evaluation,
    loss: f64,
    gradient: Tensor,
}

impl<'a> Centre<'a> {
    /// The point θ of an objective, at the cost of a gradient and an evaluation.
    ///
    /// ```
    /// use basin_objective::Quadratic;
    /// use basin_sharpness::neighbourhood::Centre;
    /// use candle_core::{Device, Tensor};
    ///
    /// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
    /// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
    /// let centre = Centre::new(&quadratic, &Tensor::new(&[1.0, 1.0], &Device::Cpu)?)?;
    /// assert_eq!((centre.loss(), centre.gradient().to_vec1::<f64>()?), (3.0, vec![2.0, 4.0]));
    /// assert!(Centre::new(&quadratic, &Tensor::new(&[f64::NAN, 1.0], &Device::Cpu)?).is_err());
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When θ does not have the objective's length, loss or gradient at θ is not finite, or the objective fails.
    pub fn new(objective: &'a dyn Objective, theta: &Tensor) -> Result<Self> {
        if theta.dims() != [objective.dimension()] {
            let message =
                format!("the parameters have shape {:?}, the objective has {}", theta.dims(), objective.dimension());
            return Err(Error::input(message, "give one vector of all parameters"));
        }
        let (loss, gradient) = objective.gradient(theta)?;
        let gradient = gradient.to_dtype(DType::F64)?;
        if !loss.is_finite() {
            return Err(Error::input(format!("the loss at the given parameters is {loss}"), DIVERGED));
        }
        if !vector::dot(&gradient, &gradient)?.is_finite() {
            return Err(Error::input("the gradient at the given parameters is not finite", DIVERGED));
        }
        let evaluation = objective.evaluate(theta)?;
        Ok(Self { objective, theta: theta.to_dtype(DType::F64)?, evaluation, loss, gradient })
    }

    /// The objective.
    pub fn objective(&self) -> &'a dyn Objective {
        self.objective
    }

    /// θ in f64.
    pub fn theta(&self) -> &Tensor {
        &self.theta
    }

    /// L(θ).
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The share of samples classified right at θ, where the targets are classes.
    pub fn accuracy(&self) -> Option<f64> {
        self.evaluation.accuracy
    }

    /// ∇L(θ) in f64.
    pub fn gradient(&self) -> &Tensor {
        &self.gradient
    }

    /// L(θ + δ) − L(θ), for δ in f64.
    ///
    /// # Errors
    /// When δ does not have the length of θ, or the objective fails.
    pub fn rise(&self, delta: &Tensor) -> Result<f64> {
        // Both losses come from the same sweep, so that their rounding is alike.
        Ok(self.evaluate(delta)?.loss - self.evaluation.loss)
    }

    /// Loss and accuracy at θ + δ, for δ in f64.
    ///
    /// # Errors
    /// When δ does not have the length of θ, or the objective fails.
    pub fn evaluate(&self, delta: &Tensor) -> Result<Evaluation> {
        self.objective.evaluate(&self.moved(delta)?)
    }

    /// L(θ + δ) − L(θ) and ∇L(θ + δ).
    fn rise_and_gradient(&self, delta: &Tensor) -> Result<(f64, Tensor)> {
        let (loss, gradient) = self.objective.gradient(&self.moved(delta)?)?;
        Ok((loss - self.loss, gradient.to_dtype(DType::F64)?))
    }

    fn moved(&self, delta: &Tensor) -> Result<Tensor> {
        Ok((&self.theta + delta)?.to_dtype(self.objective.dtype())?)
    }

    /// A rise of the loss that rounding alone may cause.
    pub fn resolution(&self) -> f64 {
        let spacing = match self.objective.dtype() {
            DType::F64 => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        };
        spacing * self.loss.abs()
    }
}
