//! Traces and Frobenius norms from products with random vectors.
//!
//! With Rademacher probes z, E zᵀAz = tr A and E ‖Az‖² = ‖A‖_F² (Hutchinson, "A stochastic estimator of the trace of the
//! influence matrix", 1990); the first has the variance 2 (‖A‖_F² − Σ aᵢᵢ²). Where few eigenvalues are large, most of the
//! variance is theirs. **Hutch++** (Meyer, Musco, Musco, Woodruff, "Hutch++: optimal stochastic trace estimation", 2021,
//! algorithm 1) multiplies some probes, computes the trace on the range Q of these products exactly and estimates the rest,
//!
//! tr A ≈ tr QᵀAQ + mean over z of zᵀ(I − QQᵀ) A (I − QQᵀ)z.
//!
//! **XTrace** (Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", 2024,
//! section 2.1) uses every probe for both parts by leaving each out of Q in its turn.
//!
//! Each estimate is unbiased. The standard error of probes is that of the mean of independent samples; XTrace's samples
//! share their probes, which its standard error takes into account. An estimate ends when its standard error is as small as asked
//! for, never because two estimates were close to each other, and is looked at seldom: first after 16 samples, then when as
//! many were taken as the variance says are needed.

use basin_objective::Result;
use basin_tape::vector;
use candle_core::{D, DType, Tensor};

use crate::operator::SymmetricOperator;
use crate::precision::{EstimateProgress, FIRST_LOOK, Precision, Stop};
use crate::probes::{self, AT_ONCE};
use crate::sketch::Sketch;
use crate::statistics::Moments;
use crate::xtrace::xtrace;

/// How the trace is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMethod {
    /// Independent probes alone; keeps no vectors.
    Hutchinson,
    /// Deflation by a sketch, then independent probes.
    #[default]
    HutchPlusPlus,
    /// Every probe for both.
    XTrace,
}

/// An estimate with its standard error.
#[derive(Clone, Copy, Debug)]
pub struct Estimated {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub stderr: f64,
    /// Products with the operator.
    pub products: usize,
    /// Why it ended.
    pub stop: Stop,
}

/// tr A, in units of the loss per squared parameter.
///
/// ```
/// use basin_sharpness::{Precision, TraceMethod, trace};
/// use candle_core::{Device, Tensor};
///
/// let matrix = Tensor::new(&[[2.0, 1.0], [1.0, -5.0]], &Device::Cpu)?;
/// let found = trace(&matrix, TraceMethod::XTrace, Precision::default(), |_| Ok(()))?;
/// assert!((found.value + 3.0).abs() < 1e-12 && found.stop.converged());
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the precision cannot be asked for, a product is not finite, or `observe` returns an error, which ends the run.
pub fn trace(
    operator: &dyn SymmetricOperator,
    method: TraceMethod,
    precision: Precision,
    observe: impl FnMut(EstimateProgress) -> Result<()>,
) -> Result<Estimated> {
    precision.check()?;
    match method {
        TraceMethod::Hutchinson => deflated_probes(operator, Form::Product, false, precision, observe),
        TraceMethod::HutchPlusPlus => deflated_probes(operator, Form::Product, true, precision, observe),
        TraceMethod::XTrace => xtrace(operator, precision, observe),
    }
}

/// ‖A‖_F = √(Σ λᵢ²), by Hutch++ on A², whose quadratic form ‖Az‖² takes one product; the standard error follows from that of
/// the square by d√x = dx/(2√x).
///
/// ```
/// use basin_sharpness::{Precision, frobenius_norm};
/// use candle_core::{Device, Tensor};
///
/// let matrix = Tensor::new(&[[3.0, 0.0], [0.0, -4.0]], &Device::Cpu)?;
/// let found = frobenius_norm(&matrix, Precision::default(), |_| Ok(()))?;
/// assert!((found.value - 5.0).abs() < 1e-12);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// As of [`trace`].
pub fn frobenius_norm(
    operator: &dyn SymmetricOperator,
    precision: Precision,
    mut observe: impl FnMut(EstimateProgress) -> Result<()>,
) -> Result<Estimated> {
    precision.check()?;
    let of_square = Precision { standard_error: 2.0 * precision.standard_error, ..precision };
    let square = deflated_probes(operator, Form::Square, true, of_square, |at| {
        observe(EstimateProgress { standard_error: at.standard_error / 2.0, ..at })
    })?;
    let value = square.value.max(0.0).sqrt();
    let stderr = if value > 0.0 { square.stderr / (2.0 * value) } else { 0.0 };
    Ok(Estimated { value, stderr, ..square })
}

/// The quadratic form of a probe x with its product y = A x.
#[derive(Clone, Copy)]
enum Form {
    /// xᵀy = xᵀAx.
    Product,
    /// yᵀy = xᵀA²x.
    Square,
}

impl Form {
    /// For each row.
    fn of_rows(self, x: &Tensor, y: &Tensor) -> Result<Vec<f64>> {
        let y = y.to_dtype(DType::F64)?;
        let product = match self {
            Self::Product => (x.to_dtype(DType::F64)? * y)?,
            Self::Square => y.sqr()?,
        };
        Ok(product.sum(D::Minus1)?.to_vec1::<f64>()?)
    }
}

/// The trace of a form: exact on a sketch's range, which is empty where no sketch is wanted, and by probes on the rest. The
/// sketch is doubled where the probes still needed would cost more.
fn deflated_probes(
    operator: &dyn SymmetricOperator,
    form: Form,
    sketching: bool,
    precision: Precision,
    mut observe: impl FnMut(EstimateProgress) -> Result<()>,
) -> Result<Estimated> {
    let mut sketch = Sketch::new(operator, precision.seed, "sketch")?;
    let mut size = 0;
    // A third of the products at most makes the sketch, a third its product, and a third is left for probes.
    let room = Sketch::room(operator, precision.memory()).min((precision.max_products - FIRST_LOOK) / 3);
    let mut probed = 0;
    loop {
        let larger = if size == 0 { FIRST_LOOK } else { 2 * size };
        let may_grow = sketching && larger <= room;
        if may_grow {
            size = larger;
            sketch.grow(size)?;
        }
        let exact: f64 = match sketch.len() {
            0 => 0.0,
            _ => form.of_rows(&sketch.q()?, &sketch.z()?)?.iter().sum(),
        };
        if sketch.exhausted() {
            return Ok(Estimated { value: exact, stderr: 0.0, products: sketch.products(), stop: Stop::Exact });
        }
        let mut samples = Moments::default();
        let mut wanted = FIRST_LOOK;
        loop {
            let products = sketch.products() + probed;
            let left = precision.max_products.saturating_sub(products);
            let count = AT_ONCE.min(wanted - samples.count()).min(left);
            if count > 0 {
                let z = probes::rademacher(precision.seed, "trace probe", probed..probed + count, operator)?;
                let z = sketch.deflate(&z)?;
                samples.extend(form.of_rows(&z, &operator.apply(&z)?)?);
                probed += count;
                if !samples.mean().is_finite() {
                    return Err(probes::not_finite(products + count));
                }
            }
            let stderr = samples.standard_error();
            let value = exact + samples.mean();
            let products = products + count;
            let relative = stderr / value.abs().max(f64::MIN_POSITIVE);
            observe(EstimateProgress { products, standard_error: relative })?;
            let looked = samples.count() >= wanted;
            if looked && precision.reached(value, stderr) {
                return Ok(Estimated { value, stderr, products, stop: Stop::Precise });
            }
            if products >= precision.max_products {
                return Ok(Estimated { value, stderr, products, stop: Stop::ProductLimit });
            }
            if looked {
                let needed = samples.count() as f64 * (relative / precision.standard_error).powi(2);
                let next = if size == 0 { FIRST_LOOK } else { 2 * size };
                if sketching && next <= room && needed - samples.count() as f64 > (2 * next) as f64 {
                    break;
                }
                // A few more than the variance found asks for, and not so many that its own error could waste them.
                let most = 4 * samples.count();
                wanted = (1.1 * needed).clamp(1.1 * samples.count() as f64 + 1.0, most as f64) as usize;
            }
        }
    }
}

/// tr A / λ_max, the intrinsic dimension: how many eigenvalues as large as the largest would make up the trace (Tropp, "An
/// introduction to matrix concentration inequalities", 2015, section 7.1). A dimension where A is positive semidefinite.
///
/// ```
/// assert_eq!(basin_sharpness::intrinsic_dimension(6.0, 3.0), Some(2.0));
/// assert_eq!(basin_sharpness::intrinsic_dimension(6.0, 0.0), None);
/// ```
pub fn intrinsic_dimension(trace: f64, largest: f64) -> Option<f64> {
    (largest > 0.0).then(|| trace / largest)
}

/// (tr A)² / ‖A‖_F² = (Σ λᵢ)² / Σ λᵢ², the effective rank as a participation ratio: k for k equal eigenvalues beside zeros. A
/// dimension where A is positive semidefinite.
///
/// ```
/// // Three eigenvalues of 2.
/// assert_eq!(basin_sharpness::effective_rank(6.0, 12.0_f64.sqrt()).map(f64::round), Some(3.0));
/// assert_eq!(basin_sharpness::effective_rank(0.0, 0.0), None);
/// ```
pub fn effective_rank(trace: f64, frobenius: f64) -> Option<f64> {
    (frobenius > 0.0).then(|| (trace / frobenius).powi(2))
}

/// A z for the first probe z of [`trace`], and the sample zᵀAz: what another precision or device can be compared with.
///
/// # Errors
/// When the device fails.
pub fn first_product(operator: &dyn SymmetricOperator, seed: u64) -> Result<(Tensor, f64)> {
    let z = probes::rademacher(seed, "trace probe", 0..1, operator)?.get(0)?;
    let product = operator.apply(&z)?;
    let form = vector::dot(&z, &product)?;
    Ok((product, form))
}
