//! The rise of the loss after the one step of sharpness-aware minimisation.

use basin_objective::Result;
use basin_records::sharpness::{Measure, Measurement, Norm};

use super::{Ball, Centre, FORWARD, Observe};

/// L(θ + ρ g/‖g‖₂) − L(θ) with g = ∇L(θ): what SAM adds to the loss (Foret et al., ICLR 2021).
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_sharpness::neighbourhood::{Centre, sam};
/// use candle_core::{Device, Tensor};
///
/// // L = θ₀² at θ₀ = 1: a step of 0.5 uphill ends at 1.5.
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let centre = Centre::new(&quadratic, &Tensor::new(&[1.0, 0.0], &Device::Cpu)?)?;
/// assert_eq!(sam(&centre, 0.5, &mut |_| Ok(()))?.value, 1.25);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When ρ is not positive, or the objective fails.
pub fn sam(centre: &Centre<'_>, rho: f64, observe: &mut Observe<'_>) -> Result<Measurement> {
    one_step(centre, Measure::Sam, rho, observe)
}

/// L(θ + ρ T²g/‖T g‖₂) − L(θ) with T = |θ| elementwise: what ASAM adds to the loss (Kwon et al., ICML 2021). Nothing is added to |θ|,
/// which the optimizer does so that zero weights may move and which would make the value depend on the weights' scale.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_sharpness::neighbourhood::{Centre, asam};
/// use candle_core::{Device, Tensor};
///
/// // L = θ₀² at θ₀ = 2: a step of half its size ends at 3.
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let centre = Centre::new(&quadratic, &Tensor::new(&[2.0, 0.0], &Device::Cpu)?)?;
/// assert_eq!(asam(&centre, 0.5, &mut |_| Ok(()))?.value, 5.0);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When ρ is not positive, or the objective fails.
pub fn asam(centre: &Centre<'_>, rho: f64, observe: &mut Observe<'_>) -> Result<Measurement> {
    one_step(centre, Measure::Asam, rho, observe)
}

fn one_step(centre: &Centre<'_>, measure: Measure, rho: f64, observe: &mut Observe<'_>) -> Result<Measurement> {
    let ball = Ball { norm: Norm::L2, adaptive: measure == Measure::Asam, rho };
    ball.check()?;
    let slope = ball.scaled(centre.gradient(), centre.theta())?;
    let Some(direction) = ball.steepest(&slope)? else {
        return Ok(Measurement {
            rho: Some(rho),
            reason: "the gradient at θ is zero, so that there is no step".into(),
            ..Measurement::new(measure, 0.0)
        });
    };
    let value = centre.rise(&ball.scaled(&(direction * rho)?, centre.theta())?)?;
    observe(FORWARD)?;
    Ok(Measurement { rho: Some(rho), reason: "one step along the gradient".into(), ..Measurement::new(measure, value) })
}
