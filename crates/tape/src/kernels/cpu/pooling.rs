//! Max pooling with the position of each maximum, and the two maps that follow these positions.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{Element, Guard, tensor, with_contiguous};
use crate::Result;
use crate::ops::Pool2d;

/// Planes that one piece of work takes, so that small planes pay for their scheduling.
const PLANES: usize = 16;

pub(crate) fn max_pool2d<T: Element>(geometry: &Pool2d, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (batch, channels, height, width) = x.dims4()?;
    let (out_height, out_width) = geometry.output_size(height, width)?;
    let (plane, out_plane) = (height * width, out_height * out_width);
    let mut maxima = vec![T::ZERO; batch * channels * out_plane];
    let mut positions = vec![0_u32; maxima.len()];
    let rows: Vec<Vec<usize>> = (0..out_height).map(|i| geometry.window(0, i, height).collect()).collect();
    let first_columns: Vec<usize> = (0..out_width).filter_map(|j| geometry.window(1, j, width).next()).collect();
    let columns = columns(geometry, width, out_width);
    with_contiguous::<T, _>(x, |x| {
        if plane > 0 {
            let planes = maxima.par_chunks_mut(out_plane).zip(positions.par_chunks_mut(out_plane));
            planes.zip(x.par_chunks(plane)).with_min_len(PLANES).for_each(|((maxima, positions), x)| {
                let out_rows = maxima.chunks_exact_mut(out_width).zip(positions.chunks_exact_mut(out_width));
                for ((maxima, positions), rows) in out_rows.zip(&rows) {
                    for ((maximum, position), &column) in
                        maxima.iter_mut().zip(positions.iter_mut()).zip(&first_columns)
                    {
                        *position = (rows[0] * width + column) as u32;
                        *maximum = x[rows[0] * width + column];
                    }
                    for &row in rows {
                        for column in &columns {
                            let first = row * width + column.first;
                            let best = (&mut maxima[column.windows.clone()], &mut positions[column.windows.clone()]);
                            match geometry.stride.1 {
                                1 => take_larger(best, &x[first..], 1, first as u32),
                                2 => take_larger(best, &x[first..], 2, first as u32),
                                stride => take_larger(best, &x[first..], stride, first as u32),
                            }
                        }
                    }
                }
            });
        }
        Ok(())
    })?;
    let shape = [batch, channels, out_height, out_width];
    Ok((tensor(maxima, &shape)?, Tensor::from_vec(positions, &shape, &Device::Cpu)?))
}

/// Replaces maxima and their places by entries `stride` apart where those are larger: of equal values the first one
/// stays, and a NaN counts as the maximum, as in PyTorch.
#[inline(always)]
fn take_larger<T: Element>((maxima, places): (&mut [T], &mut [u32]), entries: &[T], stride: usize, first: u32) {
    let entries = &entries[..(maxima.len() - 1) * stride + 1];
    for (i, (maximum, place)) in maxima.iter_mut().zip(places).enumerate() {
        let entry = entries[i * stride];
        // Without branches: which entry wins cannot be foretold.
        let larger = (entry > *maximum) | entry.to_f64().is_nan();
        *maximum = if larger { entry } else { *maximum };
        *place = if larger { first + (i * stride) as u32 } else { *place };
    }
}

/// One column of the kernel: the windows for which it lies inside the plane, and where it lies for the first of them.
struct Column {
    windows: std::ops::Range<usize>,
    first: usize,
}

fn columns(geometry: &Pool2d, width: usize, out_width: usize) -> Vec<Column> {
    let column = |k: usize| {
        let offset = k * geometry.dilation.1;
        let start = geometry.padding.1.saturating_sub(offset).div_ceil(geometry.stride.1);
        let end = (width + geometry.padding.1).saturating_sub(offset).div_ceil(geometry.stride.1).min(out_width);
        (start < end)
            .then(|| Column { windows: start..end, first: start * geometry.stride.1 + offset - geometry.padding.1 })
    };
    (0..geometry.kernel.1).filter_map(column).collect()
}

/// The elements of each plane of x (…, height, width) at the positions of the same plane.
pub(crate) fn pick<T: Element>(x: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let (plane, out_plane) = (plane_len(x), plane_len(positions));
    let mut picked = vec![T::ZERO; positions.elem_count()];
    let positions_guard = Guard::new(positions);
    let places = positions_guard.positions()?;
    with_contiguous::<T, _>(x, |x| {
        if out_plane > 0 {
            let planes = picked.par_chunks_mut(out_plane).zip(places.par_chunks(out_plane)).zip(x.par_chunks(plane));
            planes.with_min_len(PLANES).for_each(|((picked, places), x)| {
                picked.iter_mut().zip(places).for_each(|(y, &place)| *y = x[place as usize]);
            });
        }
        Ok(())
    })?;
    tensor(picked, positions.dims())
}

/// Adds each element of y to a plane of `shape` at its position: the adjoint of `pick`.
pub(crate) fn scatter<T: Element>(y: &Tensor, positions: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let (plane, out_plane) = (shape[shape.len() - 2] * shape[shape.len() - 1], plane_len(positions));
    let mut sums = vec![T::ZERO; shape.iter().product()];
    let positions_guard = Guard::new(positions);
    let places = positions_guard.positions()?;
    with_contiguous::<T, _>(y, |y| {
        if out_plane > 0 && plane > 0 {
            let planes = sums.par_chunks_mut(plane).zip(places.par_chunks(out_plane)).zip(y.par_chunks(out_plane));
            planes.with_min_len(PLANES).for_each(|((sums, places), y)| {
                places.iter().zip(y).for_each(|(&place, &y)| sums[place as usize] += y);
            });
        }
        Ok(())
    })?;
    tensor(sums, shape)
}

fn plane_len(x: &Tensor) -> usize {
    x.dims()[x.rank() - 2] * x.dims()[x.rank() - 1]
}
