//! Extremal eigenvalues of mini-batches against those of all samples.

mod noise;
mod theory;

use basin_objective::{Error, Result, random};
use basin_records::BatchHessian;
use basin_records::batch_hessian::{Draw, Empirical, Noise, Row, Spread, Theory};
use basin_records::spectrum::{Eigenvalue, End, Matrix};
use basin_tape::vector;
use candle_core::{DType, Tensor};

pub use noise::noise;
pub use theory::{
    crossover, inverse_effective_batch, max_learning_rate, max_learning_rate_adaptive, max_learning_rate_mean_square,
    max_learning_rate_mean_square_trace, overlap, spiked_marchenko_pastur, spiked_wigner,
};

use crate::lanczos::{Extremes, Lanczos};
use crate::operator::SymmetricOperator;

/// A symmetric matrix that is a mean over N samples, each of which has one of its own.
pub trait SampledMatrix {
    /// N.
    fn samples(&self) -> usize;

    /// Hands on the mean of the matrices of the samples at `positions`, which are ascending and different.
    ///
    /// # Errors
    /// When the matrix cannot be made, or `then` returns an error.
    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn SymmetricOperator) -> Result<()>) -> Result<()>;
}

/// What `then` makes of the mean over a batch.
fn on_batch<T>(
    matrix: &dyn SampledMatrix,
    positions: &[usize],
    mut then: impl FnMut(&dyn SymmetricOperator) -> Result<T>,
) -> Result<T> {
    let mut made = None;
    matrix.on_batch(positions, &mut |operator| {
        made = Some(then(operator)?);
        Ok(())
    })?;
    made.ok_or_else(|| Error::input("a batch was given no matrix", "call `then` in `SampledMatrix::on_batch`"))
}

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
    fn add(&mut self, products: usize, samples: usize) {
        self.products += products;
        self.sample_products += products * samples;
        self.linearized += samples;
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
    /// The part i (from 1) of n of the draws that is measured; all are where it is absent. A draw is the same in each part.
    pub shard: Option<(usize, usize)>,
    /// The eigensolver, which seeks one eigenvalue of the top and, of an indefinite matrix, one of the bottom.
    pub lanczos: Lanczos,
}

/// Where a run stands: samples in the batches measured so far, and of all.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Samples in the batches that are done.
    pub done: usize,
    /// Samples in all batches.
    pub total: usize,
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
    /// When a batch size is 0, larger than N or given twice, there are no draws, β is not in [0, 1), or the part does not exist.
    pub fn check(&self, samples: usize) -> Result<()> {
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
        self.lanczos.check()
    }

    /// Measures batches of `matrix` against the whole, beside the theory of its noise: Marchenko-Pastur's for Gauss-Newton
    /// matrices, else Wigner's.
    ///
    /// A batch of all N samples is the whole, whose figures it has exactly.
    ///
    /// # Errors
    /// When the options do not [`check`](Self::check), a product is not finite, or `observe` returns an error.
    pub fn measure(
        &self,
        matrix: &dyn SampledMatrix,
        name: Matrix,
        mut observe: impl FnMut(Progress) -> Result<()>,
    ) -> Result<(BatchHessian, Work)> {
        let samples = matrix.samples();
        self.check(samples)?;
        let units = self.units(samples);
        let drawn: usize = units.iter().map(|(size, _)| size).filter(|&&size| size < samples).sum();
        let total = samples + drawn;
        let (mut work, mut done) = (Work::default(), 0);
        let mut find = |positions: &[usize], work: &mut Work| {
            let found = on_batch(matrix, positions, |operator| {
                self.lanczos.extremes(operator, |_| observe(Progress { done, total }))
            })?;
            done += positions.len();
            work.add(found.products, positions.len());
            Ok::<_, Error>(found)
        };
        let whole = find(&(0..samples).collect::<Vec<_>>(), &mut work)?;
        let mut draws = Vec::with_capacity(units.len());
        for (size, draw) in units {
            let found = match size == samples {
                true => as_draw(&whole, &whole, draw)?,
                false => as_draw(&find(&batch(samples, size, draw, self.lanczos.seed), &mut work)?, &whole, draw)?,
            };
            draws.push((size, found));
        }
        let top = whole.eigenvectors.get(0)?;
        let noise = noise(matrix, &top, self.lanczos.seed, &mut work, |_, _| observe(Progress { done: total, total }))?;
        let theory = if name == Matrix::Ggn { Theory::MarchenkoPastur } else { Theory::Wigner };
        let model = Model { theory, noise: &noise, samples, dimension: top.elem_count(), momentum: self.momentum };
        let (largest, smallest) = (end(&whole.eigenvalues, End::Top), end(&whole.eigenvalues, End::Bottom));
        let largest = largest.unwrap_or(f64::NAN);
        let rows = self.batch_sizes.iter().filter_map(|&size| {
            let of_size = draws.iter().filter(|(other, _)| *other == size).map(|(_, draw)| draw.clone());
            let of_size: Vec<Draw> = of_size.collect();
            (!of_size.is_empty()).then(|| model.row(size, of_size, largest, smallest))
        });
        let result = BatchHessian {
            matrix: name,
            theory,
            samples: samples as u64,
            momentum: self.momentum,
            adam: None,
            check: None,
            crossover: crossover(largest, noise.total.value, samples),
            shard: self.shard.map(|(part, parts)| format!("{part}/{parts}")),
            rows: rows.collect(),
            empirical: Empirical {
                lambda_max: largest,
                lambda_min: smallest,
                eigenvalues: whole.eigenvalues,
                trace: None,
                squared_frobenius: None,
                density: None,
            },
            noise,
        };
        Ok((result, work))
    }

    /// Batch sizes and draws of this part.
    fn units(&self, samples: usize) -> Vec<(usize, usize)> {
        let draws = |size: usize| if size == samples { 1 } else { self.draws };
        let all = self.batch_sizes.iter().flat_map(|&size| (0..draws(size)).map(move |draw| (size, draw)));
        let ours = |index: usize| self.shard.is_none_or(|(part, parts)| index % parts == part - 1);
        all.enumerate().filter(|(index, _)| ours(*index)).map(|(_, unit)| unit).collect()
    }
}

fn end(eigenvalues: &[Eigenvalue], end: End) -> Option<f64> {
    eigenvalues.iter().find(|eigenvalue| eigenvalue.end == end).map(|eigenvalue| eigenvalue.value)
}

fn as_draw(found: &Extremes, whole: &Extremes, draw: usize) -> Result<Draw> {
    let unit = |extremes: &Extremes| Ok::<Tensor, Error>(extremes.eigenvectors.get(0)?.to_dtype(DType::F64)?);
    let (v, w) = (unit(found)?, unit(whole)?);
    let cosine = vector::dot(&v, &w)?.powi(2) / (vector::dot(&v, &v)? * vector::dot(&w, &w)?);
    Ok(Draw {
        draw: draw as u64,
        eigenvalues: found.eigenvalues.clone(),
        preconditioned: None,
        overlap: cosine,
        products: found.products as u64,
    })
}

/// What is predicted from the whole and its noise.
struct Model<'a> {
    theory: Theory,
    noise: &'a Noise,
    samples: usize,
    dimension: usize,
    momentum: f64,
}

impl Model<'_> {
    fn row(&self, size: usize, values: Vec<Draw>, largest: f64, smallest: Option<f64>) -> Row {
        let inverse = inverse_effective_batch(size, self.samples);
        let total = self.noise.total.value.max(0.0);
        let predicted = match self.theory {
            Theory::MarchenkoPastur => spiked_marchenko_pastur(largest, total, self.dimension, inverse),
            _ => spiked_wigner(largest, total * inverse, true),
        };
        let along = |estimate: &Option<basin_records::spectrum::Estimate>| estimate.as_ref().map(|found| found.value);
        let spread = |figures: Vec<f64>| match (size == self.samples, figures.as_slice()) {
            (true, [figure]) => Spread::exact(*figure),
            (_, figures) => Spread::of(figures),
        };
        let of_end = |which: End| values.iter().filter_map(|draw| end(&draw.eigenvalues, which)).collect::<Vec<_>>();
        let lambda_max = spread(of_end(End::Top));
        Row {
            batch_size: size as u64,
            draws: values.len() as u64,
            lambda_min: smallest.map(|_| spread(of_end(End::Bottom))),
            predicted_lambda_max: predicted,
            predicted_lambda_max_stderr: None,
            predicted_lambda_min_stderr: None,
            preconditioned_lambda_max: None,
            max_learning_rate_adam_measured: None,
            max_learning_rate_mean_square_trace: None,
            max_learning_rate_mean_square_directions: None,
            density: None,
            divergence: Vec::new(),
            runs: Vec::new(),
            predicted_lambda_min: smallest.map(|lambda| spiked_wigner(lambda, total * inverse, false)),
            // What stays within v moves λ up as often as down; what leaves it pushes λ outward.
            predicted_lambda_max_along_top: along(&self.noise.product_along_top)
                .zip(along(&self.noise.curvature_along_top))
                .map(|(product, within)| spiked_wigner(largest, (product - within).max(0.0) * inverse, true)),
            overlap: spread(values.iter().map(|draw| draw.overlap).collect()),
            predicted_overlap: overlap(largest, total * inverse),
            max_learning_rate_sgd: max_learning_rate(predicted, 0.0),
            max_learning_rate_momentum: max_learning_rate(predicted, self.momentum),
            max_learning_rate_adam: max_learning_rate_adaptive(predicted),
            max_learning_rate_measured: max_learning_rate(lambda_max.mean, 0.0),
            max_learning_rate_mean_square: along(&self.noise.curvature_along_top)
                .and_then(|variance| max_learning_rate_mean_square(largest, variance * inverse))
                .map(|value| basin_records::spectrum::Estimate {
                    value,
                    stderr: None,
                    method: None,
                    products: None,
                    converged: None,
                    reason: None,
                }),
            lambda_max,
            values,
        }
    }
}
