//! Adaptive average pooling: y = x Aᵀ for each plane, written as a row of numbers. Row i of `rows` averages the rows
//! ⌊i h / rows⌋ to ⌈(i + 1) h / rows⌉ − 1 of a plane, as PyTorch's `adaptive_avg_pool2d`; windows overlap where the sizes
//! do not divide, and repeat where the plane is smaller than what is asked for.

use candle_core::{Device, Tensor};

use super::linear_map::LinearMap;
use crate::{Result, kernels};

/// Averages of (images, channels, height, width) over `rows` × `columns` windows.
#[derive(Debug)]
pub struct AdaptiveAveragePool2d {
    /// The windows from top to bottom.
    pub rows: usize,
    /// The windows from left to right.
    pub columns: usize,
}

/// The positions of window `index` of `windows` along an axis.
fn window(index: usize, windows: usize, size: usize) -> std::ops::Range<usize> {
    index * size / windows..((index + 1) * size).div_ceil(windows)
}

impl AdaptiveAveragePool2d {
    /// A: one row per window, one column per position of a plane.
    fn averages(&self, height: usize, width: usize, like: &Tensor) -> Result<Tensor> {
        let sizes = [self.rows, self.columns, height, width];
        kernels::constant("adaptive_avg_pool2d", &sizes, like.dtype(), like.device(), || {
            let mut matrix = Vec::with_capacity(self.rows * self.columns * height * width);
            for row in 0..self.rows {
                let vertical = window(row, self.rows, height);
                for column in 0..self.columns {
                    let horizontal = window(column, self.columns, width);
                    let share = 1.0 / (vertical.len() * horizontal.len()) as f64;
                    let inside = |h, w| vertical.contains(&h) && horizontal.contains(&w);
                    let positions = (0..height).flat_map(|h| (0..width).map(move |w| (h, w)));
                    matrix.extend(positions.map(|(h, w)| if inside(h, w) { share } else { 0.0 }));
                }
            }
            Ok(Tensor::from_vec(matrix, (self.rows * self.columns, height * width), &Device::Cpu)?)
        })
    }
}

impl LinearMap for AdaptiveAveragePool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        let planes = x.reshape((images * channels, height * width))?;
        let averages = self.averages(height, width, x)?.t()?;
        Ok(kernels::matmul_sum(&[(&planes, &averages)], None)?.reshape((images, channels, self.rows, self.columns))?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        let (images, channels, ..) = y_bar.dims4()?;
        let planes = y_bar.reshape((images * channels, self.rows * self.columns))?;
        let averages = self.averages(input_shape[2], input_shape[3], y_bar)?;
        Ok(kernels::matmul_sum(&[(&planes, &averages)], None)?.reshape(input_shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        let pool = AdaptiveAveragePool2d { rows: 3, columns: 2 };
        check_unary(&LinearRules(pool), &[&[2, 3, 6, 4], &[1, 2, 5, 7], &[2, 1, 1, 1], &[0, 2, 4, 4]]);
    }

    #[test]
    fn windows_are_pytorchs() {
        // F.adaptive_avg_pool2d(torch.arange(15.).view(1, 1, 3, 5), (2, 4)), and of one pixel.
        let pool = AdaptiveAveragePool2d { rows: 2, columns: 4 };
        let x =
            Tensor::arange(0.0_f64, 15.0, &Device::Cpu).and_then(|x| x.reshape((1, 1, 3, 5))).expect("a new tensor");
        let y = pool.apply(&x).and_then(|y| Ok(y.flatten_all()?.to_vec1::<f64>()?)).expect("pooling");
        assert_eq!(y, [3.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0, 11.0]);
        let one = Tensor::new(&[[[[2.5_f64]]]], &Device::Cpu).expect("a new tensor");
        let y = pool.apply(&one).and_then(|y| Ok(y.flatten_all()?.to_vec1::<f64>()?)).expect("pooling");
        assert_eq!(y, [2.5; 8]);
    }
}
