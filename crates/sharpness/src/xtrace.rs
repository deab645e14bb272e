//! XTrace: every probe both sketches the range and samples what the others left of it.

use basin_objective::Result;
use candle_core::{DType, Tensor};
use nalgebra::DMatrix;

use crate::operator::SymmetricOperator;
use crate::precision::{EstimateProgress, Precision};
use crate::sketch::{Grown, Look, Sketch, grown};
use crate::statistics::shared_standard_error;
use crate::trace::Estimated;

/// The trace as exactly as wanted.
pub(crate) fn xtrace(
    operator: &dyn SymmetricOperator,
    precision: Precision,
    observe: impl FnMut(EstimateProgress) -> Result<()>,
) -> Result<Estimated> {
    let grown = grown(operator, precision, observe, |sketch| {
        let (value, stderr) = mean_of_left_out(sketch)?;
        Ok(Look { size: value.abs(), error: stderr, found: (value, stderr) })
    })?;
    let Grown { found: (value, stderr), products, stop, .. } = grown;
    Ok(Estimated { value, stderr, products, stop })
}

/// The mean of tᵢ over the probes wᵢ, and its standard error. With the projector P on the range of Q without
/// the directions of the probes left out,
///
/// tᵢ = tr PA + wᵢᵀ (I − P) A (I − P) wᵢ.
fn mean_of_left_out(sketch: &Sketch) -> Result<(f64, f64)> {
    let (q, z, n) = (sketch.q()?, sketch.z()?, sketch.len());
    if n == 0 {
        return Ok((0.0, 0.0));
    }
    let t = matrix(&q.matmul(&z.t()?)?)?;
    let t = (&t + t.transpose()) / 2.0;
    if sketch.exhausted() {
        return Ok((t.trace(), 0.0));
    }
    let samples = Samples::new(sketch, t, &q, &z)?;
    let all: Vec<f64> = (0..n).map(|j| samples.without(None, j)).collect();
    let without = |i: usize| (0..n).filter(|&j| j != i).map(|j| samples.without(Some(i), j)).sum::<f64>();
    let without_one: Vec<f64> = (0..n).map(|i| without(i) / (n - 1).max(1) as f64).collect();
    Ok((all.iter().sum::<f64>() / n as f64, shared_standard_error(&all, &without_one)))
}

/// The inner products of which every tⱼ consists, with T = QᵀAQ, C = QᵀΩ, D = Zᵀ Ω, and the unit vectors S that leaving a
/// probe out takes from the range.
struct Samples {
    trace: f64,
    /// wⱼᵀ (I − QQᵀ) A (I − QQᵀ) wⱼ where no probe is left out.
    rests: Vec<f64>,
    /// SᵀTS.
    curvature: DMatrix<f64>,
    /// SᵀC.
    probes: DMatrix<f64>,
    /// SᵀD + SᵀR − 2 SᵀTC: the change of a rest with the part of a probe that P no longer takes.
    slopes: DMatrix<f64>,
    overlap: DMatrix<f64>,
    inverse: DMatrix<f64>,
}

impl Samples {
    fn new(sketch: &Sketch, t: DMatrix<f64>, q: &Tensor, z: &Tensor) -> Result<Self> {
        let omega = sketch.omega()?.t()?;
        let (c, d, r) = (matrix(&q.matmul(&omega)?)?, matrix(&z.matmul(&omega)?)?, sketch.r());
        let left_out = sketch.left_out();
        let s = left_out.s.transpose();
        let tc = &t * &c;
        // wᵀy − wᵀZc − cᵀQᵀy + cᵀTc with y = Q r, of which the first and the third cancel.
        let rests = (0..sketch.len()).map(|j| c.column(j).dot(&tc.column(j)) - d.column(j).dot(&c.column(j))).collect();
        Ok(Self {
            trace: t.trace(),
            rests,
            curvature: &s * &t * &left_out.s,
            slopes: &s * (d + r - tc * 2.0),
            probes: s * c,
            overlap: left_out.overlap,
            inverse: left_out.inverse,
        })
    }

    /// tⱼ without the j-th probe in the range, and without the i-th where one is given.
    fn without(&self, i: Option<usize>, j: usize) -> f64 {
        let (m, b, f) = (&self.curvature, &self.probes, &self.slopes);
        let Some(i) = i else {
            let x = b[(j, j)];
            return self.trace - m[(j, j)] + self.rests[j] + x * f[(j, j)] + x * x * m[(j, j)];
        };
        let (g, h) = (self.overlap[(i, j)], self.inverse[(i, j)]);
        let lost = h * (m[(i, i)] + m[(j, j)] - 2.0 * g * m[(i, j)]);
        let (x, y) = (h * (b[(i, j)] - g * b[(j, j)]), h * (b[(j, j)] - g * b[(i, j)]));
        let bent = x * x * m[(i, i)] + y * y * m[(j, j)] + 2.0 * x * y * m[(i, j)];
        self.trace - lost + self.rests[j] + x * f[(i, j)] + y * f[(j, j)] + bent
    }
}

fn matrix(tensor: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let elements = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(DMatrix::from_row_slice(rows, columns, &elements))
}
