//! Curves by epoch of runs that differ in their seeds alone, with their mean.

use std::collections::BTreeMap;

use crate::chart::axes::Axes;
use crate::chart::drawing::{Drawing, Point};
use crate::chart::palette::{Dash, Look};
use crate::chart::series;

/// Markers on a mean curve: enough to tell the curves apart in grey, few enough to see the line.
const MARKERS: usize = 6;
const FAINT: f64 = 0.35;

/// Values by epoch.
pub(super) type Curve = Vec<(f64, f64)>;

/// Thin lines for single runs, where there are several, and a thick one with markers for their mean.
pub(super) fn draw(drawing: &mut Drawing, axes: &Axes, seeds: &[Curve], look: Look, dash: Dash) {
    let place = |curve: &Curve| -> Vec<Option<Point>> { curve.iter().map(|&(x, y)| axes.point(x, y)).collect() };
    if seeds.len() > 1 {
        for seed in seeds {
            series::line(drawing, &place(seed), look.color, 2, dash, FAINT);
        }
    }
    let mean = place(&mean(seeds));
    series::line(drawing, &mean, look.color, 5, dash, 1.0);
    let every = mean.len().div_ceil(MARKERS).max(1);
    // Counted from the end, so that the last value carries a marker; dashed and solid curves take turns, for they lie close.
    let first = if dash == Dash::Solid { 0 } else { every / 2 };
    for point in mean.iter().rev().skip(first).step_by(every).flatten() {
        series::marker(drawing, *point, look.marker, look.color, dash == Dash::Solid);
    }
}

/// Mean over the seeds at the epochs that all of them have; elsewhere it would jump when a run ends.
pub(super) fn mean(seeds: &[Curve]) -> Curve {
    let mut sums: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
    for &(epoch, value) in seeds.iter().flatten() {
        let sum = sums.entry(epoch as u64).or_default();
        *sum = (sum.0 + value, sum.1 + 1);
    }
    let complete = sums.into_iter().filter(|(_, (_, count))| *count == seeds.len());
    complete.map(|(epoch, (sum, count))| (epoch as f64, sum / count as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn the_mean_ends_where_the_first_run_ends() {
        let long = vec![(1.0, 50.0), (2.0, 60.0), (3.0, 90.0)];
        let short = vec![(1.0, 70.0), (2.0, 80.0)];
        assert_eq!(mean(&[long, short]), [(1.0, 60.0), (2.0, 70.0)]);
    }
}
