//! Maps and sums of tensors (samples, channels, …) with one coefficient for each channel.

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Element, Guard, filled, tensor, with_contiguous};
use crate::Result;

/// Accumulators side by side, so that a sum does not wait for its own last addition.
const LANES: usize = 8;
/// Pieces into which samples are divided; fixed, so that the order of additions does not depend on threads.
const PIECES: usize = 16;

/// Samples, channels, and elements of a channel of one sample.
fn extents(x: &Tensor) -> (usize, usize, usize) {
    let dims = x.dims();
    (dims[0], dims[1], dims[2..].iter().product())
}

/// scale[c]·x + shift[c], and with a further pair (z, t) scale[c]·x + t[c]·z + shift[c].
pub(crate) fn combine<T: Element>(
    x: &Tensor,
    scale: &Tensor,
    further: Option<(&Tensor, &Tensor)>,
    shift: Option<&Tensor>,
) -> Result<Tensor> {
    let (_, channels, inner) = extents(x);
    let scale = scale.to_vec1::<T>()?;
    let shift = shift.map_or_else(|| Ok(vec![T::ZERO; channels]), |shift| shift.to_vec1::<T>())?;
    let further = further.map(|(z, t)| Ok::<_, crate::Error>((z.contiguous()?, t.to_vec1::<T>()?))).transpose()?;
    let guard = further.as_ref().map(|(z, t)| (Guard::new(z), t.as_slice()));
    let further = guard.as_ref().map(|(z, t)| Ok::<_, crate::Error>((z.elements::<T>()?, *t))).transpose()?;
    with_contiguous::<T, _>(x, |x_elements| {
        let len = x_elements.len();
        // Without further axes the channels lie side by side: a row of coefficients meets a row of the tensor.
        let y = match (inner, further) {
            (1, None) => filled(len, channels, |range| {
                let coefficients = scale.iter().zip(&shift);
                x_elements[range].iter().zip(coefficients).map(|(&x, (&s, &b))| s * x + b)
            }),
            (1, Some((z, t))) => filled(len, channels, |range| {
                let coefficients = scale.iter().zip(t).zip(&shift);
                let elements = x_elements[range.clone()].iter().zip(&z[range]);
                elements.zip(coefficients).map(|((&x, &z), ((&s, &t), &b))| s * x + (t * z + b))
            }),
            (_, None) => filled(len, inner, |range| {
                let channel = range.start / inner % channels;
                let (s, b) = (scale[channel], shift[channel]);
                x_elements[range].iter().map(move |&x| s * x + b)
            }),
            (_, Some((z, t))) => filled(len, inner, |range| {
                let channel = range.start / inner % channels;
                let (s, t, b) = (scale[channel], t[channel], shift[channel]);
                x_elements[range.clone()].iter().zip(&z[range]).map(move |(&x, &z)| s * x + (t * z + b))
            }),
        };
        tensor(y, x.dims())
    })
}

/// For each channel Σ a·(b − centre[c]) + Σ a'·b' for pairs (a, b) and (a', b'), and Σ a; accumulated in f64.
pub(crate) fn moments<T: Element>(
    (a, b): (&Tensor, &Tensor),
    centre: &Tensor,
    further: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Tensor)> {
    let (samples, channels, inner) = extents(a);
    let centre = centre.to_vec1::<T>()?;
    let totals = with_contiguous::<T, _>(a, |a| {
        with_contiguous::<T, _>(b, |b| {
            Ok(reduce(samples, channels, inner, |channel, element| {
                [a[element].to_f64() * (b[element] - centre[channel]).to_f64(), a[element].to_f64()]
            }))
        })
    })?;
    let mut products: Vec<f64> = totals.iter().map(|total| total[0]).collect();
    if let Some((a, b)) = further {
        let totals = with_contiguous::<T, _>(a, |a| {
            with_contiguous::<T, _>(b, |b| {
                Ok(reduce(samples, channels, inner, |_, element| [a[element].to_f64() * b[element].to_f64()]))
            })
        })?;
        products.iter_mut().zip(totals).for_each(|(sum, [total])| *sum += total);
    }
    let as_tensor = |sums: Vec<f64>| tensor(sums.into_iter().map(T::from_f64).collect(), &[channels]);
    Ok((as_tensor(products)?, as_tensor(totals.iter().map(|total| total[1]).collect())?))
}

/// Σ x for each channel, accumulated in f64.
pub(crate) fn sums<T: Element>(x: &Tensor) -> Result<Tensor> {
    let (samples, channels, inner) = extents(x);
    with_contiguous::<T, _>(x, |x| {
        let totals = reduce(samples, channels, inner, |_, element| [x[element].to_f64()]);
        tensor(totals.into_iter().map(|[sum]| T::from_f64(sum)).collect(), &[channels])
    })
}

/// Sums of `terms(channel, element)` over the elements of each channel.
fn reduce<const K: usize>(
    samples: usize,
    channels: usize,
    inner: usize,
    terms: impl Fn(usize, usize) -> [f64; K] + Sync,
) -> Vec<[f64; K]> {
    let step = samples.div_ceil(PIECES).max(1);
    let pieces: Vec<Vec<[f64; K]>> = (0..samples)
        .into_par_iter()
        .step_by(step)
        .map(|first| {
            let mut totals = vec![[0.0; K]; channels];
            for sample in first..(first + step).min(samples) {
                for (channel, total) in totals.iter_mut().enumerate() {
                    let start = (sample * channels + channel) * inner;
                    let mut lanes = [[0.0; LANES]; K];
                    let whole = inner / LANES * LANES;
                    for element in (start..start + whole).step_by(LANES) {
                        for lane in 0..LANES {
                            let terms = terms(channel, element + lane);
                            (0..K).for_each(|k| lanes[k][lane] += terms[k]);
                        }
                    }
                    for element in start + whole..start + inner {
                        let terms = terms(channel, element);
                        (0..K).for_each(|k| total[k] += terms[k]);
                    }
                    (0..K).for_each(|k| total[k] += lanes[k].iter().sum::<f64>());
                }
            }
            totals
        })
        .collect();
    (0..channels).map(|channel| std::array::from_fn(|k| pieces.iter().map(|piece| piece[channel][k]).sum())).collect()
}
