//! A loss on one micro-batch, linearized at a point: what does not depend on v is computed once and kept.

use std::sync::OnceLock;

use candle_core::Tensor;

use crate::losses::{Loss, Targets, per_sample, sample_sums};
use crate::product::Product;
use crate::program::{Point, Program};
use crate::tape::{Footprint, Slots, Tape};
use crate::{Result, kernels};

/// The sum of the samples' losses on one micro-batch, linearized at a point θ.
///
/// All products are those of the sum Σᵢ ℓᵢ over the micro-batch, not of a mean: who adds up micro-batches divides once,
/// by the weight of all samples, so that an uneven last batch changes no figure.
///
/// | product | sweeps |
/// |---|---|
/// | `gradient` | adjoint (the forward sweep is behind us) |
/// | `hessian` | tangent, adjoint tangent |
/// | `gauss_newton` | tangent, loss Hessian, adjoint |
/// | `empirical_fisher`, `second_moment` | tangent, adjoint |
#[derive(Debug)]
pub struct Linearization<'p> {
    tape: Tape<'p>,
    loss: &'p dyn Loss,
    targets: Targets,
    /// ∂(Σᵢ ℓᵢ)/∂z at the output z.
    output_bar: Tensor,
    adjoints: OnceLock<Slots>,
}

impl<'p> Linearization<'p> {
    /// Runs the program on a batch and linearizes its loss.
    ///
    /// # Errors
    /// When an operation or the loss does not fit the tensors that reach it.
    pub fn new(
        program: &'p Program,
        loss: &'p dyn Loss,
        point: &Point,
        batch: &[&Tensor],
        targets: impl Into<Targets>,
    ) -> Result<Self> {
        let (tape, targets) = (program.record(point, batch)?, targets.into());
        let output_bar = targets.gradient(loss, tape.output())?;
        Ok(Self { tape, loss, targets, output_bar, adjoints: OnceLock::new() })
    }

    /// The recorded run.
    pub fn tape(&self) -> &Tape<'p> {
        &self.tape
    }

    /// ℓᵢ for each sample of the batch.
    ///
    /// # Errors
    /// When candle fails.
    pub fn losses(&self) -> Result<Tensor> {
        self.targets.losses(self.loss, self.tape.output())
    }

    fn adjoints(&self) -> Result<&Slots> {
        if let Some(adjoints) = self.adjoints.get() {
            return Ok(adjoints);
        }
        let adjoints = self.tape.adjoints(&self.output_bar, true)?;
        Ok(self.adjoints.get_or_init(|| adjoints))
    }

    /// Σᵢ ∇ℓᵢ, keeping no adjoints.
    ///
    /// # Errors
    /// When candle fails.
    pub fn gradient(&self) -> Result<Product<'p>> {
        match self.adjoints.get() {
            Some(adjoints) => Ok(self.tape.product(adjoints.clone())),
            None => self.tape.pull_back(&self.output_bar),
        }
    }

    /// J v: the tangent of the output, for a vector of the parameters' length.
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn push_forward(&self, v: &Tensor) -> Result<Tensor> {
        self.tape.output_tangent(&self.tape.program().parameters().views(v)?)
    }

    /// Jᵀ u, for a tensor of the output's shape.
    ///
    /// # Errors
    /// When the tensor's shape is not that of the output.
    pub fn pull_back(&self, u: &Tensor) -> Result<Product<'p>> {
        self.tape.pull_back(u)
    }

    /// Σᵢ ∇²ℓᵢ v, the Hessian's product (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn hessian(&self, v: &Tensor) -> Result<Product<'p>> {
        let tangents = self.tape.tangents(&self.tape.program().parameters().views(v)?)?;
        let output = self.tape.output();
        let dz = match &tangents[self.tape.program().output.0] {
            Some(dz) => dz.clone(),
            None => output.zeros_like()?,
        };
        let bent = self.targets.hessian_product(self.loss, output, &dz)?;
        Ok(self.tape.product(self.tape.adjoint_tangents(tangents, self.adjoints()?, bent)?))
    }

    /// Σᵢ Jᵢᵀ (∇²_z ℓᵢ) Jᵢ v, the generalized Gauss-Newton product (Schraudolph, 2002).
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn gauss_newton(&self, v: &Tensor) -> Result<Product<'p>> {
        let dz = self.push_forward(v)?;
        self.tape.pull_back(&self.targets.hessian_product(self.loss, self.tape.output(), &dz)?)
    }

    /// Σᵢ gᵢ gᵢᵀ v with gᵢ = ∇ℓᵢ: one tangent sweep gives every gᵢᵀv, one adjoint sweep weighs the samples with them.
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn empirical_fisher(&self, v: &Tensor) -> Result<Product<'p>> {
        self.second_moment(v, std::slice::from_ref(&self.output_bar))
    }

    /// ∂ℓᵢ/∂zᵢ at targets drawn with `noise`, as [`Targets::drawn_gradient`] says.
    ///
    /// # Errors
    /// When the noise does not have the output's shape.
    pub fn drawn_gradient(&self, noise: &Tensor) -> Result<Tensor> {
        self.targets.drawn_gradient(self.loss, self.tape.output(), noise)
    }

    /// Σᵢ Σ_d gᵢ gᵢᵀ v with gᵢ = Jᵢᵀ uᵢ for several `output_bars` u_d of the output's shape, at the cost of one.
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters, or a shape not that of the output.
    pub fn second_moment(&self, v: &Tensor, output_bars: &[Tensor]) -> Result<Product<'p>> {
        let dz = self.push_forward(v)?;
        let weighted = output_bars.iter().map(|u| {
            let slopes = sample_sums(&kernels::mul(u, &dz)?)?;
            kernels::mul(u, &per_sample(&slopes, u)?)
        });
        let sum = weighted.reduce(|sum, next| kernels::add(&sum?, &next?));
        self.tape.pull_back(&sum.transpose()?.map_or_else(|| dz.zeros_like(), Ok)?)
    }

    /// Bytes that keeping this takes, and that a Hessian product takes beyond.
    pub fn footprint(&self) -> Footprint {
        self.tape.footprint()
    }
}
