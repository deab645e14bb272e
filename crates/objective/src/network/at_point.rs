//! A network at a fixed θ.

use std::ops::Range;

use basin_tape::{Linearization, Point, Product, Sum};
use candle_core::{Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

use super::Network;
use crate::objective::{DrawnLabels, Linearized};
use crate::{Error, Result, random};

/// The derivatives of a network at a fixed θ: the first micro-batches' linearizations are kept, the others made anew for
/// each product.
pub(super) struct AtPoint<'a> {
    pub(super) network: &'a Network<'a>,
    pub(super) point: Point,
    pub(super) kept: Vec<Linearization<'a>>,
}

impl<'a> AtPoint<'a> {
    /// The mean over all samples of the product with a vector, or with each row of a matrix.
    fn product(
        &self,
        v: &Tensor,
        product: impl Fn(&Range<usize>, &Linearization<'a>, &Tensor) -> Result<Product<'a>> + Sync,
    ) -> Result<Tensor> {
        let network = self.network;
        let rows = match v.rank() {
            1 => vec![v.clone()],
            _ => (0..v.dim(0)?).map(|k| v.get(k)).collect::<candle_core::Result<_>>()?,
        };
        let (kept, anew) = network.batches.split_at(self.kept.len());
        let mut sums: Vec<Sum> = rows.iter().map(|_| Sum::default()).collect();

        let kept = kept.iter().zip(&self.kept);
        let pairs: Vec<_> = kept.flat_map(|at| rows.iter().enumerate().map(move |row| (at, row))).collect();
        let multiply = |&((range, at), (k, row)): &_| Ok((k, product(range, at, row)?));
        network.in_waves(&pairs, multiply, |(k, part)| Ok(sums[k].add_product(part)?))?;

        let linearize_and_multiply = |range: &Range<usize>| {
            let at = network.linearize_batch(&self.point, range)?;
            rows.iter().map(|row| product(range, &at, row)).collect::<Result<Vec<_>>>()
        };
        network.in_waves(anew, linearize_and_multiply, |parts| {
            sums.iter_mut().zip(parts).try_for_each(|(sum, part)| Ok(sum.add_product(part)?))
        })?;

        let means = sums.into_iter().map(|sum| Ok(sum.scaled(1.0 / network.weight, network.dtype)?));
        let means = means.collect::<Result<Vec<_>>>()?;
        match v.rank() {
            1 => Ok(means.into_iter().next().unwrap_or_else(|| v.clone())),
            _ => Ok(Tensor::stack(&means, 0)?),
        }
    }
}

/// What a draw of targets for the outputs of a sample follows from, whatever batch it is in.
fn noise(seed: u64, draw: usize, sample: usize, shape: &[usize], device: &Device) -> basin_tape::Result<Tensor> {
    let mut stream = random::stream(seed, "drawn labels", &draw.to_string());
    stream.set_stream(sample as u64);
    let numbers: Vec<f64> = StandardNormal.sample_iter(stream).take(shape.iter().product()).collect();
    Ok(Tensor::from_vec(numbers, shape, device)?)
}

impl Linearized for AtPoint<'_> {
    fn kept_share(&self) -> f64 {
        let kept: usize = self.network.batches[..self.kept.len()].iter().map(Range::len).sum();
        kept as f64 / self.network.samples as f64
    }

    fn gradient(&self) -> Result<Tensor> {
        let network = self.network;
        let mut sum = Sum::default();
        network.in_waves(&self.kept, |at| Ok(at.gradient()?), |part| Ok(sum.add_product(part)?))?;
        let anew = |range: &Range<usize>| Ok(network.linearize_batch(&self.point, range)?.gradient()?);
        network.in_waves(&network.batches[self.kept.len()..], anew, |part| Ok(sum.add_product(part)?))?;
        Ok(sum.scaled(1.0 / network.weight, network.dtype)?)
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
        let product = self.product(v, |range, linearization, v| {
            let shape = &linearization.tape().output().dims()[1..];
            let noise = |draw, sample| noise(labels.seed, draw, range.start + sample, shape, &self.network.device);
            Ok(linearization.fisher(v, labels.draws, noise)?)
        })?;
        Ok((product / labels.draws as f64)?)
    }

    fn empirical_fisher(&self, v: &Tensor) -> Result<Tensor> {
        // Both factors of gᵢ gᵢᵀ carry the share, of which the mean already has one.
        Ok((self.product(v, |_, linearization, v| Ok(linearization.empirical_fisher(v)?))? * self.network.share)?)
    }
}
