//! The batch of an optimizer step: loss, gradient and curvature of its mean loss, in bounded memory.
//!
//! The mean loss of a batch, Σᵢ ℓᵢ(θ) / Σᵢ wᵢ, is a sum over its samples, so that its derivatives are the sums of those of its
//! parts, divided once by the weight of all. Batch norm takes its statistics over each part, a ghost batch, and its running
//! statistics move with one part after the other, as in algorithm 1 of Hoffer, Hubara and Soudry ("Train longer, generalize
//! better", 2017).

use basin_objective::models::{BatchNorm, Model};
use basin_objective::{LossSpec, Network, Objective, Result, Samples, batch_statistics};
use basin_tape::losses::Loss;
use basin_tape::{Linearization, Point, Program, Sum, Tape, vector};
use candle_core::Tensor;
use rayon::prelude::*;

use crate::variance_test::GradientMoments;

/// PyTorch's default weight of a batch in running statistics.
const STATISTICS_MOMENTUM: f64 = 0.1;

/// The samples of a step, in parts that are worked on one after the other.
pub(crate) struct Batch<'a> {
    network: &'a Network<'a>,
    program: &'a Program,
    loss: Box<dyn Loss>,
    positions: &'a [u32],
    parts: Vec<&'a [u32]>,
    weight: f64,
}

/// What a step follows from.
pub(crate) struct Gradient {
    /// The mean loss.
    pub(crate) loss: f64,
    /// Its gradient, (P).
    pub(crate) gradient: Tensor,
    /// The buffers with the running statistics moved by this batch.
    pub(crate) buffers: Tensor,
}

impl<'a> Batch<'a> {
    /// The samples of `network` at `positions`, in parts of at most `part` samples that are as equal as possible.
    pub(crate) fn new(
        network: &'a Network<'a>,
        model: &'a Model,
        loss: LossSpec,
        positions: &'a [u32],
        part: usize,
    ) -> Result<Self> {
        let (samples, count) = (positions.len(), positions.len().div_ceil(part));
        let bound = |k: usize| k * samples / count;
        Ok(Self {
            network,
            program: model.program(BatchNorm::Batch),
            loss: loss.build(),
            positions,
            parts: (0..count).map(|k| &positions[bound(k)..bound(k + 1)]).collect(),
            weight: network.weight_of(positions)?,
        })
    }

    /// What the mean loss divides by.
    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    /// The batch at a point of the parameter space.
    pub(crate) fn at<'b>(&'b self, theta: &Tensor, buffers: &Tensor) -> Result<BatchAt<'b>> {
        let point = self.program.at(theta, buffers)?;
        let kept = match self.parts.as_slice() {
            [whole] => Some(self.linearize(&point, whole)?),
            _ => None,
        };
        Ok(BatchAt { batch: self, point, kept })
    }

    fn linearize(&self, point: &Point, positions: &[u32]) -> Result<Linearization<'_>> {
        let Samples { inputs, targets, .. } = self.network.select(positions)?;
        Ok(Linearization::new(self.program, self.loss.as_ref(), point, &[&inputs], &targets)?)
    }
}

/// A batch at a point: linearized once where it has one part, else anew for each sweep.
pub(crate) struct BatchAt<'b> {
    batch: &'b Batch<'b>,
    point: Point,
    kept: Option<Linearization<'b>>,
}

impl BatchAt<'_> {
    /// The share of the samples whose linearization is kept.
    pub(crate) fn kept_share(&self) -> f64 {
        if self.kept.is_some() { 1.0 } else { 0.0 }
    }

    fn each_part(&self, mut f: impl FnMut(&Linearization) -> Result<()>) -> Result<()> {
        match &self.kept {
            Some(whole) => f(whole),
            None => self.batch.parts.iter().try_for_each(|part| f(&self.batch.linearize(&self.point, part)?)),
        }
    }

    /// Mean loss and gradient, and what the batch makes of the `buffers`.
    pub(crate) fn gradient(&self, buffers: &Tensor) -> Result<Gradient> {
        let (mut loss, mut gradient, mut buffers) = (0.0, Sum::default(), buffers.clone());
        self.each_part(|part| {
            loss += vector::total(&part.losses()?)?;
            gradient.add_product(part.gradient()?)?;
            buffers = updated_statistics(part.tape(), &buffers)?;
            Ok(())
        })?;
        let Batch { network, weight, .. } = self.batch;
        Ok(Gradient { loss: loss / weight, gradient: gradient.scaled(1.0 / weight, network.dtype())?, buffers })
    }

    /// The product of the mean loss's generalized Gauss-Newton matrix with a vector.
    pub(crate) fn gauss_newton(&self, v: &Tensor) -> Result<Tensor> {
        let mut product = Sum::default();
        self.each_part(|part| Ok(product.add_product(part.gauss_newton(v)?)?))?;
        Ok(product.scaled(1.0 / self.batch.weight, v.dtype())?)
    }

    /// The moments of the samples' gradients about their mean ḡ, `mean`, exactly: each gradient is computed from its sample
    /// alone, and as many are held at a time as there are threads. Samples whose labels are all ignored are none. A sample with
    /// several positions has the gradient of its part in the mean times the number of samples, so that ḡ is their mean.
    pub(crate) fn gradient_moments(&self, mean: &Tensor) -> Result<GradientMoments> {
        let Batch { network, positions, weight, .. } = self.batch;
        let mut counted = Vec::with_capacity(positions.len());
        for position in *positions {
            if network.weight_of(&[*position])? > 0.0 {
                counted.push(*position);
            }
        }
        let scale = counted.len() as f64 / weight;
        let moments = |position: &u32| {
            let gradient = (self.batch.linearize(&self.point, &[*position])?.gradient()?.joined()? * scale)?;
            let deviation = (&gradient - mean)?;
            Ok((vector::dot(&deviation, &deviation)?, vector::dot(&gradient, mean)?))
        };
        let samples: Result<Vec<(f64, f64)>> = match network.device().is_cpu() {
            true => counted.par_iter().map(moments).collect(),
            // On a GPU the thread that calls is the one whose stream is in use.
            false => counted.iter().map(moments).collect(),
        };
        Ok(GradientMoments::new(vector::dot(mean, mean)?, &samples?))
    }
}

/// Running means and variances after a batch, as PyTorch moves them: with the unbiased variance of the batch. A batch
/// of one value per channel has none and leaves them as they are.
fn updated_statistics(tape: &Tape, buffers: &Tensor) -> Result<Tensor> {
    let program = tape.program();
    let mut views: Vec<Option<Tensor>> = program.buffers().views(buffers)?.into_iter().map(Some).collect();
    for (index, batch) in batch_statistics(tape)? {
        if let Some(running) = views[index].take() {
            let moved = ((running * (1.0 - STATISTICS_MOMENTUM))? + (batch * STATISTICS_MOMENTUM)?)?;
            views[index] = Some(moved);
        }
    }
    Ok(program.buffers().join(views, buffers.dtype(), buffers.device())?)
}
