//! A request carried out on one checkpoint.

use std::time::Instant;

use basin_objective::Objective;
use basin_records::spectrum::{Block as BlockRecord, Density as DensityRecord, Eigenvalue, Estimate};
use basin_records::{Outcome, Record, Spectrum};
use basin_sharpness::lanczos::{Extremes, Lanczos, Reason};
use basin_sharpness::{
    Block, Curvature, CurvatureMatrix, Deflated, Density, DensityOptions, Diagonal, EstimateProgress, Estimated,
    ParameterGroup, SymmetricOperator, TraceMethod, diagonal, effective_rank, frobenius_norm, intrinsic_dimension,
    trace,
};
use candle_core::Device;

use super::request::Request;
use crate::arguments::{Common, Machine};
use crate::exit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::number;
use crate::{interruption, memory};

/// Steps of a progress bar.
const STEPS: f64 = 1000.0;
/// Lanczos vectors below which a GPU's budget is too short, and the basis is kept on the host.
const FEW_VECTORS: u64 = 100;

/// A record with what does not fit into it.
pub(super) struct Measured {
    pub(super) record: Record,
    pub(super) extremes: Option<Extremes>,
    pub(super) diagonal: Option<Diagonal>,
}

/// Measures in the dtype asked for; without one in f32, and again in f64 where eigenvalues drown in its rounding.
pub(super) fn measure(subject: &Subject, common: &Common, request: &Request) -> anyhow::Result<Measured> {
    let mut found = measure_once(subject, request, &common.machine)?;
    let drowned = found.extremes.as_ref().is_some_and(|extremes| {
        extremes.reason == Reason::Rounding && extremes.eigenvalues.iter().any(|eigenvalue| !eigenvalue.converged)
    });
    if !drowned || common.machine.dtype.is_some() {
        return Ok(found);
    }
    if !common.machine.quiet {
        exit::tell("note: residuals stopped at the rounding of f32; computing again in f64");
    }
    let attempt = std::mem::replace(&mut found, measure_once(&subject.in_f64(common)?, request, &common.machine)?);
    add_cost(&mut found.record, &attempt.record);
    Ok(found)
}

/// Counts the work of an attempt that was given up among that of the final one.
fn add_cost(record: &mut Record, attempt: &Record) {
    let (total, attempt) = (&mut record.provenance, &attempt.provenance);
    total.products = total.products.zip(attempt.products).map(|(a, b)| a + b);
    total.seconds = total.seconds.zip(attempt.seconds).map(|(a, b)| a + b);
    total.gradient_equivalents = total.gradient_equivalents.zip(attempt.gradient_equivalents).map(|(a, b)| a + b);
}

fn measure_once(subject: &Subject, request: &Request, machine: &Machine) -> anyhow::Result<Measured> {
    let started = Instant::now();
    let network = subject.network()?;
    let curvature = Curvature::new(&network as &dyn Objective, &subject.theta, request.matrix)?;
    let layout = subject.model.parameters();
    let work = Work { request, subject, quiet: machine.quiet };
    let layers = if request.per_layer { ParameterGroup::layers(layout) } else { Vec::new() };
    let (found, blocks) = request.with_operator(&curvature, |operator| {
        let found = work.on(operator, None)?;
        let blocks = layers.iter().map(|layer| {
            let request = Request { diagonal: false, ..request.clone() };
            Ok((layer, Work { request: &request, ..work }.on(&Block::new(operator, layer)?, Some(&layer.name))?))
        });
        Ok((found, blocks.collect::<anyhow::Result<Vec<_>>>()?))
    })?;
    let products = found.products() + blocks.iter().map(|(_, block)| block.products()).sum::<usize>();
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(products as u64);
    // Linearizing costs a gradient.
    provenance.gradient_equivalents = Some(1.0 + curvature.gradient_equivalents() * products as f64);
    let mut spectrum = found.spectrum(request);
    spectrum.blocks = blocks.iter().map(|(layer, block)| block.block(layer, request)).collect();
    Ok(Measured {
        record: Record::new(provenance, Outcome::Spectrum(spectrum)),
        extremes: found.extremes,
        diagonal: found.diagonal,
    })
}

/// What was found of one operator.
struct Found {
    extremes: Option<Extremes>,
    trace: Option<Estimated>,
    frobenius: Option<Estimated>,
    diagonal: Option<Diagonal>,
    density: Option<Density>,
}

/// A request on the operators of one checkpoint.
#[derive(Clone, Copy)]
struct Work<'a> {
    request: &'a Request,
    subject: &'a Subject,
    quiet: bool,
}

impl Work<'_> {
    /// Carries the request out on one operator, that of a layer where one is named.
    fn on(&self, operator: &dyn SymmetricOperator, layer: Option<&str>) -> anyhow::Result<Found> {
        let Request { trace: method, frobenius, diagonal: wants_diagonal, precision, .. } = *self.request;
        let extremes = self.request.lanczos.as_ref().map(|lanczos| self.extremes(operator, lanczos, layer));
        let extremes = extremes.transpose()?;
        let estimate = |what: &str| {
            let mut progress = self.progress(what, layer);
            move |at: EstimateProgress| {
                let message = format!("{} products, standard error {}", at.products, number(at.standard_error));
                // The number of probes grows with the square of the precision.
                let share = (precision.standard_error / at.standard_error.max(f64::MIN_POSITIVE)).powi(2);
                progress.set((STEPS * share.min(1.0)) as u64, message);
                interruption::check()
            }
        };
        let trace = method.map(|method| trace(operator, method, precision, estimate("trace"))).transpose()?;
        let frobenius =
            frobenius.then(|| frobenius_norm(operator, precision, estimate("Frobenius norm"))).transpose()?;
        let diagonal = wants_diagonal.then(|| diagonal(operator, precision, estimate("diagonal"))).transpose()?;
        let density = self.request.density.as_ref();
        let density = density.map(|options| self.density(operator, options, extremes.as_ref(), layer)).transpose()?;
        Ok(Found { extremes, trace, frobenius, diagonal, density })
    }

    fn progress(&self, what: &str, layer: Option<&str>) -> Progress {
        let layer = layer.map_or_else(String::new, |layer| format!(" of {layer}"));
        Progress::new(format!("{what}{layer} {}", self.subject.path.display()), STEPS as u64, self.quiet)
    }

    fn extremes(
        &self,
        operator: &dyn SymmetricOperator,
        lanczos: &Lanczos,
        layer: Option<&str>,
    ) -> anyhow::Result<Extremes> {
        let lanczos = on_the_host_where_short(lanczos, operator);
        let mut progress = self.progress("spectrum", layer);
        let mut worst = f64::INFINITY;
        Ok(lanczos.extremes(operator, |at| {
            worst = worst.min(at.residual);
            let message = format!(
                "{} products, basis {} of at most {}, residual {}",
                at.products,
                at.basis,
                at.limit,
                number(worst)
            );
            progress.set((STEPS * share_done(worst, lanczos.tolerance)) as u64, message);
            interruption::check()
        })?)
    }

    /// The density with the eigenvalues that have converged deflated.
    fn density(
        &self,
        operator: &dyn SymmetricOperator,
        options: &DensityOptions,
        extremes: Option<&Extremes>,
        layer: Option<&str>,
    ) -> anyhow::Result<Density> {
        let deflated = extremes.map(Deflated::converged).transpose()?.unwrap_or_default();
        let mut progress = self.progress("density", layer);
        Ok(options.density(operator, &deflated, |done, total| {
            progress.set((STEPS * done as f64 / total as f64) as u64, format!("{done} of {total} products"));
            interruption::check()
        })?)
    }
}

/// On a GPU whose budget holds few Lanczos vectors, the basis goes to the host, with half of the memory free there.
fn on_the_host_where_short(lanczos: &Lanczos, operator: &dyn SymmetricOperator) -> Lanczos {
    let vector = (operator.dimension() * operator.dtype().size_in_bytes()).max(1) as u64;
    let short = lanczos.memory.is_some_and(|memory| memory / vector < FEW_VECTORS.min(operator.dimension() as u64));
    match memory::available() {
        Some(available) if short && !operator.device().is_cpu() => {
            Lanczos { basis_device: Some(Device::Cpu), memory: Some(available / 2), ..lanczos.clone() }
        }
        _ => lanczos.clone(),
    }
}

/// How far the residual has come on a logarithmic scale, from 1 to the tolerance.
fn share_done(residual: f64, tolerance: f64) -> f64 {
    let share = residual.max(tolerance).min(1.0).ln() / tolerance.min(0.5).ln();
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

impl Found {
    fn products(&self) -> usize {
        let estimates = [&self.trace, &self.frobenius].into_iter().flatten().map(|estimate| estimate.products);
        let others = [
            self.extremes.as_ref().map(|extremes| extremes.products),
            self.diagonal.as_ref().map(|diagonal| diagonal.products),
            self.density.as_ref().map(|density| density.products),
        ];
        estimates.chain(others.into_iter().flatten()).sum()
    }

    fn eigenvalues(&self) -> Vec<Eigenvalue> {
        self.extremes.as_ref().map_or_else(Vec::new, |extremes| extremes.eigenvalues.clone())
    }

    fn density(&self, request: &Request) -> Option<Box<DensityRecord>> {
        Some(Box::new(self.density.as_ref()?.recorded(request.density.as_ref()?)))
    }

    fn spectrum(&self, request: &Request) -> Spectrum {
        let mut spectrum = Spectrum::new(request.matrix.into(), self.eigenvalues());
        let (largest, smallest) = (spectrum.largest().copied(), spectrum.smallest().copied());
        if let Some(extremes) = &self.extremes {
            spectrum.iterations = Some(extremes.basis as u64);
            spectrum.tolerance = request.lanczos.as_ref().map(|lanczos| lanczos.tolerance);
            spectrum.reason = Some(extremes.reason.to_string());
            let below = |eigenvalue: &&Eigenvalue| eigenvalue.value < -eigenvalue.residual;
            spectrum.negative = Some(spectrum.eigenvalues.iter().filter(below).count() as u64);
            spectrum.ratio = smallest.zip(largest).map(|(smallest, largest)| smallest.value / largest.value);
        }
        spectrum.trace = self.trace.map(|trace| estimate(trace, request.trace.map_or("", method_name)));
        spectrum.frobenius = self.frobenius.map(|norm| estimate(norm, method_name(TraceMethod::HutchPlusPlus)));
        spectrum.intrinsic_dimension =
            self.trace.zip(largest).and_then(|(trace, largest)| intrinsic_dimension(trace.value, largest.value));
        spectrum.effective_rank =
            self.trace.zip(self.frobenius).and_then(|(trace, norm)| effective_rank(trace.value, norm.value));
        spectrum.weight_decay = (request.weight_decay != 0.0).then_some(request.weight_decay);
        spectrum.block = (!request.parameters.is_empty()).then(|| request.parameters.join(","));
        spectrum.label_draws = match request.matrix {
            CurvatureMatrix::Fisher(labels) => Some(labels.draws as u64),
            _ => None,
        };
        spectrum.density = self.density(request);
        spectrum
    }

    fn block(&self, layer: &ParameterGroup, request: &Request) -> BlockRecord {
        BlockRecord {
            name: layer.name.clone(),
            parameters: layer.len() as u64,
            eigenvalues: self.eigenvalues(),
            trace: self.trace.map(|trace| estimate(trace, request.trace.map_or("", method_name))),
            frobenius: self.frobenius.map(|norm| estimate(norm, method_name(TraceMethod::HutchPlusPlus))),
            density: self.density(request),
        }
    }
}

fn estimate(found: Estimated, method: &str) -> Estimate {
    Estimate {
        value: found.value,
        stderr: Some(found.stderr),
        method: Some(method.to_owned()),
        products: Some(found.products as u64),
        converged: Some(found.stop.converged()),
        reason: Some(found.stop.to_string()),
    }
}

/// The name of a method, as `--trace` takes it.
fn method_name(method: TraceMethod) -> &'static str {
    match method {
        TraceMethod::Hutchinson => "hutchinson",
        TraceMethod::HutchPlusPlus => "hutch++",
        TraceMethod::XTrace => "xtrace",
    }
}
