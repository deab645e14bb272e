//! L-BFGS-B: minimisation of a smooth function in a box with little memory.
//!
//! An iteration goes to the minimum of the quadratic model along the projected gradient path (`cauchy`), from there to
//! the minimum over the variables that are still free (`subspace`), and searches the line to that point
//! (`line_search`). The model is a limited-memory matrix in compact form (`matrices`).
//!
//! R. H. Byrd, P. Lu, J. Nocedal, C. Zhu: A limited memory algorithm for bound constrained optimization, SIAM J. Sci.
//! Comput. 16 (1995); J. L. Morales, J. Nocedal: Remark on Algorithm 778, ACM TOMS 38 (2011), whose version 3.0 this
//! follows step by step, so that iterates are those of `scipy.optimize.minimize(method="L-BFGS-B")` up to rounding.

use std::fmt;

use basin_objective::{Error, Result};

mod cauchy;
mod line_search;
mod matrices;
pub(crate) mod reductions;
mod subspace;

use cauchy::{CauchyPoint, cauchy_point};
use line_search::{LineSearch, Next};
use matrices::Memory;
use reductions::{dot, for_each, max, vector};
use subspace::subspace_minimum;

/// Trial steps of one line search after which the model is thrown away, as in SciPy (`maxls`).
const LINE_SEARCH_STEPS: usize = 20;
/// No step is longer, in multiples of the search direction, where nothing bounds it.
const LARGEST_STEP: f64 = 1e10;

/// L-BFGS-B with its settings.
///
/// ```
/// use basin_sharpness::{Bounds, Lbfgsb};
///
/// // (x₀ − 2)² + (x₁ + 1)² in the unit square.
/// let paraboloid = |x: &[f64]| {
///     let d = [x[0] - 2.0, x[1] + 1.0];
///     Ok((d[0] * d[0] + d[1] * d[1], vec![2.0 * d[0], 2.0 * d[1]]))
/// };
/// let bounds = Bounds { lower: &[0.0, 0.0], upper: &[1.0, 1.0] };
/// let minimum = Lbfgsb::default().minimize(vec![0.5, 0.5], &bounds, paraboloid, |_| {})?;
/// assert_eq!(minimum.x, [1.0, 0.0]);
/// assert_eq!(minimum.value, 2.0);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lbfgsb {
    /// Pairs (Δx, Δ∇f) the model remembers.
    pub memory: usize,
    /// Iterations after which to stop.
    pub max_iterations: usize,
    /// Evaluations that are never exceeded.
    pub max_evaluations: usize,
    /// Stop once the projected gradient has no larger element.
    pub gradient_tolerance: Option<f64>,
    /// Stop once (f − f₊) ≤ tolerance · max(|f|, |f₊|, 1).
    pub value_tolerance: Option<f64>,
}

impl Default for Lbfgsb {
    /// Ten pairs, no limits, no tolerances: stops where no descent is left.
    fn default() -> Self {
        Self {
            memory: 10,
            max_iterations: usize::MAX,
            max_evaluations: usize::MAX,
            gradient_tolerance: None,
            value_tolerance: None,
        }
    }
}

/// A box lower ≤ x ≤ upper; infinite where there is no bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// Least values.
    pub lower: &'a [f64],
    /// Largest values.
    pub upper: &'a [f64],
}

/// Why the minimisation stopped. Its text goes into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The iterations asked for are done.
    IterationLimit,
    /// The next evaluation would be one too many.
    EvaluationLimit,
    /// The projected gradient is within its tolerance.
    GradientTolerance,
    /// The last decrease is within its tolerance.
    ValueTolerance,
    /// The projected gradient is exactly zero: a stationary point or a corner of the box.
    Stationary,
    /// No step along the projected gradient lowers the value: rounding hides any descent, or the gradient is wrong.
    LineSearch,
    /// Value or gradient at the start is not finite.
    NonFinite,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IterationLimit => "iteration limit",
            Self::EvaluationLimit => "evaluation limit",
            Self::GradientTolerance => "gradient tolerance",
            Self::ValueTolerance => "value tolerance",
            Self::Stationary => "projected gradient is zero",
            Self::LineSearch => "line search found no progress",
            Self::NonFinite => "not finite at the start",
        })
    }
}

/// The best point that was evaluated, and how it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    /// Where the value is least; inside the box.
    pub x: Vec<f64>,
    /// The least value.
    pub value: f64,
    /// The largest element of the projected gradient at x.
    pub gradient_norm: f64,
    /// Accepted steps.
    pub iterations: usize,
    /// Evaluations of value and gradient, line searches included.
    pub evaluations: usize,
    /// Evaluations whose value or gradient was not finite.
    pub non_finite: usize,
    /// Why it stopped.
    pub reason: Reason,
}

/// An iterate, as it is shown to an observer.
#[derive(Clone, Copy, Debug)]
pub struct Iterate<'a> {
    /// Accepted steps so far.
    pub number: usize,
    /// The point.
    pub x: &'a [f64],
    /// The value there.
    pub value: f64,
    /// The largest element of the projected gradient there.
    pub gradient_norm: f64,
    /// Evaluations so far.
    pub evaluations: usize,
}

impl Lbfgsb {
    /// Minimises a function in a box; `function` gives value and gradient, `observe` sees each accepted step.
    ///
    /// A start outside of the box is projected onto it. A trial step where the function is not finite is shortened.
    ///
    /// # Errors
    /// When lengths differ, a lower bound exceeds its upper bound or is NaN, or the function fails.
    pub fn minimize(
        &self,
        start: Vec<f64>,
        bounds: &Bounds<'_>,
        function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>)>,
        observe: impl FnMut(Iterate<'_>),
    ) -> Result<Minimum> {
        self.check(&start, bounds)?;
        let mut x = start;
        for_each(&mut x, |i, x| *x = x.max(bounds.lower[i]).min(bounds.upper[i]));
        let mut function = Counted { function, evaluations: 0, non_finite: 0, bounds, best: None };
        let (value, gradient) = function.evaluate(&x)?;
        let point = Point { gradient_norm: projected_norm(&x, &gradient, bounds), x, value, gradient };
        let (reason, iterations) = match function.non_finite {
            0 => self.descend(point.clone(), &mut function, observe)?,
            _ => (Reason::NonFinite, 0),
        };
        let Counted { evaluations, non_finite, best, .. } = function;
        let (x, value, gradient_norm) = best.unwrap_or((point.x, point.value, point.gradient_norm));
        Ok(Minimum { x, value, gradient_norm, iterations, evaluations, non_finite, reason })
    }

    fn check(&self, start: &[f64], bounds: &Bounds<'_>) -> Result<()> {
        let (n, lower, upper) = (start.len(), bounds.lower, bounds.upper);
        if lower.len() != n || upper.len() != n {
            return Err(Error::input(
                format!("a point of {n} elements has {} lower and {} upper bounds", lower.len(), upper.len()),
                "give one of each per element, infinite where there is none",
            ));
        }
        let ordered = |i: usize| lower[i] <= upper[i];
        if let Some(i) = (0..n).find(|&i| !ordered(i)) {
            return Err(Error::input(
                format!("element {i} has the lower bound {} and the upper bound {}", lower[i], upper[i]),
                "a lower bound must not exceed the upper one",
            ));
        }
        if let Some(i) = start.iter().position(|x| !x.is_finite()) {
            return Err(Error::input(format!("element {i} of the start is {}", start[i]), "start at a finite point"));
        }
        if self.memory == 0 {
            return Err(Error::input("the memory of L-BFGS-B holds 0 pairs", "give at least 1; 10 is usual"));
        }
        Ok(())
    }

    fn descend<F: FnMut(&[f64]) -> Result<(f64, Vec<f64>)>>(
        &self,
        mut point: Point,
        function: &mut Counted<'_, F>,
        mut observe: impl FnMut(Iterate<'_>),
    ) -> Result<(Reason, usize)> {
        let mut memory = Memory::new(self.memory);
        let mut iterations = 0;
        let within = |norm: f64| self.gradient_tolerance.is_some_and(|tolerance| norm <= tolerance);
        if within(point.gradient_norm) {
            return Ok((Reason::GradientTolerance, 0));
        }
        loop {
            if iterations >= self.max_iterations {
                return Ok((Reason::IterationLimit, iterations));
            }
            if point.gradient_norm == 0.0 {
                return Ok((Reason::Stationary, iterations));
            }
            let target = target(&point, function.bounds, &mut memory);
            let first = iterations == 0;
            match self.search(&point, target, function, first)? {
                Searched::OutOfEvaluations => return Ok((Reason::EvaluationLimit, iterations)),
                Searched::Nothing if memory.is_empty() => return Ok((Reason::LineSearch, iterations)),
                Searched::Nothing => memory.clear(),
                Searched::Found(step) => {
                    iterations += 1;
                    let Point { x, value, gradient_norm, .. } = &step.point;
                    observe(Iterate {
                        number: iterations,
                        x,
                        value: *value,
                        gradient_norm: *gradient_norm,
                        evaluations: function.evaluations,
                    });
                    if iterations < self.max_iterations && within(*gradient_norm) {
                        return Ok((Reason::GradientTolerance, iterations));
                    }
                    let scale = point.value.abs().max(value.abs()).max(1.0);
                    let small = |tolerance: f64| point.value - value <= tolerance * scale;
                    if iterations < self.max_iterations && self.value_tolerance.is_some_and(small) {
                        return Ok((Reason::ValueTolerance, iterations));
                    }
                    if let Some(curvature) = step.curvature() {
                        let y = vector(x.len(), |i| step.point.gradient[i] - point.gradient[i]);
                        memory.push(step.displacement, y, curvature);
                    }
                    point = step.point;
                }
            }
        }
    }

    /// Searches the line from a point to the target of the model.
    fn search<F: FnMut(&[f64]) -> Result<(f64, Vec<f64>)>>(
        &self,
        from: &Point,
        target: Vec<f64>,
        function: &mut Counted<'_, F>,
        first: bool,
    ) -> Result<Searched> {
        let bounds = function.bounds;
        let Bounds { lower, upper } = *bounds;
        let direction = vector(from.x.len(), |i| target[i] - from.x[i]);
        let slope = dot(&from.gradient, &direction);
        if slope.is_nan() || slope >= 0.0 {
            return Ok(Searched::Nothing);
        }
        let largest = largest_step(&from.x, &direction, bounds, first);
        let boxed = || lower.iter().chain(upper).all(|bound| bound.is_finite());
        let mut step = if first && !boxed() { (1.0 / dot(&direction, &direction).sqrt()).min(largest) } else { 1.0 };
        let mut search = LineSearch::new(from.value, slope, step, largest);
        for _ in 0..LINE_SEARCH_STEPS {
            if function.evaluations >= self.max_evaluations {
                return Ok(Searched::OutOfEvaluations);
            }
            let x = if step == 1.0 {
                target.clone()
            } else {
                vector(target.len(), |i| (step * direction[i] + from.x[i]).max(lower[i]).min(upper[i]))
            };
            let (value, gradient) = function.evaluate(&x)?;
            let slope_there = dot(&gradient, &direction);
            match search.advance(value, slope_there) {
                Next::Try(next) => step = next,
                Next::Accept if step > 0.0 => {
                    let gradient_norm = projected_norm(&x, &gradient, bounds);
                    let mut displacement = direction;
                    if step != 1.0 {
                        for_each(&mut displacement, |_, d| *d *= step);
                    }
                    let point = Point { x, value, gradient, gradient_norm };
                    let slopes = (slope, slope_there);
                    return Ok(Searched::Found(Step { point, displacement, length: step, slopes }));
                }
                Next::Accept | Next::GiveUp => return Ok(Searched::Nothing),
            }
        }
        Ok(Searched::Nothing)
    }
}

#[derive(Clone)]
struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    gradient_norm: f64,
}

/// An accepted step.
struct Step {
    point: Point,
    displacement: Vec<f64>,
    length: f64,
    /// The slopes along the direction at both ends.
    slopes: (f64, f64),
}

impl Step {
    /// sᵀy, where it is large enough against −sᵀg to keep the model positive definite.
    fn curvature(&self) -> Option<f64> {
        let curvature = (self.slopes.1 - self.slopes.0) * self.length;
        (curvature > -f64::EPSILON * self.slopes.0 * self.length).then_some(curvature)
    }
}

enum Searched {
    Found(Step),
    Nothing,
    OutOfEvaluations,
}

/// The function with its account and the best point it has seen.
struct Counted<'a, F> {
    function: F,
    evaluations: usize,
    non_finite: usize,
    bounds: &'a Bounds<'a>,
    best: Option<(Vec<f64>, f64, f64)>,
}

impl<F: FnMut(&[f64]) -> Result<(f64, Vec<f64>)>> Counted<'_, F> {
    fn evaluate(&mut self, x: &[f64]) -> Result<(f64, Vec<f64>)> {
        let (value, gradient) = (self.function)(x)?;
        self.evaluations += 1;
        if gradient.len() != x.len() {
            return Err(Error::input(
                format!("the gradient at a point of {} elements has {}", x.len(), gradient.len()),
                "give one derivative per element",
            ));
        }
        let norm = projected_norm(x, &gradient, self.bounds);
        if !value.is_finite() || !max(x.len(), |i| gradient[i].abs()).is_finite() {
            self.non_finite += 1;
        } else if self.best.as_ref().is_none_or(|best| value < best.1) {
            self.best = Some((x.to_vec(), value, norm));
        }
        Ok((value, gradient))
    }
}

/// The point of the box that the model leads to; the model is thrown away where rounding has spoilt it.
fn target(point: &Point, bounds: &Bounds<'_>, memory: &mut Memory) -> Vec<f64> {
    let Point { x, gradient, .. } = point;
    let unbounded = || bounds.lower.iter().chain(bounds.upper).all(|bound| bound.is_infinite());
    let cauchy = if !memory.is_empty() && unbounded() {
        CauchyPoint { x: x.clone(), c: vec![0.0; 2 * memory.len()], free: vec![true; x.len()] }
    } else {
        cauchy_point(x, gradient, bounds, memory)
    };
    if memory.is_empty() || !cauchy.free.contains(&true) {
        return cauchy.x;
    }
    match subspace_minimum(x, gradient, bounds, memory, &cauchy) {
        Some(target) => target,
        None => {
            memory.clear();
            cauchy_point(x, gradient, bounds, memory).x
        }
    }
}

/// The longest step along a direction that stays in the box; the first iteration does not go past its target.
fn largest_step(x: &[f64], direction: &[f64], bounds: &Bounds<'_>, first: bool) -> f64 {
    let Bounds { lower, upper } = *bounds;
    let unbounded = || lower.iter().chain(upper).all(|bound| bound.is_infinite());
    if first {
        return if unbounded() { LARGEST_STEP } else { 1.0 };
    }
    let inverse = |i: usize| match direction[i] {
        d if d < 0.0 => d / (lower[i] - x[i]),
        d if d > 0.0 => d / (upper[i] - x[i]),
        _ => 0.0,
    };
    1.0 / max(x.len(), inverse).max(1.0 / LARGEST_STEP)
}

/// max over i of |P(xᵢ − gᵢ) − xᵢ|; NaN where the gradient is.
fn projected_norm(x: &[f64], gradient: &[f64], bounds: &Bounds<'_>) -> f64 {
    let Bounds { lower, upper } = *bounds;
    max(x.len(), |i| match gradient[i] {
        g if g < 0.0 => g.max(x[i] - upper[i]).abs(),
        g if g > 0.0 => g.min(x[i] - lower[i]).abs(),
        g => g.abs(),
    })
}
