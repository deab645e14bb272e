//! Learning rate and momentum from the curvature of the training batch, while training goes on.
//!
//! On a quadratic whose Hessian has its spectrum in [μ, L] gradient descent with momentum converges fastest with
//! (Polyak, "Some methods of speeding up the convergence of iteration methods", 1964)
//!
//! α = (2 / (√L + √μ))², ρ = ((√L − √μ) / (√L + √μ))²,
//!
//! and it is stable while α < 2(1 + ρ)/L. Choosing both on the fly from a few Lanczos steps on the Hessian of a batch of the
//! training size, so that what the batch adds to the extremal eigenvalues is in them, is the idea of Granziol, Zohren and
//! Roberts ("Learning rates as a function of batch size", 2022). What is here is **our own variant** of it:
//!
//! - the matrix is the generalized Gauss-Newton matrix of the current batch, which has no negative eigenvalues. Where the
//!   model has batch norm, the statistics are those of the batch and are differentiated as in the training step;
//! - L is the largest Ritz value; μ the smallest one of the bulk: above [`ZERO`] · L, and with a weight above 1/P, what a
//!   single eigenvalue has on average;
//! - both are averaged as logarithms with weight [`DAMPING`] for the new value, but an L above its average counts at once;
//! - ρ is at most [`MOST_MOMENTUM`], and α at most [`SAFETY`] · 2(1 − ρ)/L: the rate α/(1 − ρ) at which steps add up along a gradient
//!   that stays is then stable without momentum. The limit 2(1 + ρ)/L holds for a fixed quadratic without noise; networks
//!   trained at it diverge.

use basin_objective::Result;
use basin_sharpness::{CurvatureMatrix, Deflated, DensityOptions, SymmetricOperator};
use basin_tape::Linearization;
use candle_core::{DType, Device, Tensor};

/// Optimizer steps between two measurements: with [`LANCZOS_STEPS`] products of 4/3 gradients each, the choice costs 27 % of
/// the gradients.
pub(crate) const EVERY: u64 = 50;
/// Products of one measurement. Ritz values at the top of a trained network's spectrum settle within these.
pub(crate) const LANCZOS_STEPS: usize = 10;
/// Weight of a new measurement in the average of the logarithms.
pub(crate) const DAMPING: f64 = 0.5;
/// Ritz values up to this part of L are taken for zero: they are near the rounding of single precision, and the momentum
/// they would ask for is beyond [`MOST_MOMENTUM`] or next to it.
pub(crate) const ZERO: f64 = 1e-5;
/// The largest momentum: averages over a hundred steps.
pub(crate) const MOST_MOMENTUM: f64 = 0.99;
/// Part of the limit 2(1 − ρ)/L that the learning rate keeps to: L moves until the next measurement, and
/// Lanczos meets it from below.
pub(crate) const SAFETY: f64 = 0.9;

/// A learning rate with the momentum that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeavyBall {
    /// α.
    pub learning_rate: f64,
    /// ρ.
    pub momentum: f64,
}

impl HeavyBall {
    /// The optimum for eigenvalues in [μ, L], clipped as the module says.
    ///
    /// ```
    /// use basin_training::HeavyBall;
    ///
    /// let chosen = HeavyBall::optimum(2.25, 1.0);
    /// assert!((chosen.learning_rate - 0.64).abs() < 1e-15);
    /// assert!((chosen.momentum - 0.04).abs() < 1e-15);
    /// ```
    pub fn optimum(largest: f64, smallest: f64) -> Self {
        let (top, bottom) = (largest.sqrt(), smallest.sqrt());
        let momentum = ((top - bottom) / (top + bottom)).powi(2).min(MOST_MOMENTUM);
        let limit = SAFETY * 2.0 * (1.0 - momentum) / largest;
        Self { learning_rate: (2.0 / (top + bottom)).powi(2).min(limit), momentum }
    }
}

/// The damped range of the bulk's and the outliers' eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Controller {
    /// L, averaged and not below the last measurement.
    pub(crate) largest: f64,
    /// μ, averaged.
    pub(crate) smallest: f64,
    /// The average of L.
    pub(crate) average: f64,
    /// Gradient equivalents on one batch since the epoch began.
    pub(crate) cost: f64,
}

impl Controller {
    /// After another measurement; nothing is known of a matrix that is zero.
    pub(crate) fn updated(before: Option<Self>, operator: &dyn SymmetricOperator, seed: u64) -> Result<Option<Self>> {
        let options = DensityOptions { probes: 1, steps: LANCZOS_STEPS, seed, ..DensityOptions::default() };
        let density = options.density(operator, &Deflated::default(), |_, _| Ok(()))?;
        let cost = density.products as f64 * CurvatureMatrix::GaussNewton.gradient_equivalents(1.0);
        let Some((largest, smallest)) = range(&density.nodes, &density.weights, operator.dimension()) else {
            return Ok(before.map(|before| Self { cost: before.cost + cost, ..before }));
        };
        Ok(Some(match before {
            None => Self { largest, smallest, average: largest, cost },
            Some(before) => {
                let average = damped(before.average, largest);
                let smallest = damped(before.smallest, smallest);
                Self { largest: average.max(largest), smallest, average, cost: before.cost + cost }
            }
        }))
    }

    pub(crate) fn choice(&self) -> HeavyBall {
        HeavyBall::optimum(self.largest, self.smallest)
    }
}

fn damped(before: f64, now: f64) -> f64 {
    (before.ln() * (1.0 - DAMPING) + now.ln() * DAMPING).exp()
}

/// L and μ of Ritz values and their weights, unless there is nothing positive.
fn range(nodes: &[f64], weights: &[f64], dimension: usize) -> Option<(f64, f64)> {
    let largest = nodes.iter().copied().fold(0.0, f64::max);
    let single = 1.0 / dimension as f64;
    let bulk = nodes.iter().zip(weights).filter(|(node, weight)| **node > ZERO * largest && **weight > single);
    let smallest = bulk.map(|(node, _)| *node).fold(largest, f64::min);
    (largest > 0.0).then_some((largest, smallest))
}

/// The generalized Gauss-Newton matrix of the mean loss of a batch.
pub(crate) struct BatchGaussNewton<'a> {
    pub(crate) linearization: &'a Linearization<'a>,
    /// What the samples count.
    pub(crate) weight: f64,
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
}

impl SymmetricOperator for BatchGaussNewton<'_> {
    fn dimension(&self) -> usize {
        self.linearization.tape().program().parameters().len()
    }

    fn device(&self) -> &Device {
        self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn apply(&self, v: &Tensor) -> Result<Tensor> {
        if v.rank() == 1 {
            return Ok((self.linearization.gauss_newton(v)?.joined()? / self.weight)?);
        }
        let rows = (0..v.dim(0)?).map(|row| self.apply(&v.get(row)?)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&rows, 0)?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    /// Rounding of ten Lanczos steps in f64.
    const TOLERANCE: f64 = 1e-10;

    /// A diagonal matrix in which each of the eigenvalues occurs twenty times.
    fn quadratic(eigenvalues: &[f64]) -> Tensor {
        let diagonal: Vec<f64> = eigenvalues.iter().flat_map(|&value| [value; 20]).collect();
        let n = diagonal.len();
        let element = |i: usize| if i / n == i % n { diagonal[i / n] } else { 0.0 };
        Tensor::from_vec((0..n * n).map(element).collect::<Vec<f64>>(), (n, n), &Device::Cpu).unwrap()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= TOLERANCE * expected.abs()
    }

    #[test]
    fn a_known_spectrum_gives_the_heavy_ball_optimum() {
        let controller = Controller::updated(None, &quadratic(&[1.0, 1.5, 2.25]), 0).unwrap().unwrap();
        assert!(close(controller.largest, 2.25) && close(controller.smallest, 1.0), "{controller:?}");
        let chosen = controller.choice();
        assert!(close(chosen.learning_rate, 0.64) && close(chosen.momentum, 0.04), "{chosen:?}");
        assert!(close(controller.cost, 3.0 * 4.0 / 3.0), "three products span the space: {}", controller.cost);
    }

    #[test]
    fn zeros_are_no_part_of_the_bulk() {
        let controller = Controller::updated(None, &quadratic(&[0.0, 0.5, 3.0]), 1).unwrap().unwrap();
        assert!(close(controller.largest, 3.0) && close(controller.smallest, 0.5), "{controller:?}");
        assert_eq!(Controller::updated(None, &quadratic(&[0.0]), 0).unwrap(), None);
    }

    #[test]
    fn an_eigenvalue_alone_is_no_bulk() {
        assert_eq!(range(&[5.0, 1.0, 0.1], &[0.2, 0.75, 0.001], 100), Some((5.0, 1.0)));
        assert_eq!(range(&[5.0], &[0.001], 100), Some((5.0, 5.0)));
        assert_eq!(range(&[-1.0], &[1.0], 100), None);
    }

    #[test]
    fn learning_rate_and_momentum_are_clipped() {
        let chosen = HeavyBall::optimum(1.0, 1e-9);
        assert_eq!(chosen.momentum, MOST_MOMENTUM);
        assert!(close(chosen.learning_rate, SAFETY * 2.0 * (1.0 - MOST_MOMENTUM)));
        for smallest in [1e-12, 1e-3, 0.1, 0.5, 1.0] {
            let HeavyBall { learning_rate, momentum } = HeavyBall::optimum(1.0, smallest);
            assert!((0.0..=MOST_MOMENTUM).contains(&momentum));
            assert!(learning_rate <= SAFETY * 2.0 * (1.0 - momentum));
        }
    }

    #[test]
    fn a_rise_counts_at_once_and_a_fall_by_half() {
        let first = Controller::updated(None, &quadratic(&[1.0]), 0).unwrap();
        let risen = Controller::updated(first, &quadratic(&[4.0]), 0).unwrap();
        let fallen = Controller::updated(risen, &quadratic(&[0.5]), 0).unwrap().unwrap();
        let risen = risen.unwrap();
        assert!(close(risen.largest, 4.0) && close(risen.average, 2.0) && close(risen.smallest, 2.0), "{risen:?}");
        assert!(close(fallen.largest, 1.0) && close(fallen.smallest, 1.0), "{fallen:?}");
    }
}
