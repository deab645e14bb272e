//! Labels on lines: upright, where a line is long and straight enough and no other line passes.

use std::collections::HashMap;

use super::axes::Region;
use super::drawing::{Align, Color, Drawing, Point, TEXT};
use super::font;
use super::palette::INK;

/// A line in pixels with the words that belong on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labelled {
    pub(crate) points: Vec<Point>,
    pub(crate) words: String,
}

/// Room around the words.
const PADDING: f64 = 8.0;
/// Lines shorter than so many labels have none.
const LENGTHS: f64 = 3.0;
/// The least ratio of the chord behind a label to the line.
const STRAIGHT: f64 = 0.9;
/// Places looked at along a line.
const PLACES: usize = 40;
/// Lines that carry the same words, at the most.
const REPEATS: usize = 2;
/// Lines with the same words that are looked at, the longest ones: of noise there are far more than labels.
const TRIED: usize = 10;
const LINE_WIDTH: u32 = 2;
/// Corners nearer to a straight line, in pixels, are left out: painted on whole pixels, short segments look crooked.
const CROOKED: f64 = 0.4;

/// Draws the lines, each with a gap where its label stands.
pub(crate) fn draw(drawing: &mut Drawing, inside: Region, lines: &[Labelled], color: Color) {
    let places = places(inside, lines);
    for (line, place) in lines.iter().zip(&places) {
        for run in without(&line.points, place.as_ref()) {
            drawing.path(simplified(&run), color, LINE_WIDTH);
        }
    }
    for (line, place) in lines.iter().zip(&places) {
        if let Some(place) = place {
            drawing.text(&line.words, place.middle(), Align::Center, INK);
        }
    }
}

/// Where each line's label stands, if it has one. The longest lines choose first.
fn places(inside: Region, lines: &[Labelled]) -> Vec<Option<Region>> {
    let lengths: Vec<f64> = lines.iter().map(|line| length(&line.points)).collect();
    let hulls: Vec<Region> = lines.iter().map(|line| hull(&line.points)).collect();
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&one, &other| lengths[other].total_cmp(&lengths[one]));
    let mut places: Vec<Option<Region>> = vec![None; lines.len()];
    let mut tried: HashMap<&str, usize> = HashMap::new();
    let mut labelled: HashMap<&str, usize> = HashMap::new();
    for at in order {
        let words = lines[at].words.as_str();
        let [tried, labelled] = [tried.entry(words).or_default(), labelled.entry(words).or_default()];
        *tried += 1;
        if *tried <= TRIED && *labelled < REPEATS {
            let alone = |place: &Region| {
                let mut near = (0..lines.len()).filter(|&line| hulls[line].overlaps(place));
                near.all(|line| passages(&lines[line].points, place) <= usize::from(line == at))
            };
            let apart = |place: &Region| places.iter().flatten().all(|taken| !taken.overlaps(place));
            let free = |place: &Region| inside.contains(place) && apart(place) && alone(place);
            places[at] = candidates(&lines[at], lengths[at]).into_iter().find(free);
            *labelled += usize::from(places[at].is_some());
        }
    }
    places
}

/// Places along a line, the straightest first.
fn candidates(line: &Labelled, length: f64) -> Vec<Region> {
    let half_width = font::width(&line.words) / 2.0 + PADDING;
    if length < LENGTHS * 2.0 * half_width {
        return Vec::new();
    }
    let along = |part: usize| half_width + (length - 2.0 * half_width) * (part as f64 + 0.5) / PLACES as f64;
    let stops: Vec<f64> = (0..PLACES).map(along).flat_map(|at| [at - half_width, at, at + half_width]).collect();
    let mut found: Vec<(f64, Region)> = Vec::new();
    for place in points_at(&line.points, &stops).chunks_exact(3) {
        let [from, middle, to] = [place[0], place[1], place[2]];
        let straightness = distance(from, to) / (2.0 * half_width);
        if straightness >= STRAIGHT {
            found.push((straightness, Region::around(middle, 2.0 * half_width, TEXT)));
        }
    }
    // To the hundredth: on lines straight enough for any eye the first place is as good as another.
    found.sort_by_key(|(straightness, _)| -(100.0 * straightness).round() as i64);
    found.into_iter().map(|(_, region)| region).collect()
}

/// Points at distances along a line, each sought on from the corner before the last.
fn points_at(points: &[Point], distances: &[f64]) -> Vec<Point> {
    let mut ends = vec![0.0];
    for pair in points.windows(2) {
        ends.push(ends[ends.len() - 1] + distance(pair[0], pair[1]));
    }
    let point = |&at: &f64| {
        let next = ends.partition_point(|&end| end < at).clamp(1, points.len() - 1);
        let (from, to) = (points[next - 1], points[next]);
        let part = (at - ends[next - 1]) / (ends[next] - ends[next - 1]).max(f64::MIN_POSITIVE);
        (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1))
    };
    distances.iter().map(point).collect()
}

/// The pieces of a line outside a rectangle.
fn without(points: &[Point], place: Option<&Region>) -> Vec<Vec<Point>> {
    let Some(place) = place else { return vec![points.to_vec()] };
    let mut runs = vec![vec![points[0]]];
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let at = |part: f64| (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1));
        if let Some((enters, leaves)) = inside_part(from, to, place) {
            if enters > 0.0
                && let Some(run) = runs.last_mut()
            {
                run.push(at(enters));
            }
            runs.push(vec![at(leaves)]);
        }
        if let Some(run) = runs.last_mut() {
            run.push(to);
        }
    }
    runs.retain(|run| length(run) > 0.0 && !place.contains(&hull(run)));
    runs
}

/// The line without the corners that make no difference (Douglas and Peucker, 1973).
fn simplified(points: &[Point]) -> Vec<Point> {
    let mut kept = vec![false; points.len()];
    let mut parts = vec![(0, points.len() - 1)];
    while let Some((first, last)) = parts.pop() {
        (kept[first], kept[last]) = (true, true);
        let off = |at: &usize| off_segment(points[*at], points[first], points[last]);
        let farthest = (first + 1..last).max_by(|one, other| off(one).total_cmp(&off(other)));
        if let Some(at) = farthest.filter(|at| off(at) > CROOKED) {
            parts.extend([(first, at), (at, last)]);
        }
    }
    points.iter().zip(kept).filter_map(|(&point, kept)| kept.then_some(point)).collect()
}

/// The distance of a point from a segment.
fn off_segment(point: Point, from: Point, to: Point) -> f64 {
    let (along, square) = ((to.0 - from.0, to.1 - from.1), distance(from, to).powi(2));
    let part = ((point.0 - from.0) * along.0 + (point.1 - from.1) * along.1) / square.max(f64::MIN_POSITIVE);
    let part = part.clamp(0.0, 1.0);
    distance(point, (from.0 + part * along.0, from.1 + part * along.1))
}

fn hull(points: &[Point]) -> Region {
    let empty = Region { left: f64::MAX, top: f64::MAX, right: f64::MIN, bottom: f64::MIN };
    points.iter().fold(empty, |Region { left, top, right, bottom }, &(x, y)| Region {
        left: left.min(x),
        top: top.min(y),
        right: right.max(x),
        bottom: bottom.max(y),
    })
}

/// How many times a line runs through a rectangle.
fn passages(points: &[Point], place: &Region) -> usize {
    let parts = points.windows(2).map(|pair| inside_part(pair[0], pair[1], place));
    let mut inside = false;
    let begins = parts.filter(|part| {
        let goes_on = inside && part.is_some_and(|(enters, _)| enters == 0.0);
        inside = part.is_some_and(|(_, leaves)| leaves == 1.0);
        part.is_some() && !goes_on
    });
    begins.count()
}

/// The parts of a segment, from 0 to 1, between which it lies in a rectangle (Liang and Barsky, 1984).
fn inside_part(from: Point, to: Point, place: &Region) -> Option<(f64, f64)> {
    let (mut enters, mut leaves) = (0.0f64, 1.0f64);
    for (start, step, low, high) in
        [(from.0, to.0 - from.0, place.left, place.right), (from.1, to.1 - from.1, place.top, place.bottom)]
    {
        if step == 0.0 {
            if !(low..=high).contains(&start) {
                return None;
            }
        } else {
            let ends = [(low - start) / step, (high - start) / step];
            enters = enters.max(ends[0].min(ends[1]));
            leaves = leaves.min(ends[0].max(ends[1]));
        }
    }
    (enters < leaves).then_some((enters, leaves))
}

fn distance(from: Point, to: Point) -> f64 {
    (to.0 - from.0).hypot(to.1 - from.1)
}

fn length(points: &[Point]) -> f64 {
    points.windows(2).map(|pair| distance(pair[0], pair[1])).sum()
}

#[cfg(test)]
mod tests {
    use super::{INK, Labelled, Region, draw, length, passages, places, simplified, without};
    use crate::chart::drawing::{Drawing, Shape};

    const INSIDE: Region = Region { left: 0.0, top: 0.0, right: 800.0, bottom: 600.0 };

    fn circle(radius: f64, words: &str) -> Labelled {
        let angle = |at: usize| std::f64::consts::TAU * at as f64 / 90.0;
        let points = (0..=90).map(|at| (400.0 + radius * angle(at).cos(), 300.0 + radius * angle(at).sin()));
        Labelled { points: points.collect(), words: words.into() }
    }

    #[test]
    fn labels_overlap_no_other_label_and_no_other_line_and_stay_inside() {
        let lines: Vec<Labelled> = (1..=9).map(|at| circle(35.0 * f64::from(at), &format!("0.{at}"))).collect();
        let found = places(INSIDE, &lines);
        assert!(found.iter().flatten().count() >= 4);
        for (at, place) in found.iter().enumerate().filter_map(|(at, place)| Some((at, place.as_ref()?))) {
            assert!(INSIDE.contains(place));
            for (other, line) in lines.iter().enumerate().filter(|(other, _)| *other != at) {
                assert_eq!(passages(&line.points, place), 0, "{at} on {other}");
                assert!(found[other].is_none_or(|taken| !taken.overlaps(place)), "{at} over {other}");
            }
        }
    }

    #[test]
    fn short_lines_crooked_lines_and_many_alike_have_no_label() {
        let zigzag = (0..100).map(|at| (8.0 * f64::from(at), if at % 2 == 0 { 250.0 } else { 350.0 })).collect();
        let crooked = Labelled { points: zigzag, words: "0.5".into() };
        let level = |y: f64| Labelled { points: vec![(0.0, y), (800.0, y)], words: "1".into() };
        let short = Labelled { points: vec![(0.0, 10.0), (100.0, 10.0)], words: "0.25".into() };
        let lines = [short, crooked, level(100.0), level(450.0), level(550.0)];
        let found = places(INSIDE, &lines).iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(found, [false, false, true, true, false]);
    }

    #[test]
    fn corners_that_make_no_difference_are_left_out_and_others_kept() {
        let flat: Vec<_> = (0..50).map(|at| (f64::from(at), if at % 2 == 0 { 0.0 } else { 0.3 })).collect();
        assert_eq!(simplified(&flat), [flat[0], flat[49]]);
        let corner = [(0.0, 0.0), (10.0, 0.1), (20.0, 0.0), (20.0, 10.0), (20.0, 20.0)];
        assert_eq!(simplified(&corner), [corner[0], corner[2], corner[4]]);
        let round = circle(100.0, "").points;
        let drawn = simplified(&round);
        assert!(drawn.len() < round.len() && drawn.first() == drawn.last());
        assert!((length(&drawn) / length(&round) - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_line_has_a_gap_as_wide_as_its_label() {
        let gap = Region { left: 300.0, top: 80.0, right: 380.0, bottom: 120.0 };
        let line = [(0.0, 100.0), (310.0, 100.0), (350.0, 90.0), (360.0, 100.0), (800.0, 100.0)];
        let runs = without(&line, Some(&gap));
        assert_eq!(runs, [vec![(0.0, 100.0), (300.0, 100.0)], vec![(380.0, 100.0), (800.0, 100.0)]]);
        assert!(runs.iter().all(|run| passages(run, &Region { left: 301.0, right: 379.0, ..gap }) == 0));
        assert_eq!(passages(&line, &gap), 1);
        let mut drawing = Drawing::default();
        draw(&mut drawing, INSIDE, &[Labelled { points: vec![(0.0, 300.0), (800.0, 300.0)], words: "1".into() }], INK);
        let drawn = drawing.shapes.iter().map(|shape| match shape {
            Shape::Path { points, .. } => length(points),
            _ => 0.0,
        });
        assert!(drawn.sum::<f64>() < 790.0 && drawing.shapes.len() == 3);
    }
}
