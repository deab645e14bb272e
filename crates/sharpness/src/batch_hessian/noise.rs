//! How far the matrices of single samples lie from their mean, from pairs of batches.
//!
//! Two disjoint batches of b samples have matrices whose difference has, over the draw, b E‖(H₁ − H₂) z‖²/2 = the mean of
//! ‖(H_i − H) z‖² over samples with N − 1 in place of N: the finite population drops out, since the batches' covariance −1/N adds
//! what their variance 1/b − 1/N lacks. For random unit vectors z this is Pσ², P times the mean variance of an element. Pairs are
//! drawn anew and so are the vectors, so that their estimates are independent and the spread of these is the standard error.
//!
//! The same products give tr H = P E zᵀ(H₁ + H₂)z/2 and, since the covariance of disjoint batches is −1/N of the variance of
//! a sample, ‖H‖_F² = P (E (H₁z)ᵀ(H₂z) + Pσ²/N).

use basin_objective::{Error, Result, SampledObjective, random};
use basin_records::batch_hessian::Noise;
use basin_records::spectrum::Estimate;
use basin_tape::vector;
use candle_core::{DType, Tensor};
use rand::seq::SliceRandom as _;

use super::Work;
use crate::operator::{Curvature, CurvatureMatrix, SymmetricOperator};
use crate::probes::{self, AT_ONCE};
use crate::statistics::jackknife;

/// Pairs of batches: so many that the standard error is known to a tenth, and that the skew of squares hardly matters.
const PAIRS: usize = 64;
/// Samples of each batch where there are enough: the estimate is unbiased at any size, and a small one is cheap.
const BATCH_SIZE: usize = 8;
/// Random unit vectors of each pair: with the first direction they are multiplied at once.
const PROBES: usize = AT_ONCE - 1;
/// Bytes of vectors and products for each parameter while a pair is compared, and what pairs that are compared at a time may
/// take.
const BYTES: usize = 32 * AT_ONCE;
const MEMORY: usize = 4 << 30;

/// Figures of pairs of batches, of which every estimate is a function of means.
#[derive(Clone, Debug)]
pub struct Pairs {
    samples: usize,
    dimension: usize,
    batch_size: usize,
    figures: Vec<Figures>,
}

/// Of one pair, or their mean.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// Pσ².
    pub(super) total: f64,
    /// ‖(H_i − H) v‖² along the first direction v.
    pub(super) product: f64,
    /// The variance of vᵀH_i v along each direction v.
    pub(super) curvatures: Vec<f64>,
    /// zᵀ(H₁ + H₂)z/2.
    form: f64,
    /// (H₁z)ᵀ(H₂z).
    inner: f64,
}

impl Figures {
    fn mean<'a>(figures: impl ExactSizeIterator<Item = &'a Self> + Clone, directions: usize) -> Self {
        let count = figures.len() as f64;
        let mean = |of: &dyn Fn(&Self) -> f64| figures.clone().map(of).sum::<f64>() / count;
        Self {
            total: mean(&|figures| figures.total),
            product: mean(&|figures| figures.product),
            curvatures: (0..directions).map(|index| mean(&|figures| figures.curvatures[index])).collect(),
            form: mean(&|figures| figures.form),
            inner: mean(&|figures| figures.inner),
        }
    }
}

/// What the products of two batches with the same vectors say of their matrices.
struct Compared {
    /// ‖(H₁ − H₂) z‖².
    apart: f64,
    /// zᵀ(H₁ − H₂) z.
    form_apart: f64,
    form: f64,
    inner: f64,
}

impl Pairs {
    /// Samples of all batches, drawn of so many.
    pub(super) fn samples_of(samples: usize) -> usize {
        2 * PAIRS * BATCH_SIZE.min(samples / 2)
    }

    /// Adds what pairs of so many directions take.
    pub(super) fn expected_work(directions: usize, samples: usize, work: &mut Work) {
        (0..2 * PAIRS).for_each(|_| work.add(directions + PROBES, BATCH_SIZE.min(samples / 2)));
    }

    /// P, the number of parameters.
    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Measures pairs of batches of up to 8 samples along `directions`, unit vectors (K, P), and random ones; `observe` is told
    /// the samples done.
    ///
    /// # Errors
    /// When there are fewer than two samples, a product is not finite, or `observe` returns an error.
    pub fn measure(
        objective: &dyn SampledObjective,
        theta: &Tensor,
        matrix: CurvatureMatrix,
        directions: &Tensor,
        seed: u64,
        observe: impl Fn(usize) -> Result<()> + Sync,
    ) -> Result<(Self, Work)> {
        let samples = objective.samples();
        check(samples)?;
        let batch_size = BATCH_SIZE.min(samples / 2);
        let pair = |&pair: &usize| {
            let found = figures(objective, theta, matrix, directions, (seed, pair, batch_size));
            observe(2 * batch_size)?;
            found
        };
        let pairs: Vec<usize> = (0..PAIRS).collect();
        let (along, dimension) = directions.dims2()?;
        let at_once = (MEMORY / (BYTES * dimension)).max(1);
        let figures = objective.work(&pairs, |_| 2 * batch_size, at_once, pair)?;
        let mut work = Work::default();
        Self::expected_work(along, samples, &mut work);
        Ok((Self { samples, dimension, batch_size, figures }, work))
    }

    /// A function of the means over the pairs at some places, with its standard error.
    fn estimate_over(&self, places: &[usize], of: impl Fn(&Figures) -> f64) -> Estimate {
        let directions = self.figures[0].curvatures.len();
        let over = |places: &[usize]| of(&Figures::mean(places.iter().map(|&place| &self.figures[place]), directions));
        let without = |left_out: usize| {
            let kept: Vec<usize> =
                places.iter().enumerate().filter(|(index, _)| *index != left_out).map(|(_, &place)| place).collect();
            over(&kept)
        };
        Estimate {
            value: over(places),
            stderr: jackknife(places.len(), without),
            method: Some("pairs of batches".into()),
            products: None,
            converged: None,
            reason: None,
        }
    }

    /// A function of the means over all pairs, with its standard error.
    pub(super) fn estimate(&self, of: impl Fn(&Figures) -> f64) -> Estimate {
        self.estimate_over(&(0..self.figures.len()).collect::<Vec<_>>(), of)
    }

    /// The smallest over the directions of a function of the variance of vᵀH_i v, with its standard error: one half of the
    /// pairs says along which it is smallest, the other how small it is there, so that no luck of the draw enters. None where the
    /// function is nowhere known.
    pub(super) fn least_over_directions(&self, of: impl Fn(usize, f64) -> Option<f64>) -> Option<Estimate> {
        let (first, second): (Vec<usize>, Vec<usize>) =
            (0..self.figures.len()).partition(|&place| place < self.figures.len() / 2);
        let values = (0..self.figures[0].curvatures.len()).filter_map(|direction| {
            let chosen_by = self.estimate_over(&first, |mean| mean.curvatures[direction]);
            Some((direction, of(direction, chosen_by.value)?))
        });
        let (direction, _) = values.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        Some(self.estimate_over(&second, |mean| of(direction, mean.curvatures[direction]).unwrap_or(f64::NAN)))
    }

    /// tr H.
    pub fn trace(&self) -> Estimate {
        self.estimate(|mean| mean.trace(self.dimension))
    }

    /// ‖H‖_F².
    pub fn squared_frobenius(&self) -> Estimate {
        self.estimate(|mean| mean.squared_frobenius(self.dimension, self.samples))
    }

    /// The noise as it stands in a record.
    pub fn noise(&self) -> Noise {
        Noise {
            total: self.estimate(|mean| mean.total),
            curvature_along_top: Some(self.estimate(|mean| mean.curvatures[0])),
            product_along_top: Some(self.estimate(|mean| mean.product)),
            batch_size: self.batch_size as u64,
            groups: self.figures.len() as u64,
            probes: PROBES as u64,
        }
    }
}

/// Refuses samples between which nothing can vary.
pub(super) fn check(samples: usize) -> Result<()> {
    match samples {
        0 | 1 => Err(Error::input("a single sample has no noise between samples", "analyse at least 2 samples")),
        _ => Ok(()),
    }
}

impl Figures {
    pub(super) fn trace(&self, dimension: usize) -> f64 {
        dimension as f64 * self.form
    }

    pub(super) fn squared_frobenius(&self, dimension: usize, samples: usize) -> f64 {
        dimension as f64 * (self.inner + self.total / samples as f64)
    }
}

/// The figures of one pair of disjoint batches.
fn figures(
    objective: &dyn SampledObjective,
    theta: &Tensor,
    matrix: CurvatureMatrix,
    directions: &Tensor,
    (seed, pair, batch_size): (u64, usize, usize),
) -> Result<Figures> {
    let mut positions: Vec<usize> = (0..objective.samples()).collect();
    positions.shuffle(&mut random::stream(seed, "noise batches", &pair.to_string()));
    let (first, rest) = positions.split_at_mut(batch_size);
    let second = &mut rest[..batch_size];
    first.sort_unstable();
    second.sort_unstable();
    let compared = objective.with_batch(first, |first| {
        let first = Curvature::new(first, theta, matrix)?;
        objective.with_batch(second, |second| {
            let second = Curvature::new(second, theta, matrix)?;
            compare(&first, &second, directions, (seed, pair))
        })
    })?;
    let half = batch_size as f64 / 2.0;
    let (along, random) = compared.split_at(directions.dim(0)?);
    let mean = |of: fn(&Compared) -> f64| random.iter().map(of).sum::<f64>() / random.len() as f64;
    let figures = Figures {
        total: half * mean(|compared| compared.apart),
        product: half * along[0].apart,
        curvatures: along.iter().map(|compared| half * compared.form_apart.powi(2)).collect(),
        form: mean(|compared| compared.form),
        inner: mean(|compared| compared.inner),
    };
    let all = [figures.total, figures.product, figures.form, figures.inner];
    match all.iter().chain(&figures.curvatures).all(|figure| figure.is_finite()) {
        true => Ok(figures),
        false => Err(probes::not_finite(pair * (directions.dim(0)? + PROBES))),
    }
}

/// Along the directions and then along random unit vectors.
fn compare(
    first: &dyn SymmetricOperator,
    second: &dyn SymmetricOperator,
    directions: &Tensor,
    (seed, pair): (u64, usize),
) -> Result<Vec<Compared>> {
    let vector = |row: usize| match row.checked_sub(directions.dim(0)?) {
        None => Ok(directions.get(row)?.to_device(first.device())?.to_dtype(DType::F64)?),
        Some(probe) => {
            let z = probes::normal(seed, "noise probe", pair * PROBES + probe, first)?;
            let norm = vector::dot(&z, &z)?.sqrt();
            Ok::<_, Error>((z / norm)?)
        }
    };
    let all: Vec<usize> = (0..directions.dim(0)? + PROBES).collect();
    let mut compared = Vec::with_capacity(all.len());
    for rows in all.chunks(AT_ONCE) {
        let vectors = rows.iter().map(|&row| vector(row)).collect::<Result<Vec<_>>>()?;
        let vectors = Tensor::stack(&vectors, 0)?.to_dtype(first.dtype())?;
        let (of_first, of_second) = (first.apply(&vectors)?, second.apply(&vectors)?);
        for row in 0..rows.len() {
            let in_f64 = |tensor: &Tensor| Ok::<_, Error>(tensor.get(row)?.to_dtype(DType::F64)?);
            let (z, a, b) = (in_f64(&vectors)?, in_f64(&of_first)?, in_f64(&of_second)?);
            let apart = (&a - &b)?;
            compared.push(Compared {
                apart: vector::dot(&apart, &apart)?,
                form_apart: vector::dot(&z, &apart)?,
                form: (vector::dot(&z, &a)? + vector::dot(&z, &b)?) / 2.0,
                inner: vector::dot(&a, &b)?,
            });
        }
    }
    Ok(compared)
}
