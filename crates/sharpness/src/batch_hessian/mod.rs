//! Extremal eigenvalues of mini-batches against those of all samples.

mod draws;
mod noise;
mod rows;
mod second_moment;
mod shards;
mod theory;

use std::fmt;
use std::iter::Sum;
use std::sync::atomic::{AtomicUsize, Ordering};

use basin_objective::{Error, Result, SampledObjective, random};
use basin_records::BatchHessian;
use basin_records::batch_hessian::{Draw, Empirical};
use candle_core::{D, DType, Tensor};

pub use noise::Pairs;
pub use second_moment::{AdamOptions, SecondMoment};
pub use shards::merged;
pub use theory::{
    crossover, inverse_effective_batch, max_learning_rate, max_learning_rate_adaptive, max_learning_rate_mean_square,
    max_learning_rate_mean_square_trace, max_learning_rate_preconditioned, overlap, spiked_marchenko_pastur,
    spiked_wigner,
};

use crate::density::DensityOptions;
use crate::lanczos::Lanczos;
use crate::operator::{Curvature, CurvatureMatrix, SymmetricOperator as _};
use crate::probes::AT_ONCE;
use draws::{Draws, Measured, Unit};
use rows::Prediction;

/// Work done, counted where it was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Products.
    pub products: usize,
    /// Products times the samples each of them was over.
    pub sample_products: usize,
    /// Samples that were linearized.
    pub linearized: usize,
}

impl Work {
    /// Products on a linearization of so many samples.
    fn add(&mut self, products: usize, samples: usize) {
        self.products += products;
        self.sample_products += products * samples;
        self.linearized += samples;
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            products: sum.products + part.products,
            sample_products: sum.sample_products + part.sample_products,
            linearized: sum.linearized + part.linearized,
        })
    }
}

/// Which batches are measured, and how well.
#[derive(Clone, Debug)]
pub struct BatchHessianOptions {
    /// Batch sizes, ascending, from 1 to N.
    pub batch_sizes: Vec<usize>,
    /// Batches of each size; one of N.
    pub draws: usize,
    /// β of the learning rates with momentum.
    pub momentum: f64,
    /// The Adam whose preconditioned matrices are measured as well.
    pub adam: Option<AdamOptions>,
    /// The densities of all samples and of the first batch of each size, where they are wanted.
    pub density: Option<DensityOptions>,
    /// The part i (from 1) of n of the draws that is measured; all are where it is absent. A draw is the same in each part.
    pub shard: Option<(usize, usize)>,
    /// The eigensolver, which seeks one eigenvalue of the top and, of an indefinite matrix, one of the bottom.
    pub lanczos: Lanczos,
}

/// Batches that were measured before, and a place for those that are measured now, so that a run that was stopped goes on.
/// The first batch of each size is measured again, for more than its figures is needed.
pub trait DrawLog: Sync {
    /// The `draw`-th batch of a size, where it is known.
    fn known(&self, batch_size: usize, draw: usize) -> Option<Draw>;

    /// Keeps a batch.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn keep(&self, batch_size: usize, draw: &Draw) -> Result<()>;
}

/// Knows nothing and keeps nothing.
impl DrawLog for () {
    fn known(&self, _batch_size: usize, _draw: usize) -> Option<Draw> {
        None
    }

    fn keep(&self, _batch_size: usize, _draw: &Draw) -> Result<()> {
        Ok(())
    }
}

/// What [`BatchHessianOptions::measure`] gives.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// For the record.
    pub result: BatchHessian,
    /// What it took.
    pub work: Work,
    /// What Adam's preconditioner was made of, where its matrices were measured.
    pub second_moment: Option<SecondMoment>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being measured.
    pub stage: Stage,
    /// Samples in the batches that are done at this stage.
    pub done: usize,
    /// Samples in all batches of this stage.
    pub total: usize,
}

/// What is measured one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Second moments of gradients, for Adam.
    Gradients,
    /// Eigenvalues of all samples.
    Whole,
    /// Eigenvalues of batches.
    Batches,
    /// Noise.
    Noise,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradients => "gradients",
            Self::Whole => "all samples",
            Self::Batches => "batches",
            Self::Noise => "noise",
        })
    }
}

/// Powers of two from 8 up to N, and N itself.
///
/// ```
/// assert_eq!(basin_sharpness::batch_hessian::powers_of_two(20), [8, 16, 20]);
/// assert_eq!(basin_sharpness::batch_hessian::powers_of_two(5), [5]);
/// ```
pub fn powers_of_two(samples: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(8_usize), |size| size.checked_mul(2)).take_while(|&size| size < samples);
    powers.chain([samples]).collect()
}

/// The positions of the `draw`-th batch of B of N samples, drawn without replacement, ascending.
///
/// ```
/// use basin_sharpness::batch_hessian::batch;
///
/// assert_eq!(batch(4, 4, 7, 0), [0, 1, 2, 3]);
/// assert_eq!(batch(100, 10, 7, 0), batch(100, 10, 7, 0));
/// ```
pub fn batch(samples: usize, batch_size: usize, draw: usize, seed: u64) -> Vec<usize> {
    let mut rng = random::stream(seed, "batch", &format!("{batch_size} {draw}"));
    let mut positions = rand::seq::index::sample(&mut rng, samples, batch_size.min(samples)).into_vec();
    positions.sort_unstable();
    positions
}

impl BatchHessianOptions {
    /// Refuses what cannot be measured on so many samples.
    ///
    /// # Errors
    /// When there are fewer than two samples, a batch size is 0, larger than N or given twice, there are no draws, β is not in [0, 1), or the part does not exist.
    pub fn check(&self, samples: usize) -> Result<()> {
        noise::check(samples)?;
        if let Some(size) = self.batch_sizes.iter().find(|&&size| size == 0 || size > samples) {
            return Err(Error::input(
                format!("the batch size {size} is not between 1 and the {samples} samples analysed"),
                format!("give batch sizes from 1 to {samples}"),
            ));
        }
        if self.batch_sizes.is_empty() || !self.batch_sizes.is_sorted_by(|a, b| a < b) {
            return Err(Error::input("the batch sizes do not ascend", "give each once, the smallest first"));
        }
        if self.draws == 0 {
            return Err(Error::input("no batches are drawn", "give `--draws` at least 1, and 2 for a standard error"));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::input(
                format!("the momentum is {}, expected at least 0 and less than 1", self.momentum),
                "0.9 is usual",
            ));
        }
        if let Some((part, parts)) = self.shard
            && !(1..=parts).contains(&part)
        {
            return Err(Error::input(
                format!("there is no part {part} of {parts}"),
                "give 1/2 and 2/2 for two machines",
            ));
        }
        if let Some(adam) = self.adam
            && !((0.0..1.0).contains(&adam.beta1) && adam.epsilon > 0.0)
        {
            return Err(Error::input(
                format!(
                    "Adam has β₁ {} and ε {}, expected at least 0 and less than 1, and a positive number",
                    adam.beta1, adam.epsilon
                ),
                "0.9 and 1e-8 are usual",
            ));
        }
        self.density.as_ref().map(DensityOptions::check).transpose()?;
        self.lanczos.check()
    }

    /// Measures batches of `objective` at `theta` against all its samples, beside the theory of their noise: Marchenko-Pastur's
    /// for Gauss-Newton matrices, else Wigner's. Batches that `log` knows are taken from there. `observe` may be called by several threads; an error it returns ends the run.
    ///
    /// A batch of all N samples is the whole, whose figures it has exactly.
    ///
    /// # Errors
    /// When the options do not [`check`](Self::check), a product is not finite, or `observe` returns an error.
    pub fn measure(
        &self,
        objective: &dyn SampledObjective,
        theta: &Tensor,
        matrix: CurvatureMatrix,
        log: &dyn DrawLog,
        observe: impl Fn(Progress) -> Result<()> + Sync,
    ) -> Result<Measurement> {
        let (samples, seed) = (objective.samples(), self.lanczos.seed);
        self.check(samples)?;
        let observed = |stage: Stage, total: usize| {
            let (done, observe) = (AtomicUsize::new(0), &observe);
            move |more: usize| {
                let done = done.fetch_add(more, Ordering::Relaxed) + more;
                observe(Progress { stage, done, total })
            }
        };
        let second_moment =
            self.adam.map(|_| SecondMoment::measure(objective, theta, seed, observed(Stage::Gradients, 2 * samples)));
        let (second_moment, gradients) = second_moment.transpose()?.unzip();

        let draws = Draws { options: self, objective, theta, matrix, second_moment: second_moment.as_ref(), log };
        let whole = draws.measure(Unit { size: samples, draw: 0 }, None, &observed(Stage::Whole, samples))?;
        let units = self.units(samples);
        let drawn: Vec<Unit> = units.iter().copied().filter(|unit| unit.size < samples).collect();
        let total = drawn.iter().map(|unit| unit.size).sum();
        let batches = draws.all(&drawn, &whole, &observed(Stage::Batches, total))?;

        let directions: Vec<&Tensor> =
            std::iter::once(&whole).chain(&batches).filter_map(Measured::direction).collect();
        let directions = Tensor::stack(&directions, 0)?;
        let (pairs, noise) = Pairs::measure(
            objective,
            theta,
            matrix,
            &directions,
            seed,
            observed(Stage::Noise, Pairs::samples_of(samples)),
        )?;
        let along = objective.with_all(|all| curvatures_along(&Curvature::new(all, theta, matrix)?, &directions))?;
        let along_work = Work { products: along.len(), sample_products: along.len() * samples, linearized: samples };

        let parts = gradients.into_iter().chain([whole.work, noise, along_work]);
        let work = parts.chain(batches.iter().map(|batch| batch.work)).sum();
        let prediction = Prediction::new(self, matrix.into(), &whole, &pairs, &along);
        let measured_all: Vec<&Measured> =
            batches.iter().chain(units.contains(&whole.unit).then_some(&whole)).collect();
        let rows = self.batch_sizes.iter().filter_map(|&size| {
            let of_size: Vec<&Measured> =
                measured_all.iter().copied().filter(|batch| batch.unit.size == size).collect();
            (!of_size.is_empty()).then(|| prediction.row(size, &of_size))
        });
        let result = BatchHessian {
            matrix: matrix.into(),
            theory: prediction.theory,
            samples: samples as u64,
            momentum: self.momentum,
            crossover: prediction.crossover(),
            adam: second_moment.as_ref().zip(self.adam).map(|(moment, adam)| moment.recorded(adam)),
            check: None,
            shard: self.shard.map(|(part, parts)| format!("{part}/{parts}")),
            rows: rows.collect(),
            empirical: Empirical {
                lambda_max: prediction.largest,
                lambda_min: prediction.smallest,
                trace: Some(pairs.trace()),
                squared_frobenius: Some(pairs.squared_frobenius()),
                density: whole.density.clone(),
                eigenvalues: whole.draw.eigenvalues.clone(),
            },
            noise: pairs.noise(),
        };
        Ok(Measurement { result, work, second_moment })
    }

    /// About what [`measure`](Self::measure) does on so many samples where each search for eigenvalues takes `products`.
    ///
    /// ```
    /// use basin_sharpness::batch_hessian::BatchHessianOptions;
    /// use basin_sharpness::lanczos::Lanczos;
    ///
    /// let batch_sizes = (3..13).map(|power| 1 << power).collect();
    /// let options = BatchHessianOptions {
    ///     batch_sizes,
    ///     draws: 10,
    ///     momentum: 0.9,
    ///     adam: None,
    ///     density: None,
    ///     shard: None,
    ///     lanczos: Lanczos::default(),
    /// };
    /// // CIFAR-10: the whole once, 81 840 samples in batches, and 18 vectors on 64 pairs of batches of 8.
    /// let work = options.expected_work(50_000, 50);
    /// assert_eq!(work.sample_products, (50_000 + 81_840) * 50 + 64 * 2 * 8 * 18 + 50_000 * 11);
    /// ```
    pub fn expected_work(&self, samples: usize, products: usize) -> Work {
        let units = self.units(samples);
        let first = units.iter().filter(|unit| unit.draw == 0 && unit.size < samples);
        let directions = 1 + first.clone().count();
        let dense = self.density.as_ref().map_or(0, |density| density.probes * density.steps);
        let searches = if self.adam.is_some() { 2 } else { 1 };
        let mut work = Work::default();
        let of_adam = if self.adam.is_some() { 2 * samples } else { 0 };
        work.linearized += of_adam;
        work.add(searches * products + dense + directions, samples);
        units.iter().filter(|unit| unit.size < samples).for_each(|unit| work.add(searches * products, unit.size));
        first.for_each(|unit| work.sample_products += dense * unit.size);
        Pairs::expected_work(directions, samples, &mut work);
        work
    }

    /// Batch sizes and draws of this part.
    fn units(&self, samples: usize) -> Vec<Unit> {
        let draws = |size: usize| if size == samples { 1 } else { self.draws };
        let all = self.batch_sizes.iter().flat_map(|&size| (0..draws(size)).map(move |draw| Unit { size, draw }));
        let ours = |index: usize| self.shard.is_none_or(|(part, parts)| index % parts == part - 1);
        all.enumerate().filter(|(index, _)| ours(*index)).map(|(_, unit)| unit).collect()
    }
}

/// vᵀAv along each of the directions.
fn curvatures_along(operator: &Curvature, directions: &Tensor) -> Result<Vec<f64>> {
    let directions = directions.to_device(operator.device())?;
    let mut curvatures = Vec::with_capacity(directions.dim(0)?);
    for start in (0..directions.dim(0)?).step_by(AT_ONCE) {
        let rows = directions.narrow(0, start, AT_ONCE.min(directions.dim(0)? - start))?;
        let products = operator.apply(&rows.to_dtype(operator.dtype())?)?.to_dtype(DType::F64)?;
        curvatures.extend((products * rows.to_dtype(DType::F64)?)?.sum(D::Minus1)?.to_vec1::<f64>()?);
    }
    Ok(curvatures)
}
