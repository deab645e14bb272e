//! The gradient of a loss in the samples themselves.

use candle_core::Tensor;

use crate::losses::{Loss, Targets};
use crate::program::{Point, Program, Source, Value};
use crate::{Error, Result};

/// A program that is differentiated in its first input, the samples, instead of its parameters: one forward and one adjoint
/// sweep that computes no parameter's adjoint.
///
/// ```
/// use basin_tape::{InputGradient, ProgramBuilder, losses::SquaredError};
/// use candle_core::{Device, Tensor};
///
/// // ℓ = (w·x − t)² has the gradient 2 (w·x − t) w in x.
/// let mut b = ProgramBuilder::default();
/// let (x, w) = (b.input(), b.parameter("weight", &[1, 2]));
/// let y = b.linear(x, w, None);
/// let program = b.finish(y)?;
///
/// let cpu = &Device::Cpu;
/// let point = program.at(&Tensor::new(&[0.5, -1.0], cpu)?, &Tensor::new(&[] as &[f64], cpu)?)?;
/// let (x, t) = (Tensor::new(&[[3.0, 4.0]], cpu)?, Tensor::new(&[[1.0]], cpu)?);
/// let gradient = InputGradient::new(program)?.gradient(&SquaredError, &point, &[&x], &t)?;
/// assert_eq!(gradient.to_vec2::<f64>()?, [[-3.5, 7.0]]);
/// # Ok::<(), basin_tape::Error>(())
/// ```
#[derive(Debug)]
pub struct InputGradient {
    program: Program,
    samples: Value,
}

impl InputGradient {
    /// The program, differentiated in its first input.
    ///
    /// # Errors
    /// When its output does not depend on that.
    pub fn new(program: Program) -> Result<Self> {
        let (builder, output) = program.continued();
        let program = builder.finish_in(output, |source| matches!(source, Source::Input(0)));
        let samples = program.sources.iter().position(|source| matches!(source, Source::Input(0)));
        match samples.filter(|_| program.active[output.0]) {
            Some(samples) => Ok(Self { program, samples: Value(samples) }),
            None => Err(Error::unsupported("input gradient", "the output does not depend on the first input")),
        }
    }

    /// ∂(Σᵢ ℓᵢ)/∂x on one micro-batch, of the shape of its first tensor x. The point is one of the program before.
    ///
    /// # Errors
    /// When an operation or the loss does not fit the tensors that reach it.
    pub fn gradient(
        &self,
        loss: &dyn Loss,
        point: &Point,
        batch: &[&Tensor],
        targets: impl Into<Targets>,
    ) -> Result<Tensor> {
        let (tape, targets) = (self.program.record(point, batch)?, targets.into());
        let mut adjoints = tape.adjoints(vec![(self.program.output, targets.gradient(loss, tape.output())?)], false)?;
        match adjoints[self.samples.0].take() {
            Some(gradient) => Ok(gradient),
            None => Ok(tape.value(self.samples).zeros_like()?),
        }
    }
}
