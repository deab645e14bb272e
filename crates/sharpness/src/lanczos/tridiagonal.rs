//! The symmetric tridiagonal matrix of the recurrence and its eigenpairs.

use basin_objective::{Error, Result};
use nalgebra::{DMatrix, SymmetricEigen};

/// Sweeps after which nalgebra's QR iteration gives up, far above the two or three per eigenvalue that it needs.
const MAX_SWEEPS: usize = 100_000;

/// A Ritz pair: an eigenpair (θ, s) of T with the residual |β_k s_k|.
#[derive(Clone, Debug)]
pub(super) struct RitzPair {
    pub(super) value: f64,
    pub(super) residual: f64,
    /// s, the coordinates of the Ritz vector in the basis.
    pub(super) vector: Vec<f64>,
}

/// T with the diagonal α and the couplings β, of which the last one leads out of the basis.
#[derive(Debug, Default)]
pub(super) struct Tridiagonal {
    diagonal: Vec<f64>,
    couplings: Vec<f64>,
}

impl Tridiagonal {
    /// The next row: α, and the β that leads on from it.
    pub(super) fn push(&mut self, alpha: f64, beta: f64) {
        self.diagonal.push(alpha);
        self.couplings.push(beta);
    }

    /// A lower bound of the spectral radius: the largest |α| and β.
    pub(super) fn magnitude(&self) -> f64 {
        self.diagonal.iter().chain(&self.couplings).fold(0.0, |largest: f64, x| largest.max(x.abs()))
    }

    /// All eigenpairs, sorted by descending value.
    pub(super) fn ritz_pairs(&self) -> Result<Vec<RitzPair>> {
        let k = self.diagonal.len();
        let mut matrix = DMatrix::zeros(k, k);
        for i in 0..k {
            matrix[(i, i)] = self.diagonal[i];
            if i + 1 < k {
                matrix[(i, i + 1)] = self.couplings[i];
                matrix[(i + 1, i)] = self.couplings[i];
            }
        }
        let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, MAX_SWEEPS).ok_or_else(|| {
            Error::input(
                format!("the eigenvalues of a {k}×{k} tridiagonal matrix did not converge"),
                "try another `--seed`",
            )
        })?;
        let beta = self.couplings.last().copied().unwrap_or(0.0);
        let pair = |i: usize| {
            let vector: Vec<f64> = eigen.eigenvectors.column(i).iter().copied().collect();
            RitzPair { value: eigen.eigenvalues[i], residual: (beta * vector[k - 1]).abs(), vector }
        };
        let mut pairs: Vec<RitzPair> = (0..k).map(pair).collect();
        pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
        Ok(pairs)
    }
}
