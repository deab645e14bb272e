//! Sharpness in an ε-neighbourhood, after Keskar et al. (ICLR 2017), metric 2.1:
//!
//! φ(ε, A) = 100 · (max_{y ∈ C_ε} L(θ + A y) − L(θ)) / (1 + L(θ)), C_ε = { y : |yᵢ| ≤ ε (|(A⁺θ)ᵢ| + 1) },
//!
//! with A = I for the full space, or a random A of few columns. As in the paper, the maximum is sought with ten
//! iterations of L-BFGS-B and no tolerances, so the figure is a lower bound.
//!
//! **Never a silent zero.** At a good minimum the gradient vanishes, and a maximiser started at y = 0 has nowhere to go;
//! in f32 its line search drowns in rounding. Then the search starts again at a seeded random point of the box and the
//! reason says so; where nothing above L(θ) is found even so, the value is 0 and the reason says that.

use basin_objective::random::stream;
use basin_objective::{Error, Objective, Result};
use basin_records::Keskar;
use basin_records::keskar::{Columns, Measurement, Subspace};
use candle_core::{DType, Device, Tensor};
use rand::Rng;

use crate::lbfgsb::reductions::{blocks, vector};
use crate::lbfgsb::{Bounds, Lbfgsb, Minimum, Reason};
use crate::manifold::Manifold;

/// Shares of the box in which random starts are drawn, one after the other while the search finds nothing: near θ, yet
/// far enough that H y is a gradient which f32 can tell from its noise; then anywhere.
const RANDOM_STARTS: [f64; 2] = [0.1, 1.0];

/// What numbers that are not finite mean at θ.
const DIVERGED: &str = "training has diverged, or the checkpoint is damaged: `basin inspect` shows its tensors";

/// More draws, columns or iterations are a slip of the hand.
const MOST: usize = 1_000_000;

/// What is measured.
///
/// ```
/// use basin_sharpness::KeskarOptions;
///
/// let options = KeskarOptions { epsilons: vec![1e-3], draws: 3, ..KeskarOptions::default() };
/// assert!(options.check(17_226).is_ok());
/// assert!(options.check(99).is_err(), "a manifold of dimension 100 needs 100 parameters");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeskarOptions {
    /// Half-widths ε of the box, relative to |(A⁺θ)ᵢ| + 1.
    pub epsilons: Vec<f64>,
    /// Where the maximum is sought.
    pub subspaces: Vec<Subspace>,
    /// p, the number of columns of a random A.
    pub dimension: usize,
    /// How columns are drawn.
    pub columns: Columns,
    /// How many A are drawn.
    pub draws: usize,
    /// Iterations of L-BFGS-B.
    pub iterations: usize,
    /// Pairs that L-BFGS-B remembers.
    pub memory: usize,
    /// From which A and random starts are drawn.
    pub seed: u64,
}

impl Default for KeskarOptions {
    /// The paper's: ε of 10⁻³ and 5·10⁻⁴, full space and 100 columns, ten iterations; five draws of Gaussian columns.
    fn default() -> Self {
        Self {
            epsilons: vec![1e-3, 5e-4],
            subspaces: vec![Subspace::Full, Subspace::Manifold],
            dimension: 100,
            columns: Columns::Gaussian,
            draws: 5,
            iterations: 10,
            memory: 10,
            seed: 0,
        }
    }
}

impl KeskarOptions {
    /// Whether this can be measured on an objective of so many parameters.
    ///
    /// # Errors
    /// When an ε is not positive and finite, or a number is 0 or too large.
    pub fn check(&self, parameters: usize) -> Result<()> {
        if let Some(epsilon) = self.epsilons.iter().find(|epsilon| !(epsilon.is_finite() && **epsilon > 0.0)) {
            return Err(Error::input(
                format!("ε is {epsilon}"),
                "give a positive number; the paper's are 1e-3 and 5e-4",
            ));
        }
        // The same search twice would count twice in the mean over the draws.
        let again = |i: usize| self.epsilons[..i].contains(&self.epsilons[i]);
        if let Some(twice) = (0..self.epsilons.len()).find(|&i| again(i)) {
            return Err(Error::input(format!("ε {:e} is given twice", self.epsilons[twice]), "give each ε once"));
        }
        if (0..self.subspaces.len()).any(|i| self.subspaces[..i].contains(&self.subspaces[i])) {
            return Err(Error::input("a subspace is given twice", "give each of `full` and `manifold` once"));
        }
        let mut epsilons = self.epsilons.clone();
        epsilons.sort_by(f64::total_cmp);
        if epsilons.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::input("an ε is given twice", "give each ε once: repetitions are no draws"));
        }
        if self.subspaces.iter().enumerate().any(|(i, subspace)| self.subspaces[..i].contains(subspace)) {
            return Err(Error::input("a subspace is given twice", "give `full`, `manifold` or both, each once"));
        }
        let manifold = self.subspaces.contains(&Subspace::Manifold);
        let counts = [
            ("half-widths ε", self.epsilons.len(), "give at least one `--epsilon`"),
            ("subspaces", self.subspaces.len(), "give `full`, `manifold` or both"),
            ("iterations", self.iterations, "give at least 1; the paper's is 10"),
            ("pairs in memory", self.memory, "give at least 1; 10 is usual"),
            ("draws of A", if manifold { self.draws } else { 1 }, "give at least 1"),
            ("columns of A", if manifold { self.dimension } else { 1 }, "give at least 1; the paper's is 100"),
        ];
        if let Some((what, _, hint)) = counts.into_iter().find(|(_, count, _)| *count == 0) {
            return Err(Error::input(format!("the number of {what} is 0"), hint));
        }
        if let Some((what, count, _)) = counts.into_iter().find(|(_, count, _)| *count > MOST) {
            return Err(Error::input(format!("the number of {what} is {count}"), format!("give at most {MOST}")));
        }
        if manifold && self.dimension > parameters {
            return Err(Error::input(
                format!("a manifold of dimension {} does not fit among {parameters} parameters", self.dimension),
                format!("give a `--dimension` up to {parameters}, or measure the full space alone"),
            ));
        }
        Ok(())
    }

    fn draws(&self, subspace: Subspace) -> usize {
        match subspace {
            Subspace::Full => 1,
            Subspace::Manifold => self.draws,
        }
    }
}

/// How far a measurement has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Maximisations that are done.
    pub done: usize,
    /// Maximisations in all.
    pub total: usize,
    /// Evaluations of loss and gradient so far.
    pub evaluations: u64,
    /// The maximisation that has just been done.
    pub measurement: Option<&'a Measurement>,
}

/// Measures Keskar's sharpness of an objective at θ. `observe` is called after each evaluation and each maximisation;
/// an error of its making, such as [`Error::Interrupted`], ends the work.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_sharpness::{KeskarOptions, keskar};
/// use candle_core::{Device, Tensor};
///
/// // L(θ) = θ₀² + 2 θ₁² at its minimum, where the gradient is zero: the maximum lies in a corner of the box.
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let zero = Tensor::new(&[0.0, 0.0], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, zero.clone())?;
/// let options = KeskarOptions { dimension: 2, ..KeskarOptions::default() };
/// let result = keskar(&quadratic, &zero, &options, &mut |_| Ok(()))?;
/// assert!((result.summary[0].mean - 100.0 * 3e-6).abs() < 1e-15);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When options and θ do not fit the objective, loss or gradient at θ is not finite, or the objective fails.
pub fn keskar(
    objective: &dyn Objective,
    theta: &Tensor,
    options: &KeskarOptions,
    observe: &mut dyn FnMut(Progress<'_>) -> Result<()>,
) -> Result<Keskar> {
    options.check(objective.dimension())?;
    let neighbourhood = Neighbourhood::new(objective, theta)?;
    let units: usize = options.subspaces.iter().map(|subspace| options.draws(*subspace)).sum();
    let total = units * options.epsilons.len();
    // One evaluation has been made at θ.
    let mut evaluations = 1;
    let mut measurements: Vec<Measurement> = Vec::with_capacity(total);
    for &subspace in &options.subspaces {
        for draw in 0..options.draws(subspace) as u64 {
            let manifold = match subspace {
                Subspace::Full => None,
                Subspace::Manifold => {
                    Some(Manifold::draw(objective.dimension(), options.dimension, options.columns, options.seed, draw)?)
                }
            };
            let search = Search { iterations: options.iterations, memory: options.memory, seed: options.seed, draw };
            for &epsilon in &options.epsilons {
                let done = measurements.len();
                let maximum = neighbourhood.maximize(epsilon, manifold.as_ref(), &search, &mut || {
                    evaluations += 1;
                    observe(Progress { done, total, evaluations, measurement: None })
                })?;
                measurements.push(Measurement {
                    epsilon,
                    subspace,
                    dimension: maximum.y.len() as u64,
                    columns: manifold.as_ref().and_then(Manifold::columns),
                    draw,
                    value: maximum.value,
                    loss: neighbourhood.loss(),
                    max_loss: maximum.loss,
                    iterations: maximum.iterations as u64,
                    evaluations: maximum.evaluations as u64,
                    reason: maximum.reason,
                });
                observe(Progress { done: done + 1, total, evaluations, measurement: measurements.last() })?;
            }
        }
    }
    Ok(Keskar::new(measurements))
}

/// How the maximum is sought.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Iterations of L-BFGS-B.
    pub iterations: usize,
    /// Pairs that it remembers.
    pub memory: usize,
    /// From which a random start is drawn.
    pub seed: u64,
    /// The number of the draw, so that random starts differ between draws.
    pub draw: u64,
}

impl Default for Search {
    fn default() -> Self {
        let KeskarOptions { iterations, memory, seed, .. } = KeskarOptions::default();
        Self { iterations, memory, seed, draw: 0 }
    }
}

/// The largest loss found in a box.
#[derive(Clone, Debug, PartialEq)]
pub struct Maximum {
    /// Where it was found, in the coordinates of the box.
    pub y: Vec<f64>,
    /// L(θ + A y): at least L(θ), at most the maximum.
    pub loss: f64,
    /// φ, percent of 1 + L(θ).
    pub value: f64,
    /// Iterations of the search that found it.
    pub iterations: usize,
    /// Evaluations of all searches, with that of their start as in SciPy's `nfev`; at θ itself it is made only once.
    pub evaluations: usize,
    /// Why the search ended, and where it started if not at θ.
    pub reason: String,
}

/// The surroundings of θ: loss and gradient there, evaluated once.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_sharpness::{Manifold, Neighbourhood, Search};
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::zeros(2, candle_core::DType::F64, &Device::Cpu)?)?;
/// let theta = Tensor::new(&[1.0, 0.0], &Device::Cpu)?;
/// let neighbourhood = Neighbourhood::new(&quadratic, &theta)?;
/// let line = Manifold::from_columns(&[vec![1.0, 0.0]])?;
/// let maximum = neighbourhood.maximize(0.25, Some(&line), &Search::default(), &mut || Ok(()))?;
/// assert_eq!((maximum.y, maximum.loss), (vec![0.5], 2.25));
/// # Ok::<(), basin_objective::Error>(())
/// ```
pub struct Neighbourhood<'a> {
    objective: &'a dyn Objective,
    theta: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
}

impl<'a> Neighbourhood<'a> {
    /// Evaluates the objective at θ.
    ///
    /// # Errors
    /// When θ does not fit the objective, the loss there is not finite or not above −1, or the gradient is not finite.
    pub fn new(objective: &'a dyn Objective, theta: &Tensor) -> Result<Self> {
        let parameters = objective.dimension();
        if theta.dims() != [parameters] {
            return Err(Error::input(
                format!("the parameters have shape {:?}, the objective has {parameters}", theta.dims()),
                "give one vector of all parameters",
            ));
        }
        let theta = host(theta)?;
        if let Some(i) = theta.iter().position(|element| !element.is_finite()) {
            return Err(Error::input(format!("parameter {i} is {}", theta[i]), DIVERGED));
        }
        let (loss, gradient) = evaluate(objective, &theta)?;
        if !loss.is_finite() {
            return Err(Error::input(format!("the loss at the given parameters is {loss}"), DIVERGED));
        }
        if let Some(i) = gradient.iter().position(|element| !element.is_finite()) {
            let message = format!("element {i} of the gradient at the given parameters is {}", gradient[i]);
            return Err(Error::input(message, DIVERGED));
        }
        if loss <= -1.0 {
            return Err(Error::input(
                format!("the loss is {loss}, and Keskar's measure divides by 1 + L"),
                "measure a loss above -1, such as a cross-entropy or a squared error",
            ));
        }
        Ok(Self { objective, theta, loss, gradient })
    }

    /// L(θ).
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// ε (|(A⁺θ)ᵢ| + 1), the half-widths of the box; A = I without a manifold.
    pub fn half_widths(&self, epsilon: f64, manifold: Option<&Manifold>) -> Vec<f64> {
        let projected = manifold.map(|manifold| manifold.coordinates(&self.theta));
        let coordinates = projected.as_ref().unwrap_or(&self.theta);
        vector(coordinates.len(), |i| epsilon * (coordinates[i].abs() + 1.0))
    }

    /// Seeks the largest loss in the box. `evaluated` is called after each evaluation; an error of it ends the search.
    ///
    /// # Errors
    /// When ε is not positive and finite, the manifold lies among other parameters, or the objective fails.
    pub fn maximize(
        &self,
        epsilon: f64,
        manifold: Option<&Manifold>,
        search: &Search,
        evaluated: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Maximum> {
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(Error::input(format!("ε is {epsilon}"), "give a positive number"));
        }
        if let Some(manifold) = manifold.filter(|manifold| manifold.parameters() != self.theta.len()) {
            return Err(Error::input(
                format!(
                    "a manifold among {} parameters, the objective has {}",
                    manifold.parameters(),
                    self.theta.len()
                ),
                "give columns with one entry per parameter",
            ));
        }
        let half = self.half_widths(epsilon, manifold);
        let zero = vec![0.0; half.len()];
        let least = self.visible_gain();
        let visible = self.first_order_gain(&half, manifold) > least;
        let centre = visible.then(|| zero.clone());
        let random = RANDOM_STARTS.iter().map(|share| random_start(&half, *share, manifold.is_some(), search));
        let mut searches = Vec::new();
        for start in centre.into_iter().chain(random) {
            let found = self.seek(start, &half, manifold, search, evaluated)?;
            // Where a search stalls or gains no more than noise, rounding may have hidden the way up.
            let satisfied = self.gain(&found) > least && found.reason != Reason::LineSearch;
            searches.push(found);
            if satisfied {
                break;
            }
        }
        let start = match (visible, searches.len()) {
            (true, 1) => "",
            (true, _) => "; started again at a random point of the box, for the search from θ stalled",
            (false, _) => "; started at a random point of the box, for the gradient at θ is zero to rounding",
        };
        Ok(self.best(&searches, start, zero))
    }

    /// One run of L-BFGS-B on −L(θ + A y).
    fn seek(
        &self,
        start: Vec<f64>,
        half: &[f64],
        manifold: Option<&Manifold>,
        search: &Search,
        evaluated: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Minimum> {
        let lower = vector(half.len(), |i| -half[i]);
        let bounds = Bounds { lower: &lower, upper: half };
        let negated = |y: &[f64]| {
            let (loss, gradient) = if y.iter().all(|element| *element == 0.0) {
                (self.loss, self.pulled_back(&self.gradient, manifold))
            } else {
                let found = self.at(y, manifold)?;
                evaluated()?;
                found
            };
            Ok((-loss, vector(gradient.len(), |i| -gradient[i])))
        };
        let solver = Lbfgsb { memory: search.memory, max_iterations: search.iterations, ..Lbfgsb::default() };
        solver.minimize(start, &bounds, negated, |_| {})
    }

    /// L(θ + A y) and Aᵀ∇L(θ + A y).
    fn at(&self, y: &[f64], manifold: Option<&Manifold>) -> Result<(f64, Vec<f64>)> {
        let applied = manifold.map(|manifold| manifold.apply(y));
        let step = applied.as_deref().unwrap_or(y);
        let moved = vector(step.len(), |i| self.theta[i] + step[i]);
        let (loss, gradient) = evaluate(self.objective, &moved)?;
        Ok((loss, if manifold.is_some() { self.pulled_back(&gradient, manifold) } else { gradient }))
    }

    /// Aᵀ g.
    fn pulled_back(&self, gradient: &[f64], manifold: Option<&Manifold>) -> Vec<f64> {
        manifold.map_or_else(|| gradient.to_vec(), |manifold| manifold.transpose(gradient))
    }

    /// max over the box of ∇Lᵀ A y.
    fn first_order_gain(&self, half: &[f64], manifold: Option<&Manifold>) -> f64 {
        let slopes = self.pulled_back(&self.gradient, manifold);
        blocks(half.len(), |range| range.map(|i| half[i] * slopes[i].abs()).sum::<f64>()).into_iter().sum()
    }

    /// L(θ + A y) − L(θ); none where the search could not even start.
    fn gain(&self, found: &Minimum) -> f64 {
        if found.reason == Reason::NonFinite { 0.0 } else { -found.value - self.loss }
    }

    /// The least gain that is more than the rounding of the loss.
    fn visible_gain(&self) -> f64 {
        resolution(self.objective.dtype()) * (1.0 + self.loss.abs())
    }

    /// The best of the searches, which started as the note says.
    fn best(&self, searches: &[Minimum], note: &str, zero: Vec<f64>) -> Maximum {
        let evaluations = searches.iter().map(|found| found.evaluations).sum();
        let mut note = note.to_owned();
        match searches.iter().map(|found| found.non_finite).sum::<usize>() {
            0 => {}
            1 => note += "; one evaluation was not finite",
            count => note += &format!("; {count} evaluations were not finite"),
        }
        let higher = searches.iter().filter(|found| self.gain(found) > 0.0);
        let best = higher.max_by(|a, b| self.gain(a).total_cmp(&self.gain(b)));
        if best.is_some_and(|best| self.gain(best) <= self.visible_gain()) {
            note += "; the gain is within the rounding of the loss";
        }
        match best {
            Some(best) => Maximum {
                y: best.x.clone(),
                loss: -best.value,
                value: 100.0 * self.gain(best) / (1.0 + self.loss),
                iterations: best.iterations,
                evaluations,
                reason: format!("{}{note}", best.reason),
            },
            None => Maximum {
                y: zero,
                loss: self.loss,
                value: 0.0,
                iterations: searches.iter().map(|found| found.iterations).max().unwrap_or(0),
                evaluations,
                reason: format!("nothing above the loss at θ was found{note}"),
            },
        }
    }
}

/// Uniform in a share of the box.
fn random_start(half: &[f64], share: f64, manifold: bool, search: &Search) -> Vec<f64> {
    let name = if manifold { format!("manifold/{}", search.draw) } else { "full".to_owned() };
    let mut rng = stream(search.seed, "keskar start", &name);
    half.iter().map(|half| share * half * (2.0 * rng.random::<f64>() - 1.0)).collect()
}

/// The relative spacing of numbers.
fn resolution(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2_f64.powi(-10),
        DType::BF16 => 2_f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    }
}

fn host(vector: &Tensor) -> Result<Vec<f64>> {
    Ok(vector.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Loss and gradient at a point given in f64, in the objective's numbers and on its device.
fn evaluate(objective: &dyn Objective, theta: &[f64]) -> Result<(f64, Vec<f64>)> {
    let theta = Tensor::from_slice(theta, theta.len(), &Device::Cpu)?.to_dtype(objective.dtype())?;
    let (loss, gradient) = objective.gradient(&theta.to_device(objective.device())?)?;
    Ok((loss, host(&gradient)?))
}
