//! Normalisation by the inputs' own statistics: y = (x − m) r with the mean m and r = 1/√(variance + ε) over a set of
//! axes, the core of layer norm (the last axes) and of batch norm with batch statistics (all but axis 1).
//!
//! Write ⟨a⟩ for the mean of a over the axes. With the projection Π(a) = a − ⟨a⟩ − y⟨y a⟩:
//!
//! | rule | |
//! |---|---|
//! | tangent | ẏ = r Π(ẋ), and ṙ = −r² ⟨y ẋ⟩ |
//! | adjoint | x̄ = r Π(ȳ) |
//! | adjoint tangent | (ṙ/r) x̄ + r (Π(ȳ̇) − ẏ⟨y ȳ⟩ − y⟨ẏ ȳ⟩) |

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Result, kernels};

/// y = (x − mean)/√(variance + ε) over `axes`, with the biased variance, as PyTorch normalises.
#[derive(Debug)]
pub struct Normalize {
    /// The axes over which mean and variance are taken.
    pub axes: Vec<usize>,
    /// Added to the variance; PyTorch's default is 1e-5.
    pub epsilon: f64,
}

impl Normalize {
    /// Where `forward` saves r, the mean and the biased variance.
    const RATE: usize = 0;
    /// The mean among the saved tensors.
    pub const MEAN: usize = 1;
    /// The biased variance among the saved tensors.
    pub const VARIANCE: usize = 2;

    fn mean(&self, x: &Tensor) -> Result<Tensor> {
        let count: usize = self.axes.iter().map(|&axis| x.dims()[axis]).product();
        Ok((kernels::sum_axes(x, &self.axes)? / count as f64)?)
    }

    fn project(&self, y: &Tensor, a: &Tensor) -> Result<Tensor> {
        let along = kernels::mul(y, &self.mean(&kernels::mul(y, a)?)?)?;
        kernels::sub(&kernels::sub(a, &self.mean(a)?)?, &along)
    }
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads { output: true, tangents: true, adjoint: true, ..Reads::shapes(active.len()) }
    }

    fn forward(&self, x: &[&Tensor], saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let mean = self.mean(x[0])?;
        let centred = kernels::sub(x[0], &mean)?;
        let variance = self.mean(&kernels::mul(&centred, &centred)?)?;
        let rate = (&variance + self.epsilon)?.sqrt()?.recip()?;
        let y = kernels::mul(&centred, &rate)?;
        saved.extend([rate, mean, variance]);
        Ok(y)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let y = at.output();
        dx[0].map(|dx| kernels::mul(&self.project(y, dx)?, at.saved(Self::RATE))).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(kernels::mul(&self.project(at.output(), y_bar)?, at.saved(Self::RATE))?)])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        _wanted: &[bool],
    ) -> Result<Adjoints> {
        let (y, rate) = (at.output(), at.saved(Self::RATE));
        let carried = dy_bar.map(|dy_bar| self.project(y, dy_bar)).transpose()?;
        let Some(dx) = dx[0] else {
            return Ok(vec![carried.map(|carried| kernels::mul(&carried, rate)).transpose()?]);
        };
        let dy = kernels::mul(&self.project(y, dx)?, rate)?;
        let turned = kernels::mul(&dy, &self.mean(&kernels::mul(y, y_bar)?)?)?;
        let bent = kernels::mul(y, &self.mean(&kernels::mul(&dy, y_bar)?)?)?;
        let slope = kernels::mul(&self.mean(&kernels::mul(y, dx)?)?, rate)?;
        let stretched = kernels::mul(&self.project(y, y_bar)?, &slope)?;
        let taken = kernels::add(&kernels::add(&turned, &bent)?, &stretched)?;
        let sum = match carried {
            Some(carried) => kernels::sub(&carried, &taken)?,
            None => taken.neg()?,
        };
        Ok(vec![Some(kernels::mul(&sum, rate)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::check_unary;

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&Normalize { axes: vec![1], epsilon: 1e-5 }, &[&[3, 5], &[1, 4], &[0, 4]]);
        check_unary(&Normalize { axes: vec![0, 2, 3], epsilon: 1e-5 }, &[&[3, 2, 2, 3], &[1, 2, 3, 3]]);
        check_unary(&Normalize { axes: vec![0], epsilon: 1e-3 }, &[&[6, 3]]);
        check_unary(&Normalize { axes: vec![1, 2], epsilon: 1e-5 }, &[&[2, 3, 4]]);
    }

    #[test]
    fn one_sample_per_statistic_has_no_slope() {
        // A single value is its own mean: y = 0 whatever x is, and all derivatives vanish.
        check_unary(&Normalize { axes: vec![0], epsilon: 1e-5 }, &[&[1, 3]]);
    }
}
