//! The axis of mini-batch sizes, shared by the figures over them.

use basin_records::BatchHessian;

use crate::chart::axes::{Axes, Axis, Edge};
use crate::chart::drawing::Drawing;
use crate::chart::font;
use crate::chart::scale::{Scale, Tick};
use crate::number;

/// About the width that a plot has for its labels, in pixels.
const WIDTH: f64 = 800.0;
const BETWEEN: f64 = 16.0;

/// A logarithmic axis with a tick at each batch size, and as many labels as fit at even distances, the largest first.
pub(super) fn axis(result: &BatchHessian) -> Axis {
    let sizes: Vec<u64> = result.rows.iter().map(|row| row.batch_size).collect();
    let scale = Scale::logarithmic(sizes.iter().map(|&size| size as f64));
    let every = |stride| ticks(&sizes, result.samples, stride);
    let fitting = (1..=sizes.len()).map(every).find(|ticks| apart(ticks, scale));
    let name = format!("batch size B   (N = {})", number::count(result.samples));
    Axis::new(name, scale).with_ticks(fitting.unwrap_or_default())
}

fn ticks(sizes: &[u64], samples: u64, stride: usize) -> Vec<Tick> {
    let tick = |(index, &size): (usize, &u64)| {
        let label = || if size == samples { "N".into() } else { size.to_string() };
        Tick { value: size as f64, label: (sizes.len() - 1 - index).is_multiple_of(stride).then(label) }
    };
    sizes.iter().enumerate().map(tick).collect()
}

fn apart(ticks: &[Tick], scale: Scale) -> bool {
    let labels: Vec<(f64, f64)> = ticks
        .iter()
        .filter_map(|tick| Some((WIDTH * scale.position(tick.value)?, font::width(tick.label.as_ref()?) / 2.0)))
        .collect();
    labels.windows(2).all(|pair| pair[0].0 + pair[0].1 + BETWEEN <= pair[1].0 - pair[1].1)
}

/// A vertical line at the crossover B*, where it lies on the axis.
pub(super) fn mark_crossover(drawing: &mut Drawing, axes: &Axes, result: &BatchHessian, name: Edge) {
    if let Some(crossover) = result.crossover {
        axes.named_mark(drawing, crossover, "B*", name);
    }
}
