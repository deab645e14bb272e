//! Kernels on host memory: parallel, with a partition of the work that does not depend on the number of threads, so
//! that the same input gives the same bits on any number of them.

mod convolution;
mod elementwise;
mod matmul;
mod pooling;
mod reduction;
mod simd;

pub(crate) use convolution::{conv2d_input_adjoint_sum, conv2d_sum, conv2d_weight_adjoint_sum};
pub(crate) use elementwise::{map1, map2, map3};
pub(crate) use matmul::matmul_sum;
pub(crate) use pooling::max_pool2d;
pub(crate) use reduction::sum_axis;

use std::ops::AddAssign;

use candle_core::{Device, Storage, StorageRef, Tensor, WithDType};

use crate::{Error, Result};
use simd::Microkernel;

/// The element types of the engine.
pub(crate) trait Element: WithDType + PartialOrd + AddAssign + Default {
    /// The zero of the type.
    const ZERO: Self;
    /// The one of the type.
    const ONE: Self;

    /// The microkernel for the widest registers of this machine.
    fn widest() -> &'static Microkernel<Self>;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn widest() -> &'static Microkernel<Self> {
        simd::runnable_f32()[0]
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    fn widest() -> &'static Microkernel<Self> {
        simd::runnable_f64()[0]
    }
}

/// Access to the elements of a tensor in host memory for as long as it lives.
pub(super) struct Guard<'a> {
    tensor: &'a Tensor,
    storage: StorageRef<'a>,
}

impl<'a> Guard<'a> {
    pub(super) fn new(tensor: &'a Tensor) -> Self {
        Self { tensor, storage: tensor.storage_and_layout().0 }
    }

    /// The whole storage; the caller applies the layout.
    pub(super) fn storage<T: Element>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(storage.as_slice::<T>()?),
            _ => Err(Error::unsupported("cpu kernel", "the tensor is not in host memory")),
        }
    }

    /// The elements of a contiguous tensor. A view without elements may start behind the end of its storage.
    pub(super) fn elements<T: Element>(&self) -> Result<&[T]> {
        let (start, count) = (self.tensor.layout().start_offset(), self.tensor.elem_count());
        if count == 0 { Ok(&[]) } else { Ok(&self.storage()?[start..start + count]) }
    }
}

/// Runs `kernel` on the elements of a tensor in row-major order, copying only when its layout is another.
pub(super) fn with_contiguous<T: Element, R>(x: &Tensor, kernel: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    kernel(Guard::new(&x.contiguous()?).elements()?)
}

pub(super) fn tensor<T: Element>(elements: Vec<T>, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(elements, shape, &Device::Cpu)?)
}
