//! Matrix products with accumulation, through the `gemm` crate.

use candle_core::Tensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::{Element, Guard, tensor, with_contiguous};
use crate::{Error, Result};

/// A matrix inside a slice: its first element, and the distances of neighbours along rows and columns.
#[derive(Clone, Copy)]
struct Matrix<'a, T> {
    elements: &'a [T],
    row_stride: usize,
    column_stride: usize,
}

impl<T> Matrix<'_, T> {
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.elements.len()
    }
}

/// C ← a·b, or C ← C + a·b with `add`, for a row-major m×n matrix C.
fn multiply<T: Element>(
    c: &mut [T],
    (m, k, n): (usize, usize, usize),
    a: Matrix<T>,
    b: Matrix<T>,
    add: bool,
    parallelism: Parallelism,
) {
    assert!(c.len() >= m * n && a.holds(m, k) && b.holds(k, n), "matrix product out of bounds");
    let alpha = if add { T::ONE } else { T::ZERO };
    #[expect(unsafe_code, reason = "the gemm crate takes raw pointers; the assertion above holds all three in bounds")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.elements.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.elements.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            alpha,
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Where the matrices of a batch lie in a tensor's storage.
struct Batch {
    start: usize,
    batch_stride: usize,
    row_stride: usize,
    column_stride: usize,
}

/// The strides of a batch of matrices, or `None` when its leading axes cannot be walked with one stride.
fn batch(x: &Tensor) -> Option<Batch> {
    let (dims, strides) = (x.dims(), x.stride());
    let lead = dims.len() - 2;
    let uniform = (1..lead).all(|axis| strides[axis - 1] == strides[axis] * dims[axis]);
    uniform.then(|| Batch {
        start: x.layout().start_offset(),
        batch_stride: if lead == 0 { 0 } else { strides[lead - 1] },
        row_stride: strides[lead],
        column_stride: strides[lead + 1],
    })
}

pub(crate) fn matmul_sum<T: Element>(pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let (a, b) = pairs[0];
    let rank = a.rank();
    if rank < 2 || b.rank() != rank || a.dims()[..rank - 2] != b.dims()[..rank - 2] {
        return Err(Error::shape("matmul", format!("two batches of matrices, the left one {:?}", a.dims()), b.dims()));
    }
    let (m, k, n) = (a.dims()[rank - 2], a.dims()[rank - 1], b.dims()[rank - 1]);
    if b.dims()[rank - 2] != k {
        return Err(Error::shape("matmul", format!("a right factor with {k} rows"), b.dims()));
    }
    let count: usize = a.dims()[..rank - 2].iter().product();
    let shape = [&a.dims()[..rank - 2], &[m, n]].concat();
    let mut c = match bias {
        Some(bias) => with_contiguous(bias, |bias| Ok(repeat_rows::<T>(bias, count * m)))?,
        None => vec![T::ZERO; count * m * n],
    };
    for (i, (a, b)) in pairs.iter().enumerate() {
        accumulate_product(&mut c, (m, k, n), a, b, i > 0 || bias.is_some())?;
    }
    tensor(c, &shape)
}

fn repeat_rows<T: Element>(row: &[T], rows: usize) -> Vec<T> {
    let mut repeated = Vec::with_capacity(row.len() * rows);
    (0..rows).for_each(|_| repeated.extend_from_slice(row));
    repeated
}

fn accumulate_product<T: Element>(
    c: &mut [T],
    (m, k, n): (usize, usize, usize),
    a: &Tensor,
    b: &Tensor,
    add: bool,
) -> Result<()> {
    if c.is_empty() {
        return Ok(());
    }
    let (a, b) = (walkable(a)?, walkable(b)?);
    let (at, bt) = (layout(&a)?, layout(&b)?);
    let (a_guard, b_guard) = (Guard::new(&a), Guard::new(&b));
    let (a, b) = (a_guard.storage::<T>()?, b_guard.storage::<T>()?);
    let product = |(i, c): (usize, &mut [T]), parallelism| {
        let left = Matrix {
            elements: &a[at.start + i * at.batch_stride..],
            row_stride: at.row_stride,
            column_stride: at.column_stride,
        };
        let right = Matrix {
            elements: &b[bt.start + i * bt.batch_stride..],
            row_stride: bt.row_stride,
            column_stride: bt.column_stride,
        };
        multiply(c, (m, k, n), left, right, add, parallelism);
    };
    if c.len() == m * n {
        product((0, c), Parallelism::Rayon(0));
    } else {
        c.par_chunks_mut(m * n).enumerate().for_each(|chunk| product(chunk, Parallelism::None));
    }
    Ok(())
}

fn walkable(x: &Tensor) -> Result<Tensor> {
    Ok(if batch(x).is_some() { x.clone() } else { x.contiguous()? })
}

fn layout(x: &Tensor) -> Result<Batch> {
    batch(x).ok_or_else(|| Error::shape("matmul", "a batch of matrices with one stride", x.dims()))
}
