//! Cumulative sums along an axis: yᵢ = Σ_{j ≤ i} xⱼ, whose transpose sums from the other end.

use candle_core::Tensor;

use super::linear_map::LinearMap;
use crate::Result;

/// yᵢ = Σ_{j ≤ i} xⱼ along `axis`.
#[derive(Debug)]
pub struct CumulativeSum {
    /// The axis along which is summed.
    pub axis: usize,
}

impl LinearMap for CumulativeSum {
    fn name(&self) -> &'static str {
        "cumulative_sum"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.contiguous()?.cumsum(self.axis)?)
    }

    fn transpose(&self, y_bar: &Tensor, _input_shape: &[usize]) -> Result<Tensor> {
        let reversed = |x: &Tensor| x.contiguous()?.flip(&[self.axis]);
        Ok(reversed(&self.apply(&reversed(y_bar)?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LinearRules(CumulativeSum { axis: 1 }), &[&[2, 4], &[3, 1, 2], &[2, 5, 3]]);
        check_unary(&LinearRules(CumulativeSum { axis: 0 }), &[&[4]]);
    }
}
