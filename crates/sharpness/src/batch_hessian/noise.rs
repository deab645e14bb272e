//! How far the matrices of single samples lie from their mean, from pairs of batches.
//!
//! Two disjoint batches of b samples have matrices whose difference has, over the draw, b E‖(H₁ − H₂) z‖²/2 = the mean of
//! ‖(H_i − H) z‖² over samples with N − 1 in place of N: the finite population drops out, since the batches' covariance −1/N adds
//! what their variance 1/b − 1/N lacks. For random unit vectors z this is Pσ², P times the mean variance of an element. Pairs are
//! drawn anew and so are the vectors, so that their estimates are independent and the spread of these is the standard error.

use basin_objective::{Error, Result, random};
use basin_records::batch_hessian::Noise;
use basin_records::spectrum::Estimate;
use candle_core::{D, DType, Tensor};
use rand::seq::SliceRandom as _;

use super::{SampledMatrix, Work, on_batch};
use crate::probes::{self, AT_ONCE};
use crate::statistics::Moments;

/// Pairs of batches: so many that the standard error is known to a tenth, and that the skew of squares hardly matters.
const GROUPS: usize = 64;
/// Samples of each batch where there are enough: the estimate is unbiased at any size, and a small one is cheap.
const BATCH_SIZE: usize = 8;

/// Pσ² and, along a unit vector `along`, the variance of vᵀH_i v and the mean of ‖(H_i − H) v‖², each with its standard error,
/// from pairs of batches of up to 8 samples.
///
/// # Errors
/// When there are fewer than two samples, a product is not finite, or `observe` returns an error.
pub fn noise(
    matrix: &dyn SampledMatrix,
    along: &Tensor,
    seed: u64,
    work: &mut Work,
    mut observe: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Noise> {
    let samples = matrix.samples();
    if samples < 2 {
        return Err(Error::input("a single sample has no noise between samples", "analyse at least 2 samples"));
    }
    let size = BATCH_SIZE.min(samples / 2);
    let (mut total, mut curvature, mut product) = (Moments::default(), Moments::default(), Moments::default());
    for group in 0..GROUPS {
        let mut positions: Vec<usize> = (0..samples).collect();
        positions.shuffle(&mut random::stream(seed, "noise batches", &group.to_string()));
        let (first, rest) = positions.split_at(size);
        let products_of = |batch: &[usize], work: &mut Work| {
            let mut batch = batch.to_vec();
            batch.sort_unstable();
            work.add(AT_ONCE, size);
            on_batch(matrix, &batch, |operator| {
                let random = (1..AT_ONCE).map(|probe| {
                    let z = probes::normal(seed, "noise probe", group * AT_ONCE + probe, operator)?;
                    let norm = z.sqr()?.sum_all()?.sqrt()?;
                    Ok(z.broadcast_div(&norm)?)
                });
                let v = along.to_device(operator.device())?.to_dtype(DType::F64)?;
                let vectors = std::iter::once(Ok(v)).chain(random).collect::<Result<Vec<_>>>()?;
                let vectors = Tensor::stack(&vectors, 0)?.to_dtype(operator.dtype())?;
                let products = operator.apply(&vectors)?.to_dtype(DType::F64)?;
                Ok((vectors.to_dtype(DType::F64)?, products))
            })
        };
        let (vectors, of_first) = products_of(first, work)?;
        let (_, of_second) = products_of(&rest[..size], work)?;
        let apart = (of_first - of_second)?;
        let half = size as f64 / 2.0;
        let squares = apart.sqr()?.sum(D::Minus1)?.to_vec1::<f64>()?;
        let form = (vectors.get(0)? * apart.get(0)?)?.sum_all()?.to_scalar::<f64>()?;
        let mean = squares[1..].iter().sum::<f64>() / (AT_ONCE - 1) as f64;
        if !(mean.is_finite() && form.is_finite()) {
            return Err(probes::not_finite(work.products));
        }
        total.extend([half * mean]);
        product.extend([half * squares[0]]);
        curvature.extend([half * form * form]);
        observe(group + 1, GROUPS)?;
    }
    Ok(Noise {
        total: estimate(&total),
        curvature_along_top: Some(estimate(&curvature)),
        product_along_top: Some(estimate(&product)),
        batch_size: size as u64,
        groups: GROUPS as u64,
        probes: (AT_ONCE - 1) as u64,
    })
}

fn estimate(samples: &Moments) -> Estimate {
    Estimate {
        value: samples.mean(),
        stderr: Some(samples.standard_error()),
        method: Some("pairs of batches".into()),
        products: None,
        converged: None,
        reason: None,
    }
}
