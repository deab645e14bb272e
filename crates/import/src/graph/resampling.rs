//! Images in other sizes.

use basin_tape::ops::{BilinearRules, Linear};
use candle_core::{Device, Tensor};

use super::{Array, Extent, Graph, Kind, Read};

/// How an axis is resampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Interpolation {
    /// The nearest position to the left.
    Nearest,
    /// Between the two nearest positions.
    Linear {
        /// Whether the first and last positions stay where they are.
        align_corners: bool,
    },
}

impl Graph {
    /// An axis in another extent; `factor` is the one that was asked for, where one was.
    pub(crate) fn resample(
        &mut self,
        x: &Array,
        axis: usize,
        extent: usize,
        factor: Option<f64>,
        how: Interpolation,
    ) -> Read<Array> {
        let own = x.fixed(axis)?;
        if own == extent && factor.is_none_or(|factor| factor == 1.0) {
            return Ok(x.clone());
        }
        super::bounded(&[own, extent])?;
        let ratio = factor.map_or(own as f64 / extent as f64, |factor| 1.0 / factor);
        let last = (own.max(1) - 1) as f64;
        let align_corners = match how {
            Interpolation::Nearest => {
                let positions = (0..extent).map(|i| ((i as f64 * ratio).floor().min(last)) as i64).collect();
                return self.select_positions(x, axis, positions);
            }
            Interpolation::Linear { align_corners } => align_corners,
        };
        // A matrix that takes shares of two positions each, times the axis.
        let mut matrix = vec![0.0_f64; own * extent];
        for row in 0..extent {
            let place = if align_corners {
                if extent > 1 { row as f64 * last / (extent - 1) as f64 } else { 0.0 }
            } else {
                ((row as f64 + 0.5) * ratio - 0.5).max(0.0)
            };
            let left = place.floor().min(last);
            let right = (left + 1.0).min(last);
            let share = place - left;
            matrix[row * own + left as usize] += 1.0 - share;
            matrix[row * own + right as usize] += share;
        }
        let matrix = Array::constant(Tensor::from_vec(matrix, (extent, own), &Device::Cpu)?)?;
        let end = x.rank() - 1;
        let turned = self.transpose(x, axis, end)?;
        let mut shape = turned.shape.clone();
        shape[end] = Extent::Fixed(extent);
        let y = self.apply(BilinearRules(Linear), &[&turned, &matrix], shape, Kind::Float)?;
        self.transpose(&y, axis, end)
    }

    /// r² channels as the r×r positions of one, in an image that much larger. The positions are the slower part of the
    /// channels' numbers where `positions_first`, else the faster one, as in PyTorch's pixel shuffle.
    pub(crate) fn depth_to_space(&mut self, x: &Array, r: usize, positions_first: bool) -> Read<Array> {
        let (n, channels, height, width) = image(x)?;
        let out = r.checked_mul(r).and_then(|squared| channels.checked_div(squared)).ok_or("a factor of 0")?;
        let (out, r, rows, columns) =
            (Extent::Fixed(out), Extent::Fixed(r), Extent::Fixed(height), Extent::Fixed(width));
        let (split, order) = match positions_first {
            true => ([n, r, r, out, rows, columns], [0, 3, 4, 1, 5, 2]),
            false => ([n, out, r, r, rows, columns], [0, 1, 4, 2, 5, 3]),
        };
        let split = self.viewed(x, split.to_vec())?;
        let turned = self.permute(&split, &order)?;
        let (height, width) = rows.times(r).zip(columns.times(r)).ok_or("an image that is too large")?;
        self.viewed(&turned, vec![n, out, height, width])
    }

    /// The r×r positions of a channel as r² channels.
    pub(crate) fn space_to_depth(&mut self, x: &Array, r: usize, positions_first: bool) -> Read<Array> {
        let (n, channels, height, width) = image(x)?;
        let (rows, columns) = height.checked_div(r).zip(width.checked_div(r)).ok_or("a factor of 0")?;
        let f = Extent::Fixed;
        let split = self.viewed(x, vec![n, f(channels), f(rows), f(r), f(columns), f(r)])?;
        let order = if positions_first { [0, 3, 5, 1, 2, 4] } else { [0, 1, 3, 5, 2, 4] };
        let turned = self.permute(&split, &order)?;
        let channels = r.checked_mul(r).and_then(|squared| channels.checked_mul(squared)).ok_or("too many channels")?;
        self.viewed(&turned, vec![n, f(channels), f(rows), f(columns)])
    }
}

/// The extents of an image.
fn image(x: &Array) -> Read<(Extent, usize, usize, usize)> {
    if x.rank() != 4 {
        return Err("an image has four axes".into());
    }
    Ok((x.shape[0], x.fixed(1)?, x.fixed(2)?, x.fixed(3)?))
}
