//! `basin batch-hessian`: curvature of mini-batches against that of all samples.

mod check;
mod parts;
mod readable;
mod unfinished;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use basin_objective::SampledObjective as _;
use basin_records::spectrum::Matrix;
use basin_records::{Outcome, Record};
use basin_sharpness::batch_hessian::{AdamOptions, BatchHessianOptions, DrawLog, Progress as At, Stage, powers_of_two};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{CurvatureMatrix, DensityOptions, deterministic_gradient};
use basin_training::StabilityCheck;

use crate::arguments::{BatchHessian, BatchMatrixArgument};
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use unfinished::Unfinished;

/// The largest basis of a batch: a few times what its two eigenvalues take, and several fit side by side.
const MAX_BASIS: usize = 200;

pub(crate) fn run(arguments: &BatchHessian) -> anyhow::Result<Ended> {
    let Some(checkpoint) = &arguments.checkpoint else {
        let record = parts::merged(&arguments.merge)?;
        return end(arguments, &record);
    };
    let subject = Subject::load(checkpoint, &arguments.common)?;
    let options = options(arguments, subject.data.samples());
    options.check(subject.data.samples())?;
    let check = arguments.check.then(|| check::settings(arguments));
    check.as_ref().map(|check| check.check()).transpose()?;
    deterministic_gradient(&subject.network()?, &subject.theta)?;
    let quiet = arguments.common.machine.quiet;
    let unfinished = arguments.common.out.as_deref().map(|out| {
        let unfinished = Unfinished::open(out, &measurement(&subject, &options, matrix(arguments))?)?;
        if unfinished.count() > 0 && !quiet {
            exit::tell(&format!("note: {} batches are known from a run that was stopped", unfinished.count()));
        }
        Ok::<_, anyhow::Error>(unfinished)
    });
    let unfinished = unfinished.transpose()?;
    let log: &dyn DrawLog = unfinished.as_ref().map_or(&(), |unfinished| unfinished);
    let record = measure(&subject, &options, matrix(arguments), check.as_ref(), log, quiet)?;
    let ended = end(arguments, &record)?;
    unfinished.map(|unfinished| unfinished.finish()).transpose()?;
    Ok(ended)
}

/// What the figures of a batch depend on.
fn measurement(subject: &Subject, options: &BatchHessianOptions, matrix: CurvatureMatrix) -> anyhow::Result<String> {
    let provenance = subject.provenance(Instant::now())?;
    let of_checkpoint = provenance.checkpoint.and_then(|checkpoint| checkpoint.blake3).unwrap_or_default();
    let of_data = provenance.data.and_then(|data| data.blake3).unwrap_or_default();
    let part = options.shard.map_or_else(String::new, |(part, parts)| format!(", part {part}/{parts}"));
    let adam = options.adam.map_or_else(String::new, |adam| format!(", {adam:?}"));
    let statistics = provenance.batch_norm.map_or_else(String::new, |_| ", batch statistics".into());
    Ok(format!(
        "{} of the checkpoint {:.8} on the data {:.8}, {}, {}{statistics}{adam}, tolerance {:e}, at most {} products, seed {}{part}",
        Matrix::from(matrix),
        of_checkpoint,
        of_data,
        provenance.loss.unwrap_or_default(),
        provenance.dtype.unwrap_or_default(),
        options.lanczos.tolerance,
        options.lanczos.max_products,
        options.lanczos.seed,
    ))
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

fn matrix(arguments: &BatchHessian) -> CurvatureMatrix {
    match arguments.matrix {
        BatchMatrixArgument::Hessian => CurvatureMatrix::Hessian,
        BatchMatrixArgument::Ggn => CurvatureMatrix::GaussNewton,
    }
}

fn options(arguments: &BatchHessian, samples: usize) -> BatchHessianOptions {
    let (memory, seed) = (arguments.common.machine.memory, arguments.common.seed);
    let BatchHessian { probes, steps, .. } = *arguments;
    BatchHessianOptions {
        batch_sizes: arguments.batch_sizes.clone().unwrap_or_else(|| powers_of_two(samples)),
        draws: arguments.draws,
        momentum: arguments.momentum,
        adam: arguments.adam.then_some(AdamOptions { beta1: arguments.beta1, epsilon: arguments.adam_epsilon }),
        density: arguments.density.then_some(DensityOptions { probes, steps, kernel_width: None, memory, seed }),
        shard: arguments.shard,
        lanczos: Lanczos {
            top: 1,
            bottom: usize::from(arguments.matrix == BatchMatrixArgument::Hessian),
            tolerance: arguments.tolerance,
            max_basis: MAX_BASIS,
            max_products: arguments.max_products,
            memory,
            seed,
            ..Lanczos::default()
        },
    }
}

fn measure(
    subject: &Subject,
    options: &BatchHessianOptions,
    matrix: CurvatureMatrix,
    check: Option<&StabilityCheck>,
    log: &dyn DrawLog,
    quiet: bool,
) -> anyhow::Result<Record> {
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
    let (mut measured, work) = options.measure(&batches, &subject.theta, matrix, log, observe)?;
    drop(shown);
    // Linearizing costs a gradient.
    let mut sample_gradients = work.linearized as f64 + matrix.gradient_equivalents(1.0) * work.sample_products as f64;
    if let Some(check) = check {
        sample_gradients += check::run(subject, &batches, options, check, &mut measured, quiet)?;
    }
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(work.products as u64);
    provenance.gradient_equivalents = Some(sample_gradients / batches.samples() as f64);
    Ok(Record::new(provenance, Outcome::BatchHessian(measured)))
}
