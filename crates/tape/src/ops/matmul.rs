//! Matrix product of two activations: y = x w over equal leading axes, x (…, m, k), w (…, k, n).

use candle_core::Tensor;

use super::bilinear::{Bilinear, Pairs};
use crate::{Error, Result, kernels};

/// y = x w for batches of matrices with equal leading axes.
#[derive(Debug)]
pub struct Matmul;

fn transposed(x: &Tensor) -> Result<Tensor> {
    Ok(x.transpose(x.rank() - 2, x.rank() - 1)?)
}

impl Bilinear for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn product(&self, pairs: &Pairs, _bias: Option<&Tensor>) -> Result<Tensor> {
        kernels::matmul_sum(pairs, None)
    }

    fn left_adjoint(&self, _left: &[usize], pairs: &Pairs) -> Result<Tensor> {
        let transposes = pairs.iter().map(|(w, _)| transposed(w)).collect::<Result<Vec<_>>>()?;
        let factors: Vec<_> = pairs.iter().zip(&transposes).map(|(&(_, y_bar), w)| (y_bar, w)).collect();
        kernels::matmul_sum(&factors, None)
    }

    fn right_adjoint(&self, _right: &[usize], pairs: &Pairs) -> Result<Tensor> {
        let transposes = pairs.iter().map(|(x, _)| transposed(x)).collect::<Result<Vec<_>>>()?;
        let factors: Vec<_> = pairs.iter().zip(&transposes).map(|(&(_, y_bar), x)| (x, y_bar)).collect();
        kernels::matmul_sum(&factors, None)
    }

    fn spread_bias(&self, _bias: &Tensor, _output: &[usize]) -> Result<Tensor> {
        Err(Error::unsupported("matmul", "it has no bias"))
    }

    fn bias_adjoint(&self, _y_bar: &Tensor) -> Result<Tensor> {
        Err(Error::unsupported("matmul", "it has no bias"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::bilinear::BilinearRules;
    use super::Matmul;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        check(&BilinearRules(Matmul), &[normal(&[3, 4], 1), normal(&[4, 2], 2)], &[true, true]);
        check(&BilinearRules(Matmul), &[normal(&[2, 3, 1, 4], 1), normal(&[2, 3, 4, 5], 2)], &[true, true]);
    }

    #[test]
    fn transposed_factors_need_no_copy_to_be_right() {
        let x = normal(&[3, 4, 2], 1).transpose(1, 2).expect("rank 3");
        let w = normal(&[3, 5, 4], 2).transpose(1, 2).expect("rank 3");
        check(&BilinearRules(Matmul), &[x, w], &[true, true]);
    }
    #[test]
    fn cpu_kernels_equal_the_portable_compositions() {
        use crate::derivative_check::distance;
        use crate::kernels::{cpu, portable};
        let turned = |shape: &[usize], seed| normal(shape, seed).transpose(1, 2).expect("rank 3");
        let (a, b) = (normal(&[2, 3, 4], 1), normal(&[2, 4, 5], 2));
        let (c, d) = (turned(&[2, 4, 3], 3), turned(&[2, 5, 4], 4));
        // Neither rows nor columns of these lie together.
        let (e, f) = (normal(&[2, 3, 8], 5), normal(&[4, 2, 5], 6).transpose(0, 1).expect("rank 3"));
        let e = e.narrow(2, 2, 4).expect("a part");
        let bias = normal(&[5], 7);
        let pairs = [(&a, &b), (&c, &d), (&e, &f)];
        let ours = cpu::matmul_sum::<f64>(&pairs, Some(&bias)).expect("cpu");
        assert!(distance(&ours, &portable::matmul_sum(&pairs, Some(&bias)).expect("portable")) < 1e-14);
    }
}
