//! Elementwise maps of one to three tensors of one shape.

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Element, tensor, with_contiguous};
use crate::Result;

/// Elements per parallel piece of work: large enough to pay for its scheduling, small enough to share.
const PIECE: usize = 8192;

pub(crate) fn map1<T: Element>(x: &Tensor, f: impl Fn(T) -> T + Sync) -> Result<Tensor> {
    with_contiguous::<T, _>(x, |x_elements| {
        let mut y = vec![T::ZERO; x_elements.len()];
        y.par_chunks_mut(PIECE).zip(x_elements.par_chunks(PIECE)).for_each(|(y, x)| {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x));
        });
        tensor(y, x.dims())
    })
}

pub(crate) fn map2<T: Element>(x: &Tensor, t: &Tensor, f: impl Fn(T, T) -> T + Sync) -> Result<Tensor> {
    with_contiguous::<T, _>(x, |x_elements| {
        with_contiguous::<T, _>(t, |t| {
            let mut y = vec![T::ZERO; x_elements.len()];
            y.par_chunks_mut(PIECE).zip(x_elements.par_chunks(PIECE)).zip(t.par_chunks(PIECE)).for_each(
                |((y, x), t)| {
                    y.iter_mut().zip(x).zip(t).for_each(|((y, &x), &t)| *y = f(x, t));
                },
            );
            tensor(y, x.dims())
        })
    })
}

pub(crate) fn map3<T: Element>(x: &Tensor, s: &Tensor, t: &Tensor, f: impl Fn(T, T, T) -> T + Sync) -> Result<Tensor> {
    with_contiguous::<T, _>(x, |x_elements| {
        with_contiguous::<T, _>(s, |s| {
            with_contiguous::<T, _>(t, |t| {
                let mut y = vec![T::ZERO; x_elements.len()];
                y.par_chunks_mut(PIECE)
                    .zip(x_elements.par_chunks(PIECE))
                    .zip(s.par_chunks(PIECE))
                    .zip(t.par_chunks(PIECE))
                    .for_each(|(((y, x), s), t)| {
                        y.iter_mut().zip(x).zip(s).zip(t).for_each(|(((y, &x), &s), &t)| *y = f(x, s, t));
                    });
                tensor(y, x.dims())
            })
        })
    })
}
