//! `basin batch-hessian`: curvature of mini-batches against that of all samples.

use std::time::Instant;

use basin_objective::{Objective, Result};
use basin_records::batch_hessian::{Row, Spread, Theory};
use basin_records::spectrum::Estimate;
use basin_records::{BatchHessian as Measured, Outcome, Record};
use basin_sharpness::batch_hessian::{BatchHessianOptions, Progress as At, SampledMatrix, powers_of_two};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix, SymmetricOperator, deterministic_gradient};

use crate::arguments::{BatchHessian, BatchMatrixArgument};
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::{number, spread, table};

/// Measured and predicted differ where they are this many standard errors of the mean apart, and by a tenth.
const STANDARD_ERRORS: f64 = 3.0;
const SHARE: f64 = 0.1;

pub(crate) fn run(arguments: &BatchHessian) -> anyhow::Result<Ended> {
    let subject = Subject::load(&arguments.checkpoint, &arguments.common)?;
    let samples = subject.data.samples();
    let matrix = match arguments.matrix {
        BatchMatrixArgument::Hessian => CurvatureMatrix::Hessian,
        BatchMatrixArgument::Ggn => CurvatureMatrix::GaussNewton,
    };
    let options = BatchHessianOptions {
        batch_sizes: arguments.batch_sizes.clone().unwrap_or_else(|| powers_of_two(samples)),
        draws: arguments.draws,
        momentum: arguments.momentum,
        shard: arguments.shard,
        lanczos: Lanczos {
            top: 1,
            bottom: usize::from(matrix == CurvatureMatrix::Hessian),
            tolerance: arguments.tolerance,
            max_products: arguments.max_products,
            memory: arguments.common.machine.memory,
            seed: arguments.common.seed,
            ..Lanczos::default()
        },
    };
    options.check(samples)?;
    deterministic_gradient(&subject.network()?, &subject.theta)?;
    let record = measure(&subject, &options, matrix, arguments.common.machine.quiet)?;
    let Outcome::BatchHessian(measured) = &record.outcome else { return Ok(Ended::Done) };
    emit(&arguments.common, &record, || readable(&subject, measured))?;
    if measured.converged() {
        return Ok(Ended::Done);
    }
    exit::tell("hint: give a larger `--max-products` or `--tolerance`, or `--dtype f64`");
    Ok(Ended::NotConverged)
}

fn measure(
    subject: &Subject,
    options: &BatchHessianOptions,
    matrix: CurvatureMatrix,
    quiet: bool,
) -> anyhow::Result<Record> {
    let started = Instant::now();
    let mut progress = Progress::new(format!("batches {}", subject.path.display()), 1, quiet);
    let on_samples = OnSamples { subject, matrix };
    let (measured, work) = options.measure(&on_samples, matrix.into(), |At { done, total }| {
        progress.set_of(done as u64, total as u64, format!("{done} of {total} samples of all batches"));
        interruption::check()
    })?;
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(work.products as u64);
    // Linearizing costs a gradient.
    let sample_gradients = work.linearized as f64 + matrix.gradient_equivalents(1.0) * work.sample_products as f64;
    provenance.gradient_equivalents = Some(sample_gradients / subject.data.samples() as f64);
    Ok(Record::new(provenance, Outcome::BatchHessian(measured)))
}

/// The curvature of a checkpoint on parts of its data.
struct OnSamples<'a> {
    subject: &'a Subject,
    matrix: CurvatureMatrix,
}

impl SampledMatrix for OnSamples<'_> {
    fn samples(&self) -> usize {
        self.subject.data.samples()
    }

    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn SymmetricOperator) -> Result<()>) -> Result<()> {
        let data = self.subject.data.select(positions)?;
        let network = self.subject.network_on(&data)?;
        then(&Curvature::new(&network as &dyn Objective, &self.subject.theta, self.matrix)?)
    }
}

fn readable(subject: &Subject, measured: &Measured) -> String {
    let theory = match measured.theory {
        Theory::MarchenkoPastur => "Marchenko-Pastur",
        _ => "Wigner",
    };
    let minimum = measured.empirical.lambda_min.map_or_else(String::new, |min| format!(", λ_min {}", number(min)));
    let mut parts = vec![
        format!(
            "{}: {} of batches on {} ({}, {} samples), theory {theory}",
            subject.path.display(),
            measured.matrix,
            subject.data.spec,
            subject.data.split,
            subject.data.samples()
        ),
        format!("all samples: λ_max {}{minimum}", number(measured.empirical.lambda_max)),
        format!("noise of a sample: Pσ² {}", estimate(Some(&measured.noise.total))),
        format!(
            "along the top eigenvector v: Var vᵀHᵢv {}, ‖(Hᵢ − H)v‖² {}",
            estimate(measured.noise.curvature_along_top.as_ref()),
            estimate(measured.noise.product_along_top.as_ref())
        ),
    ];
    parts.extend(measured.crossover.map(|size| {
        format!("the noise doubles λ_max at batch size {}: above it the learning rate saturates", number(size))
    }));
    let head =
        ["batch size", "λ_max ± std", "predicted", "along v", "λ_min ± std", "predicted", "overlap", "predicted"];
    parts.push(table(&head, measured.rows.iter().map(eigenvalues).collect()));
    let momentum = format!("momentum {}", measured.momentum);
    let head = ["batch size", "max rate SGD", "measured", momentum.as_str(), "Adam ∝", "mean square"];
    parts.push(table(&head, measured.rows.iter().map(learning_rates).collect()));
    parts.push(comparison(&measured.rows));
    parts.join("\n")
}

fn estimate(estimate: Option<&Estimate>) -> String {
    estimate.map_or_else(|| "–".into(), |found| spread(found.value, found.stderr))
}

fn eigenvalues(row: &Row) -> Vec<String> {
    let measured = |figure: &Spread| spread(figure.mean, figure.std);
    vec![
        row.batch_size.to_string(),
        measured(&row.lambda_max),
        number(row.predicted_lambda_max),
        number(row.predicted_lambda_max_along_top),
        row.lambda_min.as_ref().map_or_else(|| "–".into(), measured),
        number(row.predicted_lambda_min),
        number(row.overlap.mean),
        number(row.predicted_overlap),
    ]
}

fn learning_rates(row: &Row) -> Vec<String> {
    let rates = [
        row.max_learning_rate_sgd,
        row.max_learning_rate_measured,
        row.max_learning_rate_momentum,
        row.max_learning_rate_adam,
        row.max_learning_rate_mean_square.as_ref().map(|limit| limit.value),
    ];
    std::iter::once(row.batch_size.to_string()).chain(rates.map(number)).collect()
}

/// Where measured and predicted part, at each end.
fn comparison(rows: &[Row]) -> String {
    if rows.iter().any(|row| row.lambda_max.stderr.is_none()) {
        return "a single draw does not say how far measured and predicted eigenvalues agree".into();
    }
    let parted = |measured: &Spread, predicted: f64| {
        let apart = (measured.mean - predicted).abs();
        measured.stderr.is_some_and(|stderr| apart > STANDARD_ERRORS * stderr) && apart > SHARE * measured.mean.abs()
    };
    let top = rows.iter().filter(|row| parted(&row.lambda_max, row.predicted_lambda_max));
    let bottom = rows.iter().filter(|row| {
        row.lambda_min.as_ref().zip(row.predicted_lambda_min).is_some_and(|(measured, at)| parted(measured, at))
    });
    let sizes = |rows: Vec<&Row>| match rows.is_empty() {
        true => "no batch size".into(),
        false => rows.iter().map(|row| row.batch_size.to_string()).collect::<Vec<_>>().join(", "),
    };
    let bottom = match rows.iter().any(|row| row.lambda_min.is_some()) {
        true => format!("; λ_min {}", sizes(bottom.collect())),
        false => String::new(),
    };
    format!(
        "measured and predicted part, by more than three standard errors and a tenth, at: λ_max {}{bottom}",
        sizes(top.collect()),
    )
}
