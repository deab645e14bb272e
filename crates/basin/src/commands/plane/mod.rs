//! `basin landscape plane`: loss and accuracy on a plane of parameters.

mod axes;
pub(super) mod directions;
pub(super) mod files;
pub(super) mod parts;
mod readable;
pub(super) mod surface;

use std::path::Path;
use std::time::Instant;

use basin_landscape::{Lines, Plane as LandscapePlane, Position, curvatures, evaluate};
use basin_objective::data::Split;
use basin_records::surface::Axis;
use basin_records::{Outcome, Record, Surface};
use basin_sharpness::deterministic_gradient;

use super::grid::{Gathering, Networks, Point, Region, require_plain};
use crate::arguments::{Common, Plane};
use crate::exit::{self, Ended};
use crate::output::emit;
use crate::subject::Subject;
pub(super) use axes::{Axes, usual_ranges};

pub(crate) fn run(arguments: &Plane) -> anyhow::Result<Ended> {
    let (common, asked) = (&arguments.common, &arguments.directions);
    let read = arguments.checkpoint.iter().chain(&asked.towards).chain(&asked.directions);
    files::check(common.out.as_deref(), &arguments.also, asked.save_directions.as_deref(), read)?;
    let Some(checkpoint) = &arguments.checkpoint else {
        return end(arguments, &parts::merged::<Surface>(&arguments.merge)?);
    };
    require_plain(common, "a plane")?;
    let region = Region::new(&arguments.ranges, arguments.points, usual_ranges(asked))?;
    let region = region.part(arguments.shard)?.refinable(arguments.refine.unwrap_or(0))?;
    let subject = Subject::load(checkpoint, common)?;
    let started = Instant::now();
    let test = subject.data.other_if_any(Split::Test)?;
    let networks = Networks::new(&subject, test.as_ref(), arguments.batch_norm_statistics)?;
    deterministic_gradient(&networks.train, &subject.theta)?;
    let axes = Axes::new(asked, common, &subject, &networks.train)?;
    let asked =
        Asked { what: "plane", region: &region, axes: &axes, save_directions: asked.save_directions.as_deref() };
    let Evaluated { surface, gathering, products, gradient_equivalents } =
        asked.evaluate(&subject, &networks, common)?;
    let mut provenance = subject.provenance(started)?;
    (provenance.products, provenance.gradient_equivalents) = (Some(products), Some(gradient_equivalents));
    let ended = end(arguments, &Record::new(provenance, Outcome::Surface(Box::new(surface))))?;
    gathering.finish()?;
    Ok(ended)
}

/// A region of a plane whose loss is asked for.
pub(super) struct Asked<'a> {
    /// What it is of, in a word.
    pub(super) what: &'static str,
    pub(super) region: &'a Region,
    pub(super) axes: &'a Axes,
    pub(super) save_directions: Option<&'a Path>,
}

/// What was found, and what it took.
pub(super) struct Evaluated {
    pub(super) surface: Surface,
    pub(super) gathering: Gathering<Point>,
    pub(super) products: u64,
    pub(super) gradient_equivalents: f64,
}

impl Asked<'_> {
    /// The loss at the points of the region, those of an interrupted run among them.
    pub(super) fn evaluate(
        &self,
        subject: &Subject,
        networks: &Networks<'_>,
        common: &Common,
    ) -> anyhow::Result<Evaluated> {
        let Self { what, region, axes, save_directions } = *self;
        let measurement = region.measurement(what, subject, networks, axes.identities())?;
        let quiet = common.machine.quiet;
        let mut gathering = Gathering::begin(what, common.out.as_deref(), measurement, region.size(), quiet)?;
        if let Some(path) = save_directions {
            axes.save(path, subject)?;
        }
        let directions = axes.directions();
        let curvatures = curvatures(&networks.train, &subject.theta, directions)?;
        let plane = LandscapePlane::new(&networks.train, &subject.theta, directions, region.grid.clone())?;
        let value = |&position: &Position| networks.evaluate(&plane.point(position)?);
        let mut lines = Lines::every(&region.grid, 1 << region.refinements);
        if !quiet {
            exit::tell(&networks.cost(&subject.theta, region.positions(&lines).len())?);
        }
        loop {
            let positions = region.positions(&lines);
            gathering.gather(&positions, |missing, keep| evaluate(&networks.train, missing, value, keep))?;
            let finer = lines.refined(&region.grid, |at| gathering.values().get(at).map(|point| point.train.loss));
            if region.refinements == 0 || finer == lines {
                break;
            }
            lines = finer;
        }
        let (grid, values) = (lines.of(&region.grid), gathering.values().at(&lines));
        let surface = surface::of(region, &grid, axes, curvatures, &values, |point| point, networks.batch_norm());
        let products = axes.products + directions.len();
        let gradient_equivalents = networks.gradient_equivalents(products, region.positions(&lines).len());
        Ok(Evaluated { surface, gathering, products: products as u64, gradient_equivalents })
    }
}

fn end(arguments: &Plane, record: &Record) -> anyhow::Result<Ended> {
    let Outcome::Surface(surface) = &record.outcome else { return Ok(Ended::Done) };
    emit(&arguments.common, record, || readable::text(record, surface))?;
    if let Some(out) = &arguments.common.out
        && surface.shard.is_none()
    {
        files::write(out, &arguments.also, surface, &[])?;
    }
    let unconverged = |axis: &Axis| axis.eigenvalue.is_some_and(|found| !found.converged);
    if unconverged(&surface.x) || unconverged(&surface.y) {
        exit::tell("hint: an eigenvector has not converged; try `--dtype f64`");
        return Ok(Ended::NotConverged);
    }
    Ok(Ended::Done)
}
