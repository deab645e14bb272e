//! Elements of a tensor at positions that are known, or that other inputs hold: linear in the tensor.

use candle_core::Tensor;

use crate::Result;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};

fn of_first_input(wanted: &[bool], adjoint: impl FnOnce() -> Result<Tensor>) -> Result<Adjoints> {
    let mut adjoints = vec![None; wanted.len()];
    if wanted[0] {
        adjoints[0] = Some(adjoint()?);
    }
    Ok(adjoints)
}

/// The slices of x at some positions along an axis; inputs x and the positions, one-dimensional integers.
#[derive(Debug)]
pub struct IndexSelect {
    /// The axis along which slices are taken.
    pub axis: usize,
}

impl Op for IndexSelect {
    fn name(&self) -> &'static str {
        "index_select"
    }

    fn reads(&self, _active: &[bool]) -> Reads {
        Reads { inputs: vec![false, true], ..Reads::shapes(2) }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        Ok(x[0].contiguous()?.index_select(x[1], self.axis)?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| Ok(dx.contiguous()?.index_select(at.input(1), self.axis)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        of_first_input(wanted, || {
            let zeros = Tensor::zeros(at.input(0).dims(), y_bar.dtype(), y_bar.device())?;
            Ok(zeros.index_add(at.input(1), &y_bar.contiguous()?, self.axis)?)
        })
    }
}

/// y[…, i, …] = x[…, index[…, i, …], …] along an axis; inputs x and the index, integers of the shape of y.
#[derive(Debug)]
pub struct Gather {
    /// The axis along which the index counts.
    pub axis: usize,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn reads(&self, _active: &[bool]) -> Reads {
        Reads { inputs: vec![false, true], ..Reads::shapes(2) }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        Ok(x[0].contiguous()?.gather(&x[1].contiguous()?, self.axis)?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| Ok(dx.contiguous()?.gather(&at.input(1).contiguous()?, self.axis)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        of_first_input(wanted, || scattered(at.input(0).dims(), at.input(1), y_bar, self.axis))
    }
}

fn scattered(shape: &[usize], index: &Tensor, y_bar: &Tensor, axis: usize) -> Result<Tensor> {
    let zeros = Tensor::zeros(shape, y_bar.dtype(), y_bar.device())?;
    Ok(zeros.scatter_add(&index.contiguous()?, &y_bar.contiguous()?, axis)?)
}

/// The largest or the smallest element along an axis, which stays with extent 1; of several equal ones the first.
#[derive(Debug)]
pub struct Extremum {
    /// The axis.
    pub axis: usize,
    /// Whether the largest is taken.
    pub largest: bool,
}

impl Op for Extremum {
    fn name(&self) -> &'static str {
        "extremum"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let x = x[0].contiguous()?;
        let position = if self.largest { x.argmax_keepdim(self.axis)? } else { x.argmin_keepdim(self.axis)? };
        let extremum = x.gather(&position, self.axis)?;
        saved.push(position);
        Ok(extremum)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| Ok(dx.contiguous()?.gather(at.saved(0), self.axis)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(scattered(at.input(0).dims(), at.saved(0), y_bar, self.axis)?)])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::derivative_check::{check, distinct, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let positions = Tensor::new(&[2_i64, 0, 2, 1], &Device::Cpu).expect("a new tensor");
        check(&IndexSelect { axis: 1 }, &[normal(&[2, 3, 2], 1), positions.clone()], &[true, false]);
        check(&IndexSelect { axis: 0 }, &[normal(&[3], 1), positions], &[true, false]);
        let index = Tensor::new(&[[0_i64, 2, 2], [1, 0, 1]], &Device::Cpu).expect("a new tensor");
        check(&Gather { axis: 1 }, &[normal(&[2, 4], 1), index.clone()], &[true, false]);
        check(&Gather { axis: 0 }, &[normal(&[3, 3], 1), index], &[true, false]);
        for largest in [true, false] {
            check(&Extremum { axis: 1, largest }, &[distinct(&[2, 5, 3], 1)], &[true]);
            check(&Extremum { axis: 0, largest }, &[distinct(&[4], 2)], &[true]);
        }
    }
}
