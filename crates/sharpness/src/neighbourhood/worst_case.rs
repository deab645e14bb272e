//! Worst-case sharpness: max L(θ + δ) − L(θ) over a ball, by Auto-PGD.
//!
//! Auto-PGD (Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
//! attacks", ICML 2020) ascends with momentum inside the ball,
//!
//! zₖ₊₁ = P(uₖ + η d(uₖ)),  uₖ₊₁ = P(uₖ + α (zₖ₊₁ − uₖ) + (1 − α)(uₖ − uₖ₋₁)),  α = 0.75,
//!
//! with the projection P and the steepest direction d of the norm, from η = 2ρ; the first step has no momentum, u₁ = z₁.
//! At checkpoints that follow each other ever faster, η is halved and the search returns to the best point so far where
//! fewer than three quarters of the steps since the last checkpoint rose, or where neither η nor the best value has changed
//! since then. From there it goes on without momentum: the step that led away from the best point is no direction to keep.

use basin_objective::random::stream;
use basin_objective::{Error, Result};
use basin_records::sharpness::{Measure, Measurement, Norm};
use candle_core::Tensor;

use super::{Ball, Centre, Observe};
use crate::statistics::Moments;

/// α, the weight of the new step against the momentum.
const MOMENTUM: f64 = 0.75;
/// The share of steps that must have risen for η to stay.
const RISING: f64 = 0.75;
/// The first checkpoint, and by how much less of the iterations each next one follows, down to a least distance.
const FIRST_CHECKPOINT: f64 = 0.22;
const CHECKPOINTS_CLOSER: f64 = 0.03;
const LEAST_CHECKPOINT: f64 = 0.06;
/// What rounding may add to a checkpoint that falls on an iteration.
const ROUNDING: f64 = 1e-6;
/// A start whose best value rose by more than this share of it in its last quarter had not come to its end.
const STILL_RISING: f64 = 0.01;
/// More iterations or starts are a slip of the hand.
const MOST: usize = 1_000_000;

/// How long is searched, and from where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorstCase {
    /// Iterations of each start.
    pub iterations: usize,
    /// Starts: θ itself where the loss has a slope there, and random points of the ball.
    pub starts: usize,
    /// From which random points are drawn.
    pub seed: u64,
}

impl Default for WorstCase {
    fn default() -> Self {
        Self { iterations: 50, starts: 3, seed: 0 }
    }
}

impl WorstCase {
    /// Whether this can be searched.
    ///
    /// # Errors
    /// When a number is 0 or too large.
    pub fn check(&self) -> Result<()> {
        for (what, count) in [("iterations", self.iterations), ("starts", self.starts)] {
            if !(1..=MOST).contains(&count) {
                let hint = format!("give 1 to {MOST}");
                return Err(Error::input(format!("the number of {what} is {count}"), hint));
            }
        }
        Ok(())
    }
}

/// max L(θ + δ) − L(θ) over a ball, in units of the loss: a lower bound, for nothing certifies a maximum of a network.
///
/// `value` is the best of the starts, at least 0 for δ = 0 lies in the ball, and `spread` the standard deviation over
/// them. `converged` says that the best start rose by at most 1 % in its last quarter; it does not say that a better start
/// would end at the same value. A start costs one gradient an iteration.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_records::sharpness::Norm;
/// use basin_sharpness::neighbourhood::{Ball, Centre, WorstCase, worst_case};
/// use candle_core::{Device, Tensor};
///
/// // At the minimum of θ₀² + 2 θ₁² the maximum is ½ ρ² λ_max.
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let zero = Tensor::new(&[0.0, 0.0], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, zero.clone())?;
/// let ball = Ball { norm: Norm::L2, adaptive: false, rho: 0.1 };
/// let found = worst_case(&Centre::new(&quadratic, &zero)?, &ball, &WorstCase::default(), &mut |_| Ok(()))?;
/// assert!((found.value - 0.02).abs() < 1e-6 && found.lower_bound && found.converged);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When ρ is not positive, a number is 0, or the objective fails.
pub fn worst_case(
    centre: &Centre<'_>,
    ball: &Ball,
    search: &WorstCase,
    observe: &mut Observe<'_>,
) -> Result<Measurement> {
    ball.check()?;
    search.check()?;
    let slope = ball.scaled(centre.gradient(), centre.theta())?;
    // Where the slope is lost in rounding, θ is no place to start from.
    let sloped = ball.rho * ball.dual_norm(&slope)? > centre.resolution();
    let mut ascents = Vec::with_capacity(search.starts);
    for start in 0..search.starts {
        let at_theta = start == 0 && sloped;
        let u = if at_theta {
            centre.theta().zeros_like()?
        } else {
            ball.uniform(&mut stream(search.seed, "worst-case start", &start.to_string()), centre.theta())?
        };
        ascents.push(Ascent::run(centre, ball, u, search.iterations, observe)?);
    }
    let values: Vec<f64> = ascents.iter().map(|ascent| ascent.best.rise).collect();
    let best = ascents.iter().max_by(|a, b| a.best.rise.total_cmp(&b.best.rise));
    let value = best.map_or(0.0, |best| best.best.rise.max(0.0));
    let rising = best.is_some_and(Ascent::still_rising);
    Ok(Measurement {
        rho: Some(ball.rho),
        spread: (values.len() > 1).then(|| Moments::of(&values).deviation()),
        lower_bound: true,
        converged: !rising && value > 0.0,
        reason: reason(value, rising, sloped, ascents.iter().map(|ascent| ascent.non_finite).sum()),
        iterations: Some(search.iterations as u64),
        starts: Some(search.starts as u64),
        ..Measurement::new(measure(ball), value)
    })
}

fn reason(value: f64, rising: bool, sloped: bool, non_finite: usize) -> String {
    let mut reason = match (value > 0.0, rising) {
        (false, _) => "nothing above the loss at θ was found".to_owned(),
        (true, true) => "the best start still rose by more than 1 % in its last quarter".to_owned(),
        (true, false) => "the best start has come to its end".to_owned(),
    };
    if !sloped {
        reason += "; all starts are random, for the gradient at θ is zero to rounding";
    }
    if non_finite > 0 {
        reason += &format!("; the loss was not finite at {non_finite} points, which do not count");
    }
    reason
}

fn measure(ball: &Ball) -> Measure {
    match (ball.adaptive, ball.norm) {
        (false, Norm::L2) => Measure::WorstL2,
        (false, Norm::Linf) => Measure::WorstLinf,
        (true, Norm::L2) => Measure::AdaptiveWorstL2,
        (true, Norm::Linf) => Measure::AdaptiveWorstLinf,
    }
}

/// A point of the ball with what is known there.
#[derive(Clone)]
struct Visited {
    u: Tensor,
    /// L(θ + c∘u) − L(θ).
    rise: f64,
    /// c∘∇L.
    slope: Tensor,
}

/// One ascent from one start.
struct Ascent {
    best: Visited,
    /// The best value when the last quarter of the iterations began.
    before_last_quarter: f64,
    non_finite: usize,
}

impl Ascent {
    fn run(
        centre: &Centre<'_>,
        ball: &Ball,
        start: Tensor,
        iterations: usize,
        observe: &mut Observe<'_>,
    ) -> Result<Self> {
        let mut visit = |u: Tensor| {
            let (rise, gradient) = centre.rise_and_gradient(&ball.scaled(&u, centre.theta())?)?;
            observe(1.0)?;
            Ok::<_, Error>(Visited { rise, slope: ball.scaled(&gradient, centre.theta())?, u })
        };
        let mut here = visit(start)?;
        let mut before: Option<Tensor> = None;
        let mut ascent = Self { best: here.clone(), before_last_quarter: f64::NEG_INFINITY, non_finite: 0 };
        if !here.rise.is_finite() {
            // Nothing is known but that the ball reaches too far; the best point is to be finite.
            ascent.best.rise = f64::NEG_INFINITY;
            ascent.non_finite = 1;
        }
        let mut steps = Steps::new(2.0 * ball.rho, iterations, ascent.best.rise);
        for iteration in 1..=iterations {
            let Some(direction) = ball.steepest(&here.slope)? else { break };
            let ahead = ball.project(&(&here.u + (direction * steps.size)?)?)?;
            let moved = match &before {
                None => ahead,
                Some(before) => {
                    let drift = ((ahead - &here.u)? * MOMENTUM)? + ((&here.u - before)? * (1.0 - MOMENTUM))?;
                    ball.project(&(&here.u + drift?)?)?
                }
            };
            let next = visit(moved)?;
            let rose = next.rise > here.rise;
            before = Some(std::mem::replace(&mut here, next).u);
            if !here.rise.is_finite() {
                ascent.non_finite += 1;
                // The same step from the best point would end there again.
                steps.size /= 2.0;
            } else if here.rise > ascent.best.rise {
                ascent.best = here.clone();
            }
            if 4 * iteration <= 3 * iterations {
                ascent.before_last_quarter = ascent.best.rise;
            }
            if steps.halved(iteration, rose, ascent.best.rise) || !here.rise.is_finite() {
                here = ascent.best.clone();
                before = None;
            }
        }
        Ok(ascent)
    }

    fn still_rising(&self) -> bool {
        self.best.rise - self.before_last_quarter > STILL_RISING * self.best.rise
    }
}

/// η and its checkpoints.
struct Steps {
    /// η.
    size: f64,
    iterations: usize,
    /// The last checkpoint and the next, as shares of the iterations.
    last: f64,
    next: f64,
    /// Since the last checkpoint: steps, those that rose, and whether η had been halved there.
    taken: usize,
    risen: usize,
    just_halved: bool,
    best: f64,
}

impl Steps {
    fn new(size: f64, iterations: usize, best: f64) -> Self {
        Self { size, iterations, last: 0.0, next: FIRST_CHECKPOINT, taken: 0, risen: 0, just_halved: true, best }
    }

    /// Counts a step; whether η is halved after it, so that the search is to return to the best point.
    fn halved(&mut self, iteration: usize, rose: bool, best: f64) -> bool {
        self.taken += 1;
        self.risen += usize::from(rose);
        if (iteration as f64) < self.next * self.iterations as f64 - ROUNDING {
            return false;
        }
        let few = (self.risen as f64) < RISING * self.taken as f64;
        let stuck = !self.just_halved && best <= self.best;
        let halve = few || stuck;
        if halve {
            self.size /= 2.0;
        }
        let apart = (self.next - self.last - CHECKPOINTS_CLOSER).max(LEAST_CHECKPOINT);
        (self.last, self.next) = (self.next, self.next + apart);
        (self.taken, self.risen, self.just_halved, self.best) = (0, 0, halve, best);
        halve
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use basin_objective::{Evaluation, Linearized, Objective, Quadratic};
    use candle_core::{DType, Device};

    #[test]
    fn checkpoints_are_those_of_the_paper() {
        // 0.22, then 0.19, 0.16, 0.13, 0.10, 0.07 and 0.06 of the iterations apart.
        let mut steps = Steps::new(1.0, 100, 0.0);
        let halvings: Vec<usize> = (1..=100).filter(|&i| steps.halved(i, false, 0.0)).collect();
        assert_eq!(halvings, [22, 41, 57, 70, 80, 87, 93, 99]);
        assert_eq!(steps.size, 2_f64.powi(-8));
    }

    #[test]
    fn a_step_that_keeps_rising_stays_and_one_that_is_stuck_is_halved() {
        let mut steps = Steps::new(1.0, 100, 0.0);
        assert!((1..=100).all(|i| !steps.halved(i, true, i as f64)));
        let mut steps = Steps::new(1.0, 100, 0.0);
        // At the first checkpoint there is no earlier one that η could have stayed since.
        let halvings: Vec<usize> = (1..=60).filter(|&i| steps.halved(i, true, 0.0)).collect();
        assert_eq!(halvings, [41]);
    }

    /// Notes every point at which a gradient is taken.
    struct Noted {
        inner: Quadratic,
        points: Mutex<Vec<(f64, f64)>>,
    }

    impl Objective for Noted {
        fn dimension(&self) -> usize {
            1
        }
        fn samples(&self) -> usize {
            1
        }
        fn device(&self) -> &Device {
            &Device::Cpu
        }
        fn dtype(&self) -> DType {
            DType::F64
        }
        fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
            self.inner.evaluate(theta)
        }
        fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
            let (loss, gradient) = self.inner.gradient(theta)?;
            self.points.lock().expect("no panic").push((theta.to_vec1::<f64>()?[0], loss));
            Ok((loss, gradient))
        }
        fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
            self.inner.sample_losses(theta)
        }
        fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
            self.inner.linearize(theta)
        }
    }

    /// Regression against a peer that kept δ where its step was halved: the next point must be one step of η
    /// from the best point so far, wherever the search had wandered.
    #[test]
    fn a_halved_step_starts_from_the_best_point() {
        let tensor = |x: f64| Tensor::new(&[x], &Device::Cpu).expect("a tensor");
        let hessian = Tensor::new(&[[-1.0]], &Device::Cpu).expect("a tensor");
        // A maximum inside the ball, over which a step of 2ρ leaps to and fro.
        let objective =
            Noted { inner: Quadratic::new(hessian, tensor(0.37)).expect("a quadratic"), points: Mutex::default() };
        let centre = Centre::new(&objective, &tensor(0.0)).expect("a centre");
        objective.points.lock().expect("no panic").clear();
        let ball = Ball { norm: Norm::Linf, adaptive: false, rho: 1.0 };
        Ascent::run(&centre, &ball, tensor(0.0), 50, &mut |_| Ok(())).expect("an ascent");
        let points = objective.points.lock().expect("no panic").clone();
        let (mut size, mut steps) = (2.0, Steps::new(2.0, 50, points[0].1));
        let (mut halvings, mut from) = (0, points[0].1);
        for k in 1..points.len() - 1 {
            // Of equals the first.
            let better = |a: (f64, f64), b: (f64, f64)| if b.1 > a.1 { b } else { a };
            let best = points[..=k].iter().copied().reduce(better).expect("a point");
            let rose = points[k].1 > from;
            from = points[k].1;
            if steps.halved(k, rose, best.1) {
                from = best.1;
                size /= 2.0;
                halvings += 1;
                let expected = (best.0 + size * (0.37 - best.0).signum()).clamp(-1.0, 1.0);
                assert!((points[k + 1].0 - expected).abs() < 1e-12, "{k}: {} instead of {expected}", points[k + 1].0);
            }
        }
        assert!(halvings >= 3, "{halvings}");
    }
}
