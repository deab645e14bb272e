//! Lines come closer where a surface bends, and nowhere else.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_landscape::{Grid, Lines, Position};

const ROUNDS: u32 = 3;

/// A fine grid and every eighth of its lines.
fn coarse(columns: usize, rows: usize) -> (Grid, Lines) {
    let fine = |count: usize| (count - 1) * (1 << ROUNDS) + 1;
    let grid = Grid::new(-1.0..=1.0, fine(columns), -2.0..=2.0, fine(rows)).unwrap();
    let lines = Lines::every(&grid, 1 << ROUNDS);
    (grid, lines)
}

fn refined(grid: &Grid, lines: Lines, f: impl Fn(f64, f64) -> f64) -> Lines {
    let value = |Position { column, row }: Position| Some(f(grid.x[column], grid.y[row]));
    (0..ROUNDS).fold(lines, |lines, _| lines.refined(grid, value))
}

#[test]
fn a_plane_stays_as_coarse_as_it_was() {
    let (grid, lines) = coarse(5, 7);
    assert_eq!(refined(&grid, lines.clone(), |x, y| 3.0 * x - 2.0 * y), lines);
    assert_eq!(refined(&grid, lines.clone(), |_, _| 1.0), lines);
    assert_eq!(refined(&grid, lines.clone(), |_, _| f64::NAN), lines);
}

#[test]
fn a_narrow_valley_along_one_axis_has_close_lines_there_alone() {
    let (grid, lines) = coarse(9, 5);
    let f = |x: f64, _: f64| 1.0 - (-(x / 0.2).powi(2)).exp();
    let found = refined(&grid, lines.clone(), f);
    assert_eq!(found.rows, lines.rows);
    assert!(found.columns.len() > lines.columns.len());
    let spacing = |near: f64| {
        let i = found.columns.iter().position(|&column| grid.x[column] >= near).unwrap();
        grid.x[found.columns[i]] - grid.x[found.columns[i - 1]]
    };
    assert!(spacing(-0.05) < 0.1 && spacing(-0.9) == 0.25, "{:?}", found.columns);
    // Between lines the straight line is nowhere much farther off than is allowed.
    let at = found.of(&grid).x;
    let off = at.windows(2).flat_map(|pair| {
        let middle = (pair[0] + pair[1]) / 2.0;
        [(f(middle, 0.0) - (f(pair[0], 0.0) + f(pair[1], 0.0)) / 2.0).abs()]
    });
    assert!(off.fold(0.0, f64::max) < 0.03);
}

#[test]
fn every_line_is_one_of_the_fine_grid_and_the_ends_stay() {
    let (grid, lines) = coarse(6, 4);
    let found = refined(&grid, lines, |x, y| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2));
    for (axis, lines) in [(&grid.x, &found.columns), (&grid.y, &found.rows)] {
        assert!(lines.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((lines[0], lines[lines.len() - 1]), (0, axis.len() - 1));
    }
    let of = found.of(&grid);
    assert_eq!((of.x.len(), of.y.len()), (found.columns.len(), found.rows.len()));
    assert_eq!(found.crossings().len(), of.x.len() * of.y.len());
}

/// A loss that explodes at the border would hide all that happens near the minimum, were it not taken by its logarithm.
#[test]
fn values_of_many_decades_count_by_their_logarithm() {
    let (grid, lines) = coarse(9, 3);
    let ln = |x: f64| 5.0 * (x * x) + 3.0 * (-(x / 0.15).powi(2)).exp();
    let found = refined(&grid, lines, |x, _| ln(x).exp());
    let near = found.columns.iter().filter(|&&column| grid.x[column].abs() < 0.3).count();
    assert!(near >= 7, "{:?}", found.columns);
}
