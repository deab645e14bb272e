//! Concatenation along one axis.

use candle_core::Tensor;

use crate::Result;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};

/// y is the inputs one behind the other along `axis`.
#[derive(Debug)]
pub struct Concatenate {
    /// The axis along which the inputs are joined.
    pub axis: usize,
}

impl Op for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        Ok(Tensor::cat(x, self.axis)?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let parts = (0..at.arity())
            .map(|j| dx[j].map_or_else(|| at.input(j).zeros_like(), |dx| Ok(dx.clone())))
            .collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Some(Tensor::cat(&parts, self.axis)?))
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        let mut start = 0;
        let mut adjoints = Vec::with_capacity(at.arity());
        for (j, &wanted) in wanted.iter().enumerate() {
            let length = at.input(j).dims()[self.axis];
            let part = wanted.then(|| y_bar.narrow(self.axis, start, length)?.contiguous()).transpose()?;
            adjoints.push(part);
            start += length;
        }
        Ok(adjoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let parts = [normal(&[2, 3], 1), normal(&[2, 1], 2), normal(&[2, 4], 3)];
        check(&Concatenate { axis: 1 }, &parts, &[true; 3]);
        check(&Concatenate { axis: 1 }, &parts, &[true, false, true]);
        check(&Concatenate { axis: 0 }, &[normal(&[1, 2], 1), normal(&[0, 2], 2)], &[true; 2]);
    }
}
