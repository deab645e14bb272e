//! Bilinear operations y = B(x, w) + b, whose four rules are sums of three products:
//!
//! | rule | |
//! |---|---|
//! | tangent | ẏ = B(ẋ, w) + B(x, ẇ) + ḃ |
//! | adjoint | x̄ = Bₓ(w, ȳ), w̄ = B_w(x, ȳ), b̄ = Σ ȳ |
//! | adjoint tangent | Bₓ(ẇ, ȳ) + Bₓ(w, ȳ̇), B_w(ẋ, ȳ) + B_w(x, ȳ̇), Σ ȳ̇ |
//!
//! where Bₓ and B_w are the adjoints of B in its first and second argument. A kernel that sums over pairs does each
//! line in one sweep over memory.

use candle_core::Tensor;

use crate::Result;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};

/// Pairs of tensors over which a product is summed.
pub type Pairs<'a> = [(&'a Tensor, &'a Tensor)];

/// A bilinear operation and its two adjoints, each summed over one or two pairs.
pub trait Bilinear: std::fmt::Debug + Send + Sync {
    /// The operation's name in error messages.
    fn name(&self) -> &'static str;

    /// Σ B(x, w) over the pairs (x, w), plus the bias where there is one.
    fn product(&self, pairs: &Pairs, bias: Option<&Tensor>) -> Result<Tensor>;

    /// Σ Bₓ(w, ȳ) over the pairs (w, ȳ), a tensor of shape `left`.
    fn left_adjoint(&self, left: &[usize], pairs: &Pairs) -> Result<Tensor>;

    /// Σ B_w(x, ȳ) over the pairs (x, ȳ), a tensor of shape `right`.
    fn right_adjoint(&self, right: &[usize], pairs: &Pairs) -> Result<Tensor>;

    /// The bias repeated to the shape of the output.
    fn spread_bias(&self, bias: &Tensor, output: &[usize]) -> Result<Tensor>;

    /// The sum of ȳ over all axes but the bias's.
    fn bias_adjoint(&self, y_bar: &Tensor) -> Result<Tensor>;
}

/// The four rules of a [`Bilinear`] operation; its inputs are x, w and, if there are three, the bias.
#[derive(Debug)]
pub struct BilinearRules<B>(pub B);

impl<B: Bilinear> Op for BilinearRules<B> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn reads(&self, active: &[bool]) -> Reads {
        let both = active[0] && active[1];
        let mut inputs = vec![false; active.len()];
        (inputs[0], inputs[1]) = (active[1], active[0]);
        Reads { inputs, output: false, tangents: both, adjoint: both }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        self.0.product(&[(x[0], x[1])], x.get(2).copied())
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        let pairs = present([dx[0].map(|dx| (dx, at.input(1))), dx[1].map(|dw| (at.input(0), dw))]);
        let bias = dx.get(2).copied().flatten();
        match (pairs.as_slice(), bias) {
            ([], None) => Ok(None),
            ([], Some(bias)) => self.0.spread_bias(bias, at.output().dims()).map(Some),
            (pairs, bias) => self.0.product(pairs, bias).map(Some),
        }
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        let (x, w) = (at.input(0), at.input(1));
        let mut adjoints = vec![
            wanted[0].then(|| self.0.left_adjoint(x.dims(), &[(w, y_bar)])).transpose()?,
            wanted[1].then(|| self.0.right_adjoint(w.dims(), &[(x, y_bar)])).transpose()?,
        ];
        if let Some(&wanted) = wanted.get(2) {
            adjoints.push(wanted.then(|| self.0.bias_adjoint(y_bar)).transpose()?);
        }
        Ok(adjoints)
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        let (x, w) = (at.input(0), at.input(1));
        let left = present([dx[1].map(|dw| (dw, y_bar)), dy_bar.map(|dy_bar| (w, dy_bar))]);
        let right = present([dx[0].map(|dx| (dx, y_bar)), dy_bar.map(|dy_bar| (x, dy_bar))]);
        let mut adjoints = vec![
            (wanted[0] && !left.is_empty()).then(|| self.0.left_adjoint(x.dims(), &left)).transpose()?,
            (wanted[1] && !right.is_empty()).then(|| self.0.right_adjoint(w.dims(), &right)).transpose()?,
        ];
        if let Some(&wanted) = wanted.get(2) {
            let dy_bar = dy_bar.filter(|_| wanted);
            adjoints.push(dy_bar.map(|dy_bar| self.0.bias_adjoint(dy_bar)).transpose()?);
        }
        Ok(adjoints)
    }
}

fn present<'a>(pairs: [Option<(&'a Tensor, &'a Tensor)>; 2]) -> Vec<(&'a Tensor, &'a Tensor)> {
    pairs.into_iter().flatten().collect()
}
