//! Kernels on host memory: parallel, with a partition of the work that does not depend on the number of threads, so
//! that the same input gives the same bits on any number of them.

#![expect(clippy::needless_range_loop, reason = "one index for several arrays is how a kernel is read")]

mod broadcast;
mod convolution;
mod elementwise;
mod matmul;
mod per_channel;
mod pooling;
mod reduction;
mod simd;

pub(crate) use broadcast::zip;
pub(crate) use convolution::{conv2d_input_adjoint_sum, conv2d_sum, conv2d_weight_adjoint_sum};
pub(crate) use elementwise::{map1, map2, map3};
pub(crate) use matmul::matmul_sum;
pub(crate) use per_channel::{combine, moments, sums};
pub(crate) use pooling::{max_pool2d, pick, scatter};
pub(crate) use reduction::{scaled_sum, sum_axis};

use std::mem::MaybeUninit;
use std::ops::{AddAssign, Range};

use candle_core::{Device, Storage, StorageRef, Tensor, WithDType};

use rayon::prelude::*;

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

    /// The positions of a contiguous tensor of indices.
    pub(super) fn positions(&self) -> Result<&[u32]> {
        let start = self.tensor.layout().start_offset();
        match &*self.storage {
            Storage::Cpu(storage) => Ok(&storage.as_slice::<u32>()?[start..start + self.tensor.elem_count()]),
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

/// Elements per parallel piece of work: large enough to pay for its scheduling, small enough to share.
const PIECE: usize = 8192;

/// `len` elements, each row of `row` of them written from the iterator that `elements` gives for its range.
///
/// Nothing is zeroed first: large tensors are written once, not twice.
pub(super) fn filled<T: Element, I: Iterator<Item = T>>(
    len: usize,
    row: usize,
    elements: impl Fn(Range<usize>) -> I + Sync,
) -> Vec<T> {
    let mut filled = Vec::with_capacity(len);
    let rows = filled.spare_capacity_mut()[..len].par_chunks_mut(row.max(1)).with_min_len(PIECE.div_ceil(row.max(1)));
    rows.enumerate().for_each(|(index, slots): (usize, &mut [MaybeUninit<T>])| {
        let range = index * row..index * row + slots.len();
        let mut written = 0;
        for (slot, element) in slots.iter_mut().zip(elements(range)) {
            slot.write(element);
            written += 1;
        }
        assert_eq!(written, slots.len(), "a row is written whole");
    });
    #[expect(unsafe_code, reason = "the assertion above holds that every element has been written")]
    unsafe {
        filled.set_len(len);
    }
    filled
}
