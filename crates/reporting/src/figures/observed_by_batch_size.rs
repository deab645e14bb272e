//! What was observed in the first epoch against the batch size, with the power law that fits it (figures 3, 4 and 7 of Gao and
//! Zhong).

use std::collections::BTreeMap;

use basin_records::Training;

use super::batch_size_axis;
use super::panels::spread;
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, MUTED};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::number;
use crate::observables::{ALL, Observable, in_first_epoch};
use crate::statistics::{FoldedNormal, Moments, PowerLaw};

/// Batch sizes from which a law can be told from chance.
const FEWEST_SIZES: usize = 3;

/// Pieces of a smooth curve.
const CURVE: usize = 60;

/// Means over the seeds, ascending by batch size.
type Points = Vec<(u64, Moments)>;

type Runs<'a> = BTreeMap<RunId, Measured<'a, Training>>;

/// An observable of which a paper predicts a power, with what was found of each variant.
struct Found {
    observable: &'static Observable,
    key: String,
    predicted: f64,
    paper: &'static str,
    curves: Vec<Curve>,
}

/// The means of one variant with the laws that fit them.
struct Curve {
    variant: Option<usize>,
    points: Points,
    law: PowerLaw,
    folded: Option<FoldedNormal>,
}

/// One figure for each observable of which a paper predicts a power, where there are three batch sizes or more.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let runs = collection.trainings();
    found(collection, &runs).iter().map(|found| figure(&collection.groups, &runs, found)).collect()
}

/// A sentence for each of these figures.
pub(crate) fn findings(collection: &Collection) -> Vec<String> {
    let told = |found: &Found| format!("{} in the first epoch {}.", found.subject(), found.powers(&collection.groups));
    found(collection, &collection.trainings()).iter().map(told).collect()
}

fn found(collection: &Collection, runs: &Runs<'_>) -> Vec<Found> {
    let of = |observable: &'static Observable| {
        let (predicted, paper) = observable.predicted_power?;
        let key = observable.first_key(runs)?;
        let variants = distinct(runs.keys().map(|run| run.group.variant));
        let curve = |variant| Curve::of(observable, points(runs, &collection.groups, variant, &key), variant);
        let curves: Vec<Curve> = variants.into_iter().filter_map(curve).collect();
        (!curves.is_empty()).then_some(Found { observable, key, predicted, paper, curves })
    };
    ALL.iter().filter_map(of).collect()
}

impl Found {
    /// `Mean gradient of layer fc1`.
    fn subject(&self) -> String {
        let layer = self.observable.layer(&self.key);
        format!("{}{}", self.observable.title, layer.map_or_else(String::new, |layer| format!(" of layer {layer}")))
    }

    /// How it goes with the batch size, beside what is predicted.
    fn powers(&self, groups: &Groups) -> String {
        let power = |curve: &Curve| number::with_spread(curve.law.exponent, curve.law.stderr);
        let powers = each(groups, &self.curves, power);
        format!(
            "goes with the batch size to the power {powers} where {} predict {} for gradients of mean 0",
            self.paper,
            number::significant(self.predicted)
        )
    }
}

impl Curve {
    /// None of too few batch sizes.
    fn of(observable: &Observable, points: Points, variant: Option<usize>) -> Option<Self> {
        (points.len() >= FEWEST_SIZES).then_some(())?;
        let means: Vec<(f64, f64)> = points.iter().map(|(size, moments)| (*size as f64, moments.mean)).collect();
        let law = PowerLaw::fitted(means.iter().copied())?;
        // Mean sizes level off where the mean gradient outweighs the noise.
        let folded = if observable.is_mean_size { FoldedNormal::fitted(&means) } else { None };
        Some(Self { variant, points, law, folded })
    }
}

/// `−0.5`, or `−0.5 (baseline) and −0.4 (augmented)` where there are variants.
fn each<'a>(groups: &Groups, curves: impl IntoIterator<Item = &'a Curve>, told: impl Fn(&Curve) -> String) -> String {
    let of = |curve: &Curve| {
        let name =
            if groups.variants().is_empty() { String::new() } else { format!(" ({})", groups.name(curve.variant)) };
        format!("{}{name}", told(curve))
    };
    number::enumerate(&curves.into_iter().map(of).collect::<Vec<_>>())
}

fn figure(groups: &Groups, runs: &Runs<'_>, found: &Found) -> Figure {
    let observable = found.observable;
    let folded: Vec<&Curve> = found.curves.iter().filter(|curve| curve.folded.is_some()).collect();
    let of_folded = |value: &dyn Fn(&FoldedNormal) -> f64| {
        let told = |curve: &Curve| curve.folded.as_ref().map_or_else(String::new, |f| number::significant(value(f)));
        each(groups, folded.iter().copied(), told)
    };
    let fitted = match folded.as_slice() {
        [] => String::new(),
        _ => format!(
            " As the mean size of a normal number (dashed) it has the deviation {} of a sample and the mean {}, which outweighs the noise \
             from batch size {} on.",
            of_folded(&|folded| folded.deviation),
            of_folded(&|folded| folded.mean),
            of_folded(&FoldedNormal::turn),
        ),
    };
    let exponents = each(groups, &found.curves, |curve| number::with_spread(curve.law.exponent, curve.law.stderr));
    let caption = format!(
        "{} ({}) in the first epoch against the batch size B: means over seeds ± standard deviation. It goes with B \
         to the power {exponents} (line); {} predict {} (dotted) for gradients of mean 0.{fitted}{}",
        found.subject(),
        observable.axis,
        found.paper,
        number::significant(found.predicted),
        settings(runs.values().map(|run| run.provenance)),
    );
    Figure {
        stem: format!("{}-by-batch-size", observable.stem()),
        title: format!("{} against batch size", observable.title),
        caption,
        drawing: draw(groups, found),
        numbers: numbers(groups, &found.curves),
    }
}

fn points(runs: &Runs<'_>, groups: &Groups, variant: Option<usize>, key: &str) -> Points {
    let at = |batch_size: u64| {
        let group = Group { variant, batch_size };
        Some((batch_size, Moments::of(&in_first_epoch(runs, group, key))?))
    };
    groups.batch_sizes_of(variant).into_iter().filter_map(at).collect()
}

fn keys(groups: &Groups, found: &Found, look: &dyn Fn(&Curve) -> Look) -> Vec<Key> {
    let line = |words: String, color, dash| Key { words, color, line: Some(dash), marker: None };
    let power = |power: f64| format!("B^{}", number::significant(power));
    let mut keys = Vec::new();
    for curve in &found.curves {
        let (color, marker) = (look(curve).color, Some((look(curve).marker, true)));
        if groups.variants().is_empty() {
            keys.push(Key { words: "mean".into(), color, line: None, marker });
            keys.push(line(power(curve.law.exponent), color, Dash::Solid));
        } else {
            let words = format!("{}, {}", groups.name(curve.variant), power(curve.law.exponent));
            keys.push(Key { words, color, line: Some(Dash::Solid), marker });
        }
    }
    keys.push(line(power(found.predicted), MUTED, Dash::Dotted));
    if let Some(curve) = found.curves.iter().find(|curve| curve.folded.is_some()) {
        let color = if groups.variants().is_empty() { look(curve).color } else { MUTED };
        keys.push(line("folded normal".into(), color, Dash::Dashed));
    }
    keys
}

fn draw(groups: &Groups, found: &Found) -> Drawing {
    let look = |curve: &Curve| groups.variant_look(curve.variant);
    let mut drawing = Drawing::default();
    let region = legend::draw(&mut drawing, &keys(groups, found, &look));
    let points = || found.curves.iter().flat_map(|curve| &curve.points);
    let ends = |(_, moments): &(u64, Moments)| {
        let std = moments.std.unwrap_or(0.0);
        [moments.mean - std, moments.mean, moments.mean + std]
    };
    let x = batch_size_axis::of_runs(points().map(|(size, _)| *size));
    let y = Axis::new(found.observable.axis, Scale::logarithmic(points().flat_map(ends)));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for (index, curve) in found.curves.iter().enumerate() {
        // One guide is enough to compare slopes with.
        let predicted = (index == 0).then_some(found.predicted);
        draw_laws(&mut drawing, &axes, curve, predicted, look(curve));
    }
    for curve in &found.curves {
        let look = look(curve);
        for (size, moments) in &curve.points {
            spread(&mut drawing, &axes, *size as f64, moments, look);
            if let Some(at) = axes.point(*size as f64, moments.mean) {
                series::marker(&mut drawing, axes.within(at), look.marker, look.color, true);
            }
        }
    }
    drawing
}

fn draw_laws(drawing: &mut Drawing, axes: &Axes, curve: &Curve, predicted: Option<f64>, look: Look) {
    let Curve { points, law, folded, .. } = curve;
    let end = |point: Option<&(u64, Moments)>| point.map_or(1.0, |(size, _)| *size as f64);
    let (low, high) = (end(points.first()), end(points.last()));
    let ends = |of: &dyn Fn(f64) -> f64| [low, high].map(|size| axes.point(size, of(size)).map(|at| axes.within(at)));
    if let Some(predicted) = predicted {
        // Through the middle of the fitted line, so that only the slopes differ.
        let middle = (low * high).sqrt();
        let guide = |size: f64| law.at(middle) * (size / middle).powf(predicted);
        series::line(drawing, &ends(&guide), MUTED, 3, Dash::Dotted, 1.0);
    }
    series::line(drawing, &ends(&|size| law.at(size)), look.color, 3, Dash::Solid, 1.0);
    if let Some(folded) = folded {
        let at = |i: usize| low * (high / low).powf(i as f64 / CURVE as f64);
        let curve: Vec<_> =
            (0..=CURVE).map(|i| axes.point(at(i), folded.at(at(i))).map(|at| axes.within(at))).collect();
        series::line(drawing, &curve, look.color, 3, Dash::Dashed, 1.0);
    }
}

fn numbers(groups: &Groups, curves: &[Curve]) -> Numbers {
    let mut numbers = Numbers::new(&groups.columns(&["batch_size", "seeds", "mean", "std"]));
    for curve in curves {
        for (size, moments) in &curve.points {
            let (count, mean) = (moments.count.to_string(), moments.mean.to_string());
            numbers.push(groups.cells(curve.variant, vec![size.to_string(), count, mean, cell(moments.std)]));
        }
    }
    numbers
}
