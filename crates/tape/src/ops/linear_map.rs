//! Linear maps y = A x of one input, whose four rules follow from the map and its transpose:
//! ẏ = A ẋ, x̄ = Aᵀ ȳ, and the adjoint's tangent is Aᵀ ȳ̇, for A does not depend on x.

use candle_core::Tensor;

use crate::Result;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};

/// A linear map of one tensor and its transpose.
pub trait LinearMap: std::fmt::Debug + Send + Sync {
    /// The map's name in error messages.
    fn name(&self) -> &'static str;

    /// A x.
    fn apply(&self, x: &Tensor) -> Result<Tensor>;

    /// Aᵀ ȳ, a tensor of the input's shape.
    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor>;
}

/// The four rules of a [`LinearMap`].
#[derive(Debug)]
pub struct LinearRules<L>(pub L);

impl<L: LinearMap> Op for LinearRules<L> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        self.0.apply(x[0])
    }

    fn tangent(&self, _at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| self.0.apply(dx)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(self.0.transpose(y_bar, at.input(0).dims())?)])
    }
}
