//! An orthonormal basis of the range of A Ω for random probes Ω, with A times it: what trace and diagonal estimates deflate.

use basin_objective::Result;
use basin_tape::vector;
use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use crate::basis::Basis;
use crate::operator::SymmetricOperator;
use crate::precision::{EstimateProgress, FIRST_LOOK, Precision, Stop};
use crate::probes::{self, AT_ONCE};
use crate::rounding;

/// Q R = A Ω with orthonormal Q, and Z = A Q, for Rademacher probes Ω. Q and Z have one row per probe.
pub(crate) struct Sketch<'a> {
    operator: &'a dyn SymmetricOperator,
    seed: u64,
    purpose: &'static str,
    q: Basis,
    z: Basis,
    /// The columns of R.
    r: Vec<Vec<f64>>,
    /// The probes of Ω by their numbers; a probe whose product depends on those before it is passed over.
    probes: Vec<usize>,
    drawn: usize,
    products: usize,
    /// Whether Q spans the whole range of A, up to rounding.
    exhausted: bool,
}

impl<'a> Sketch<'a> {
    pub(crate) fn new(operator: &'a dyn SymmetricOperator, seed: u64, purpose: &'static str) -> Result<Self> {
        let dimension = operator.dimension();
        let basis = || Basis::new(dimension, dimension, operator.dtype(), operator.device());
        Ok(Self {
            operator,
            seed,
            purpose,
            q: basis()?,
            z: basis()?,
            r: Vec::new(),
            probes: Vec::new(),
            drawn: 0,
            products: 0,
            exhausted: false,
        })
    }

    /// The number of probes.
    pub(crate) fn len(&self) -> usize {
        self.probes.len()
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted
    }

    pub(crate) fn products(&self) -> usize {
        self.products
    }

    /// The largest number of probes whose Q, Z and Ω fit into so many bytes.
    pub(crate) fn room(operator: &dyn SymmetricOperator, memory: u64) -> usize {
        let one = 3 * operator.dimension() * operator.dtype().size_in_bytes();
        usize::try_from(memory / one.max(1) as u64).unwrap_or(usize::MAX)
    }

    /// Adds probes until there are so many, or the range is exhausted.
    pub(crate) fn grow(&mut self, len: usize) -> Result<()> {
        while self.len() < len && !self.exhausted {
            let before = self.len();
            self.extend(AT_ONCE.min(len - before))?;
            if self.len() == self.operator.dimension() {
                self.exhausted = true;
            } else if self.len() == before {
                // Few sign vectors can depend on each other by chance; a normal one does not.
                let normal = probes::normal(self.seed, "range test", self.drawn, self.operator)?;
                let product = self.multiply(&normal.to_dtype(self.operator.dtype())?.unsqueeze(0)?)?;
                self.exhausted = self.orthogonal_part(&product.get(0)?)?.is_none();
            }
        }
        Ok(())
    }

    fn extend(&mut self, count: usize) -> Result<()> {
        let before = self.len();
        let omega = probes::rademacher(self.seed, self.purpose, self.drawn..self.drawn + count, self.operator)?;
        let y = self.multiply(&omega)?;
        for row in 0..count {
            if let Some((column, q)) = self.orthogonal_part(&y.get(row)?)? {
                self.r.push(column);
                self.q.push(&q)?;
                self.probes.push(self.drawn + row);
            }
        }
        self.drawn += count;
        if self.len() > before {
            let new = self.q.rows()?.narrow(0, before, self.len() - before)?;
            let products = self.multiply(&new)?;
            (0..self.len() - before).try_for_each(|row| self.z.push(&products.get(row)?))?;
        }
        Ok(())
    }

    fn multiply(&mut self, rows: &Tensor) -> Result<Tensor> {
        self.products += rows.dims()[0];
        let product = self.operator.apply(rows)?;
        if vector::total(&product)?.is_finite() { Ok(product) } else { Err(probes::not_finite(self.products)) }
    }

    /// The coordinates of y in Q, and in the unit vector that its rest makes; none where nothing but rounding is left.
    fn orthogonal_part(&self, y: &Tensor) -> Result<Option<(Vec<f64>, Tensor)>> {
        let norm = self.q.norm(y)?;
        let (mut rest, mut column) = (y.clone(), vec![0.0; self.len()]);
        // The second pass makes the rest orthogonal where the first took almost all away.
        for _ in 0..2 {
            if self.len() > 0 {
                let rows = self.q.rows()?;
                let coefficients = rows.matmul(&rest.unsqueeze(1)?)?;
                rest = (&rest - coefficients.t()?.matmul(&rows)?.squeeze(0)?)?;
                let coefficients = coefficients.squeeze(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                column.iter_mut().zip(coefficients).for_each(|(sum, c)| *sum += c);
            }
        }
        let beta = self.q.norm(&rest)?;
        if self.len() == self.operator.dimension() || beta <= rounding(self.operator.dtype()) * norm {
            return Ok(None);
        }
        column.push(beta);
        Ok(Some((column, (rest / beta)?)))
    }

    /// Q, as rows.
    pub(crate) fn q(&self) -> Result<Tensor> {
        self.q.rows()
    }

    /// Z = A Q, as rows.
    pub(crate) fn z(&self) -> Result<Tensor> {
        self.z.rows()
    }

    /// x − Q Qᵀ x for rows x, in two passes.
    pub(crate) fn deflate(&self, x: &Tensor) -> Result<Tensor> {
        if self.len() == 0 {
            return Ok(x.clone());
        }
        let (q, mut rest) = (self.q()?, x.clone());
        for _ in 0..2 {
            rest = (&rest - rest.matmul(&q.t()?)?.matmul(&q)?)?;
        }
        Ok(rest)
    }

    /// Ω, the probes that made the rows of Q.
    pub(crate) fn omega(&self) -> Result<Tensor> {
        let probe = |&probe: &usize| probes::rademacher(self.seed, self.purpose, probe..probe + 1, self.operator);
        let rows = self.probes.iter().map(probe).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&rows, 0)?)
    }

    /// R, upper triangular.
    pub(crate) fn r(&self) -> DMatrix<f64> {
        DMatrix::from_fn(self.len(), self.len(), |row, column| self.r[column].get(row).copied().unwrap_or(0.0))
    }

    /// The probes as leaving them out sees them.
    pub(crate) fn left_out(&self) -> LeftOut {
        let len = self.len();
        let identity = DMatrix::identity(len, len);
        // R has no zero on its diagonal, so that the system can be solved.
        let mut s = self.r().transpose().solve_lower_triangular(&identity).unwrap_or(identity);
        let norms: Vec<f64> = (0..len).map(|i| s.column(i).norm()).collect();
        norms.iter().enumerate().for_each(|(i, norm)| s.column_mut(i).unscale_mut(*norm));
        let overlap = s.transpose() * &s;
        let inverse = DMatrix::from_fn(len, len, |i, j| match i == j {
            true => 0.0,
            false => 1.0 / (1.0 - overlap[(i, j)].powi(2)).max(f64::EPSILON),
        });
        LeftOut { s, gaps: norms.into_iter().map(f64::recip).collect(), overlap, inverse }
    }
}

/// What an estimate from a sketch is, how large, and its standard error.
pub(crate) struct Look<T> {
    pub(crate) found: T,
    pub(crate) size: f64,
    pub(crate) error: f64,
}

/// The last estimate from a growing sketch.
pub(crate) struct Grown<T> {
    pub(crate) found: T,
    /// Its standard error relative to its size.
    pub(crate) relative_error: f64,
    pub(crate) products: usize,
    pub(crate) stop: Stop,
}

/// Estimates from a sketch with half as many probes again each time, until one is as exact as wanted.
pub(crate) fn grown<T>(
    operator: &dyn SymmetricOperator,
    precision: Precision,
    mut observe: impl FnMut(EstimateProgress) -> Result<()>,
    estimate: impl Fn(&Sketch) -> Result<Look<T>>,
) -> Result<Grown<T>> {
    let mut sketch = Sketch::new(operator, precision.seed, "sketch")?;
    let room = Sketch::room(operator, precision.memory()).max(2);
    let mut wanted = FIRST_LOOK.min(precision.max_products / 2);
    loop {
        sketch.grow(wanted.min(room))?;
        let products = sketch.products();
        let Look { found, size, error } = estimate(&sketch)?;
        let relative_error = if error == 0.0 { 0.0 } else { error / size };
        observe(EstimateProgress { products, standard_error: relative_error })?;
        let next = sketch.len() + sketch.len() / 2;
        let stop = if sketch.exhausted() {
            Stop::Exact
        } else if precision.reached(size, error) {
            Stop::Precise
        } else if 2 * next > precision.max_products {
            Stop::ProductLimit
        } else if sketch.len() >= room {
            Stop::MemoryLimit
        } else {
            wanted = next;
            continue;
        };
        return Ok(Grown { found, relative_error, products, stop });
    }
}

/// What leaving probes out takes from the range of Q: the i-th probe the direction Q sᵢ, and two probes the plane of theirs,
/// on which Q [sᵢ sⱼ] G⁻¹ [sᵢ sⱼ]ᵀ Qᵀ projects, with the matrix G of their inner products.
pub(crate) struct LeftOut {
    /// The unit vectors sᵢ, as columns: orthogonal to every column of R but the i-th.
    pub(crate) s: DMatrix<f64>,
    /// sᵢᵀ rᵢ.
    pub(crate) gaps: Vec<f64>,
    /// sᵢᵀ sⱼ.
    pub(crate) overlap: DMatrix<f64>,
    /// 1/det G = 1/(1 − (sᵢᵀ sⱼ)²), and 0 on the diagonal.
    pub(crate) inverse: DMatrix<f64>,
}
