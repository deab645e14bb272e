//! `basin sharpness`: measures of sharpness other than Keskar's.

mod plan;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use basin_objective::data::Targets;
use basin_objective::{Error, LossSpec, Network, Objective, Result};
use basin_records::sharpness::{Measure, Measurement, OnSubsets};
use basin_records::spectrum::Spread;
use basin_records::{Outcome, Record, Sharpness as SharpnessRecord};
use basin_sharpness::lanczos::{Lanczos, Reason};
use basin_sharpness::neighbourhood::{Centre, FORWARD, asam, average_case, sam, worst_case};
use basin_sharpness::{
    Curvature, CurvatureMatrix, Direction, EstimateProgress, Precision, TraceMethod, critical_sharpness,
    deterministic_gradient, disjoint_subsets, fisher_rao, frobenius_norm, gradient_norm, pac_bayes, relative_flatness,
    softmax_relative_flatness, trace,
};
use candle_core::Tensor;

pub(super) use plan::Plan;
use plan::Unit;

use crate::arguments::{Common, Sharpness};
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::{number, spread, table};

/// Parts of a gradient in which progress is counted.
const PROGRESS: f64 = 100.0;

pub(crate) fn run(arguments: &Sharpness) -> anyhow::Result<Ended> {
    let plan = Plan::of(arguments)?;
    let load = |path: &PathBuf| {
        let subject = Subject::load(path, &arguments.common)?;
        if arguments.normalize_logits { subject.with_normalized_outputs() } else { Ok(subject) }
    };
    let update = arguments.update.as_ref().map(load).transpose()?;
    let mut ended = Ended::Done;
    for path in &arguments.checkpoints {
        let subject = load(path)?;
        let record = checked(&subject, arguments, &plan, update.as_ref())?;
        let Outcome::Sharpness(sharpness) = &record.outcome else { continue };
        for measurement in sharpness.measurements.iter().filter(|measurement| !measurement.converged) {
            ended = Ended::NotConverged;
            exit::tell(&format!("hint: {}: {}", measurement.column(), measurement.reason));
        }
        emit(&arguments.common, &record, || readable(&subject, sharpness))?;
    }
    Ok(ended)
}

/// The planned measures of a checkpoint, beside those in f64 and on subsets where these are asked for.
fn checked(subject: &Subject, arguments: &Sharpness, plan: &Plan, update: Option<&Subject>) -> anyhow::Result<Record> {
    let common = &arguments.common;
    if let Some(update) = update {
        require_one_model(subject, update)?;
    }
    let subsets = arguments.subsets.map(|count| disjoint_subsets(subject.data.samples(), count, common.seed));
    let subsets = subsets.transpose()?.unwrap_or_default();
    if !common.machine.quiet {
        announce(subject, plan, update.is_some())?;
    }
    let mut record = measure(subject, common, plan, update)?;
    let Outcome::Sharpness(sharpness) = &mut record.outcome else { return Ok(record) };
    if arguments.verify {
        let update = update.map(|update| update.in_f64(common)).transpose()?;
        let exact = values(&measure(&subject.in_f64(common)?, common, plan, update.as_ref())?);
        for measurement in &mut sharpness.measurements {
            measurement.value_f64 = exact.get(&measurement.column()).copied();
        }
    }
    let parts = subsets.iter().map(|positions| {
        let part = subject.on_samples(positions, common)?;
        let update = update.map(|update| update.on_samples(positions, common)).transpose()?;
        Ok(values(&measure(&part, common, plan, update.as_ref())?))
    });
    let parts = parts.collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(samples) = subsets.first().map(Vec::len) {
        for measurement in &mut sharpness.measurements {
            let column = measurement.column();
            let spread = Spread::of(parts.iter().filter_map(|values| values.get(&column).copied()).collect());
            measurement.subsets = Some(OnSubsets { samples: samples as u64, spread });
        }
    }
    Ok(record)
}

/// An update leads from a checkpoint to another one of its model and data.
fn require_one_model(subject: &Subject, update: &Subject) -> anyhow::Result<()> {
    super::line::require_one_subject(subject, update)?;
    if update.model.name() == subject.model.name() {
        return Ok(());
    }
    let (of_update, of_subject) = (update.model.name(), subject.model.name());
    let message = format!("`{}` is a {of_update}, `{}` a {of_subject}", update.path.display(), subject.path.display());
    Err(Error::input(message, "`--update` needs a checkpoint of the same model").into())
}

/// Says what the planned measures are expected to take.
fn announce(subject: &Subject, plan: &Plan, update: bool) -> anyhow::Result<()> {
    let units = plan.units(matches!(subject.data.targets, Targets::Classes { .. }), update)?;
    let gradients: f64 = units.iter().map(|unit| plan.gradients(unit)).sum();
    let seconds = subject.network()?.cost(&subject.theta)?.gradient.as_secs_f64();
    exit::tell(&format!(
        "cost: a gradient takes about {} ms, about {} of them: {} s",
        number(1e3 * seconds),
        number(gradients.round()),
        number(gradients * seconds),
    ));
    Ok(())
}

/// Each measurement's value by its column.
fn values(record: &Record) -> HashMap<String, f64> {
    match &record.outcome {
        Outcome::Sharpness(sharpness) => {
            sharpness.measurements.iter().map(|found| (found.column(), found.value)).collect()
        }
        _ => HashMap::new(),
    }
}

/// The planned measures of a checkpoint, as a record.
pub(super) fn measure(
    subject: &Subject,
    common: &Common,
    plan: &Plan,
    update: Option<&Subject>,
) -> anyhow::Result<Record> {
    let started = Instant::now();
    let network = subject.network()?;
    deterministic_gradient(&network, &subject.theta)?;
    let centre = Centre::new(&network, &subject.theta)?;
    let units = plan.units(centre.accuracy().is_some(), update.is_some())?;
    let total: f64 = units.iter().map(|unit| plan.gradients(unit)).sum();
    let mut progress =
        Progress::new(format!("sharpness {}", subject.path.display()), steps(total), common.machine.quiet);
    let at = At { subject, common, plan, network: &network, centre: &centre, update: update.map(|u| &u.theta) };
    // The gate costs two gradients, the centre one and an evaluation.
    let (mut spent, mut products, mut foreseen) = (3.0 + FORWARD, 0, 0.0);
    let mut measurements = Vec::new();
    for unit in &units {
        let (mut inside, planned) = (0.0, plan.gradients(unit));
        let found = at.measure(unit, &mut |gradients| {
            inside += gradients;
            // A unit takes no more of the bar than its share, whatever it turns out to cost.
            progress.set(steps(foreseen + f64::min(inside, planned)), unit.to_string());
            interruption::check()
        })?;
        spent += inside;
        foreseen += planned;
        products += found.products;
        measurements.extend(found.measurements);
    }
    measurements.iter_mut().for_each(|found: &mut Measurement| found.normalized_logits = subject.normalizes_outputs());
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(products);
    provenance.gradient_equivalents = Some(spent);
    Ok(Record::new(provenance, Outcome::Sharpness(SharpnessRecord { measurements })))
}

fn steps(gradients: f64) -> u64 {
    (PROGRESS * gradients) as u64
}

/// What a unit of work found.
struct Found {
    measurements: Vec<Measurement>,
    products: u64,
}

impl From<Measurement> for Found {
    fn from(measurement: Measurement) -> Self {
        Self { measurements: vec![measurement], products: 0 }
    }
}

/// A checkpoint at which units are measured.
struct At<'a> {
    subject: &'a Subject,
    common: &'a Common,
    plan: &'a Plan,
    network: &'a Network<'a>,
    centre: &'a Centre<'a>,
    update: Option<&'a Tensor>,
}

impl At<'_> {
    fn measure(&self, unit: &Unit, observe: &mut dyn FnMut(f64) -> Result<()>) -> Result<Found> {
        let Plan { search, draws, seed, .. } = self.plan;
        let (centre, theta) = (self.centre, &self.subject.theta);
        Ok(match unit {
            Unit::Worst(ball) => worst_case(centre, ball, search, observe)?.into(),
            Unit::Average(ball) => average_case(centre, ball, *draws, *seed, observe)?.into(),
            Unit::Sam(rho) => sam(centre, *rho, observe)?.into(),
            Unit::Asam(rho) => asam(centre, *rho, observe)?.into(),
            Unit::GradientNorm => gradient_norm(centre)?.into(),
            Unit::FisherRao(fisher) => {
                let at = self.network.linearize(theta)?;
                let measurement = fisher_rao(at.as_ref(), theta, *fisher)?;
                observe(self.plan.gradients(unit))?;
                Found { measurements: vec![measurement], products: 1 }
            }
            Unit::RelativeFlatness => {
                let at = self.network.linearize(theta)?;
                observe(1.0)?;
                let layout = self.subject.model.parameters();
                let mut measurements = relative_flatness(at.as_ref(), theta, layout, *draws, *seed, observe)?;
                self.know_last_layer(&mut measurements)?;
                Found { measurements, products: *draws as u64 }
            }
            Unit::PacBayes(noise) => pac_bayes(centre, *noise, *draws, *seed, observe)?.into(),
            Unit::Critical => critical_sharpness(centre, &Direction::Gradient, observe)?.into(),
            Unit::CriticalUpdate => match self.update {
                Some(other) => critical_sharpness(centre, &Direction::Update(other), observe)?.into(),
                None => Found { measurements: Vec::new(), products: 0 },
            },
            Unit::LambdaMax => self.largest_eigenvalue(observe)?,
            Unit::Trace => self.estimated(Measure::Trace, observe)?,
            Unit::Frobenius => self.estimated(Measure::Frobenius, observe)?,
        })
    }

    /// Puts the closed form in place of the last layer's estimate, where there is one.
    fn know_last_layer(&self, measurements: &mut [Measurement]) -> Result<()> {
        if self.subject.loss != LossSpec::cross_entropy() {
            return Ok(());
        }
        let Some(last) = self.network.last_layer(&self.subject.theta)? else { return Ok(()) };
        let value = softmax_relative_flatness(&last.features, &last.logits, &last.weights)?;
        for measurement in measurements.iter_mut().filter(|found| found.layer.as_ref() == Some(&last.name)) {
            *measurement = Measurement {
                layer: measurement.layer.take(),
                matrix: measurement.matrix,
                reason: "the closed form of softmax cross-entropy".into(),
                ..Measurement::new(Measure::RelativeFlatness, value)
            };
        }
        Ok(())
    }

    /// The trace or the Frobenius norm of the Hessian.
    fn estimated(&self, measure: Measure, observe: &mut dyn FnMut(f64) -> Result<()>) -> Result<Found> {
        let hessian = Curvature::new(self.network, &self.subject.theta, CurvatureMatrix::Hessian)?;
        let precision = Precision { seed: self.plan.seed, memory: self.common.machine.memory, ..Precision::default() };
        let (each, mut counted) = (hessian.gradient_equivalents(), 0);
        let spend = |at: EstimateProgress| {
            let more = at.products - counted;
            counted = at.products;
            observe(each * more as f64)
        };
        let found = match measure {
            Measure::Frobenius => frobenius_norm(&hessian, precision, spend)?,
            _ => trace(&hessian, TraceMethod::default(), precision, spend)?,
        };
        let measurement = Measurement {
            matrix: Some(CurvatureMatrix::Hessian.into()),
            stderr: Some(found.stderr),
            converged: found.stop.converged(),
            reason: found.stop.to_string(),
            ..Measurement::new(measure, found.value)
        };
        Ok(Found { measurements: vec![measurement], products: found.products as u64 })
    }

    /// λ_max of the Hessian; where no dtype is asked for and f32 drowns it, in f64.
    fn largest_eigenvalue(&self, observe: &mut dyn FnMut(f64) -> Result<()>) -> Result<Found> {
        let (found, reason) = self.eigenvalue_on(self.network, &self.subject.theta, observe)?;
        let drowned = reason == Reason::Rounding && found.measurements.iter().any(|found| !found.converged);
        if !drowned || self.common.machine.dtype.is_some() {
            return Ok(found);
        }
        let subject = self.subject.in_f64(self.common)?;
        let (mut again, _) = self.eigenvalue_on(&subject.network()?, &subject.theta, observe)?;
        for measurement in &mut again.measurements {
            measurement.reason += "; in f64, for the residual in f32 stopped at its rounding";
        }
        Ok(Found { products: found.products + again.products, ..again })
    }

    fn eigenvalue_on(
        &self,
        network: &Network<'_>,
        theta: &Tensor,
        observe: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<(Found, Reason)> {
        let memory = self.common.machine.memory;
        let lanczos = Lanczos { top: 1, bottom: 0, seed: self.plan.seed, memory, ..Lanczos::default() };
        let hessian = Curvature::new(network, theta, CurvatureMatrix::Hessian)?;
        let extremes = lanczos.extremes(&hessian, |_| observe(0.0))?;
        observe(1.0 + hessian.gradient_equivalents() * extremes.products as f64)?;
        let measurements = extremes.eigenvalues.iter().map(|largest| Measurement {
            matrix: Some(CurvatureMatrix::Hessian.into()),
            residual: Some(largest.residual),
            converged: largest.converged,
            reason: extremes.reason.to_string(),
            iterations: Some(extremes.basis as u64),
            ..Measurement::new(Measure::LambdaMax, largest.value)
        });
        Ok((Found { measurements: measurements.collect(), products: extremes.products as u64 }, extremes.reason))
    }
}

fn readable(subject: &Subject, sharpness: &SharpnessRecord) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let found = &sharpness.measurements;
    let verified = found.iter().any(|measurement| measurement.value_f64.is_some());
    let parted = found.iter().any(|measurement| measurement.subsets.is_some());
    let mut head = vec!["measure", "value", "error", "invariant", "converged"];
    head.extend(verified.then_some("in f64"));
    head.extend(parted.then_some("on subsets"));
    let rows = found.iter().map(|measurement| {
        let mut row = vec![
            measurement.column(),
            value(measurement),
            error(measurement),
            yes(measurement.invariant),
            yes(measurement.converged),
        ];
        row.extend(verified.then(|| number(measurement.value_f64)));
        row.extend(parted.then(|| measurement.subsets.as_ref().map_or("–".into(), on_subsets)));
        row
    });
    format!(
        "{}: sharpness on {} ({}, {} samples)\n{}\n\
         invariant: stays when layers are rescaled in a way that leaves the network's function as it is; ≥: a lower bound",
        subject.path.display(),
        subject.data.spec,
        subject.data.split,
        subject.data.samples(),
        table(&head, rows.collect())
    )
}

/// Mean and standard deviation of the values on subsets.
fn on_subsets(subsets: &OnSubsets) -> String {
    format!("{} of {} samples", spread(subsets.spread.mean, Some(subsets.spread.std)), subsets.samples)
}

/// The value with its standard error where it has one, marked where it did not converge.
pub(super) fn with_error(measurement: &Measurement) -> String {
    let stderr = measurement.stderr.map(|stderr| format!(" ± {}", number(stderr))).unwrap_or_default();
    let mark = if measurement.converged { "" } else { " (not converged)" };
    format!("{}{stderr}{mark}", value(measurement))
}

/// The value, marked where it is only a bound.
fn value(measurement: &Measurement) -> String {
    let bound = if measurement.lower_bound { "≥ " } else { "" };
    format!("{bound}{}", number(measurement.value))
}

/// What is known of the error.
fn error(measurement: &Measurement) -> String {
    match (measurement.stderr, measurement.residual, measurement.spread) {
        (Some(stderr), ..) => format!("± {} (standard error)", number(stderr)),
        (_, Some(residual), _) => format!("± {} (residual)", number(residual)),
        (.., Some(spread)) => format!("{} (spread of starts)", number(spread)),
        _ => "–".into(),
    }
}
