//! `basin landscape ratio`: the Hessian's extremal eigenvalues on a plane of parameters.

mod neighbours;

use std::time::Instant;

use basin_landscape::{Lines, Plane, Position, curvatures};
use basin_objective::data::Split;
use basin_objective::{Error, Result};
use basin_records::surface::Axis;
use basin_records::{Outcome, RatioMap, Record, Surface, float};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix, deterministic_gradient};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::grid::{Gathering, Keep, Networks, Point, Region, Values, require_plain};
use super::plane::{Axes, files, parts, surface, usual_ranges};
use crate::arguments::Ratio;
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::emit;
use crate::subject::Subject;
use crate::table::{number, table};
use neighbours::Neighbours;

/// Points next to each other in a row of which each search starts near the eigenvectors of the last, and the first from a random
/// vector: what a search of long ago found is forgotten.
const CHAIN: usize = 8;

/// Vectors of the basis at a point: most need fewer, and room for more is cleared at each.
const MAX_BASIS: usize = 256;

/// The extremal eigenvalues at a point, and the loss there.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Extremes {
    #[serde(with = "float")]
    lambda_max: f64,
    #[serde(with = "float")]
    lambda_max_residual: f64,
    #[serde(with = "float")]
    lambda_min: f64,
    #[serde(with = "float")]
    lambda_min_residual: f64,
    converged: bool,
    products: usize,
    #[serde(flatten)]
    point: Point,
}

pub(crate) fn run(arguments: &Ratio) -> anyhow::Result<Ended> {
    let (common, asked) = (&arguments.common, &arguments.directions);
    let read = arguments.checkpoint.iter().chain(&asked.towards).chain(&asked.directions);
    files::check(common.out.as_deref(), &arguments.also, asked.save_directions.as_deref(), read)?;
    let Some(checkpoint) = &arguments.checkpoint else {
        return end(arguments, &parts::merged::<RatioMap>(&arguments.merge)?);
    };
    require_plain(common, "a plane")?;
    let lanczos = Lanczos {
        tolerance: arguments.tolerance,
        max_products: arguments.max_products,
        max_basis: MAX_BASIS,
        memory: common.machine.memory,
        seed: common.seed,
        ..Lanczos::default()
    };
    lanczos.check()?;
    let region = Region::new(&arguments.ranges, arguments.points, usual_ranges(asked))?.part(arguments.shard)?;
    let subject = Subject::load(checkpoint, common)?;
    let started = Instant::now();
    let test = subject.data.other_if_any(Split::Test)?;
    let networks = Networks::new(&subject, test.as_ref(), arguments.batch_norm_statistics)?;
    deterministic_gradient(&networks.train, &subject.theta)?;
    let axes = Axes::new(asked, common, &subject, &networks.train)?;
    let what = format!("the ratio map to {} in {} products", arguments.tolerance, arguments.max_products);
    let measurement = region.measurement(&what, &subject, &networks, axes.identities())?;
    let quiet = common.machine.quiet;
    let neighbours = common.out.as_deref().map(|out| Neighbours::new(out, measurement.clone()));
    let mut gathering = Gathering::begin("ratio", common.out.as_deref(), measurement, region.size(), quiet)?;
    if let Some(path) = &asked.save_directions {
        axes.save(path, &subject)?;
    }
    let curvatures = curvatures(&networks.train, &subject.theta, axes.directions())?;
    let plane = Plane::new(&networks.train, &subject.theta, axes.directions(), region.grid.clone())?;
    let positions = region.positions(&Lines::every(&region.grid, 1));
    let search = Search { lanczos: &lanczos, plane: &plane, networks: &networks };
    if !quiet {
        exit::tell(&search.cost(&subject.theta, positions.len())?);
    }
    gathering.gather(&positions, |missing, keep| search.along(missing, neighbours.as_ref(), keep))?;
    let map = map(&region, &axes, curvatures, gathering.values(), &networks, arguments.tolerance);
    let taken = gathering.values().rows(|found| Some(found.products)).into_iter().flatten().sum::<usize>();
    let products = taken + axes.products + axes.directions().len();
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(products as u64);
    provenance.gradient_equivalents = Some(networks.gradient_equivalents(products, positions.len()));
    let ended = end(arguments, &Record::new(provenance, Outcome::RatioMap(Box::new(map))))?;
    gathering.finish()?;
    if let Some(neighbours) = &neighbours {
        neighbours.finish()?;
    }
    Ok(ended)
}

/// The point that a search starts near to: the one to the left, but for the first of a chain.
fn neighbour(Position { column, row }: Position) -> Option<Position> {
    (column % CHAIN > 0).then(|| Position { column: column - 1, row })
}

/// What eigenvalues are sought with.
struct Search<'a> {
    lanczos: &'a Lanczos,
    plane: &'a Plane,
    networks: &'a Networks<'a>,
}

impl Search<'_> {
    /// The extremes at points row by row, each sought near the eigenvectors of its neighbour.
    fn along(
        &self,
        positions: &[Position],
        neighbours: Option<&Neighbours>,
        keep: &mut Keep<'_, Extremes>,
    ) -> Result<()> {
        let mut last: Option<(Position, Tensor)> = None;
        for &position in positions {
            let near = match (neighbour(position), last.take()) {
                (None, _) => None,
                (Some(left), Some((at, vectors))) if at == left => Some(vectors),
                (Some(left), _) => neighbours.map(|kept| kept.at(left)).transpose()?.flatten(),
            };
            let (extremes, vectors) = self.at(&self.plane.point(position)?, near.as_ref())?;
            if let (Some(neighbours), Some(vectors)) = (neighbours, &vectors) {
                neighbours.keep(position, vectors)?;
            }
            keep(&[position], vec![extremes])?;
            last = vectors.map(|vectors| (position, vectors));
        }
        Ok(())
    }

    /// The extremes at θ and their eigenvectors; no numbers where the loss leaves the numbers.
    fn at(&self, theta: &Tensor, near: Option<&Tensor>) -> Result<(Extremes, Option<Tensor>)> {
        let point = self.networks.evaluate(theta)?;
        let network = self.networks.train_at(theta)?;
        let nowhere = Extremes {
            lambda_max: f64::NAN,
            lambda_max_residual: f64::NAN,
            lambda_min: f64::NAN,
            lambda_min_residual: f64::NAN,
            converged: false,
            products: 0,
            point,
        };
        if !point.train.loss.is_finite() {
            return Ok((nowhere, None));
        }
        let hessian = Curvature::new(&network, theta, CurvatureMatrix::Hessian)?;
        let found = match self.lanczos.extremes_near(&hessian, near, |_| interruption::check()) {
            Err(Error::NotFinite { .. }) => return Ok((nowhere, None)),
            found => found?,
        };
        let (Some(largest), Some(smallest)) = (found.eigenvalues.first(), found.eigenvalues.last()) else {
            return Ok((nowhere, None));
        };
        let extremes = Extremes {
            lambda_max: largest.value,
            lambda_max_residual: largest.residual,
            lambda_min: smallest.value,
            lambda_min_residual: smallest.residual,
            converged: largest.converged && smallest.converged,
            products: found.products,
            point,
        };
        Ok((extremes, Some(found.eigenvectors)))
    }

    /// A line on what so many points may cost, from one at θ.
    fn cost(&self, theta: &Tensor, points: usize) -> Result<String> {
        let started = Instant::now();
        let (found, _) = self.at(theta, None)?;
        let point = started.elapsed();
        let whole = point.checked_mul(points as u32).unwrap_or(std::time::Duration::MAX);
        Ok(format!(
            "cost: a point takes about {} products, {:.1} s; {points} points at most about {}",
            found.products,
            point.as_secs_f64(),
            indicatif::HumanDuration(whole)
        ))
    }
}

fn map(
    region: &Region,
    axes: &Axes,
    curvatures: [f64; 2],
    values: &Values<Extremes>,
    networks: &Networks<'_>,
    tolerance: f64,
) -> RatioMap {
    let rows = |number: fn(&Extremes) -> f64| values.rows(|found| Some(number(found)));
    let not_converged = values.rows(|found| (!found.converged).then_some(())).iter().map(Vec::len).sum::<usize>();
    RatioMap {
        lambda_max: rows(|found| found.lambda_max),
        lambda_max_residual: rows(|found| found.lambda_max_residual),
        lambda_min: rows(|found| found.lambda_min),
        lambda_min_residual: rows(|found| found.lambda_min_residual),
        ratio: rows(|found| found.lambda_min / found.lambda_max),
        tolerance,
        not_converged: not_converged as u64,
        surface: surface::of(
            region,
            &region.grid,
            axes,
            curvatures,
            values,
            |found| &found.point,
            networks.batch_norm(),
        ),
    }
}

fn end(arguments: &Ratio, record: &Record) -> anyhow::Result<Ended> {
    let Outcome::RatioMap(map) = &record.outcome else { return Ok(Ended::Done) };
    emit(&arguments.common, record, || readable(record, map))?;
    if let Some(out) = &arguments.common.out
        && map.surface.shard.is_none()
    {
        let more = [
            ("lambda_max", &map.lambda_max),
            ("lambda_max_residual", &map.lambda_max_residual),
            ("lambda_min", &map.lambda_min),
            ("lambda_min_residual", &map.lambda_min_residual),
            ("ratio", &map.ratio),
        ];
        files::write(out, &arguments.also, &map.surface, &more)?;
    }
    let unconverged = |axis: &Axis| axis.eigenvalue.is_some_and(|found| !found.converged);
    if map.not_converged > 0 || unconverged(&map.surface.x) || unconverged(&map.surface.y) {
        exit::tell(
            "hint: eigenvalues have not converged; allow more `--max-products` or try `--dtype f64`, and stay where the loss is finite",
        );
        return Ok(Ended::NotConverged);
    }
    Ok(Ended::Done)
}

fn readable(record: &Record, map: &RatioMap) -> String {
    let Surface { x, y, .. } = &map.surface;
    let checkpoint = record.provenance.checkpoint.as_ref().map_or("–", |checkpoint| &checkpoint.path);
    let names = [("λ max", &map.lambda_max), ("λ min", &map.lambda_min), ("λ min/λ max", &map.ratio)];
    let rows = names.into_iter().map(|(name, rows)| {
        let finite = rows.iter().flatten().copied().filter(|value| value.is_finite());
        let at = |axis: &Axis| axis.coordinates.iter().position(|&coordinate| coordinate == 0.0);
        let origin = at(y).zip(at(x)).and_then(|(row, column)| rows.get(row)?.get(column).copied());
        let (least, most) = (finite.clone().reduce(f64::min), finite.reduce(f64::max));
        vec![name.to_owned(), number(origin), number(least), number(most)]
    });
    let lost = match map.not_converged {
        0 => String::new(),
        lost => format!("\n{lost} points have an eigenvalue that has not converged"),
    };
    format!(
        "extremal eigenvalues on the plane through {checkpoint} along {} and {}, {} × {} points, {} products\n{}{lost}",
        x.name,
        y.name,
        x.coordinates.len(),
        y.coordinates.len(),
        record.provenance.products.unwrap_or_default(),
        table(&["", "at the origin", "least", "largest"], rows.collect()),
    )
}
