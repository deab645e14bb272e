//! Batch norm with stored statistics, an affine map of each channel: y = γ x̂ + β with x̂ = (x − m) r and
//! r = 1/√(variance + ε).
//!
//! | rule | |
//! |---|---|
//! | tangent | ẏ = γ r ẋ + γ̇ x̂ + β̇ |
//! | adjoint | x̄ = γ r ȳ, γ̄ = Σ ȳ x̂, β̄ = Σ ȳ |
//! | adjoint tangent | x̄̇ = γ r ȳ̇ + γ̇ r ȳ, γ̄̇ = Σ ȳ̇ x̂ + r Σ ȳ ẋ, β̄̇ = Σ ȳ̇ |
//!
//! with sums over all axes but the channels'. Each line is one sweep over the tensors it names.

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Error, Result, kernels};

/// Batch norm of x (samples, channels, …) with weight γ, bias β, stored mean and stored variance, the last two constant.
#[derive(Debug)]
pub struct BatchNorm {
    /// Added to the variance; PyTorch's default is 1e-5.
    pub epsilon: f64,
}

impl BatchNorm {
    const X: usize = 0;
    const WEIGHT: usize = 1;
    const BIAS: usize = 2;
    const MEAN: usize = 3;
    const VARIANCE: usize = 4;

    fn rate(&self, at: &Node) -> Result<Tensor> {
        self.rate_of(at.input(Self::VARIANCE))
    }

    fn rate_of(&self, variance: &Tensor) -> Result<Tensor> {
        Ok((variance + self.epsilon)?.sqrt()?.recip()?)
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads { inputs: vec![true; active.len()], output: false, tangents: true, adjoint: true }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let &[x, weight, bias, mean, variance] = x else {
            return Err(Error::unsupported("batch_norm", "it takes x, weight, bias, mean and variance"));
        };
        if x.rank() < 2 || x.dims()[1] != weight.elem_count() {
            return Err(Error::shape("batch_norm", format!("{} channels on axis 1", weight.elem_count()), x.dims()));
        }
        let scale = (weight * self.rate_of(variance)?)?;
        kernels::combine_channels(x, &scale, None, Some(&(bias - (&scale * mean)?)?))
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let (x, mean, rate) = (at.input(Self::X), at.input(Self::MEAN), self.rate(at)?);
        let scale = (at.input(Self::WEIGHT) * &rate)?;
        let stretch = dx[Self::WEIGHT].map(|dweight| dweight * &rate).transpose()?;
        let centred = stretch.as_ref().map(|stretch| (stretch * mean)?.neg()).transpose()?;
        let shift = match (centred, dx[Self::BIAS]) {
            (Some(centred), Some(dbias)) => Some((centred + dbias)?),
            (centred, dbias) => centred.or(dbias.cloned()),
        };
        match (dx[Self::X], &stretch) {
            (Some(dx), stretch) => {
                let stretched = stretch.as_ref().map(|stretch| (x, stretch));
                kernels::combine_channels(dx, &scale, stretched, shift.as_ref()).map(Some)
            }
            (None, Some(stretch)) => kernels::combine_channels(x, stretch, None, shift.as_ref()).map(Some),
            (None, None) => {
                let still = rate.zeros_like()?;
                shift.map(|shift| kernels::combine_channels(x, &still, None, Some(&shift))).transpose()
            }
        }
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        let rate = self.rate(at)?;
        let scale = (at.input(Self::WEIGHT) * &rate)?;
        let x_bar = wanted[Self::X].then(|| kernels::combine_channels(y_bar, &scale, None, None)).transpose()?;
        let (products, sums) = kernels::channel_moments((y_bar, at.input(Self::X)), at.input(Self::MEAN), None)?;
        Ok(vec![x_bar, Some((products * rate)?), Some(sums), None, None])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        let rate = self.rate(at)?;
        let scale = (at.input(Self::WEIGHT) * &rate)?;
        let stretch = dx[Self::WEIGHT].map(|dweight| dweight * &rate).transpose()?;
        let bent = stretch.as_ref().map(|stretch| (y_bar, stretch));
        let x_bar = match (dy_bar, bent) {
            (Some(dy_bar), bent) => Some((dy_bar, &scale, bent)),
            (None, bent) => bent.map(|(y_bar, stretch)| (y_bar, stretch, None)),
        };
        let x_bar = x_bar
            .filter(|_| wanted[Self::X])
            .map(|(y, scale, further)| kernels::combine_channels(y, scale, further, None))
            .transpose()?;
        let (x, mean) = (at.input(Self::X), at.input(Self::MEAN));
        let turned = dx[Self::X].map(|dx| (y_bar, dx));
        let (weight, bias) = match (dy_bar, turned) {
            (Some(dy_bar), turned) => {
                let (products, sums) = kernels::channel_moments((dy_bar, x), mean, turned)?;
                (Some((products * rate)?), Some(sums))
            }
            (None, Some(turned)) => {
                let (products, _) = kernels::channel_moments(turned, &mean.zeros_like()?, None)?;
                (Some((products * rate)?), None)
            }
            (None, None) => (None, None),
        };
        Ok(vec![x_bar, weight, bias, None, None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::{check, distance, normal};

    fn inputs(shape: &[usize]) -> [Tensor; 5] {
        let variance = normal(&[4], 5).sqr().expect("squares");
        [normal(shape, 1), normal(&[4], 2), normal(&[4], 3), normal(&[4], 4), variance]
    }

    const SHAPES: [&[usize]; 5] = [&[3, 4], &[2, 4, 3, 2], &[0, 4, 2, 2], &[1, 4], &[2, 4, 5, 4]];

    #[test]
    fn the_four_rules_agree_with_differences() {
        for shape in SHAPES {
            check(&BatchNorm { epsilon: 1e-5 }, &inputs(shape), &[true, true, true, false, false]);
            check(&BatchNorm { epsilon: 1e-5 }, &inputs(shape), &[false, true, true, false, false]);
            check(&BatchNorm { epsilon: 1e-5 }, &inputs(shape), &[true, false, false, false, false]);
        }
    }

    #[test]
    fn cpu_kernels_equal_the_portable_compositions() {
        use crate::kernels::{cpu, portable};
        let same = |a: &Tensor, b: &Tensor| assert!(distance(a, b) < 1e-13);
        for shape in SHAPES {
            let [x, s, b, m, _] = inputs(shape);
            let (z, t) = (normal(shape, 6), normal(&[4], 7));
            for further in [None, Some((&z, &t))] {
                let ours = cpu::combine::<f64>(&x, &s, further, Some(&b)).expect("cpu");
                same(&ours, &portable::combine_channels(&x, &s, further, Some(&b)).expect("portable"));
            }
            for further in [None, Some((&x, &z))] {
                let ours = cpu::moments::<f64>((&z, &x), &m, further).expect("cpu");
                let expected = portable::channel_moments((&z, &x), &m, further).expect("portable");
                same(&ours.0, &expected.0);
                same(&ours.1, &expected.1);
            }
            same(&cpu::sums::<f64>(&x).expect("cpu"), &portable::channel_sums(&x).expect("portable"));
        }
    }
}
