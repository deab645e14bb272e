//! Exchange of two axes.

use candle_core::Tensor;

use super::linear_map::LinearMap;
use crate::Result;

/// y is x with two axes exchanged.
#[derive(Debug)]
pub struct Transpose(pub usize, pub usize);

impl LinearMap for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.transpose(self.0, self.1)?.contiguous()?)
    }

    fn transpose(&self, y_bar: &Tensor, _input_shape: &[usize]) -> Result<Tensor> {
        self.apply(y_bar)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LinearRules(Transpose(1, 2)), &[&[2, 3, 4], &[0, 1, 2], &[1, 1, 1]]);
    }
}
