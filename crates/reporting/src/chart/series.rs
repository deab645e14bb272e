//! Lines and markers.

use super::drawing::{Color, Drawing, Point};
use super::palette::{Dash, Marker, PAPER};
use super::readings::{Bar, Spot};

const MARKER_RADIUS: f64 = 11.0;
/// As wide is a marker.
pub(crate) const MARKER_WIDTH: f64 = 2.0 * MARKER_RADIUS;
const HOLLOW_WIDTH: u32 = 4;
const FAINT: f64 = 0.45;
const INTERVAL_HALF_WIDTH: f64 = 4.0;
const ARROW: f64 = 14.0;
const BAND: f64 = 0.25;

/// Draws a line through the points; a missing point is a gap.
pub(crate) fn line(
    drawing: &mut Drawing,
    points: &[Option<Point>],
    color: Color,
    width: u32,
    dash: Dash,
    opacity: f64,
) {
    if opacity == 1.0 {
        let spots = points.iter().flatten().map(|&at| Spot::of_line(at, color, dash));
        drawing.marks.add_line(spots);
    }
    for run in points.split(Option::is_none) {
        let run: Vec<Point> = run.iter().copied().flatten().collect();
        if run.len() < 2 {
            continue;
        }
        for stroke in strokes(&run, dash.pattern()) {
            drawing.faint_path(stroke, color, width, opacity);
        }
    }
}

/// Draws one marker, filled or hollow.
pub(crate) fn marker(drawing: &mut Drawing, at: Point, marker: Marker, color: Color, filled: bool) {
    drawing.marks.add(Spot::of_marker(at, color, marker, filled));
    let mut outline = outline(marker, at);
    if filled {
        // A rim of paper keeps markers that touch apart.
        drawing.polygon(outline.clone(), color);
        outline.push(outline[0]);
        drawing.path(outline, PAPER, 1);
    } else {
        drawing.polygon(outline.clone(), PAPER);
        outline.push(outline[0]);
        drawing.path(outline, color, HOLLOW_WIDTH);
    }
}

/// A vertical bar with caps.
pub(crate) fn error_bar(drawing: &mut Drawing, low: Point, high: Point, color: Color) {
    capped_bar(drawing, [low, high], (0.8 * MARKER_RADIUS, 0.0), color);
}

/// A level bar with caps.
pub(crate) fn level_error_bar(drawing: &mut Drawing, low: Point, high: Point, color: Color) {
    capped_bar(drawing, [low, high], (0.0, 0.8 * MARKER_RADIUS), color);
}

fn capped_bar(drawing: &mut Drawing, [low, high]: Bar, cap: (f64, f64), color: Color) {
    drawing.marks.add_bar([low, high]);
    drawing.path(vec![low, high], color, 3);
    for (x, y) in [low, high] {
        drawing.path(vec![(x - cap.0, y - cap.1), (x + cap.0, y + cap.1)], color, 3);
    }
}

/// A thick bar from its low to its high end; an end that is open is an arrow head.
pub(crate) fn interval(drawing: &mut Drawing, [low, high]: [Point; 2], open: [bool; 2], color: Color) {
    let half = INTERVAL_HALF_WIDTH;
    drawing.polygon(
        vec![(low.0 - half, low.1), (low.0 + half, low.1), (high.0 + half, high.1), (high.0 - half, high.1)],
        color,
    );
    for ((x, y), open, inward) in [(low, open[0], -1.0), (high, open[1], 1.0)] {
        if open {
            let foot = y + inward * ARROW;
            drawing.polygon(vec![(x, y), (x - ARROW, foot), (x + ARROW, foot)], color);
        }
    }
}

/// Whether a bar can be seen behind a marker in its middle.
pub(crate) fn outgrows_marker([low, high]: &[Point; 2]) -> bool {
    low.1 - high.1 > 2.0 * MARKER_RADIUS
}

/// A faint dot for a single value among many.
pub(crate) fn dot(drawing: &mut Drawing, at: Point, color: Color, filled: bool) {
    drawing.marks.add(Spot::of_marker(at, color, Marker::Dot, filled));
    let mut outline = outline(Marker::Dot, at);
    if filled {
        drawing.faint_polygon(outline, color, FAINT);
    } else {
        outline.push(outline[0]);
        drawing.path(outline, color, 2);
    }
}

/// A faint band between the lower and the upper ends of bars.
pub(crate) fn band(drawing: &mut Drawing, bars: &[[Point; 2]], color: Color) {
    if bars.len() > 1 {
        let upper = bars.iter().map(|[_, high]| *high);
        let lower = bars.iter().rev().map(|[low, _]| *low);
        drawing.faint_polygon(upper.chain(lower).collect(), color, BAND);
    }
}

fn outline(marker: Marker, (x, y): Point) -> Vec<Point> {
    let corners = |count: usize, first: f64, radius: f64| -> Vec<Point> {
        (0..count)
            .map(|corner| {
                let angle = (first + 360.0 * corner as f64 / count as f64).to_radians();
                (x + radius * angle.cos(), y - radius * angle.sin())
            })
            .collect()
    };
    match marker {
        Marker::Circle => corners(24, 0.0, MARKER_RADIUS),
        Marker::Dot => corners(16, 0.0, 0.5 * MARKER_RADIUS),
        Marker::Square => corners(4, 45.0, 1.25 * MARKER_RADIUS),
        Marker::Triangle => corners(3, 90.0, 1.4 * MARKER_RADIUS),
        Marker::TriangleDown => corners(3, 270.0, 1.4 * MARKER_RADIUS),
        Marker::Diamond => corners(4, 0.0, 1.3 * MARKER_RADIUS),
        Marker::Bar => {
            let (half_width, half_height) = (INTERVAL_HALF_WIDTH, 1.5 * MARKER_RADIUS);
            [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
                .map(|(right, down)| (x + right * half_width, y + down * half_height))
                .to_vec()
        }
        Marker::Hexagon => corners(6, 0.0, 1.1 * MARKER_RADIUS),
    }
}

/// Cuts a line into the strokes of a dash pattern, which runs on around the corners.
fn strokes(points: &[Point], pattern: &[f64]) -> Vec<Vec<Point>> {
    if pattern.is_empty() {
        return vec![points.to_vec()];
    }
    let mut strokes = vec![vec![points[0]]];
    let (mut part, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let (mut at, end) = (pair[0], pair[1]);
        loop {
            let (dx, dy) = (end.0 - at.0, end.1 - at.1);
            let length = dx.hypot(dy);
            let drawing = part % 2 == 0;
            if length <= left {
                left -= length;
                if drawing && let Some(stroke) = strokes.last_mut() {
                    stroke.push(end);
                }
                break;
            }
            at = (at.0 + dx * left / length, at.1 + dy * left / length);
            match strokes.last_mut() {
                Some(stroke) if drawing => stroke.push(at),
                _ => strokes.push(vec![at]),
            }
            part = (part + 1) % pattern.len();
            left = pattern[part];
        }
    }
    strokes.retain(|stroke| stroke.len() > 1);
    strokes
}

#[cfg(test)]
mod tests {
    use super::{Dash, Drawing, line, strokes};
    use crate::chart::palette::INK;

    #[test]
    fn dashes_run_on_around_corners() {
        let cut = strokes(&[(0.0, 0.0), (8.0, 0.0), (8.0, 20.0)], &[10.0, 5.0]);
        assert_eq!(cut, [vec![(0.0, 0.0), (8.0, 0.0), (8.0, 2.0)], vec![(8.0, 7.0), (8.0, 17.0)]]);
    }

    #[test]
    fn a_missing_point_is_a_gap() {
        let mut drawing = Drawing::default();
        let points = [Some((0.0, 0.0)), Some((1.0, 0.0)), None, Some((3.0, 0.0)), Some((4.0, 0.0))];
        line(&mut drawing, &points, INK, 1, Dash::Solid, 1.0);
        assert_eq!(drawing.shapes.len(), 2);
    }
}
