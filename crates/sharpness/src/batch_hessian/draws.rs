//! The extremal eigenvalues of batches.

use basin_objective::{Error, Result, SampledObjective};
use basin_records::batch_hessian::Draw;
use basin_records::spectrum::{Density, Eigenvalue, End};
use basin_tape::vector;
use candle_core::{DType, Tensor};

use super::{BatchHessianOptions, DrawLog, SecondMoment, Work, batch, inverse_effective_batch};
use crate::density::Deflated;
use crate::lanczos::{Extremes, Lanczos};
use crate::operator::{Curvature, CurvatureMatrix, Preconditioned, SymmetricOperator};

/// A batch size and the number of a batch of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) size: usize,
    pub(super) draw: usize,
}

/// What was found of one batch.
pub(super) struct Measured {
    pub(super) unit: Unit,
    pub(super) draw: Draw,
    /// The unit eigenvector of its largest eigenvalue, of the first batch of a size.
    top: Option<Tensor>,
    pub(super) density: Option<Box<Density>>,
    pub(super) work: Work,
}

impl Measured {
    pub(super) fn end(&self, end: End) -> Option<f64> {
        self.draw.eigenvalues.iter().find(|eigenvalue| eigenvalue.end == end).map(|eigenvalue| eigenvalue.value)
    }

    /// A direction in which noise may be large: the top eigenvector of the first batch of its size.
    pub(super) fn direction(&self) -> Option<&Tensor> {
        self.top.as_ref()
    }
}

/// What batches are drawn from and measured by.
pub(super) struct Draws<'a> {
    pub(super) options: &'a BatchHessianOptions,
    pub(super) objective: &'a dyn SampledObjective,
    pub(super) theta: &'a Tensor,
    pub(super) matrix: CurvatureMatrix,
    pub(super) second_moment: Option<&'a SecondMoment>,
    pub(super) log: &'a dyn DrawLog,
}

type Observe<'a> = &'a (dyn Fn(usize) -> Result<()> + Sync);

impl Draws<'_> {
    /// Batches side by side, in the order of the units.
    pub(super) fn all(&self, units: &[Unit], whole: &Measured, observe: Observe) -> Result<Vec<Measured>> {
        let at_once = self.options.lanczos.at_once(self.theta.elem_count(), self.theta.dtype())?;
        self.objective.work(units, |unit| unit.size, at_once, |&unit| self.one(unit, whole, observe))
    }

    /// A batch from the log, or measured and kept there.
    fn one(&self, unit: Unit, whole: &Measured, observe: Observe) -> Result<Measured> {
        let known = self.log.known(unit.size, unit.draw).filter(|_| unit.draw > 0);
        let Some(draw) = known else {
            let measured = self.measure(unit, Some(whole), observe)?;
            self.log.keep(unit.size, &measured.draw)?;
            return Ok(measured);
        };
        observe(unit.size)?;
        let mut work = Work::default();
        work.add(draw.products as usize, unit.size);
        Ok(Measured { unit, draw, top: None, density: None, work })
    }

    /// One batch, compared with the whole unless it is that.
    pub(super) fn measure(&self, unit: Unit, whole: Option<&Measured>, observe: Observe) -> Result<Measured> {
        let (samples, options) = (self.objective.samples(), self.options);
        let positions = batch(samples, unit.size, unit.draw, options.lanczos.seed);
        let measured = self.objective.with_batch(&positions, |objective| {
            let operator = Curvature::new(objective, self.theta, self.matrix)?;
            let extremes = options.lanczos.extremes(&operator, |_| observe(0))?;
            let (preconditioned, further) = self.preconditioned(&operator, unit.size, observe)?.unzip();
            let products = extremes.products + further.unwrap_or(0);
            let top = unit_vector(&extremes.eigenvectors.get(0)?)?;
            let whole = whole.and_then(Measured::direction).unwrap_or(&top);
            let draw = Draw {
                draw: unit.draw as u64,
                eigenvalues: extremes.eigenvalues.clone(),
                preconditioned,
                overlap: vector::dot(&top, &whole.to_device(top.device())?)?.powi(2),
                products: products as u64,
            };
            let first = unit.draw == 0;
            let density = if first { self.density(&operator, &extremes, observe)? } else { None };
            let (density, of_density) = density.unzip();
            let mut work = Work::default();
            work.add(products + of_density.unwrap_or(0), unit.size);
            Ok(Measured { unit, draw, top: first.then_some(top), density, work })
        })?;
        observe(unit.size)?;
        Ok(measured)
    }

    /// The largest eigenvalue as Adam's preconditioner leaves it, and the products it took.
    fn preconditioned(
        &self,
        operator: &dyn SymmetricOperator,
        size: usize,
        observe: Observe,
    ) -> Result<Option<(Eigenvalue, usize)>> {
        let Some((moment, adam)) = self.second_moment.zip(self.options.adam) else { return Ok(None) };
        let inverse = inverse_effective_batch(size, self.objective.samples());
        let scale = moment.scale(adam, inverse, operator.dtype())?;
        let lanczos = Lanczos { top: 1, bottom: 0, ..self.options.lanczos.clone() };
        let found = lanczos.extremes(&Preconditioned { operator, scale: &scale }, |_| observe(0))?;
        Ok(found.eigenvalues.first().map(|&eigenvalue| (eigenvalue, found.products)))
    }

    /// The density with what is known of the ends deflated, and the products it took.
    fn density(
        &self,
        operator: &dyn SymmetricOperator,
        extremes: &Extremes,
        observe: Observe,
    ) -> Result<Option<(Box<Density>, usize)>> {
        let Some(options) = &self.options.density else { return Ok(None) };
        let density = options.density(operator, &Deflated::converged(extremes)?, |_, _| observe(0))?;
        Ok(Some((Box::new(density.recorded(options)), density.products)))
    }
}

fn unit_vector(v: &Tensor) -> Result<Tensor> {
    let v = v.to_dtype(DType::F64)?;
    let norm = vector::dot(&v, &v)?.sqrt();
    Ok::<_, Error>((v / norm)?)
}
