//! The axes of batch sizes, shared by the figures over them.

use std::collections::BTreeSet;

use basin_records::BatchHessian;

use crate::chart::axes::{Axes, Axis, Edge};
use crate::chart::drawing::Drawing;
use crate::chart::font;
use crate::chart::scale::{Scale, Tick};
use crate::number;

/// About the width that a plot has for its labels, in pixels.
const WIDTH: f64 = 800.0;
const BETWEEN: f64 = 16.0;

/// A logarithmic axis with a tick at each batch size, as many of them labelled as fit at even distances.
pub(super) fn of_runs(sizes: impl Iterator<Item = u64>) -> Axis {
    let sizes: Vec<u64> = sizes.collect::<BTreeSet<_>>().into_iter().collect();
    let scale = Scale::logarithmic(sizes.iter().map(|&size| size as f64));
    let fitting = (1..=sizes.len()).map(|stride| every(&sizes, stride)).find(|ticks| apart(ticks, scale));
    Axis::new("batch size B", scale).with_ticks(fitting.unwrap_or_default())
}

/// A logarithmic axis with a tick at each batch size: N labelled, and as many others as fit at even distances.
pub(super) fn axis(result: &BatchHessian) -> Axis {
    let sizes = || result.rows.iter().map(|row| row.batch_size);
    let scale = Scale::logarithmic(sizes().map(|size| size as f64));
    let parts: Vec<u64> = sizes().filter(|&size| size != result.samples).collect();
    let whole = sizes().filter(|&size| size == result.samples);
    let whole: Vec<Tick> = whole.map(|size| Tick { value: size as f64, label: Some("N".into()) }).collect();
    let fitting = (1..=parts.len()).map(|stride| every(&parts, stride)).find(|ticks| apart(ticks, scale));
    let mut ticks = fitting.unwrap_or_default();
    for tick in &mut ticks {
        if !whole.iter().all(|n| apart(&[tick.clone(), n.clone()], scale)) {
            tick.label = None;
        }
    }
    ticks.extend(whole);
    let name = format!("batch size B   (N = {})", number::count(result.samples));
    Axis::new(name, scale).with_ticks(ticks)
}

/// A tick at each size, one in `stride` of them with a label.
fn every(sizes: &[u64], stride: usize) -> Vec<Tick> {
    let label = |index: usize, size: u64| index.is_multiple_of(stride).then(|| size.to_string());
    sizes.iter().enumerate().map(|(index, &size)| Tick { value: size as f64, label: label(index, size) }).collect()
}

/// Whether no label runs into the next one.
pub(super) fn apart(ticks: &[Tick], scale: Scale) -> bool {
    let reach = |tick: &Tick| {
        let (at, label) = (WIDTH * scale.position(tick.value)?, tick.label.as_ref()?);
        let half = (font::width(label) + BETWEEN) / 2.0;
        Some([at - half, at + half])
    };
    let reaches: Vec<[f64; 2]> = ticks.iter().filter_map(reach).collect();
    reaches.windows(2).all(|pair| pair[0][1] <= pair[1][0])
}

/// A vertical line at the crossover B*, where it lies on the axis.
pub(super) fn mark_crossover(drawing: &mut Drawing, axes: &Axes, result: &BatchHessian, name: Edge) {
    if let Some(crossover) = result.crossover {
        axes.named_mark(drawing, crossover, "B*", name);
    }
}

#[cfg(test)]
mod tests {
    use super::{Scale, apart, every};

    #[test]
    fn labels_that_would_meet_are_thinned_evenly() {
        let sizes: Vec<u64> = (1..16).map(|power| 1 << power).collect();
        let scale = Scale::logarithmic(sizes.iter().map(|&size| size as f64));
        assert!(!apart(&every(&sizes, 1), scale));
        assert!(apart(&every(&sizes, 3), scale));
        let labels: Vec<String> = every(&sizes[..5], 2).into_iter().filter_map(|tick| tick.label).collect();
        assert_eq!(labels, ["2", "8", "32"]);
    }
}
