//! A plane of parameters, θ + x d₁ + y d₂.

use basin_objective::{Error, Objective, Result};
use basin_tape::vector;
use candle_core::{DType, Tensor};

use crate::direction::{Direction, norm, on_cpu};
use crate::grid::{Grid, Position};

/// A grid on the plane through θ that two directions span, ready for an objective.
///
/// ```
/// use basin_landscape::{Direction, Grid, Plane, evaluate};
/// use basin_objective::{Objective, Quadratic};
/// use candle_core::{Device, Tensor};
///
/// let theta = Tensor::new(&[0.0, 0.0], &Device::Cpu)?;
/// let quadratic = Quadratic::new(Tensor::new(&[[2.0, 0.0], [0.0, 6.0]], &Device::Cpu)?, theta.clone())?;
/// let axis = |elements: &[f64; 2]| Ok::<_, basin_objective::Error>(Direction {
///     name: "axis".into(),
///     vector: Tensor::new(elements, &Device::Cpu)?,
/// });
/// let grid = Grid::new(-1.0..=1.0, 3, 0.0..=1.0, 2)?;
/// let plane = Plane::new(&quadratic, &theta, [&axis(&[1.0, 0.0])?, &axis(&[0.0, 1.0])?], grid)?;
/// let mut losses = Vec::new();
/// let row: Vec<_> = plane.grid().row(1).collect();
/// let loss = |&position: &_| Ok(quadratic.evaluate(&plane.point(position)?)?.loss);
/// evaluate(&quadratic, &row, loss, |_, found| Ok(losses.extend(found)))?;
/// assert_eq!(losses, [4.0, 3.0, 4.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug)]
pub struct Plane {
    theta: Tensor,
    x: Tensor,
    y: Tensor,
    grid: Grid,
}

impl Plane {
    /// The plane in the numbers and on the device of an objective.
    ///
    /// # Errors
    /// When θ or a direction does not have the objective's length.
    pub fn new(objective: &dyn Objective, theta: &Tensor, directions: [&Direction; 2], grid: Grid) -> Result<Self> {
        let parameters = objective.dimension();
        let placed = |what: &str, v: &Tensor| {
            if v.dims() != [parameters] {
                return Err(Error::input(
                    format!("{what} has shape {:?}, the objective {parameters} parameters", v.dims()),
                    "give vectors of the parameters' length",
                ));
            }
            Ok(v.to_dtype(objective.dtype())?.to_device(objective.device())?)
        };
        let [x, y] = directions;
        Ok(Self { theta: placed("θ", theta)?, x: placed(&x.name, &x.vector)?, y: placed(&y.name, &y.vector)?, grid })
    }

    /// Its grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// θ + x d₁ + y d₂.
    ///
    /// # Errors
    /// When the device fails.
    pub fn at(&self, x: f64, y: f64) -> Result<Tensor> {
        Ok(((&self.theta + (&self.x * x)?)? + (&self.y * y)?)?)
    }

    /// The parameters at a point of the grid.
    ///
    /// # Errors
    /// When the device fails.
    pub fn point(&self, Position { column, row }: Position) -> Result<Tensor> {
        self.at(self.grid.x[column], self.grid.y[row])
    }
}

/// Where a point lies with respect to a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// Its coordinate along the first direction.
    pub x: f64,
    /// Its coordinate along the second direction.
    pub y: f64,
    /// Its distance from the plane.
    pub distance: f64,
}

/// The point θ + x d₁ + y d₂ that is nearest to another, by least squares: the directions need not be orthogonal.
///
/// ```
/// use basin_landscape::{Direction, project};
/// use candle_core::{Device, Tensor};
///
/// let vector = |elements: [f64; 3]| Tensor::new(&elements, &Device::Cpu);
/// let x = Direction { name: "x".into(), vector: vector([2.0, 0.0, 0.0])? };
/// let y = Direction { name: "y".into(), vector: vector([1.0, 1.0, 0.0])? };
/// let found = project(&vector([0.0; 3])?, [&x, &y], &vector([5.0, 1.0, 7.0])?)?;
/// assert_eq!((found.x, found.y, found.distance), (2.0, 1.0, 7.0));
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn project(theta: &Tensor, directions: [&Direction; 2], point: &Tensor) -> Result<Projection> {
    let way = (on_cpu(point)? - on_cpu(theta)?)?;
    let [d, e] = directions.map(|direction| &direction.vector);
    let (dd, de, ee) = (vector::dot(d, d)?, vector::dot(d, e)?, vector::dot(e, e)?);
    let (along_d, along_e) = (vector::dot(d, &way)?, vector::dot(e, &way)?);
    let determinant = dd * ee - de * de;
    let (x, y) = ((ee * along_d - de * along_e) / determinant, (dd * along_e - de * along_d) / determinant);
    let off = ((way.to_dtype(DType::F64)? - (d * x)?)? - (e * y)?)?;
    Ok(Projection { x, y, distance: norm(&off)? })
}
