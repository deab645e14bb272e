//! Curves of low loss: their bends are trained, their ends stay.

use basin_objective::random::stream;
use basin_objective::{Error, Result, SampledObjective};
use basin_records::connection::Training;
use candle_core::Tensor;
use rand::Rng;
use rand::seq::SliceRandom;

use super::Curve;

/// Where in the run the learning rate begins and ceases to fall, and what is left of it: Garipov and others' schedule.
const FALLS: (f64, f64) = (0.5, 0.9);
const LEAST_RATE: f64 = 0.01;

/// Minimises E_{t ~ U(0, 1)} L(φ(t)) in the bends of a curve by stochastic gradient descent with momentum: each step draws a batch
/// and one t (algorithm of section 3.3 of Garipov et al., 2018). The learning rate η stays for half of the run and falls linearly to
/// η/100 over the next 40 %. L has λ/2 ‖φ(t)‖² added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveTraining {
    /// Epochs, batch size, η, momentum and λ.
    pub settings: Training,
    /// Of the batches and the positions on the curve.
    pub seed: u64,
}

/// A curve that is being trained.
#[derive(Clone, Debug)]
pub struct CurveState {
    /// The curve.
    pub curve: Curve,
    /// What moves each of its bends.
    pub velocities: Vec<Tensor>,
    /// Steps taken.
    pub step: u64,
}

/// What is told of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingStep {
    /// Steps taken, this one included.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The loss of the batch at the drawn point of the curve, before the step.
    pub loss: f64,
}

impl CurveState {
    /// A curve before its first step.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(curve: Curve) -> Result<Self> {
        let velocities = curve.bends().iter().map(|bend| Ok(bend.zeros_like()?)).collect::<Result<_>>()?;
        Ok(Self { curve, velocities, step: 0 })
    }
}

impl CurveTraining {
    /// Refuses numbers that cannot be trained with.
    ///
    /// # Errors
    /// When there is no epoch or no sample in a batch, more in one than there are, or a rate is out of range.
    pub fn check(&self, samples: usize) -> Result<()> {
        let Training { epochs, batch_size, learning_rate, momentum, weight_decay } = self.settings;
        let wrong = |message: String, hint: &str| Err(Error::input(message, hint));
        if epochs == 0 {
            return wrong("the curve is trained for 0 epochs".into(), "give at least 1 with `--epochs`");
        }
        if !(1..=samples as u64).contains(&batch_size) {
            let message = format!("the batch size is {batch_size}, the data has {samples} samples");
            return wrong(message, "give a `--batch-size` of at least 1 and at most the number of samples");
        }
        if !(learning_rate.is_finite() && learning_rate > 0.0) {
            return wrong(format!("the learning rate is {learning_rate}"), "give a positive `--learning-rate`");
        }
        if !(0.0..1.0).contains(&momentum) {
            return wrong(format!("the momentum is {momentum}"), "give one of at least 0 and below 1");
        }
        if !(weight_decay.is_finite() && weight_decay >= 0.0) {
            return wrong(format!("the weight decay is {weight_decay}"), "give a `--weight-decay` of at least 0");
        }
        Ok(())
    }

    /// Takes the steps that are still to do. `observe` is told of each; when it returns an error the state is that after the
    /// step, and the same call goes on there, with the same bits as one that was not stopped.
    ///
    /// # Errors
    /// When [`check`](Self::check) refuses, the loss leaves the numbers, or `observe` returns an error.
    pub fn train(
        &self,
        objective: &dyn SampledObjective,
        state: &mut CurveState,
        mut observe: impl FnMut(&CurveState, TrainingStep) -> Result<()>,
    ) -> Result<()> {
        let samples = objective.samples();
        self.check(samples)?;
        let batch_size = self.settings.batch_size as usize;
        let per_epoch = samples.div_ceil(batch_size) as u64;
        let steps = per_epoch * self.settings.epochs;
        while state.step < steps {
            let epoch = state.step / per_epoch;
            let order = self.order(epoch, samples);
            let batches = order.chunks(batch_size).skip((state.step % per_epoch) as usize);
            for batch in batches {
                let rate = self.settings.learning_rate * factor(state.step as f64 / steps as f64);
                let loss = self.step(objective, state, batch, rate)?;
                observe(state, TrainingStep { step: state.step, steps, loss })?;
            }
        }
        Ok(())
    }

    /// The order of the samples in an epoch.
    fn order(&self, epoch: u64, samples: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..samples).collect();
        order.shuffle(&mut stream(self.seed, "curve batches", &epoch.to_string()));
        order
    }

    /// One step; the loss before it.
    fn step(
        &self,
        objective: &dyn SampledObjective,
        state: &mut CurveState,
        batch: &[usize],
        rate: f64,
    ) -> Result<f64> {
        let Training { momentum, weight_decay, .. } = self.settings;
        let t: f64 = stream(self.seed, "curve position", &state.step.to_string()).random();
        let mut positions = batch.to_vec();
        positions.sort_unstable();
        let (loss, gradients) =
            objective.with_batch(&positions, |batch| state.curve.gradient(batch, t, weight_decay))?;
        if !loss.is_finite() {
            return Err(Error::input(
                format!("the curve left the numbers in step {}: the loss is {loss}", state.step + 1),
                "lower the `--learning-rate`",
            ));
        }
        let bends = state.curve.points.iter_mut().skip(1);
        for ((bend, velocity), gradient) in bends.zip(&mut state.velocities).zip(gradients) {
            *velocity = ((&*velocity * momentum)? + gradient)?;
            *bend = (&*bend - (&*velocity * rate)?)?;
        }
        state.step += 1;
        Ok(loss)
    }
}

/// What is left of the learning rate when a share of the run is done.
fn factor(share: f64) -> f64 {
    let (begin, end) = FALLS;
    let fallen = ((share - begin) / (end - begin)).clamp(0.0, 1.0);
    1.0 - (1.0 - LEAST_RATE) * fallen
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn the_rate_is_flat_then_falls_to_a_hundredth() {
        for (share, expected) in [(0.0, 1.0), (0.5, 1.0), (0.7, 0.505), (0.9, 0.01), (1.0, 0.01)] {
            assert!((factor(share) - expected).abs() < 1e-12, "{share}: {}", factor(share));
        }
    }
}
