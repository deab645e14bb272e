//! Passes over long vectors. The partition is fixed, so that the same bits come out of any number of threads.

use std::ops::Range;

use rayon::prelude::*;

/// Elements per piece of work: large enough to pay for a thread's attention, small enough to stay in its cache.
pub(crate) const BLOCK: usize = 1 << 13;

/// Partial sums of one piece, wide enough for the registers of current processors.
const LANES: usize = 8;

/// What `of_block` gives for each block of `0..len`, in order.
pub(crate) fn blocks<T: Send>(len: usize, of_block: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let range = |block: usize| block * BLOCK..len.min((block + 1) * BLOCK);
    let count = len.div_ceil(BLOCK);
    if count <= 1 {
        return (0..count).map(|block| of_block(range(block))).collect();
    }
    (0..count).into_par_iter().map(|block| of_block(range(block))).collect()
}

/// aᵀb.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    blocks(a.len(), |range| dot_block(&a[range.clone()], &b[range])).into_iter().sum()
}

/// aᵀb of short vectors, on this thread.
pub(crate) fn dot_block(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// max over i of `element(i)`, at least 0; NaN where one is NaN.
pub(crate) fn max(len: usize, element: impl Fn(usize) -> f64 + Sync) -> f64 {
    let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
    blocks(len, |range| range.map(&element).fold(0.0, larger)).into_iter().fold(0.0, larger)
}

/// Sets or changes each element by its index.
pub(crate) fn for_each<T: Send>(out: &mut [T], change: impl Fn(usize, &mut T) + Sync) {
    let run = |(block, part): (usize, &mut [T])| {
        part.iter_mut().enumerate().for_each(|(i, element)| change(block * BLOCK + i, element));
    };
    if out.len() <= BLOCK {
        run((0, out));
    } else {
        out.par_chunks_mut(BLOCK).enumerate().for_each(run);
    }
}

/// A vector by its elements.
pub(crate) fn vector(len: usize, element: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
    let mut out = vec![0.0; len];
    for_each(&mut out, |i, out| *out = element(i));
    out
}
