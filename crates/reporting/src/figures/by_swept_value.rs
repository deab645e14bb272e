//! What was found against the value that the variants sweep: the minima (for warm starts figure 5 of Keskar et al.), and what was
//! observed in the first epoch (figure 9 of Gao and Zhong).

use super::panels::{self, Panel, Series, Style};
use crate::chart::axes::Axis;
use crate::chart::legend::Key;
use crate::chart::palette::Look;
use crate::chart::scale::Scale;
use crate::collection::Collection;
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::minima::{Minima, shown};
use crate::number;
use crate::observables::{ALL, Observable, in_first_epoch};
use crate::statistics::Moments;
use crate::variants::{Quantity, trends};

/// Values from which there is a line.
const FEWEST_VALUES: usize = 2;

/// What a plot and a CSV file call it.
const ACCURACY: &str = "test accuracy / %";

/// A quantity of one batch size at each value, ascending.
struct Line {
    words: String,
    batch_size: u64,
    look: Look,
    points: Vec<Point>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    variant: Option<usize>,
    value: f64,
    moments: Moments,
}

/// Test accuracy and sharpness of the minima, and the figures of what was observed.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let Some(swept) = collection.groups.swept() else { return Vec::new() };
    let observed = ALL.iter().filter_map(|observable| observed(collection, swept, observable));
    minima(collection, swept).into_iter().chain(observed).collect()
}

/// How what was observed in the first epoch goes with the value, a sentence for each batch size.
pub(crate) fn findings(collection: &Collection) -> Vec<String> {
    let runs = collection.trainings();
    let of = |observable: &Observable| {
        let key = observable.first_key(&runs)?;
        let layer = observable.layer(&key).map_or_else(String::new, |layer| format!(" of layer {layer}"));
        let title = format!("{}{layer} in the first epoch", observable.title);
        Some(trends(&collection.groups, &Quantity::observed(title, |group| in_first_epoch(&runs, group, &key))))
    };
    ALL.iter().filter_map(of).flatten().collect()
}

fn minima(collection: &Collection, swept: &str) -> Option<Figure> {
    let groups = &collection.groups;
    let minima = Minima::of(collection);
    let way = minima.first_way();
    let starts: Vec<u64> = groups.batch_sizes_of(None);
    let after = if starts.is_empty() { "" } else { " after" };
    let mut accuracy = lines(groups, after, &|group| minima.test_accuracies(group));
    accuracy.extend(starts.iter().map(|&size| before(groups, &minima, size)));
    accuracy.retain(|line| line.points.len() >= FEWEST_VALUES);
    let sharpness = lines(groups, after, &|group| way.map_or_else(Vec::new, |way| minima.sharpness(group, way)));
    let quantities: Vec<(&str, &[Line])> = [(ACCURACY, accuracy.as_slice()), ("sharpness φ / %", &sharpness)]
        .into_iter()
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    (!quantities.is_empty()).then_some(())?;

    let sharpness_name = way.map_or_else(String::new, |way| way.quantity());
    let panels: Vec<Panel> = quantities.iter().map(|(name, lines)| panel(name, lines)).collect();
    let mut keys: Vec<Key> = Vec::new();
    for line in quantities.iter().flat_map(|(_, lines)| *lines) {
        let key = panels::key(line.words.clone(), line.look, Style::Line);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let of_start = match starts.as_slice() {
        [] => "",
        _ => {
            " Lines “before” are the accuracy of the runs that the others started from, at that epoch; “after” is at the end \
             of the run that went on from there."
        }
    };
    let [title, measured] = shown(!accuracy.is_empty(), way.filter(|_| !sharpness.is_empty()));
    let caption = format!(
        "{measured} at the end of training against {swept}: means over seeds ± standard deviation.{of_start}{}{}{}",
        without_value(groups),
        panels::left_out(&panels),
        settings(minima.trainings.values().map(|run| run.provenance)),
    );
    Some(Figure {
        stem: "minima-by-swept-value".into(),
        title: format!("{title} against {swept}"),
        caption,
        drawing: panels::draw(&keys, &axis(groups, swept), &panels),
        numbers: numbers(groups, &[(ACCURACY, accuracy.as_slice()), (&sharpness_name, &sharpness)]),
    })
}

/// One line per batch size, over the variants that have a value.
fn lines(groups: &Groups, word: &str, of: &dyn Fn(Group) -> Vec<f64>) -> Vec<Line> {
    let with_value = |group: &&Group| groups.value(**group).is_some();
    let sizes = distinct(groups.all().iter().filter(with_value).map(|group| group.batch_size));
    let line = |batch_size: u64| {
        let of_size = groups.all().iter().filter(|group| group.batch_size == batch_size);
        let point = |&group: &Group| {
            let (variant, value) = (group.variant, groups.value(group)?);
            Some(Point { variant, value, moments: Moments::of(&of(group))? })
        };
        let mut points: Vec<Point> = of_size.filter_map(point).collect();
        points.sort_by(|a, b| a.value.total_cmp(&b.value));
        Line {
            words: format!("batch {batch_size}{word}"),
            batch_size,
            look: groups.batch_size_look(batch_size),
            points,
        }
    };
    let mut lines: Vec<Line> = sizes.into_iter().map(line).collect();
    lines.sort_by_key(|line| line.batch_size);
    lines.retain(|line| line.points.len() >= FEWEST_VALUES);
    lines
}

/// The accuracy of the starting runs of a batch size at each epoch that others started from.
fn before(groups: &Groups, minima: &Minima<'_>, batch_size: u64) -> Line {
    let start = Group { variant: None, batch_size };
    let point = |value: f64| {
        let epoch = Some(value).filter(|value| value.fract() == 0.0 && *value >= 0.0)? as u64;
        Some(Point { variant: None, value, moments: Moments::of(&minima.test_accuracies_at(start, epoch))? })
    };
    Line {
        words: format!("batch {batch_size} before"),
        batch_size,
        look: groups.look(start),
        points: groups.values().into_iter().filter_map(point).collect(),
    }
}

fn observed(collection: &Collection, swept: &str, observable: &Observable) -> Option<Figure> {
    let groups = &collection.groups;
    let runs = collection.trainings();
    let key = observable.first_key(&runs)?;
    let of_name = |name: &str| lines(groups, "", &|group| in_first_epoch(&runs, group, name));
    let drawn = of_name(&key);
    (!drawn.is_empty()).then_some(())?;
    let layer =
        observable.layer(&key).map_or_else(String::new, |layer| format!(" of layer {layer}; all layers in the CSV"));
    let panels = [panel(observable.axis, &drawn)];
    let keys: Vec<Key> = drawn.iter().map(|line| panels::key(line.words.clone(), line.look, Style::Line)).collect();
    let caption = format!(
        "{} ({}{layer}) in the first epoch against {swept}: means over seeds ± standard deviation.{}{}{}",
        observable.title,
        observable.axis,
        without_value(groups),
        panels::left_out(&panels),
        settings(runs.values().map(|run| run.provenance)),
    );
    let epochs = runs.values().flat_map(|run| &run.result.epochs).flat_map(|epoch| epoch.observed.keys());
    let names = distinct(epochs.filter(|name| *name == observable.name || observable.layer(name).is_some()));
    let of_names: Vec<(&str, Vec<Line>)> = names.into_iter().map(|name| (name.as_str(), of_name(name))).collect();
    let quantities: Vec<(&str, &[Line])> = of_names.iter().map(|(name, lines)| (*name, lines.as_slice())).collect();
    Some(Figure {
        stem: format!("{}-by-swept-value", observable.stem()),
        title: format!("{} against {swept}", observable.title),
        caption,
        drawing: panels::draw(&keys, &axis(groups, swept), &panels),
        numbers: numbers(groups, &quantities),
    })
}

fn panel(name: &str, lines: &[Line]) -> Panel {
    let series = |line: &Line| Series {
        look: line.look,
        style: Style::Line,
        points: line.points.iter().map(|point| (point.value, point.moments)).collect(),
    };
    let scale: fn(Vec<f64>) -> Scale = if name == ACCURACY { Scale::linear } else { Scale::fitting };
    Panel { name: name.into(), scale, series: lines.iter().map(series).collect() }
}

fn axis(groups: &Groups, swept: &str) -> Axis {
    let values = groups.values();
    let scale = if groups.values_differ_by_factors() { Scale::logarithmic(values) } else { Scale::linear(values) };
    Axis::new(swept, scale)
}

/// A sentence on the variants that have no place on the axis, where there are any.
fn without_value(groups: &Groups) -> String {
    let without = |group: &&Group| group.variant.is_some() && groups.value(**group).is_none();
    let names = distinct(groups.all().iter().filter(without).map(|group| groups.name(group.variant)));
    match names.as_slice() {
        [] => String::new(),
        _ => format!(" Without a value, and so in the tables alone: {}.", number::enumerate(&names)),
    }
}

fn numbers(groups: &Groups, quantities: &[(&str, &[Line])]) -> Numbers {
    let columns = ["value", "batch_size", "quantity", "seeds", "mean", "std"];
    let mut numbers = Numbers::new(&groups.columns(&columns));
    for (name, line) in quantities.iter().flat_map(|(name, lines)| lines.iter().map(move |line| (name, line))) {
        for Point { variant, value, moments } in &line.points {
            let (size, count, mean) =
                (line.batch_size.to_string(), moments.count.to_string(), moments.mean.to_string());
            let cells = vec![value.to_string(), size, (*name).to_owned(), count, mean, cell(moments.std)];
            numbers.push(groups.cells(*variant, cells));
        }
    }
    numbers
}
