//! `basin spectrum`: eigenvalues, trace, norm, density and diagonal of a curvature matrix.

mod files;
mod measurement;
mod readable;
mod request;
mod subsets;
mod verification;

use basin_objective::{Error, Objective as _};
use basin_records::{Outcome, Record};
use basin_sharpness::lanczos::{Extremes, Lanczos, Reason};
use basin_sharpness::{CurvatureMatrix, deterministic_gradient, disjoint_subsets};

use crate::arguments::{Common, Spectrum};
use crate::exit::{self, Ended};
use crate::memory;
use crate::output::emit;
use crate::subject::Subject;
use measurement::Measured;
use request::Request;

pub(crate) fn run(arguments: &Spectrum) -> anyhow::Result<Ended> {
    files::check(arguments)?;
    let request = Request::of(arguments)?;
    let mut ended = Ended::Done;
    for path in &arguments.checkpoints {
        let subject = Subject::load(path, &arguments.common)?;
        if let Some(count) = arguments.subsets {
            disjoint_subsets(subject.data.samples(), count, arguments.common.seed)?;
        }
        announce(arguments, &request, &subject)?;
        let (record, reason) = measure_all(arguments, &request, &subject)?;
        let Outcome::Spectrum(spectrum) = &record.outcome else { continue };
        if !spectrum.converged() {
            ended = Ended::NotConverged;
            exit::tell(&format!("hint: {}", advice(spectrum.unconverged(), reason)));
        }
        emit(&arguments.common, &record, || readable::text(&subject, &record))?;
    }
    Ok(ended)
}

/// Refuses an objective of which nothing can be measured, and says what the measurement takes.
fn announce(arguments: &Spectrum, request: &Request, subject: &Subject) -> anyhow::Result<()> {
    let machine = &arguments.common.machine;
    let network = subject.network()?;
    if !machine.quiet {
        // Before anything is evaluated, for the allocator keeps what that takes.
        memory::announce(&network, machine.verbose);
    }
    deterministic_gradient(&network, &subject.theta)?;
    if !machine.quiet {
        exit::tell(&request.cost(network.cost(&subject.theta)?, network.dimension()));
    }
    Ok(())
}

/// Everything that was asked for of one checkpoint; why the eigensolver ended stands beside.
fn measure_all(arguments: &Spectrum, request: &Request, subject: &Subject) -> anyhow::Result<(Record, Option<Reason>)> {
    let measured = measurement::measure(subject, &arguments.common, request)?;
    let verification = match arguments.verify {
        true => Some(verification::verify(subject, &arguments.common, request, measured.extremes.as_ref())?),
        false => None,
    };
    let subsets = match arguments.subsets {
        Some(count) => Some(subsets::measure(subject, &arguments.common, request, count)?),
        None => None,
    };
    let Measured { mut record, extremes, diagonal } = measured;
    if let Some(file) = &arguments.eigenvalues.eigenvectors
        && let Some(extremes) = &extremes
    {
        files::write_eigenvectors(file, subject, extremes)?;
    }
    if let Outcome::Spectrum(spectrum) = &mut record.outcome {
        spectrum.verification = verification.map(Box::new);
        spectrum.subsets = subsets.map(Box::new);
        if let (Some(file), Some(diagonal)) = (&arguments.estimates.diagonal, &diagonal) {
            spectrum.diagonal = Some(Box::new(files::write_diagonal(file, subject, diagonal)?));
        }
    }
    Ok((record, extremes.map(|extremes| extremes.reason)))
}

/// The extremal eigenvalues alone, as studies and comparisons take them.
pub(crate) fn measure(
    subject: &Subject,
    common: &Common,
    lanczos: &Lanczos,
    matrix: CurvatureMatrix,
) -> anyhow::Result<(Record, Extremes)> {
    if !common.machine.quiet {
        memory::announce(&subject.network()?, common.machine.verbose);
    }
    let measured = measurement::measure(subject, common, &Request::eigenvalues(lanczos.clone(), matrix))?;
    let nothing = || Error::input("no eigenvalue is asked for", "give `--top` or `--bottom` at least 1");
    Ok((measured.record, measured.extremes.ok_or_else(nothing)?))
}

/// What helps a figure that did not converge.
fn advice(eigenvalues: usize, reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::Rounding) if eigenvalues > 0 => "use `--dtype f64`, or a larger `--tolerance`",
        Some(_) if eigenvalues > 0 => "give a larger `--max-products` or `--tolerance`",
        _ => "give a larger `--max-products`, `--memory` or `--standard-error`, or a larger `--tolerance` for blocks",
    }
}
