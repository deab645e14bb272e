//! What was observed of each layer, layer by layer (figure 2 of Gao and Zhong).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use basin_records::Training;
use basin_records::training::Epoch;

use super::batch_size_axis::apart;
use super::panels::{self, Panel, Series, Style, logarithmic_if_positive};
use crate::chart::axes::Axis;
use crate::chart::scale::{Scale, Tick};
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::number;
use crate::observables::{ALL, Observable};
use crate::statistics::Moments;

/// Fewer layers are no profile.
const FEWEST_LAYERS: usize = 2;

type Runs<'a> = BTreeMap<RunId, Measured<'a, Training>>;

/// One figure for each observable that some run has of two layers or more.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let runs = collection.trainings();
    ALL.iter().filter_map(|observable| figure(&collection.groups, &runs, observable)).collect()
}

/// Between which layers' means each observable lies of which a profile over the layers is all there is to say.
pub(crate) fn findings(collection: &Collection) -> Vec<String> {
    let (groups, runs) = (&collection.groups, collection.trainings());
    let of = |observable: &Observable| {
        let layers = layers(&runs, observable);
        (layers.len() >= FEWEST_LAYERS).then_some(())?;
        let of_group = |&group: &Group| {
            let profile = profile(&runs, observable, &layers, group);
            let end = |&(place, moments): &(usize, Moments)| {
                format!("{} ({})", number::with_spread(moments.mean, moments.std), layers[place])
            };
            let least = profile.iter().min_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
            let most = profile.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
            Some(format!("from {} to {} at {}", end(least), end(most), groups.long_words(group)))
        };
        let found: Vec<String> = groups.all().iter().filter_map(of_group).collect();
        Some(format!("{} in the last epoch that has it: {}.", observable.title, number::enumerate(&found)))
    };
    ALL.iter().filter(|observable| observable.predicted_power.is_none()).filter_map(of).collect()
}

fn figure(groups: &Groups, runs: &Runs<'_>, observable: &Observable) -> Option<Figure> {
    let layers = layers(runs, observable);
    (layers.len() >= FEWEST_LAYERS).then_some(())?;
    let selection = groups.selection(&distinct(runs.keys().map(|run| run.group)));
    let series = |&group: &Group| {
        let profile = profile(runs, observable, &layers, group).into_iter();
        let points = profile.map(|(place, moments)| (place as f64, moments)).collect();
        Series { look: groups.look(group), style: Style::Line, points }
    };
    let panels = [Panel {
        name: observable.axis.into(),
        scale: logarithmic_if_positive,
        series: selection.groups.iter().map(series).collect(),
    }];
    let keys: Vec<_> = selection
        .groups
        .iter()
        .map(|&group| panels::key(groups.words(group), groups.look(group), Style::Line))
        .collect();
    let caption = format!(
        "{} ({}) of each layer in the last epoch that has it: means over seeds ± standard deviation.{}{}{}",
        observable.title,
        observable.axis,
        selection.statement,
        panels::left_out(&panels),
        settings(runs.values().map(|run| run.provenance)),
    );
    Some(Figure {
        stem: format!("{}-by-layer", observable.stem()),
        title: format!("{} by layer", observable.title),
        caption,
        drawing: panels::draw(&keys, &axis(&layers), &panels),
        numbers: numbers(groups, runs, observable, &layers),
    })
}

/// The means over a group's runs of each layer that they have, by its place.
fn profile(runs: &Runs<'_>, observable: &Observable, layers: &[String], group: Group) -> Vec<(usize, Moments)> {
    let of_layer = |(place, layer): (usize, &String)| {
        let of_group = runs.iter().filter(|(run, _)| run.group == group);
        let values: Vec<f64> = of_group.filter_map(|(_, run)| last(run.result, observable, layer)).collect();
        Some((place, Moments::of(&values)?))
    };
    layers.iter().enumerate().filter_map(of_layer).collect()
}

/// The layers that some epoch has, numbers in their names counted.
fn layers(runs: &Runs<'_>, observable: &Observable) -> Vec<String> {
    let epochs = runs.values().flat_map(|run| &run.result.epochs);
    let names = epochs.flat_map(|epoch| epoch.observed.keys()).filter_map(|key| observable.layer(key));
    let mut layers: Vec<String> = distinct(names).into_iter().map(str::to_owned).collect();
    layers.sort_by(|a, b| by_number(a, b));
    layers
}

/// The value of a layer in the last epoch that has one.
fn last(training: &Training, observable: &Observable, layer: &str) -> Option<f64> {
    let of_epoch = |epoch: &Epoch| epoch.observed.get(&format!("{}.{layer}", observable.name)).copied();
    training.epochs.iter().rev().find_map(of_epoch)
}

/// `conv2` before `conv10`: names are compared part by part, digits as numbers.
fn by_number(a: &str, b: &str) -> Ordering {
    let parts = |name: &str| -> Vec<(String, u64)> {
        let ends = |name: &str| name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
        let mut parts = Vec::new();
        let mut rest = name;
        while !rest.is_empty() {
            let (word, behind) = rest.split_at(ends(rest));
            let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
            parts.push((word.to_owned(), behind[..digits].parse().unwrap_or(0)));
            rest = &behind[digits..];
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

/// A place for each layer, as many of them named as have room.
fn axis(layers: &[String]) -> Axis {
    let scale = Scale::between(-0.5, layers.len() as f64 - 0.5);
    let every = |stride: usize| -> Vec<Tick> {
        let label = |place: usize, layer: &String| place.is_multiple_of(stride).then(|| layer.clone());
        let tick = |(place, layer)| Tick { value: place as f64, label: label(place, layer) };
        layers.iter().enumerate().map(tick).collect()
    };
    let fitting = (1..=layers.len()).map(every).find(|ticks| apart(ticks, scale));
    Axis::new("layer", scale).with_ticks(fitting.unwrap_or_default())
}

fn numbers(groups: &Groups, runs: &Runs<'_>, observable: &Observable, layers: &[String]) -> Numbers {
    let mut numbers = Numbers::new(&groups.columns(&["batch_size", "seed", "layer", "value"]));
    for (run, measured) in runs {
        for layer in layers {
            if let Some(value) = last(measured.result, observable, layer) {
                let (size, seed) = (run.group.batch_size.to_string(), cell(run.seed));
                numbers.push(groups.cells(run.group.variant, vec![size, seed, layer.clone(), value.to_string()]));
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::by_number;

    #[test]
    fn layers_are_in_the_order_of_their_numbers() {
        let mut names = ["fc2", "conv10", "layer2.0.conv1", "conv2", "layer1.1.conv2", "fc1", "conv"];
        names.sort_by(|a, b| by_number(a, b));
        assert_eq!(names, ["conv", "conv2", "conv10", "fc1", "fc2", "layer1.1.conv2", "layer2.0.conv1"]);
    }
}
