//! Draws functions whose pictures are known, in every way there is, to look at the drawing without training: `DIR/*.png` and
//! `DIR/*.svg`. The minima of each, with the saddles between them, go to standard output.
//!
//! `cargo run -p basin-reporting --example landscapes -- DIR`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use basin_reporting::landscape::{Grid, Landscape, Spacing, View};
use basin_reporting::topology::MergeTree;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which directory?")?;
    fs::create_dir_all(&directory)?;
    let bowl = sampled(([-1.5, 1.5], 51), ([-1.5, 1.5], 51), |x, y| x * x + y * y)?;
    let saddle = sampled(([-1.0, 1.0], 41), ([-1.0, 1.0], 41), |x, y| x * y)?;
    let rosenbrock = |x: f64, y: f64| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
    let rosenbrock = sampled(([-2.0, 2.0], 81), ([-1.0, 3.0], 81), rosenbrock)?;
    let rough =
        sampled(
            ([-1.0, 1.0], 61),
            ([-1.0, 1.0], 61),
            |x, y| {
                if x > 0.4 && y > 0.5 { f64::NAN } else { rough_loss(x, y) }
            },
        )?;
    let oblong =
        sampled(([-3.0, 3.0], 61), ([-0.5, 1.0], 31), |x, y| 0.02 + x.powi(2) / 9.0 + (y - 0.2 * x.sin()).powi(2))?;
    for (name, grid) in
        [("bowl", bowl), ("saddle", saddle), ("rosenbrock", rosenbrock), ("rough", rough), ("oblong", oblong)]
    {
        println!("{name}");
        print_minima(&grid);
        draw(&directory, name, grid)?;
    }
    Ok(())
}

/// Like the loss of a network without shortcuts: a bowl with ridges.
fn rough_loss(x: f64, y: f64) -> f64 {
    0.3 + 2.0 * (x * x + y * y) + 0.25 * (9.0 * x + 2.0 * y).sin() * (7.0 * y - 3.0 * x).cos()
}

fn sampled(
    ([left, right], columns): ([f64; 2], usize),
    ([bottom, top], rows): ([f64; 2], usize),
    f: impl Fn(f64, f64) -> f64,
) -> basin_reporting::Result<Grid> {
    let axis = |low: f64, high: f64, count: usize| -> Vec<f64> {
        (0..count).map(|at| low + (high - low) * at as f64 / (count - 1) as f64).collect()
    };
    let (x, y) = (axis(left, right, columns), axis(bottom, top, rows));
    let values = y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y))).map(|(x, y)| f(x, y)).collect();
    Grid::new(x, y, values)
}

fn print_minima(grid: &Grid) {
    for minimum in MergeTree::of(grid).minima.iter().take(5) {
        let (i, j) = minimum.at;
        println!(
            "  {:.4} at ({:.3}, {:.3}), persistence {:.4}",
            minimum.value,
            grid.x()[i],
            grid.y()[j],
            minimum.persistence()
        );
    }
}

fn draw(directory: &Path, name: &str, grid: Grid) -> Result<(), Box<dyn Error>> {
    let spacing = if name == "rosenbrock" { Spacing::Logarithmic } else { Spacing::fitting(&grid) };
    let landscape =
        Landscape { grid, x: "first direction".into(), y: "second direction".into(), value: "loss".into(), spacing };
    let pictures = [
        ("contours", landscape.contours()),
        ("filled", landscape.filled_contours()),
        ("heat", landscape.heat_map()),
        ("surface", landscape.surface(View::default())),
    ];
    for (kind, picture) in pictures {
        picture.write_png(&directory.join(format!("{name}-{kind}.png")))?;
        fs::write(directory.join(format!("{name}-{kind}.svg")), picture.svg()?)?;
    }
    Ok(())
}
