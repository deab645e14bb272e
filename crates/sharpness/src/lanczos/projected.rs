//! The operator in the Krylov basis: a tridiagonal matrix, behind an arrow once the basis was restarted; its eigenpairs.

use basin_objective::{Error, Result};
use nalgebra::{DMatrix, SymmetricEigen};

/// Sweeps after which nalgebra's QR iteration gives up, far above the two or three per eigenvalue that it needs.
const MAX_SWEEPS: usize = 100_000;

/// A Ritz pair: an eigenpair (θ, s) of the projected matrix with A x = θ x + c v_{k+1} for x = V s.
#[derive(Clone, Debug)]
pub(crate) struct RitzPair {
    pub(crate) value: f64,
    /// c = β_k s_k, whose magnitude is the residual.
    pub(crate) coupling: f64,
    /// s, the coordinates of the Ritz vector in the basis.
    pub(crate) vector: Vec<f64>,
}

impl RitzPair {
    pub(crate) fn residual(&self) -> f64 {
        self.coupling.abs()
    }
}

/// The diagonal α and the couplings β to the next vector, of which the last one leads out of the basis; after a restart
/// the Ritz values kept stand first, each coupled to the vector behind them.
#[derive(Debug, Default)]
pub(crate) struct Projected {
    diagonal: Vec<f64>,
    couplings: Vec<f64>,
    /// The couplings of the Ritz vectors kept.
    arrow: Vec<f64>,
}

impl Projected {
    /// The next row: α, and the β that leads on from it.
    pub(crate) fn push(&mut self, alpha: f64, beta: f64) {
        self.diagonal.push(alpha);
        self.couplings.push(beta);
    }

    /// What is left when the basis shrinks to some of its Ritz vectors.
    pub(crate) fn restart(&mut self, kept: &[RitzPair]) {
        self.diagonal = kept.iter().map(|pair| pair.value).collect();
        self.arrow = kept.iter().map(|pair| pair.coupling).collect();
        self.couplings = vec![0.0; kept.len()];
    }

    /// A lower bound of the spectral radius: the largest |α|, |θ| and β.
    pub(crate) fn magnitude(&self) -> f64 {
        self.diagonal.iter().chain(&self.couplings).fold(0.0, |largest: f64, x| largest.max(x.abs()))
    }

    fn matrix(&self) -> DMatrix<f64> {
        let (k, kept) = (self.diagonal.len(), self.arrow.len());
        let mut matrix = DMatrix::zeros(k, k);
        for i in 0..k {
            matrix[(i, i)] = self.diagonal[i];
            let right = match self.arrow.get(i) {
                Some(&coupling) => (kept, coupling),
                None => (i + 1, self.couplings[i]),
            };
            if right.0 < k {
                matrix[(i, right.0)] = right.1;
                matrix[(right.0, i)] = right.1;
            }
        }
        matrix
    }

    /// All eigenpairs, sorted by descending value.
    pub(crate) fn ritz_pairs(&self) -> Result<Vec<RitzPair>> {
        let k = self.diagonal.len();
        let eigen = SymmetricEigen::try_new(self.matrix(), f64::EPSILON, MAX_SWEEPS).ok_or_else(|| {
            Error::input(
                format!("the eigenvalues of a {k}×{k} tridiagonal matrix did not converge"),
                "try another `--seed`",
            )
        })?;
        let beta = self.couplings.last().copied().unwrap_or(0.0);
        let pair = |i: usize| {
            let vector: Vec<f64> = eigen.eigenvectors.column(i).iter().copied().collect();
            RitzPair { value: eigen.eigenvalues[i], coupling: beta * vector[k - 1], vector }
        };
        let mut pairs: Vec<RitzPair> = (0..k).map(pair).collect();
        pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
        Ok(pairs)
    }
}
