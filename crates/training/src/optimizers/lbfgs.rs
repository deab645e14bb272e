//! L-BFGS (Nocedal and Wright, "Numerical optimization", 2006, algorithms 7.4 and 7.5) for losses of which every step sees all
//! samples. The direction is −B g, with B the inverse Hessian that the last pairs s = Δθ, y = Δg imply, by the two-loop recursion
//! from B₀ = (sᵀy / yᵀy) I.
//!
//! - The line is searched from the length η, the first time min(1, 1/‖g‖₁) η as in PyTorch, by halving until
//!   L(θ + t d) ≤ L(θ) + c₁ t gᵀd (algorithm 3.1).
//! - Halving does not make sᵀy positive, as a search for the Wolfe conditions does: a pair without enough of it is left out.
//! - Where no length is found θ stays and the pairs are forgotten, so that the next step is along −g.
//!
//! A step costs two gradients, and one more for each halving.

use std::collections::VecDeque;

use basin_objective::Error;
use basin_tape::vector::{dot, total};
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::rule::{Batch, BatchRule, Resume, Saved};
use crate::Result;

/// c₁, the share of the first-order decrease that is asked for (Nocedal and Wright, page 33).
const DECREASE: f64 = 1e-4;
/// Halvings after which a line is given up: the step is then a millionth of the first.
const HALVINGS: usize = 20;
/// The least sᵀy / (‖s‖ ‖y‖) of a pair that is kept: below it rounding may have set the sign.
const CURVATURE: f64 = 1e-8;

/// Settings of L-BFGS.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_tape::Layout;
/// use basin_training::{ObjectiveAt, Optimizer, OptimizerSettings, LbfgsSettings};
/// use candle_core::{Device, Tensor, Var};
///
/// let hessian = Tensor::new(&[[1.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Var::from_tensor(&Tensor::new(&[3.0, 4.0], &Device::Cpu)?)?;
/// let mut layout = Layout::default();
/// layout.push("theta", &[2]);
/// let settings = OptimizerSettings::Lbfgs(LbfgsSettings::default());
/// let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings)?;
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 1.0)?;
/// // The first step has the length 1 in the sum of sizes along the gradient, the second knows the curvature.
/// optimizer.step(&theta, &ObjectiveAt::new(&quadratic, theta.as_detached_tensor())?, 1.0)?;
/// assert!(theta.to_vec1::<f64>()?.iter().all(|x| x.abs() < 1e-12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LbfgsSettings {
    /// η, where the search of the line begins; 1 is the length that the model of the loss asks for.
    pub learning_rate: f64,
    /// Pairs that are remembered; Nocedal and Wright report good results with 3 to 20.
    pub history: usize,
}

impl Default for LbfgsSettings {
    fn default() -> Self {
        Self { learning_rate: 1.0, history: 10 }
    }
}

impl LbfgsSettings {
    pub(super) fn check(&self) -> Result<()> {
        match self.history {
            0 => Err(Error::input("the history of L-BFGS holds 0 pairs", "give at least 1; 10 is usual").into()),
            _ => Ok(()),
        }
    }
}

/// L-BFGS.
#[derive(Debug)]
pub(super) struct Lbfgs {
    settings: LbfgsSettings,
    /// s and y, the oldest first.
    pairs: VecDeque<(Tensor, Tensor)>,
    theta: Var,
    steps: u64,
}

impl Lbfgs {
    pub(super) fn new(settings: LbfgsSettings, theta: &Var) -> Self {
        Self { settings, pairs: VecDeque::new(), theta: theta.clone(), steps: 0 }
    }

    /// −B g.
    fn direction(&self, gradient: &Tensor) -> Result<Tensor> {
        let mut direction = gradient.neg()?;
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (s, y) in self.pairs.iter().rev() {
            let share = dot(s, &direction)? / dot(s, y)?;
            direction = (direction - (y * share)?)?;
            shares.push(share);
        }
        if let Some((s, y)) = self.pairs.back() {
            direction = (direction * (dot(s, y)? / dot(y, y)?))?;
        }
        for ((s, y), share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let correction = share - dot(y, &direction)? / dot(s, y)?;
            direction = (direction + (s * correction)?)?;
        }
        Ok(direction)
    }

    /// The length from which the line is searched.
    fn first_length(&self, gradient: &Tensor, learning_rate: f64) -> Result<f64> {
        if self.steps > 0 {
            return Ok(learning_rate);
        }
        Ok(learning_rate * total(&gradient.abs()?)?.recip().min(1.0))
    }

    fn remember(&mut self, s: Tensor, y: Tensor) -> Result<()> {
        let scale = (dot(&s, &s)? * dot(&y, &y)?).sqrt();
        if dot(&s, &y)? > CURVATURE * scale {
            self.pairs.push_back((s, y));
            if self.pairs.len() > self.settings.history {
                self.pairs.pop_front();
            }
        }
        Ok(())
    }
}

impl Resume for Lbfgs {
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let numbered = |(i, (s, y)): (usize, &(Tensor, Tensor))| {
            [(format!("displacement.{i}"), s.clone()), (format!("gradient_change.{i}"), y.clone())]
        };
        let pairs = self.pairs.iter().enumerate().flat_map(numbered);
        Ok([("pairs".into(), count(self.pairs.len())?)].into_iter().chain(pairs).collect())
    }

    fn restore(&mut self, steps: u64, saved: &Saved<'_>) -> Result<()> {
        self.steps = steps;
        let pairs: f64 = saved("pairs", &count(0)?)?.to_scalar()?;
        let vector = |name: &str, i: usize| saved(&format!("{name}.{i}"), &self.theta);
        let pair = |i| Ok((vector("displacement", i)?, vector("gradient_change", i)?));
        self.pairs = (0..(pairs as usize).min(self.settings.history)).map(pair).collect::<Result<_>>()?;
        Ok(())
    }
}

/// A number of pairs, as it is saved.
fn count(pairs: usize) -> Result<Tensor> {
    Ok(Tensor::new(pairs as f64, &Device::Cpu)?)
}

impl BatchRule for Lbfgs {
    fn step(&mut self, theta: &Var, batch: &dyn Batch, learning_rate: f64) -> Result<()> {
        let gradient = batch.gradient()?;
        let direction = self.direction(&gradient)?;
        let slope = dot(&gradient, &direction)?;
        let mut length = self.first_length(&gradient, learning_rate)?;
        self.steps += 1;
        let here = theta.as_detached_tensor();
        // Rounding may turn a direction of descent.
        let lengths = if slope <= 0.0 { HALVINGS + 1 } else { 0 };
        for _ in 0..lengths {
            let displacement = (&direction * length)?;
            let there = (&here + &displacement)?;
            let (loss, gradient_there) = batch.at(&there)?;
            if loss <= batch.loss() + DECREASE * length * slope {
                self.remember(displacement, (gradient_there - gradient)?)?;
                return Ok(theta.set(&there)?);
            }
            length /= 2.0;
        }
        self.pairs.clear();
        Ok(())
    }
}
