//! `basin batch-hessian`: curvature of mini-batches against that of all samples.

mod check;
mod parts;
mod readable;
mod request;
mod unfinished;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use basin_objective::SampledObjective as _;
use basin_records::{Outcome, Record};
use basin_sharpness::batch_hessian::{DrawLog, Measurement, Progress as At, Stage};
use basin_sharpness::deterministic_gradient;

use crate::arguments::BatchHessian;
use crate::exit::{self, Ended};
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::{interruption, memory};
use request::Request;
use unfinished::Unfinished;

pub(crate) fn run(arguments: &BatchHessian) -> anyhow::Result<Ended> {
    let Some(checkpoint) = &arguments.checkpoint else {
        return end(arguments, &parts::merged(&arguments.merge)?);
    };
    let subject = Subject::load(checkpoint, &arguments.common)?;
    let request = Request::new(arguments, subject.data.samples())?;
    let quiet = arguments.common.machine.quiet;
    let Some(out) = &arguments.common.out else {
        announce(arguments, &request, &subject)?;
        return end(arguments, &measure(&subject, &request, &(), quiet)?);
    };
    let unfinished = Unfinished::open(out, &request.measurement(&subject)?)?;
    announce(arguments, &request, &subject)?;
    if unfinished.count() > 0 && !quiet {
        exit::tell(&format!("note: {} batches are known from a run that was stopped", unfinished.count()));
    }
    let ended = end(arguments, &measure(&subject, &request, &unfinished, quiet)?)?;
    unfinished.finish()?;
    Ok(ended)
}

/// Refuses an objective of which nothing can be measured, and says what the measurement takes.
fn announce(arguments: &BatchHessian, request: &Request, subject: &Subject) -> anyhow::Result<()> {
    let machine = &arguments.common.machine;
    let network = subject.network()?;
    if !machine.quiet {
        // Before anything is evaluated, for the allocator keeps what that takes.
        memory::announce(&network, machine.verbose);
    }
    deterministic_gradient(&network, &subject.theta)?;
    if !machine.quiet {
        exit::tell(&request.cost(subject)?);
    }
    Ok(())
}

fn end(arguments: &BatchHessian, record: &Record) -> anyhow::Result<Ended> {
    let Outcome::BatchHessian(measured) = &record.outcome else { return Ok(Ended::Done) };
    emit(&arguments.common, record, || readable::text(record, measured))?;
    if measured.converged() {
        return Ok(Ended::Done);
    }
    exit::tell("hint: give a larger `--max-products` or `--tolerance`, or `--dtype f64`");
    Ok(Ended::NotConverged)
}

fn measure(subject: &Subject, request: &Request, log: &dyn DrawLog, quiet: bool) -> anyhow::Result<Record> {
    let Request { matrix, options, check } = request;
    let started = Instant::now();
    let batches = subject.batches();
    let shown: Mutex<Option<(Stage, Progress)>> = Mutex::new(None);
    let observe = |At { stage, done, total }| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(of, _)| *of != stage) {
            *shown = Some((stage, Progress::new(format!("{stage} {}", subject.path.display()), total as u64, quiet)));
        }
        if let Some((_, progress)) = &mut *shown {
            progress.set(done as u64, format!("{done} of {total} samples"));
        }
        interruption::check()
    };
    let Measurement { mut result, work, second_moment } =
        options.measure(&batches, &subject.theta, *matrix, log, observe)?;
    drop(shown);
    // Linearizing costs a gradient.
    let mut sample_gradients = work.linearized as f64 + matrix.gradient_equivalents(1.0) * work.sample_products as f64;
    if let Some(check) = check {
        sample_gradients +=
            check::run(subject, &batches, (options, second_moment.as_ref()), check, &mut result, quiet)?;
    }
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(work.products as u64);
    provenance.gradient_equivalents = Some(sample_gradients / batches.samples() as f64);
    Ok(Record::new(provenance, Outcome::BatchHessian(Box::new(result))))
}
