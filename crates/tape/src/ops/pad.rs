//! Zeros around one axis: the transpose of [`Narrow`](super::Narrow).

use candle_core::Tensor;

use super::linear_map::LinearMap;
use super::narrow::Narrow;
use crate::Result;

/// y is x with zeros in front of and behind `axis`.
#[derive(Debug)]
pub struct Pad {
    /// The axis that grows.
    pub axis: usize,
    /// The number of zeros in front.
    pub before: usize,
    /// The number of zeros behind.
    pub behind: usize,
}

impl LinearMap for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.pad_with_zeros(self.axis, self.before, self.behind)?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        Narrow { axis: self.axis, start: self.before, length: input_shape[self.axis] }.apply(y_bar)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LinearRules(Pad { axis: 1, before: 1, behind: 2 }), &[&[2, 4, 3], &[1, 3], &[0, 5]]);
        check_unary(&LinearRules(Pad { axis: 2, before: 0, behind: 1 }), &[&[2, 1, 3]]);
    }
}
