//! What was observed on the way, against the epoch: strides, gradients, curvature and the edge of stability.

use std::collections::BTreeMap;

use basin_records::Training;

use super::curves_of_seeds::{self, Curve};
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, MUTED};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::number;
use crate::observables::{ALL, Observable, by_run};
use crate::statistics::Moments;

/// The level of the edge of stability, in a record.
const TWO_OVER_RATE: &str = "two_over_rate";

type Runs<'a> = BTreeMap<RunId, Measured<'a, Training>>;

/// One figure for each observable that some run has at two epochs or more.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let runs = collection.trainings();
    ALL.iter().filter_map(|observable| figure(collection, &runs, observable)).collect()
}

/// How near to 2/η what is compared with it stays at the end of training, one sentence for each.
pub(crate) fn findings(collection: &Collection) -> Vec<String> {
    let runs = collection.trainings();
    let of = |observable: &Observable| {
        let (values, edges) = (by_run(&runs, observable.name), by_run(&runs, TWO_OVER_RATE));
        let of_group = |&group: &Group| {
            let ratios = values.iter().filter(|(run, _)| run.group == group);
            let ratios = ratios.flat_map(|(run, curve)| at_the_end(curve, edges.get(run)));
            let found = Moments::of(&ratios.collect::<Vec<_>>())?;
            let ratio = number::with_spread(found.mean, found.std);
            Some(format!("{ratio} times 2/η ({})", collection.groups.long_words(group)))
        };
        let found: Vec<String> = collection.groups.all().iter().filter_map(of_group).collect();
        (!found.is_empty())
            .then(|| format!("{} in the last quarter of the epochs: {}.", observable.title, number::enumerate(&found)))
    };
    ALL.iter().filter(|observable| observable.against_rate).filter_map(of).collect()
}

/// A curve over another one in the last quarter of the epochs.
fn at_the_end(curve: &Curve, edge: Option<&Curve>) -> Vec<f64> {
    let last = curve.last().map_or(0.0, |(epoch, _)| *epoch);
    let late = curve.iter().filter(|(epoch, _)| *epoch > 0.75 * last);
    let over = |(epoch, value): &(f64, f64)| Some(value / edge?.iter().find(|(at, _)| at == epoch)?.1);
    late.filter_map(over).collect()
}

fn figure(collection: &Collection, runs: &Runs<'_>, observable: &Observable) -> Option<Figure> {
    let key = observable.first_key(runs)?;
    let curves = by_run(runs, &key);
    curves.values().any(|curve| curve.len() > 1).then_some(())?;
    let level = if observable.against_rate { by_run(runs, TWO_OVER_RATE) } else { BTreeMap::new() };
    let selection = collection.groups.selection(&distinct(curves.keys().map(|run| run.group)));
    let layer = observable.layer(&key).map_or_else(String::new, |layer| format!(", layer {layer} (all in the CSV)"));
    let compared = if level.is_empty() { "" } else { "; dotted 2/η, at which plain descent loses its stability" };
    let caption = format!(
        "{} ({}){layer} along training: thick lines are means over seeds, thin ones single runs{compared}.{}{}",
        observable.title,
        observable.axis,
        selection.statement,
        settings(runs.values().map(|run| run.provenance)),
    );
    Some(Figure {
        stem: observable.stem(),
        title: format!("{} along training", observable.title),
        caption,
        drawing: draw(&collection.groups, observable, &curves, &level, &selection.groups),
        numbers: numbers(&collection.groups, runs, observable),
    })
}

fn draw(
    groups: &Groups,
    observable: &Observable,
    curves: &BTreeMap<RunId, Curve>,
    level: &BTreeMap<RunId, Curve>,
    shown: &[Group],
) -> Drawing {
    let mut drawing = Drawing::default();
    let mut keys: Vec<Key> = shown
        .iter()
        .map(|&group| {
            let look = groups.look(group);
            let marker = Some((look.marker, true));
            Key { words: groups.words(group), color: look.color, line: Some(Dash::Solid), marker }
        })
        .collect();
    if !level.is_empty() {
        keys.push(Key { words: "2/η".into(), color: MUTED, line: Some(Dash::Dotted), marker: None });
    }
    let region = legend::draw(&mut drawing, &keys);
    let of_shown = curves.iter().chain(level).filter(|(run, _)| shown.contains(&run.group));
    let points = || of_shown.clone().flat_map(|(_, curve)| curve);
    let x = Axis::new("epoch", Scale::linear(points().map(|point| point.0)));
    let values: Vec<f64> = points().map(|point| point.1).collect();
    let y = Axis::new(observable.axis, Scale::fitting(values.iter().copied()));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for &group in shown {
        let look = groups.look(group);
        let of_group = |curves: &BTreeMap<RunId, Curve>| -> Vec<Curve> {
            curves.iter().filter(|(run, _)| run.group == group).map(|(_, curve)| curve.clone()).collect()
        };
        let edge = curves_of_seeds::mean(&of_group(level));
        let edge: Vec<_> = edge.iter().map(|&(x, y)| axes.point(x, y)).collect();
        series::line(&mut drawing, &edge, look.color, 3, Dash::Dotted, 1.0);
        curves_of_seeds::draw(&mut drawing, &axes, &of_group(curves), look, Dash::Solid);
    }
    drawing
}

/// Everything of the name, all layers included.
fn numbers(groups: &Groups, runs: &Runs<'_>, observable: &Observable) -> Numbers {
    let mut numbers = Numbers::new(&groups.columns(&["batch_size", "seed", "epoch", "name", "value"]));
    for (run, measured) in runs {
        for epoch in &measured.result.epochs {
            let ours = |name: &str| name == observable.name || observable.layer(name).is_some();
            for (name, value) in epoch.observed.iter().filter(|(name, _)| ours(name)) {
                let (size, seed) = (run.group.batch_size.to_string(), cell(run.seed));
                let cells = vec![size, seed, epoch.epoch.to_string(), name.clone(), value.to_string()];
                numbers.push(groups.cells(run.group.variant, cells));
            }
        }
    }
    numbers
}
