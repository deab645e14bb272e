//! The surface in words and two tables.

use basin_records::surface::{Axis, Mark};
use basin_records::{Record, Surface};
use basin_reporting::landscape::Grid;
use basin_reporting::topology::MergeTree;

use crate::table::{number, percent, table};

/// The record for people to read.
pub(super) fn text(record: &Record, surface: &Surface) -> String {
    let checkpoint = record.provenance.checkpoint.as_ref().map_or("–", |checkpoint| &checkpoint.path);
    let (x, y) = (&surface.x, &surface.y);
    let part = surface.shard.as_ref().map_or_else(String::new, |part| format!(", part {part} of its rows"));
    let mut text =
        format!("plane through {checkpoint}, {} × {} points{part}\n", x.coordinates.len(), y.coordinates.len());
    text += &table(
        &["axis", "direction", "from", "to", "norm", "curvature", "from differences", "eigenvalue"],
        vec![axis("x", x), axis("y", y)],
    );
    let degrees = surface.cosine.clamp(-1.0, 1.0).acos().to_degrees();
    text += &format!("\n\nthe axes meet at {degrees:.2}° (cosine {})", number(surface.cosine));
    if x.normalized || y.normalized {
        let biases = if surface.ignored.is_empty() { "kept" } else { "ignored" };
        text += &format!("; normalisation {}, biases and norm parameters {biases}", surface.normalization);
    }
    if let Some(how) = &surface.batch_norm {
        text += &format!("\nbatch norm's statistics: {how}");
    }
    let extremes = [("train loss", &surface.train_loss), ("test loss", &surface.test_loss)];
    let extremes = extremes.into_iter().filter_map(|(name, rows)| row(surface, name, rows, number));
    let accuracies = [("train accuracy", &surface.train_accuracy), ("test accuracy", &surface.test_accuracy)];
    let share = |share: f64| percent(Some(share));
    let accuracies = accuracies.into_iter().filter_map(|(name, rows)| row(surface, name, rows, share));
    let rows: Vec<_> = extremes.chain(accuracies).collect();
    text += "\n\n";
    text += &table(&["", "at the origin", "least", "at x, y", "largest", "at x, y"], rows);
    text += &minima(surface);
    if surface.not_finite > 0 {
        text += &format!("\n{} points have a training loss that is not finite", surface.not_finite);
    }
    if let [_, others @ ..] = &surface.marks[..]
        && !others.is_empty()
    {
        let mark = |mark: &Mark| vec![mark.name.clone(), number(mark.x), number(mark.y), number(mark.distance)];
        text += "\n\n";
        text += &table(&["checkpoint", "x", "y", "distance from the plane"], others.iter().map(mark).collect());
    }
    text
}

/// How many minima the sampled surface has, and the highest barrier between two of them.
fn minima(surface: &Surface) -> String {
    let (x, y) = (&surface.x.coordinates, &surface.y.coordinates);
    let Ok(grid) = Grid::new(x.clone(), y.clone(), surface.train_loss.concat()) else { return String::new() };
    let minima = MergeTree::of(&grid).minima;
    let lasting = minima.iter().find_map(|minimum| Some((minimum, minimum.saddle?)));
    match lasting {
        None => "\n\none minimum of the training loss on this grid".into(),
        Some((minimum, saddle)) => format!(
            "\n\n{} minima of the training loss on this grid; besides the lowest, the one at {}, {} lasts longest: {} up to the \
             saddle at {}, {}",
            minima.len(),
            number(x[minimum.at.0]),
            number(y[minimum.at.1]),
            number(minimum.persistence()),
            number(x[saddle.at.0]),
            number(y[saddle.at.1]),
        ),
    }
}

fn axis(name: &str, axis: &Axis) -> Vec<String> {
    vec![
        name.into(),
        axis.name.clone(),
        number(axis.coordinates.first().copied()),
        number(axis.coordinates.last().copied()),
        number(axis.norm),
        number(axis.curvature),
        number(axis.curvature_difference),
        number(axis.eigenvalue.map(|eigenvalue| eigenvalue.value)),
    ]
}

/// The finite extremes of a list and where they are.
fn row(surface: &Surface, name: &str, rows: &[Vec<f64>], show: impl Fn(f64) -> String) -> Option<Vec<String>> {
    let (x, y) = (&surface.x.coordinates, &surface.y.coordinates);
    let points = rows.iter().zip(y).flat_map(|(row, &y)| row.iter().zip(x).map(move |(&value, &x)| (value, x, y)));
    let points: Vec<(f64, f64, f64)> = points.collect();
    if points.is_empty() {
        return None;
    }
    let origin =
        points.iter().find(|(_, x, y)| *x == 0.0 && *y == 0.0).map_or("–".into(), |(value, ..)| show(*value));
    let finite = || points.iter().filter(|(value, ..)| value.is_finite());
    let shown = |point: Option<&(f64, f64, f64)>| match point {
        Some(&(value, x, y)) => [show(value), format!("{}, {}", number(x), number(y))],
        None => ["–".into(), "–".into()],
    };
    let least = shown(finite().min_by(|a, b| a.0.total_cmp(&b.0)));
    let largest = shown(finite().max_by(|a, b| a.0.total_cmp(&b.0)));
    let cells = [name.to_owned(), origin].into_iter().chain(least).chain(largest);
    Some(cells.collect())
}
