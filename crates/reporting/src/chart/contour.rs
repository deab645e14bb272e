//! Marching squares: the lines on which a function on a grid takes a value, and the regions above it.
//!
//! A point is *above* a level where its value is at least the level. Along an edge between two points the function is taken
//! as linear, so that a line crosses the edges whose ends differ, each once, and two edges of a cell are joined by a
//! straight segment. Where all four edges of a cell are crossed (its diagonals are above and below), the mean of the four
//! corners decides: if it is above, so is the cell's middle, and the two corners below are cut off; else the two above are.
//! A cell with a missing corner is no part of the grid: lines end at it.

use std::collections::{HashMap, HashSet};

use super::grid::{Cell, Grid};

/// A line in the coordinates of the grid, with what is above on its left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Polyline {
    /// The first point once more at the end of a closed line.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) closed: bool,
}

/// A vertex of lines and regions, by the number of the grid's point that it is or lies behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Vertex {
    /// The point itself.
    Point(usize),
    /// Between the point and the next one in its row.
    Across(usize),
    /// Between the point and the one in the next row.
    Up(usize),
}

type Edge = (Vertex, Vertex);

/// The lines at a level, in time linear in the number of cells. Lines along which the function only touches the level are
/// left out.
pub(crate) fn lines(grid: &Grid, level: f64) -> Vec<Polyline> {
    let segments = grid.cells().flat_map(|cell| segments(grid, cell, level)).collect();
    polylines(grid, level, segments)
}

/// The outlines of the region above a level: counterclockwise around it, clockwise around its holes. They follow the rim
/// of the grid and of missing cells.
pub(crate) fn outlines(grid: &Grid, level: f64) -> Vec<Polyline> {
    let segments = grid.cells().flat_map(|cell| segments(grid, cell, level));
    let rims = grid.cells().flat_map(|cell| rims(grid, cell, level));
    polylines(grid, level, segments.chain(rims).collect())
}

/// The area that a closed line encloses, negative where it is walked clockwise: the shoelace formula.
pub(crate) fn area(points: &[(f64, f64)]) -> f64 {
    let Some(&(x, y)) = points.first() else { return 0.0 };
    points.windows(2).map(|pair| (pair[0].0 - x) * (pair[1].1 - y) - (pair[1].0 - x) * (pair[0].1 - y)).sum::<f64>()
        / 2.0
}

/// A cell's corners and, in front of each, the vertex between the corner and the next one; counterclockwise.
fn around(grid: &Grid, (i, j): Cell) -> [(Vertex, Vertex); 4] {
    let [lower, upper] = [grid.index(i, j), grid.index(i, j + 1)];
    [
        (Vertex::Point(lower), Vertex::Across(lower)),
        (Vertex::Point(lower + 1), Vertex::Up(lower + 1)),
        (Vertex::Point(upper + 1), Vertex::Across(upper)),
        (Vertex::Point(upper), Vertex::Up(lower)),
    ]
}

/// The segments of a line through a cell, each from where a walk around the cell leaves what is above to where it enters.
fn segments(grid: &Grid, cell: Cell, level: f64) -> Vec<Edge> {
    let Some(corners) = grid.corners(cell) else { return Vec::new() };
    let above = corners.map(|value| value >= level);
    let crossed: Vec<usize> = (0..4).filter(|&side| above[side] != above[(side + 1) % 4]).collect();
    let middle_above = corners.iter().map(|value| value / 4.0).sum::<f64>() >= level;
    let enters = |at: usize| {
        // Around a corner below, or back around the corner above.
        let step = if crossed.len() == 2 || middle_above { 1 } else { 3 };
        crossed[(at + step) % crossed.len()]
    };
    let sides = around(grid, cell);
    let leaving = (0..crossed.len()).filter(|&at| above[crossed[at]]);
    leaving.map(|at| (sides[crossed[at]].1, sides[enters(at)].1)).collect()
}

/// What is above of those sides of a cell beyond which there is no cell.
fn rims(grid: &Grid, (i, j): Cell, level: f64) -> Vec<Edge> {
    let Some(corners) = grid.corners((i, j)) else { return Vec::new() };
    let neighbours =
        [j.checked_sub(1).map(|j| (i, j)), Some((i + 1, j)), Some((i, j + 1)), i.checked_sub(1).map(|i| (i, j))];
    let open = |side: usize| neighbours[side].and_then(|cell| grid.corners(cell)).is_none();
    let sides = around(grid, (i, j));
    let part = |side: usize| {
        let next = (side + 1) % 4;
        let [(from, crossing), (to, _)] = [sides[side], sides[next]];
        match (corners[side] >= level, corners[next] >= level) {
            (true, true) => Some((from, to)),
            (true, false) => Some((from, crossing)),
            (false, true) => Some((crossing, to)),
            (false, false) => None,
        }
    };
    (0..4).filter(|&side| open(side)).filter_map(part).collect()
}

fn polylines(grid: &Grid, level: f64, edges: Vec<Edge>) -> Vec<Polyline> {
    let chains = chains(edges).into_iter();
    let polylines = chains.map(|chain| {
        let closed = chain.first() == chain.last();
        let mut points: Vec<(f64, f64)> = chain.into_iter().map(|vertex| position(grid, level, vertex)).collect();
        // Where a point of the grid has the level itself, several of its edges are crossed there.
        points.dedup();
        Polyline { points, closed }
    });
    polylines.filter(|line| line.points.len() > 1).collect()
}

/// Joins edges end to end: first what begins where no edge ends, then what is closed.
fn chains(edges: Vec<Edge>) -> Vec<Vec<Vertex>> {
    let entered: HashSet<Vertex> = edges.iter().map(|&(_, to)| to).collect();
    let mut next: HashMap<Vertex, Vec<Vertex>> = HashMap::with_capacity(edges.len());
    for &(from, to) in &edges {
        next.entry(from).or_default().push(to);
    }
    let (open, closed): (Vec<Edge>, Vec<Edge>) = edges.iter().partition(|(from, _)| !entered.contains(from));
    let mut chains = Vec::new();
    for (start, _) in open.into_iter().chain(closed) {
        let mut chain = vec![start];
        let mut at = start;
        while let Some(to) = next.get_mut(&at).and_then(Vec::pop) {
            chain.push(to);
            at = to;
        }
        if chain.len() > 1 {
            chains.push(chain);
        }
    }
    chains
}

fn position(grid: &Grid, level: f64, vertex: Vertex) -> (f64, f64) {
    let place = |index: usize| (index % grid.x().len(), index / grid.x().len());
    let at = |i: usize, j: usize| (grid.x()[i], grid.y()[j]);
    let ((i, j), (k, l)) = match vertex {
        Vertex::Point(index) => (place(index), place(index)),
        Vertex::Across(index) => (place(index), place(index + 1)),
        Vertex::Up(index) => (place(index), place(index + grid.x().len())),
    };
    let ((x, y), (next_x, next_y)) = (at(i, j), at(k, l));
    match (grid.value(i, j), grid.value(k, l)) {
        (Some(from), Some(to)) if from != to => {
            // Of halves, since the difference of two values may overflow.
            let part = ((level / 2.0 - from / 2.0) / (to / 2.0 - from / 2.0)).clamp(0.0, 1.0);
            (x + part * (next_x - x), y + part * (next_y - y))
        }
        _ => (x, y),
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::{Polyline, area, lines, outlines};
    use crate::chart::grid::Grid;

    fn axis(low: f64, high: f64, count: usize) -> Vec<f64> {
        (0..count).map(|at| low + (high - low) * at as f64 / (count - 1) as f64).collect()
    }

    fn sampled(x: Vec<f64>, y: Vec<f64>, f: impl Fn(f64, f64) -> f64) -> Grid {
        let values = y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y))).map(|(x, y)| f(x, y)).collect();
        Grid::new(x, y, values).expect("a grid")
    }

    fn bowl(count: usize) -> Grid {
        sampled(axis(-1.5, 1.5, count), axis(-1.5, 1.5, count), |x, y| x * x + y * y)
    }

    fn lying_in(line: &Polyline, [left, right]: [f64; 2], [bottom, top]: [f64; 2]) -> bool {
        line.points.iter().any(|&(x, y)| x > left && x < right && y > bottom && y < top)
    }

    #[test]
    fn levels_of_a_bowl_are_one_closed_circle_each_with_an_error_of_second_order() {
        let error = |count: usize, level: f64| {
            let found = lines(&bowl(count), level);
            assert_eq!(found.len(), 1);
            assert!(found[0].closed);
            found[0].points.iter().map(|&(x, y)| (x.hypot(y) - level.sqrt()).abs()).fold(0.0, f64::max)
        };
        for level in [0.3, 1.0, 1.7] {
            let h = 3.0 / 60.0;
            // Along an edge the chord of a parabola is wrong by h²/4, on the circle by that over the slope 2r.
            assert!(error(61, level) <= h * h / 8.0 / level.sqrt() * 1.1, "{level}");
            assert!(error(121, level) < error(31, level) / 8.0, "{level}");
        }
    }

    #[test]
    fn what_is_above_lies_on_the_left() {
        // The bowl is above outside its circles, which are then walked clockwise.
        let [circle] = &lines(&bowl(61), 1.0)[..] else { panic!("one circle") };
        assert!((area(&circle.points) + PI).abs() < 0.01);
        let hill = sampled(axis(-2.0, 2.0, 41), axis(-2.0, 2.0, 41), |x, y| -x * x - y * y);
        assert!((area(&lines(&hill, -1.0)[0].points) - PI).abs() < 0.02);
    }

    #[test]
    fn a_saddle_is_two_hyperbolas_whose_ends_lie_on_the_rim() {
        let saddle = sampled(axis(-1.0, 1.0, 40), axis(-1.0, 1.0, 40), |x, y| x * y);
        for level in [-0.2, 0.2] {
            let found = lines(&saddle, level);
            assert_eq!(found.len(), 2);
            for line in found {
                assert!(!line.closed);
                assert!(line.points.iter().all(|&(x, y)| (x * y - level).abs() < 1e-12), "xy is linear along edges");
                for &(x, y) in [&line.points[0], &line.points[line.points.len() - 1]] {
                    assert!(x.abs() == 1.0 || y.abs() == 1.0);
                }
            }
        }
    }

    #[test]
    fn the_mean_of_a_saddle_cell_decides_which_corners_are_cut_off() {
        let cut = |high: f64| {
            let grid = Grid::new(vec![0.0, 1.0], vec![0.0, 1.0], vec![high, 0.0, 0.0, high]).expect("a grid");
            let found = lines(&grid, 1.0);
            assert_eq!(found.len(), 2);
            found.iter().any(|line| line.points.iter().all(|(x, y)| x + y < 1.0))
        };
        // Mean 0.8: the middle is below, so the high corner at (0, 0) stands alone.
        assert!(cut(1.6));
        // Mean 1.2: the middle is above, and the low corners stand alone.
        assert!(!cut(2.4));
        // A mean equal to the level counts as above.
        assert!(!cut(2.0));
    }

    #[test]
    fn lines_of_the_rosenbrock_function_have_its_level_to_second_order() {
        let rosenbrock = |x: f64, y: f64| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
        let worst = |count: usize, level: f64| {
            let grid = sampled(axis(-2.0, 2.0, count), axis(-1.0, 3.0, count), rosenbrock);
            let points = lines(&grid, level).into_iter().flat_map(|line| line.points);
            points.map(|(x, y)| (rosenbrock(x, y) - level).abs()).fold(0.0, f64::max)
        };
        for level in [10.0, 100.0, 1000.0] {
            // |f''| ≤ 2 + 1200·4 + 400·1 along x: the chord is wrong by at most h²/8 of it.
            let h: f64 = 4.0 / 200.0;
            assert!(worst(201, level) <= h * h / 8.0 * 5202.0);
            assert!(worst(401, level) < 0.35 * worst(201, level), "halving h divides the error by four");
        }
    }

    #[test]
    fn axes_of_different_lengths_and_uneven_steps_are_not_exchanged() {
        let x = vec![0.0, 0.1, 0.5, 0.6, 2.0, 3.5, 4.0];
        let y = vec![-10.0, -9.0, -5.0, 20.0];
        let across = &lines(&sampled(x.clone(), y.clone(), |x, _| x), 1.3)[..];
        let [line] = across else { panic!("one line") };
        assert!(line.points.iter().all(|&(x, _)| (x - 1.3).abs() < 1e-12));
        let mut heights: Vec<f64> = line.points.iter().map(|&(_, y)| y).collect();
        heights.sort_by(f64::total_cmp);
        assert_eq!(heights, y);
        let [line] = &lines(&sampled(x, y, |_, y| y), 7.5)[..] else { panic!("one line") };
        assert!(line.points.len() == 7 && line.points.iter().all(|&(_, y)| (y - 7.5).abs() < 1e-12));
    }

    #[test]
    fn no_line_crosses_missing_cells() {
        let block = |x: f64, y: f64| if x > 0.65 && y.abs() < 0.35 { f64::NAN } else { x * x + y * y };
        let grid = sampled(axis(-1.5, 1.5, 31), axis(-1.5, 1.5, 31), block);
        assert_eq!(grid.missing(), 9 * 7);
        let [arc] = &lines(&grid, 1.0)[..] else { panic!("one arc") };
        assert!(!arc.closed);
        // The missing points reach from 0.7 and ±0.3, the missing cells one step further.
        assert!(!lying_in(arc, [0.6 + 1e-9, 1.6], [-0.4 + 1e-9, 0.4 - 1e-9]));
        for &(_, y) in [&arc.points[0], &arc.points[arc.points.len() - 1]] {
            assert!((y.abs() - 0.4).abs() < 1e-9, "{y}");
        }
    }

    #[test]
    fn a_constant_has_no_line_and_one_region() {
        let grid = sampled(axis(0.0, 2.0, 4), axis(0.0, 1.0, 3), |_, _| 3.0);
        for level in [2.0, 3.0, 4.0] {
            assert_eq!(lines(&grid, level), []);
        }
        let [region] = &outlines(&grid, 3.0)[..] else { panic!("one region") };
        assert_eq!(area(&region.points), 2.0);
        assert_eq!(outlines(&grid, 3.1), []);
    }

    #[test]
    fn levels_that_points_have_exactly_are_lines_too() {
        // A grid with a point on the circle in each of four directions, and one at the top of the hill.
        let grid = sampled(axis(-2.0, 2.0, 5), axis(-2.0, 2.0, 5), |x, y| x * x + y * y);
        let [circle] = &lines(&grid, 1.0)[..] else { panic!("one line") };
        assert!(circle.closed && circle.points.contains(&(1.0, 0.0)));
        let hill = sampled(axis(-2.0, 2.0, 5), axis(-2.0, 2.0, 5), |x, y| -x * x - y * y);
        assert_eq!(lines(&hill, 0.0), [], "the level of the highest point is no line");
    }

    #[test]
    fn regions_have_the_area_above_the_level_and_their_holes() {
        let total = |grid: &Grid, level: f64| outlines(grid, level).iter().map(|line| area(&line.points)).sum::<f64>();
        let grid = bowl(121);
        let ring = outlines(&grid, 1.0);
        assert!(ring.len() == 2 && ring.iter().all(|line| line.closed));
        assert!((total(&grid, 1.0) - (9.0 - PI)).abs() < 2e-3);
        assert!((total(&grid, f64::NEG_INFINITY) - 9.0).abs() < 1e-12);
        // Two of the four quadrants; of the cell in the middle, whose mean is the level, three quarters instead of half.
        let saddle = sampled(axis(-1.0, 1.0, 40), axis(-1.0, 1.0, 40), |x, y| x * y);
        assert!((total(&saddle, 0.0) - (2.0 + (2.0f64 / 39.0).powi(2) / 4.0)).abs() < 1e-12);
        // Without the missing cells: 8 by 8 steps of 0.1.
        let block = |x: f64, y: f64| if x.abs() < 0.35 && y.abs() < 0.35 { f64::NAN } else { 1.0 };
        let holed = sampled(axis(-1.5, 1.5, 31), axis(-1.5, 1.5, 31), block);
        assert!((total(&holed, 0.0) - (9.0 - 0.64)).abs() < 1e-12);
    }

    #[test]
    fn extreme_values_give_finite_lines() {
        let grid =
            Grid::new(vec![0.0, 1.0], vec![0.0, 1.0], vec![-1.7e308, 1.7e308, -1.7e308, 1.7e308]).expect("a grid");
        let [line] = &lines(&grid, 0.0)[..] else { panic!("one line") };
        assert!(line.points.iter().all(|&(x, _)| (x - 0.5).abs() < 1e-12));
    }

    /// A segment in units of 1e-9, its ends in order.
    type Segment = [(i64, i64); 2];

    fn segments(lines: impl IntoIterator<Item = Vec<(f64, f64)>>) -> Vec<Segment> {
        let unit = |(x, y): (f64, f64)| ((1e9 * x).round() as i64, (1e9 * y).round() as i64);
        let ordered = |pair: &[(f64, f64)]| {
            let (a, b) = (unit(pair[0]), unit(pair[1]));
            [a.min(b), a.max(b)]
        };
        let all = lines.into_iter().flat_map(|line| line.windows(2).map(ordered).collect::<Vec<_>>());
        let mut found: Vec<Segment> = all.filter(|[a, b]| a != b).collect();
        found.sort_unstable();
        found
    }

    /// Rosenbrock's valley, a saddle, waves with ambiguous cells and a grid with a hole: every segment is contourpy's
    /// (`tests/goldens/contours.py`), up to the last digit of rounding.
    #[test]
    fn lines_are_those_of_contourpy() {
        #[derive(serde::Deserialize)]
        struct Case {
            name: String,
            x: Vec<f64>,
            y: Vec<f64>,
            values: Vec<Vec<Option<f64>>>,
            levels: Vec<Level>,
        }
        #[derive(serde::Deserialize)]
        struct Level {
            level: f64,
            lines: Vec<Vec<(f64, f64)>>,
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/goldens/contours.json")).expect("the golden file");
        for Case { name, x, y, values, levels } in cases {
            let values = values.concat().into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            let grid = Grid::new(x, y, values).expect("a grid");
            for Level { level, lines: expected } in levels {
                let found = segments(lines(&grid, level).into_iter().map(|line| line.points));
                let expected = segments(expected);
                assert_eq!(found.len(), expected.len(), "{name} at {level}");
                let near = |a: &Segment, b: &Segment| {
                    a.iter().zip(b).all(|(a, b)| (a.0 - b.0).abs() <= 1 && (a.1 - b.1).abs() <= 1)
                };
                let other = |segment: &&Segment| !expected.iter().any(|expected| near(segment, expected));
                assert_eq!(found.iter().find(other), None, "{name} at {level}");
            }
        }
    }
}
