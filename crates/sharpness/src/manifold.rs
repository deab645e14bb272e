//! Random manifolds θ + A y with few columns, on which Keskar et al. (ICLR 2017, section 2.2.2) seek the maximum.
//!
//! A has P·p entries and is not stored where it is large: its rows are drawn again, block by block, for every product.
//! A block depends on nothing but the seed, the number of the draw and its own number, so that neither threads nor
//! storage change a bit.

use std::borrow::Cow;

use basin_objective::random::stream;
use basin_objective::{Error, Result};
use basin_records::keskar::Columns;
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::lbfgsb::reductions::dot_block;

/// Rows that share a stream of random numbers. Another size would be another draw.
const ROWS: usize = 1024;
/// Groups of blocks whose sums are added in order: the fixed partition of every reduction, and the most threads of use.
const GROUPS: usize = 32;
/// Bytes up to which the entries are kept instead of drawn again.
const KEPT_BYTES: usize = 256 << 20;
/// sin² of the angle between a column and the others, in multiples of p·ε, below which it counts as dependent: rounding
/// of the Gram matrix alone makes such angles.
const DEPENDENT: f64 = 16.0;
/// Ratio of the diagonal of R from which columns are made orthonormal in two rounds: each loses its square in digits.
const ILL_CONDITIONED: f64 = 10.0;

/// A matrix A of P rows and p ≤ P independent columns.
///
/// Columns are Gaussian with entries N(0, 1), uniform with entries U(−1, 1), or orthonormal: A = G R⁻¹ with the
/// Gaussian G of the same draw and GᵀG = RᵀR (CholeskyQR), which spans the same space as G. The paper states neither
/// distribution nor scale, yet the box ε (|(A⁺θ)ᵢ| + 1) depends on them, so they belong beside every figure.
///
/// ```
/// use basin_records::keskar::Columns;
/// use basin_sharpness::Manifold;
///
/// let manifold = Manifold::draw(1000, 3, Columns::Orthonormal, 0, 0)?;
/// let theta = manifold.apply(&[1.0, 2.0, 3.0]);
/// let coordinates = manifold.coordinates(&theta);
/// assert!((coordinates[2] - 3.0).abs() < 1e-12);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug)]
pub struct Manifold {
    parameters: usize,
    dimension: usize,
    columns: Option<Columns>,
    entries: Entries,
    /// R⁻¹, where A = G R⁻¹.
    right: Option<DMatrix<f64>>,
    /// AᵀA, factored; none where it is I.
    gram: Option<Cholesky<f64, Dyn>>,
}

/// The entries of G, or what draws them.
#[derive(Debug)]
enum Entries {
    /// Row by row.
    Kept(Vec<f64>),
    Drawn(Draw),
}

#[derive(Debug, Clone, Copy)]
struct Draw {
    seed: u64,
    number: u64,
    uniform: bool,
}

impl Draw {
    fn block(&self, block: usize, entries: usize) -> Vec<f64> {
        let mut rng = stream(self.seed, "manifold", &format!("{}/{block}", self.number));
        let entry = |_| if self.uniform { 2.0 * rng.random::<f64>() - 1.0 } else { rng.sample(StandardNormal) };
        (0..entries).map(entry).collect()
    }
}

impl Manifold {
    /// Draws a manifold of p = `dimension` columns among `parameters` by a seed and the number of the draw.
    ///
    /// # Errors
    /// When p is 0 or larger than the number of parameters.
    pub fn draw(parameters: usize, dimension: usize, columns: Columns, seed: u64, number: u64) -> Result<Self> {
        check(parameters, dimension)?;
        let uniform = match columns {
            Columns::Gaussian | Columns::Orthonormal => false,
            Columns::Uniform => true,
            other => {
                return Err(Error::input(
                    format!("{other:?} columns cannot be drawn"),
                    "draw gaussian, uniform or orthonormal ones",
                ));
            }
        };
        let draw = Draw { seed, number, uniform };
        let mut manifold = Self {
            parameters,
            dimension,
            columns: Some(columns),
            entries: Entries::Drawn(draw),
            right: None,
            gram: None,
        };
        if parameters.saturating_mul(dimension).saturating_mul(size_of::<f64>()) <= KEPT_BYTES {
            manifold.keep();
        }
        if columns == Columns::Orthonormal {
            manifold.orthonormalize()?;
        } else {
            manifold.gram = Some(manifold.factored_gram()?);
        }
        Ok(manifold)
    }

    /// The manifold of given columns.
    ///
    /// ```
    /// use basin_sharpness::Manifold;
    ///
    /// let manifold = Manifold::from_columns(&[vec![1.0, 0.0, 1.0], vec![0.0, 2.0, 0.0]])?;
    /// assert_eq!(manifold.apply(&[3.0, 1.0]), [3.0, 2.0, 3.0]);
    /// assert_eq!(manifold.transpose(&[1.0, 1.0, 1.0]), [2.0, 2.0]);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are none or more than rows, their lengths differ, or they are linearly dependent.
    pub fn from_columns(columns: &[Vec<f64>]) -> Result<Self> {
        let (parameters, dimension) = (columns.first().map_or(0, Vec::len), columns.len());
        check(parameters, dimension)?;
        if let Some(other) = columns.iter().find(|column| column.len() != parameters) {
            return Err(Error::input(
                format!("a column has {} entries, the first has {parameters}", other.len()),
                "give columns of one length, the number of parameters",
            ));
        }
        let entries = (0..parameters).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        let mut manifold =
            Self { parameters, dimension, columns: None, entries: Entries::Kept(entries), right: None, gram: None };
        manifold.gram = Some(manifold.factored_gram()?);
        Ok(manifold)
    }

    /// P.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// p.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How the columns were drawn; none where they were given.
    pub fn columns(&self) -> Option<Columns> {
        self.columns
    }

    /// A y.
    ///
    /// # Panics
    /// When y does not have length p.
    pub fn apply(&self, y: &[f64]) -> Vec<f64> {
        assert_eq!(y.len(), self.dimension, "y lies in R^p");
        let combined = self.right.as_ref().map(|right| right * DVector::from_column_slice(y));
        let y = combined.as_ref().map_or(y, |combined| combined.as_slice());
        let mut out = vec![0.0; self.parameters];
        out.par_chunks_mut(ROWS).enumerate().for_each(|(block, out)| {
            let rows = self.block(block);
            for (out, row) in out.iter_mut().zip(rows.chunks_exact(self.dimension)) {
                *out = dot_block(row, y);
            }
        });
        out
    }

    /// Aᵀ g.
    ///
    /// # Panics
    /// When g does not have length P.
    pub fn transpose(&self, g: &[f64]) -> Vec<f64> {
        assert_eq!(g.len(), self.parameters, "g lies in R^P");
        let zero = || DVector::<f64>::zeros(self.dimension);
        let sum = self.sum(zero, |mut sum, block| {
            let rows = self.block(block);
            for (row, g) in rows.chunks_exact(self.dimension).zip(&g[block * ROWS..]) {
                sum.iter_mut().zip(row).for_each(|(sum, entry)| *sum += entry * g);
            }
            sum
        });
        let sum = self.right.as_ref().map_or_else(|| sum.clone(), |right| right.tr_mul(&sum));
        sum.as_slice().to_vec()
    }

    /// A⁺θ = (AᵀA)⁻¹ Aᵀ θ, the coordinates of the orthogonal projection of θ.
    ///
    /// # Panics
    /// When θ does not have length P.
    pub fn coordinates(&self, theta: &[f64]) -> Vec<f64> {
        let products = self.transpose(theta);
        match &self.gram {
            Some(gram) => gram.solve(&DVector::from_vec(products)).as_slice().to_vec(),
            None => products,
        }
    }

    fn keep(&mut self) {
        let entries: Vec<f64> =
            (0..self.blocks()).into_par_iter().flat_map_iter(|b| self.block(b).into_owned()).collect();
        self.entries = Entries::Kept(entries);
    }

    fn blocks(&self) -> usize {
        self.parameters.div_ceil(ROWS)
    }

    /// The rows of G in a block, one after the other.
    fn block(&self, block: usize) -> Cow<'_, [f64]> {
        let (start, end) = (block * ROWS, self.parameters.min((block + 1) * ROWS));
        match &self.entries {
            Entries::Kept(entries) => Cow::Borrowed(&entries[start * self.dimension..end * self.dimension]),
            Entries::Drawn(draw) => Cow::Owned(draw.block(block, (end - start) * self.dimension)),
        }
    }

    /// The sum over blocks, in a fixed order of additions.
    fn sum<T: Send + std::ops::AddAssign>(&self, zero: impl Fn() -> T + Sync, add: impl Fn(T, usize) -> T + Sync) -> T {
        let blocks = self.blocks();
        let size = blocks.div_ceil(GROUPS).max(1);
        let of_group = |group: usize| (group * size..blocks.min((group + 1) * size)).fold(zero(), &add);
        let groups: Vec<T> = (0..blocks.div_ceil(size)).into_par_iter().map(of_group).collect();
        groups.into_iter().fold(zero(), |mut sum, group| {
            sum += group;
            sum
        })
    }

    /// AᵀA.
    fn gram(&self) -> DMatrix<f64> {
        let p = self.dimension;
        self.sum(
            || DMatrix::zeros(p, p),
            |mut gram, block| {
                let rows = self.block(block);
                let transposed = DMatrix::from_column_slice(p, rows.len() / p, &rows);
                let transposed = match &self.right {
                    Some(right) => right.tr_mul(&transposed),
                    None => transposed,
                };
                gram.gemm(1.0, &transposed, &transposed.transpose(), 1.0);
                gram
            },
        )
    }

    fn factored_gram(&self) -> Result<Cholesky<f64, Dyn>> {
        let dependent = || {
            Error::input(
                format!("the {} columns of a manifold are linearly dependent to working precision", self.dimension),
                "use fewer columns, or others",
            )
        };
        let gram = self.gram();
        let norms = gram.diagonal();
        let factor = Cholesky::new(gram).ok_or_else(dependent)?;
        let least = DEPENDENT * self.dimension as f64 * f64::EPSILON;
        let pivots = factor.l_dirty().diagonal();
        let independent = pivots.iter().zip(norms.iter()).all(|(pivot, norm)| pivot * pivot > least * norm);
        if independent { Ok(factor) } else { Err(dependent()) }
    }

    fn orthonormalize(&mut self) -> Result<()> {
        let ratio = self.divide_by_factor()?;
        if ratio > ILL_CONDITIONED {
            self.divide_by_factor()?;
        }
        Ok(())
    }

    /// A ← A R⁻¹ with AᵀA = RᵀR. Returns the ratio of the largest to the least element of R's diagonal.
    fn divide_by_factor(&mut self) -> Result<f64> {
        let lower = self.factored_gram()?.unpack();
        let diagonal = lower.diagonal();
        let mut inverse = DMatrix::identity(self.dimension, self.dimension);
        lower.tr_solve_lower_triangular_mut(&mut inverse);
        self.right = Some(match &self.right {
            Some(right) => right * inverse,
            None => inverse,
        });
        Ok(diagonal.max() / diagonal.min())
    }
}

fn check(parameters: usize, dimension: usize) -> Result<()> {
    if dimension == 0 || dimension > parameters {
        return Err(Error::input(
            format!("a manifold of dimension {dimension} does not exist among {parameters} parameters"),
            format!("give a dimension from 1 to {parameters}, or measure the full space"),
        ));
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    /// Two ways to the same number that differ by rounding alone.
    const ROUNDING: f64 = 1e-10;

    const DRAWN: [Columns; 3] = [Columns::Gaussian, Columns::Uniform, Columns::Orthonormal];

    fn dense(manifold: &Manifold) -> DMatrix<f64> {
        let p = manifold.dimension();
        let column = |j| {
            let unit: Vec<f64> = (0..p).map(|i| f64::from(u8::from(i == j))).collect();
            DVector::from_vec(manifold.apply(&unit))
        };
        DMatrix::from_columns(&(0..p).map(column).collect::<Vec<_>>())
    }

    fn vector(n: usize) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.7).sin()).collect()
    }

    #[test]
    fn products_agree_with_the_dense_matrix_and_its_pseudo_inverse() {
        for (parameters, p) in [(1, 1), (7, 3), (6, 6), (ROWS, 5), (2 * ROWS + 3, 20)] {
            for columns in DRAWN {
                let manifold = Manifold::draw(parameters, p, columns, 1, 2).unwrap();
                let (a, theta, y) =
                    (dense(&manifold), DVector::from_vec(vector(parameters)), DVector::from_vec(vector(p)));
                let near = |found: Vec<f64>, expected: DVector<f64>| {
                    (DVector::from_vec(found) - &expected).norm() <= ROUNDING * expected.norm()
                };
                assert!(near(manifold.apply(y.as_slice()), &a * &y), "{columns:?} {parameters} {p}");
                assert!(near(manifold.transpose(theta.as_slice()), a.tr_mul(&theta)), "{columns:?} {parameters} {p}");
                let inverse = a.pseudo_inverse(f64::EPSILON).unwrap();
                assert!(near(manifold.coordinates(theta.as_slice()), inverse * &theta), "{columns:?} {parameters} {p}");
            }
        }
    }

    #[test]
    fn orthonormal_columns_are_orthonormal() {
        for (parameters, p) in [(50, 50), (5000, 100), (60, 55)] {
            let a = dense(&Manifold::draw(parameters, p, Columns::Orthonormal, 0, 0).unwrap());
            let error = (a.tr_mul(&a) - DMatrix::identity(p, p)).abs().max();
            assert!(error < ROUNDING, "{parameters} {p}: {error:e}");
        }
    }

    #[test]
    fn neither_storage_nor_threads_change_a_bit() {
        for columns in DRAWN {
            let mut kept = Manifold::draw(3 * ROWS + 5, 4, columns, 3, 1).unwrap();
            let products = |manifold: &Manifold, threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| (manifold.apply(&vector(4)), manifold.coordinates(&vector(3 * ROWS + 5))))
            };
            let expected = products(&kept, 1);
            assert_eq!(products(&kept, 2), expected);
            kept.entries = Entries::Drawn(Draw { seed: 3, number: 1, uniform: columns == Columns::Uniform });
            assert_eq!(products(&kept, 2), expected);
        }
    }

    /// Draws are part of what a seed means: these values were drawn once and are kept.
    #[test]
    fn golden_values() {
        let first = |columns, number| Manifold::draw(2000, 2, columns, 0, number).unwrap().block(1)[..2].to_vec();
        let found = [first(Columns::Gaussian, 0), first(Columns::Gaussian, 1), first(Columns::Uniform, 0)];
        let expected = [
            [-0.4761160306763462, 0.440108048987615],
            [-0.28242240485597797, 0.6598186141947329],
            [-0.40732674088769016, 0.29980552262515925],
        ];
        assert_eq!(found, expected);
        assert_eq!(first(Columns::Orthonormal, 0), found[0]);
    }

    #[test]
    fn what_is_no_manifold_is_refused() {
        for (parameters, p) in [(3, 0), (3, 4), (0, 0)] {
            let error = Manifold::draw(parameters, p, Columns::Gaussian, 0, 0).unwrap_err();
            assert!(error.is_bad_input() && error.hint().is_some(), "{error}");
        }
        for columns in
            [vec![], vec![vec![1.0, 2.0], vec![2.0, 4.0]], vec![vec![0.0, 0.0]], vec![vec![1.0, 2.0], vec![1.0]]]
        {
            assert!(Manifold::from_columns(&columns).unwrap_err().is_bad_input(), "{columns:?}");
        }
        assert!(Manifold::from_columns(&[vec![f64::NAN, 1.0]]).unwrap_err().is_bad_input());
        assert!(Manifold::from_columns(&[vec![1.0, 0.0, 0.0], vec![1e-9, 1e-9, 0.0]]).is_ok());
    }
}
