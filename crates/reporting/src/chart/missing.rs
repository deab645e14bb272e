//! What has no number: hatched grey, so that it is no colour of a map, in grey print neither.

use super::axes::Region;
use super::drawing::{Color, Drawing, Point};
use super::legend::Key;
use super::palette::{AREA, MUTED, Marker};

/// Between hatching lines, along an axis.
const PITCH: f64 = 16.0;
const HATCHING: Color = MUTED;

/// Draws rectangles of the plot in which there is no number, given row by row.
pub(crate) fn draw(drawing: &mut Drawing, regions: &[Region]) {
    let regions = joined(regions);
    for Region { left, top, right, bottom } in &regions {
        drawing.polygon(vec![(*left, *top), (*right, *top), (*right, *bottom), (*left, *bottom)], AREA);
    }
    for ends in regions.iter().flat_map(hatching) {
        drawing.path(ends.to_vec(), HATCHING, 2);
    }
}

/// The key that names them, where there are any.
pub(crate) fn key(missing: usize, points: usize) -> Option<Key> {
    (missing > 0).then(|| Key {
        words: format!("no number at {missing} of {points} points"),
        color: AREA,
        line: None,
        marker: Some((Marker::Square, true)),
    })
}

/// The same area in few rectangles: neighbours in a row joined, then what is alike in rows above one another.
fn joined(regions: &[Region]) -> Vec<Region> {
    let mut runs: Vec<Region> = Vec::new();
    for &region in regions {
        match runs.last_mut() {
            Some(run) if run.right == region.left && run.top == region.top => run.right = region.right,
            _ => runs.push(region),
        }
    }
    let mut blocks: Vec<Region> = Vec::new();
    for run in runs {
        let below = |block: &&mut Region| block.top == run.bottom && (block.left, block.right) == (run.left, run.right);
        match blocks.iter_mut().find(below) {
            Some(block) => block.top = run.top,
            None => blocks.push(run),
        }
    }
    blocks
}

/// Lines x + y = a multiple of the pitch, cut at the rectangle; they run on in the next one.
fn hatching(region: &Region) -> Vec<[Point; 2]> {
    let Region { left, top, right, bottom } = *region;
    let first = ((left + top) / PITCH).ceil() as i64;
    let last = ((right + bottom) / PITCH).floor() as i64;
    let line = |multiple: i64| {
        let sum = multiple as f64 * PITCH;
        let (from, to) = (left.max(sum - bottom), right.min(sum - top));
        [(from, sum - from), (to, sum - to)]
    };
    (first..=last).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Region, hatching, joined};

    #[test]
    fn rectangles_side_by_side_and_above_one_another_are_one() {
        let cell = |column: u8, row: u8| {
            let (left, bottom) = (10.0 * f64::from(column), 100.0 - 10.0 * f64::from(row));
            Region { left, top: bottom - 10.0, right: left + 10.0, bottom }
        };
        let block = [cell(1, 1), cell(2, 1), cell(7, 1), cell(1, 2), cell(2, 2), cell(1, 3)];
        let found = joined(&block);
        assert_eq!(found, [Region { right: 30.0, top: 70.0, ..cell(1, 1) }, cell(7, 1), cell(1, 3)]);
    }

    #[test]
    fn hatching_stays_inside_and_runs_on() {
        let [one, next] = [10.0, 57.0].map(|left| Region { left, top: 20.0, right: left + 47.0, bottom: 51.0 });
        for region in [one, next] {
            assert!(hatching(&region).len() >= 4);
            for (x, y) in hatching(&region).into_iter().flatten() {
                assert!((region.left..=region.right).contains(&x) && (region.top..=region.bottom).contains(&y));
            }
        }
        let end = |ends: &[(f64, f64); 2]| (ends[1].0 == 57.0).then_some(ends[1]);
        let reaching: Vec<_> = hatching(&one).iter().filter_map(end).collect();
        let begun: Vec<_> = hatching(&next).iter().map(|ends| ends[0]).collect();
        assert!(!reaching.is_empty() && reaching.iter().all(|point| begun.contains(point)));
    }
}
