//! A network at a fixed θ.

use basin_tape::{Linearization, Point};
use candle_core::{Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

use super::{Batch, Network, VectorSum};
use crate::objective::{DrawnLabels, Linearized};
use crate::{Error, Result, random};

/// The derivatives of a network at a fixed θ: the first micro-batches' linearizations are kept, the others made anew for
/// each product.
pub(super) struct AtPoint<'a> {
    pub(super) network: &'a Network<'a>,
    pub(super) point: Point,
    pub(super) kept: Vec<Linearization<'a>>,
}

impl AtPoint<'_> {
    /// The mean over all samples of what `sum` gives for each micro-batch.
    fn mean(&self, sum: impl Fn(&Batch, &Linearization) -> Result<Tensor>) -> Result<Tensor> {
        let (batches, mut total) = (&self.network.batches, VectorSum::default());
        for (batch, linearization) in batches.iter().zip(&self.kept) {
            total.add(sum(batch, linearization)?)?;
        }
        for batch in &batches[self.kept.len()..] {
            total.add(sum(batch, &self.network.linearize_batch(&self.point, batch)?)?)?;
        }
        total.divided_by(self.network.weight, self.network.dtype)
    }

    /// The mean product with a vector, or with each row of a matrix.
    fn product(
        &self,
        v: &Tensor,
        product: impl Fn(&Batch, &Linearization, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        self.mean(|batch, linearization| match v.rank() {
            1 => product(batch, linearization, v),
            _ => {
                let rows = (0..v.dim(0)?).map(|k| product(batch, linearization, &v.get(k)?));
                Ok(Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)?)
            }
        })
    }
}

/// What a draw of targets for a batch's outputs follows from: the same for a sample whatever batch it is in.
fn noise(seed: u64, draw: usize, batch: &Batch, shape: &[usize], device: &Device) -> Result<Tensor> {
    let stream = random::stream(seed, "drawn labels", &draw.to_string());
    let each = shape[1..].iter().product();
    let of_sample = |sample: usize| {
        let mut stream = stream.clone();
        stream.set_stream((batch.start + sample) as u64);
        StandardNormal.sample_iter(stream).take(each)
    };
    let numbers: Vec<f64> = (0..shape[0]).flat_map(of_sample).collect();
    Ok(Tensor::from_vec(numbers, shape, device)?)
}

impl Linearized for AtPoint<'_> {
    fn kept_share(&self) -> f64 {
        let kept: usize = self.network.batches[..self.kept.len()].iter().map(|batch| batch.inputs.dims()[0]).sum();
        kept as f64 / self.network.samples as f64
    }

    fn gradient(&self) -> Result<Tensor> {
        self.mean(|_, linearization| Ok(linearization.gradient()?))
    }

    fn hessian(&self, v: &Tensor) -> Result<Tensor> {
        self.product(v, |_, linearization, v| Ok(linearization.hessian(v)?))
    }

    fn gauss_newton(&self, v: &Tensor) -> Result<Tensor> {
        self.product(v, |_, linearization, v| Ok(linearization.gauss_newton(v)?))
    }

    fn fisher(&self, v: &Tensor, labels: DrawnLabels) -> Result<Tensor> {
        if labels.draws == 0 {
            return Err(Error::input("no labels are drawn for the Fisher matrix", "draw at least 1 for each sample"));
        }
        let product = self.product(v, |batch, linearization, v| {
            let shape = linearization.tape().output().dims();
            let drawn = (0..labels.draws).map(|draw| {
                let noise = noise(labels.seed, draw, batch, shape, &self.network.device)?;
                Ok(linearization.drawn_gradient(&noise)?)
            });
            Ok(linearization.second_moment(v, &drawn.collect::<Result<Vec<_>>>()?)?)
        })?;
        Ok((product / labels.draws as f64)?)
    }

    fn empirical_fisher(&self, v: &Tensor) -> Result<Tensor> {
        // Both factors of gᵢ gᵢᵀ carry the share, of which the mean already has one.
        Ok((self.product(v, |_, linearization, v| Ok(linearization.empirical_fisher(v)?))? * self.network.share)?)
    }
}
