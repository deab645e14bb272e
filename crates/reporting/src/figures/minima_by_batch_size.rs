//! Test accuracy and Keskar sharpness of the minima against the batch size (figure 4 of Keskar et al.).

use super::batch_size_axis;
use super::panels::{self, Panel, Series, Style};
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, look};
use crate::chart::readings::Side;
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::Collection;
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::minima::{Minima, Way};
use crate::number;
use crate::statistics::Moments;

/// Batch sizes from which a curve is more than its ends.
const FEWEST_SIZES: usize = 3;

/// What was found at the batch sizes, ascending.
type Points = Vec<(u64, Moments)>;

/// What was found of the runs of one variant.
struct Curve {
    variant: Option<usize>,
    accuracy: Points,
    sharpness: Points,
}

/// One figure, with the first way in which sharpness was measured and its largest ε.
pub(crate) fn figure(collection: &Collection) -> Option<Figure> {
    let minima = Minima::of(collection);
    let way = minima.first_way()?;
    let groups = &collection.groups;
    let variants = distinct(groups.all().iter().map(|group| group.variant));
    let curves: Vec<Curve> =
        variants.into_iter().filter_map(|variant| Curve::of(&minima, groups, variant, way)).collect();
    (!curves.is_empty()).then_some(())?;
    let caption = format!(
        "Test accuracy ({}) and Keskar sharpness φ ({}; {}) at the end of training against the batch size: means over \
         seeds ± standard deviation. {}{}",
        if groups.variants().is_empty() { "left" } else { "above" },
        if groups.variants().is_empty() { "right" } else { "below" },
        way.words(),
        curves.iter().map(|curve| format!("{}. ", curve.ends(groups))).collect::<String>().trim_end(),
        settings(collection.keskar().iter().map(|measured| measured.provenance)),
    );
    Some(Figure {
        stem: "minima-by-batch-size".into(),
        title: "Test accuracy and sharpness against batch size".into(),
        caption,
        drawing: match curves.as_slice() {
            [only] if groups.variants().is_empty() => draw(&only.accuracy, &only.sharpness),
            _ => draw_variants(groups, &curves),
        },
        numbers: numbers(groups, &curves, way),
    })
}

impl Curve {
    /// None of too few batch sizes.
    fn of(minima: &Minima<'_>, groups: &Groups, variant: Option<usize>, way: Way) -> Option<Self> {
        let sizes = groups.batch_sizes_of(variant);
        let at = |of: &dyn Fn(Group) -> Vec<f64>| -> Points {
            let found = |&batch_size: &u64| Some((batch_size, Moments::of(&of(Group { variant, batch_size }))?));
            sizes.iter().filter_map(found).collect()
        };
        let sharpness = at(&|group| minima.sharpness(group, way));
        let accuracy = at(&|group| minima.test_accuracies(group));
        let enough = sharpness.len() >= FEWEST_SIZES && accuracy.len() >= FEWEST_SIZES;
        enough.then_some(Self { variant, accuracy, sharpness })
    }

    /// From the smallest to the largest batch size.
    fn ends(&self, groups: &Groups) -> String {
        let of = |points: &Points| {
            let told = |(size, moments): &(u64, Moments)| (*size, number::with_spread(moments.mean, moments.std));
            points.first().zip(points.last()).map(|(first, last)| (told(first), told(last)))
        };
        let from = match groups.variants() {
            [] => "From".to_owned(),
            _ => format!("{}: from", groups.name(self.variant)),
        };
        match (of(&self.accuracy), of(&self.sharpness)) {
            (Some(((small, a), (large, b))), Some(((_, c), (_, d)))) => format!(
                "{from} batch size {small} to {large} the accuracy goes from {a} to {b} percent and the sharpness from {c} to {d}"
            ),
            _ => String::new(),
        }
    }
}

/// Accuracy above sharpness, one line per variant.
fn draw_variants(groups: &Groups, curves: &[Curve]) -> Drawing {
    let look = |curve: &Curve| groups.variant_look(curve.variant);
    let key = |curve: &Curve| panels::key(groups.name(curve.variant), look(curve), Style::Line);
    let keys: Vec<Key> = curves.iter().map(key).collect();
    let series = |points: fn(&Curve) -> &Points| {
        let line = |curve: &Curve| Series {
            look: look(curve),
            style: Style::Line,
            points: points(curve).iter().map(|&(size, moments)| (size as f64, moments)).collect(),
        };
        curves.iter().map(line).collect()
    };
    let panels = [
        Panel { name: "test accuracy / %".into(), scale: Scale::linear, series: series(|curve| &curve.accuracy) },
        Panel { name: "sharpness φ / %".into(), scale: Scale::fitting, series: series(|curve| &curve.sharpness) },
    ];
    let sizes = curves.iter().flat_map(|curve| curve.accuracy.iter().chain(&curve.sharpness));
    let x = batch_size_axis::of_runs(sizes.map(|(size, _)| *size));
    panels::draw(&keys, &x, &panels)
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
    let x = batch_size_axis::of_runs(accuracy.iter().chain(sharpness).map(|(size, _)| *size));
    let y = Axis::new("test accuracy / %", Scale::linear(reach(accuracy)));
    let beside = Axis::new("sharpness φ", Scale::fitting(reach(sharpness)));
    let axes = Axes::draw(&mut drawing, region, &x, &y, Some(&beside));
    draw_curve(&mut drawing, &axes, accuracy, left, Dash::Solid, &|x, y| axes.point(x, y));
    drawing.marks.side = Side::Right;
    draw_curve(&mut drawing, &axes, sharpness, right, Dash::Dashed, &|x, y| axes.right_point(x, y));
    drawing
}

fn draw_curve(
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

fn numbers(groups: &Groups, curves: &[Curve], way: Way) -> Numbers {
    let mut numbers = Numbers::new(&groups.columns(&["batch_size", "quantity", "seeds", "mean", "std"]));
    let named = way.quantity();
    for curve in curves {
        for (name, points) in [("test accuracy / %", &curve.accuracy), (named.as_str(), &curve.sharpness)] {
            for (size, moments) in points {
                let (count, mean) = (moments.count.to_string(), moments.mean.to_string());
                let cells = vec![size.to_string(), name.to_owned(), count, mean, cell(moments.std)];
                numbers.push(groups.cells(curve.variant, cells));
            }
        }
    }
    numbers
}
