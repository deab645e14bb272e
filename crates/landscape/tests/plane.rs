//! Surfaces that are known: every value, where it stands, and the curvature that its neighbours show.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_landscape::{
    Direction, Grid, MOST_POINTS, Plane, Position, curvatures, evaluate, normalized, project, second_difference,
    without_ignored,
};
use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::{Activation, Model, ModelSpec};
use basin_objective::{Error, LossSpec, Network, NetworkOptions, Objective, Quadratic};
use basin_records::surface::Normalization;
use candle_core::{DType, Device, Tensor};

fn vector(elements: &[f64]) -> Tensor {
    Tensor::new(elements, &Device::Cpu).unwrap()
}

fn direction(name: &str, elements: &[f64]) -> Direction {
    Direction { name: name.into(), vector: vector(elements) }
}

/// L = ½ (θ − c)ᵀ H (θ − c).
const HESSIAN: [[f64; 3]; 3] = [[2.0, 0.5, 0.0], [0.5, -1.0, 0.25], [0.0, 0.25, 4.0]];
const CENTRE: [f64; 3] = [0.5, -0.25, 1.0];
const THETA: [f64; 3] = [1.0, 2.0, -0.5];
const X: [f64; 3] = [1.0, -1.0, 0.5];
const Y: [f64; 3] = [0.25, 2.0, 1.0];

fn quadratic() -> Quadratic {
    Quadratic::new(Tensor::new(&HESSIAN, &Device::Cpu).unwrap(), vector(&CENTRE)).unwrap()
}

fn loss_at(x: f64, y: f64) -> f64 {
    let moved: Vec<f64> = (0..3).map(|i| THETA[i] + x * X[i] + y * Y[i] - CENTRE[i]).collect();
    (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| 0.5 * moved[i] * HESSIAN[i][j] * moved[j]).sum()
}

fn plane(objective: &dyn Objective, grid: Grid) -> Plane {
    Plane::new(objective, &vector(&THETA), [&direction("x", &X), &direction("y", &Y)], grid).unwrap()
}

fn all(grid: &Grid) -> Vec<Position> {
    (0..grid.y.len()).flat_map(|row| grid.row(row)).collect()
}

/// A row of values for each y.
fn rows(
    objective: &dyn Objective,
    plane: &Plane,
    value: impl Fn(&Tensor) -> basin_objective::Result<f64> + Sync,
) -> Vec<Vec<f64>> {
    let mut rows = vec![Vec::new(); plane.grid().y.len()];
    let keep = |positions: &[Position], values: Vec<f64>| {
        positions.iter().zip(values).for_each(|(position, value)| rows[position.row].push(value));
        Ok(())
    };
    evaluate(objective, &all(plane.grid()), |&position| value(&plane.point(position)?), keep).unwrap();
    rows
}

#[test]
fn every_value_of_a_quadratic_on_a_grid_that_is_not_square() {
    let quadratic = quadratic();
    let plane = plane(&quadratic, Grid::new(-2.0..=1.0, 13, 0.5..=3.0, 6).unwrap());
    let found = rows(&quadratic, &plane, |theta| Ok(quadratic.evaluate(theta)?.loss));
    assert_eq!((found.len(), found[0].len()), (6, 13));
    for (row, y) in found.iter().zip(&plane.grid().y) {
        for (value, &x) in row.iter().zip(&plane.grid().x) {
            let expected = loss_at(x, *y);
            assert!((value - expected).abs() < 1e-12 * (1.0 + expected.abs()), "{value} for {expected} at ({x}, {y})");
        }
    }
}

#[test]
fn a_loss_that_explodes_stays_where_it_is() {
    let quadratic = quadratic();
    let plane = plane(&quadratic, Grid::new(-1.0..=1.0, 5, -1.0..=1.0, 4).unwrap());
    // No number right of 0, infinite above.
    let found = rows(&quadratic, &plane, |theta| {
        let at = project(&vector(&THETA), [&direction("x", &X), &direction("y", &Y)], theta)?;
        Ok(if at.x > 0.1 {
            f64::NAN
        } else if at.y > 0.9 {
            f64::INFINITY
        } else {
            quadratic.evaluate(theta)?.loss
        })
    });
    for (j, row) in found.iter().enumerate() {
        for (i, value) in row.iter().enumerate() {
            match (i, j) {
                (3.., _) => assert!(value.is_nan(), "{i}, {j}"),
                (_, 3) => assert_eq!(*value, f64::INFINITY, "{i}, {j}"),
                _ => assert!(value.is_finite(), "{i}, {j}"),
            }
        }
    }
}

#[test]
fn what_is_known_is_handed_over_in_order_before_the_work_is_stopped() {
    let quadratic = quadratic();
    let plane = plane(&quadratic, Grid::new(-1.0..=1.0, 7, -1.0..=1.0, 9).unwrap());
    let positions = all(plane.grid());
    let mut kept = Vec::new();
    let loss = |&position: &Position| Ok(quadratic.evaluate(&plane.point(position)?)?.loss);
    let keep = |known: &[Position], values: Vec<f64>| {
        assert_eq!(known.len(), values.len());
        kept.extend_from_slice(known);
        if kept.len() < 20 { Ok(()) } else { Err(Error::Interrupted) }
    };
    let stopped = evaluate(&quadratic, &positions, loss, keep);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert!((20..positions.len()).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept, positions[..kept.len()]);
}

#[test]
fn the_middle_of_a_symmetric_range_is_the_origin() {
    for (count, last) in [(3, 1.0), (25, 0.3), (51, 1.7), (1001, 0.1)] {
        let grid = Grid::new(-last..=last, count, 0.0..=1.0, 2).unwrap();
        assert_eq!((grid.x[0], grid.x[count / 2], grid.x[count - 1]), (-last, 0.0, last));
        assert!(grid.x.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let theta = vector(&THETA);
    let at_origin = plane(&quadratic(), Grid::new(-1.0..=1.0, 3, -1.0..=1.0, 3).unwrap()).at(0.0, 0.0).unwrap();
    assert_eq!(at_origin.to_vec1::<f64>().unwrap(), theta.to_vec1::<f64>().unwrap());
}

#[test]
fn grids_without_points_are_refused() {
    let grid = |x: (f64, f64), columns, rows| Grid::new(x.0..=x.1, columns, 0.0..=1.0, rows);
    for refused in [
        grid((-1.0, 1.0), 0, 5),
        grid((-1.0, 1.0), 5, 1),
        grid((1.0, -1.0), 5, 5),
        grid((1.0, 1.0), 5, 5),
        grid((0.0, f64::NAN), 5, 5),
        grid((f64::NEG_INFINITY, 0.0), 5, 5),
        grid((-1.0, 1.0), MOST_POINTS, 2),
        grid((-1.0, 1.0), usize::MAX, usize::MAX),
    ] {
        assert!(refused.unwrap_err().is_bad_input());
    }
    assert!(grid((-1.0, 1.0), MOST_POINTS / 2, 2).is_ok());
}

#[test]
fn a_direction_of_another_length_is_refused() {
    let grid = Grid::new(-1.0..=1.0, 3, -1.0..=1.0, 3).unwrap();
    let short = direction("short", &X[..2]);
    let refused = Plane::new(&quadratic(), &vector(&THETA), [&direction("x", &X), &short], grid).unwrap_err();
    assert!(refused.is_bad_input() && refused.to_string().contains("short"), "{refused}");
}

#[test]
fn the_nearest_point_of_an_oblique_plane() {
    let (x, y) = (direction("x", &X), direction("y", &Y));
    // Orthogonal to both.
    let normal = [X[1] * Y[2] - X[2] * Y[1], X[2] * Y[0] - X[0] * Y[2], X[0] * Y[1] - X[1] * Y[0]];
    let point: Vec<f64> = (0..3).map(|i| THETA[i] - 1.5 * X[i] + 0.75 * Y[i] + 2.0 * normal[i]).collect();
    let found = project(&vector(&THETA), [&x, &y], &vector(&point)).unwrap();
    let length = normal.iter().map(|n| n * n).sum::<f64>().sqrt();
    assert!((found.x + 1.5).abs() < 1e-12 && (found.y - 0.75).abs() < 1e-12, "{found:?}");
    assert!((found.distance - 2.0 * length).abs() < 1e-12, "{found:?}");
}

#[test]
fn differences_on_any_spacing_are_exact_for_parabolas() {
    let x = [-0.7, -0.2, 0.0, 0.5];
    let values = x.map(|x| 3.0 - 2.0 * x + 1.25 * x * x);
    assert!((second_difference(&x, &values, 1.0).unwrap() - 2.5).abs() < 1e-12);
    assert!((second_difference(&x, &values, 2.0).unwrap() - 0.625).abs() < 1e-12);
    assert_eq!(second_difference(&[-0.2, 0.1, 0.4], &[1.0; 3], 1.0), None);
    assert_eq!(second_difference(&[-0.2, 0.0], &[1.0; 2], 1.0), None);
    assert!(second_difference(&[-1.0, 0.0, 1.0], &[f64::NAN, 0.0, 1.0], 1.0).unwrap().is_nan());
}

struct Digits {
    data: Dataset,
    model: Model,
}

impl Digits {
    fn new(activation: Activation) -> Self {
        let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap().take(60).unwrap();
        let spec = ModelSpec::Mlp { widths: vec![64, 12, 10], activation, batch_norm: false };
        Self { model: Model::new(&spec, data.sample_shape(), 10).unwrap(), data }
    }

    fn network(&self) -> Network<'_> {
        let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
        let buffers = self.model.initial_buffers(DType::F64).unwrap();
        Network::new(&self.model, &buffers, LossSpec::cross_entropy(), &self.data, options).unwrap()
    }

    fn theta(&self) -> Tensor {
        self.model.initial_parameters(1, DType::F64).unwrap()
    }

    fn direction(&self, theta: &Tensor, index: usize, normalization: Normalization) -> Direction {
        let layout = self.model.parameters();
        let drawn = Direction::random(layout.len(), 0, index).unwrap();
        let kept = without_ignored(&drawn.vector, layout).unwrap();
        Direction { vector: normalized(&kept, theta, layout, normalization).unwrap(), ..drawn }
    }
}

/// Halving h takes the error to a quarter: both are the second derivative, and the difference lacks O(h²).
#[test]
fn the_product_is_the_limit_of_the_surface_s_second_differences() {
    let digits = Digits::new(Activation::Tanh);
    let (network, theta) = (digits.network(), digits.theta());
    let [x, y] = [0, 1].map(|index| digits.direction(&theta, index, Normalization::Filter));
    let exact = curvatures(&network, &theta, [&x, &y]).unwrap();
    let error = |h: f64, axis: usize| {
        let grid = Grid::new(-h..=h, 3, -h..=h, 3).unwrap();
        let plane = Plane::new(&network, &theta, [&x, &y], grid).unwrap();
        let surface = rows(&network, &plane, |theta| Ok(network.evaluate(theta)?.loss));
        let difference = match axis {
            0 => second_difference(&plane.grid().x, &surface[1], x.norm().unwrap()),
            _ => {
                let column: Vec<f64> = surface.iter().map(|row| row[1]).collect();
                second_difference(&plane.grid().y, &column, y.norm().unwrap())
            }
        };
        difference.unwrap() - exact[axis]
    };
    for axis in [0, 1] {
        let (coarse, fine) = (error(0.08, axis), error(0.04, axis));
        assert!((coarse / fine - 4.0).abs() < 0.2, "axis {axis}: {coarse} and {fine}");
        assert!(error(1e-3, axis).abs() < 1e-5 * exact[axis].abs(), "axis {axis}");
    }
}

/// Layers multiplied by α and 1/α compute the same, and along filter-normalised directions so do their neighbours; along
/// plain ones not.
#[test]
fn the_surface_of_a_rescaled_network_is_the_same_surface() {
    let digits = Digits::new(Activation::Relu);
    let (network, theta) = (digits.network(), digits.theta());
    let layout = digits.model.parameters();
    let scaled = layout.entries().iter().zip(layout.views(&theta).unwrap()).map(|(entry, view)| {
        let factor = if entry.name.starts_with("fc1") {
            8.0
        } else if entry.name == "fc2.weight" {
            0.125
        } else {
            1.0
        };
        Some((view * factor).unwrap())
    });
    let rescaled = layout.join(scaled.collect(), DType::F64, &Device::Cpu).unwrap();
    let surface = |theta: &Tensor, normalization| {
        let [x, y] = [0, 1].map(|index| digits.direction(theta, index, normalization));
        let grid = Grid::new(-1.0..=1.0, 5, -0.5..=1.0, 4).unwrap();
        let plane = Plane::new(&network, theta, [&x, &y], grid).unwrap();
        rows(&network, &plane, |theta| Ok(network.evaluate(theta)?.loss)).concat()
    };
    let largest_change = |normalization| {
        let pairs = surface(&theta, normalization).into_iter().zip(surface(&rescaled, normalization));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    for normalization in [Normalization::Filter, Normalization::Layer, Normalization::Weight] {
        assert!(largest_change(normalization) < 1e-12, "{normalization}");
    }
    assert!(largest_change(Normalization::None) > 0.1);
}
