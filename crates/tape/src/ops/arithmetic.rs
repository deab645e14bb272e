//! Arithmetic of two tensors with broadcasting as in PyTorch, and y = a x + b with constants.

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Reads, Tangents, accumulate};
use crate::{Result, kernels};

/// ȳ summed over the axes along which input `j` was broadcast.
fn reduced(at: &Node, j: usize, y_bar: &Tensor) -> Result<Tensor> {
    kernels::sum_to(y_bar, at.input(j).dims())
}

/// A tangent repeated to the shape of the output.
fn spread(at: &Node, dx: &Tensor) -> Result<Tensor> {
    Ok(if dx.dims() == at.output().dims() { dx.clone() } else { dx.broadcast_as(at.output().dims())?.contiguous()? })
}

/// y = a + b.
#[derive(Debug)]
pub struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        kernels::add(x[0], x[1])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let sum = match (dx[0], dx[1]) {
            (Some(da), Some(db)) => Some(kernels::add(da, db)?),
            (da, db) => da.or(db).cloned(),
        };
        sum.map(|sum| spread(at, &sum)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        (0..2).map(|j| wanted[j].then(|| reduced(at, j, y_bar)).transpose()).collect()
    }
}

/// y = a − b.
#[derive(Debug)]
pub struct Sub;

impl Op for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        kernels::sub(x[0], x[1])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let difference = match (dx[0], dx[1]) {
            (Some(da), Some(db)) => Some(kernels::sub(da, db)?),
            (Some(da), None) => Some(da.clone()),
            (None, db) => db.map(Tensor::neg).transpose()?,
        };
        difference.map(|difference| spread(at, &difference)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![
            wanted[0].then(|| reduced(at, 0, y_bar)).transpose()?,
            wanted[1].then(|| Ok::<_, crate::Error>(reduced(at, 1, y_bar)?.neg()?)).transpose()?,
        ])
    }
}

/// y = a b, elementwise: ẏ = ȧ b + a ḃ, ā = Σ b ȳ, b̄ = Σ a ȳ over broadcast axes.
#[derive(Debug)]
pub struct Mul;

impl Op for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        // A product is bilinear: each side is read for the derivative in the other.
        let both = active[0] && active[1];
        Reads { inputs: vec![active[1], active[0]], output: false, tangents: both, adjoint: both }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        kernels::mul(x[0], x[1])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let left = dx[0].map(|da| kernels::mul(da, at.input(1))).transpose()?;
        let right = dx[1].map(|db| kernels::mul(at.input(0), db)).transpose()?;
        accumulate(left, right)
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        let side = |j: usize| reduced(at, j, &kernels::mul(y_bar, at.input(1 - j))?);
        (0..2).map(|j| wanted[j].then(|| side(j)).transpose()).collect()
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        let side = |j: usize| {
            let bent = dx[1 - j].map(|dx| kernels::mul(y_bar, dx)).transpose()?;
            let carried = dy_bar.map(|dy_bar| kernels::mul(dy_bar, at.input(1 - j))).transpose()?;
            accumulate(bent, carried)?.map(|sum| reduced(at, j, &sum)).transpose()
        };
        (0..2).map(|j| if wanted[j] { side(j) } else { Ok(None) }).collect()
    }
}

/// y = a / b, elementwise. With q = ȳ/b: ẏ = (ȧ − y ḃ)/b, ā = Σ q, b̄ = −Σ q y, and along a tangent
/// q̇ = (ȳ̇ − q ḃ)/b, ā̇ = Σ q̇, b̄̇ = −Σ (q̇ y + q ẏ).
#[derive(Debug)]
pub struct Div;

impl Op for Div {
    fn name(&self) -> &'static str {
        "div"
    }

    fn reads(&self, _active: &[bool]) -> Reads {
        Reads { inputs: vec![false, true], output: true, tangents: true, adjoint: true }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        kernels::div(x[0], x[1])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let left = dx[0].map(|da| kernels::div(da, at.input(1))).transpose()?;
        let right = dx[1].map(|db| kernels::div(&kernels::mul(at.output(), db)?.neg()?, at.input(1))).transpose()?;
        accumulate(left, right)
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        let q = kernels::div(y_bar, at.input(1))?;
        Ok(vec![
            wanted[0].then(|| reduced(at, 0, &q)).transpose()?,
            wanted[1].then(|| reduced(at, 1, &kernels::mul(&q, at.output())?.neg()?)).transpose()?,
        ])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        let q = kernels::div(y_bar, at.input(1))?;
        let carried = dy_bar.map(|dy_bar| kernels::div(dy_bar, at.input(1))).transpose()?;
        let bent = dx[1].map(|db| kernels::div(&kernels::mul(&q, db)?.neg()?, at.input(1))).transpose()?;
        let dq = accumulate(carried, bent)?;
        let numerator = dq.as_ref().filter(|_| wanted[0]).map(|dq| reduced(at, 0, dq)).transpose()?;
        let denominator = if wanted[1] {
            let moved = dq.as_ref().map(|dq| kernels::mul(dq, at.output())).transpose()?;
            let turned = self.tangent(at, dx)?.map(|dy| kernels::mul(&q, &dy)).transpose()?;
            accumulate(moved, turned)?.map(|sum| reduced(at, 1, &sum.neg()?)).transpose()?
        } else {
            None
        };
        Ok(vec![numerator, denominator])
    }
}

/// y = scale · x + shift with constants.
#[derive(Debug)]
pub struct Affine {
    /// The factor.
    pub scale: f64,
    /// The summand.
    pub shift: f64,
}

impl Op for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        Ok(x[0].affine(self.scale, self.shift)?)
    }

    fn tangent(&self, _at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        Ok(dx[0].map(|dx| dx.affine(self.scale, 0.0)).transpose()?)
    }

    fn adjoint(&self, _at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(y_bar.affine(self.scale, 0.0)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::{check, check_unary, normal};

    fn check_binary(op: &dyn Op) {
        let shapes: [(&[usize], &[usize]); 5] =
            [(&[4], &[4]), (&[2, 3, 2], &[3, 1]), (&[1, 3], &[5, 1]), (&[3], &[2, 3]), (&[0, 2], &[2])];
        for (left, right) in shapes {
            // The right side stays away from zero, where a quotient has no derivative.
            let right = normal(right, 2).affine(0.1, 2.0).expect("an affine map");
            check(op, &[normal(left, 1), right], &[true, true]);
        }
    }

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_binary(&Add);
        check_binary(&Sub);
        check_binary(&Mul);
        check_binary(&Div);
        check_unary(&Affine { scale: -1.5, shift: 0.25 }, &[&[3, 2], &[0], &[1]]);
    }

    #[test]
    fn a_constant_side_costs_nothing() {
        check(&Mul, &[normal(&[3, 2], 1), normal(&[2], 2)], &[true, false]);
        check(&Div, &[normal(&[3, 2], 1), normal(&[3, 2], 2)], &[true, false]);
        check(&Sub, &[normal(&[3, 2], 1), normal(&[2], 2)], &[false, true]);
    }
}
