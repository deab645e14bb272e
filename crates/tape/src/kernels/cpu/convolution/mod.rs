//! Two-dimensional convolution and its two adjoints.
//!
//! Each is a sum over channels and taps of a zero-padded image: [`correlation`] computes tiles of channels by positions
//! for the convolution and for the adjoint in its input, [`weights`] the adjoint in its weight. Where the positions of
//! one register lie side by side in the image they are read where they lie; elsewhere they are packed, one tile at a
//! time. No patch matrix of an image, let alone of a batch, is ever built. Work is shared by blocks of images.

mod correlation;
mod padding;
mod weights;

use candle_core::Tensor;

use super::simd::Microkernel;
use super::{Element, Guard, tensor};
use crate::Result;
use crate::ops::Conv2d;
use correlation::Correlation;

/// The elements of pairs of tensors in row-major order.
type SlicePairs<'a, T> = [(&'a [T], &'a [T])];

/// Runs `kernel` on the elements of all tensors of a list of pairs.
fn with_pairs<T: Element, R>(pairs: &[(&Tensor, &Tensor)], kernel: impl FnOnce(&SlicePairs<T>) -> R) -> Result<R> {
    let tensors =
        pairs.iter().map(|(a, b)| Ok((a.contiguous()?, b.contiguous()?))).collect::<Result<Vec<(Tensor, Tensor)>>>()?;
    let guards: Vec<_> = tensors.iter().map(|(a, b)| (Guard::new(a), Guard::new(b))).collect();
    let slices = guards.iter().map(|(a, b)| Ok((a.elements()?, b.elements()?))).collect::<Result<Vec<_>>>()?;
    Ok(kernel(&slices))
}

pub(crate) fn conv2d_sum<T: Element>(
    geometry: &Conv2d,
    pairs: &[(&Tensor, &Tensor)],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    conv2d_sum_with(T::widest(), geometry, pairs, bias)
}

pub(crate) fn conv2d_input_adjoint_sum<T: Element>(
    geometry: &Conv2d,
    input_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    conv2d_input_adjoint_sum_with(T::widest(), geometry, input_shape, pairs)
}

pub(crate) fn conv2d_weight_adjoint_sum<T: Element>(
    geometry: &Conv2d,
    weight_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    conv2d_weight_adjoint_sum_with(T::widest(), geometry, weight_shape, pairs)
}

fn conv2d_sum_with<T: Element>(
    kernel: &Microkernel<T>,
    geometry: &Conv2d,
    pairs: &[(&Tensor, &Tensor)],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (input, weight) = (pairs[0].0.dims(), pairs[0].1.dims());
    let (height, width) = geometry.output_size(input, weight)?;
    let shape = [input[0], weight[0], height, width];
    let bias = bias.map(|bias| bias.to_vec1::<T>()).transpose()?;
    let correlation = Correlation::forward(geometry, input, weight, (height, width), geometry.stride.1);
    let output = with_pairs::<T, _>(pairs, |pairs| {
        let pairs: Vec<_> = pairs.iter().map(|&(x, w)| (x, correlation.pack(kernel, w))).collect();
        correlation.run(kernel, input[0], &pairs, bias.as_deref())
    })?;
    tensor(output, &shape)
}

fn conv2d_input_adjoint_sum_with<T: Element>(
    kernel: &Microkernel<T>,
    geometry: &Conv2d,
    input_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let weight = pairs[0].0.dims();
    let output = geometry.output_size(input_shape, weight)?;
    let correlation = Correlation::input_adjoint(geometry, input_shape, weight, output);
    let input = with_pairs::<T, _>(pairs, |pairs| {
        let pairs: Vec<_> = pairs.iter().map(|&(w, y)| (y, correlation.pack(kernel, w))).collect();
        correlation.run(kernel, input_shape[0], &pairs, None)
    })?;
    tensor(input, input_shape)
}

fn conv2d_weight_adjoint_sum_with<T: Element>(
    kernel: &Microkernel<T>,
    geometry: &Conv2d,
    weight_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let input = pairs[0].0.dims();
    let output = geometry.output_size(input, weight_shape)?;
    let correlation = Correlation::forward(geometry, input, weight_shape, output, 1);
    let sums = with_pairs::<T, _>(pairs, |pairs| weights::adjoint_sum(kernel, &correlation, input[0], pairs))?;
    tensor(sums, weight_shape)
}

#[cfg(test)]
mod tests {
    use super::super::simd::{runnable_f32, runnable_f64};
    use candle_core::DType;

    use super::*;
    use crate::derivative_check::{distance, normal};
    use crate::kernels::portable;

    fn geometries() -> Vec<Conv2d> {
        let plain = Conv2d::default();
        vec![
            plain,
            Conv2d { padding: (1, 1), ..plain },
            Conv2d { stride: (2, 2), padding: (1, 0), ..plain },
            Conv2d { stride: (1, 3), padding: (0, 2), dilation: (2, 1), ..plain },
            Conv2d { stride: (3, 2), padding: (3, 3), dilation: (2, 2), ..plain },
            Conv2d { dilation: (1, 2), padding: (3, 3), ..plain },
            Conv2d { groups: 2, padding: (1, 1), ..plain },
        ]
    }

    /// Images whose rows fill registers, whose rows fill half a register, and odd ones.
    const SIZES: [(usize, usize); 4] = [(9, 16), (5, 32), (8, 8), (11, 7)];

    fn assert_equal_portable<T: Element>(kernel: &Microkernel<T>, tolerance: f64) {
        for geometry in geometries() {
            for (height, width) in SIZES {
                let cast = |x: Tensor| x.to_dtype(T::DTYPE).expect("a dtype");
                let x = cast(normal(&[5, 4, height, width], 1));
                let w = cast(normal(&[10, 4 / geometry.groups, 3, 3], 2));
                let (dx, dw) = (cast(normal(x.dims(), 3)), cast(normal(w.dims(), 4)));
                let bias = cast(normal(&[10], 5));
                let same = |what: &str, a: Result<Tensor>, b: Result<Tensor>| {
                    let [a, b] = [a, b].map(|x| x.expect(what).to_dtype(DType::F64).expect("f64"));
                    let difference = distance(&a, &b);
                    assert!(difference < tolerance, "{what}, {geometry:?}, {height}×{width}: {difference:e}");
                };
                let pairs = [(&dx, &w), (&x, &dw)];
                let y = portable::conv2d_sum(&geometry, &pairs, Some(&bias)).expect("a convolution");
                same("forward", conv2d_sum_with(kernel, &geometry, &pairs, Some(&bias)), Ok(y.clone()));
                let dy = cast(normal(y.dims(), 6));
                let pairs = [(&w, &y), (&dw, &dy)];
                same(
                    "adjoint in the input",
                    conv2d_input_adjoint_sum_with(kernel, &geometry, x.dims(), &pairs),
                    portable::conv2d_input_adjoint_sum(&geometry, x.dims(), &pairs),
                );
                let pairs = [(&x, &y), (&dx, &dy)];
                same(
                    "adjoint in the weight",
                    conv2d_weight_adjoint_sum_with(kernel, &geometry, w.dims(), &pairs),
                    portable::conv2d_weight_adjoint_sum(&geometry, w.dims(), &pairs),
                );
            }
        }
    }

    #[test]
    fn every_register_width_equals_the_portable_compositions() {
        runnable_f32().into_iter().for_each(|kernel| assert_equal_portable(kernel, 1e-5));
        runnable_f64().into_iter().for_each(|kernel| assert_equal_portable(kernel, 1e-13));
    }
}
