//! Lanczos with full orthogonalisation and thick restarts, for both ends of a spectrum at once.
//!
//! From a seeded random unit vector v₁ the basis grows by one product a step,
//!
//! β_j v_{j+1} = A v_j − α_j v_j − β_{j−1} v_{j−1},
//!
//! and the eigenpairs (θ, s) of the projected matrix T of the α and β give the Ritz pairs (θ, x = V s) with the
//! residual ‖A x − θ x‖ = |β_k s_k|, which bounds the distance of θ to an eigenvalue (Paige, 1971; Parlett, "The symmetric
//! eigenvalue problem", 1980, chapters 11 and 13). Every new vector is orthogonalised against the whole basis, so that no
//! eigenvalue appears twice.
//!
//! A basis that is full is restarted (Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems",
//! 2000): the Ritz vectors x_j of both ends are kept, and since A x_j = θ_j x_j + c_j v_{k+1} with c_j = β_k s_kj, T goes on
//! as diag(θ) with the border c. The lower end of a trained network's Hessian is a dense cluster that one long basis
//! resolves with fewer products than a short one, so that the basis is as long as it may be.
//!
//! One start vector finds one copy of each eigenvalue, and no more than the dimension of the smallest invariant subspace
//! that holds it (β = 0). Where more than one eigenvalue of an end is asked for, or not enough were found, what was found
//! is locked and another sweep starts orthogonal to it, until a sweep finds nothing that belongs among the extremes: so
//! copies of a multiple eigenvalue and matrices of low rank come out right. The residuals reported are measured at the end
//! of a sweep with one more product per eigenpair, not taken from the recurrence.

pub(crate) mod krylov;
pub(crate) mod projected;
mod sweep;

use basin_objective::{Error, Result};
use basin_records::spectrum::{Eigenvalue, End};
use candle_core::{DType, Device, Tensor};

use crate::operator::SymmetricOperator;
use crate::precision::DEFAULT_MEMORY;
use sweep::{Pair, Sweep};

/// How many eigenvalues, how well, and how much memory.
#[derive(Clone, Debug)]
pub struct Lanczos {
    /// The number of largest eigenvalues.
    pub top: usize,
    /// The number of smallest eigenvalues.
    pub bottom: usize,
    /// An eigenvalue λ has converged when its residual is at most tolerance · |λ|, or at the rounding of a product.
    pub tolerance: f64,
    /// The largest basis; limited further by the memory. A full basis is restarted.
    pub max_basis: usize,
    /// Products that the search may take.
    pub max_products: usize,
    /// Bytes that the basis may take; 4 GiB when absent.
    pub memory: Option<u64>,
    /// Where the basis is kept, if not on the operator's device: a host has more memory than its GPU.
    pub basis_device: Option<Device>,
    /// Seed of the random start.
    pub seed: u64,
}

impl Default for Lanczos {
    fn default() -> Self {
        Self {
            top: 1,
            bottom: 1,
            tolerance: 1e-4,
            max_basis: 1000,
            max_products: 5000,
            memory: None,
            basis_device: None,
            seed: 0,
        }
    }
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// All eigenvalues asked for have converged.
    Converged,
    /// The basis spans the whole space, so that all eigenvalues are known.
    WholeSpace,
    /// As many products as allowed were taken.
    ProductLimit,
    /// The products are too inexact for the tolerance: residuals no longer fall.
    Rounding,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Converged => "converged",
            Self::WholeSpace => "the basis spans the whole space",
            Self::ProductLimit => "the products allowed were taken",
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

/// Where a run stands: the size of the basis, its limit, the products, and the worst relative residual.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Vectors in the basis.
    pub basis: usize,
    /// Vectors it may hold.
    pub limit: usize,
    /// Products of this sweep.
    pub products: usize,
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
    /// When nothing is asked for, the tolerance is not positive, a product is not finite, or `observe` returns an error.
    pub fn extremes(
        &self,
        operator: &dyn SymmetricOperator,
        observe: impl FnMut(Progress) -> Result<()>,
    ) -> Result<Extremes> {
        self.extremes_near(operator, None, observe)
    }

    /// The same, with the first start near vectors (as rows) that are thought to be near the eigenvectors sought, such as those
    /// of a neighbouring point: half of the start, squared, is the random vector of a search without them, so that an extreme
    /// that is orthogonal to all of them is found too.
    ///
    /// # Errors
    /// As [`extremes`](Self::extremes), and when the rows do not have the operator's dimension.
    pub fn extremes_near(
        &self,
        operator: &dyn SymmetricOperator,
        near: Option<&Tensor>,
        mut observe: impl FnMut(Progress) -> Result<()>,
    ) -> Result<Extremes> {
        self.check()?;
        let dimension = operator.dimension();
        let (dtype, limit) = self.basis_plan(operator.dimension(), operator.dtype())?;
        let wanted = Wanted::new(self.top, self.bottom, dimension);
        let mut found = Found::default();
        let mut seeking = wanted;
        loop {
            let near = near.filter(|_| found.sweeps == 0);
            let mut sweep = Sweep::new(self, operator, near, &found, dtype, limit)?;
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
    fn basis_plan(&self, dimension: usize, computed_in: DType) -> Result<(DType, usize)> {
        let memory = self.memory.unwrap_or(DEFAULT_MEMORY);
        let vectors = |dtype: DType| (memory / (dimension * dtype.size_in_bytes()).max(1) as u64) as usize;
        let least = self.top.saturating_add(self.bottom).saturating_add(1).min(dimension);
        let largest = self.max_basis.max(least).min(dimension);
        let dtype = if vectors(DType::F64) >= largest { DType::F64 } else { computed_in };
        let limit = vectors(dtype).min(largest);
        if limit < least {
            return Err(Error::input(
                format!("{memory} bytes hold a basis of {limit} vectors, {least} are needed"),
                format!("give `--memory` at least {} bytes", least * dimension * dtype.size_in_bytes()),
            ));
        }
        Ok((dtype, limit))
    }

    /// How many searches may go on at a time in the memory, each with the basis it would have alone.
    pub(crate) fn at_once(&self, dimension: usize, computed_in: DType) -> Result<usize> {
        let (dtype, limit) = self.basis_plan(dimension, computed_in)?;
        let basis = (limit * dimension * dtype.size_in_bytes()).max(1) as u64;
        Ok((self.memory.unwrap_or(DEFAULT_MEMORY) / basis).clamp(1, usize::MAX as u64) as usize)
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
        self.basis = self.basis.max(sweep.largest_basis);
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
