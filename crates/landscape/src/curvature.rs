//! The curvature of a surface along its axes, from products and from the surface itself.

use basin_objective::{Error, Objective, Result};
use basin_tape::vector;
use candle_core::Tensor;

use crate::direction::Direction;

/// vᵀ H v with v = d/‖d‖ for each direction d, by exact products with the Hessian H at θ: the second derivative of the loss per
/// squared displacement, which lies between the extremal eigenvalues.
///
/// ```
/// use basin_landscape::{Direction, curvatures};
/// use basin_objective::Quadratic;
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
/// let theta = Tensor::new(&[1.0, 2.0], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let diagonal = Direction { name: "diagonal".into(), vector: Tensor::new(&[3.0, 3.0], &Device::Cpu)? };
/// let [found] = curvatures(&quadratic, &theta, [&diagonal])?;
/// assert!((found - 2.0).abs() < 1e-14);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When a direction is zero or does not have the objective's length, or the device fails.
pub fn curvatures<const N: usize>(
    objective: &dyn Objective,
    theta: &Tensor,
    directions: [&Direction; N],
) -> Result<[f64; N]> {
    let unit = |direction: &Direction| {
        let norm = direction.norm()?;
        if norm == 0.0 {
            return Err(Error::input(
                format!("the direction {} is zero", direction.name),
                "keep the biases with `--biases kept`, or give another direction",
            ));
        }
        Ok((&direction.vector / norm)?.to_dtype(objective.dtype())?.to_device(objective.device())?)
    };
    let units = directions.iter().map(|direction| unit(direction)).collect::<Result<Vec<_>>>()?;
    let units = Tensor::stack(&units, 0)?;
    let products = objective.linearize(theta)?.hessian(&units)?;
    let mut found = [0.0; N];
    for (i, value) in found.iter_mut().enumerate() {
        *value = vector::dot(&units.get(i)?, &products.get(i)?)?;
    }
    Ok(found)
}

/// The second derivative at coordinate 0 of values along an axis, by the difference of three neighbours, which is exact to
/// O(h²); per squared displacement where the direction has length `norm`. Absent where 0 is no inner point of the axis.
///
/// ```
/// use basin_landscape::second_difference;
///
/// let x = [-1.0, 0.0, 1.0];
/// assert_eq!(second_difference(&x, &[3.0, 1.0, 3.0], 2.0), Some(1.0));
/// assert_eq!(second_difference(&[0.0, 1.0, 2.0], &[0.0, 1.0, 4.0], 1.0), None);
/// ```
pub fn second_difference(coordinates: &[f64], values: &[f64], norm: f64) -> Option<f64> {
    let origin = coordinates.iter().position(|&x| x == 0.0).filter(|&i| i > 0)?;
    let (before, after) = (coordinates[origin - 1], *coordinates.get(origin + 1)?);
    let (left, at, right) = (values.get(origin - 1)?, values.get(origin)?, values.get(origin + 1)?);
    let slopes = (right - at) / after - (at - left) / -before;
    Some(2.0 * slopes / (after - before) / (norm * norm))
}
