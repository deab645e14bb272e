//! What was observed in the first epoch against the batch size, with the power law that fits it (figures 3, 4 and 7 of Gao and
//! Zhong).

use std::collections::BTreeMap;

use basin_records::Training;

use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, MUTED, look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::number;
use crate::observables::{ALL, Observable, by_run};
use crate::statistics::{FoldedNormal, Moments, PowerLaw};

/// Batch sizes from which a law can be told from chance.
const FEWEST_SIZES: usize = 3;

/// Pieces of a smooth curve.
const CURVE: usize = 60;

/// Means over the seeds, ascending by batch size.
type Points = Vec<(u64, Moments)>;

/// One figure for each observable of which a paper predicts a power, where there are three batch sizes or more.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let runs = collection.trainings();
    let predicted = ALL.iter().filter_map(|observable| Some((observable, observable.predicted_power?)));
    predicted.filter_map(|(observable, power)| figure(&runs, observable, power)).collect()
}

fn figure(
    runs: &BTreeMap<RunId, Measured<'_, Training>>,
    observable: &Observable,
    (predicted, paper): (f64, &str),
) -> Option<Figure> {
    let first = runs.values().flat_map(|run| run.result.epochs.first());
    let key = first.clone().find_map(|epoch| observable.key(epoch))?;
    let points = points(runs, &key);
    (points.len() >= FEWEST_SIZES).then_some(())?;
    let law = PowerLaw::fitted(points.iter().map(|(size, moments)| (*size as f64, moments.mean)))?;
    let folded = folded_normal(observable, &points);
    let exponent = number::with_spread(law.exponent, law.stderr);
    let fitted = folded.map_or_else(String::new, |folded| {
        format!(
            " As the mean size of a normal number (dashed) it has the deviation {} of a sample and the mean {}, which outweighs the noise \
             from batch size {} on.",
            number::significant(folded.deviation),
            number::significant(folded.mean),
            number::significant(folded.turn())
        )
    });
    let layer = observable.layer(&key).map_or_else(String::new, |layer| format!(" of layer {layer}"));
    let caption = format!(
        "{}{layer} ({}) in the first epoch against the batch size B: means over seeds ± standard deviation. It goes with B \
         to the power {exponent} (line); {paper} predict {} (dotted) for gradients of mean 0.{fitted}{}",
        observable.title,
        observable.axis,
        number::significant(predicted),
        settings(runs.values().map(|run| run.provenance)),
    );
    Some(Figure {
        stem: format!("{}-by-batch-size", observable.stem()),
        title: format!("{} against batch size", observable.title),
        caption,
        drawing: draw(observable, &points, law, predicted, folded),
        numbers: numbers(&points),
    })
}

fn points(runs: &BTreeMap<RunId, Measured<'_, Training>>, key: &str) -> Points {
    let curves = by_run(runs, key);
    let sizes = distinct(curves.keys().map(|run| run.batch_size));
    let of_size = |size: u64| {
        let of_first = curves.iter().filter(|(run, _)| run.batch_size == size);
        let values: Vec<f64> = of_first.filter_map(|(_, curve)| Some(curve.first()?.1)).collect();
        Some((size, Moments::of(&values)?))
    };
    sizes.into_iter().filter_map(of_size).collect()
}

/// Of mean sizes, which level off where the mean gradient outweighs the noise.
fn folded_normal(observable: &Observable, points: &Points) -> Option<FoldedNormal> {
    let points: Vec<(f64, f64)> = points.iter().map(|(size, moments)| (*size as f64, moments.mean)).collect();
    if observable.is_mean_size { FoldedNormal::fitted(&points) } else { None }
}

fn draw(
    observable: &Observable,
    points: &Points,
    law: PowerLaw,
    predicted: f64,
    folded: Option<FoldedNormal>,
) -> Drawing {
    let look = look(0);
    let mut drawing = Drawing::default();
    let line = |words: String, color, dash| Key { words, color, line: Some(dash), marker: None };
    let mut keys = vec![
        Key { words: "mean".into(), color: look.color, line: None, marker: Some((look.marker, true)) },
        line(format!("B^{}", number::significant(law.exponent)), look.color, Dash::Solid),
        line(format!("B^{}", number::significant(predicted)), MUTED, Dash::Dotted),
    ];
    if folded.is_some() {
        keys.push(line("folded normal".into(), look.color, Dash::Dashed));
    }
    let region = legend::draw(&mut drawing, &keys);
    let sizes: Vec<f64> = points.iter().map(|(size, _)| *size as f64).collect();
    let ends = |(_, moments): &(u64, Moments)| {
        let std = moments.std.unwrap_or(0.0);
        [moments.mean - std, moments.mean, moments.mean + std]
    };
    let values: Vec<f64> = points.iter().flat_map(ends).collect();
    let x = Axis::new("batch size B", Scale::logarithmic(sizes.iter().copied()));
    let y = Axis::new(observable.axis, Scale::logarithmic(values));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    let (low, high) = (sizes.first().copied().unwrap_or(1.0), sizes.last().copied().unwrap_or(1.0));
    // Through the middle of the fitted line, so that only the slopes differ.
    let middle = (low * high).sqrt();
    let guide = |size: f64| law.at(middle) * (size / middle).powf(predicted);
    let ends = |of: &dyn Fn(f64) -> f64| [low, high].map(|size| axes.point(size, of(size)).map(|at| axes.within(at)));
    series::line(&mut drawing, &ends(&guide), MUTED, 3, Dash::Dotted, 1.0);
    series::line(&mut drawing, &ends(&|size| law.at(size)), look.color, 3, Dash::Solid, 1.0);
    if let Some(folded) = folded {
        let at = |i: usize| low * (high / low).powf(i as f64 / CURVE as f64);
        let curve: Vec<_> =
            (0..=CURVE).map(|i| axes.point(at(i), folded.at(at(i))).map(|at| axes.within(at))).collect();
        series::line(&mut drawing, &curve, look.color, 3, Dash::Dashed, 1.0);
    }
    for (size, moments) in points {
        let at = |value: f64| axes.point(*size as f64, value).map(|point| axes.within(point));
        let std = moments.std.unwrap_or(0.0);
        if let (Some(low), Some(high)) = (at(moments.mean - std), at(moments.mean + std))
            && std > 0.0
        {
            series::error_bar(&mut drawing, low, high, look.color);
        }
        if let Some(at) = at(moments.mean) {
            series::marker(&mut drawing, at, look.marker, look.color, true);
        }
    }
    drawing
}

fn numbers(points: &Points) -> Numbers {
    let mut numbers = Numbers::new(&["batch_size", "seeds", "mean", "std"]);
    for (size, moments) in points {
        numbers.push(vec![size.to_string(), moments.count.to_string(), moments.mean.to_string(), cell(moments.std)]);
    }
    numbers
}
