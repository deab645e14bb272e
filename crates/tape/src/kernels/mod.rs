//! The numerical kernels below the operations.
//!
//! Operations call the functions of this module and know nothing of devices. On the CPU they lead to our own kernels
//! (`cpu`); elsewhere to compositions of candle's operations (`portable`), which run on every device and against which
//! the CPU kernels are tested. With the `cudnn` feature, convolutions on CUDA go to cuDNN (`cuda`).

mod constants;
pub(crate) mod cpu;
#[cfg(feature = "cudnn")]
mod cuda;
pub(crate) mod portable;

pub(crate) use constants::constant;

use candle_core::{DType, Tensor};

use crate::ops::{Conv2d, Pool2d, Scalar};
use crate::{Error, Result};

/// Calls a generic CPU kernel with the element type of a tensor.
macro_rules! by_dtype {
    ($op:literal, $tensor:expr, $kernel:ident($($argument:expr),* $(,)?)) => {
        match $tensor.dtype() {
            DType::F32 => cpu::$kernel::<f32>($($argument),*),
            DType::F64 => cpu::$kernel::<f64>($($argument),*),
            other => Err(Error::unsupported($op, format!("dtype {other:?}; the engine computes in f32 or f64"))),
        }
    };
}

/// Σ aᵢ·bᵢ over pairs of equally shaped matrices or batches of matrices, plus `bias` in every row.
///
/// Each aᵢ is (…, m, k), each bᵢ (…, k, n), with any strides; `bias` is (n). At least one pair is given.
pub(crate) fn matmul_sum(pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let first = pairs[0].0;
    if first.device().is_cpu() {
        by_dtype!("matmul", first, matmul_sum(pairs, bias))
    } else {
        portable::matmul_sum(pairs, bias)
    }
}

/// Σ conv(xᵢ, wᵢ) over pairs of equal shapes, plus `bias` per output channel.
pub(crate) fn conv2d_sum(geometry: &Conv2d, pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let x = pairs[0].0;
    if x.device().is_cpu() {
        by_dtype!("conv2d", x, conv2d_sum(geometry, pairs, bias))
    } else {
        #[cfg(feature = "cudnn")]
        if x.device().is_cuda() {
            return cuda::conv2d_sum(geometry, pairs, bias);
        }
        portable::conv2d_sum(geometry, pairs, bias)
    }
}

/// Σ over pairs (wᵢ, ȳᵢ) of the adjoint of `conv(·, wᵢ)` applied to ȳᵢ: a tensor of the input's shape.
pub(crate) fn conv2d_input_adjoint_sum(
    geometry: &Conv2d,
    input_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let w = pairs[0].0;
    if w.device().is_cpu() {
        by_dtype!("conv2d", w, conv2d_input_adjoint_sum(geometry, input_shape, pairs))
    } else {
        #[cfg(feature = "cudnn")]
        if w.device().is_cuda() {
            return cuda::conv2d_input_adjoint_sum(geometry, input_shape, pairs);
        }
        portable::conv2d_input_adjoint_sum(geometry, input_shape, pairs)
    }
}

/// Σ over pairs (xᵢ, ȳᵢ) of the adjoint of `conv(xᵢ, ·)` applied to ȳᵢ: a tensor of the weight's shape.
pub(crate) fn conv2d_weight_adjoint_sum(
    geometry: &Conv2d,
    weight_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let x = pairs[0].0;
    if x.device().is_cpu() {
        by_dtype!("conv2d", x, conv2d_weight_adjoint_sum(geometry, weight_shape, pairs))
    } else {
        #[cfg(feature = "cudnn")]
        if x.device().is_cuda() {
            return cuda::conv2d_weight_adjoint_sum(geometry, weight_shape, pairs);
        }
        portable::conv2d_weight_adjoint_sum(geometry, weight_shape, pairs)
    }
}

/// The maximum of each window and its flat position h·W + w in its channel (u32), the first one where several are equal.
pub(crate) fn max_pool2d(geometry: &Pool2d, x: &Tensor) -> Result<(Tensor, Tensor)> {
    if x.device().is_cpu() {
        by_dtype!("max_pool2d", x, max_pool2d(geometry, x))
    } else {
        portable::max_pool2d(geometry, x)
    }
}

/// The elements of each plane of x (…, height, width) at the positions that `max_pool2d` gave.
pub(crate) fn pick(x: &Tensor, positions: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { by_dtype!("max_pool2d", x, pick(x, positions)) } else { portable::pick(x, positions) }
}

/// Adds each element of y to a plane of `shape` at its position: the adjoint of [`pick`].
pub(crate) fn scatter(y: &Tensor, positions: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if y.device().is_cpu() {
        by_dtype!("max_pool2d", y, scatter(y, positions, shape))
    } else {
        portable::scatter(y, positions, shape)
    }
}

/// scale\[c\]·x for x (samples, channels, …), with a further pair (z, t) plus t\[c\]·z, and plus shift\[c\].
pub(crate) fn combine_channels(
    x: &Tensor,
    scale: &Tensor,
    further: Option<(&Tensor, &Tensor)>,
    shift: Option<&Tensor>,
) -> Result<Tensor> {
    if x.device().is_cpu() {
        by_dtype!("batch_norm", x, combine(x, scale, further, shift))
    } else {
        portable::combine_channels(x, scale, further, shift)
    }
}

/// For each channel Σ a·(b − centre) + Σ a'·b' for pairs (a, b) and (a', b'), and Σ a.
pub(crate) fn channel_moments(
    pair: (&Tensor, &Tensor),
    centre: &Tensor,
    further: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Tensor)> {
    if centre.device().is_cpu() {
        by_dtype!("batch_norm", centre, moments(pair, centre, further))
    } else {
        portable::channel_moments(pair, centre, further)
    }
}

/// Σ x for each channel of x (samples, channels, …).
pub(crate) fn channel_sums(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { by_dtype!("sum", x, sums(x)) } else { portable::channel_sums(x) }
}

macro_rules! arithmetic {
    ($($(#[$doc:meta])* $name:ident, $on_cpu:expr, $elsewhere:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            match a.dtype() {
                DType::F32 if a.device().is_cpu() => cpu::zip::<f32>(a, b, $on_cpu),
                DType::F64 if a.device().is_cpu() => cpu::zip::<f64>(a, b, $on_cpu),
                _ => Ok(a.$elsewhere(b)?),
            }
        }
    )*};
}

// candle's own maps run on threads that spin for work of their own and take the cores from everything else.
arithmetic! {
    /// a + b with broadcasting.
    add, |a, b| a + b, broadcast_add;
    /// a − b with broadcasting.
    sub, |a, b| a - b, broadcast_sub;
    /// a·b, elementwise with broadcasting.
    mul, |a, b| a * b, broadcast_mul;
    /// a/b, elementwise with broadcasting.
    div, |a, b| a / b, broadcast_div;
}

/// eˣ.
pub(crate) fn exp(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 if x.device().is_cpu() => cpu::map1::<f32>(x, f32::exp),
        DType::F64 if x.device().is_cpu() => cpu::map1::<f64>(x, f64::exp),
        _ => Ok(x.exp()?),
    }
}

/// The sum along one axis, which stays with length 1; accumulated in f64.
pub(crate) fn sum_axis(x: &Tensor, axis: usize) -> Result<Tensor> {
    if x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64) {
        by_dtype!("sum", x, sum_axis(x, axis))
    } else {
        portable::sum_axes(x, &[axis])
    }
}

/// The sum along several axes, which stay with length 1.
pub(crate) fn sum_axes(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    if x.device().is_cpu() || axes.is_empty() {
        axes.iter().rev().try_fold(x.clone(), |sum, &axis| sum_axis(&sum, axis))
    } else {
        portable::sum_axes(x, axes)
    }
}

/// The sum over the axes along which `shape` was broadcast to the shape of `x`: the adjoint of broadcasting.
pub(crate) fn sum_to(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let lead = x.rank() - shape.len();
    let axes: Vec<usize> =
        (0..x.rank()).filter(|&axis| axis < lead || (shape[axis - lead] == 1 && x.dims()[axis] != 1)).collect();
    Ok(sum_axes(x, &axes)?.reshape(shape)?)
}

/// scale·(total + Σ summands) of `shape` in `dtype`, added in f64; the total is in f64. A summand consists of parts with
/// the positions at which they begin; off the CPU it is one part.
pub(crate) fn scaled_sum(
    shape: &[usize],
    total: Option<&Tensor>,
    summands: &[Vec<(usize, Tensor)>],
    scale: f64,
    dtype: DType,
) -> Result<Tensor> {
    let part = summands.iter().flatten().next().map(|(_, part)| part).or(total);
    let part = part.ok_or_else(|| Error::unsupported("sum", "nothing to add"))?;
    match (part.dtype(), dtype) {
        (DType::F32, DType::F32) if part.device().is_cpu() => {
            cpu::scaled_sum::<f32, f32>(shape, total, summands, scale)
        }
        (DType::F32, DType::F64) if part.device().is_cpu() => {
            cpu::scaled_sum::<f32, f64>(shape, total, summands, scale)
        }
        (DType::F64, DType::F32) if part.device().is_cpu() => {
            cpu::scaled_sum::<f64, f32>(shape, total, summands, scale)
        }
        (DType::F64, DType::F64) if part.device().is_cpu() => {
            cpu::scaled_sum::<f64, f64>(shape, total, summands, scale)
        }
        _ => portable::scaled_sum(total, summands, scale, dtype),
    }
}

/// f(x) for a scalar function f.
pub(crate) fn map<F: Scalar>(function: &F, x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        match x.dtype() {
            DType::F32 => cpu::map1::<f32>(x, |x| function.value(x)),
            DType::F64 => cpu::map1::<f64>(x, |x| function.value(x)),
            other => Err(Error::unsupported(function.name(), format!("dtype {other:?}"))),
        }
    } else {
        portable::map(function, x)
    }
}

/// f'(x)·t.
pub(crate) fn map_first<F: Scalar>(function: &F, x: &Tensor, t: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        match x.dtype() {
            DType::F32 => cpu::map2::<f32>(x, t, |x, t| function.first(x) * t),
            DType::F64 => cpu::map2::<f64>(x, t, |x, t| function.first(x) * t),
            other => Err(Error::unsupported(function.name(), format!("dtype {other:?}"))),
        }
    } else {
        portable::map_first(function, x, t)
    }
}

/// f''(x)·s·t.
pub(crate) fn map_second<F: Scalar>(function: &F, x: &Tensor, s: &Tensor, t: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        match x.dtype() {
            DType::F32 => cpu::map3::<f32>(x, s, t, |x, s, t| function.second(x) * s * t),
            DType::F64 => cpu::map3::<f64>(x, s, t, |x, s, t| function.second(x) * s * t),
            other => Err(Error::unsupported(function.name(), format!("dtype {other:?}"))),
        }
    } else {
        portable::map_second(function, x, s, t)
    }
}
