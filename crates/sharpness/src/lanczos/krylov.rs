//! The recurrence: an orthonormal basis of a Krylov space and the operator projected on it.

use basin_objective::Result;
use candle_core::{DType, Tensor};

use super::projected::{Projected, RitzPair};
use crate::basis::Basis;
use crate::{probes, rounding};

/// Part of a vector's norm below which what orthogonalisation left of it is inexact in direction, so that a second pass
/// makes it orthogonal (Daniel, Gragg, Kaufman, Stewart, 1976).
const SECOND_PASS: f64 = 0.7;

/// Where one step leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To another vector.
    Onward,
    /// Nowhere: the basis spans an invariant subspace.
    Invariant,
}

/// A Krylov basis with full orthogonalisation, and the vector that the next step multiplies.
pub(crate) struct Krylov {
    pub(crate) basis: Basis,
    pub(crate) projected: Projected,
    pub(crate) next: Tensor,
    /// In which numbers products are computed, which sets what β means when it is zero.
    products_in: DType,
    /// A lower bound of the spectral radius, from earlier work.
    magnitude: f64,
}

impl Krylov {
    /// From a unit vector orthogonal to the basis's locked ones.
    pub(crate) fn new(basis: Basis, start: Tensor, products_in: DType, magnitude: f64) -> Self {
        Self { basis, projected: Projected::default(), next: start, products_in, magnitude }
    }

    /// The largest |α|, β or |λ| seen, which sets the rounding of a product.
    pub(crate) fn magnitude(&self) -> f64 {
        self.projected.magnitude().max(self.magnitude)
    }

    /// Adds `next` to the basis, given its product, which is the `count`-th.
    pub(crate) fn advance(&mut self, product: &Tensor, count: usize) -> Result<Step> {
        let v = self.next.clone();
        self.basis.push(&v)?;
        let alpha = self.basis.dot(&v, product)?;
        if !alpha.is_finite() {
            return Err(probes::not_finite(count));
        }
        let residual = (product - (&v * alpha)?)?;
        let before = self.basis.norm(&residual)?;
        let mut residual = self.basis.orthogonalize(&residual)?;
        let mut beta = self.basis.norm(&residual)?;
        if beta < SECOND_PASS * before {
            residual = self.basis.orthogonalize(&residual)?;
            beta = self.basis.norm(&residual)?;
        }
        self.projected.push(alpha, beta);
        if beta <= rounding(self.products_in) * self.magnitude() {
            return Ok(Step::Invariant);
        }
        self.next = (residual / beta)?;
        Ok(Step::Onward)
    }

    /// Shrinks the basis to some of its Ritz vectors; the vector behind them stays `next`.
    pub(crate) fn restart(&mut self, kept: &[RitzPair]) -> Result<()> {
        let coefficients: Vec<&[f64]> = kept.iter().map(|pair| pair.vector.as_slice()).collect();
        self.basis.recombine(&coefficients)?;
        self.projected.restart(kept);
        Ok(())
    }
}
