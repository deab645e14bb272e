//! Binary cross-entropy with logits: ℓ = (1/K) Σ max(z, 0) − z t + log(1 + e^(−|z|)) over the K elements of a sample,
//! finite at any logit. ∂ℓ/∂z = (σ(z) − t)/K, ∂²ℓ/∂z² = σ(z)(1 − σ(z))/K.

use candle_core::{DType, Tensor};

use super::{Loss, sample_sums, uniform};
use crate::ops::{Sigmoid, Softplus};
use crate::{Error, Result, kernels};

/// The mean of −t log σ(z) − (1 − t) log(1 − σ(z)).
#[derive(Clone, Copy, Debug)]
pub struct BinaryCrossEntropy;

fn elements(z: &Tensor, targets: &Tensor) -> Result<f64> {
    if z.dims() != targets.dims() || z.rank() == 0 {
        return Err(Error::shape("bce", format!("targets of the outputs' shape {:?}", z.dims()), targets.dims()));
    }
    Ok(z.dims()[1..].iter().product::<usize>() as f64)
}

impl Loss for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "bce"
    }

    fn losses(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let count = elements(z, targets)?;
        // log(1 + eᶻ) − z t is the same as the formula above, and as stable.
        let terms = (kernels::map(&Softplus, z)? - (z * targets)?)?;
        Ok((sample_sums(&terms)? / count)?)
    }

    fn weights(&self, z: &Tensor, _targets: &Tensor) -> Result<Tensor> {
        Ok(Tensor::ones(z.dim(0)?, z.dtype(), z.device())?)
    }

    fn gradient(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let count = elements(z, targets)?;
        Ok(((kernels::map(&Sigmoid, z)? - targets)? / count)?)
    }

    fn hessian_product(&self, z: &Tensor, targets: &Tensor, u: &Tensor) -> Result<Tensor> {
        let count = elements(z, targets)?;
        Ok((kernels::map_first(&Sigmoid, z, u)? / count)?)
    }

    /// Each target is 1 with probability σ(z). ℓ has the mean over K elements, so that their covariance is that of single
    /// elements over K², and a factor √K makes it ∂²ℓ/∂z².
    fn drawn_gradient(&self, z: &Tensor, targets: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let count = elements(z, targets)?;
        let probabilities = kernels::map(&Sigmoid, z)?;
        let drawn = uniform(noise)?.lt(&probabilities.to_dtype(DType::F64)?)?.to_dtype(z.dtype())?;
        Ok(((probabilities - drawn)? / count.sqrt())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::LossRules;
    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        for shape in [&[3, 4][..], &[1, 1], &[5]] {
            let targets = kernels::map(&Sigmoid, &normal(shape, 2)).expect("sigmoid");
            check(&LossRules(BinaryCrossEntropy), &[normal(shape, 1), targets], &[true, false]);
        }
    }

    #[test]
    fn drawn_gradients_have_mean_zero_and_the_hessian_as_covariance() {
        let (z, targets) = (normal(&[1, 3], 1), normal(&[1, 3], 2).zeros_like().expect("zeros"));
        super::super::tests::check_drawn_gradients(&BinaryCrossEntropy, &z, &targets);
    }

    #[test]
    fn saturated_logits_give_finite_losses() {
        // candle's own binary cross-entropy is infinite here.
        let z = Tensor::new(&[100.0_f32, -200.0], &Device::Cpu).expect("a new tensor");
        let targets = Tensor::new(&[0.0_f32, 1.0], &Device::Cpu).expect("a new tensor");
        let losses = BinaryCrossEntropy.losses(&z, &targets).and_then(|l| Ok(l.to_vec1::<f32>()?)).expect("losses");
        assert_eq!(losses, [100.0, 200.0]);
    }
}
