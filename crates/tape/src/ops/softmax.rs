//! Softmax over the last axis: y = eˣ / Σ eˣ. With ⟨a⟩ = Σ a over the last axis:
//!
//! | rule | |
//! |---|---|
//! | tangent | ẏ = y (ẋ − ⟨y ẋ⟩) |
//! | adjoint | x̄ = y (ȳ − ⟨y ȳ⟩) |
//! | adjoint tangent | ẏ (ȳ − ⟨y ȳ⟩) + y (ȳ̇ − ⟨ẏ ȳ⟩ − ⟨y ȳ̇⟩) |

use candle_core::{D, Tensor};

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Result, kernels};

/// Softmax over the last axis, shifted by the maximum so that it overflows nowhere.
#[derive(Debug)]
pub struct Softmax;

fn total(x: &Tensor) -> Result<Tensor> {
    kernels::sum_axis(x, x.rank() - 1)
}

/// y (a − ⟨y a⟩): the softmax's symmetric Jacobian times a.
fn jacobian(y: &Tensor, a: &Tensor) -> Result<Tensor> {
    kernels::mul(y, &kernels::sub(a, &total(&kernels::mul(y, a)?)?)?)
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads { output: true, tangents: true, adjoint: true, ..Reads::shapes(active.len()) }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let powers = kernels::exp(&kernels::sub(x[0], &x[0].max_keepdim(D::Minus1)?)?)?;
        kernels::div(&powers, &total(&powers)?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| jacobian(at.output(), dx)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(jacobian(at.output(), y_bar)?)])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        _wanted: &[bool],
    ) -> Result<Adjoints> {
        let y = at.output();
        let carried = dy_bar.map(|dy_bar| jacobian(y, dy_bar)).transpose()?;
        let bent = match dx[0] {
            None => None,
            Some(dx) => {
                let dy = jacobian(y, dx)?;
                let centred = kernels::sub(y_bar, &total(&kernels::mul(y, y_bar)?)?)?;
                let drift = kernels::mul(y, &total(&kernels::mul(&dy, y_bar)?)?)?;
                Some(kernels::sub(&kernels::mul(&dy, &centred)?, &drift)?)
            }
        };
        Ok(vec![crate::op::accumulate(bent, carried)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&Softmax, &[&[3, 4], &[2, 2, 5], &[1, 1], &[4]]);
    }
}
