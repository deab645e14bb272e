//! Single products repeated in f64, with the weights read from the file again.

use basin_objective::Objective;
use basin_records::spectrum::Verification;
use basin_sharpness::lanczos::Extremes;
use basin_sharpness::{Curvature, SymmetricOperator, first_product};
use basin_tape::vector;
use candle_core::{DType, Tensor};

use super::request::Request;
use crate::arguments::Common;
use crate::subject::Subject;

/// What f64 says of the first eigenpair and of a trace's first product.
pub(super) fn verify(
    subject: &Subject,
    common: &Common,
    request: &Request,
    extremes: Option<&Extremes>,
) -> anyhow::Result<Verification> {
    let seed = request.precision.seed;
    let (product, form) = on(subject, request, |operator| Ok(first_product(operator, seed)?))?;
    on(&subject.in_f64(common)?, request, |operator| {
        let (exact, form_f64) = first_product(operator, seed)?;
        let difference = norm(&(product.to_dtype(DType::F64)? - &exact)?)?;
        let size = norm(&exact)?;
        let pair = extremes.map(|extremes| eigenpair(operator, extremes)).transpose()?;
        Ok(Verification {
            value: pair.map(|(value, _)| value),
            residual: pair.map(|(_, residual)| residual),
            form,
            form_f64,
            product_difference: if difference == 0.0 { 0.0 } else { difference / size },
        })
    })
}

/// Hands the requested operator of a checkpoint on.
fn on<T>(
    subject: &Subject,
    request: &Request,
    then: impl FnOnce(&dyn SymmetricOperator) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let network = subject.network()?;
    let curvature = Curvature::new(&network as &dyn Objective, &subject.theta, request.matrix)?;
    request.with_operator(&curvature, then)
}

/// xᵀAx and ‖A x − λ x‖ of the first eigenpair found.
fn eigenpair(operator: &dyn SymmetricOperator, extremes: &Extremes) -> anyhow::Result<(f64, f64)> {
    let x = extremes.eigenvectors.get(0)?.to_device(operator.device())?.to_dtype(DType::F64)?;
    let x = (&x / norm(&x)?)?;
    let product = operator.apply(&x)?;
    let value = vector::dot(&x, &product)?;
    Ok((value, norm(&(product - (x * extremes.eigenvalues[0].value)?)?)?))
}

fn norm(x: &Tensor) -> anyhow::Result<f64> {
    Ok(vector::dot(x, x)?.sqrt())
}
