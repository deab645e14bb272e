//! The seam of the engine: the four rules of an operation.
//!
//! An operation y = f(x₁, …, xₙ) is known to the engine by four rules and nothing else:
//!
//! | rule | computes |
//! |---|---|
//! | `forward` | y = f(x) |
//! | `tangent` | ẏ = Σⱼ ∂f/∂xⱼ ẋⱼ (Jacobian times vector) |
//! | `adjoint` | x̄ⱼ = (∂f/∂xⱼ)ᵀ ȳ (vector times Jacobian) |
//! | `adjoint_tangent` | d/dt of the adjoint rule along ẋ and ȳ̇ (Pearlmutter's R{backward}) |
//!
//! A tangent or adjoint that is zero is absent (`None`), so constants, inputs and frozen parameters cost nothing.
//! Many operations are linear or bilinear; for those two families the four rules follow from fewer maps, see
//! [`LinearMap`](crate::ops::LinearMap) and [`Bilinear`](crate::ops::Bilinear).

use candle_core::Tensor;

use crate::{Result, kernels};

/// The adjoints of an operation's inputs, one slot per input; absent where zero or not wanted.
pub type Adjoints = Vec<Option<Tensor>>;

/// The tangents of an operation's inputs, one slot per input; absent where zero.
pub type Tangents<'a> = [Option<&'a Tensor>];

/// One recorded application of an operation: its inputs, its output, and what `forward` saved for the other rules.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub(crate) inputs: &'a [&'a Tensor],
    pub(crate) output: &'a Tensor,
    pub(crate) saved: &'a [Tensor],
}

impl<'a> Node<'a> {
    /// The value of input `j`.
    pub fn input(&self, j: usize) -> &'a Tensor {
        self.inputs[j]
    }

    /// The number of inputs.
    pub fn arity(&self) -> usize {
        self.inputs.len()
    }

    /// The value of the output.
    pub fn output(&self) -> &'a Tensor {
        self.output
    }

    /// The `k`-th tensor which `forward` saved.
    pub fn saved(&self, k: usize) -> &'a Tensor {
        &self.saved[k]
    }
}

/// What the derivative rules of an operation read of a run, beside the shapes of its values: the rest is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    /// For each input, whether a rule reads its value.
    pub inputs: Vec<bool>,
    /// Whether a rule reads the output's value.
    pub output: bool,
    /// Whether `adjoint_tangent` reads the tangents of the inputs.
    pub tangents: bool,
    /// Whether `adjoint_tangent` reads the adjoint of the output.
    pub adjoint: bool,
}

impl Reads {
    /// Shapes alone, as a linear map does.
    pub fn shapes(arity: usize) -> Self {
        Self { inputs: vec![false; arity], output: false, tangents: false, adjoint: false }
    }
}

/// An operation with exact first and second derivatives.
///
/// `wanted[j]` says whether the adjoint of input `j` is needed; the returned slot of an unwanted input is ignored.
pub trait Op: std::fmt::Debug + Send + Sync {
    /// The operation's name in error messages.
    fn name(&self) -> &'static str;

    /// What the rules below read, when the inputs marked `active` are differentiated. What is not declared here is
    /// NaN when a rule looks at it.
    fn reads(&self, active: &[bool]) -> Reads {
        Reads { inputs: vec![true; active.len()], output: true, tangents: true, adjoint: true }
    }

    /// y = f(x). What the other rules need beside inputs and output goes into `saved`.
    fn forward(&self, x: &[&Tensor], saved: &mut Vec<Tensor>) -> Result<Tensor>;

    /// ẏ = Σⱼ ∂f/∂xⱼ ẋⱼ; at least one tangent is present.
    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>>;

    /// x̄ⱼ = (∂f/∂xⱼ)ᵀ ȳ.
    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints>;

    /// The derivative of `adjoint` along the tangents `dx` of the inputs and `dy_bar` of the output's adjoint.
    ///
    /// What is given here is the rule of operations that are linear in their differentiable inputs: their adjoint does
    /// not depend on x, so its derivative is the adjoint rule applied to `dy_bar`. All others bring their own.
    fn adjoint_tangent(
        &self,
        at: &Node,
        _dx: &Tangents,
        _y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        wanted: &[bool],
    ) -> Result<Adjoints> {
        match dy_bar {
            Some(dy_bar) => self.adjoint(at, dy_bar, wanted),
            None => Ok(vec![None; wanted.len()]),
        }
    }
}

/// A tensor of NaN with the shape of `x` and memory for one element: what stands for a value that is not kept.
pub(crate) fn hollow(x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::full(f64::NAN, (), x.device())?.to_dtype(x.dtype())?.broadcast_as(x.shape())?)
}

/// The sum of two optional tensors, absent being zero.
pub(crate) fn accumulate(a: Option<Tensor>, b: Option<Tensor>) -> Result<Option<Tensor>> {
    Ok(match (a, b) {
        (Some(a), Some(b)) => Some(kernels::add(&a, &b)?),
        (a, b) => a.or(b),
    })
}
