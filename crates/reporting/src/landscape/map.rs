//! A landscape from above: contour lines, filled contours, heat maps.

use super::{Landscape, Picture};
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::color_bar::ColorBar;
use crate::chart::contour::{self, Polyline};
use crate::chart::contour_labels::{self, Labelled};
use crate::chart::drawing::{Color, Drawing, Point};
use crate::chart::grid::Grid;
use crate::chart::levels::Level;
use crate::chart::palette::INK;
use crate::chart::scale::Scale;
use crate::chart::{legend, missing};

/// Neighbouring rectangles overlap by so many pixels: a viewer that scales them shows no paper between.
const OVERLAP: f64 = 1.0;

pub(super) fn contours(landscape: &Landscape) -> Picture {
    let grid = &landscape.grid;
    let mut plot = Plot::begin(landscape, grid_ends(grid), None);
    plot.draw_missing(&missing_cells(grid));
    let lines: Vec<Labelled> = landscape
        .levels()
        .iter()
        .flat_map(|level| contour::lines(grid, level.value).into_iter().map(move |line| (level, line)))
        .map(|(level, line)| Labelled { points: plot.pixels(&line), words: level.label.clone() })
        .collect();
    contour_labels::draw(&mut plot.drawing, plot.axes.inside, &lines, INK);
    plot.end()
}

pub(super) fn filled_contours(landscape: &Landscape) -> Picture {
    let grid = &landscape.grid;
    let levels = landscape.levels();
    let colors = band_colors(landscape, &levels);
    let bar = ColorBar::banded(&landscape.value, colors.clone(), &levels);
    let mut plot = Plot::begin(landscape, grid_ends(grid), Some(&bar));
    for (points, color) in nested(grid, &levels, &colors) {
        let points = plot.pixels(&points);
        plot.drawing.polygon(points, color);
    }
    plot.draw_missing(&missing_cells(grid));
    plot.end()
}

pub(super) fn heat_map(landscape: &Landscape) -> Picture {
    let grid = &landscape.grid;
    let (map, scale) = (landscape.color_map(), landscape.color_scale());
    let bar = ColorBar::continuous(&landscape.value, &scale, |position| map.color(position));
    let [columns, rows] = [grid.x(), grid.y()].map(midpoints);
    let ends = [&columns, &rows].map(|edges| [edges[0], edges[edges.len() - 1]]);
    let mut plot = Plot::begin(landscape, ends, Some(&bar));
    let mut empty = Vec::new();
    for j in 0..grid.y().len() {
        for i in 0..grid.x().len() {
            let Some(region) = plot.region([columns[i], columns[i + 1]], [rows[j], rows[j + 1]]) else { continue };
            match grid.value(i, j).and_then(|value| scale.held_position(value)) {
                Some(position) => plot.fill(region, map.color(position)),
                None => empty.push(region),
            }
        }
    }
    plot.draw_missing_regions(&empty);
    plot.end()
}

/// One colour below the lowest level and one above each.
fn band_colors(landscape: &Landscape, levels: &[Level]) -> Vec<Color> {
    let (map, scale) = (landscape.color_map(), landscape.color_scale());
    let ends = landscape.range().unwrap_or((0.0, 0.0));
    let edges: Vec<f64> =
        std::iter::once(ends.0).chain(levels.iter().map(|level| level.value)).chain([ends.1]).collect();
    let position = |value: f64| scale.held_position(value).unwrap_or(0.5);
    edges.windows(2).map(|band| map.color((position(band[0]) + position(band[1])) / 2.0)).collect()
}

/// The outlines of all regions with the colour just inside them, from the largest to the smallest. Outlines never cross, so
/// that painted in this order they leave every point with the colour of its band, and neighbouring bands without a seam.
fn nested(grid: &Grid, levels: &[Level], colors: &[Color]) -> Vec<(Polyline, Color)> {
    let lowest = std::iter::once(f64::NEG_INFINITY);
    let mut found = Vec::new();
    for (band, level) in lowest.chain(levels.iter().map(|level| level.value)).enumerate() {
        for line in contour::outlines(grid, level) {
            let area = contour::area(&line.points);
            // Inside a hole is what lies below; where nothing does, it is a hole of the grid, which is drawn over.
            let color = if area > 0.0 { colors[band] } else { colors[band.saturating_sub(1)] };
            found.push((area.abs(), line, color));
        }
    }
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found.into_iter().map(|(_, line, color)| (line, color)).collect()
}

/// The plot's frame, and what is drawn in it.
struct Plot {
    drawing: Drawing,
    axes: Axes,
}

impl Plot {
    /// Axes from end to end with no margin, and the bar beside them.
    fn begin(landscape: &Landscape, [x, y]: [[f64; 2]; 2], bar: Option<&ColorBar>) -> Self {
        let mut drawing = Drawing::default();
        let region = legend::draw(&mut drawing, &landscape.missing_key());
        let beside = bar.map_or(0.0, |bar| bar.width());
        let x = Axis::new(&landscape.x, Scale::between(x[0], x[1]));
        let y = Axis::new(&landscape.y, Scale::between(y[0], y[1]));
        let axes = Axes::draw(&mut drawing, Region { right: region.right - beside, ..region }, &x, &y, None);
        if let Some(bar) = bar {
            let left = region.right - beside;
            bar.draw(&mut drawing, Region { left, right: region.right, ..axes.inside });
        }
        Self { drawing, axes }
    }

    /// The frame once more, over the data.
    fn end(mut self) -> Picture {
        let Region { left, top, right, bottom } = self.axes.inside;
        self.drawing.path(vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], INK, 2);
        Picture { drawing: self.drawing }
    }

    fn pixels(&self, line: &Polyline) -> Vec<Point> {
        line.points.iter().filter_map(|&(x, y)| self.axes.point(x, y)).collect()
    }

    fn region(&self, x: [f64; 2], y: [f64; 2]) -> Option<Region> {
        let ((left, bottom), (right, top)) = (self.axes.point(x[0], y[0])?, self.axes.point(x[1], y[1])?);
        Some(Region { left, top, right, bottom })
    }

    fn fill(&mut self, Region { left, top, right, bottom }: Region, color: Color) {
        let (right, top) = ((right + OVERLAP).min(self.axes.inside.right), (top - OVERLAP).max(self.axes.inside.top));
        self.drawing.polygon(vec![(left, top), (right, top), (right, bottom), (left, bottom)], color);
    }

    fn draw_missing(&mut self, cells: &[[[f64; 2]; 2]]) {
        let regions: Vec<Region> = cells.iter().filter_map(|&[x, y]| self.region(x, y)).collect();
        self.draw_missing_regions(&regions);
    }

    fn draw_missing_regions(&mut self, regions: &[Region]) {
        missing::draw(&mut self.drawing, regions);
    }
}

fn grid_ends(grid: &Grid) -> [[f64; 2]; 2] {
    [grid.x(), grid.y()].map(|axis| [axis[0], axis[axis.len() - 1]])
}

/// The cells without all their corners, by their ends along both axes.
fn missing_cells(grid: &Grid) -> Vec<[[f64; 2]; 2]> {
    let missing = grid.cells().filter(|&cell| grid.corners(cell).is_none());
    missing.map(|(i, j)| [[grid.x()[i], grid.x()[i + 1]], [grid.y()[j], grid.y()[j + 1]]]).collect()
}

/// Half-way between neighbours, and as far beyond the ends.
fn midpoints(axis: &[f64]) -> Vec<f64> {
    let last = axis.len() - 1;
    let between = axis.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0);
    let first = axis[0] - (axis[1] - axis[0]) / 2.0;
    std::iter::once(first).chain(between).chain([axis[last] + (axis[last] - axis[last - 1]) / 2.0]).collect()
}
