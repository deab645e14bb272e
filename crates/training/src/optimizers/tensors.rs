//! Rules that treat each tensor of the parameter vector by itself.

use basin_tape::{Entry, Layout, vector};
use candle_core::{Error, Result, Tensor, Var};

/// A variable with the tensors that it is made of.
#[derive(Debug)]
pub(super) struct Tensors {
    pub(super) var: Var,
    layout: Layout,
}

impl Tensors {
    /// Variables that are one tensor each.
    pub(super) fn whole(vars: Vec<Var>) -> Vec<Self> {
        let whole = |var: Var| {
            let mut layout = Layout::default();
            layout.push("", var.dims());
            Self { var, layout }
        };
        vars.into_iter().map(whole).collect()
    }

    /// A parameter vector and how tensors lie in it.
    pub(super) fn laid_out(var: Var, layout: &Layout) -> Vec<Self> {
        vec![Self { var, layout: layout.clone() }]
    }

    /// `of` each tensor and its part of another vector, put together to a vector again.
    pub(super) fn map(&self, other: &Tensor, of: impl Fn(&Entry, Tensor, Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let views = |x: &Tensor| self.layout.views(&x.flatten_all()?).map_err(Error::wrap);
        let pairs = views(&self.var.as_detached_tensor())?.into_iter().zip(views(other)?);
        let mapped = self.layout.entries().iter().zip(pairs).map(|(entry, (w, x))| of(entry, w, x).map(Some));
        let mapped = mapped.collect::<Result<Vec<_>>>()?;
        let joined = self.layout.join(mapped, self.var.dtype(), self.var.device()).map_err(Error::wrap)?;
        joined.reshape(self.var.dims())
    }
}

/// Whether a tensor is a bias or belongs to a norm: these have at most one axis, matrices and filters have more.
pub(super) fn is_bias_or_norm(entry: &Entry) -> bool {
    entry.shape.len() <= 1
}

/// ‖x‖₂, summed in f64.
pub(super) fn norm(x: &Tensor) -> Result<f64> {
    Ok(vector::dot(x, x).map_err(Error::wrap)?.sqrt())
}
