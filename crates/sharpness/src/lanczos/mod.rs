//! Lanczos with full reorthogonalisation, for both ends of a spectrum at once.
//!
//! From a seeded random unit vector v₁ the basis grows by one product a step,
//!
//! β_j v_{j+1} = H v_j − α_j v_j − β_{j−1} v_{j−1},
//!
//! and the eigenpairs (θ, s) of the tridiagonal matrix T of the α and β give the Ritz pairs (θ, x = V s) with the
//! residual ‖H x − θ x‖ = |β_k s_k|, which bounds the distance of θ to an eigenvalue (Paige, 1971; Parlett, "The symmetric
//! eigenvalue problem", 1980, chapters 11 and 13). Every new vector is orthogonalised against the whole basis, so that no
//! eigenvalue appears twice. The basis is not restarted: the lower end of a trained network's Hessian is a cluster that
//! restarts resolve very slowly and one long basis quickly.
//!
//! One start vector finds one copy of each eigenvalue, and no more than the dimension of the smallest invariant subspace
//! that holds it (β = 0). Where more than one eigenvalue of an end is asked for, or not enough were found, what was found
//! is locked and another sweep starts orthogonal to it, until a sweep finds nothing that belongs among the extremes: so
//! copies of a multiple eigenvalue and matrices of low rank come out right. The residuals reported are measured at the end
//! of a sweep with one more product per eigenpair, not taken from the recurrence.

mod basis;
mod tridiagonal;

use basin_objective::{Error, Result, random};
use basin_records::spectrum::{Eigenvalue, End};
use candle_core::{DType, Tensor};
use rand_distr::{Distribution, StandardNormal};

use crate::operator::SymmetricOperator;
use basis::Basis;
use tridiagonal::{RitzPair, Tridiagonal};

/// Bytes that the basis may take when no budget is given.
const DEFAULT_MEMORY: u64 = 4 << 30;
/// Rounding error of a product relative to the largest eigenvalue, in units of the dtype's ε: what residuals cannot
/// fall below, and what β means when it is zero. Sums of thousands of terms round to a few ε.
const ROUNDING: f64 = 4.0;

/// How many eigenvalues, how well, and how much memory.
#[derive(Clone, Debug)]
pub struct Lanczos {
    /// The number of largest eigenvalues.
    pub top: usize,
    /// The number of smallest eigenvalues.
    pub bottom: usize,
    /// An eigenvalue λ has converged when its residual is at most tolerance · |λ|, or at the rounding of a product.
    pub tolerance: f64,
    /// The largest basis; limited further by the memory.
    pub max_basis: usize,
    /// Bytes that the basis may take.
    pub memory: Option<u64>,
    /// Seed of the random start.
    pub seed: u64,
}

impl Default for Lanczos {
    fn default() -> Self {
        Self { top: 1, bottom: 1, tolerance: 1e-4, max_basis: 1000, memory: None, seed: 0 }
    }
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// All eigenvalues asked for have converged.
    Converged,
    /// The basis spans the whole space, so that all eigenvalues are known.
    WholeSpace,
    /// The basis is as large as it may be.
    BasisLimit,
    /// The products are too inexact for the tolerance: residuals no longer fall.
    Rounding,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Converged => "converged",
            Self::WholeSpace => "the basis spans the whole space",
            Self::BasisLimit => "the basis reached its limit",
            Self::Rounding => "residuals stopped falling at the rounding of a product",
        })
    }
}

/// What Lanczos found.
#[derive(Debug)]
pub struct Extremes {
    /// Largest and smallest eigenvalues with measured residuals, sorted descending.
    pub eigenvalues: Vec<Eigenvalue>,
    /// The eigenvectors as rows, in the same order, in f64 or the operator's dtype.
    pub eigenvectors: Tensor,
    /// Products with the operator.
    pub products: usize,
    /// Vectors in the largest basis.
    pub basis: usize,
    /// Why the iteration ended.
    pub reason: Reason,
}

/// Where a run stands: the size of the basis, its limit, and the worst relative residual.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Vectors in the basis.
    pub basis: usize,
    /// Vectors it may hold.
    pub limit: usize,
    /// The largest estimate of residual/|λ| among the eigenvalues asked for.
    pub residual: f64,
}

impl Lanczos {
    /// The extremal eigenvalues of `operator`.
    ///
    /// `observe` is called at every test for convergence; an error it returns ends the run.
    ///
    /// ```
    /// use basin_sharpness::lanczos::Lanczos;
    /// use candle_core::{Device, Tensor};
    ///
    /// let matrix = Tensor::new(&[[2.0, 0.0, 0.0], [0.0, -3.0, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu)?;
    /// let found = Lanczos::default().extremes(&matrix, |_| Ok(()))?;
    /// assert!((found.eigenvalues[0].value - 2.0).abs() < 1e-12);
    /// assert!((found.eigenvalues[1].value + 3.0).abs() < 1e-12);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When nothing is asked for, the tolerance is not positive, or a product is not finite.
    pub fn extremes(
        &self,
        operator: &dyn SymmetricOperator,
        mut observe: impl FnMut(Progress) -> Result<()>,
    ) -> Result<Extremes> {
        self.check()?;
        let dimension = operator.dimension();
        let (dtype, limit) = self.basis_plan(operator)?;
        let wanted = Wanted::new(self.top, self.bottom, dimension);
        let mut found = Found::default();
        let mut seeking = wanted;
        loop {
            let mut sweep = Sweep::new(self, operator, &found, dtype, limit)?;
            let pairs = sweep.run(seeking, &mut observe)?;
            let before = found.values(wanted);
            found.add(pairs, &sweep);
            let enough = found.pairs.len() >= wanted.count();
            let no_copies = wanted.ignores_copies() || self.same(&before, &found.values(wanted), found.magnitude);
            let exhausted = found.pairs.len() == dimension || found.reason != Reason::Converged;
            if exhausted || (enough && no_copies) {
                return found.extremes(wanted, dimension);
            }
            seeking = Wanted::new(1, 1, dimension - found.pairs.len());
        }
    }

    /// Whether two lists of extremes are the same up to the tolerance.
    fn same(&self, before: &[f64], after: &[f64], magnitude: f64) -> bool {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= self.tolerance * magnitude;
        before.len() == after.len() && before.iter().zip(after).all(close)
    }

    /// Refuses what cannot be sought.
    ///
    /// # Errors
    /// When no eigenvalue is asked for, or the tolerance is no positive number.
    pub fn check(&self) -> Result<()> {
        if self.top == 0 && self.bottom == 0 {
            return Err(Error::input("no eigenvalue is asked for", "give `--top` or `--bottom` at least 1"));
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return Err(Error::input(
                format!("the tolerance is {}, expected a positive number", self.tolerance),
                "1e-4 is a good choice in f32",
            ));
        }
        Ok(())
    }

    /// The basis is kept in f64 where it fits, for it is orthogonalised there at no cost in products, and else in the
    /// operator's own numbers; and the number of vectors it may hold.
    fn basis_plan(&self, operator: &dyn SymmetricOperator) -> Result<(DType, usize)> {
        let memory = self.memory.unwrap_or(DEFAULT_MEMORY);
        let vectors = |dtype: DType| (memory / (operator.dimension() * dtype.size_in_bytes()).max(1) as u64) as usize;
        let least = self.top.saturating_add(self.bottom).saturating_add(1).min(operator.dimension());
        let largest = self.max_basis.max(least).min(operator.dimension());
        let dtype = if vectors(DType::F64) >= largest { DType::F64 } else { operator.dtype() };
        let limit = vectors(dtype).min(largest);
        if limit < least {
            return Err(Error::input(
                format!("{memory} bytes hold a basis of {limit} vectors, {least} are needed"),
                format!("give `--memory` at least {} bytes", least * operator.dimension() * dtype.size_in_bytes()),
            ));
        }
        Ok((dtype, limit))
    }
}

/// How many eigenvalues of each end there can be.
#[derive(Clone, Copy)]
struct Wanted {
    top: usize,
    bottom: usize,
}

impl Wanted {
    /// A small matrix has fewer than are asked for; each is counted once, and no end takes all from the other.
    fn new(top: usize, bottom: usize, dimension: usize) -> Self {
        let top_share = top.min(dimension - bottom.min(dimension / 2));
        Self { top: top_share, bottom: bottom.min(dimension - top_share) }
    }

    fn count(self) -> usize {
        self.top + self.bottom
    }

    /// One eigenvalue of each end is right however often it occurs.
    fn ignores_copies(self) -> bool {
        self.top <= 1 && self.bottom <= 1
    }

    /// The extremes of a list sorted descending.
    fn select<T>(self, sorted: Vec<T>) -> Vec<(T, End)> {
        let len = sorted.len();
        let ends = sorted.into_iter().enumerate().filter_map(|(i, item)| match i {
            i if i < self.top => Some((item, End::Top)),
            i if i + self.bottom >= len => Some((item, End::Bottom)),
            _ => None,
        });
        ends.collect()
    }
}

/// An eigenvalue with its measured residual and its unit vector.
struct Pair {
    value: f64,
    residual: f64,
    converged: bool,
    vector: Tensor,
}

/// What the sweeps have found so far, sorted descending.
struct Found {
    pairs: Vec<Pair>,
    products: usize,
    basis: usize,
    /// The largest |α|, β or |λ| seen, which sets the rounding of a product.
    magnitude: f64,
    sweeps: usize,
    reason: Reason,
}

impl Default for Found {
    fn default() -> Self {
        Self { pairs: Vec::new(), products: 0, basis: 0, magnitude: 0.0, sweeps: 0, reason: Reason::Converged }
    }
}

impl Found {
    fn add(&mut self, pairs: Vec<Pair>, sweep: &Sweep) {
        self.pairs.extend(pairs);
        self.pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
        self.products += sweep.products;
        self.basis = self.basis.max(sweep.basis.len());
        self.magnitude = sweep.magnitude();
        self.sweeps += 1;
        self.reason = sweep.reason;
    }

    fn values(&self, wanted: Wanted) -> Vec<f64> {
        wanted.select(self.pairs.iter().map(|pair| pair.value).collect()).into_iter().map(|(value, _)| value).collect()
    }

    fn extremes(self, wanted: Wanted, dimension: usize) -> Result<Extremes> {
        let whole = self.basis == dimension && self.reason == Reason::Converged;
        let reason = if whole { Reason::WholeSpace } else { self.reason };
        let (products, basis) = (self.products, self.basis);
        let selected = wanted.select(self.pairs);
        let eigenvalue = |(pair, end): &(Pair, End)| {
            let Pair { value, residual, converged, .. } = *pair;
            Eigenvalue { value, residual, converged, end: *end }
        };
        let eigenvalues = selected.iter().map(eigenvalue).collect();
        let rows: Vec<Tensor> = selected.into_iter().map(|(pair, _)| pair.vector).collect();
        Ok(Extremes { eigenvalues, eigenvectors: Tensor::stack(&rows, 0)?, products, basis, reason })
    }
}

/// One sweep: a basis grown from one start vector orthogonal to what is locked, with its tridiagonal matrix.
struct Sweep<'a> {
    settings: &'a Lanczos,
    operator: &'a dyn SymmetricOperator,
    basis: Basis,
    tridiagonal: Tridiagonal,
    /// The vector that the next step multiplies.
    next: Tensor,
    products: usize,
    /// The magnitude known from earlier sweeps.
    known_magnitude: f64,
    /// Vectors that this sweep may add.
    limit: usize,
    /// Whether that is all the room there is beside the locked vectors.
    whole_space: bool,
    reason: Reason,
}

impl<'a> Sweep<'a> {
    fn new(
        settings: &'a Lanczos,
        operator: &'a dyn SymmetricOperator,
        found: &Found,
        dtype: DType,
        limit: usize,
    ) -> Result<Self> {
        let dimension = operator.dimension();
        let room = dimension - found.pairs.len();
        let mut basis = Basis::new(limit + found.pairs.len(), dimension, dtype, operator.device())?;
        found.pairs.iter().try_for_each(|pair| basis.lock(&pair.vector))?;
        let next = start(settings.seed, found.sweeps, &basis, operator)?;
        Ok(Self {
            settings,
            operator,
            basis,
            tridiagonal: Tridiagonal::default(),
            next,
            products: 0,
            known_magnitude: found.magnitude,
            limit: limit.min(room),
            whole_space: limit >= room,
            reason: Reason::Converged,
        })
    }

    /// Grows the basis until the extremes sought have converged or it can grow no further, and measures them.
    fn run(&mut self, wanted: Wanted, observe: &mut impl FnMut(Progress) -> Result<()>) -> Result<Vec<Pair>> {
        let mut next_test = wanted.count().max(8);
        let mut last_measured = f64::INFINITY;
        loop {
            let invariant = self.step()?;
            let basis = self.basis.len();
            let full = basis == self.limit;
            if !(invariant || full || basis >= next_test) {
                continue;
            }
            next_test = basis + (basis / 8).max(4);
            let pairs = wanted.select(self.tridiagonal.ritz_pairs()?);
            let worst = pairs.iter().map(|(pair, _)| pair.residual / self.scale_of(pair.value)).fold(0.0, f64::max);
            observe(Progress { basis, limit: self.limit, residual: worst })?;
            let settled = worst <= self.settings.tolerance && pairs.len() == wanted.count();
            if !(invariant || full || settled) {
                continue;
            }
            let pairs = pairs.into_iter().map(|(pair, _)| self.measure(&pair)).collect::<Result<Vec<_>>>()?;
            let measured = pairs.iter().map(|pair| pair.residual / self.scale_of(pair.value)).fold(0.0, f64::max);
            if full && !self.whole_space && measured > self.settings.tolerance {
                self.reason = Reason::BasisLimit;
            } else if measured > self.settings.tolerance && (measured > 0.5 * last_measured || invariant || full) {
                self.reason = Reason::Rounding;
            } else if measured > self.settings.tolerance {
                last_measured = measured;
                continue;
            }
            return Ok(pairs);
        }
    }

    /// H x in the basis's numbers, counted.
    fn product(&mut self, x: &Tensor) -> Result<Tensor> {
        self.products += 1;
        let product = self.operator.apply(&x.to_dtype(self.operator.dtype())?)?;
        Ok(product.to_dtype(self.basis.dtype())?)
    }

    /// Adds one vector to the basis; whether it now spans an invariant subspace.
    fn step(&mut self) -> Result<bool> {
        let v = self.next.clone();
        self.basis.push(&v)?;
        let product = self.product(&v)?;
        let alpha = self.basis.dot(&v, &product)?;
        if !alpha.is_finite() {
            return Err(Error::input(
                format!("product {} of the curvature matrix is not finite", self.products),
                "the weights are at a point where the loss or its derivatives overflow; try `--dtype f64`",
            ));
        }
        let residual = (product - (&v * alpha)?)?;
        let before = self.basis.norm(&residual)?;
        let mut residual = self.basis.orthogonalize(&residual)?;
        let mut beta = self.basis.norm(&residual)?;
        // Where much was taken away, what is left is inexact in direction, and a second pass makes it orthogonal.
        if beta < 0.7 * before {
            residual = self.basis.orthogonalize(&residual)?;
            beta = self.basis.norm(&residual)?;
        }
        self.tridiagonal.push(alpha, beta);
        let invariant = beta <= ROUNDING * epsilon(self.operator.dtype()) * self.magnitude();
        if !invariant {
            self.next = (residual / beta)?;
        }
        Ok(invariant)
    }

    fn magnitude(&self) -> f64 {
        self.tridiagonal.magnitude().max(self.known_magnitude)
    }

    /// What a residual is compared with: |λ|, or the part of the largest |λ| at which products round.
    fn scale_of(&self, value: f64) -> f64 {
        let floor = ROUNDING * epsilon(self.operator.dtype()) * self.magnitude() / self.settings.tolerance;
        value.abs().max(floor).max(f64::MIN_POSITIVE)
    }

    /// A Ritz pair with its unit vector and its measured residual.
    fn measure(&mut self, pair: &RitzPair) -> Result<Pair> {
        let x = self.basis.combine(&pair.vector)?;
        let x = (&x / self.basis.norm(&x)?)?;
        let product = self.product(&x)?;
        let value = self.basis.dot(&x, &product)?;
        let residual = self.basis.norm(&(product - (&x * value)?)?)?;
        let converged = residual <= self.settings.tolerance * self.scale_of(value);
        Ok(Pair { value, residual, converged, vector: x })
    }
}

/// A seeded random unit vector orthogonal to the locked ones, another for each sweep.
fn start(seed: u64, sweep: usize, basis: &Basis, operator: &dyn SymmetricOperator) -> Result<Tensor> {
    let mut rng = random::stream(seed, "lanczos start", &sweep.to_string());
    let normal: Vec<f64> = (0..operator.dimension()).map(|_| StandardNormal.sample(&mut rng)).collect();
    let start = Tensor::new(normal, operator.device())?.to_dtype(basis.dtype())?;
    let start = basis.orthogonalize(&(&start / basis.norm(&start)?)?)?;
    let start = basis.orthogonalize(&start)?;
    Ok((&start / basis.norm(&start)?)?)
}

/// The distance of 1 to the next number.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}
