//! `basin landscape trajectory`: a run's checkpoints in the plane in which they vary most.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Instant;

use basin_landscape::{Projection, project};
use basin_objective::data::Split;
use basin_objective::{Error, Result};
use basin_records::trajectory::Iterate;
use basin_records::{Outcome, Record, Trajectory as TrajectoryRecord, file};
use basin_sharpness::deterministic_gradient;
use candle_core::{DType, Device, Tensor};

use super::grid::{Networks, Region, require_plain};
use super::iterates::Iterates;
use super::plane::{Asked, Axes, Evaluated, files};
use crate::arguments::Trajectory;
use crate::exit::Ended;
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::{number, percent, table};

/// How far the picture reaches beyond the outermost checkpoints, relative to the way between them.
const MARGIN: f64 = 0.2;
/// Of more components than these the shares say nothing.
const MOST_SHARES: usize = 10;

pub(crate) fn run(arguments: &Trajectory) -> anyhow::Result<Ended> {
    let common = &arguments.common;
    let save_directions = arguments.save_directions.as_deref();
    files::check(common.out.as_deref(), &arguments.also, save_directions, arguments.iterates.iter())?;
    require_plain(common, "a trajectory")?;
    let started = Instant::now();
    let iterates = match &arguments.iterates[..] {
        [run] if run.is_dir() => Iterates::of_run(run, common)?,
        files => Iterates::new(files, common)?,
    };
    let components = iterates.principal_components(2)?;
    let Some(last) = iterates.subjects.last() else {
        return Err(Error::input("there is no checkpoint", "name the directory of a run").into());
    };
    let test = last.data.other_if_any(Split::Test)?;
    let networks = |subject| Networks::new(subject, test.as_ref(), arguments.batch_norm_statistics);
    let at_last = networks(last)?;
    deterministic_gradient(&at_last.train, &last.theta)?;
    let axes = Axes::of_components(components.directions, &iterates, save_directions)?;
    let project_on_plane = |subject: &Subject| project(&last.theta, axes.directions(), &subject.theta);
    let places = iterates.subjects.iter().map(project_on_plane).collect::<Result<Vec<_>>>()?;
    let region =
        Region::new(&arguments.ranges, arguments.points, around(&places))?.refinable(arguments.refine.unwrap_or(0))?;
    let asked = Asked { what: "trajectory", region: &region, axes: &axes, save_directions };
    let Evaluated { surface, gathering, products, gradient_equivalents } = asked.evaluate(last, &at_last, common)?;

    let mut progress = Progress::new("checkpoints", places.len() as u64, common.machine.quiet);
    let mut found = Vec::with_capacity(places.len());
    for (subject, &place) in iterates.subjects.iter().zip(&places) {
        interruption::check()?;
        let projection = on_plane(&last.theta, &axes, place)?;
        found.push(iterate(subject, &networks(subject)?, place, at_last.evaluate(&projection)?.train.loss)?);
        progress.set(found.len() as u64, format!("{} of {} checkpoints", found.len(), places.len()));
    }
    let explained_variance = components.shares.into_iter().take(MOST_SHARES).collect();
    let trajectory = TrajectoryRecord { explained_variance, iterates: found, surface };
    let mut provenance = last.provenance(started)?;
    (provenance.products, provenance.gradient_equivalents) = (Some(products), Some(gradient_equivalents));
    let record = Record::new(provenance, Outcome::Trajectory(Box::new(trajectory)));
    emit(common, &record, || readable(&record))?;
    if let (Some(out), Outcome::Trajectory(trajectory)) = (&common.out, &record.outcome) {
        files::write(out, &arguments.also, &trajectory.surface, &[])?;
        file::replace(&out.with_extension("iterates.csv"), csv(trajectory).as_bytes())?;
    }
    gathering.finish()?;
    Ok(Ended::Done)
}

/// The ranges of x and y that hold all places and some room around them.
fn around(places: &[Projection]) -> [RangeInclusive<f64>; 2] {
    let coordinates: [fn(&Projection) -> f64; 2] = [|place| place.x, |place| place.y];
    coordinates.map(|coordinate| {
        let least = places.iter().map(coordinate).fold(f64::INFINITY, f64::min);
        let largest = places.iter().map(coordinate).fold(f64::NEG_INFINITY, f64::max);
        let room = MARGIN * (largest - least);
        least - room..=largest + room
    })
}

/// The point of the plane at a place, in the numbers and on the device of θ.
fn on_plane(theta: &Tensor, axes: &Axes, place: Projection) -> Result<Tensor> {
    let [x, y] = axes.directions().map(|direction| &direction.vector);
    let moved = ((theta.to_device(&Device::Cpu)?.to_dtype(DType::F64)? + (x * place.x)?)? + (y * place.y)?)?;
    Ok(moved.to_dtype(theta.dtype())?.to_device(theta.device())?)
}

/// What is found at a checkpoint itself, with the statistics of batch norm that belong to it.
fn iterate(
    subject: &Subject,
    networks: &Networks<'_>,
    place: Projection,
    projected_train_loss: f64,
) -> Result<Iterate> {
    let here = networks.evaluate(&subject.theta)?;
    Ok(Iterate {
        checkpoint: subject.checkpoint(),
        epoch: subject.metadata.epoch,
        step: subject.metadata.step,
        x: place.x,
        y: place.y,
        distance: place.distance,
        train_loss: here.train.loss,
        projected_train_loss,
        train_accuracy: here.train.accuracy,
        test_loss: here.test.map(|test| test.loss),
        test_accuracy: here.test.and_then(|test| test.accuracy),
    })
}

fn readable(record: &Record) -> String {
    let Outcome::Trajectory(trajectory) = &record.outcome else { return String::new() };
    let head = ["checkpoint", "epoch", "x", "y", "off the plane", "train loss", "in the plane", "test accuracy"];
    let row = |iterate: &Iterate| {
        vec![
            name(Path::new(&iterate.checkpoint.path)),
            iterate.epoch.map_or("–".into(), |epoch| epoch.to_string()),
            number(iterate.x),
            number(iterate.y),
            number(iterate.distance),
            number(iterate.train_loss),
            number(iterate.projected_train_loss),
            percent(iterate.test_accuracy),
        ]
    };
    let shares = &trajectory.explained_variance;
    let share = |index: usize| percent(shares.get(index).copied());
    let (x, y) = (&trajectory.surface.x, &trajectory.surface.y);
    format!(
        "{} checkpoints; the first two principal components explain {} and {} of their variance\n{}\nthe plane of the \
         components through the last checkpoint: {} × {} points, curvature there {} along x and {} along y",
        trajectory.iterates.len(),
        share(0),
        share(1),
        table(&head, trajectory.iterates.iter().map(row).collect()),
        x.coordinates.len(),
        y.coordinates.len(),
        number(x.curvature),
        number(y.curvature),
    )
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// One line per checkpoint; empty where a number is not known.
fn csv(trajectory: &TrajectoryRecord) -> String {
    let mut text = String::from(
        "checkpoint,epoch,step,x,y,distance,train_loss,projected_train_loss,train_accuracy,test_loss,test_accuracy\n",
    );
    let count = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
    let known = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for iterate in &trajectory.iterates {
        let Iterate { x, y, distance, train_loss, projected_train_loss, .. } = iterate;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\"{}\",{},{},{x},{y},{distance},{train_loss},{projected_train_loss},{},{},{}",
            iterate.checkpoint.path.replace('"', "\"\""),
            count(iterate.epoch),
            count(iterate.step),
            known(iterate.train_accuracy),
            known(iterate.test_loss),
            known(iterate.test_accuracy),
        );
    }
    text
}
