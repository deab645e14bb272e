//! Losses: the last operation of an objective, with its output derivatives in closed form.

mod binary_cross_entropy;
mod cross_entropy;
mod squared_error;
mod targets;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use squared_error::SquaredError;
pub use targets::Targets;

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

    /// Whether the loss of a sample of several positions is the sum of theirs, as if each were a sample.
    fn is_sum_over_positions(&self) -> bool {
        false
    }

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

    /// ∂ℓᵢ/∂zᵢ at a target drawn from the distribution that the outputs stand for, of the shape of z. `noise` holds
    /// independent standard normal numbers of the shape of z in f64, from which the target follows; over them the mean is 0
    /// and the covariance ∂²ℓᵢ/∂zᵢ², which makes the Fisher matrix of drawn targets the generalized Gauss-Newton matrix in
    /// expectation (Kunstner, Balles and Hennig, "Limitations of the empirical Fisher approximation", 2019, section 2).
    /// `targets` only say which positions count.
    ///
    /// # Errors
    /// When outputs, targets and noise do not belong together.
    fn drawn_gradient(&self, z: &Tensor, targets: &Tensor, noise: &Tensor) -> Result<Tensor>;
}

/// Φ(x), which makes standard normal numbers uniform ones; in f64, where no number that is drawn reaches 0 or 1.
fn uniform(noise: &Tensor) -> Result<Tensor> {
    Ok((noise * std::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?)
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
pub(crate) fn per_sample(numbers: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[0] = numbers.elem_count();
    Ok(numbers.reshape(shape)?)
}

/// The sum of each sample's elements, (samples).
pub(crate) fn sample_sums(x: &Tensor) -> Result<Tensor> {
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
        dx[0].map(|dz| sample_sums(&kernels::mul(&self.0.gradient(at.input(0), at.input(1))?, dz)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        let gradient = self.0.gradient(at.input(0), at.input(1))?;
        Ok(vec![Some(kernels::mul(&gradient, &per_sample(y_bar, &gradient)?)?), None])
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
            .map(|dz| kernels::mul(&self.0.hessian_product(z, targets, dz)?, &per_sample(y_bar, z)?))
            .transpose()?;
        let carried = match dy_bar {
            Some(dy_bar) => self.adjoint(at, dy_bar, wanted)?.swap_remove(0),
            None => None,
        };
        Ok(vec![crate::op::accumulate(bent, carried)?, None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::{distance, normal};

    /// Over many draws for one sample z, (1, K): the mean gradient is 0 and the second moment ∂²ℓ/∂z².
    pub(super) fn check_drawn_gradients(loss: &dyn Loss, z: &Tensor, targets: &Tensor) {
        const DRAWS: usize = 40_000;
        let (classes, device) = (z.elem_count(), z.device());
        let repeated = |x: &Tensor| x.broadcast_as([&[DRAWS], &x.dims()[1..]].concat()).and_then(|x| x.contiguous());
        let (zs, repeated_targets) = (repeated(z).expect("rows"), repeated(targets).expect("rows"));
        let drawn = loss.drawn_gradient(&zs, &repeated_targets, &normal(&[DRAWS, classes], 7)).expect("gradients");
        let moment = drawn.t().and_then(|t| t.matmul(&drawn)).and_then(|m| m / DRAWS as f64).expect("a moment");
        let unit = Tensor::eye(classes, z.dtype(), device).expect("unit vectors");
        let rows = |x: &Tensor| x.broadcast_as([&[classes], &x.dims()[1..]].concat()).and_then(|x| x.contiguous());
        let exact = loss.hessian_product(&rows(z).expect("rows"), &rows(targets).expect("rows"), &unit);
        // Elements are of order 1: their means scatter by 1/√draws = 0.005.
        assert!(distance(&moment, &exact.expect("a Hessian")) < 0.02, "{moment}");
        let mean = drawn.mean_keepdim(0).expect("a mean");
        assert!(distance(&mean, &mean.zeros_like().expect("zeros")) < 0.02, "{mean}");
    }
}
