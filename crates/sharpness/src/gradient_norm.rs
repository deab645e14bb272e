//! The norm of the gradient.

use basin_objective::Result;
use basin_records::sharpness::{Measure, Measurement};
use basin_tape::vector;

use crate::neighbourhood::Centre;

/// ‖∇L(θ)‖₂, accumulated in f64: zero at a stationary point, and what the loss rises by per unit of the steepest step.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_sharpness::gradient_norm;
/// use basin_sharpness::neighbourhood::Centre;
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[3.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let centre = Centre::new(&quadratic, &Tensor::new(&[1.0, 1.0], &Device::Cpu)?)?;
/// assert_eq!(gradient_norm(&centre)?.value, 5.0);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the device fails.
pub fn gradient_norm(centre: &Centre<'_>) -> Result<Measurement> {
    let gradient = centre.gradient();
    Ok(Measurement::new(Measure::GradientNorm, vector::dot(gradient, gradient)?.sqrt()))
}
