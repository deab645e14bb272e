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
//! Where the basis spans an invariant subspace (β = 0) a new random vector orthogonal to it starts another block, so that
//! copies of a multiple eigenvalue and matrices of low rank come out right. The residuals reported are measured at the
//! end with one more product per eigenpair, not taken from the recurrence.

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
    /// The basis spans the whole space: T has all eigenvalues.
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
    /// Vectors in the basis.
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
        let (dtype, limit) = self.basis_plan(operator);
        let wanted = Wanted::new(self.top, self.bottom, dimension);
        let mut run = Run::new(self, operator, dtype, limit)?;
        let mut next_test = wanted.count().max(8);
        let mut last_measured = f64::INFINITY;
        let mut before_block: Option<Vec<f64>> = None;
        loop {
            let basis = run.step()?;
            let ended = if basis == dimension {
                Some(Reason::WholeSpace)
            } else if basis == limit {
                Some(Reason::BasisLimit)
            } else {
                None
            };
            if ended.is_none() && basis < next_test && !run.at_block_end() {
                continue;
            }
            next_test = basis + (basis / 8).max(4);
            let pairs = wanted.select(run.tridiagonal.ritz_pairs()?);
            let worst = pairs.iter().map(|(pair, _)| run.relative_residual(pair)).fold(0.0, f64::max);
            observe(Progress { basis, limit, residual: worst })?;
            let values: Vec<f64> = pairs.iter().map(|(pair, _)| pair.value).collect();
            let settled = worst <= self.tolerance
                && pairs.len() == wanted.count()
                && (wanted.ignores_copies() || run.no_further_copies(before_block.as_deref(), &values));
            if run.at_block_end() {
                before_block = Some(values);
            }
            if ended.is_none() && !settled {
                continue;
            }
            let found = run.measure(pairs, ended.unwrap_or(Reason::Converged))?;
            let measured = found.eigenvalues.iter().map(|e| e.residual / run.scale_of(e.value)).fold(0.0, f64::max);
            if ended.is_some() || measured <= self.tolerance {
                return Ok(found);
            }
            if measured > 0.5 * last_measured {
                return Ok(Extremes { reason: Reason::Rounding, ..found });
            }
            last_measured = measured;
        }
    }

    fn check(&self) -> Result<()> {
        if self.top + self.bottom == 0 {
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
    fn basis_plan(&self, operator: &dyn SymmetricOperator) -> (DType, usize) {
        let memory = self.memory.unwrap_or(DEFAULT_MEMORY);
        let vectors = |dtype: DType| (memory / (operator.dimension() * dtype.size_in_bytes()).max(1) as u64) as usize;
        let largest = self.max_basis.max(self.top + self.bottom + 1).min(operator.dimension());
        let dtype = if vectors(DType::F64) >= largest { DType::F64 } else { operator.dtype() };
        (dtype, vectors(dtype).clamp(2.min(operator.dimension()), largest))
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

    /// The extremal pairs among all Ritz pairs, which come sorted descending.
    fn select(self, pairs: Vec<RitzPair>) -> Vec<(RitzPair, End)> {
        let len = pairs.len();
        let ends = pairs.into_iter().enumerate().filter_map(|(i, pair)| match i {
            i if i < self.top => Some((pair, End::Top)),
            i if i + self.bottom >= len => Some((pair, End::Bottom)),
            _ => None,
        });
        ends.collect()
    }
}

/// A growing basis with its tridiagonal matrix.
struct Run<'a> {
    settings: &'a Lanczos,
    operator: &'a dyn SymmetricOperator,
    basis: Basis,
    tridiagonal: Tridiagonal,
    /// The vector that the next step multiplies.
    next: Tensor,
    products: usize,
    /// Invariant subspaces found so far.
    blocks: usize,
}

impl<'a> Run<'a> {
    fn new(settings: &'a Lanczos, operator: &'a dyn SymmetricOperator, dtype: DType, limit: usize) -> Result<Self> {
        let basis = Basis::new(limit, operator.dimension(), dtype, operator.device())?;
        let mut run = Self {
            settings,
            operator,
            basis,
            tridiagonal: Tridiagonal::default(),
            next: Tensor::zeros(0, dtype, operator.device())?,
            products: 0,
            blocks: 0,
        };
        run.next = run.random_direction()?;
        Ok(run)
    }

    /// A seeded unit vector orthogonal to the basis.
    fn random_direction(&mut self) -> Result<Tensor> {
        let mut rng = random::stream(self.settings.seed, "lanczos start", &self.blocks.to_string());
        let normal: Vec<f64> = (0..self.operator.dimension()).map(|_| StandardNormal.sample(&mut rng)).collect();
        let start = Tensor::new(normal, self.operator.device())?.to_dtype(self.basis.dtype())?;
        let start = self.basis.orthogonalize(&(&start / self.basis.norm(&start)?)?)?;
        let start = self.basis.orthogonalize(&start)?;
        let norm = self.basis.norm(&start)?;
        Ok((start / norm)?)
    }

    /// H x in the basis's numbers, counted.
    fn product(&mut self, x: &Tensor) -> Result<Tensor> {
        self.products += 1;
        let product = self.operator.apply(&x.to_dtype(self.operator.dtype())?)?;
        Ok(product.to_dtype(self.basis.dtype())?)
    }

    /// Adds one vector to the basis and returns its size.
    fn step(&mut self) -> Result<usize> {
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
        self.tridiagonal.push_diagonal(alpha);
        let scale = self.tridiagonal.magnitude().max(beta);
        if beta <= ROUNDING * epsilon(self.operator.dtype()) * scale {
            self.blocks += 1;
            self.tridiagonal.push_coupling(0.0);
            if self.basis.len() < self.operator.dimension() {
                self.next = self.random_direction()?;
            }
        } else {
            self.tridiagonal.push_coupling(beta);
            self.next = (residual / beta)?;
        }
        Ok(self.basis.len())
    }

    /// Whether the last step ended a block: the basis spans an invariant subspace.
    fn at_block_end(&self) -> bool {
        self.tridiagonal.last_coupling() == 0.0
    }

    /// What a residual is compared with: |λ|, or the part of the largest |λ| at which products round.
    fn scale_of(&self, value: f64) -> f64 {
        let floor = ROUNDING * epsilon(self.operator.dtype()) * self.tridiagonal.magnitude() / self.settings.tolerance;
        value.abs().max(floor).max(f64::MIN_POSITIVE)
    }

    fn relative_residual(&self, pair: &RitzPair) -> f64 {
        pair.residual / self.scale_of(pair.value)
    }

    /// A block finds one copy of each eigenvalue. Once one has ended, another of at least its length must leave the
    /// extremes `before` it as they were, to show that there are no further copies among them.
    fn no_further_copies(&self, before: Option<&[f64]>, values: &[f64]) -> bool {
        if self.blocks == 0 {
            return true;
        }
        let start = self.tridiagonal.last_block_start();
        let explored = self.at_block_end() || self.basis.len() - start >= start;
        let unchanged = |before: &[f64]| {
            let same = |(a, b): (&f64, &f64)| (a - b).abs() <= self.settings.tolerance * self.scale_of(*a);
            before.len() == values.len() && before.iter().zip(values).all(same)
        };
        explored && before.is_some_and(unchanged)
    }

    /// The selected pairs with eigenvectors and measured residuals.
    fn measure(&mut self, pairs: Vec<(RitzPair, End)>, reason: Reason) -> Result<Extremes> {
        let mut eigenvalues = Vec::with_capacity(pairs.len());
        let mut rows = Vec::with_capacity(pairs.len());
        for (pair, end) in pairs {
            let x = self.basis.combine(&pair.vector)?;
            let x = (&x / self.basis.norm(&x)?)?;
            let product = self.product(&x)?;
            let value = self.basis.dot(&x, &product)?;
            let residual = self.basis.norm(&(product - (&x * value)?)?)?;
            let converged = residual <= self.settings.tolerance * self.scale_of(value);
            eigenvalues.push(Eigenvalue { value, residual, converged, end });
            rows.push(x);
        }
        let eigenvectors = Tensor::stack(&rows, 0)?;
        Ok(Extremes { eigenvalues, eigenvectors, products: self.products, basis: self.basis.len(), reason })
    }
}

/// The distance of 1 to the next number.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}
