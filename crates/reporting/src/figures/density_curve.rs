//! A spectral density on a logarithmic axis low enough for single outliers, as a curve in a plot.

use basin_records::Provenance;
use basin_records::spectrum::Density;

use crate::chart::axes::Axes;
use crate::chart::drawing::{Align, Color, Drawing, Point};
use crate::chart::font;
use crate::chart::palette::{Dash, INK, MUTED, Marker};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::number;

/// How far below the height of a single eigenvalue the axis reaches.
const BELOW_ONE: f64 = 4.0;
/// Room above the highest value, for the markers.
const ABOVE: f64 = 3.0;
/// An outlier's value above its marker, and from the next one, in pixels.
const LABEL_ABOVE: f64 = 32.0;
const LABEL_GAP: f64 = 12.0;
/// Kernel widths beyond a node at which its Gaussian is nothing.
const REACH: f64 = 6.0;

/// A density with the height of a single eigenvalue.
#[derive(Clone, Copy)]
pub(super) struct DensityCurve<'a> {
    pub(super) density: &'a Density,
    /// The peak of one eigenvalue's Gaussian: 1/(P σ √2π).
    pub(super) one: Option<f64>,
}

impl<'a> DensityCurve<'a> {
    pub(super) fn of(density: &'a Density, provenance: &Provenance) -> Self {
        let weight = match density.atoms {
            0 => provenance.checkpoint.as_ref().map(|checkpoint| 1.0 / checkpoint.parameters as f64),
            _ => density.weights.first().copied(),
        };
        let height = weight.map(|weight| weight / (density.sigma * std::f64::consts::TAU.sqrt()));
        Self { density, one: height.filter(|height| height.is_finite() && *height > 0.0) }
    }

    /// The eigenvalues known exactly.
    pub(super) fn atoms(&self) -> &'a [f64] {
        &self.density.nodes[..(self.density.atoms as usize).min(self.density.nodes.len())]
    }

    /// The eigenvalues known exactly that lie beyond all others, ascending: outliers of the bulk.
    pub(super) fn outliers(&self) -> Vec<f64> {
        let [low, high] = self.ends();
        let mut outliers: Vec<f64> = self.atoms().iter().copied().filter(|atom| !(low..=high).contains(atom)).collect();
        outliers.sort_by(f64::total_cmp);
        outliers
    }

    /// The ends of what is not known exactly.
    fn ends(&self) -> [f64; 2] {
        let drawn = &self.density.nodes[self.atoms().len()..];
        drawn.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &x| [low.min(x), high.max(x)])
    }

    /// The grid's points over what is not known exactly.
    pub(super) fn bulk(&self) -> Vec<f64> {
        let [low, high] = self.ends();
        let reach = REACH * self.density.sigma;
        self.density.grid.iter().copied().filter(|t| (low - reach..=high + reach).contains(t)).collect()
    }

    fn highest(&self) -> f64 {
        self.density.values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max)
    }

    /// The foot of the axis.
    fn floor(&self) -> f64 {
        let highest = self.highest();
        self.one.map_or(1e-6 * highest, |one| one / BELOW_ONE).min(0.5 * highest)
    }

    /// The vertical axis for densities that share one.
    pub(super) fn scale(curves: &[Self]) -> Scale {
        Scale::logarithmic(curves.iter().flat_map(|curve| [curve.floor(), ABOVE * curve.highest()]))
    }

    /// A dotted line at the height of a single eigenvalue.
    pub(super) fn draw_height_of_one(&self, drawing: &mut Drawing, axes: &Axes) {
        if let Some(one) = self.one {
            axes.dotted_level(drawing, one);
        }
    }

    /// The eigenvalues known exactly, as stems as high as a single eigenvalue is.
    pub(super) fn draw_stems(&self, drawing: &mut Drawing, axes: &Axes, color: Color) {
        for stem in self.stems(axes) {
            drawing.path(stem.to_vec(), color, 4);
        }
    }

    /// The same with markers on their heads.
    pub(super) fn draw_marked_stems(&self, drawing: &mut Drawing, axes: &Axes, color: Color) {
        for [foot, head] in self.stems(axes) {
            drawing.path(vec![foot, head], color, 4);
            series::marker(drawing, head, Marker::TriangleDown, MUTED, true);
        }
    }

    /// Markers on the heads of the outliers, and their values as far as there is room.
    pub(super) fn draw_outliers(&self, drawing: &mut Drawing, axes: &Axes, marker: Marker, color: Color) {
        let stems = self.stems_of(axes, &self.outliers());
        for (_, [_, head]) in &stems {
            series::marker(drawing, *head, marker, color, true);
        }
        let mut free = axes.inside.right;
        for (value, [_, (x, y)]) in stems.iter().rev() {
            let words = number::significant(*value);
            let half = font::width(&words) / 2.0;
            let middle = x.min(axes.inside.right - half);
            // From the largest down: those that would run into the one before have their values in the CSV.
            if middle + half <= free && middle - half >= axes.inside.left {
                drawing.text(words, (middle, y - LABEL_ABOVE), Align::Center, INK);
                free = middle - half - LABEL_GAP;
            }
        }
    }

    fn stems(&self, axes: &Axes) -> Vec<[Point; 2]> {
        self.stems_of(axes, self.atoms()).into_iter().map(|(_, stem)| stem).collect()
    }

    /// The values that lie in the plot, with their stems.
    fn stems_of(&self, axes: &Axes, values: &[f64]) -> Vec<(f64, [Point; 2])> {
        let shown = values.iter().filter(|&&value| axes.spans(value));
        shown.filter_map(|&value| Some((value, axes.bar(value, 0.0, self.one?)?))).collect()
    }

    /// The curve over what is not known exactly: peaks of the others are thinner than a line.
    pub(super) fn draw(&self, drawing: &mut Drawing, axes: &Axes, color: Color, width: u32) {
        let Density { grid, values, .. } = self.density;
        let held: Vec<Option<Point>> = self.shown(axes).map(|i| axes.held_point(grid[i], values[i])).collect();
        let above = |i: usize| held.get(i).copied().flatten().is_some_and(|(_, y)| y < axes.inside.bottom);
        // Along its foot the axis says nothing of how low the density is.
        let from_foot = |i: usize| held[i].filter(|_| above(i) || above(i + 1) || i > 0 && above(i - 1));
        let points: Vec<Option<Point>> = (0..held.len()).map(from_foot).collect();
        series::line(drawing, &points, color, width, Dash::Solid, 1.0);
    }

    /// One standard error to each side.
    pub(super) fn draw_band(&self, drawing: &mut Drawing, axes: &Axes, color: Color) {
        let Density { grid, values, stderr, .. } = self.density;
        let bar = |i: usize| axes.bar(grid[i], values[i] - stderr.get(i)?, values[i] + stderr.get(i)?);
        series::band(drawing, &self.shown(axes).filter_map(bar).collect::<Vec<_>>(), color);
    }

    /// The area below the curve.
    pub(super) fn fill(&self, drawing: &mut Drawing, axes: &Axes, color: Color) {
        let Density { grid, values, .. } = self.density;
        let curve: Vec<Point> = self.shown(axes).filter_map(|i| axes.held_point(grid[i], values[i])).collect();
        if let (Some(first), Some(last)) = (curve.first(), curve.last()) {
            let foot = [(last.0, axes.inside.bottom), (first.0, axes.inside.bottom)];
            drawing.polygon(curve.iter().copied().chain(foot).collect(), color);
        }
    }

    /// The grid's points, by their number, at which there is something to draw.
    fn shown(&self, axes: &Axes) -> impl Iterator<Item = usize> {
        let bulk = self.bulk();
        let ends = bulk.first().copied().zip(bulk.last().copied());
        let Density { grid, values, .. } = self.density;
        let inside = move |t: f64| axes.spans(t) && ends.is_none_or(|(low, high)| (low..=high).contains(&t));
        (0..grid.len().min(values.len())).filter(move |&i| inside(grid[i]))
    }
}
