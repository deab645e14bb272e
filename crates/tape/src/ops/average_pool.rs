//! Average pooling: y = M_h x M_wᵀ for each plane, for the average over a window is the average over its rows of the
//! averages over its columns, with PyTorch's divisors in both. M_h and M_w hold one row per window.

use candle_core::{Device, Tensor};

use super::linear_map::LinearMap;
use super::pool_geometry::Pool2d;
use crate::{Error, Result, kernels};

/// Average pooling of (images, channels, height, width).
#[derive(Debug)]
pub struct AveragePool2d {
    /// The windows; their dilation must be 1.
    pub geometry: Pool2d,
    /// Whether padded positions count in the divisor, as in PyTorch by default.
    pub count_padding: bool,
}

impl AveragePool2d {
    /// The windows × size matrix of averages along an axis.
    fn averages(&self, axis: usize, windows: usize, size: usize, like: &Tensor) -> Result<Tensor> {
        let Pool2d { kernel, stride, padding, .. } = self.geometry;
        let pick = |pair: (usize, usize)| if axis == 0 { pair.0 } else { pair.1 };
        let sizes = [pick(kernel), pick(stride), pick(padding), self.count_padding.into(), windows, size];
        kernels::constant("avg_pool2d", &sizes, like.dtype(), like.device(), || {
            let mut matrix = vec![0.0; windows * size];
            for index in 0..windows {
                let divisor = self.geometry.divisor(axis, index, size, self.count_padding) as f64;
                for position in self.geometry.window(axis, index, size) {
                    matrix[index * size + position] = 1.0 / divisor;
                }
            }
            Ok(Tensor::from_vec(matrix, (windows, size), &Device::Cpu)?)
        })
    }

    /// left · x · rightᵀ for each plane of x.
    fn both_sides(left: &Tensor, x: &Tensor, right: &Tensor) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        let (rows, columns) = (left.dim(0)?, right.dim(0)?);
        let narrow = kernels::matmul_sum(&[(&x.reshape((images * channels * height, width))?, &right.t()?)], None)?;
        let upright = narrow.reshape((images * channels, height, columns))?.transpose(1, 2)?.contiguous()?;
        let flat = upright.reshape((images * channels * columns, height))?;
        let pooled = kernels::matmul_sum(&[(&flat, &left.t()?)], None)?;
        let pooled = pooled.reshape((images * channels, columns, rows))?.transpose(1, 2)?;
        Ok(pooled.contiguous()?.reshape((images, channels, rows, columns))?)
    }
}

impl LinearMap for AveragePool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        if self.geometry.dilation != (1, 1) {
            return Err(Error::unsupported("avg_pool2d", "windows of an average have no dilation"));
        }
        let (_, _, height, width) = x.dims4()?;
        let (rows, columns) = self.geometry.output_size(height, width)?;
        Self::both_sides(&self.averages(0, rows, height, x)?, x, &self.averages(1, columns, width, x)?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        let (_, _, rows, columns) = y_bar.dims4()?;
        let left = self.averages(0, rows, input_shape[2], y_bar)?;
        let right = self.averages(1, columns, input_shape[3], y_bar)?;
        Self::both_sides(&left.t()?, y_bar, &right.t()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::{check_unary, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let square = Pool2d::square(2);
        for geometry in [
            square,
            Pool2d { ceil_mode: true, ..square },
            Pool2d { kernel: (3, 2), stride: (2, 1), padding: (1, 1), ceil_mode: true, ..square },
        ] {
            for count_padding in [true, false] {
                let op = LinearRules(AveragePool2d { geometry, count_padding });
                check_unary(&op, &[&[2, 3, 5, 6], &[1, 1, 4, 4], &[0, 2, 4, 4]]);
            }
        }
    }

    #[test]
    fn a_window_is_averaged() {
        let x = normal(&[1, 1, 2, 3], 1);
        let pool = AveragePool2d {
            geometry: Pool2d { kernel: (2, 3), stride: (1, 1), ..Pool2d::square(1) },
            count_padding: true,
        };
        let average = pool.apply(&x).and_then(|y| Ok(y.flatten_all()?.to_vec1::<f64>()?)).expect("pooling")[0];
        let mean = x.mean_all().and_then(|m| m.to_scalar::<f64>()).expect("mean");
        assert!((average - mean).abs() < 1e-15);
    }
}
