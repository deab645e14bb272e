//! Accuracy on the training and the test split against the epoch (figure 2 of Keskar et al.).

use std::collections::BTreeMap;

use basin_records::training::{Epoch, Training};

use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, MUTED};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::number;

/// Markers on a mean curve: enough to tell the curves apart in grey, few enough to see the line.
const MARKERS: usize = 6;
const FAINT: f64 = 0.35;

/// Accuracy in percent by epoch.
type Curve = Vec<(f64, f64)>;

struct Split {
    dash: Dash,
    name: &'static str,
    accuracy: fn(&Epoch) -> Option<f64>,
}

const SPLITS: [Split; 2] = [
    Split { dash: Dash::Solid, name: "train", accuracy: |epoch| epoch.train_accuracy },
    Split { dash: Dash::Dashed, name: "test", accuracy: |epoch| epoch.test_accuracy },
];

pub(crate) fn figure(collection: &Collection) -> Option<Figure> {
    let runs = collection.trainings();
    if !runs.values().flat_map(|run| &run.result.epochs).any(|epoch| epoch.train_accuracy.is_some()) {
        return None;
    }
    let sizes = distinct(runs.keys().map(|run| run.batch_size));
    let seeds = distinct(runs.keys().map(|run| run.seed)).len();
    let caption = format!(
        "Accuracy after each epoch at batch {}, on the training split (solid) and the test split (dashed): \
         thick lines are means over {}, taken where every seed has a value; thin lines are single runs.{}",
        sizes_phrase(&sizes),
        number::plural(seeds, "seed"),
        settings(runs.values().map(|run| run.provenance)),
    );
    Some(Figure {
        stem: "accuracy-curves".into(),
        title: "Training and test accuracy".into(),
        caption,
        drawing: draw(collection, &runs, &sizes),
        numbers: numbers(&runs),
    })
}

fn sizes_phrase(sizes: &[u64]) -> String {
    let names: Vec<String> = sizes.iter().map(u64::to_string).collect();
    format!("{} {}", if sizes.len() == 1 { "size" } else { "sizes" }, number::enumerate(&names))
}

fn draw(collection: &Collection, runs: &BTreeMap<RunId, Measured<'_, Training>>, sizes: &[u64]) -> Drawing {
    let mut drawing = Drawing::default();
    let region = legend::draw(&mut drawing, &keys(collection, sizes));
    let curves: Vec<Curve> =
        SPLITS.iter().flat_map(|split| runs.values().map(|run| curve(run.result, split))).collect();
    let x = Axis::new("epoch", Scale::linear(curves.iter().flatten().map(|point| point.0)));
    let y = Axis::new("accuracy / %", Scale::linear(curves.iter().flatten().map(|point| point.1)));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for &size in sizes {
        let look = collection.look(size);
        for split in &SPLITS {
            let of_size = runs.iter().filter(|(run, _)| run.batch_size == size);
            let seeds: Vec<Curve> = of_size.map(|(_, run)| curve(run.result, split)).collect();
            draw_split(&mut drawing, &axes, &seeds, look, split.dash);
        }
    }
    drawing
}

fn draw_split(drawing: &mut Drawing, axes: &Axes, seeds: &[Curve], look: Look, dash: Dash) {
    let place = |curve: &Curve| -> Vec<Option<Point>> { curve.iter().map(|&(x, y)| axes.point(x, y)).collect() };
    if seeds.len() > 1 {
        for seed in seeds {
            series::line(drawing, &place(seed), look.color, 2, dash, FAINT);
        }
    }
    let mean = place(&mean(seeds));
    series::line(drawing, &mean, look.color, 5, dash, 1.0);
    let every = mean.len().div_ceil(MARKERS).max(1);
    // Counted from the end, so that the accuracy reached carries a marker; the splits take turns, for they lie close.
    let first = if dash == Dash::Solid { 0 } else { every / 2 };
    for point in mean.iter().rev().skip(first).step_by(every).flatten() {
        series::marker(drawing, *point, look.marker, look.color, dash == Dash::Solid);
    }
}

fn keys(collection: &Collection, sizes: &[u64]) -> Vec<Key> {
    let by_size = sizes.iter().map(|&size| {
        let look = collection.look(size);
        Key {
            words: format!("batch {size}"),
            color: look.color,
            line: Some(Dash::Solid),
            marker: Some((look.marker, true)),
        }
    });
    let by_split =
        SPLITS.iter().map(|split| Key { words: split.name.into(), color: MUTED, line: Some(split.dash), marker: None });
    by_size.chain(by_split).collect()
}

fn curve(training: &Training, split: &Split) -> Curve {
    let percent = |epoch: &Epoch| 100.0 * (split.accuracy)(epoch).unwrap_or(f64::NAN);
    training.epochs.iter().map(|epoch| (epoch.epoch as f64, percent(epoch))).collect()
}

/// Mean over the seeds at the epochs that all of them have; elsewhere it would jump when a run ends.
fn mean(seeds: &[Curve]) -> Curve {
    let mut sums: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
    for &(epoch, value) in seeds.iter().flatten() {
        let sum = sums.entry(epoch as u64).or_default();
        *sum = (sum.0 + value, sum.1 + 1);
    }
    let complete = sums.into_iter().filter(|(_, (_, count))| *count == seeds.len());
    complete.map(|(epoch, (sum, count))| (epoch as f64, sum / count as f64)).collect()
}

fn numbers(runs: &BTreeMap<RunId, Measured<'_, Training>>) -> Numbers {
    let mut numbers = Numbers::new(&[
        "batch_size",
        "seed",
        "epoch",
        "step",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
    ]);
    for (run, measured) in runs {
        for epoch in &measured.result.epochs {
            numbers.push(vec![
                run.batch_size.to_string(),
                cell(run.seed),
                epoch.epoch.to_string(),
                epoch.step.to_string(),
                epoch.train_loss.to_string(),
                cell(epoch.train_accuracy),
                cell(epoch.test_loss),
                cell(epoch.test_accuracy),
            ]);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn the_mean_ends_where_the_first_run_ends() {
        let long = vec![(1.0, 50.0), (2.0, 60.0), (3.0, 90.0)];
        let short = vec![(1.0, 70.0), (2.0, 80.0)];
        assert_eq!(mean(&[long, short]), [(1.0, 60.0), (2.0, 70.0)]);
    }
}
