//! `basin landscape line`: loss and accuracy on a path between two checkpoints.

mod along;

use std::time::Instant;

use basin_landscape::{Position, evaluate};
use basin_objective::Error;
use basin_objective::data::{Preprocessing, Split};
use basin_records::line::{Barrier, Endpoint, Path};
use basin_records::{Alignment, Line as LineRecord, Outcome, Provenance, Record};
use basin_tape::vector;
use candle_core::{DType, Tensor};

use super::grid::{Gathering, Networks, Point, require_plain, span};
use crate::arguments::Line;
use crate::exit::Ended;
use crate::output::emit;
use crate::subject::Subject;
use crate::table::{number, percent, table};

pub(crate) fn run(arguments: &Line) -> anyhow::Result<Ended> {
    let usual = if arguments.along.is_empty() { [-1.0, 2.0] } else { along::USUAL_RANGE };
    let [first, last] = arguments.range.as_deref().unwrap_or(&usual)[..] else {
        let message = format!("`--range` has {} numbers, expected 2", arguments.range.iter().flatten().count());
        return Err(Error::input(message, "write it like `--range=-1,2`").into());
    };
    let alphas = points(first, last, arguments.points)?;
    let Some(b) = &arguments.b else { return along::run(arguments, &alphas) };
    let common = &arguments.common;
    require_plain(common, "a line")?;
    let a = Subject::load(&arguments.a, common)?;
    let b = Subject::load(b, common)?;
    let b = if arguments.align { b.aligned_with(&a)? } else { b };
    let (record, gathering) =
        gathered(&a, &b, arguments.path.into(), &alphas, common.out.as_deref(), common.machine.quiet)?;
    emit(common, &record, || readable(&record))?;
    gathering.finish()?;
    Ok(Ended::Done)
}

/// How batch norm's statistics are had along a line, and on a plane unless asked otherwise.
pub(super) const STATISTICS: &str = "recomputed at each point on the training samples, in batches of 256";

/// More is a slip of the hand, and would not fit into memory.
const MOST_POINTS: usize = 1_000_000;

/// `count` evenly spaced numbers from `first` to `last`.
pub(super) fn points(first: f64, last: f64, count: usize) -> Result<Vec<f64>, Error> {
    if !((last - first).is_finite() && first < last) {
        let message = format!("the range runs from {first} to {last}, expected two numbers in ascending order");
        return Err(Error::input(message, "write it like `--range=-1,2`"));
    }
    if count < 2 {
        return Err(Error::input(format!("the line has {count} points"), "give at least 2"));
    }
    if count > MOST_POINTS {
        return Err(Error::input(format!("the line has {count} points"), format!("give at most {MOST_POINTS}")));
    }
    let step = (last - first) / (count - 1) as f64;
    Ok((0..count).map(|i| if i + 1 == count { last } else { first + step * i as f64 }).collect())
}

/// Loss and accuracy, train and test, on a path from A to B, as a record. The statistics of batch norm are computed anew at
/// each point on the training samples: those of the ends belong to other weights, and would turn negative beyond them.
pub(super) fn measure(a: &Subject, b: &Subject, path: Path, alphas: &[f64]) -> anyhow::Result<Record> {
    Ok(gathered(a, b, path, alphas, None, true)?.0)
}

/// The same, with what is kept of it beside `out` until that is written.
fn gathered(
    a: &Subject,
    b: &Subject,
    path: Path,
    alphas: &[f64],
    out: Option<&std::path::Path>,
    quiet: bool,
) -> anyhow::Result<(Record, Gathering<Point>)> {
    let started = Instant::now();
    a.require_same_model(b)?;
    let test = a.data.other_if_any(Split::Test)?;
    require_one_subject(a, b)?;
    let networks = Networks::new(a, test.as_ref(), None)?;
    let what = measurement(a, b, path, alphas)?;
    let mut gathering = Gathering::begin("line", out, what, [alphas.len(), 1], quiet)?;
    let positions: Vec<Position> = (0..alphas.len()).map(|column| Position { column, row: 0 }).collect();
    let value = |&Position { column, .. }: &Position| {
        networks.evaluate(&between(&a.theta, &b.theta, path.weights(alphas[column]))?)
    };
    gathering.gather(&positions, |missing, keep| evaluate(&networks.train, missing, value, keep))?;
    let known: Vec<Point> = positions.iter().filter_map(|&at| gathering.values().get(at)).copied().collect();
    let list = |number: &dyn Fn(&Point) -> Option<f64>| known.iter().filter_map(number).collect::<Vec<f64>>();
    let [train_loss, train_accuracy] = [list(&|point| Some(point.train.loss)), list(&|point| point.train.accuracy)];
    let [test_loss, test_accuracy] = [list(&|point| Some(point.test?.loss)), list(&|point| point.test?.accuracy)];
    let barriers = [("train", &train_loss, &train_accuracy), ("test", &test_loss, &test_accuracy)];
    let barriers =
        barriers.into_iter().filter_map(|(split, loss, accuracy)| Barrier::of(split, alphas, loss, accuracy));
    let line = LineRecord {
        from: endpoint(a),
        to: endpoint(b),
        distance: distance(&a.theta, &b.theta)?,
        path,
        alignment: b.alignment,
        barriers: barriers.collect(),
        batch_norm: (!a.model.buffers().is_empty()).then(|| STATISTICS.into()),
        alpha: alphas.to_vec(),
        train_loss,
        train_accuracy,
        test_loss,
        test_accuracy,
    };
    Ok((Record::new(provenance(a, started)?, Outcome::Line(line)), gathering))
}

/// That of one end without what the other does not share.
pub(super) fn provenance(end: &Subject, started: Instant) -> Result<Provenance, Error> {
    let mut provenance = end.provenance(started)?;
    (provenance.checkpoint, provenance.batch_size, provenance.training_seed) = (None, None, None);
    (provenance.epoch, provenance.step, provenance.optimizer) = (None, None, None);
    Ok(provenance)
}

/// What the values on a path depend on.
fn measurement(a: &Subject, b: &Subject, path: Path, alphas: &[f64]) -> Result<String, Error> {
    let aligned = b.alignment.map_or_else(String::new, |found| format!(", aligned to {} apart", found.distance_after));
    let to = b.checkpoint().blake3.unwrap_or_default();
    Ok(format!("the {path} path from {} to {to:.8}{aligned} at {}", a.measured_on()?, span(alphas)))
}

/// Two checkpoints are compared on one data set and one loss.
pub(super) fn require_one_subject(a: &Subject, b: &Subject) -> Result<(), Error> {
    let differing =
        [("data", a.data.spec.to_string(), b.data.spec.to_string()), ("loss", a.loss.to_string(), b.loss.to_string())];
    let [of_a, of_b] = [a, b].map(|subject| &subject.data.preprocessing);
    if of_a != of_b {
        let named = |inputs: &Preprocessing| if inputs.is_none() { "as stored".into() } else { inputs.to_string() };
        return Err(Error::input(
            format!(
                "`{}` was trained on inputs {}, `{}` on inputs {}",
                a.path.display(),
                named(of_a),
                b.path.display(),
                named(of_b)
            ),
            "give one for both with `--standardize`, `--resize` and `--center-crop`, each of which may be `none`",
        ));
    }
    match differing.into_iter().find(|(_, a, b)| a != b) {
        None => Ok(()),
        Some((what, of_a, of_b)) => Err(Error::input(
            format!("`{}` names the {what} {of_a}, `{}` {of_b}", a.path.display(), b.path.display()),
            format!("name one for both with `--{what}`"),
        )),
    }
}

fn between(a: &Tensor, b: &Tensor, [of_a, of_b]: [f64; 2]) -> candle_core::Result<Tensor> {
    (a * of_a)? + (b * of_b)?
}

/// ‖B − A‖, accumulated in f64.
pub(super) fn distance(a: &Tensor, b: &Tensor) -> Result<f64, Error> {
    let difference = (b.to_dtype(DType::F64)? - a.to_dtype(DType::F64)?)?;
    Ok(vector::dot(&difference, &difference)?.sqrt())
}

pub(super) fn endpoint(subject: &Subject) -> Endpoint {
    Endpoint {
        checkpoint: subject.checkpoint(),
        batch_size: subject.metadata.batch_size,
        training_seed: subject.metadata.seed,
    }
}

fn readable(record: &Record) -> String {
    let Outcome::Line(line) = &record.outcome else { return String::new() };
    let at = |values: &[f64], i: usize| values.get(i).copied();
    let rows = line.alpha.iter().enumerate().map(|(i, alpha)| {
        vec![
            format!("{alpha:.3}"),
            displacement(line, *alpha),
            number(at(&line.train_loss, i)),
            percent(at(&line.train_accuracy, i)),
            number(at(&line.test_loss, i)),
            percent(at(&line.test_accuracy, i)),
        ]
    });
    let head = ["α", "displacement", "train loss", "train accuracy", "test loss", "test accuracy"];
    let barriers: String = line.barriers.iter().map(|found| format!("\n{}", barrier(found, 'α'))).collect();
    let aligned = line.alignment.as_ref().map_or_else(String::new, aligned);
    format!(
        "from {} (α = 0) to {} (α = 1), {} apart{aligned}\n{}{barriers}",
        line.from.checkpoint.path,
        line.to.checkpoint.path,
        number(line.distance),
        table(&head, rows.collect())
    )
}

/// That the hidden units of B were put into another order.
pub(super) fn aligned(alignment: &Alignment) -> String {
    let before = number(alignment.distance_before);
    format!("\nhidden units of the second in the order of the first's, before {before} apart")
}

/// How far the point lies from A on a straight line; on a curved one α is no length.
fn displacement(line: &LineRecord, alpha: f64) -> String {
    match line.path {
        Path::Linear => number(alpha * line.distance),
        Path::Curved => "–".into(),
    }
}

/// A line of text on what stands between the ends, where positions have this name.
pub(super) fn barrier(barrier: &Barrier, position: char) -> String {
    let instability = barrier.instability.map_or_else(String::new, |instability| {
        format!("; instability of the error (Frankle et al.) {}", percent(Some(instability)))
    });
    let Barrier { split, height, alpha, .. } = barrier;
    format!("{split} loss: barrier {} at {position} = {alpha:.3}{instability}", number(*height))
}
