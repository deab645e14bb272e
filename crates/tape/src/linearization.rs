//! A loss on one micro-batch, linearized at a point: what does not depend on v is computed once and kept.

use std::sync::OnceLock;

use candle_core::Tensor;

use crate::by_rows::{ByRows, rows_at_a_time};
use crate::losses::{Loss, Targets, per_sample, sample_sums};
use crate::product::Product;
use crate::program::{Point, Program, Value};
use crate::tape::{Footprint, Slots, Tape};
use crate::{Result, kernels};

/// The sum of the samples' losses on one micro-batch, linearized at a point θ.
///
/// All products are those of the sum Σᵢ ℓᵢ over the micro-batch, not of a mean: who adds up micro-batches divides once,
/// by the weight of all samples, so that an uneven last batch changes no figure.
///
/// Where samples have many positions with many outputs each, as in language models, and these come from a last linear layer,
/// layer and loss are applied to some positions at a time, so that no tensor has an element for each output.
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
    outputs: Outputs,
    adjoints: OnceLock<Slots>,
}

/// How the outputs z are worked on.
#[derive(Debug)]
enum Outputs {
    /// Together, with ∂(Σᵢ ℓᵢ)/∂z.
    Held { bar: Tensor },
    /// So many rows at a time.
    ByRows { at_a_time: usize },
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
        let targets = targets.into();
        let rows = rows_at_a_time(program, loss, point, &targets);
        Self::with_rows(program, loss, point, batch, targets, rows)
    }

    /// With the last layer applied to so many rows at a time, if to any.
    pub(crate) fn with_rows(
        program: &'p Program,
        loss: &'p dyn Loss,
        point: &Point,
        batch: &[&Tensor],
        targets: Targets,
        rows: Option<usize>,
    ) -> Result<Self> {
        let (tape, targets, outputs) = match rows {
            None => {
                let tape = program.record(point, batch)?;
                let bar = targets.gradient(loss, tape.output())?;
                (tape, targets, Outputs::Held { bar })
            }
            Some(at_a_time) => {
                (program.record_but_last(point, batch)?, targets.by_rows()?, Outputs::ByRows { at_a_time })
            }
        };
        Ok(Self { tape, loss, targets, outputs, adjoints: OnceLock::new() })
    }

    fn by_rows(&self) -> Option<ByRows<'_, 'p>> {
        match self.outputs {
            Outputs::Held { .. } => None,
            Outputs::ByRows { at_a_time } => {
                Some(ByRows { tape: &self.tape, loss: self.loss, targets: &self.targets, at_a_time })
            }
        }
    }

    /// The adjoints that the gradient begins with.
    fn bars(&self) -> Result<Vec<(Value, Tensor)>> {
        match (&self.outputs, self.by_rows()) {
            (Outputs::Held { bar }, _) => Ok(self.of_output(bar.clone())),
            (_, Some(rows)) => rows.adjoints(),
            (Outputs::ByRows { .. }, None) => Ok(Vec::new()),
        }
    }

    fn of_output(&self, bar: Tensor) -> Vec<(Value, Tensor)> {
        vec![(self.tape.program().output, bar)]
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
        match self.by_rows() {
            Some(rows) => rows.losses(),
            None => self.targets.losses(self.loss, self.tape.output()),
        }
    }

    fn adjoints(&self) -> Result<&Slots> {
        if let Some(adjoints) = self.adjoints.get() {
            return Ok(adjoints);
        }
        let adjoints = self.tape.adjoints(self.bars()?, true)?;
        Ok(self.adjoints.get_or_init(|| adjoints))
    }

    /// Σᵢ ∇ℓᵢ, keeping no adjoints.
    ///
    /// # Errors
    /// When candle fails.
    pub fn gradient(&self) -> Result<Product<'p>> {
        match self.adjoints.get() {
            Some(adjoints) => Ok(self.tape.product(adjoints.clone())),
            None => self.pulled_back(self.bars()?),
        }
    }

    fn pulled_back(&self, bars: Vec<(Value, Tensor)>) -> Result<Product<'p>> {
        Ok(self.tape.product(self.tape.adjoints(bars, false)?))
    }

    fn tangents(&self, v: &Tensor) -> Result<Slots> {
        self.tape.tangents(&self.tape.program().parameters().views(v)?)
    }

    /// J v: the tangent of the output, for a vector of the parameters' length.
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn push_forward(&self, v: &Tensor) -> Result<Tensor> {
        match self.by_rows() {
            Some(rows) => rows.push_forward(&self.tangents(v)?),
            None => self.tape.output_tangent(&self.tape.program().parameters().views(v)?),
        }
    }

    /// Jᵀ u, for a tensor of the output's shape.
    ///
    /// # Errors
    /// When the tensor's shape is not that of the output.
    pub fn pull_back(&self, u: &Tensor) -> Result<Product<'p>> {
        match self.by_rows() {
            Some(rows) => self.pulled_back(rows.adjoints_of(u)?),
            None => self.tape.pull_back(u),
        }
    }

    /// Σᵢ ∇²ℓᵢ v, the Hessian's product (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn hessian(&self, v: &Tensor) -> Result<Product<'p>> {
        let tangents = self.tangents(v)?;
        let bent = match self.by_rows() {
            Some(rows) => rows.adjoint_tangents(&tangents)?,
            None => {
                let output = self.tape.output();
                let dz = match &tangents[self.tape.program().output.0] {
                    Some(dz) => dz.clone(),
                    None => output.zeros_like()?,
                };
                self.of_output(self.targets.hessian_product(self.loss, output, &dz)?)
            }
        };
        Ok(self.tape.product(self.tape.adjoint_tangents(tangents, self.adjoints()?, bent)?))
    }

    /// Σᵢ Jᵢᵀ (∇²_z ℓᵢ) Jᵢ v, the generalized Gauss-Newton product (Schraudolph, 2002).
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn gauss_newton(&self, v: &Tensor) -> Result<Product<'p>> {
        if let Some(rows) = self.by_rows() {
            return self.pulled_back(rows.gauss_newton(&self.tangents(v)?)?);
        }
        let dz = self.push_forward(v)?;
        self.tape.pull_back(&self.targets.hessian_product(self.loss, self.tape.output(), &dz)?)
    }

    /// Σᵢ gᵢ gᵢᵀ v with gᵢ = ∇ℓᵢ: one tangent sweep gives every gᵢᵀv, one adjoint sweep weighs the samples with them.
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters.
    pub fn empirical_fisher(&self, v: &Tensor) -> Result<Product<'p>> {
        match (&self.outputs, self.by_rows()) {
            (Outputs::Held { bar }, _) => self.second_moment(v, std::slice::from_ref(bar)),
            (_, rows) => {
                let tangents = self.tangents(v)?;
                let bars = rows.map(|rows| rows.empirical_fisher(&tangents)).transpose()?;
                self.pulled_back(bars.unwrap_or_default())
            }
        }
    }

    /// Σᵢ Σ_d gᵢ gᵢᵀ v over `draws` draws, with gᵢ = Jᵢᵀ uᵢ and uᵢ = ∂ℓᵢ/∂zᵢ at targets drawn with `noise(d, i)`, of the shape of a
    /// sample's output, as [`Targets::drawn_gradient`] says. Several draws cost as much as one.
    ///
    /// # Errors
    /// When the vector's length is not that of the parameters, or the noise's shape not that of an output.
    pub fn fisher(
        &self,
        v: &Tensor,
        draws: usize,
        noise: impl Fn(usize, usize) -> Result<Tensor>,
    ) -> Result<Product<'p>> {
        if let Some(rows) = self.by_rows() {
            return self.pulled_back(rows.fisher(&self.tangents(v)?, draws, noise)?);
        }
        let output = self.tape.output();
        let drawn = (0..draws).map(|draw| {
            let noise = (0..output.dim(0)?).map(|sample| noise(draw, sample)).collect::<Result<Vec<_>>>()?;
            self.targets.drawn_gradient(self.loss, output, &Tensor::stack(&noise, 0)?)
        });
        self.second_moment(v, &drawn.collect::<Result<Vec<_>>>()?)
    }

    /// Σᵢ Σ_d gᵢ gᵢᵀ v with gᵢ = Jᵢᵀ uᵢ for several `output_bars` u_d of the output's shape, at the cost of one.
    fn second_moment(&self, v: &Tensor, output_bars: &[Tensor]) -> Result<Product<'p>> {
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
        let Footprint { kept, sweep } = self.tape.footprint();
        Footprint { kept, sweep: sweep + self.by_rows().map_or(0, |rows| rows.bytes_at_a_time()) }
    }
}
