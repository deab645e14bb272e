//! A range of positions along one axis.

use candle_core::Tensor;

use super::linear_map::LinearMap;
use crate::Result;

/// y holds the positions `start..start + length` of `axis`.
#[derive(Debug)]
pub struct Narrow {
    /// The axis that is cut.
    pub axis: usize,
    /// The first position kept.
    pub start: usize,
    /// The number of positions kept.
    pub length: usize,
}

impl LinearMap for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let part = x.narrow(self.axis, self.start, self.length)?;
        // A view without elements may start behind the end of its storage, which candle's kernels do not survive.
        Ok(if part.elem_count() == 0 { Tensor::zeros(part.dims(), x.dtype(), x.device())? } else { part.contiguous()? })
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        let behind = input_shape[self.axis] - self.start - self.length;
        Ok(y_bar.pad_with_zeros(self.axis, self.start, behind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LinearRules(Narrow { axis: 1, start: 1, length: 2 }), &[&[2, 4, 3], &[1, 3], &[0, 5]]);
        check_unary(&LinearRules(Narrow { axis: 0, start: 0, length: 1 }), &[&[1], &[3, 2]]);
    }
}
