//! Accuracy on the training and the test split against the epoch (figure 2 of Keskar et al.), or the loss where the
//! targets are no classes.

use std::collections::BTreeMap;

use basin_records::training::{Epoch, Training};

use super::curves_of_seeds::{self, Curve};
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, MUTED};
use crate::chart::scale::Scale;
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::number;

struct Split {
    dash: Dash,
    name: &'static str,
    accuracy: fn(&Epoch) -> Option<f64>,
    loss: fn(&Epoch) -> Option<f64>,
}

/// What is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Quantity {
    Accuracy,
    Loss,
}

impl Quantity {
    fn of(self, split: &Split, epoch: &Epoch) -> f64 {
        match self {
            Self::Accuracy => 100.0 * (split.accuracy)(epoch).unwrap_or(f64::NAN),
            Self::Loss => (split.loss)(epoch).unwrap_or(f64::NAN),
        }
    }

    fn axis(self, values: impl Iterator<Item = f64> + Clone) -> Axis {
        match self {
            Self::Accuracy => Axis::new("accuracy / %", Scale::linear(values)),
            Self::Loss => Axis::new("loss", Scale::fitting(values)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        }
    }
}

const SPLITS: [Split; 2] = [
    Split {
        dash: Dash::Solid,
        name: "train",
        accuracy: |epoch| epoch.train_accuracy,
        loss: |epoch| Some(epoch.train_loss),
    },
    Split { dash: Dash::Dashed, name: "test", accuracy: |epoch| epoch.test_accuracy, loss: |epoch| epoch.test_loss },
];

pub(crate) fn figure(collection: &Collection) -> Option<Figure> {
    let runs = collection.trainings();
    let mut epochs = runs.values().flat_map(|run| &run.result.epochs).peekable();
    epochs.peek()?;
    let quantity = if epochs.any(|epoch| epoch.train_accuracy.is_some()) { Quantity::Accuracy } else { Quantity::Loss };
    let selection = collection.groups.selection(&distinct(runs.keys().map(|run| run.group)));
    let sizes = distinct(selection.groups.iter().map(|group| group.batch_size));
    let seeds = distinct(runs.keys().map(|run| run.seed)).len();
    let caption = format!(
        "{} after each epoch at batch {}, on the training split (solid) and the test split (dashed): \
         thick lines are means over {}, taken where every seed has a value; thin lines are single runs.{}{}",
        title(quantity),
        sizes_phrase(&sizes),
        number::plural(seeds, "seed"),
        selection.statement,
        settings(runs.values().map(|run| run.provenance)),
    );
    Some(Figure {
        stem: format!("{}-curves", quantity.name()),
        title: format!("Training and test {}", quantity.name()),
        caption,
        drawing: draw(&collection.groups, &runs, &selection.groups, quantity),
        numbers: numbers(&collection.groups, &runs),
    })
}

fn title(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Accuracy => "Accuracy",
        Quantity::Loss => "Loss",
    }
}

fn sizes_phrase(sizes: &[u64]) -> String {
    let names: Vec<String> = sizes.iter().map(u64::to_string).collect();
    format!("{} {}", if sizes.len() == 1 { "size" } else { "sizes" }, number::enumerate(&names))
}

fn draw(
    groups: &Groups,
    runs: &BTreeMap<RunId, Measured<'_, Training>>,
    shown: &[Group],
    quantity: Quantity,
) -> Drawing {
    let mut drawing = Drawing::default();
    let region = legend::draw(&mut drawing, &keys(groups, shown));
    let of_shown = || runs.iter().filter(|(run, _)| shown.contains(&run.group));
    let curves: Vec<Curve> =
        SPLITS.iter().flat_map(|split| of_shown().map(|(_, run)| curve(run.result, split, quantity))).collect();
    let x = Axis::new("epoch", Scale::linear(curves.iter().flatten().map(|point| point.0)));
    let y = quantity.axis(curves.iter().flatten().map(|point| point.1));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for &group in shown {
        let look = groups.look(group);
        for split in &SPLITS {
            let of_group = runs.iter().filter(|(run, _)| run.group == group);
            let seeds: Vec<Curve> = of_group.map(|(_, run)| curve(run.result, split, quantity)).collect();
            curves_of_seeds::draw(&mut drawing, &axes, &seeds, look, split.dash);
        }
    }
    drawing
}

fn keys(groups: &Groups, shown: &[Group]) -> Vec<Key> {
    let by_group = shown.iter().map(|&group| {
        let look = groups.look(group);
        Key {
            words: groups.words(group),
            color: look.color,
            line: Some(Dash::Solid),
            marker: Some((look.marker, true)),
        }
    });
    let by_split =
        SPLITS.iter().map(|split| Key { words: split.name.into(), color: MUTED, line: Some(split.dash), marker: None });
    by_group.chain(by_split).collect()
}

fn curve(training: &Training, split: &Split, quantity: Quantity) -> Curve {
    training.epochs.iter().map(|epoch| (epoch.epoch as f64, quantity.of(split, epoch))).collect()
}

fn numbers(groups: &Groups, runs: &BTreeMap<RunId, Measured<'_, Training>>) -> Numbers {
    let mut numbers = Numbers::new(&groups.columns(&[
        "batch_size",
        "seed",
        "epoch",
        "step",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
    ]));
    for (run, measured) in runs {
        for epoch in &measured.result.epochs {
            let cells = vec![
                run.group.batch_size.to_string(),
                cell(run.seed),
                epoch.epoch.to_string(),
                epoch.step.to_string(),
                epoch.train_loss.to_string(),
                cell(epoch.train_accuracy),
                cell(epoch.test_loss),
                cell(epoch.test_accuracy),
            ];
            numbers.push(groups.cells(run.group.variant, cells));
        }
    }
    numbers
}
