//! Random probe vectors, each drawn from a stream of its own: the i-th probe of a seed is the same however many there are.

use std::ops::Range;

use basin_objective::{Error, Result, random};
use candle_core::Tensor;
use rand::Rng as _;
use rand_distr::{Distribution, StandardNormal};

use crate::SymmetricOperator;

/// Probes that are multiplied at once.
pub(crate) const AT_ONCE: usize = 8;

/// Rademacher probes: each element 1 or −1 with equal chance, as the rows of a matrix.
pub(crate) fn rademacher(
    seed: u64,
    purpose: &str,
    probes: Range<usize>,
    operator: &dyn SymmetricOperator,
) -> Result<Tensor> {
    let dimension = operator.dimension();
    let mut signs = Vec::with_capacity(probes.len() * dimension);
    for probe in probes.clone() {
        let mut rng = random::stream(seed, purpose, &probe.to_string());
        for start in (0..dimension).step_by(64) {
            let bits: u64 = rng.random();
            signs.extend((0..64.min(dimension - start)).map(|i| if bits >> i & 1 == 1 { 1.0_f32 } else { -1.0 }));
        }
    }
    let signs = Tensor::from_vec(signs, (probes.len(), dimension), operator.device())?;
    Ok(signs.to_dtype(operator.dtype())?)
}

/// A vector of normal numbers, in f64 on the operator's device.
pub(crate) fn normal(seed: u64, purpose: &str, probe: usize, operator: &dyn SymmetricOperator) -> Result<Tensor> {
    let mut rng = random::stream(seed, purpose, &probe.to_string());
    let normal: Vec<f64> = (0..operator.dimension()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Ok(Tensor::new(normal, operator.device())?)
}

/// The error of a product that is not finite.
pub(crate) fn not_finite(product: usize) -> Error {
    Error::NotFinite { product }
}
