//! What has no number: hatched grey, so that it is no colour of a map, in grey print neither.

use super::axes::Region;
use super::drawing::{Color, Drawing, Point};
use super::legend::Key;
use super::palette::{AREA, MUTED, Marker};

/// Between hatching lines, along an axis.
const PITCH: f64 = 16.0;
const HATCHING: Color = MUTED;

/// Draws rectangles of the plot in which there is no number.
pub(crate) fn draw(drawing: &mut Drawing, regions: &[Region]) {
    for Region { left, top, right, bottom } in regions {
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
    use super::{Region, hatching};

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
