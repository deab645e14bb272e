//! Batch norm with stored statistics: y = (x − μ_c)/√(v_c + ε) per channel c, with constants μ and v. The learned scale
//! and shift are a `Mul` and an `Add` behind it; with batch statistics it is [`Normalize`](super::Normalize).

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Tangents};
use crate::{Error, Result};

/// y = (x − mean)/√(variance + ε) along axis 1; inputs x (images, channels, …), mean and variance (channels).
#[derive(Debug)]
pub struct Standardize {
    /// Added to the variance; PyTorch's default is 1e-5.
    pub epsilon: f64,
}

/// A vector over channels, shaped to broadcast along axis 1.
fn per_channel(vector: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[1] = like.dims()[1];
    Ok(vector.reshape(shape)?)
}

impl Standardize {
    fn rate(&self, x: &Tensor, variance: &Tensor) -> Result<Tensor> {
        per_channel(&(variance + self.epsilon)?.sqrt()?.recip()?, x)
    }
}

impl Op for Standardize {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn forward(&self, x: &[&Tensor], saved: &mut Vec<Tensor>) -> Result<Tensor> {
        if x[0].rank() < 2 || x[0].dims()[1] != x[1].elem_count() {
            return Err(Error::shape("batch_norm", format!("{} channels on axis 1", x[1].elem_count()), x[0].dims()));
        }
        saved.push(self.rate(x[0], x[2])?);
        Ok(x[0].broadcast_sub(&per_channel(x[1], x[0])?)?.broadcast_mul(&saved[0])?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        Ok(dx[0].map(|dx| dx.broadcast_mul(at.saved(0))).transpose()?)
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(y_bar.broadcast_mul(at.saved(0))?), None, None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        for shape in [&[3, 4][..], &[2, 4, 3, 2], &[0, 4, 2, 2], &[1, 4]] {
            let variance = normal(&[4], 3).sqr().expect("squares");
            let constant = [true, false, false];
            check(&Standardize { epsilon: 1e-5 }, &[normal(shape, 1), normal(&[4], 2), variance], &constant);
        }
    }
}
