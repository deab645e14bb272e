//! What an optimizer sees of a batch, and the two kinds of rules by which it moves the parameters.

use std::fmt::Debug;

use basin_objective::Objective;
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use crate::Result;

/// The mean loss L_B of one batch, as an optimizer asks for it. Vectors have the parameters' shape (P).
pub trait Batch {
    /// L_B(θ) where the step begins.
    fn loss(&self) -> f64;

    /// ∇L_B(θ) where the step begins.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn gradient(&self) -> Result<Tensor>;

    /// ∇²L_B(θ) v where the step begins.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn hessian(&self, v: &Tensor) -> Result<Tensor>;

    /// L_B and ∇L_B at another point, on the same samples.
    ///
    /// # Errors
    /// When they cannot be computed.
    fn at(&self, theta: &Tensor) -> Result<(f64, Tensor)>;
}

/// An objective at a point: the batch of a step that uses all of its samples.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_training::{Batch, ObjectiveAt};
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let batch = ObjectiveAt::new(&quadratic, Tensor::new(&[1.0, 1.0], &Device::Cpu)?)?;
/// assert_eq!(batch.loss(), 3.0);
/// assert_eq!(batch.gradient()?.to_vec1::<f64>()?, [2.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ObjectiveAt<'a> {
    objective: &'a dyn Objective,
    theta: Tensor,
    loss: f64,
    gradient: Tensor,
}

impl<'a> ObjectiveAt<'a> {
    /// The objective at θ.
    ///
    /// # Errors
    /// When θ does not have the objective's length, or the device fails.
    pub fn new(objective: &'a dyn Objective, theta: Tensor) -> Result<Self> {
        let (loss, gradient) = objective.gradient(&theta)?;
        Ok(Self { objective, theta, loss, gradient })
    }
}

impl Batch for ObjectiveAt<'_> {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn gradient(&self) -> Result<Tensor> {
        Ok(self.gradient.clone())
    }

    fn hessian(&self, v: &Tensor) -> Result<Tensor> {
        Ok(self.objective.linearize(&self.theta)?.hessian(v)?)
    }

    fn at(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        Ok(self.objective.gradient(theta)?)
    }
}

/// Gives a saved tensor by its name; it must have the shape and the dtype of the one beside the name.
pub(crate) type Saved<'a> = dyn Fn(&str, &Tensor) -> Result<Tensor> + 'a;

/// A rule that goes on where an earlier one stopped; one that remembers nothing has nothing to say.
pub(crate) trait Resume: Debug {
    /// The tensors that the next step depends on, by name.
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Puts back what `state` gave after `steps` steps.
    fn restore(&mut self, _steps: u64, _saved: &Saved<'_>) -> Result<()> {
        Ok(())
    }

    /// Sets the momentum that was chosen with a learning rate, where there is one.
    fn set_momentum(&mut self, _momentum: f64) {}
}

/// A rule that needs the gradient alone: every optimizer with candle-nn's interface is one.
pub(crate) trait GradientRule: Resume {
    fn update(&mut self, theta: &Var, gradient: Tensor, learning_rate: f64) -> Result<()>;
}

impl<T: Resume + candle_nn::Optimizer> GradientRule for T {
    fn update(&mut self, theta: &Var, gradient: Tensor, learning_rate: f64) -> Result<()> {
        let mut gradients = GradStore::default();
        gradients.insert(theta, gradient);
        self.set_learning_rate(learning_rate);
        Ok(self.step(&gradients)?)
    }
}

/// A rule that asks the batch for more than its gradient.
pub(crate) trait BatchRule: Resume {
    fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()>;
}

#[derive(Debug)]
pub(super) enum Rule {
    Gradient(Box<dyn GradientRule>),
    Batch(Box<dyn BatchRule>),
}
