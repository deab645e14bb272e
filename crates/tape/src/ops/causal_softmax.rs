//! Causal softmax over the last axis of square matrices (…, T, T): row t is the softmax over columns 0 to t, and 0 behind.
//!
//! The rules are those of [`Softmax`], which know x through y alone: where y is 0, they give 0.

use candle_core::{D, Device, Tensor};

use super::softmax::Softmax;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Error, Result, kernels};

/// Softmax of each row over the columns up to the diagonal.
#[derive(Debug)]
pub struct CausalSoftmax;

/// −∞ above the diagonal, 0 elsewhere.
fn mask(size: usize, like: &Tensor) -> Result<Tensor> {
    kernels::constant("causal mask", &[size], like.dtype(), like.device(), || {
        let elements = (0..size * size).map(|i| if i % size > i / size { f64::NEG_INFINITY } else { 0.0 });
        Ok(Tensor::from_vec(elements.collect::<Vec<f64>>(), (size, size), &Device::Cpu)?)
    })
}

impl Op for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal softmax"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Softmax.reads(active)
    }

    fn forward(&self, x: &[&Tensor], saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let size = x[0].dim(D::Minus1)?;
        if x[0].dim(D::Minus2)? != size {
            return Err(Error::shape("causal softmax", "square matrices", x[0].dims()));
        }
        Softmax.forward(&[&kernels::add(x[0], &mask(size, x[0])?)?], saved)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        Softmax.tangent(at, dx)
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        Softmax.adjoint(at, y_bar, wanted)
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        Softmax.adjoint_tangent(at, dx, y_bar, dy_bar, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&CausalSoftmax, &[&[3, 3], &[2, 2, 4, 4], &[2, 1, 1]]);
    }

    #[test]
    fn a_row_sees_nothing_behind_it() {
        let x = Tensor::new(&[[1.0_f64, 9.0], [2.0, 2.0]], &Device::Cpu).expect("a new tensor");
        let y = CausalSoftmax.forward(&[&x], &mut Vec::new()).and_then(|y| Ok(y.to_vec2::<f64>()?)).expect("a softmax");
        assert_eq!(y, [[1.0, 0.0], [0.5, 0.5]]);
    }
}
