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
//! - L is the largest Ritz value of all measurements so far; κ = L/μ is that of each measurement, averaged as a logarithm with
//!   weight [`DAMPING`] for the new value. μ is the smallest Ritz value of the bulk: above [`ZERO`] · L, and with a weight above
//!   1/P, what a single eigenvalue has on average;
//! - ρ is at most [`MOST_MOMENTUM`], and α at most [`SAFETY`] · 2(1 − ρ)/L: the rate α/(1 − ρ) at which steps add up along a gradient
//!   that stays is then stable without momentum. The limit 2(1 + ρ)/L holds for a fixed quadratic without noise; networks
//!   trained at it diverge.
//!
//! L never falls because a measurement sees one batch and its learning rate meets fifty others. The Gauss-Newton matrix of
//! samples that are fitted vanishes with their loss, whatever the Jacobian; a batch with a sample that is not fitted has the
//! curvature that was seen before. An average that forgets lets such rare batches have steps of any length, as the one of
//! Adam does (Reddi, Kale and Kumar, "On the convergence of Adam and beyond", 2018); their remedy is the same, a maximum. κ does
//! not change when the whole matrix grows or vanishes.

use basin_objective::Result;
use basin_sharpness::{CurvatureMatrix, Deflated, DensityOptions, SymmetricOperator};
use candle_core::{DType, Device, Tensor};

use crate::batch::BatchAt;

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

/// What the measurements so far have shown; at first nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Controller {
    /// L; zero while every matrix was zero.
    pub(crate) largest: f64,
    /// κ, averaged; means nothing while L is zero.
    pub(crate) condition: f64,
    /// Gradient equivalents on one batch since the epoch began.
    pub(crate) cost: f64,
}

impl Controller {
    /// Whether to measure before the update that comes after `updates` of them. Of a matrix that was zero nothing is known, so
    /// that every batch is asked until one is not.
    pub(crate) fn is_due(&self, updates: u64) -> bool {
        self.largest == 0.0 || updates.is_multiple_of(EVERY)
    }

    /// After another measurement, on a matrix of which `kept_share` of the samples stay linearized between products.
    ///
    /// # Errors
    /// [`basin_objective::Error::NotFinite`] when a product is not finite.
    pub(crate) fn measured(self, operator: &dyn SymmetricOperator, kept_share: f64, seed: u64) -> Result<Self> {
        let options = DensityOptions { probes: 1, steps: LANCZOS_STEPS, seed, ..DensityOptions::default() };
        let density = options.density(operator, &Deflated::default(), |_, _| Ok(()))?;
        let product = CurvatureMatrix::GaussNewton.gradient_equivalents(kept_share);
        let cost = self.cost + density.products as f64 * product;
        let Some((largest, smallest)) = range(&density.nodes, &density.weights, operator.dimension()) else {
            return Ok(Self { cost, ..self });
        };
        let now = largest / smallest;
        let condition = match self.largest {
            0.0 => now,
            _ => (self.condition.ln() * (1.0 - DAMPING) + now.ln() * DAMPING).exp(),
        };
        Ok(Self { largest: self.largest.max(largest), condition, cost })
    }

    /// μ: the smallest eigenvalue that belongs to L.
    pub(crate) fn smallest(&self) -> f64 {
        if self.largest == 0.0 { 0.0 } else { self.largest / self.condition }
    }

    /// No step is safe while nothing is known.
    pub(crate) fn choice(&self) -> HeavyBall {
        if self.largest == 0.0 {
            return HeavyBall { learning_rate: 0.0, momentum: 0.0 };
        }
        HeavyBall::optimum(self.largest, self.smallest())
    }
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
    pub(crate) batch: &'a BatchAt<'a>,
    pub(crate) dimension: usize,
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
}

impl SymmetricOperator for BatchGaussNewton<'_> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn device(&self) -> &Device {
        self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn apply(&self, v: &Tensor) -> Result<Tensor> {
        if v.rank() == 1 {
            return self.batch.gauss_newton(v);
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

    fn measured(before: Controller, eigenvalues: &[f64]) -> Controller {
        before.measured(&quadratic(eigenvalues), 1.0, 0).unwrap()
    }

    #[test]
    fn a_known_spectrum_gives_the_heavy_ball_optimum() {
        let controller = measured(Controller::default(), &[1.0, 1.5, 2.25]);
        assert!(close(controller.largest, 2.25) && close(controller.smallest(), 1.0), "{controller:?}");
        let chosen = controller.choice();
        assert!(close(chosen.learning_rate, 0.64) && close(chosen.momentum, 0.04), "{chosen:?}");
        assert!(close(controller.cost, 3.0 * 4.0 / 3.0), "three products span the space: {}", controller.cost);
    }

    #[test]
    fn zeros_are_no_part_of_the_bulk() {
        let controller = measured(Controller::default(), &[0.0, 0.5, 3.0]);
        assert!(close(controller.largest, 3.0) && close(controller.smallest(), 0.5), "{controller:?}");
    }

    #[test]
    fn a_matrix_that_is_zero_leaves_what_is_known_and_costs_its_product() {
        let unknown = measured(Controller::default(), &[0.0]);
        assert_eq!(unknown.choice(), HeavyBall { learning_rate: 0.0, momentum: 0.0 });
        assert!(unknown.is_due(1) && close(unknown.cost, 4.0 / 3.0), "{unknown:?}");
        let known = measured(unknown, &[2.0]);
        assert!(close(known.largest, 2.0) && close(known.condition, 1.0), "{known:?}");
        assert!(!known.is_due(1) && known.is_due(EVERY));
        assert_eq!(measured(known, &[0.0]), Controller { cost: known.cost + 4.0 / 3.0, ..known });
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
    fn the_largest_eigenvalue_is_kept_and_the_condition_number_damped() {
        let first = measured(Controller::default(), &[1.0]);
        let risen = measured(first, &[1.0, 4.0]);
        assert!(close(risen.largest, 4.0) && close(risen.condition, 2.0), "{risen:?}");
        let vanished = measured(risen, &[1e-6, 2e-6]);
        assert!(close(vanished.largest, 4.0) && close(vanished.condition, 2.0), "{vanished:?}");
    }
}
