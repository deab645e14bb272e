//! Elementwise maps of one to three tensors of one shape.

use candle_core::Tensor;

use super::{Element, PIECE, filled, tensor, with_contiguous};
use crate::Result;

pub(crate) fn map1<T: Element>(x: &Tensor, f: impl Fn(T) -> T + Sync) -> Result<Tensor> {
    with_contiguous::<T, _>(x, |xs| {
        let y = filled(xs.len(), PIECE, |piece| xs[piece].iter().map(|&x| f(x)));
        tensor(y, x.dims())
    })
}

pub(crate) fn map2<T: Element>(x: &Tensor, t: &Tensor, f: impl Fn(T, T) -> T + Sync) -> Result<Tensor> {
    with_contiguous::<T, _>(x, |xs| {
        with_contiguous::<T, _>(t, |ts| {
            let y = filled(xs.len(), PIECE, |piece| xs[piece.clone()].iter().zip(&ts[piece]).map(|(&x, &t)| f(x, t)));
            tensor(y, x.dims())
        })
    })
}

pub(crate) fn map3<T: Element>(x: &Tensor, s: &Tensor, t: &Tensor, f: impl Fn(T, T, T) -> T + Sync) -> Result<Tensor> {
    with_contiguous::<T, _>(x, |xs| {
        with_contiguous::<T, _>(s, |ss| {
            with_contiguous::<T, _>(t, |ts| {
                let y = filled(xs.len(), PIECE, |piece| {
                    let factors = ss[piece.clone()].iter().zip(&ts[piece.clone()]);
                    xs[piece].iter().zip(factors).map(|(&x, (&s, &t))| f(x, s, t))
                });
                tensor(y, x.dims())
            })
        })
    })
}
