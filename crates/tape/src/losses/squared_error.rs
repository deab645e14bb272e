//! Mean squared error: ℓ = (1/K) Σ (z − t)² over the K elements of a sample, so that the mean over samples is the mean
//! over all elements, as PyTorch's. ∂ℓ/∂z = 2(z − t)/K, ∂²ℓ/∂z² = 2/K.

use candle_core::Tensor;

use super::{Loss, sample_sums};
use crate::{Error, Result, kernels};

/// The mean of squared differences.
#[derive(Clone, Copy, Debug)]
pub struct SquaredError;

/// Elements per sample; outputs and targets must have one shape.
fn elements(z: &Tensor, targets: &Tensor) -> Result<f64> {
    if z.dims() != targets.dims() || z.rank() == 0 {
        return Err(Error::shape("mse", format!("targets of the outputs' shape {:?}", z.dims()), targets.dims()));
    }
    Ok(z.dims()[1..].iter().product::<usize>() as f64)
}

impl Loss for SquaredError {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn losses(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let count = elements(z, targets)?;
        let differences = kernels::sub(z, targets)?;
        Ok((sample_sums(&kernels::mul(&differences, &differences)?)? / count)?)
    }

    fn weights(&self, z: &Tensor, _targets: &Tensor) -> Result<Tensor> {
        Ok(Tensor::ones(z.dim(0)?, z.dtype(), z.device())?)
    }

    fn gradient(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let count = elements(z, targets)?;
        Ok((kernels::sub(z, targets)? * (2.0 / count))?)
    }

    fn hessian_product(&self, z: &Tensor, targets: &Tensor, u: &Tensor) -> Result<Tensor> {
        Ok((u * (2.0 / elements(z, targets)?))?)
    }

    /// The targets are normal with variance K/2 about the outputs, for which ℓ is the negative logarithm of the density.
    fn drawn_gradient(&self, z: &Tensor, targets: &Tensor, noise: &Tensor) -> Result<Tensor> {
        Ok((noise.to_dtype(z.dtype())? * (2.0 / elements(z, targets)?).sqrt())?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LossRules;
    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        for shape in [&[3, 4][..], &[1, 1], &[5], &[2, 3, 2]] {
            check(&LossRules(SquaredError), &[normal(shape, 1), normal(shape, 2)], &[true, false]);
        }
    }

    #[test]
    fn drawn_gradients_have_mean_zero_and_the_hessian_as_covariance() {
        super::super::tests::check_drawn_gradients(&SquaredError, &normal(&[1, 3], 1), &normal(&[1, 3], 2));
    }

    #[test]
    fn misshapen_targets_are_refused() {
        assert!(SquaredError.losses(&normal(&[3, 1], 1), &normal(&[3], 2)).is_err());
    }
}
