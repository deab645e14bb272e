//! The Hessian's extremal eigenvalues over a plane of parameters (Li et al. 2018, figure 7).

use basin_records::RatioMap;

use super::loss_surface::{described, grid};
use crate::checkpoints::short_words;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::landscape::{Landscape, Spacing};
use crate::number;

/// What a map shows: the end of its file's name, its title, the name of its values, and where they are.
type Shown = (&'static str, &'static str, &'static str, fn(&RatioMap) -> &Vec<Vec<f64>>);

const SHOWN: [Shown; 3] = [
    ("", "The ratio of the extremal eigenvalues over a plane", "λ min/λ max", |map| &map.ratio),
    ("-largest", "The largest eigenvalue over a plane", "λ max", |map| &map.lambda_max),
    ("-smallest", "The smallest eigenvalue over a plane", "λ min", |map| &map.lambda_min),
];

/// Three maps of each record; a part of one has none before it is put together with the others.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let maps = collection.ratio_maps();
    let of = |(index, measured)| {
        let stem = numbered("ratio-map", index, maps.len());
        SHOWN.iter().filter_map(move |shown| figure(&stem, measured, shown)).collect::<Vec<_>>()
    };
    maps.iter().enumerate().flat_map(of).collect()
}

fn figure(stem: &str, measured: &Measured<'_, RatioMap>, &(ending, title, value, rows): &Shown) -> Option<Figure> {
    let map = measured.result;
    let surface = &map.surface;
    let grid = grid(surface, rows(map), 1)?;
    let landscape = Landscape {
        spacing: if ending == "-largest" { Spacing::fitting(&grid) } else { Spacing::Linear },
        grid,
        x: format!("x: {}", short_words(&surface.x.name)),
        y: format!("y: {}", short_words(&surface.y.name)),
        value: value.into(),
    };
    let converged = match map.not_converged {
        0 => "all have converged".to_owned(),
        lost => format!("those of {} have not converged", number::plural(lost as usize, "point")),
    };
    Some(Figure {
        stem: format!("{stem}{ending}"),
        title: title.into(),
        caption: format!(
            "{value} of the Hessian of the training loss at each point of a plane through the parameters; eigenvalues to \
             a residual of {} of their size, {converged}. The nearer λ min/λ max is to 0, the nearer to convex is the loss.{}{}",
            number::significant(map.tolerance),
            described(surface),
            settings([measured.provenance]),
        ),
        drawing: landscape.heat_map().drawing(),
        numbers: numbers(map).of_records([measured.file]),
    })
}

fn numbers(map: &RatioMap) -> Numbers {
    let lists = [&map.lambda_max, &map.lambda_max_residual, &map.lambda_min, &map.lambda_min_residual, &map.ratio];
    let mut numbers = Numbers::new(&[
        "x",
        "y",
        "lambda_max",
        "lambda_max_residual",
        "lambda_min",
        "lambda_min_residual",
        "ratio",
        "train_loss",
    ]);
    let (x, y) = (&map.surface.x.coordinates, &map.surface.y.coordinates);
    for (row, y) in y.iter().enumerate() {
        for (column, x) in x.iter().enumerate() {
            let at = |rows: &Vec<Vec<f64>>| rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(f64::NAN);
            let values = lists.into_iter().map(at).chain([at(&map.surface.train_loss)]);
            numbers.push([*x, *y].into_iter().chain(values).map(|value| value.to_string()).collect());
        }
    }
    numbers
}
