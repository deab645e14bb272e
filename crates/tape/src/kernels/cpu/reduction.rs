//! Sums along one axis, accumulated in f64 in an order that does not depend on the number of threads.

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Element, Guard, PIECE, tensor, with_contiguous};
use crate::Result;

/// Rows that one piece of work adds before the pieces are added in order.
const ROWS: usize = 256;

pub(crate) fn sum_axis<T: Element>(x: &Tensor, axis: usize) -> Result<Tensor> {
    let dims = x.dims();
    let outer: usize = dims[..axis].iter().product();
    let inner: usize = dims[axis + 1..].iter().product();
    let mut shape = dims.to_vec();
    shape[axis] = 1;
    with_contiguous::<T, _>(x, |x| {
        let sums = if inner == 1 { sum_rows(x, outer, dims[axis]) } else { sum_columns(x, outer, dims[axis], inner) };
        tensor(sums, &shape)
    })
}

/// scale·(total + Σ summands) in one pass over memory, added in order in f64; the total is in f64, summands are in T, the
/// sum is in U. A summand consists of parts with the positions at which they begin.
pub(crate) fn scaled_sum<T: Element, U: Element>(
    shape: &[usize],
    total: Option<&Tensor>,
    summands: &[Vec<(usize, Tensor)>],
    scale: f64,
) -> Result<Tensor> {
    let parts = summands.iter().flatten();
    let parts = parts.map(|(start, part)| Ok((*start, part.contiguous()?))).collect::<Result<Vec<_>>>()?;
    let guards: Vec<(usize, Guard)> = parts.iter().map(|(start, part)| (*start, Guard::new(part))).collect();
    let parts = guards.iter().map(|(start, part)| Ok((*start, part.elements::<T>()?))).collect::<Result<Vec<_>>>()?;
    let total = total.map(Guard::new);
    let total = total.as_ref().map(Guard::elements::<f64>).transpose()?;
    let mut sums = vec![U::ZERO; shape.iter().product()];
    sums.par_chunks_mut(PIECE).enumerate().for_each(|(piece, slots)| {
        let begin = piece * PIECE;
        let end = begin + slots.len();
        let mut sum = [0.0; PIECE];
        if let Some(total) = total {
            sum[..slots.len()].copy_from_slice(&total[begin..end]);
        }
        for &(start, part) in &parts {
            let (from, to) = (begin.max(start), end.min(start + part.len()));
            if from < to {
                let here = sum[from - begin..to - begin].iter_mut();
                here.zip(&part[from - start..to - start]).for_each(|(sum, x)| *sum += x.to_f64());
            }
        }
        slots.iter_mut().zip(sum).for_each(|(slot, sum)| *slot = U::from_f64(scale * sum));
    });
    tensor(sums, shape)
}

/// The sum of each row of an outer×n matrix.
fn sum_rows<T: Element>(x: &[T], outer: usize, n: usize) -> Vec<T> {
    if n == 0 {
        return vec![T::ZERO; outer];
    }
    let row_sum = |row: &[T]| T::from_f64(row.iter().map(|v| v.to_f64()).sum());
    x.par_chunks(n).with_min_len(ROWS).map(row_sum).collect()
}

/// The sum over the middle axis of an outer×n×inner array.
fn sum_columns<T: Element>(x: &[T], outer: usize, n: usize, inner: usize) -> Vec<T> {
    if n == 0 || inner == 0 {
        return vec![T::ZERO; outer * inner];
    }
    x.par_chunks(n * inner)
        .flat_map_iter(|slab| {
            let pieces: Vec<Vec<f64>> = slab
                .par_chunks(ROWS * inner)
                .map(|rows| {
                    let mut sums = vec![0.0; inner];
                    for row in rows.chunks(inner) {
                        sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v.to_f64());
                    }
                    sums
                })
                .collect();
            (0..inner).map(move |column| T::from_f64(pieces.iter().map(|piece| piece[column]).sum()))
        })
        .collect()
}
