//! `basin landscape plane`: loss and accuracy on a plane of parameters.

mod axes;
mod files;
mod parts;
mod readable;
mod request;
mod statistics;
mod surface;
mod unfinished;

use std::time::Instant;

use basin_landscape::{Plane as LandscapePlane, curvatures};
use basin_objective::data::{Dataset, Split};
use basin_records::{Outcome, Record};
use basin_sharpness::{CurvatureMatrix, deterministic_gradient};

use crate::arguments::Plane;
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use axes::Axes;
use request::Request;
use statistics::Networks;
use surface::Values;
use unfinished::Unfinished;

/// The points of a file that is being added to, and those that are known from before.
type Log = Option<Unfinished>;

pub(crate) fn run(arguments: &Plane) -> anyhow::Result<Ended> {
    files::check(arguments)?;
    let Some(checkpoint) = &arguments.checkpoint else {
        return end(arguments, &parts::merged(&arguments.merge)?);
    };
    let request = Request::new(arguments)?;
    let subject = Subject::load(checkpoint, &arguments.common)?;
    let started = Instant::now();
    let test = Dataset::load_if_any(&subject.data.spec, Split::Test)?;
    let networks = Networks::new(&subject, test.as_ref(), request.statistics)?;
    deterministic_gradient(&networks.train, &subject.theta)?;
    let axes = Axes::new(arguments, &subject, &networks.train)?;
    let log = match &arguments.common.out {
        Some(out) => Some(Unfinished::open(out, &request.measurement(&subject, &networks, &axes)?, &request.grid)?),
        None => None,
    };
    if let Some(path) = &arguments.save_directions {
        axes.save(path, &subject, request.normalization)?;
    }
    if !arguments.common.machine.quiet {
        exit::tell(&request.cost(&networks, &subject.theta)?);
    }
    let record = measure(arguments, &subject, &networks, &request, &axes, &log, started)?;
    let ended = end(arguments, &record)?;
    if let Some(log) = &log {
        log.finish()?;
    }
    Ok(ended)
}

fn end(arguments: &Plane, record: &Record) -> anyhow::Result<Ended> {
    let Outcome::Surface(surface) = &record.outcome else { return Ok(Ended::Done) };
    emit(&arguments.common, record, || readable::text(record, surface))?;
    if let Some(out) = &arguments.common.out
        && surface.shard.is_none()
    {
        files::write(out, surface)?;
    }
    let unconverged = |axis: &basin_records::surface::Axis| axis.eigenvalue.is_some_and(|found| !found.converged);
    if unconverged(&surface.x) || unconverged(&surface.y) {
        exit::tell("hint: an eigenvector has not converged; try `--dtype f64`");
        return Ok(Ended::NotConverged);
    }
    Ok(Ended::Done)
}

fn measure(
    arguments: &Plane,
    subject: &Subject,
    networks: &Networks<'_>,
    request: &Request,
    axes: &Axes,
    log: &Log,
    started: Instant,
) -> anyhow::Result<Record> {
    let directions = axes.directions();
    let curvatures = curvatures(&networks.train, &subject.theta, directions)?;
    let norms = [directions[0].norm()?, directions[1].norm()?];
    let plane = LandscapePlane::new(&networks.train, &subject.theta, directions, request.grid.clone())?;
    let mut values = Values::new(&request.grid);
    for (position, point) in log.iter().flat_map(Unfinished::known) {
        values.set(*position, *point);
    }
    let quiet = arguments.common.machine.quiet;
    if values.count() > 0 && !quiet {
        exit::tell(&format!("note: {} points are known from a run that was stopped", values.count()));
    }
    let wanted = request.positions();
    let missing: Vec<_> = wanted.iter().copied().filter(|&position| values.get(position).is_none()).collect();
    let mut progress = Progress::new(format!("plane {}", subject.path.display()), missing.len() as u64, quiet);
    let mut done = 0;
    plane.evaluate(
        &missing,
        |theta| networks.evaluate(theta),
        |positions, points| {
            if let Some(log) = log {
                log.keep(positions, &points)?;
            }
            positions.iter().zip(points).for_each(|(&position, point)| values.set(position, point));
            done += positions.len();
            progress.set(done as u64, format!("{done} of {} points", missing.len()));
            interruption::check()
        },
    )?;
    drop(progress);
    let surface = surface::of(request, axes, curvatures, norms, &values, networks);
    let mut provenance = subject.provenance(started)?;
    let products = axes.products() + directions.len();
    provenance.products = Some(products as u64);
    // A forward sweep is a third of a gradient; the statistics of batch norm take another.
    let sweeps = wanted.len() * if networks.recompute() { 2 } else { 1 };
    let memory = networks.train.memory();
    let product = CurvatureMatrix::Hessian.gradient_equivalents(memory.kept as f64 / memory.all as f64);
    provenance.gradient_equivalents = Some(1.0 + product * products as f64 + sweeps as f64 / 3.0);
    Ok(Record::new(provenance, Outcome::Surface(Box::new(surface))))
}
