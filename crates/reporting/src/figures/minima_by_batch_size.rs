//! Test accuracy and Keskar sharpness of the minima against the batch size (figure 4 of Keskar et al.).

use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, by_run};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::number;
use crate::statistics::Moments;
use crate::tables::{Setting, final_accuracy, final_sharpness, settings_and_steps};

/// Batch sizes from which a curve is more than its ends.
const FEWEST_SIZES: usize = 3;

/// What was found at the batch sizes, ascending.
type Points = Vec<(u64, Moments)>;

/// One figure, with the first way in which sharpness was measured and its largest ε.
pub(crate) fn figure(collection: &Collection) -> Option<Figure> {
    let records = collection.keskar();
    let runs = by_run(records.clone());
    let sizes = distinct(runs.keys().map(|run| run.batch_size));
    let (ways, steps) = settings_and_steps(collection);
    let (way, epsilon) = (*ways.first()?, *steps.first()?);
    let at = |of: &dyn Fn(u64) -> Option<Moments>| -> Points {
        sizes.iter().filter_map(|&size| Some((size, of(size)?))).collect()
    };
    let sharpness = at(&|size| final_sharpness(&runs, size, way, epsilon));
    let accuracy = at(&|size| final_accuracy(collection, size).1);
    (sharpness.len() >= FEWEST_SIZES && accuracy.len() >= FEWEST_SIZES).then_some(())?;
    let caption = format!(
        "Test accuracy (left) and Keskar sharpness φ (right; {}, ε = {}) at the end of training against the batch size: means over \
         seeds ± standard deviation. {}.{}",
        way.words(),
        number::step(epsilon),
        ends(&accuracy, &sharpness),
        settings(records.iter().map(|measured| measured.provenance)),
    );
    Some(Figure {
        stem: "minima-by-batch-size".into(),
        title: "Test accuracy and sharpness against batch size".into(),
        caption,
        drawing: draw(&accuracy, &sharpness),
        numbers: numbers(&accuracy, &sharpness, way, epsilon),
    })
}

/// From the smallest to the largest batch size.
fn ends(accuracy: &Points, sharpness: &Points) -> String {
    let of = |points: &Points| {
        let told = |(size, moments): &(u64, Moments)| (*size, number::with_spread(moments.mean, moments.std));
        points.first().zip(points.last()).map(|(first, last)| (told(first), told(last)))
    };
    match (of(accuracy), of(sharpness)) {
        (Some(((small, a), (large, b))), Some(((_, c), (_, d)))) => format!(
            "From batch size {small} to {large} the accuracy goes from {a} to {b} percent and the sharpness from {c} to {d}"
        ),
        _ => String::new(),
    }
}

fn draw(accuracy: &Points, sharpness: &Points) -> Drawing {
    let (left, right) = (look(0), look(1));
    let mut drawing = Drawing::default();
    let key = |words: &str, look: Look, dash| Key {
        words: words.into(),
        color: look.color,
        line: Some(dash),
        marker: Some((look.marker, true)),
    };
    let keys = [key("test accuracy", left, Dash::Solid), key("sharpness", right, Dash::Dashed)];
    let region = legend::draw(&mut drawing, &keys);
    let sizes = accuracy.iter().chain(sharpness).map(|(size, _)| *size as f64);
    let x = Axis::new("batch size B", Scale::logarithmic(sizes));
    let y = Axis::new("test accuracy / %", Scale::linear(reach(accuracy)));
    let beside = Axis::new("sharpness φ", Scale::fitting(reach(sharpness)));
    let axes = Axes::draw(&mut drawing, region, &x, &y, Some(&beside));
    curve(&mut drawing, &axes, accuracy, left, Dash::Solid, &|x, y| axes.point(x, y));
    curve(&mut drawing, &axes, sharpness, right, Dash::Dashed, &|x, y| axes.right_point(x, y));
    drawing
}

fn curve(
    drawing: &mut Drawing,
    axes: &Axes,
    points: &Points,
    look: Look,
    dash: Dash,
    place: &dyn Fn(f64, f64) -> Option<Point>,
) {
    let at = |size: u64, value: f64| place(size as f64, value).map(|point| axes.within(point));
    let line: Vec<_> = points.iter().map(|(size, moments)| at(*size, moments.mean)).collect();
    series::line(drawing, &line, look.color, 4, dash, 1.0);
    for (size, moments) in points {
        let std = moments.std.unwrap_or(0.0);
        if let (Some(low), Some(high)) = (at(*size, moments.mean - std), at(*size, moments.mean + std))
            && std > 0.0
        {
            series::error_bar(drawing, low, high, look.color);
        }
        if let Some(at) = at(*size, moments.mean) {
            series::marker(drawing, at, look.marker, look.color, true);
        }
    }
}

/// The means and the ends of their bars.
fn reach(points: &Points) -> Vec<f64> {
    let ends = |moments: &Moments| [-1.0, 0.0, 1.0].map(|side| moments.mean + side * moments.std.unwrap_or(0.0));
    points.iter().flat_map(|(_, moments)| ends(moments)).collect()
}

fn numbers(accuracy: &Points, sharpness: &Points, way: Setting, epsilon: f64) -> Numbers {
    let mut numbers = Numbers::new(&["batch_size", "quantity", "seeds", "mean", "std"]);
    let named = format!("sharpness, {}, epsilon {epsilon}", way.words());
    let all = [("test accuracy / %", accuracy), (named.as_str(), sharpness)];
    for (name, (size, moments)) in all.iter().flat_map(|(name, points)| points.iter().map(move |point| (name, point))) {
        let mean = moments.mean.to_string();
        numbers.push(vec![size.to_string(), (*name).to_owned(), moments.count.to_string(), mean, cell(moments.std)]);
    }
    numbers
}
