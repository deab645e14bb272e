//! Reshaping: the leading axes stay, the rest takes a new shape of as many elements.

use candle_core::Tensor;

use super::linear_map::LinearMap;
use crate::Result;

/// The first `keep` axes stay as they are, the others become `tail`.
#[derive(Debug)]
pub struct Reshape {
    /// The number of leading axes that stay; 1 keeps the batch axis.
    pub keep: usize,
    /// The shape of what follows them.
    pub tail: Vec<usize>,
}

impl LinearMap for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.reshape([&x.dims()[..self.keep.min(x.rank())], &self.tail].concat())?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        Ok(y_bar.reshape(input_shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LinearRules(Reshape { keep: 1, tail: vec![6] }), &[&[2, 3, 2], &[0, 6, 1], &[1, 1, 6]]);
        check_unary(&LinearRules(Reshape { keep: 2, tail: vec![2, 2] }), &[&[2, 3, 4]]);
    }
}
