//! One sweep: a basis grown from one start vector orthogonal to what is locked, and restarted when it is full.

use basin_objective::Result;
use candle_core::{DType, Device, Tensor};

use super::krylov::{Krylov, Step};
use super::projected::RitzPair;
use super::{Found, Lanczos, Progress, Reason, Wanted};
use crate::basis::Basis;
use crate::operator::SymmetricOperator;
use crate::{probes, rounding};

/// An eigenvalue with its measured residual and its unit vector.
pub(super) struct Pair {
    pub(super) value: f64,
    pub(super) residual: f64,
    pub(super) converged: bool,
    pub(super) vector: Tensor,
}

pub(super) struct Sweep<'a> {
    settings: &'a Lanczos,
    operator: &'a dyn SymmetricOperator,
    krylov: Krylov,
    pub(super) products: usize,
    /// Products that are left to it.
    products_left: usize,
    /// Vectors that this sweep may hold.
    limit: usize,
    /// Whether that is all the room there is beside the locked vectors.
    whole_space: bool,
    pub(super) largest_basis: usize,
    pub(super) reason: Reason,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        settings: &'a Lanczos,
        operator: &'a dyn SymmetricOperator,
        near: Option<&Tensor>,
        found: &Found,
        dtype: DType,
        limit: usize,
    ) -> Result<Self> {
        let dimension = operator.dimension();
        let room = dimension - found.pairs.len();
        let device = settings.basis_device.as_ref().unwrap_or_else(|| operator.device());
        let mut basis = Basis::new(limit + found.pairs.len(), dimension, dtype, device)?;
        found.pairs.iter().try_for_each(|pair| basis.lock(&pair.vector))?;
        let start = start(settings.seed, found.sweeps, &basis, operator)?;
        let start = near.map_or(Ok(start.clone()), |near| beside(&start, near, &basis))?;
        Ok(Self {
            settings,
            operator,
            krylov: Krylov::new(basis, start, operator.dtype(), found.magnitude),
            products: 0,
            products_left: settings.max_products.saturating_sub(found.products),
            limit: limit.min(room),
            whole_space: limit >= room,
            largest_basis: 0,
            reason: Reason::Converged,
        })
    }

    pub(super) fn magnitude(&self) -> f64 {
        self.krylov.magnitude()
    }

    /// Grows and restarts the basis until the extremes sought have converged or nothing is left to do, and measures them.
    pub(super) fn run(
        &mut self,
        wanted: Wanted,
        observe: &mut impl FnMut(Progress) -> Result<()>,
    ) -> Result<Vec<Pair>> {
        let tolerance = self.settings.tolerance;
        let mut next_test = wanted.count().max(8);
        let mut last_measured = f64::INFINITY;
        loop {
            let product = self.product(&self.krylov.next.clone())?;
            let invariant = self.krylov.advance(&product, self.products)? == Step::Invariant;
            let basis = self.krylov.basis.len();
            self.largest_basis = self.largest_basis.max(basis);
            let full = basis == self.limit;
            let spent = self.products + wanted.count() >= self.products_left;
            if !(invariant || full || spent || basis >= next_test) {
                continue;
            }
            next_test = basis + (basis / 8).max(4);
            let all = self.krylov.projected.ritz_pairs()?;
            let pairs = wanted.select(all.iter().collect());
            let worst = pairs.iter().map(|(pair, _)| self.relative(pair.value, pair.residual())).fold(0.0, f64::max);
            observe(Progress { basis, limit: self.limit, products: self.products, residual: worst })?;
            let settled = worst <= tolerance && pairs.len() == wanted.count();
            let last = invariant || spent || (full && self.whole_space);
            if last || settled {
                let pairs = pairs.into_iter().map(|(pair, _)| self.measure(pair)).collect::<Result<Vec<_>>>()?;
                let measured = pairs.iter().map(|pair| self.relative(pair.value, pair.residual)).fold(0.0, f64::max);
                let stalled = measured > 0.5 * last_measured || invariant || (full && self.whole_space);
                self.reason = match measured > tolerance {
                    true if stalled => Reason::Rounding,
                    true if spent => Reason::ProductLimit,
                    _ => Reason::Converged,
                };
                if last || stalled || measured <= tolerance {
                    return Ok(pairs);
                }
                last_measured = measured;
            }
            if full {
                let kept = self.kept(wanted, &all);
                next_test = kept.len() + (self.limit - kept.len()).div_ceil(2);
                self.krylov.restart(&kept)?;
            }
        }
    }

    /// The Ritz pairs that a restart keeps: half of the basis, those sought and what lies next to them, for these separate
    /// the wanted ones from the rest. An end whose pairs have converged needs no more than them.
    fn kept(&self, wanted: Wanted, all: &[RitzPair]) -> Vec<RitzPair> {
        let unsettled = |pairs: &[RitzPair]| {
            pairs.iter().any(|pair| self.relative(pair.value, pair.residual()) > self.settings.tolerance)
        };
        let len = all.len();
        let seek = |count: usize, pairs: &[RitzPair]| if unsettled(pairs) { count.max(1) } else { 0 };
        let top = seek(wanted.top, &all[..wanted.top.min(len)]);
        let bottom = seek(wanted.bottom, &all[len - wanted.bottom.min(len)..]);
        let most = len.saturating_sub(1);
        let spare = (len / 2).saturating_sub(wanted.count()).min(most.saturating_sub(wanted.count()));
        let above = spare * top / (top + bottom).max(1);
        let below = if bottom > 0 { spare - above } else { 0 };
        let (top, bottom) = ((wanted.top + above).min(most), wanted.bottom + below);
        let bottom = bottom.min(most - top);
        all[..top].iter().chain(&all[len - bottom..]).cloned().collect()
    }

    /// A x in the basis's numbers and on its device, counted.
    fn product(&mut self, x: &Tensor) -> Result<Tensor> {
        self.products += 1;
        let x = x.to_device(self.operator.device())?.to_dtype(self.operator.dtype())?;
        let product = self.operator.apply(&x)?;
        Ok(product.to_device(self.device())?.to_dtype(self.krylov.basis.dtype())?)
    }

    fn device(&self) -> &Device {
        self.krylov.basis.device()
    }

    /// A residual relative to |λ|, or to the part of the largest |λ| at which products round.
    fn relative(&self, value: f64, residual: f64) -> f64 {
        let floor = rounding(self.operator.dtype()) * self.magnitude() / self.settings.tolerance;
        residual / value.abs().max(floor).max(f64::MIN_POSITIVE)
    }

    /// A Ritz pair with its unit vector and its measured residual.
    fn measure(&mut self, pair: &RitzPair) -> Result<Pair> {
        let x = self.krylov.basis.combine(&pair.vector)?;
        let x = (&x / self.krylov.basis.norm(&x)?)?;
        let product = self.product(&x)?;
        let value = self.krylov.basis.dot(&x, &product)?;
        let residual = self.krylov.basis.norm(&(product - (&x * value)?)?)?;
        let converged = self.relative(value, residual) <= self.settings.tolerance;
        Ok(Pair { value, residual, converged, vector: x })
    }
}

/// A seeded random unit vector orthogonal to the locked ones, another for each sweep.
fn start(seed: u64, sweep: usize, basis: &Basis, operator: &dyn SymmetricOperator) -> Result<Tensor> {
    let start = probes::normal(seed, "lanczos start", sweep, operator)?;
    let start = start.to_device(basis.device())?.to_dtype(basis.dtype())?;
    let start = basis.orthogonalize(&(&start / basis.norm(&start)?)?)?;
    let start = basis.orthogonalize(&start)?;
    Ok((&start / basis.norm(&start)?)?)
}

/// The unit vector between a random one and the middle of some rows.
fn beside(random: &Tensor, near: &Tensor, basis: &Basis) -> Result<Tensor> {
    let middle = near.to_device(basis.device())?.to_dtype(basis.dtype())?.sum(0)?;
    let length = basis.norm(&middle)?;
    if length == 0.0 || !length.is_finite() {
        return Ok(random.clone());
    }
    let start = (random + (middle / length)?)?;
    Ok((&start / basis.norm(&start)?)?)
}
