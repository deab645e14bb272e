//! Cross-entropy of softmax probabilities p over the last axis against a class c, with label smoothing s and weights w of the
//! classes: with qₖ = (1 − s) w_c [k = c] + s wₖ/K and Q = Σₖ qₖ, ℓ = −Σₖ qₖ log pₖ. ∂ℓ/∂z = Q p − q, ∂²ℓ/∂z² u = Q (p∘u − p (pᵀu)).
//!
//! A sample may hold several positions (…, K) with one class each; its loss is the sum over positions, its weight the sum of
//! their w_c: their number where classes have no weights. Positions with the ignored class count nowhere.

use candle_core::{D, DType, Device, Tensor};

use super::{Loss, sample_sums, uniform};
use crate::{Error, Result, kernels};

/// Cross-entropy with integer classes, as PyTorch's, which averages over all positions that are not ignored.
///
/// # Precondition
/// Each class is the ignored one or at least 0 and below K, the extent of the last axis of z. It is not checked here,
/// because that would read the classes back from the device in every sweep: any other class has no term in the sum, so
/// its position gets the loss 0 (with smoothing: the smoothed part alone) and yet weighs 1. `basin-objective` checks it
/// once, when a network is made of a model and data; who uses the loss on its own must do the same.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// The share of probability spread evenly over all classes, 0 by default.
    pub label_smoothing: f64,
    /// The class that marks positions without a target, −100 as in PyTorch.
    pub ignored_class: i64,
    /// A weight for each class, from 0; 1 for all where absent. As PyTorch's `weight`.
    pub class_weights: Option<Vec<f64>>,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { label_smoothing: 0.0, ignored_class: -100, class_weights: None }
    }
}

impl CrossEntropy {
    fn check(z: &Tensor, targets: &Tensor) -> Result<()> {
        let fits = z.rank() >= 2 && z.dims()[..z.rank() - 1] == *targets.dims() && targets.dtype() == DType::I64;
        if fits {
            return Ok(());
        }
        let expected = format!("i64 classes of shape {:?}", &z.dims()[..z.rank().saturating_sub(1)]);
        Err(Error::shape("cross-entropy", expected, targets.dims()))
    }

    /// 1 at the positions that count, 0 at ignored ones.
    fn counted(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        // The difference is compared with zeros made on the device: a number would be copied there.
        let difference = targets.affine(1.0, -self.ignored_class as f64)?;
        Ok(difference.ne(&difference.zeros_like()?)?.to_dtype(z.dtype())?)
    }

    /// 1 at each position's class, (…, K); 0 at ignored positions.
    fn onehot(z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        Self::check(z, targets)?;
        let classes = z.dims()[z.rank() - 1];
        let numbers = kernels::constant("classes", &[classes], DType::I64, z.device(), || {
            Ok(Tensor::arange(0, classes as i64, &Device::Cpu)?)
        })?;
        Ok(targets.unsqueeze(D::Minus1)?.broadcast_eq(&numbers)?.to_dtype(z.dtype())?)
    }

    /// The weights of the classes, (K), where they have some.
    fn weights_of_classes(&self, z: &Tensor) -> Result<Option<Tensor>> {
        let Some(weights) = &self.class_weights else { return Ok(None) };
        if z.dims().last() != Some(&weights.len()) {
            return Err(Error::shape("cross-entropy", format!("outputs of {} classes", weights.len()), z.dims()));
        }
        Ok(Some(Tensor::new(weights.as_slice(), z.device())?.to_dtype(z.dtype())?))
    }

    /// q and Q, (…, K) and (…, 1), both zero at ignored positions.
    fn distribution(&self, z: &Tensor, targets: &Tensor) -> Result<(Tensor, Tensor)> {
        let onehot = Self::onehot(z, targets)?;
        let counted = self.counted(z, targets)?.unsqueeze(D::Minus1)?;
        let spread = self.label_smoothing / onehot.dims()[onehot.rank() - 1] as f64;
        let Some(weights) = self.weights_of_classes(z)? else {
            let smoothed = onehot.affine(1.0 - self.label_smoothing, spread)?;
            return Ok((kernels::mul(&smoothed, &counted)?, counted));
        };
        let smoothed = kernels::mul(&onehot.affine(1.0 - self.label_smoothing, spread)?, &weights)?;
        let q = kernels::mul(&smoothed, &counted)?;
        let mass = total(&q)?;
        Ok((q, mass))
    }
}

fn total(x: &Tensor) -> Result<Tensor> {
    kernels::sum_axis(x, x.rank() - 1)
}

fn log_softmax(z: &Tensor) -> Result<Tensor> {
    let shifted = kernels::sub(z, &z.max_keepdim(D::Minus1)?)?;
    kernels::sub(&shifted, &total(&kernels::exp(&shifted)?)?.log()?)
}

fn softmax(z: &Tensor) -> Result<Tensor> {
    kernels::exp(&log_softmax(z)?)
}

impl Loss for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn is_sum_over_positions(&self) -> bool {
        true
    }

    fn losses(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (q, _) = self.distribution(z, targets)?;
        Ok(sample_sums(&kernels::mul(&q, &log_softmax(z)?)?)?.neg()?)
    }

    fn weights(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        Self::check(z, targets)?;
        match self.weights_of_classes(z)? {
            None => sample_sums(&self.counted(z, targets)?),
            Some(weights) => {
                let of_classes = kernels::mul(&Self::onehot(z, targets)?, &weights)?;
                sample_sums(&kernels::mul(&of_classes, &self.counted(z, targets)?.unsqueeze(D::Minus1)?)?)
            }
        }
    }

    fn gradient(&self, z: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let (q, mass) = self.distribution(z, targets)?;
        kernels::sub(&kernels::mul(&softmax(z)?, &mass)?, &q)
    }

    fn hessian_product(&self, z: &Tensor, targets: &Tensor, u: &Tensor) -> Result<Tensor> {
        let (_, mass) = self.distribution(z, targets)?;
        let p = softmax(z)?;
        let centred = kernels::sub(u, &total(&kernels::mul(&p, u)?)?)?;
        kernels::mul(&kernels::mul(&p, &centred)?, &mass)
    }

    /// The class is the largest of zₖ − log(−log uₖ) with uniform uₖ: so drawn, it has the softmax's probabilities (Gumbel).
    fn drawn_gradient(&self, z: &Tensor, targets: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let gumbel = uniform(noise)?.log()?.neg()?.log()?.neg()?;
        let classes = (z.to_dtype(DType::F64)? + gumbel)?.argmax(D::Minus1)?.to_dtype(DType::I64)?;
        let (_, mass) = self.distribution(z, targets)?;
        kernels::mul(&kernels::sub(&softmax(z)?, &Self::onehot(z, &classes)?)?, &mass.sqrt()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LossRules;
    use super::*;
    use crate::derivative_check::{check, normal};

    fn classes(classes: &[i64], shape: &[usize]) -> Tensor {
        Tensor::from_vec(classes.to_vec(), shape, &Device::Cpu).expect("a new tensor")
    }

    #[test]
    fn the_four_rules_agree_with_differences() {
        for label_smoothing in [0.0, 0.1] {
            let op = LossRules(CrossEntropy { label_smoothing, ..CrossEntropy::default() });
            check(&op, &[normal(&[3, 4], 1), classes(&[0, 3, 1], &[3])], &[true, false]);
            check(&op, &[normal(&[3, 4], 2), classes(&[0, -100, 1], &[3])], &[true, false]);
            check(&op, &[normal(&[2, 2, 3], 3), classes(&[0, 2, -100, 1], &[2, 2])], &[true, false]);
            check(&op, &[normal(&[1, 1], 4), classes(&[0], &[1])], &[true, false]);
        }
    }

    #[test]
    fn the_four_rules_agree_with_differences_where_classes_have_weights() {
        for label_smoothing in [0.0, 0.1] {
            let class_weights = Some(vec![0.5, 2.0, 0.0]);
            let op = LossRules(CrossEntropy { label_smoothing, class_weights, ..CrossEntropy::default() });
            check(&op, &[normal(&[3, 3], 1), classes(&[0, 2, 1], &[3])], &[true, false]);
            check(&op, &[normal(&[2, 2, 3], 3), classes(&[0, 2, -100, 1], &[2, 2])], &[true, false]);
        }
    }

    #[test]
    fn as_many_weights_as_classes_are_needed() {
        let loss = CrossEntropy { class_weights: Some(vec![1.0, 2.0]), ..CrossEntropy::default() };
        assert!(loss.losses(&normal(&[1, 3], 1), &classes(&[0], &[1])).is_err());
    }

    #[test]
    fn drawn_gradients_have_mean_zero_and_the_hessian_as_covariance() {
        let class_weights = Some(vec![0.5, 0.8, 1.0]);
        let loss = CrossEntropy { label_smoothing: 0.1, class_weights, ..CrossEntropy::default() };
        let z = Tensor::new(&[[0.3, -1.2, 0.9]], &Device::Cpu).expect("a new tensor");
        super::super::tests::check_drawn_gradients(&loss, &z, &classes(&[1], &[1]));
    }

    #[test]
    fn a_position_without_a_target_draws_none() {
        let (z, noise) = (normal(&[1, 2, 3], 1), normal(&[1, 2, 3], 2));
        let drawn = CrossEntropy::default().drawn_gradient(&z, &classes(&[2, -100], &[1, 2]), &noise);
        let drawn = drawn.and_then(|g| Ok(g.squeeze(0)?.to_vec2::<f64>()?)).expect("a gradient");
        assert_eq!(drawn[1], [0.0; 3]);
        assert!(drawn[0].iter().all(|&slope| slope != 0.0));
    }

    #[test]
    fn ignored_positions_have_no_weight() {
        let loss = CrossEntropy::default();
        let weights = loss.weights(&normal(&[2, 2, 3], 3), &classes(&[0, -100, -100, -100], &[2, 2]));
        assert_eq!(weights.and_then(|w| Ok(w.to_vec1::<f64>()?)).expect("weights"), [1.0, 0.0]);
    }

    #[test]
    fn saturated_logits_give_finite_losses() {
        let z = Tensor::new(&[[1000.0_f32, 0.0], [0.0, -1000.0]], &Device::Cpu).expect("a new tensor");
        let losses = CrossEntropy::default().losses(&z, &classes(&[1, 0], &[2]));
        assert_eq!(losses.and_then(|l| Ok(l.to_vec1::<f32>()?)).expect("losses"), [1000.0, 0.0]);
    }

    #[test]
    fn float_targets_are_refused() {
        assert!(CrossEntropy::default().losses(&normal(&[2, 3], 1), &normal(&[2], 2)).is_err());
    }
}
