//! A landscape from above: contour lines, filled contours, heat maps.

use super::{Frame, Landscape, Picture, Place};
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::color_bar::ColorBar;
use crate::chart::color_map::Colors;
use crate::chart::contour::{self, Polyline};
use crate::chart::contour_labels::{self, Labelled};
use crate::chart::drawing::{Align, Color, Drawing, Point, TEXT};
use crate::chart::font;
use crate::chart::grid::Grid;
use crate::chart::legend::{self, Key};
use crate::chart::levels::Level;
use crate::chart::missing;
use crate::chart::palette::{Dash, INK, Marker, PAPER, look};
use crate::chart::readings::Seen;
use crate::chart::scale::Scale;
use crate::chart::series;

/// Neighbouring rectangles overlap by so many pixels: a viewer that scales them shows no paper between.
const OVERLAP: f64 = 1.0;
/// Room around a name on a path, and between it and its place.
const NAME_PADDING: f64 = 6.0;
const NAME_AWAY: f64 = 12.0;
/// The room that a tick on a path takes.
const TICK: f64 = 22.0;

pub(super) fn contours(landscape: &Landscape) -> Picture {
    let grid = &landscape.grid;
    let name = Key { words: landscape.value.clone(), color: INK, line: Some(Dash::Solid), marker: None };
    let keys = std::iter::once(name).chain(landscape.missing_key()).collect();
    let frame = landscape.frame();
    let mut plot = Plot::begin(landscape, [frame.x, frame.y], keys, None);
    plot.draw_missing(&missing_cells(grid));
    let lines: Vec<Labelled> = frame
        .levels()
        .iter()
        .flat_map(|level| contour::lines(grid, level.value).into_iter().map(move |line| (level, line)))
        .map(|(level, line)| Labelled { points: plot.pixels(&line), words: level.label.clone() })
        .collect();
    contour_labels::draw(&mut plot.drawing, plot.axes.inside, &lines, INK);
    plot.end(landscape, &frame)
}

pub(super) fn filled_contours(landscape: &Landscape, frame: &Frame, places: &[Place], path: &[Place]) -> Picture {
    let grid = &landscape.grid;
    let levels = frame.levels();
    let colors = band_colors(frame, &levels);
    let bar = ColorBar::banded(&landscape.value, colors.clone(), &levels);
    let marker = |index: usize| look(index).marker;
    let key = |(index, place): (usize, &Place)| Key {
        words: place.name.clone(),
        color: INK,
        line: None,
        marker: Some((marker(index), false)),
    };
    let keys = places.iter().enumerate().map(key).chain(landscape.missing_key()).collect();
    let mut plot = Plot::begin(landscape, [frame.x, frame.y], keys, Some(&bar));
    for (points, color) in nested(grid, &levels, &colors) {
        let points = plot.pixels(&points);
        plot.drawing.polygon(points, color);
    }
    plot.draw_missing(&missing_cells(grid));
    for (index, place) in places.iter().enumerate() {
        if let Some(point) = plot.axes.point(place.x, place.y) {
            series::marker(&mut plot.drawing, point, marker(index), INK, false);
        }
    }
    plot.draw_path(path);
    plot.end(landscape, frame)
}

pub(super) fn heat_map(landscape: &Landscape) -> Picture {
    let grid = &landscape.grid;
    let frame = landscape.frame();
    let Colors { map, scale } = frame.colors();
    let bar = ColorBar::continuous(&landscape.value, &scale, |position| map.color(position));
    let [columns, rows] = [grid.x(), grid.y()].map(midpoints);
    let ends = [&columns, &rows].map(|edges| [edges[0], edges[edges.len() - 1]]);
    let mut plot = Plot::begin(landscape, ends, landscape.missing_key(), Some(&bar));
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
    missing::draw(&mut plot.drawing, &empty);
    plot.end(landscape, &frame)
}

/// One colour below the lowest level and one above each.
fn band_colors(frame: &Frame, levels: &[Level]) -> Vec<Color> {
    let Colors { map, scale } = frame.colors();
    let ends = frame.range.unwrap_or((0.0, 0.0));
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
    /// The ends of its axes.
    over: [[f64; 2]; 2],
}

impl Plot {
    /// Axes from end to end with no margin, and the bar beside them.
    fn begin(landscape: &Landscape, over: [[f64; 2]; 2], keys: Vec<Key>, bar: Option<&ColorBar>) -> Self {
        let mut drawing = Drawing::default();
        let region = legend::draw(&mut drawing, &keys);
        let beside = bar.map_or(0.0, |bar| bar.width());
        let [x, y] = over.map(|[low, high]| Scale::between(low, high));
        let (x, y) = (Axis::new(&landscape.x, x), Axis::new(&landscape.y, y));
        let axes = Axes::draw(&mut drawing, Region { right: region.right - beside, ..region }, &x, &y, None);
        if let Some(bar) = bar {
            let left = region.right - beside;
            bar.draw(&mut drawing, Region { left, right: region.right, ..axes.inside });
        }
        Self { drawing, axes, over }
    }

    /// The frame once more, over the data.
    fn end(mut self, landscape: &Landscape, frame: &Frame) -> Picture {
        let Region { left, top, right, bottom } = self.axes.inside;
        self.drawing.path(vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], INK, 2);
        self.drawing.marks.field = Some(landscape.field(frame, self.over, Seen::Above([left, top, right, bottom])));
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

    /// A dark line with a light rim, which is seen on any colour, its named places as ticks with their names.
    fn draw_path(&mut self, path: &[Place]) {
        let points: Vec<Point> = path.iter().filter_map(|place| self.axes.point(place.x, place.y)).collect();
        if points.len() > 1 {
            self.drawing.path(points.clone(), PAPER, 9);
            self.drawing.path(points.clone(), INK, 4);
        }
        for &point in &points {
            series::marker(&mut self.drawing, point, Marker::Dot, INK, true);
        }
        let named = || path.iter().rev().filter(|place| !place.name.is_empty());
        let ticks = named().filter_map(|place| self.axes.point(place.x, place.y));
        let mut taken: Vec<Region> = ticks.map(|tick| Region::around(tick, TICK, TICK)).collect();
        for tick in &taken {
            series::marker(&mut self.drawing, tick.middle(), Marker::Circle, INK, false);
        }
        // From the end, which matters most where names crowd.
        for place in named() {
            let Some((x, y)) = self.axes.point(place.x, place.y) else { continue };
            let (width, half) = (font::width(&place.name) + 2.0 * NAME_PADDING, 0.6 * TEXT);
            let beside = [(1.0, -1.0), (-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
            let beside =
                beside.map(|(right, down)| (x + right * (width / 2.0 + NAME_AWAY), y + down * (half + NAME_AWAY)));
            let boxes = beside.map(|at| Region::around(at, width, 2.0 * half));
            let free =
                |name: &&Region| self.axes.inside.contains(name) && !taken.iter().any(|other| other.overlaps(name));
            if let Some(name) = boxes.iter().find(free).copied() {
                let Region { left, top, right, bottom } = name;
                self.drawing.faint_polygon(
                    vec![(left, top), (right, top), (right, bottom), (left, bottom)],
                    PAPER,
                    0.8,
                );
                self.drawing.text(&place.name, name.middle(), Align::Center, INK);
                taken.push(name);
            }
        }
    }

    fn draw_missing(&mut self, cells: &[[[f64; 2]; 2]]) {
        let regions: Vec<Region> = cells.iter().filter_map(|&[x, y]| self.region(x, y)).collect();
        missing::draw(&mut self.drawing, &regions);
    }
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

#[cfg(test)]
mod tests {
    use super::{band_colors, midpoints, nested};
    use crate::chart::drawing::{Color, Shape};
    use crate::chart::palette::AREA;
    use crate::landscape::{Grid, Landscape, Spacing};

    fn landscape(columns: usize, rows: usize, f: impl Fn(f64, f64) -> f64) -> Landscape {
        let axis = |count: usize| (0..count).map(|at| 2.0 * at as f64 / (count - 1) as f64 - 1.0).collect::<Vec<f64>>();
        let (x, y) = (axis(columns), axis(rows));
        let values = y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y))).map(|(x, y)| f(x, y)).collect();
        let grid = Grid::new(x, y, values).expect("a grid");
        Landscape { grid, x: "a".into(), y: "b".into(), value: "loss".into(), spacing: Spacing::Linear }
    }

    /// Whether a point lies in a closed outline, by the crossings of a ray.
    fn encloses(outline: &[(f64, f64)], (x, y): (f64, f64)) -> bool {
        let crosses = |pair: &&[(f64, f64)]| {
            let (from, to) = (pair[0], pair[1]);
            (from.1 > y) != (to.1 > y) && x < from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0)
        };
        outline.windows(2).filter(crosses).count() % 2 == 1
    }

    #[test]
    fn every_point_has_the_colour_of_its_band_after_all_outlines_are_painted() {
        // Odd enough that no value is a level.
        let ring = |x: f64, y: f64| (3.0 * (x * x + y * y)).sin() + 0.3 * x + 0.01234;
        let missing = |x: f64, y: f64| if (x - 0.5).hypot(y - 0.1) < 0.2 { f64::NAN } else { ring(x, y) };
        for f in [&ring as &dyn Fn(f64, f64) -> f64, &missing] {
            let landscape = landscape(81, 61, f);
            let levels = landscape.frame().levels();
            let colors = band_colors(&landscape.frame(), &levels);
            assert_eq!(colors.len(), levels.len() + 1);
            let outlines = nested(&landscape.grid, &levels, &colors);
            for (j, y) in landscape.grid.y().iter().enumerate().skip(1) {
                for (i, x) in landscape.grid.x().iter().enumerate().skip(1) {
                    // Next to a point of the grid, where the function hardly differs from its value there.
                    let at = (x - 1e-9, y - 1.3e-9);
                    let painted = outlines.iter().rev().find(|(line, _)| encloses(&line.points, at));
                    if landscape.grid.corners((i - 1, j - 1)).is_some() {
                        let value = landscape.grid.value(i, j).expect("a corner");
                        let band = levels.iter().filter(|level| value >= level.value).count();
                        assert_eq!(painted.map(|(_, color)| *color), Some(colors[band]), "{at:?}");
                    }
                }
            }
        }
    }

    fn fills(landscape: &Landscape, heat: bool) -> Vec<Color> {
        let picture = if heat { landscape.heat_map() } else { landscape.contours() };
        let color = |shape: Shape| match shape {
            Shape::Polygon { color, .. } => Some(color),
            _ => None,
        };
        picture.drawing.shapes.into_iter().filter_map(color).collect()
    }

    #[test]
    fn missing_points_are_named_and_drawn_and_have_no_colour_of_the_map() {
        let half = landscape(5, 4, |x, y| if x > 0.9 && y > 0.0 { f64::NAN } else { x });
        // The two upper points of the last column, side by side, are one area in either picture; one more is the key's.
        let grey = |heat| fills(&half, heat).into_iter().filter(|&color| color == AREA).count();
        assert_eq!([grey(false), grey(true)], [1 + 1, 1 + 1]);
        let named = |shape: &Shape| matches!(shape, Shape::Text { text, .. } if text == "no number at 2 of 20 points");
        for picture in [half.contours(), half.filled_contours(), half.heat_map(), half.surface(Default::default())] {
            assert!(picture.drawing.shapes.iter().any(named));
        }
        let whole = landscape(5, 4, |x, _| x);
        assert_eq!(fills(&whole, false), []);
    }

    #[test]
    fn nothing_to_draw_is_drawn_too() {
        for spacing in [Spacing::Linear, Spacing::Logarithmic] {
            for value in [3.0, 0.0, -2.0, f64::NAN, 1e308] {
                let landscape = Landscape { spacing, ..landscape(2, 3, |_, _| value) };
                for picture in [landscape.contours(), landscape.filled_contours(), landscape.heat_map()] {
                    assert!(picture.svg().is_ok(), "{spacing:?} {value}");
                }
                assert!(landscape.surface(Default::default()).svg().is_ok(), "{spacing:?} {value}");
            }
        }
    }

    #[test]
    fn values_of_both_signs_have_zero_in_the_middle_of_their_colours() {
        let uneven = landscape(5, 5, |x, _| if x < 0.0 { 0.1 * x } else { x });
        let position = uneven.frame().colors().scale.position(0.0);
        assert_eq!(position, Some(0.5));
        assert_eq!(landscape(5, 5, |x, _| x + 2.0).frame().colors().scale.position(1.0), Some(0.0));
    }

    #[test]
    fn rectangles_of_a_heat_map_meet_half_way() {
        assert_eq!(midpoints(&[0.0, 1.0, 4.0]), [-0.5, 0.5, 2.5, 5.5]);
    }
}
