//! The samples of one optimizer step.

use basin_objective::Samples;
use basin_tape::losses::Loss;
use basin_tape::{Linearization, Program, vector};
use candle_core::Tensor;

use crate::Result;
use crate::optimizers::Batch;

/// The mean loss of a model on some samples, linearized where a step begins. A batch norm uses the samples' statistics, at
/// other points those that the samples have there.
pub(crate) struct TrainingBatch<'a> {
    program: &'a Program,
    buffers: Tensor,
    loss: &'a dyn Loss,
    samples: &'a Samples,
    linearization: Linearization<'a>,
    mean_loss: f64,
}

impl<'a> TrainingBatch<'a> {
    pub(crate) fn new(
        program: &'a Program,
        loss: &'a dyn Loss,
        samples: &'a Samples,
        theta: &Tensor,
        buffers: &Tensor,
    ) -> Result<Self> {
        let linearization = linearized(program, loss, samples, theta, buffers)?;
        let mean_loss = mean_loss(&linearization, samples)?;
        Ok(Self { program, buffers: buffers.clone(), loss, samples, linearization, mean_loss })
    }

    pub(crate) fn linearization(&self) -> &Linearization<'a> {
        &self.linearization
    }
}

impl Batch for TrainingBatch<'_> {
    fn loss(&self) -> f64 {
        self.mean_loss
    }

    fn gradient(&self) -> Result<Tensor> {
        Ok((self.linearization.gradient()?.joined()? / self.samples.weight)?)
    }

    fn hessian(&self, v: &Tensor) -> Result<Tensor> {
        Ok((self.linearization.hessian(v)?.joined()? / self.samples.weight)?)
    }

    fn at(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        let there = linearized(self.program, self.loss, self.samples, theta, &self.buffers)?;
        Ok((mean_loss(&there, self.samples)?, (there.gradient()?.joined()? / self.samples.weight)?))
    }
}

fn linearized<'a>(
    program: &'a Program,
    loss: &'a dyn Loss,
    samples: &Samples,
    theta: &Tensor,
    buffers: &Tensor,
) -> Result<Linearization<'a>> {
    let point = program.at(theta, buffers)?;
    Ok(Linearization::new(program, loss, &point, &[&samples.inputs], &samples.targets)?)
}

fn mean_loss(linearization: &Linearization, samples: &Samples) -> Result<f64> {
    Ok(vector::total(&linearization.losses()?)? / samples.weight)
}
