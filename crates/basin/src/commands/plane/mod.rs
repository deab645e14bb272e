//! `basin landscape plane`: loss and accuracy on a plane of parameters.

mod axes;
mod files;
mod parts;
mod readable;
mod request;
pub(super) mod statistics;
mod surface;
mod unfinished;

use std::time::Instant;

use basin_landscape::{Plane as LandscapePlane, Position, curvatures};
use basin_objective::Result;
use basin_objective::data::{Dataset, Split};
use basin_records::surface::Axis;
use basin_records::{Outcome, Record};
use basin_sharpness::deterministic_gradient;

use crate::arguments::Plane;
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use axes::Axes;
use request::Request;
use statistics::{Networks, Point};
use surface::Values;
use unfinished::Unfinished;

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
    let out = arguments.common.out.as_ref();
    let measurement = request.measurement(&subject, &networks, &axes)?;
    let mut log = out.map(|out| Unfinished::open(out, measurement, &request.grid)).transpose()?;
    if let Some(path) = &arguments.save_directions {
        axes.save(path, &subject)?;
    }
    let directions = axes.directions();
    let curvatures = curvatures(&networks.train, &subject.theta, directions)?;
    let plane = LandscapePlane::new(&networks.train, &subject.theta, directions, request.grid.clone())?;
    let quiet = arguments.common.machine.quiet;
    if !quiet {
        exit::tell(&request.cost(&networks, &subject.theta)?);
    }
    let values = evaluate(&plane, &networks, &request.positions(), log.as_mut(), quiet)?;
    let surface = surface::of(&request, &axes, curvatures, &values, networks.batch_norm());
    let products = axes.products + directions.len();
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(products as u64);
    provenance.gradient_equivalents = Some(networks.gradient_equivalents(products, request.positions().len()));
    let ended = end(arguments, &Record::new(provenance, Outcome::Surface(Box::new(surface))))?;
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
    let unconverged = |axis: &Axis| axis.eigenvalue.is_some_and(|found| !found.converged);
    if unconverged(&surface.x) || unconverged(&surface.y) {
        exit::tell("hint: an eigenvector has not converged; try `--dtype f64`");
        return Ok(Ended::NotConverged);
    }
    Ok(Ended::Done)
}

/// The values at some points: those that are known from before, and all others.
fn evaluate(
    plane: &LandscapePlane,
    networks: &Networks<'_>,
    positions: &[Position],
    mut log: Option<&mut Unfinished>,
    quiet: bool,
) -> Result<Values> {
    let mut values = Values::new(plane.grid());
    if let Some(log) = &mut log {
        log.known().for_each(|(position, point)| values.set(position, point));
    }
    let known = values.count();
    if known > 0 && !quiet {
        exit::tell(&format!("note: {known} points are known from a run that was stopped"));
    }
    let missing: Vec<_> = positions.iter().copied().filter(|&position| values.get(position).is_none()).collect();
    let mut progress = Progress::new("plane", missing.len() as u64, quiet);
    let mut done = 0;
    let keep = |positions: &[Position], points: Vec<Point>| {
        if let Some(log) = &mut log {
            log.keep(positions, &points)?;
        }
        positions.iter().zip(points).for_each(|(&position, point)| values.set(position, point));
        done += positions.len();
        progress.set(done as u64, format!("{done} of {} points", missing.len()));
        interruption::check()
    };
    plane.evaluate(&missing, |theta| networks.evaluate(theta), keep)?;
    Ok(values)
}
