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
}
