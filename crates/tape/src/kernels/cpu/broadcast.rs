//! Elementwise maps of two tensors that are repeated along axes to a common shape.

use candle_core::Tensor;

use super::{Element, filled, map2, tensor, with_contiguous};
use crate::Result;

/// Adjacent axes that both tensors have, or along which the same one of them is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axes {
    extent: usize,
    repeats: [bool; 2],
}

/// The common shape of two tensors as few axes, the last one first.
fn merged(shape: &[usize], a: &[usize], b: &[usize]) -> Vec<Axes> {
    let repeated = |dims: &[usize], axis: usize| {
        let missing = shape.len() - dims.len();
        axis < missing || dims[axis - missing] == 1
    };
    let mut merged: Vec<Axes> = Vec::new();
    for axis in (0..shape.len()).rev().filter(|&axis| shape[axis] != 1) {
        let repeats = [repeated(a, axis), repeated(b, axis)];
        match merged.last_mut() {
            Some(last) if last.repeats == repeats => last.extent *= shape[axis],
            _ => merged.push(Axes { extent: shape[axis], repeats }),
        }
    }
    merged
}

/// f(a, b) in the shape to which both are repeated.
pub(crate) fn zip<T: Element>(a: &Tensor, b: &Tensor, f: impl Fn(T, T) -> T + Sync) -> Result<Tensor> {
    if a.dims() == b.dims() {
        return map2(a, b, f);
    }
    let shape = a.shape().broadcast_shape_binary_op(b.shape(), "broadcast")?;
    let axes = merged(shape.dims(), a.dims(), b.dims());
    let (row, outer) = match axes.split_first() {
        Some((row, outer)) => (*row, outer),
        None => (Axes { extent: 1, repeats: [false; 2] }, &[][..]),
    };
    // Where the elements of a row begin in each tensor.
    let starts = |mut index: usize| {
        let (mut starts, mut strides) = ([0; 2], row.repeats.map(|repeats| if repeats { 1 } else { row.extent }));
        for axes in outer {
            let position = index % axes.extent;
            index /= axes.extent;
            for side in (0..2).filter(|&side| !axes.repeats[side]) {
                starts[side] += position * strides[side];
                strides[side] *= axes.extent;
            }
        }
        starts
    };
    let (len, n) = (shape.elem_count(), row.extent);
    with_contiguous::<T, _>(a, |a| {
        with_contiguous::<T, _>(b, |b| {
            let y = match row.repeats {
                [true, _] => filled(len, n, |range| {
                    let [i, j] = starts(range.start / n);
                    let a = a[i];
                    let f = &f;
                    b[j..j + n].iter().map(move |&b| f(a, b))
                }),
                [_, true] => filled(len, n, |range| {
                    let [i, j] = starts(range.start / n);
                    let b = b[j];
                    let f = &f;
                    a[i..i + n].iter().map(move |&a| f(a, b))
                }),
                [false, false] => filled(len, n, |range| {
                    let [i, j] = starts(range.start / n);
                    a[i..i + n].iter().zip(&b[j..j + n]).map(|(&a, &b)| f(a, b))
                }),
            };
            tensor(y, shape.dims())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::normal;

    #[test]
    fn maps_equal_candles_in_every_pattern_of_repetition() {
        let shapes: [(&[usize], &[usize]); 12] = [
            (&[4, 3], &[3]),
            (&[3], &[4, 3]),
            (&[4, 3], &[4, 1]),
            (&[2, 1, 5], &[3, 1]),
            (&[2, 3, 4, 5], &[1, 3, 1, 5]),
            (&[2, 3, 4, 5], &[3, 1, 1]),
            (&[2, 1, 4, 1], &[1, 3, 1, 5]),
            (&[], &[2, 2]),
            (&[1, 1], &[1]),
            (&[0, 3], &[3]),
            (&[3, 0], &[3, 1]),
            (&[7], &[7]),
        ];
        for (a, b) in shapes {
            let (a, b) = (normal(a, 1), normal(b, 2));
            let ours = zip::<f64>(&a, &b, |a, b| a - b).expect("a difference");
            let candles = a.broadcast_sub(&b).expect("a difference");
            assert_eq!(ours.dims(), candles.dims());
            let elements = |x: &Tensor| x.flatten_all().and_then(|x| x.to_vec1::<f64>()).expect("f64");
            assert_eq!(elements(&ours), elements(&candles), "{:?} {:?}", a.dims(), b.dims());
        }
    }

    #[test]
    fn shapes_that_do_not_meet_are_refused() {
        assert!(zip::<f64>(&normal(&[2, 3], 1), &normal(&[2], 2), |a, b| a + b).is_err());
    }
}
