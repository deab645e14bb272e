//! Max pooling with the position of each maximum.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{Element, tensor, with_contiguous};
use crate::Result;
use crate::ops::Pool2d;

pub(crate) fn max_pool2d<T: Element>(geometry: &Pool2d, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (batch, channels, height, width) = x.dims4()?;
    let (out_height, out_width) = geometry.output_size(height, width)?;
    let (plane, out_plane) = (height * width, out_height * out_width);
    let mut maxima = vec![T::ZERO; batch * channels * out_plane];
    let mut positions = vec![0_u32; maxima.len()];
    let rows: Vec<Vec<usize>> = (0..out_height).map(|i| geometry.window(0, i, height).collect()).collect();
    let columns: Vec<Vec<usize>> = (0..out_width).map(|j| geometry.window(1, j, width).collect()).collect();
    with_contiguous::<T, _>(x, |x| {
        if plane > 0 {
            maxima
                .par_chunks_mut(out_plane)
                .zip(positions.par_chunks_mut(out_plane))
                .zip(x.par_chunks(plane))
                .with_min_len(16)
                .for_each(|((maxima, positions), x)| {
                    for (out, (maximum, slot)) in maxima.iter_mut().zip(positions).enumerate() {
                        let (rows, columns) = (&rows[out / out_width], &columns[out % out_width]);
                        let position = first_maximum(x, width, rows, columns);
                        *maximum = x[position];
                        *slot = position as u32;
                    }
                });
        }
        Ok(())
    })?;
    let shape = [batch, channels, out_height, out_width];
    Ok((tensor(maxima, &shape)?, Tensor::from_vec(positions, &shape, &Device::Cpu)?))
}

/// The position of the first maximum of a window; a NaN counts as the maximum, as in PyTorch.
fn first_maximum<T: Element>(x: &[T], width: usize, rows: &[usize], columns: &[usize]) -> usize {
    let mut best = rows[0] * width + columns[0];
    for row in rows {
        for column in columns {
            let position = row * width + column;
            let value = x[position];
            if value > x[best] || value.to_f64().is_nan() {
                best = position;
            }
        }
    }
    best
}
