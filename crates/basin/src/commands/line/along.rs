//! `basin landscape line CKPT --along …`: loss and accuracy along directions through one checkpoint.

use std::time::Instant;

use basin_landscape::{Direction, Position, curvatures, evaluate, second_difference};
use basin_objective::data::Split;
use basin_objective::{Error, Result};
use basin_records::profile::{Along, Spread};
use basin_records::{Outcome, Profile, Record};
use basin_sharpness::deterministic_gradient;
use candle_core::{DType, Device, Tensor};

use crate::arguments::{DirectionArgument, Line};
use crate::commands::grid::{Gathering, Measured, Networks, Point, Values, require_plain, span};
use crate::commands::plane::directions::{Axis, Scaling, Source, Unscaled};
use crate::exit::{self, Ended};
use crate::output::emit;
use crate::subject::Subject;
use crate::table::{number, table};

/// Where nothing is asked for: one unit of a normalised direction is as long as the weights.
pub(super) const USUAL_RANGE: [f64; 2] = [-1.0, 1.0];

pub(super) fn run(arguments: &Line, coordinates: &[f64]) -> anyhow::Result<Ended> {
    let common = &arguments.common;
    require_plain(common, "a line")?;
    let subject = Subject::load(&arguments.a, common)?;
    let started = Instant::now();
    let test = subject.data.other_if_any(Split::Test)?;
    let networks = Networks::new(&subject, test.as_ref(), None)?;
    deterministic_gradient(&networks.train, &subject.theta)?;
    let scaling = Scaling::new(&arguments.scaling, &subject)?;
    let Unscaled { axes, products } = scaling.unscaled(&sources(arguments)?, &networks.train, common)?;
    let axes = axes.into_iter().map(|axis| scaling.scaled(axis)).collect::<Result<Vec<_>>>()?;
    let measurement = measurement(&subject, &networks, &axes, coordinates)?;
    let (size, quiet) = ([coordinates.len(), axes.len()], common.machine.quiet);
    let mut gathering = Gathering::begin("line", common.out.as_deref(), measurement, size, quiet)?;
    if !quiet {
        exit::tell(&networks.cost(&subject.theta, coordinates.len() * axes.len())?);
    }
    let rows = 0..axes.len();
    let positions: Vec<Position> =
        rows.flat_map(|row| (0..coordinates.len()).map(move |column| Position { column, row })).collect();
    let value = |&Position { column, row }: &Position| {
        networks.evaluate(&moved(&subject.theta, &axes[row].direction, coordinates[column])?)
    };
    gathering.gather(&positions, |missing, keep| evaluate(&networks.train, missing, value, keep))?;
    let along = axes
        .iter()
        .enumerate()
        .map(|(row, axis)| along(axis, row, coordinates, gathering.values(), &subject, &networks))
        .collect::<Result<Vec<_>>>()?;
    let all: Vec<&Axis> = axes.iter().collect();
    let profile = Profile {
        coordinates: coordinates.to_vec(),
        normalization: scaling.normalization(&all),
        ignored: scaling.ignored(&all),
        batch_norm: networks.batch_norm().map(str::to_owned),
        directions: along,
    };
    let products = products + axes.len();
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(products as u64);
    provenance.gradient_equivalents = Some(networks.gradient_equivalents(products, positions.len()));
    let record = Record::new(provenance, Outcome::Profile(profile));
    emit(common, &record, || readable(&record))?;
    gathering.finish()?;
    if axes.iter().any(|axis| axis.eigenvalue.is_some_and(|found| !found.converged)) {
        exit::tell("hint: an eigenvector has not converged; try `--dtype f64`");
        return Ok(Ended::NotConverged);
    }
    Ok(Ended::Done)
}

/// The directions asked for; `random` stands for as many draws as there are to be.
fn sources(arguments: &Line) -> Result<Vec<Source>> {
    if arguments.draws == 0 {
        return Err(Error::input("`--draws` is 0", "give at least 1"));
    }
    let many = |direction: &DirectionArgument| match direction {
        DirectionArgument::Random => arguments.draws,
        _ => 1,
    };
    let named = |direction: &DirectionArgument, number: usize| Source::named(direction.clone(), number);
    let each = arguments.along.iter().flat_map(|direction| (0..many(direction)).map(move |n| named(direction, n)));
    Ok(each.collect())
}

/// What the values depend on.
fn measurement(subject: &Subject, networks: &Networks<'_>, axes: &[Axis], coordinates: &[f64]) -> Result<String> {
    let identities: Vec<&str> = axes.iter().map(|axis| axis.identity.as_str()).collect();
    let statistics = networks.batch_norm().map_or_else(String::new, |how| format!(", statistics {how}"));
    Ok(format!(
        "the lines of {} along {} at {}{statistics}",
        subject.measured_on()?,
        identities.join(", "),
        span(coordinates),
    ))
}

/// θ + t d in the numbers and on the device of θ.
fn moved(theta: &Tensor, direction: &Direction, t: f64) -> Result<Tensor> {
    let at_zero = theta.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    Ok((at_zero + (&direction.vector * t)?)?.to_dtype(theta.dtype())?.to_device(theta.device())?)
}

fn along(
    axis: &Axis,
    row: usize,
    coordinates: &[f64],
    values: &Values<Point>,
    subject: &Subject,
    networks: &Networks<'_>,
) -> Result<Along> {
    let at = |column| values.get(Position { column, row });
    let list = |number: &dyn Fn(&Point) -> Option<f64>| -> Vec<f64> {
        (0..coordinates.len()).filter_map(at).filter_map(number).collect()
    };
    let test = |number: fn(&Measured) -> Option<f64>| list(&|point: &Point| point.test.as_ref().and_then(number));
    let train_loss = list(&|point| Some(point.train.loss));
    let [curvature] = curvatures(&networks.train, &subject.theta, [&axis.direction])?;
    Ok(Along {
        name: axis.direction.name.clone(),
        norm: axis.norm,
        normalized: axis.normalized,
        curvature,
        curvature_difference: second_difference(coordinates, &train_loss, axis.norm),
        eigenvalue: axis.eigenvalue,
        train_loss,
        train_accuracy: list(&|point| point.train.accuracy),
        test_loss: test(|measured| Some(measured.loss)),
        test_accuracy: test(|measured| measured.accuracy),
    })
}

fn readable(record: &Record) -> String {
    let Outcome::Profile(profile) = &record.outcome else { return String::new() };
    let groups = profile.by_name();
    let directions = groups.iter().map(|(name, members)| {
        let spread = |value: &dyn Fn(&Along) -> f64| {
            shown(Spread::of(&members.iter().map(|along| value(along)).collect::<Vec<_>>()))
        };
        let difference = members[0].curvature_difference.filter(|_| members.len() == 1);
        vec![
            (*name).to_owned(),
            members.len().to_string(),
            spread(&|along| along.norm),
            spread(&|along| along.curvature),
            number(difference),
        ]
    });
    let head = ["direction", "draws", "norm", "curvature", "from differences"];
    let directions = table(&head, directions.collect());
    let head: Vec<String> = std::iter::once("t".to_owned())
        .chain(groups.iter().map(|(name, _)| format!("train loss, {name}")))
        .chain(groups.iter().map(|(name, _)| format!("test loss, {name}")))
        .collect();
    let rows = profile.coordinates.iter().enumerate().map(|(i, t)| {
        let at = |members: &[&Along], list: fn(&Along) -> &Vec<f64>| {
            shown(Spread::of(&members.iter().filter_map(|along| list(along).get(i).copied()).collect::<Vec<_>>()))
        };
        let train = groups.iter().map(|(_, members)| at(members, |along| &along.train_loss));
        let test = groups.iter().map(|(_, members)| at(members, |along| &along.test_loss));
        std::iter::once(format!("{t:.3}")).chain(train).chain(test).collect()
    });
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let checkpoint = record.provenance.checkpoint.as_ref().map_or("–", |checkpoint| &checkpoint.path);
    format!(
        "along directions through {checkpoint} (t = 0); after ± stands the standard error over draws\n{directions}\n{}",
        table(&head, rows.collect())
    )
}

fn shown(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { mean, stderr: Some(stderr) }) => format!("{} ± {}", number(mean), number(stderr)),
        Some(Spread { mean, stderr: None }) => number(mean),
        None => "–".into(),
    }
}
