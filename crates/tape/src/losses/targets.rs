//! What the outputs of a micro-batch are held against, and how much each sample counts.

use std::ops::Range;

use candle_core::Tensor;

use super::{Loss, per_sample};
use crate::{Result, kernels};

/// The targets tᵢ of a micro-batch, and where samples count differently the weights sᵢ that their losses are multiplied with:
/// a sample's loss is sᵢ ℓ(zᵢ, tᵢ), and sᵢ times as much is divided by.
///
/// ```
/// use basin_tape::losses::{SquaredError, Targets};
/// use candle_core::{Device, Tensor};
///
/// let cpu = &Device::Cpu;
/// let (z, t) = (Tensor::new(&[[3.0], [5.0]], cpu)?, Tensor::new(&[[1.0], [4.0]], cpu)?);
/// let targets = Targets::weighted(&t, Some(&Tensor::new(&[0.5, 2.0], cpu)?));
/// assert_eq!(targets.losses(&SquaredError, &z)?.to_vec1::<f64>()?, [2.0, 2.0]);
/// # Ok::<(), basin_tape::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Targets {
    values: Tensor,
    weights: Option<Tensor>,
}

impl From<&Tensor> for Targets {
    fn from(values: &Tensor) -> Self {
        Self { values: values.clone(), weights: None }
    }
}

impl From<&Targets> for Targets {
    fn from(targets: &Targets) -> Self {
        targets.clone()
    }
}

impl Targets {
    /// Targets with a weight for each sample, (samples), in the outputs' numbers.
    pub fn weighted(values: &Tensor, weights: Option<&Tensor>) -> Self {
        Self { values: values.clone(), weights: weights.cloned() }
    }

    /// The targets as the loss takes them.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The weights of the samples, where they differ.
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights.as_ref()
    }

    /// sᵢ ℓᵢ for each sample.
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    pub fn losses(&self, loss: &dyn Loss, z: &Tensor) -> Result<Tensor> {
        self.times_weights(loss.losses(z, &self.values)?)
    }

    /// sᵢ ∂ℓᵢ/∂zᵢ.
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    pub fn gradient(&self, loss: &dyn Loss, z: &Tensor) -> Result<Tensor> {
        self.times_weights(loss.gradient(z, &self.values)?)
    }

    /// sᵢ (∂²ℓᵢ/∂zᵢ²) uᵢ.
    ///
    /// # Errors
    /// When outputs and targets do not belong together.
    pub fn hessian_product(&self, loss: &dyn Loss, z: &Tensor, u: &Tensor) -> Result<Tensor> {
        self.times_weights(loss.hessian_product(z, &self.values, u)?)
    }

    /// √sᵢ ∂ℓᵢ/∂zᵢ at drawn targets, so that the covariance is that of [`hessian_product`](Self::hessian_product).
    ///
    /// # Errors
    /// When outputs, targets and noise do not belong together.
    pub fn drawn_gradient(&self, loss: &dyn Loss, z: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let drawn = loss.drawn_gradient(z, &self.values, noise)?;
        match &self.weights {
            Some(weights) => kernels::mul(&drawn, &per_sample(&weights.sqrt()?, &drawn)?),
            None => Ok(drawn),
        }
    }

    /// The same with each position as a sample, which has the weight of its own.
    pub(crate) fn by_rows(&self) -> Result<Self> {
        let weights = self.weights.as_ref().map(|weights| {
            let shape = [&[weights.elem_count()], &vec![1; self.values.rank() - 1][..]].concat();
            weights.reshape(shape)?.broadcast_as(self.values.shape())?.flatten_all()
        });
        Ok(Self { values: self.values.flatten_all()?, weights: weights.transpose()? })
    }

    /// Those of some rows.
    pub(crate) fn rows(&self, range: &Range<usize>) -> Result<Self> {
        let part = |all: &Tensor| all.narrow(0, range.start, range.len());
        Ok(Self { values: part(&self.values)?, weights: self.weights.as_ref().map(part).transpose()? })
    }

    fn times_weights(&self, x: Tensor) -> Result<Tensor> {
        match &self.weights {
            Some(weights) => kernels::mul(&x, &per_sample(weights, &x)?),
            None => Ok(x),
        }
    }
}
