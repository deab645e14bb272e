//! Logarithm of softmax over the last axis: y = x − log Σ eˣ, with p = e^y.
//!
//! | rule | |
//! |---|---|
//! | tangent | ẏ = ẋ − ⟨p, ẋ⟩ |
//! | adjoint | x̄ = ȳ − p Σȳ |
//! | adjoint tangent | ȳ̇ − p Σȳ̇ − (p∘ẏ) Σȳ |

use candle_core::{D, Tensor};

use crate::op::{Adjoints, Node, Op, Reads, Tangents, accumulate};
use crate::{Result, kernels};

/// y = x − log Σ eˣ over the last axis.
#[derive(Debug)]
pub struct LogSoftmax;

fn total(x: &Tensor) -> Result<Tensor> {
    kernels::sum_axis(x, x.rank() - 1)
}

impl Op for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads { output: true, tangents: true, adjoint: true, ..Reads::shapes(active.len()) }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let shifted = kernels::sub(x[0], &x[0].max_keepdim(D::Minus1)?)?;
        kernels::sub(&shifted, &total(&kernels::exp(&shifted)?)?.log()?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let p = kernels::exp(at.output())?;
        dx[0].map(|dx| kernels::sub(dx, &total(&kernels::mul(&p, dx)?)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        let p = kernels::exp(at.output())?;
        Ok(vec![Some(kernels::sub(y_bar, &kernels::mul(&p, &total(y_bar)?)?)?)])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        let carried = match dy_bar {
            Some(dy_bar) => self.adjoint(at, dy_bar, wanted)?.swap_remove(0),
            None => None,
        };
        let bent = match self.tangent(at, dx)? {
            Some(dy) => {
                let turned = kernels::mul(&kernels::exp(at.output())?, &dy)?;
                Some(kernels::mul(&turned, &total(y_bar)?.neg()?)?)
            }
            None => None,
        };
        Ok(vec![accumulate(carried, bent)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LogSoftmax, &[&[3, 4], &[2, 3, 5], &[2, 1], &[6]]);
    }
}
