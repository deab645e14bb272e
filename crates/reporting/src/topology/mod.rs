//! Topology of a function on a grid: which minima it has, and how high the barriers between them are.
//!
//! As a level c rises, the sublevel set {f ≤ c} gains a component at every minimum and joins two at a saddle. The tree of
//! these events is the **merge tree**. By the elder rule the component with the higher minimum ends where two join; the
//! height it lasted, saddle − minimum, is the minimum's **persistence** (Edelsbrunner, Letscher and Zomorodian, 2002): how
//! high one has to climb to get from there to a lower minimum. Roughness of the size δ makes pairs of persistence at most
//! 2 δ and moves the others by no more (Cohen-Steiner, Edelsbrunner and Harer, 2007).
//!
//! Points are joined with their eight neighbours, so that a valley that runs diagonally over the grid is one valley. Points
//! without a finite value are no part of it. Points of equal value are taken in the order of their numbers, row by row;
//! nothing is added to the values. Where that order alone makes a minimum, on a plateau, its persistence is zero and it is
//! left out, so that the pairs do not depend on the order.

mod union_find;

use crate::landscape::Grid;
use union_find::UnionFind;

/// The merge tree of the sublevel sets, as its branches: one per minimum, from there to the saddle where it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeTree {
    /// The minima, the most persistent first; those that never end before all, the lowest of them first.
    pub minima: Vec<Minimum>,
    /// How many points have no finite value and were left out.
    pub missing: usize,
}

/// A branch of the merge tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum {
    /// Column and row of the minimum.
    pub at: (usize, usize),
    /// Its value: where the component is born.
    pub value: f64,
    /// Where it joins the component of a lower minimum; none for the lowest one of all that hang together.
    pub saddle: Option<Saddle>,
}

/// Where two components of the sublevel set become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saddle {
    /// Column and row of the saddle.
    pub at: (usize, usize),
    /// Its value: where the component with the higher minimum dies.
    pub value: f64,
    /// Column and row of the lower minimum, whose component goes on.
    pub into: (usize, usize),
}

impl Minimum {
    /// The saddle's value minus the minimum's; infinite where there is no saddle.
    pub fn persistence(&self) -> f64 {
        self.saddle.map_or(f64::INFINITY, |saddle| saddle.value - self.value)
    }
}

impl MergeTree {
    /// The merge tree of a grid's sublevel sets, in O(n log n) for n points: they are sorted once and joined by union-find.
    ///
    /// ```
    /// use basin_reporting::landscape::Grid;
    /// use basin_reporting::topology::MergeTree;
    ///
    /// // Two minima along a valley, 0 and 0.5, with a barrier of 2 between them.
    /// let values = vec![9.0, 9.0, 9.0, 9.0, 9.0, 3.0, 0.0, 2.0, 0.5, 1.0];
    /// let grid = Grid::new(vec![0.0, 1.0, 2.0, 3.0, 4.0], vec![0.0, 1.0], values)?;
    /// let tree = MergeTree::of(&grid);
    ///
    /// assert_eq!(tree.minima.len(), 2);
    /// assert_eq!((tree.minima[0].at, tree.minima[0].persistence()), ((1, 1), f64::INFINITY));
    /// assert_eq!((tree.minima[1].at, tree.minima[1].persistence()), ((3, 1), 1.5));
    /// # Ok::<(), basin_reporting::Error>(())
    /// ```
    pub fn of(grid: &Grid) -> Self {
        let columns = grid.x().len();
        let place = |point: usize| (point % columns, point / columns);
        let value = |point: usize| grid.value(point % columns, point / columns);
        let mut order: Vec<(f64, usize)> =
            (0..grid.points()).filter_map(|point| Some((value(point)?, point))).collect();
        // Stable: equal values stay in the order of their numbers. Zero and minus zero are equal.
        order.sort_by(|one, other| (one.0 + 0.0).total_cmp(&(other.0 + 0.0)));
        let mut turn = vec![None; grid.points()];
        let mut components = UnionFind::new(order.len());
        let mut ended = vec![None; order.len()];
        for (now, &(height, point)) in order.iter().enumerate() {
            turn[point] = Some(now);
            for before in neighbours(grid, place(point)).filter_map(|neighbour| turn[neighbour]) {
                // A component is named after its first point, which is its minimum.
                let [one, other] = [components.find(now), components.find(before)];
                let (elder, younger) = (one.min(other), one.max(other));
                if elder != younger {
                    let into = place(order[elder].1);
                    ended[younger] = Some(Saddle { at: place(point), value: height, into });
                    components.join(younger, elder);
                }
            }
        }
        let branch = |(&(value, point), saddle)| Minimum { at: place(point), value, saddle };
        let branches = order.iter().zip(ended).map(branch);
        let mut minima: Vec<Minimum> = branches.filter(|minimum| minimum.persistence() > 0.0).collect();
        minima.sort_by(|one, other| other.persistence().total_cmp(&one.persistence()));
        Self { minima, missing: grid.missing() }
    }
}

/// The numbers of the up to eight points around a point.
fn neighbours(grid: &Grid, (i, j): (usize, usize)) -> impl Iterator<Item = usize> {
    let around = |at: usize, count: usize| at.saturating_sub(1)..=(at + 1).min(count - 1);
    let rows = around(j, grid.y().len());
    let all = rows.flat_map(move |row| around(i, grid.x().len()).map(move |column| (column, row)));
    all.filter(move |&near| near != (i, j)).map(|(column, row)| grid.index(column, row))
}

#[cfg(test)]
mod tests {
    use super::{Grid, MergeTree};

    fn axis(low: f64, high: f64, count: usize) -> Vec<f64> {
        (0..count).map(|at| low + (high - low) * at as f64 / (count - 1) as f64).collect()
    }

    fn sampled(x: Vec<f64>, y: Vec<f64>, f: impl Fn(f64, f64) -> f64) -> Grid {
        let values = y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y))).map(|(x, y)| f(x, y)).collect();
        Grid::new(x, y, values).expect("a grid")
    }

    fn transposed(grid: &Grid) -> Grid {
        let points = (0..grid.x().len()).flat_map(|i| (0..grid.y().len()).map(move |j| (i, j)));
        let values = points.map(|(i, j)| grid.value(i, j).unwrap_or(f64::NAN)).collect();
        Grid::new(grid.y().to_vec(), grid.x().to_vec(), values).expect("a grid")
    }

    fn pairs(tree: &MergeTree) -> Vec<(f64, Option<f64>)> {
        let mut pairs: Vec<_> =
            tree.minima.iter().map(|minimum| (minimum.value, minimum.saddle.map(|saddle| saddle.value))).collect();
        pairs.sort_by(|one, other| one.partial_cmp(other).expect("numbers"));
        pairs
    }

    /// −exp(−(x + 2)² − y²) − depth · exp(−(x − 2)² − y²).
    fn two_wells(depth: f64) -> Grid {
        let well = |x: f64, y: f64| -(-x * x - y * y).exp();
        sampled(axis(-5.0, 5.0, 201), axis(-3.0, 3.0, 121), |x, y| well(x + 2.0, y) + depth * well(x - 2.0, y))
    }

    #[test]
    fn of_two_wells_the_shallower_one_lasts_to_the_saddle_between_them() {
        let depth = 0.6;
        let tree = MergeTree::of(&two_wells(depth));
        assert_eq!(tree.minima.len(), 2);
        let [deep, shallow] = [tree.minima[0], tree.minima[1]];
        assert_eq!(deep.at, (60, 60));
        assert_eq!(shallow.at, (140, 60));
        let saddle = shallow.saddle.expect("a saddle");
        assert_eq!(saddle.into, deep.at);
        // On the line between the wells the highest point is the saddle; from a fine scan of it.
        let on_the_line = |x: f64| -(-(x + 2.0f64).powi(2)).exp() - depth * (-(x - 2.0f64).powi(2)).exp();
        let highest = (-1000..=1000).map(|step| on_the_line(1e-3 * f64::from(step))).fold(f64::MIN, f64::max);
        // The second derivative there is below 14 e⁻⁴ (1 + depth) < 0.5; a point lies within half a step of 0.05.
        let off = 0.5 * 0.025f64.powi(2) / 2.0;
        assert!((saddle.value - highest).abs() < off, "{} {highest}", saddle.value);
        assert!((shallow.persistence() - (highest - on_the_line(2.0))).abs() < off);
        assert!(deep.persistence().is_infinite());
    }

    #[test]
    fn the_rosenbrock_function_and_a_plane_have_one_minimum() {
        let rosenbrock = |x: f64, y: f64| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
        let tree = MergeTree::of(&sampled(axis(-1.5, 1.5, 601), axis(-0.5, 2.0, 501), rosenbrock));
        assert!(tree.minima[0].value < 1e-12 && tree.minima[0].saddle.is_none());
        // Along the floor y = x² there is a point within half a step, in x or in y, of every place; with a slope below 3 it
        // lies at most 3/2 steps above or below the floor, and no pit between such points is deeper than that lifts them.
        let h: f64 = 0.005;
        assert!(tree.minima[1..].iter().all(|minimum| minimum.persistence() < 100.0 * (1.5 * h).powi(2)));
        let plane = MergeTree::of(&sampled(axis(0.0, 1.0, 30), axis(0.0, 1.0, 20), |x, y| x - 2.0 * y));
        assert_eq!(plane.minima.len(), 1);
        assert_eq!((plane.minima[0].at, plane.minima[0].saddle), ((0, 19), None));
    }

    #[test]
    fn a_plateau_is_one_minimum_whatever_its_shape() {
        // A horseshoe of zeros, whose arms are met one after the other; a constant; two plateaus apart.
        let horseshoe = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0].to_vec();
        let tree = MergeTree::of(&Grid::new(axis(0.0, 2.0, 3), axis(0.0, 3.0, 4), horseshoe).expect("a grid"));
        assert_eq!(pairs(&tree), [(0.0, None)]);
        let constant = MergeTree::of(&sampled(axis(0.0, 1.0, 9), axis(0.0, 1.0, 7), |_, _| 4.0));
        assert_eq!(pairs(&constant), [(4.0, None)]);
        let steps =
            sampled(axis(0.0, 8.0, 9), axis(0.0, 3.0, 4), |x, _| if (3.0..6.0).contains(&x) { 1.0 } else { 0.0 });
        assert_eq!(pairs(&MergeTree::of(&steps)), [(0.0, None), (0.0, Some(1.0))]);
    }

    #[test]
    fn diagonal_neighbours_are_one_valley() {
        let diagonal = sampled(axis(0.0, 4.0, 5), axis(0.0, 4.0, 5), |x, y| (x - y).abs());
        assert_eq!(pairs(&MergeTree::of(&diagonal)), [(0.0, None)]);
    }

    #[test]
    fn what_missing_points_part_stays_apart() {
        let grid =
            sampled(axis(0.0, 6.0, 7), axis(0.0, 2.0, 3), |x, _| if x == 3.0 { f64::NAN } else { (x - 1.0).powi(2) });
        let tree = MergeTree::of(&grid);
        assert_eq!(tree.missing, 3);
        assert_eq!(pairs(&tree), [(0.0, None), (9.0, None)]);
        let nothing = MergeTree::of(&sampled(axis(0.0, 1.0, 2), axis(0.0, 1.0, 2), |_, _| f64::NAN));
        assert_eq!((nothing.minima.len(), nothing.missing), (0, 4));
    }

    #[test]
    fn pairs_are_the_same_with_the_axes_exchanged() {
        // Few different values, so that there are ties, and some points without one.
        let rough = |x: f64, y: f64| {
            let value = (5.0 * ((3.1 * x).sin() + (2.3 * y).cos() + (1.7 * x * y).sin())).round();
            if value == 3.0 { f64::NAN } else { value }
        };
        let grid = sampled(axis(-3.0, 3.0, 37), axis(-2.0, 4.0, 23), rough);
        let tree = MergeTree::of(&grid);
        assert!(tree.minima.len() > 5 && tree.missing > 0);
        assert_eq!(pairs(&tree), pairs(&MergeTree::of(&transposed(&grid))));
    }

    /// Persistence by its definition: how far one has to climb from a point to one that is lower, by flooding.
    #[test]
    fn persistence_is_the_climb_to_a_lower_point() {
        let rough = |x: f64, y: f64| (3.0 * x).sin() + (2.0 * y).cos() + 0.3 * (5.0 * x * y).sin() + 0.01 * x;
        let grid = sampled(axis(-2.0, 2.0, 17), axis(-2.0, 2.0, 13), rough);
        let reach = |from: (usize, usize), level: f64| {
            let mut seen = vec![from];
            let mut next = 0;
            while next < seen.len() {
                let (i, j) = seen[next];
                for (k, l) in (0..9).map(|at| (i + at % 3, j + at / 3)).filter(|&(k, l)| k > 0 && l > 0) {
                    let near = (k - 1, l - 1);
                    if grid.value(near.0, near.1).is_some_and(|value| value <= level) && !seen.contains(&near) {
                        seen.push(near);
                    }
                }
                next += 1;
            }
            seen
        };
        let tree = MergeTree::of(&grid);
        assert!(tree.minima.len() > 3);
        for minimum in &tree.minima {
            let lower = |&(i, j): &(usize, usize)| grid.value(i, j).is_some_and(|value| value < minimum.value);
            match minimum.saddle {
                Some(saddle) => {
                    assert!(reach(minimum.at, saddle.value).iter().any(lower));
                    assert!(!reach(minimum.at, saddle.value - 1e-9).iter().any(lower));
                }
                None => assert!(!reach(minimum.at, f64::MAX).iter().any(lower)),
            }
        }
    }
}
