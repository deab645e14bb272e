//! The diagonal from products with random vectors.
//!
//! **XDiag** (Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", 2024,
//! section 4): with Rademacher probes wᵢ, Q an orthonormal basis of all A wⱼ, and Qᵢ of all but the i-th,
//!
//! dᵢ = diag(QᵢQᵢᵀA) + wᵢ ∘ (I − QᵢQᵢᵀ) A wᵢ,
//!
//! each unbiased; the estimate is their mean. They share probes, which its standard error takes into account.

use basin_objective::{Error, Result};
use basin_tape::vector;
use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use crate::operator::SymmetricOperator;
use crate::precision::{EstimateProgress, Precision, Stop};
use crate::sketch::{Grown, Look, Sketch, grown};

/// The diagonal of a matrix with the standard error of each of its elements.
#[derive(Clone, Debug)]
pub struct Diagonal {
    /// diag A, of shape (P), in f64.
    pub value: Tensor,
    /// The standard error of each element.
    pub stderr: Tensor,
    /// ‖stderr‖ / ‖value‖.
    pub relative_error: f64,
    /// Products with the operator.
    pub products: usize,
    /// Why it ended.
    pub stop: Stop,
}

/// diag A, until the standard errors of all elements together are small beside it: ‖stderr‖₂ ≤ precision · ‖diag A‖₂.
///
/// ```
/// use basin_sharpness::{Precision, diagonal};
/// use candle_core::{Device, Tensor};
///
/// let matrix = Tensor::new(&[[2.0, 1.0], [1.0, -5.0]], &Device::Cpu)?;
/// let found = diagonal(&matrix, Precision::default(), |_| Ok(()))?;
/// let error = (found.value - Tensor::new(&[2.0, -5.0], &Device::Cpu)?)?.abs()?.max_all()?.to_scalar::<f64>()?;
/// assert!(error < 1e-12);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the precision cannot be asked for, a product is not finite, or `observe` returns an error, which ends the run.
pub fn diagonal(
    operator: &dyn SymmetricOperator,
    precision: Precision,
    observe: impl FnMut(EstimateProgress) -> Result<()>,
) -> Result<Diagonal> {
    precision.check()?;
    let grown = grown(operator, precision, observe, |sketch| {
        let (value, stderr) = mean_of_left_out(sketch, operator)?;
        let norm = |x: &Tensor| Ok::<_, Error>(vector::dot(x, x)?.sqrt());
        Ok(Look { size: norm(&value)?, error: norm(&stderr)?, found: (value, stderr) })
    })?;
    let Grown { found: (value, stderr), relative_error, products, stop } = grown;
    Ok(Diagonal { value, stderr, relative_error, products, stop })
}

/// Columns that are worked on at a time: what that takes beside the sketch.
const COLUMNS: usize = 1 << 14;

/// The mean of the dᵢ, and its standard error.
fn mean_of_left_out(sketch: &Sketch, operator: &dyn SymmetricOperator) -> Result<(Tensor, Tensor)> {
    let dimension = operator.dimension();
    if sketch.len() == 0 {
        let zeros = Tensor::zeros(dimension, DType::F64, operator.device())?;
        return Ok((zeros.clone(), zeros));
    }
    let (q, z) = (sketch.q()?, sketch.z()?);
    let omega = if sketch.exhausted() { None } else { Some((sketch.omega()?, Coefficients::of(sketch, &q)?)) };
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for start in (0..dimension).step_by(COLUMNS) {
        let part =
            |rows: &Tensor| rows.narrow(1, start, COLUMNS.min(dimension - start))?.contiguous()?.to_dtype(DType::F64);
        let (q, z) = (part(&q)?, part(&z)?);
        let whole = (&q * &z)?.sum(0)?;
        let (mean, error) = match &omega {
            Some((omega, coefficients)) => coefficients.changes(&q, &z, &part(omega)?)?,
            None => (whole.zeros_like()?, whole.zeros_like()?),
        };
        values.push((whole + mean)?);
        errors.push(error);
    }
    Ok((Tensor::cat(&values, 0)?, Tensor::cat(&errors, 0)?))
}

/// What leaving out one probe, or two, changes in diag(QQᵀA). With uᵢ = Q sᵢ the direction that leaving out the i-th takes
/// from the range, vᵢ = A uᵢ, γᵢ = sᵢᵀrᵢ, gᵢⱼ = uᵢᵀuⱼ and hᵢⱼ = 1/(1 − gᵢⱼ²), leaving out the i-th changes it by
///
/// eᵢ = −uᵢ ∘ vᵢ + γᵢ wᵢ ∘ uᵢ,
///
/// the estimate's own correction included, and the whole estimate without the i-th probe is the mean over the other j of
///
/// hᵢⱼ (eⱼ − uᵢ ∘ vᵢ + gᵢⱼ (uᵢ ∘ (vⱼ − γⱼ wⱼ) + vᵢ ∘ uⱼ)).
struct Coefficients {
    /// S transposed: its rows make uᵢ and vᵢ from Q and Z.
    s: Tensor,
    /// γᵢ, in a column.
    gaps: Tensor,
    /// hᵢⱼ/(n − 1), and 0 on the diagonal.
    h: Tensor,
    /// gᵢⱼ hᵢⱼ/(n − 1).
    gh: Tensor,
}

impl Coefficients {
    fn of(sketch: &Sketch, q: &Tensor) -> Result<Self> {
        let (len, left_out) = (sketch.len(), sketch.left_out());
        // nalgebra's columns are candle's rows.
        let tensor = |m: &DMatrix<f64>| Tensor::from_vec(m.as_slice().to_vec(), (len, len), q.device());
        let h = left_out.inverse / (len - 1).max(1) as f64;
        Ok(Self {
            s: tensor(&left_out.s)?,
            gaps: Tensor::from_vec(left_out.gaps, (len, 1), q.device())?,
            gh: tensor(&h.component_mul(&left_out.overlap))?,
            h: tensor(&h)?,
        })
    }

    /// The mean of the eᵢ and its standard error, for some columns of Q, Z and Ω.
    fn changes(&self, q: &Tensor, z: &Tensor, omega: &Tensor) -> Result<(Tensor, Tensor)> {
        let (u, v) = (self.s.matmul(q)?, self.s.matmul(z)?);
        let corrected = omega.broadcast_mul(&self.gaps)?.sub(&v)?;
        let e = (&u * &corrected)?;
        let own = (&u * &v)?.broadcast_mul(&self.h.sum_keepdim(1)?)?;
        let shared = ((&v * self.gh.matmul(&u)?)? - (&u * self.gh.matmul(&corrected)?)?)?;
        let without_one = ((self.h.matmul(&e)? - own)? + shared)?;
        let n = without_one.dims()[0] as f64;
        let squares = |x: &Tensor| x.broadcast_sub(&x.mean_keepdim(0)?)?.sqr()?.sum(0);
        // As `statistics::shared_standard_error`, for each element.
        let (spread, jackknife) = ((squares(&e)? / (n * (n - 1.0)))?, (squares(&without_one)? * ((n - 1.0) / n))?);
        Ok((e.mean(0)?, (spread.sqrt()? * jackknife.sqrt()?)?.sqrt()?))
    }
}
