//! The loss along directions through a checkpoint, with the error over independent draws.

use basin_records::Profile;
use basin_records::profile::{Along, Spread};

use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::checkpoints::short_words;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::number;

/// A list of values along a direction.
type List = fn(&Along) -> &Vec<f64>;

/// What a figure shows: the end of its file's name, the name of its values, in which unit, and both splits.
struct Shown {
    ending: &'static str,
    name: &'static str,
    axis: &'static str,
    unit: f64,
    splits: [(Dash, List); 2],
}

const SHOWN: [Shown; 2] = [
    Shown {
        ending: "",
        name: "loss",
        axis: "loss",
        unit: 1.0,
        splits: [(Dash::Solid, |along| &along.train_loss), (Dash::Dashed, |along| &along.test_loss)],
    },
    Shown {
        ending: "-accuracy",
        name: "accuracy",
        axis: "accuracy / %",
        unit: 100.0,
        splits: [(Dash::Solid, |along| &along.train_accuracy), (Dash::Dashed, |along| &along.test_accuracy)],
    },
];

/// Directions of one name, and what is drawn of them on one split: a value for each t.
struct Curve {
    color: usize,
    dash: Dash,
    values: Vec<Option<Spread>>,
    single: Vec<Vec<f64>>,
}

/// The losses and, where the targets are classes, the accuracies of each record.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let profiles = collection.profiles();
    let of = |(index, measured)| {
        let stem = numbered("profile", index, profiles.len());
        SHOWN.iter().filter_map(move |shown| figure(&stem, measured, shown)).collect::<Vec<_>>()
    };
    profiles.iter().enumerate().flat_map(of).collect()
}

fn figure(stem: &str, measured: &Measured<'_, Profile>, shown: &Shown) -> Option<Figure> {
    let profile = measured.result;
    let curves = curves(profile, shown);
    if curves.is_empty() {
        return None;
    }
    let checkpoint = measured.provenance.checkpoint.as_ref().map_or("a checkpoint", |checkpoint| &checkpoint.path);
    let ignored = match profile.ignored.len() {
        0 => String::new(),
        count => format!(", without {} of biases and norms", number::plural(count, "tensor")),
    };
    let batch_norm =
        profile.batch_norm.as_ref().map_or_else(String::new, |how| format!(" Statistics of batch norm: {how}."));
    let directions: Vec<String> = profile.by_name().iter().map(|(name, members)| described(name, members)).collect();
    let normalized = match profile.directions.iter().any(|along| along.normalized) {
        true => format!(" Random directions and those of files are normalised by {}{ignored}.", profile.normalization),
        false => " Directions are not normalised.".into(),
    };
    Some(Figure {
        stem: format!("{stem}{}", shown.ending),
        title: format!("The {} along directions through {}", shown.name, short_words(checkpoint)),
        caption: format!(
            "{} at θ + t d, train solid and test dashed; where there are several draws, the mean with a band of one \
             standard error about it and thin lines of the draws. Directions: {}.{normalized}{batch_norm}{}",
            capitalized(shown.name),
            number::enumerate(&directions),
            settings([measured.provenance]),
        ),
        drawing: draw(profile, &curves, shown),
        numbers: numbers(profile).of_records([measured.file]),
    })
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A direction, its draws, its length and its curvature.
fn described(name: &str, members: &[&Along]) -> String {
    let of = |value: fn(&Along) -> f64| Spread::of(&members.iter().map(|along| value(along)).collect::<Vec<_>>());
    let shown = |spread: Option<Spread>| match spread {
        Some(Spread { mean, stderr: Some(stderr) }) => {
            format!("{} ± {}", number::significant(mean), number::significant(stderr))
        }
        Some(Spread { mean, stderr: None }) => number::significant(mean),
        None => "–".into(),
    };
    let draws = if members.len() > 1 { format!(" ({} draws)", members.len()) } else { String::new() };
    let (norm, curvature) = (shown(of(|along| along.norm)), shown(of(|along| along.curvature)));
    format!("{}{draws} of length {norm} with the exact curvature {curvature}", short_words(name))
}

fn curves(profile: &Profile, shown: &Shown) -> Vec<Curve> {
    let groups = profile.by_name();
    let of = |(color, (_, members)): (usize, &(&str, Vec<&Along>))| {
        let curves = shown.splits.iter().map(|&(dash, list)| {
            let scaled = |along: &&Along| list(along).iter().map(|value| shown.unit * value).collect::<Vec<f64>>();
            let single: Vec<Vec<f64>> = members.iter().map(scaled).collect();
            let at =
                |i: usize| Spread::of(&single.iter().filter_map(|values| values.get(i).copied()).collect::<Vec<_>>());
            Curve { color, dash, values: (0..profile.coordinates.len()).map(at).collect(), single }
        });
        curves.filter(|curve| curve.values.iter().any(Option::is_some)).collect::<Vec<_>>()
    };
    groups.iter().enumerate().flat_map(of).collect()
}

fn draw(profile: &Profile, curves: &[Curve], shown: &Shown) -> Drawing {
    let key = |(color, (name, _)): (usize, &(&str, Vec<&Along>))| Key {
        words: short_words(name),
        color: look(color).color,
        line: Some(Dash::Solid),
        marker: None,
    };
    let mut drawing = Drawing::default();
    let region = legend::draw(&mut drawing, &profile.by_name().iter().enumerate().map(key).collect::<Vec<_>>());
    let t = &profile.coordinates;
    let x = Axis::new("t", Scale::linear(t.iter().copied()));
    let values = curves.iter().flat_map(|curve| curve.single.iter().flatten().copied());
    let y = Axis::new(shown.axis, if shown.unit > 1.0 { Scale::linear(values) } else { Scale::fitting(values) });
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for Curve { color, dash, values, single } in curves {
        let color = look(*color).color;
        let line = |values: &mut dyn Iterator<Item = Option<f64>>| -> Vec<Option<Point>> {
            t.iter().zip(values).map(|(t, value)| axes.point(*t, value?)).collect()
        };
        if single.len() > 1 {
            for draw in single {
                let points = line(&mut draw.iter().copied().map(Some));
                series::line(&mut drawing, &points, color, 2, *dash, 0.35);
            }
            let bars = t.iter().zip(values).filter_map(|(t, value)| {
                let Spread { mean, stderr } = (*value)?;
                axes.bar(*t, mean - stderr?, mean + stderr?)
            });
            series::band(&mut drawing, &bars.collect::<Vec<_>>(), color);
        }
        let mean = line(&mut values.iter().map(|value| value.map(|spread| spread.mean)));
        series::line(&mut drawing, &mean, color, 5, *dash, 1.0);
    }
    drawing
}

fn numbers(profile: &Profile) -> Numbers {
    let header =
        ["direction", "draw", "t", "displacement", "train_loss", "train_accuracy", "test_loss", "test_accuracy"];
    let mut numbers = Numbers::new(&header);
    for (name, members) in profile.by_name() {
        for (draw, along) in members.into_iter().enumerate() {
            let lists = [&along.train_loss, &along.train_accuracy, &along.test_loss, &along.test_accuracy];
            for (i, t) in profile.coordinates.iter().enumerate() {
                let place = [name.to_owned(), draw.to_string(), t.to_string(), (t * along.norm).to_string()];
                let values = lists.iter().map(|list| list.get(i).map_or_else(String::new, f64::to_string));
                numbers.push(place.into_iter().chain(values).collect());
            }
        }
    }
    numbers
}
