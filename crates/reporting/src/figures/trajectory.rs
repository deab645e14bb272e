//! The way of a run in the plane of its principal components, and the loss along it (Li et al. 2018, figure 9).

use basin_records::Trajectory;
use basin_records::trajectory::Iterate;

use super::loss_surface::{described, grid};
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::checkpoints::short_words;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, cell, numbered, settings};
use crate::landscape::{Landscape, Place, Spacing};
use crate::number;

/// Epochs that are written beside the way at most.
const TICKS: usize = 8;

/// A value of a checkpoint.
type Value = fn(&Iterate) -> Option<f64>;

const LOSSES: [(&str, Dash, Value); 3] = [
    ("train loss", Dash::Solid, |iterate| Some(iterate.train_loss)),
    ("train loss in the plane", Dash::Dotted, |iterate| Some(iterate.projected_train_loss)),
    ("test loss", Dash::Dashed, |iterate| iterate.test_loss),
];

/// A map and a curve of each record.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let all = collection.trajectories();
    let of = |(index, measured)| {
        let stem = numbered("trajectory", index, all.len());
        both(&stem, measured).unwrap_or_default()
    };
    all.iter().enumerate().flat_map(of).collect()
}

fn both(stem: &str, measured: &Measured<'_, Trajectory>) -> Option<Vec<Figure>> {
    let trajectory = measured.result;
    let grid = grid(&trajectory.surface, &trajectory.surface.train_loss, 1)?;
    let [x, y] = [0, 1].map(|index| name(index, trajectory));
    let value = format!("training {}", measured.provenance.loss.as_deref().unwrap_or("loss"));
    let landscape = Landscape { spacing: Spacing::fitting(&grid), grid, x, y, value };
    let run = trajectory.iterates.last().map_or_else(String::new, |last| short_words(&last.checkpoint.path));
    let count = number::plural(trajectory.iterates.len(), "checkpoint");
    let farthest = trajectory.iterates.iter().map(|iterate| iterate.distance).fold(0.0, f64::max);
    let surface = described(&trajectory.surface);
    let map = Figure {
        stem: stem.to_owned(),
        title: format!("The way of {run}"),
        caption: format!(
            "{count} of a run, joined in the order of training, in the plane of the first two principal components \
             through the last one, over the training loss there; numbers are epochs. The components explain {} and {} % \
             of the checkpoints' variance; the checkpoints lie up to {} off the plane.{surface}{}",
            percent(trajectory.explained_variance.first()),
            percent(trajectory.explained_variance.get(1)),
            number::significant(farthest),
            settings([measured.provenance]),
        ),
        drawing: landscape.filled_contours_with_path(&places(&trajectory.iterates)).drawing(),
        numbers: numbers(trajectory).of_records([measured.file]),
    };
    let curve = Figure {
        stem: format!("{stem}-loss"),
        title: format!("The loss along the way of {run}"),
        caption: format!(
            "Loss at the {count} themselves, and the training loss at their projections onto the plane of the map: \
             where the two part, the map does not show what the run saw.{}",
            settings([measured.provenance]),
        ),
        drawing: curves(&trajectory.iterates),
        numbers: numbers(trajectory).of_records([measured.file]),
    };
    Some(vec![map, curve])
}

fn name(index: usize, trajectory: &Trajectory) -> String {
    format!("component {} ({} %)", index + 1, percent(trajectory.explained_variance.get(index)))
}

fn percent(share: Option<&f64>) -> String {
    share.map_or_else(|| "–".into(), |share| number::significant(100.0 * share))
}

/// The checkpoints with the epochs of some of them, the first and the last among them.
fn places(iterates: &[Iterate]) -> Vec<Place> {
    let every = iterates.len().div_ceil(TICKS).max(1);
    let last = iterates.len().saturating_sub(1);
    let named = |index: usize| index == last || index.is_multiple_of(every);
    let place = |(index, iterate): (usize, &Iterate)| Place {
        name: if named(index) { iterate.epoch.unwrap_or(index as u64).to_string() } else { String::new() },
        x: iterate.x,
        y: iterate.y,
    };
    iterates.iter().enumerate().map(place).collect()
}

/// The epochs, or the places in the order where a checkpoint does not know its own.
fn progress(iterates: &[Iterate]) -> (&'static str, Vec<f64>) {
    match iterates.iter().map(|iterate| Some(iterate.epoch? as f64)).collect() {
        Some(epochs) => ("epoch", epochs),
        None => ("checkpoint", (0..iterates.len()).map(|index| index as f64).collect()),
    }
}

fn curves(iterates: &[Iterate]) -> Drawing {
    let (name, along) = progress(iterates);
    let curves: Vec<_> = LOSSES
        .iter()
        .map(|&(name, dash, value)| (name, dash, iterates.iter().map(value).collect::<Vec<Option<f64>>>()))
        .filter(|(_, _, values)| values.iter().any(Option::is_some))
        .collect();
    let key = |index: usize, words: &str, dash: Dash| Key {
        words: words.into(),
        color: look(index).color,
        line: Some(dash),
        marker: None,
    };
    let keys: Vec<Key> = curves.iter().enumerate().map(|(index, (name, dash, _))| key(index, name, *dash)).collect();
    let mut drawing = Drawing::default();
    let region = legend::draw(&mut drawing, &keys);
    let x = Axis::new(name, Scale::linear(along.iter().copied()));
    let values = curves.iter().flat_map(|(_, _, values)| values.iter().flatten().copied());
    let y = Axis::new("loss", Scale::fitting(values));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for (index, (_, dash, values)) in curves.iter().enumerate() {
        let point = |(x, value): (&f64, &Option<f64>)| axes.point(*x, (*value)?);
        let points: Vec<Option<Point>> = along.iter().zip(values).map(point).collect();
        series::line(&mut drawing, &points, look(index).color, 5, *dash, 1.0);
    }
    drawing
}

fn numbers(trajectory: &Trajectory) -> Numbers {
    let mut numbers = Numbers::new(&[
        "checkpoint",
        "epoch",
        "step",
        "x",
        "y",
        "distance",
        "train_loss",
        "projected_train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
    ]);
    for iterate in &trajectory.iterates {
        numbers.push(vec![
            iterate.checkpoint.path.clone(),
            cell(iterate.epoch),
            cell(iterate.step),
            iterate.x.to_string(),
            iterate.y.to_string(),
            iterate.distance.to_string(),
            iterate.train_loss.to_string(),
            iterate.projected_train_loss.to_string(),
            cell(iterate.train_accuracy),
            cell(iterate.test_loss),
            cell(iterate.test_accuracy),
        ]);
    }
    numbers
}
