//! Where descent from a point begins to diverge, by short runs.
//!
//! A learning rate is stable at a minimum if descent that starts there stays there. Linear stability says up to which rate that
//! holds for a quadratic; here it is tried on the loss itself, at multiples of a rate that a theory predicts.

use basin_objective::{Error as ObjectiveError, Result as ObjectiveResult, SampledObjective, random};
use basin_records::batch_hessian::{Descent, Divergence, Run};
use candle_core::{Tensor, Var};
use candle_nn::Optimizer as _;

use crate::optimizers::{Adam, AdamSettings, GradientRule, Resume as _, Sgd, SgdSettings};
use crate::{LearningRate, Result};

/// Losses of all samples that are taken along a run at the most.
const LOOKS: usize = 10;
/// Steps after which Adam's running means count as settled: what is left of its start is 0.999 to this power, nothing.
const SETTLED: u64 = 1_000_000;

/// Which runs are made.
#[derive(Clone, Debug)]
pub struct StabilityCheck {
    /// Learning rates over the predicted one, ascending.
    pub multiples: Vec<f64>,
    /// Optimizer steps of each run: a curvature of which the rate is 1.2 times its limit grows by 10¹⁴ within 100.
    pub steps: usize,
    /// Runs at each rate, with other batches.
    pub runs: usize,
    /// Seed of the batches.
    pub seed: u64,
}

impl Default for StabilityCheck {
    fn default() -> Self {
        Self { multiples: vec![0.125, 0.25, 0.5, 1.0, 2.0, 4.0], steps: 100, runs: 3, seed: 0 }
    }
}

/// An optimizer at a batch size, and the rate of which multiples are tried.
#[derive(Clone, Debug)]
pub struct Descending {
    /// B.
    pub batch_size: usize,
    /// The predicted limit.
    pub learning_rate: f64,
    /// The optimizer.
    pub by: DescentRule,
}

/// How a run descends.
#[derive(Clone, Debug)]
pub enum DescentRule {
    /// Gradient descent with momentum μ, which may be 0.
    HeavyBall {
        /// μ.
        momentum: f64,
    },
    /// Adam whose second moments have settled.
    Adam {
        /// β₁.
        beta1: f64,
        /// ε.
        epsilon: f64,
        /// E(g_B²) at the start, elementwise.
        second_moment: Tensor,
    },
}

impl DescentRule {
    fn name(&self) -> Descent {
        match self {
            Self::HeavyBall { momentum: 0.0 } => Descent::Sgd,
            Self::HeavyBall { .. } => Descent::Momentum,
            Self::Adam { .. } => Descent::Adam,
        }
    }

    fn rule(&self, theta: &Var, learning_rate: f64) -> Result<Box<dyn GradientRule>> {
        let vars = vec![theta.clone()];
        match self {
            Self::HeavyBall { momentum } => {
                let learning_rate = LearningRate::Fixed(learning_rate);
                let settings = SgdSettings { learning_rate, momentum: *momentum, ..SgdSettings::default() };
                Ok(Box::new(Sgd::new(vars, settings)?))
            }
            Self::Adam { beta1, epsilon, second_moment } => {
                let settings =
                    AdamSettings { learning_rate, beta1: *beta1, epsilon: *epsilon, ..AdamSettings::default() };
                let mut adam = Adam::new(vars, settings)?;
                adam.restore(SETTLED, &|name, like| match name {
                    "second_moment" => Ok(second_moment.to_dtype(like.dtype())?),
                    _ => Ok(like.zeros_like()?),
                })?;
                Ok(Box::new(adam))
            }
        }
    }
}

/// The loss at `theta`, and the one above which a run from there counts as diverged: that of parameters which are all zero, with
/// which a network says nothing, or twice that of the start if it is larger.
///
/// # Errors
/// When the loss cannot be computed.
pub fn divergence_level(objective: &dyn SampledObjective, theta: &Tensor) -> ObjectiveResult<(f64, f64)> {
    objective.with_all(|all| {
        let start = all.evaluate(theta)?.loss;
        let silent = all.evaluate(&theta.zeros_like()?)?.loss;
        Ok((start, silent.max(2.0 * start)))
    })
}

impl StabilityCheck {
    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// When there are no multiples, one is not positive, they do not ascend, or there are no steps or runs.
    pub fn check(&self) -> ObjectiveResult<()> {
        let positive = self.multiples.iter().all(|multiple| *multiple > 0.0 && multiple.is_finite());
        if self.multiples.is_empty() || !positive || !self.multiples.is_sorted_by(|a, b| a < b) {
            return Err(ObjectiveError::input(
                "the multiples of the learning rate are not ascending positive numbers",
                "give them like 0.25,0.5,1,2,4",
            ));
        }
        if self.steps == 0 || self.runs == 0 {
            return Err(ObjectiveError::input("a check of no steps or runs", "give at least 1 of each"));
        }
        Ok(())
    }

    /// Steps of all runs.
    pub fn total_steps(&self) -> usize {
        self.multiples.len() * self.runs * self.steps
    }

    /// What a run cost, in gradients of single samples; a loss alone is a third of one.
    pub fn sample_gradients(&self, run: &Run, batch_size: usize, samples: usize) -> f64 {
        let steps = run.steps as usize;
        let looks = steps.div_ceil(self.steps.div_ceil(LOOKS));
        (steps * batch_size) as f64 + (looks * samples) as f64 / 3.0
    }

    /// Runs from `theta`, each until the loss of all samples, looked at ten times, is above `level`. Each batch is drawn without
    /// replacement, independently of the others; the i-th run sees the same batches at every rate. `observe` is told the steps
    /// done, and may be called by several threads.
    ///
    /// ```
    /// use basin_objective::{Objective, Quadratic, Result, SampledObjective};
    /// use basin_training::{Descending, DescentRule, StabilityCheck, divergence};
    /// use candle_core::{Device, Tensor};
    ///
    /// /// The same quadratic of curvature 4 for every sample.
    /// struct Same(Quadratic);
    /// impl SampledObjective for Same {
    ///     fn samples(&self) -> usize {
    ///         10
    ///     }
    ///     fn side_by_side(&self) -> bool {
    ///         true
    ///     }
    ///     fn on_batch(&self, _: &[usize], then: &mut dyn FnMut(&dyn Objective) -> Result<()>) -> Result<()> {
    ///         then(&self.0)
    ///     }
    /// }
    ///
    /// let quadratic = Quadratic::new(Tensor::new(&[[4.0]], &Device::Cpu)?, Tensor::new(&[0.0], &Device::Cpu)?)?;
    /// let by = DescentRule::HeavyBall { momentum: 0.0 };
    /// let descending = Descending { batch_size: 2, learning_rate: 2.0 / 4.0, by };
    /// let check = StabilityCheck { multiples: vec![0.9, 1.1], ..StabilityCheck::default() };
    /// let start = Tensor::new(&[0.1], &Device::Cpu)?;
    /// let runs = check.run(&Same(quadratic), &start, &descending, 1.0, |_| Ok(()))?;
    /// let between = divergence(&runs).map(|found| (found.stable, found.diverging));
    /// assert_eq!(between, Some((Some(0.45), Some(0.55))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a gradient cannot be computed, or `observe` returns an error.
    pub fn run(
        &self,
        objective: &dyn SampledObjective,
        theta: &Tensor,
        descending: &Descending,
        level: f64,
        observe: impl Fn(usize) -> ObjectiveResult<()> + Sync,
    ) -> Result<Vec<Run>> {
        let runs = self.multiples.iter().flat_map(|&multiple| (0..self.runs).map(move |run| (multiple, run)));
        let runs: Vec<(f64, usize)> = runs.collect();
        objective.work(
            &runs,
            |_| descending.batch_size,
            runs.len(),
            |&(multiple, run)| {
                let found = self.one(objective, theta, descending, (multiple, run, level), &observe)?;
                observe(self.steps - found.steps as usize)?;
                Ok(found)
            },
        )
    }

    fn one(
        &self,
        objective: &dyn SampledObjective,
        start: &Tensor,
        descending: &Descending,
        (multiple, run, level): (f64, usize, f64),
        observe: &(dyn Fn(usize) -> ObjectiveResult<()> + Sync),
    ) -> Result<Run> {
        let Descending { batch_size, learning_rate, ref by } = *descending;
        let learning_rate = multiple * learning_rate;
        let theta = Var::from_tensor(&start.copy()?)?;
        let mut rule = by.rule(&theta, learning_rate)?;
        let (mut step, mut loss, mut diverged) = (0, f64::NAN, false);
        while step < self.steps && !diverged {
            let positions = self.batch(objective.samples(), batch_size, run, step);
            let gradient = objective.with_batch(&positions, |batch| Ok(batch.gradient(theta.as_tensor())?.1))?;
            rule.update(&theta, gradient, learning_rate)?;
            step += 1;
            observe(1)?;
            if step % self.steps.div_ceil(LOOKS) == 0 || step == self.steps {
                loss = objective.with_all(|all| Ok(all.evaluate(theta.as_tensor())?.loss))?;
                diverged = loss.is_nan() || loss > level;
            }
        }
        Ok(Run { optimizer: by.name(), multiple, learning_rate, run: run as u64, steps: step as u64, loss, diverged })
    }

    fn batch(&self, samples: usize, batch_size: usize, run: usize, step: usize) -> Vec<usize> {
        let mut rng = random::stream(self.seed, "stability", &format!("{batch_size} {run} {step}"));
        let mut positions = rand::seq::index::sample(&mut rng, samples, batch_size).into_vec();
        positions.sort_unstable();
        positions
    }
}

/// Between which learning rates the runs of one optimizer begin to diverge; none without runs.
pub fn divergence(runs: &[Run]) -> Option<Divergence> {
    let optimizer = runs.first()?.optimizer;
    let mut runs: Vec<&Run> = runs.iter().collect();
    runs.sort_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate));
    let rates: Vec<(f64, bool, bool)> = runs
        .chunk_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate).is_eq())
        .map(|at| (at[0].learning_rate, at.iter().all(|run| !run.diverged), at.iter().all(|run| run.diverged)))
        .collect();
    let stable = rates.iter().take_while(|(_, stable, _)| *stable).last();
    let diverging = rates.iter().rev().take_while(|(_, _, diverged)| *diverged).last();
    Some(Divergence { optimizer, stable: stable.map(|rate| rate.0), diverging: diverging.map(|rate| rate.0) })
}
