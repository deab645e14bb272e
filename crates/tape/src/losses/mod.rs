//! Losses: the last operation of an objective, with its output derivatives in closed form.

mod binary_cross_entropy;
mod cross_entropy;
mod squared_error;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use squared_error::SquaredError;

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Tangents};
use crate::{Result, kernels};

/// A loss ℓ(z, t) of a sample's output z and target t.
///
/// All tensors have the samples on axis 0. The loss of a set of samples is Σᵢ ℓᵢ / Σᵢ wᵢ with the weights of
/// [`weights`](Loss::weights).
pub trait Loss: std::fmt::Debug + Send + Sync {
    /// The loss's name, as in design and command line.
    fn name(&self) -> &'static str;

    /// ℓᵢ for each sample, (samples).
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    fn losses(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// wᵢ for each sample, (samples): what the mean divides by.
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    fn weights(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// ∂ℓᵢ/∂zᵢ, of the shape of z.
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    fn gradient(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// (∂²ℓᵢ/∂zᵢ²) uᵢ, of the shape of z.
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    fn hessian_product(&self, z: &Tensor, targets: &Tensor, u: &Tensor) -> Result<Tensor>;
}

/// A loss as an operation of a program; inputs z and the targets, output ℓᵢ for each sample.
///
/// | rule | |
/// |---|---|
/// | tangent | ℓ̇ᵢ = ⟨∂ℓᵢ/∂z, żᵢ⟩ |
/// | adjoint | z̄ᵢ = ℓ̄ᵢ ∂ℓᵢ/∂z |
/// | adjoint tangent | ℓ̄ᵢ ∂²ℓᵢ/∂z² żᵢ + ℓ̄̇ᵢ ∂ℓᵢ/∂z |
#[derive(Debug)]
pub struct LossRules<L>(pub L);

/// A number per sample, shaped to multiply a tensor of samples.
fn per_sample(numbers: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[0] = numbers.elem_count();
    Ok(numbers.reshape(shape)?)
}

/// The sum of each sample's elements, (samples).
fn sample_sums(x: &Tensor) -> Result<Tensor> {
    let flat = x.reshape((x.dim(0)?, x.elem_count() / x.dim(0)?.max(1)))?;
    Ok(kernels::sum_axis(&flat, 1)?.squeeze(1)?)
}

impl<L: Loss> Op for LossRules<L> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        self.0.losses(x[0], x[1])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dz| sample_sums(&(self.0.gradient(at.input(0), at.input(1))? * dz)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        let gradient = self.0.gradient(at.input(0), at.input(1))?;
        Ok(vec![Some(gradient.broadcast_mul(&per_sample(y_bar, &gradient)?)?), None])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        let (z, targets) = (at.input(0), at.input(1));
        let bent = dx[0]
            .map(|dz| {
                Ok::<_, crate::Error>(self.0.hessian_product(z, targets, dz)?.broadcast_mul(&per_sample(y_bar, z)?)?)
            })
            .transpose()?;
        let carried = match dy_bar {
            Some(dy_bar) => self.adjoint(at, dy_bar, wanted)?.swap_remove(0),
            None => None,
        };
        Ok(vec![crate::op::accumulate(bent, carried)?, None])
    }
}
