//! One of two tensors at each place: y = a where the condition holds, else b, all broadcast against each other.

use candle_core::{Shape, Tensor};

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Result, kernels};

/// y = a where the condition is not 0, else b; inputs the condition (an integer tensor), a and b.
#[derive(Debug)]
pub struct Where;

fn spread(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    Ok(if x.dims() == shape { x.contiguous()? } else { x.broadcast_as(shape)?.contiguous()? })
}

fn choose(condition: &Tensor, a: &Tensor, b: &Tensor, shape: &[usize]) -> Result<Tensor> {
    Ok(spread(condition, shape)?.where_cond(&spread(a, shape)?, &spread(b, shape)?)?)
}

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn reads(&self, _active: &[bool]) -> Reads {
        Reads { inputs: vec![true, false, false], ..Reads::shapes(3) }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let shape = x[1].shape().broadcast_shape_binary_op(x[2].shape(), "where")?;
        let shape: Shape = shape.broadcast_shape_binary_op(x[0].shape(), "where")?;
        choose(x[0], x[1], x[2], shape.dims())
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let Some(any) = dx[1].or(dx[2]) else { return Ok(None) };
        let zero = any.zeros_like()?;
        Ok(Some(choose(at.input(0), dx[1].unwrap_or(&zero), dx[2].unwrap_or(&zero), at.output().dims())?))
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        let (shape, zero) = (y_bar.dims(), y_bar.zeros_like()?);
        let side = |j: usize, part: Result<Tensor>| kernels::sum_to(&part?, at.input(j).dims());
        Ok(vec![
            None,
            wanted[1].then(|| side(1, choose(at.input(0), y_bar, &zero, shape))).transpose()?,
            wanted[2].then(|| side(2, choose(at.input(0), &zero, y_bar, shape))).transpose()?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let condition = Tensor::new(&[[1_u8, 0, 1], [0, 0, 1]], &Device::Cpu).expect("a new tensor");
        check(&Where, &[condition.clone(), normal(&[2, 3], 1), normal(&[2, 3], 2)], &[false, true, true]);
        check(&Where, &[condition.clone(), normal(&[4, 2, 1], 1), normal(&[3], 2)], &[false, true, true]);
        check(&Where, &[condition, normal(&[2, 3], 1), normal(&[], 2)], &[false, true, false]);
    }

    #[test]
    fn an_infinity_that_is_not_chosen_leaves_no_trace() {
        let condition = Tensor::new(&[1_u8, 0], &Device::Cpu).expect("a new tensor");
        let (a, b) = (normal(&[2], 1), Tensor::new(f64::NEG_INFINITY, &Device::Cpu).expect("a new tensor"));
        let y = Where.forward(&[&condition, &a, &b], &mut Vec::new()).expect("a choice");
        let at = Node { inputs: &[&condition, &a, &b], output: &y, saved: &[] };
        let adjoints = Where.adjoint(&at, &normal(&[2], 2), &[false, true, false]).expect("adjoints");
        let adjoint = adjoints[1].as_ref().expect("a's").to_vec1::<f64>().expect("f64");
        assert!(adjoint[0] != 0.0 && adjoint[1] == 0.0);
    }
}
