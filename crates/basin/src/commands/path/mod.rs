//! `basin landscape path`: a curve of low loss from one checkpoint to another, beside the straight line.

mod bends;
mod readable;
mod unfinished;

use std::time::{Duration, Instant};

use basin_landscape::{Curve, CurveState, CurveTraining, Position, evaluate};
use basin_objective::data::Split;
use basin_objective::models::BatchNorm;
use basin_objective::{Error, NetworkOptions, SampledNetwork};
use basin_records::connection::{Profile, Shape, Training};
use basin_records::{Connection, Outcome, Record};
use basin_sharpness::deterministic_gradient;

use super::grid::{Gathering, Networks, Point, require_plain, span};
use super::line;
use crate::arguments::Path;
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::number;
use unfinished::Unfinished;

/// Garipov and others'.
const MOMENTUM: f64 = 0.9;
/// Time between two saved states of a curve that is being trained.
const SAVE_EVERY: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Path) -> anyhow::Result<Ended> {
    let t = checked(arguments)?;
    let (a, b) = ends(arguments)?;
    let started = Instant::now();
    let training = training(arguments, &a)?;
    let test = a.data.other_if_any(Split::Test)?;
    let networks = Networks::new(&a, test.as_ref(), None)?;
    deterministic_gradient(&networks.train, &a.theta)?;
    let what = measurement(arguments, &training, &a, &b)?;
    let (out, quiet) = (arguments.common.out.as_deref(), arguments.common.machine.quiet);
    let unfinished = out.map(|out| Unfinished::new(out, what.clone()));
    let places = format!("{what}, and the straight line, at {}", span(&t));
    let mut gathering = Gathering::begin("path", out, places, [t.len(), 2], quiet)?;
    let start = Curve::straight(arguments.curve.into(), &a.theta, &b.theta, arguments.bends)?;
    let state = trained(&training, start, &a, unfinished.as_ref(), quiet)?;
    if let Some(path) = &arguments.save_bends {
        bends::save(path, &a, &state.curve)?;
    }
    let straight = Curve::straight(Shape::Chain, &a.theta, &b.theta, 0)?;
    let [curve, line] = profiles([&state.curve, &straight], &t, &networks, &mut gathering)?;
    let mut provenance = line::provenance(&a, started)?;
    let points = networks.gradient_equivalents(0, 2 * t.len());
    provenance.gradient_equivalents = Some(training.settings.epochs as f64 + points);
    let connection = Connection {
        from: line::endpoint(&a),
        to: line::endpoint(&b),
        distance: line::distance(&a.theta, &b.theta)?,
        alignment: b.alignment,
        shape: state.curve.shape(),
        bends: arguments.bends as u64,
        training: training.settings,
        file: arguments.save_bends.as_ref().map(|path| path.display().to_string()),
        batch_norm: networks.batch_norm().map(str::to_owned),
        arclength: state.curve.arclength(&t)?,
        curve,
        line,
        t,
    };
    let record = Record::new(provenance, Outcome::Connection(Box::new(connection)));
    emit(&arguments.common, &record, || readable::text(&record))?;
    gathering.finish()?;
    if let Some(unfinished) = &unfinished {
        unfinished.finish()?;
    }
    Ok(Ended::Done)
}

/// The positions on the curve, once what was typed is known to make sense.
fn checked(arguments: &Path) -> Result<Vec<f64>, Error> {
    if arguments.bends == 0 {
        let message = "a path without bends is the straight line";
        return Err(Error::input(message, "give at least 1, or use `basin landscape line`"));
    }
    if arguments.bends > MOST_BENDS {
        let message = format!("the path has {} bends", arguments.bends);
        return Err(Error::input(message, format!("give at most {MOST_BENDS}")));
    }
    require_plain(&arguments.common, "a path")?;
    if let Some(path) = &arguments.save_bends {
        bends::check(path, [&arguments.a, &arguments.b])?;
    }
    line::points(0.0, 1.0, arguments.points)
}

/// More is a slip of the hand: each is a vector of the parameters' length, and has another.
const MOST_BENDS: usize = 1000;

/// Both ends, the second one aligned with the first where that is asked for.
fn ends(arguments: &Path) -> Result<(Subject, Subject), Error> {
    let a = Subject::load(&arguments.a, &arguments.common)?;
    let b = Subject::load(&arguments.b, &arguments.common)?;
    a.require_same_model(&b)?;
    line::require_one_subject(&a, &b)?;
    let b = if arguments.align { b.aligned_with(&a)? } else { b };
    Ok((a, b))
}

fn training(arguments: &Path, a: &Subject) -> Result<CurveTraining, Error> {
    let settings = Training {
        epochs: arguments.epochs,
        batch_size: arguments.batch_size,
        learning_rate: arguments.learning_rate,
        momentum: MOMENTUM,
        weight_decay: arguments.weight_decay,
    };
    let training = CurveTraining { settings, seed: arguments.common.seed };
    training.check(a.data.samples())?;
    Ok(training)
}

/// What the trained curve depends on.
fn measurement(arguments: &Path, training: &CurveTraining, a: &Subject, b: &Subject) -> anyhow::Result<String> {
    let provenance = a.provenance(Instant::now())?;
    let [of_a, of_b] = [a, b].map(|end| end.checkpoint().blake3.unwrap_or_default());
    let Training { epochs, batch_size, learning_rate, momentum, weight_decay } = training.settings;
    Ok(format!(
        "the {} of {} bends from {of_a:.8} to {of_b:.8}{} on the data {:.8}, {}, {} on {}, {epochs} epochs of batches of \
         {batch_size}, learning rate {learning_rate}, momentum {momentum}, weight decay {weight_decay}, seed {}",
        Shape::from(arguments.curve),
        arguments.bends,
        if arguments.align { " aligned" } else { "" },
        provenance.data.and_then(|data| data.blake3).unwrap_or_default(),
        provenance.loss.unwrap_or_default(),
        provenance.dtype.unwrap_or_default(),
        provenance.device.unwrap_or_default(),
        training.seed,
    ))
}

/// The curve with trained bends. Its state is kept now and then, when it is interrupted and at its end.
fn trained(
    training: &CurveTraining,
    start: Curve,
    a: &Subject,
    unfinished: Option<&Unfinished>,
    quiet: bool,
) -> anyhow::Result<CurveState> {
    let state = CurveState::new(start)?;
    let mut state = unfinished.map_or(Ok(state.clone()), |unfinished| unfinished.resumed(state))?;
    if state.step > 0 && !quiet {
        exit::tell(&format!("note: {} steps are known from a run that was stopped", state.step));
    }
    // The samples of a step are one batch, whose statistics batch norm uses.
    let batches = a.batches();
    let options = NetworkOptions { batch_norm: BatchNorm::Batch, micro_batch: None, ..batches.options.clone() };
    let batches = SampledNetwork { options, ..batches };
    let steps = state.step;
    if let Some(unfinished) = unfinished
        && steps == 0
    {
        unfinished.keep(&state)?;
    }
    let mut progress = Progress::new("train the path", 0, quiet);
    let mut saved = Instant::now();
    let ended = training.train(&batches, &mut state, |state, at| {
        progress.set_of(at.step, at.steps, format!("batch loss {}", number(at.loss)));
        if let Some(unfinished) = unfinished
            && saved.elapsed() > SAVE_EVERY
        {
            unfinished.keep(state)?;
            saved = Instant::now();
        }
        interruption::check()
    });
    match (&ended, unfinished) {
        (Ok(()) | Err(Error::Interrupted), Some(unfinished)) if steps < state.step => unfinished.keep(&state)?,
        _ => {}
    }
    ended?;
    Ok(state)
}

/// Loss and accuracy on two paths, each a row of what is gathered.
fn profiles(
    paths: [&Curve; 2],
    t: &[f64],
    networks: &Networks<'_>,
    gathering: &mut Gathering<Point>,
) -> Result<[Profile; 2], Error> {
    let row = |row: usize| (0..t.len()).map(move |column| Position { column, row });
    let positions: Vec<Position> = [0, 1].into_iter().flat_map(row).collect();
    let value = |&Position { column, row }: &Position| networks.evaluate(&paths[row].at(t[column])?);
    gathering.gather(&positions, |missing, keep| evaluate(&networks.train, missing, value, keep))?;
    let profile = |path: usize| {
        let mut profile = Profile::default();
        for Point { train, test } in row(path).filter_map(|position| gathering.values().get(position)) {
            profile.train_loss.push(train.loss);
            profile.train_accuracy.extend(train.accuracy);
            profile.test_loss.extend(test.map(|test| test.loss));
            profile.test_accuracy.extend(test.and_then(|test| test.accuracy));
        }
        profile.with_barriers(t)
    };
    Ok([0, 1].map(profile))
}
