//! Kernels on host memory: parallel, with a partition of the work that does not depend on the number of threads, so
//! that the same input gives the same bits on any number of them.

mod convolution;
mod elementwise;
mod matmul;
mod pooling;
mod reduction;

pub(crate) use convolution::{conv2d_input_adjoint_sum, conv2d_sum, conv2d_weight_adjoint_sum};
pub(crate) use elementwise::{map1, map2, map3};
pub(crate) use matmul::matmul_sum;
pub(crate) use pooling::max_pool2d;
pub(crate) use reduction::sum_axis;

use candle_core::{CpuStorage, Device, Storage, Tensor, WithDType};

use crate::{Error, Result};

/// The element types of the engine.
pub(crate) trait Element: WithDType + PartialOrd {
    /// The zero of the type.
    const ZERO: Self;
    /// The one of the type.
    const ONE: Self;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// Runs `kernel` on the elements of a tensor's whole storage; the caller applies the layout.
pub(super) fn with_storage<T: Element, R>(x: &Tensor, kernel: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, _) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => kernel(elements(storage)?),
        _ => Err(Error::unsupported("cpu kernel", "the tensor is not in host memory")),
    }
}

fn elements<T: Element>(storage: &CpuStorage) -> Result<&[T]> {
    Ok(storage.as_slice::<T>()?)
}

/// Runs `kernel` on the elements of a tensor in row-major order, copying only when its layout is another.
pub(super) fn with_contiguous<T: Element, R>(x: &Tensor, kernel: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    if x.elem_count() == 0 {
        return kernel(&[]);
    }
    let x = x.contiguous()?;
    let start = x.layout().start_offset();
    with_storage(&x, |all| kernel(&all[start..start + x.elem_count()]))
}

pub(super) fn tensor<T: Element>(elements: Vec<T>, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(elements, shape, &Device::Cpu)?)
}
