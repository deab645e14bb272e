//! `basin spectrum`: extremal eigenvalues of a curvature matrix.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use basin_objective::{Error, Objective, weights};
use basin_records::spectrum::{Eigenvalue, End, Matrix};
use basin_records::{Outcome, Record, Spectrum as SpectrumRecord};
use basin_sharpness::lanczos::{Extremes, Lanczos, Reason};
use basin_sharpness::{Curvature, CurvatureMatrix};

use crate::arguments::{Common, Machine, MatrixArgument, Spectrum, SpectrumSettings};
use crate::exit::{self, Ended};
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::{number, table};
use crate::{interruption, memory};

pub(crate) fn run(arguments: &Spectrum) -> anyhow::Result<Ended> {
    if arguments.eigenvectors.is_some() && arguments.checkpoints.len() > 1 {
        let message = format!("`--eigenvectors` names one file, {} checkpoints are given", arguments.checkpoints.len());
        return Err(Error::input(message, "run the command once for each checkpoint").into());
    }
    if let Some(file) = &arguments.eigenvectors
        && file.exists()
        && arguments.checkpoints.iter().any(|path| same_file(path, file))
    {
        let message = format!("`--eigenvectors` names the checkpoint `{}` itself", file.display());
        return Err(Error::input(message, "name another file").into());
    }
    let mut ended = Ended::Done;
    for path in &arguments.checkpoints {
        let subject = Subject::load(path, &arguments.common)?;
        let lanczos =
            Lanczos { memory: arguments.common.machine.memory, ..lanczos(&arguments.settings, arguments.common.seed) };
        let matrix = arguments.settings.matrix.into();
        let (record, extremes) = measure(&subject, &arguments.common, &lanczos, matrix)?;
        if let Some(file) = &arguments.eigenvectors {
            write_eigenvectors(file, &subject, &extremes)?;
        }
        if extremes.eigenvalues.iter().any(|eigenvalue| !eigenvalue.converged) {
            ended = Ended::NotConverged;
            exit::tell(&format!("hint: {}", advice(extremes.reason)));
        }
        emit(&arguments.common, &record, || readable(&subject, &record))?;
    }
    Ok(ended)
}

/// Whether two paths lead to one existing file.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What helps an eigenvalue that did not converge.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::Rounding => "use `--dtype f64`, or a larger `--tolerance`",
        _ => "give a larger `--max-basis` and `--memory`, or a larger `--tolerance`",
    }
}

/// The library's options of what was typed.
fn lanczos(settings: &SpectrumSettings, seed: u64) -> Lanczos {
    Lanczos {
        top: settings.top,
        bottom: settings.bottom.unwrap_or(usize::from(settings.matrix == MatrixArgument::Hessian)),
        tolerance: settings.tolerance,
        max_basis: settings.max_basis,
        seed,
        memory: None,
    }
}

/// Extremal eigenvalues of a checkpoint's curvature, as a record, and their eigenvectors. Where no dtype is asked for and
/// the residuals stop at the rounding of f32, f64 is used.
pub(super) fn measure(
    subject: &Subject,
    common: &Common,
    lanczos: &Lanczos,
    matrix: CurvatureMatrix,
) -> anyhow::Result<(Record, Extremes)> {
    let quiet = common.machine.quiet;
    let found = measure_once(subject, lanczos, matrix, &common.machine)?;
    let drowned = found.1.reason == Reason::Rounding && found.1.eigenvalues.iter().any(|e| !e.converged);
    if !drowned || common.machine.dtype.is_some() {
        return Ok(found);
    }
    if !quiet {
        exit::tell("note: residuals stopped at the rounding of f32; computing again in f64");
    }
    let (mut record, extremes) = measure_once(&subject.in_f64(common)?, lanczos, matrix, &common.machine)?;
    add_cost(&mut record, &found.0);
    Ok((record, extremes))
}

/// Counts the work of an attempt that was given up among that of the final one.
fn add_cost(record: &mut Record, attempt: &Record) {
    let (total, attempt) = (&mut record.provenance, &attempt.provenance);
    total.products = total.products.zip(attempt.products).map(|(a, b)| a + b);
    total.seconds = total.seconds.zip(attempt.seconds).map(|(a, b)| a + b);
    total.gradient_equivalents = total.gradient_equivalents.zip(attempt.gradient_equivalents).map(|(a, b)| a + b);
}

fn measure_once(
    subject: &Subject,
    lanczos: &Lanczos,
    matrix: CurvatureMatrix,
    machine: &Machine,
) -> anyhow::Result<(Record, Extremes)> {
    let started = Instant::now();
    let network = subject.network()?;
    if !machine.quiet {
        memory::announce(&network, machine.verbose);
    }
    let mut progress = Progress::new(format!("spectrum {}", subject.path.display()), 1000, machine.quiet);
    let operator = Curvature::new(&network as &dyn Objective, &subject.theta, matrix)?;
    let mut worst = f64::INFINITY;
    let extremes = lanczos.extremes(&operator, |at| {
        worst = worst.min(at.residual);
        let message = format!("basis {} of at most {}, residual {}", at.basis, at.limit, number(worst));
        progress.set((1000.0 * share_done(worst, lanczos.tolerance)) as u64, message);
        interruption::check()
    })?;
    let mut spectrum = SpectrumRecord::new(matrix.into(), extremes.eigenvalues.clone());
    spectrum.iterations = Some(extremes.basis as u64);
    spectrum.tolerance = Some(lanczos.tolerance);
    spectrum.reason = Some(extremes.reason.to_string());
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(extremes.products as u64);
    // Linearizing costs a gradient.
    provenance.gradient_equivalents = Some(1.0 + operator.gradient_equivalents() * extremes.products as f64);
    Ok((Record::new(provenance, Outcome::Spectrum(spectrum)), extremes))
}

/// How far the residual has come on a logarithmic scale, from 1 to the tolerance.
fn share_done(residual: f64, tolerance: f64) -> f64 {
    let share = residual.max(tolerance).min(1.0).ln() / tolerance.min(0.5).ln();
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

/// Eigenvectors under the parameters' names: `top1.fc1.weight`, …, counted from each end inwards.
fn write_eigenvectors(path: &Path, subject: &Subject, extremes: &Extremes) -> anyhow::Result<()> {
    let layout = subject.model.parameters();
    let mut tensors = Vec::new();
    let mut metadata = BTreeMap::new();
    for (index, eigenvalue) in extremes.eigenvalues.iter().enumerate() {
        let name = rank(&extremes.eigenvalues, index);
        let vector = extremes.eigenvectors.get(index)?;
        let views = layout.views(&vector)?;
        tensors.extend(layout.entries().iter().map(|entry| format!("{name}.{}", entry.name)).zip(views));
        metadata.insert(format!("{name}.eigenvalue"), eigenvalue.value.to_string());
        metadata.insert(format!("{name}.residual"), eigenvalue.residual.to_string());
    }
    Ok(weights::write(path, &tensors, &metadata)?)
}

/// `top1` for the largest, `top2` for the next; `bottom1` for the smallest.
fn rank(eigenvalues: &[Eigenvalue], index: usize) -> String {
    match eigenvalues[index].end {
        End::Top => format!("top{}", index + 1),
        End::Bottom => format!("bottom{}", eigenvalues.len() - index),
    }
}

fn readable(subject: &Subject, record: &Record) -> String {
    let Outcome::Spectrum(spectrum) = &record.outcome else { return String::new() };
    let rows = spectrum.eigenvalues.iter().enumerate().map(|(index, eigenvalue)| {
        vec![
            rank(&spectrum.eigenvalues, index),
            number(eigenvalue.value),
            number(eigenvalue.residual),
            if eigenvalue.converged { "yes" } else { "no" }.into(),
        ]
    });
    format!(
        "{}: {} on {} ({}, {} samples), {} products, {}\n{}",
        subject.path.display(),
        match spectrum.matrix {
            Matrix::Hessian => "Hessian",
            Matrix::Ggn => "generalized Gauss-Newton matrix",
            _ => "empirical Fisher matrix",
        },
        subject.data.spec,
        subject.data.split,
        subject.data.samples(),
        record.provenance.products.unwrap_or_default(),
        spectrum.reason.as_deref().unwrap_or_default(),
        table(&["end", "eigenvalue λ", "‖Hv − λv‖", "converged"], rows.collect())
    )
}

impl From<MatrixArgument> for CurvatureMatrix {
    fn from(matrix: MatrixArgument) -> Self {
        match matrix {
            MatrixArgument::Hessian => Self::Hessian,
            MatrixArgument::Ggn => Self::GaussNewton,
            MatrixArgument::EmpiricalFisher => Self::EmpiricalFisher,
        }
    }
}
