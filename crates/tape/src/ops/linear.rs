//! Linear layer: y = x Wᵀ + b with x (…, in), W (out, in) and b (out), as PyTorch stores them.

use candle_core::Tensor;

use super::bilinear::{Bilinear, Pairs};
use crate::{Error, Result, kernels};

/// y = x Wᵀ + b; inputs x (…, in), W (out, in) and optionally b (out).
#[derive(Debug)]
pub struct Linear;

/// A tensor (…, n) as the matrix (rows, n).
fn rows(x: &Tensor) -> Result<Tensor> {
    let n = x.dims()[x.rank() - 1];
    let rows = x.dims()[..x.rank() - 1].iter().product::<usize>();
    Ok(x.reshape((rows, n))?)
}

impl Linear {
    pub(crate) const NAME: &str = "linear";
}

impl Bilinear for Linear {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn product(&self, pairs: &Pairs, bias: Option<&Tensor>) -> Result<Tensor> {
        let (x, w) = pairs[0];
        if x.rank() == 0 || x.dims().last() != w.dims().get(1) {
            return Err(Error::shape(
                "linear",
                format!("inputs whose last axis is that of the weight {:?}", w.dims()),
                x.dims(),
            ));
        }
        let shape = [&x.dims()[..x.rank() - 1], &w.dims()[..1]].concat();
        let factors = pairs.iter().map(|(x, w)| Ok((rows(x)?, w.t()?))).collect::<Result<Vec<(Tensor, Tensor)>>>()?;
        let factors: Vec<_> = factors.iter().map(|(x, w)| (x, w)).collect();
        Ok(kernels::matmul_sum(&factors, bias)?.reshape(shape)?)
    }

    fn left_adjoint(&self, left: &[usize], pairs: &Pairs) -> Result<Tensor> {
        let y_bars = pairs.iter().map(|(_, y_bar)| rows(y_bar)).collect::<Result<Vec<_>>>()?;
        let factors: Vec<_> = pairs.iter().zip(&y_bars).map(|(&(w, _), y_bar)| (y_bar, w)).collect();
        Ok(kernels::matmul_sum(&factors, None)?.reshape(left)?)
    }

    fn right_adjoint(&self, _right: &[usize], pairs: &Pairs) -> Result<Tensor> {
        let factors = pairs.iter().map(|(x, y_bar)| Ok((rows(y_bar)?.t()?, rows(x)?))).collect::<Result<Vec<_>>>()?;
        let factors: Vec<_> = factors.iter().map(|(y_bar, x)| (y_bar, x)).collect();
        kernels::matmul_sum(&factors, None)
    }

    fn spread_bias(&self, bias: &Tensor, output: &[usize]) -> Result<Tensor> {
        Ok(bias.broadcast_as(output)?.contiguous()?)
    }

    fn bias_adjoint(&self, y_bar: &Tensor) -> Result<Tensor> {
        Ok(kernels::sum_axis(&rows(y_bar)?, 0)?.squeeze(0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bilinear::BilinearRules;
    use super::Linear;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        for (batch, inputs, outputs) in [(1, 1, 1), (3, 5, 2), (7, 4, 9)] {
            let x = normal(&[batch, inputs], 1);
            let w = normal(&[outputs, inputs], 2);
            let b = normal(&[outputs], 3);
            check(&BilinearRules(Linear), &[x.clone(), w.clone(), b], &[true, true, true]);
            check(&BilinearRules(Linear), &[x.clone(), w.clone()], &[true, true]);
            check(&BilinearRules(Linear), &[x, w], &[false, true]);
        }
    }

    #[test]
    fn sequences_and_empty_batches_are_rows() {
        check(&BilinearRules(Linear), &[normal(&[2, 3, 4], 1), normal(&[5, 4], 2), normal(&[5], 3)], &[true; 3]);
        check(&BilinearRules(Linear), &[normal(&[0, 4], 1), normal(&[5, 4], 2), normal(&[5], 3)], &[true; 3]);
    }
}
