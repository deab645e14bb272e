//! What Adam divides by near a stationary point, at each batch size.

use basin_objective::{Error, Result, SampledObjective, random};
use basin_records::batch_hessian::Adam;
use candle_core::{DType, Tensor};
use rand::seq::SliceRandom as _;

use super::Work;
use crate::probes::AT_ONCE;

/// Groups whose gradients are compared: single samples where there are no more, and else so many that the variance of an
/// element with normal noise is known to 5 %.
const GROUPS: usize = 1024;

/// The elementwise second moment of batch gradients, E(g_B²) = g² + S²/𝔟 with the variance S² of single samples' gradients
/// (with N − 1) and 1/𝔟 = 1/B − 1/N. It is what Adam's running mean of squared gradients tends to where θ stays and β₂ is near 1.
///
/// All samples are divided at random into groups of about equal size. Over the division E (g_G − g)² = S² (1/|G| − 1/N), so that
/// S² is the mean of (g_G − g)²/(1/|G| − 1/N), and exact where the groups are single samples.
#[derive(Clone, Debug)]
pub struct SecondMoment {
    /// g².
    squared_mean: Tensor,
    /// S².
    variance: Tensor,
    groups: usize,
}

impl SecondMoment {
    /// Of the gradients of `objective` at `theta`; `observe` is told the samples done.
    ///
    /// # Errors
    /// When a gradient cannot be computed, or `observe` returns an error.
    pub fn measure(
        objective: &dyn SampledObjective,
        theta: &Tensor,
        seed: u64,
        observe: impl Fn(usize) -> Result<()> + Sync,
    ) -> Result<(Self, Work)> {
        let samples = objective.samples();
        let gradient_of = |positions: &[usize]| {
            let gradient =
                objective.with_batch(positions, |batch| Ok(batch.gradient(theta)?.1.to_dtype(DType::F64)?))?;
            observe(positions.len())?;
            Ok::<_, Error>(gradient)
        };
        let mean = gradient_of(&(0..samples).collect::<Vec<_>>())?;
        let groups = samples.min(GROUPS);
        let mut positions: Vec<usize> = (0..samples).collect();
        positions.shuffle(&mut random::stream(seed, "gradient groups", ""));
        let divided: Vec<Vec<usize>> = (0..groups)
            .map(|group| {
                let mut of_group = positions[group * samples / groups..(group + 1) * samples / groups].to_vec();
                of_group.sort_unstable();
                of_group
            })
            .collect();
        let mut variance = mean.zeros_like()?;
        // Their gradients are held together only while they are added.
        for part in divided.chunks(AT_ONCE) {
            let gradients = objective.work(part, Vec::len, AT_ONCE, |group| gradient_of(group))?;
            for (gradient, group) in gradients.iter().zip(part) {
                let share = 1.0 / group.len() as f64 - 1.0 / samples as f64;
                variance = (variance + ((gradient - &mean)?.sqr()? / (share * groups as f64))?)?;
            }
        }
        let work = Work { linearized: 2 * samples, ..Work::default() };
        Ok((Self { squared_mean: mean.sqr()?, variance, groups }, work))
    }

    /// E(g_B²) in f64, where 1/𝔟 is `inverse_batch`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn at(&self, inverse_batch: f64) -> Result<Tensor> {
        Ok((&self.squared_mean + (&self.variance * inverse_batch)?)?)
    }

    /// S², in f64.
    pub fn variance(&self) -> &Tensor {
        &self.variance
    }

    /// The diagonal of P^{−1/2} with P = √E(g_B²) + ε.
    pub(super) fn scale(&self, adam: AdamOptions, inverse_batch: f64, dtype: DType) -> Result<Tensor> {
        Ok((self.at(inverse_batch)?.sqrt()? + adam.epsilon)?.sqrt()?.recip()?.to_dtype(dtype)?)
    }

    pub(super) fn recorded(&self, adam: AdamOptions) -> Adam {
        Adam { beta1: adam.beta1, epsilon: adam.epsilon, groups: self.groups as u64 }
    }
}

/// The Adam whose preconditioned matrices are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// β₁.
    pub beta1: f64,
    /// ε.
    pub epsilon: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { beta1: 0.9, epsilon: 1e-8 }
    }
}
