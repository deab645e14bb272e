//! Sums and means over axes: x̄ is ȳ, or ȳ over the number of elements, repeated along the axes.

use candle_core::Tensor;

use super::linear_map::LinearMap;
use crate::{Result, kernels};

fn without(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &size)| size).collect()
}

fn repeat(y_bar: &Tensor, axes: &[usize], input_shape: &[usize]) -> Result<Tensor> {
    let kept: Vec<usize> =
        input_shape.iter().enumerate().map(|(axis, &size)| if axes.contains(&axis) { 1 } else { size }).collect();
    Ok(y_bar.reshape(kept)?.broadcast_as(input_shape)?.contiguous()?)
}

/// The sum over `axes`, which disappear from the shape.
#[derive(Debug)]
pub struct Sum {
    /// The axes summed over.
    pub axes: Vec<usize>,
}

impl LinearMap for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(kernels::sum_axes(x, &self.axes)?.reshape(without(x.dims(), &self.axes))?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        repeat(y_bar, &self.axes, input_shape)
    }
}

/// The mean over `axes`, which disappear from the shape; over the two last ones it is global average pooling.
#[derive(Debug)]
pub struct Mean {
    /// The axes averaged over.
    pub axes: Vec<usize>,
}

impl Mean {
    fn count(&self, shape: &[usize]) -> f64 {
        self.axes.iter().map(|&axis| shape[axis]).product::<usize>() as f64
    }
}

impl LinearMap for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let sum = kernels::sum_axes(x, &self.axes)?.reshape(without(x.dims(), &self.axes))?;
        Ok((sum / self.count(x.dims()))?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        repeat(&(y_bar / self.count(input_shape))?, &self.axes, input_shape)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        for axes in [vec![1], vec![0], vec![1, 2], vec![0, 2]] {
            check_unary(&LinearRules(Sum { axes: axes.clone() }), &[&[2, 3, 4], &[1, 1, 5], &[600, 2, 2]]);
            check_unary(&LinearRules(Mean { axes }), &[&[2, 3, 4], &[1, 1, 5]]);
        }
    }

    #[test]
    fn cpu_kernels_equal_the_portable_compositions() {
        use crate::derivative_check::{distance, normal};
        let x = normal(&[4, 5, 6], 1);
        for axes in [vec![0], vec![2], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
            let ours = kernels::sum_axes(&x, &axes).expect("cpu");
            let expected = kernels::portable::sum_axes(&x, &axes).expect("portable");
            assert_eq!(ours.dims(), expected.dims());
            assert!(distance(&ours, &expected) < 1e-14, "{axes:?}");
        }
    }

    #[test]
    fn long_f32_sums_do_not_lose_digits() {
        // candle's own f32 sum of five million rows of 0.1 is 4 % off.
        let rows = 3_000_000;
        let x = Tensor::full(0.1_f32, (rows, 2), &Device::Cpu).expect("a new tensor");
        for (axes, expected) in [(vec![0], 0.1_f32 as f64 * rows as f64), (vec![1], 0.1_f32 as f64 * 2.0)] {
            let sum =
                Sum { axes }.apply(&x).and_then(|s| Ok(s.to_dtype(DType::F64)?.to_vec1::<f64>()?)).expect("a sum");
            assert!((sum[0] / expected - 1.0).abs() < 1e-7, "{} against {expected}", sum[0]);
        }
    }
}
