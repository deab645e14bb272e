//! Critical sharpness: the curvature that the smallest useless step along a direction betrays, from forward passes alone.

use basin_objective::{Error, Result};
use basin_records::sharpness::{Measure, Measurement};
use basin_tape::vector;
use candle_core::Tensor;

use crate::neighbourhood::{Centre, FORWARD, Observe};

/// The first step is where the slope alone foretells a fall by this share of the loss: short of any curvature that
/// matters, and far above the rounding of a loss.
const FIRST_FALL: f64 = 1e-3;
/// Doublings or halvings until the smallest useless step is bracketed.
const MOST_BRACKETS: usize = 60;
/// Relative half-width of the last bracket of η.
const TOLERANCE: f64 = 1e-5;
/// The loss must have fallen by this many times its rounding somewhere on the way for a crossing to mean anything.
const VISIBLE: f64 = 100.0;

/// The straight way that is followed.
#[derive(Clone, Debug)]
pub enum Direction<'a> {
    /// d = −∇L(θ), so that η is a learning rate of gradient descent.
    Gradient,
    /// d = θ' − θ to another checkpoint θ', so that η = 1 ends there.
    Update(&'a Tensor),
}

/// λ_c = 2/η_c, where η_c is the smallest step η > 0 at which L(θ + η d) is no longer below L(θ) ("critical sharpness",
/// arXiv 2601.16979). Gradient descent with a larger learning rate does not lower the loss in one step. On a quadratic it
/// is gᵀHg/gᵀg along −g, and −dᵀHd/gᵀd along any d.
///
/// η is doubled from a small step until the loss has not fallen, or halved where it has not fallen there, and the bracket
/// is bisected: a rise and fall again between two doublings is stepped over. `residual` is half the last bracket, in units
/// of λ_c. Not converged, with the reason: where d does not lead down, where the loss falls for ever, and where its fall is
/// lost in rounding, as it may be at a minimum in f32.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_sharpness::neighbourhood::Centre;
/// use basin_sharpness::{Direction, critical_sharpness};
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let centre = Centre::new(&quadratic, &Tensor::new(&[2.0, 1.0], &Device::Cpu)?)?;
/// let found = critical_sharpness(&centre, &Direction::Gradient, &mut |_| Ok(()))?;
/// assert!((found.value - 3.0).abs() < 1e-4 && found.converged);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the other checkpoint has not the length of θ, or the objective fails.
pub fn critical_sharpness(
    centre: &Centre<'_>,
    direction: &Direction<'_>,
    observe: &mut Observe<'_>,
) -> Result<Measurement> {
    let (measure, d) = match direction {
        Direction::Gradient => (Measure::Critical, centre.gradient().neg()?),
        Direction::Update(other) if other.dims() == centre.theta().dims() => {
            (Measure::CriticalUpdate, (other.to_dtype(candle_core::DType::F64)? - centre.theta())?)
        }
        Direction::Update(other) => {
            return Err(Error::input(
                format!(
                    "the other checkpoint has {} parameters, this one {}",
                    other.elem_count(),
                    centre.theta().elem_count()
                ),
                "give two checkpoints of one model",
            ));
        }
    };
    let slope = vector::dot(centre.gradient(), &d)?;
    let unknown =
        |reason: &str| Measurement { converged: false, reason: reason.into(), ..Measurement::new(measure, f64::NAN) };
    if slope == 0.0 && vector::dot(&d, &d)? == 0.0 {
        return Ok(unknown("there is no direction: it is zero"));
    }
    if slope >= 0.0 {
        return Ok(unknown("the direction does not lead down"));
    }
    let mut walk = Walk { centre, d, lowest: 0.0, observe };
    let first = FIRST_FALL * centre.loss().abs().max(f64::MIN_POSITIVE) / -slope;
    let Some((low, high)) = walk.bracket(first)? else {
        return Ok(unknown("no step was found at which the loss changes between falling and not falling"));
    };
    let (low, high) = walk.bisect(low, high)?;
    let eta = (low + high) / 2.0;
    let visible = -walk.lowest > VISIBLE * centre.resolution();
    Ok(Measurement {
        residual: Some(2.0 / eta * (high - low) / (2.0 * eta)),
        converged: visible,
        reason: if visible {
            "bracketed and bisected".into()
        } else {
            "the fall of the loss is lost in its rounding; compute in f64".into()
        },
        ..Measurement::new(measure, 2.0 / eta)
    })
}

/// Steps along a direction.
struct Walk<'a, 'b> {
    centre: &'a Centre<'a>,
    d: Tensor,
    /// The largest fall seen.
    lowest: f64,
    observe: &'a mut Observe<'b>,
}

impl Walk<'_, '_> {
    /// Whether the loss is below L(θ) after a step; a loss that is not a number is not.
    fn falls(&mut self, eta: f64) -> Result<bool> {
        let rise = self.centre.rise(&(&self.d * eta)?)?;
        (self.observe)(FORWARD)?;
        self.lowest = self.lowest.min(rise);
        Ok(rise < 0.0)
    }

    /// A step that falls and one at most twice as long that does not.
    fn bracket(&mut self, first: f64) -> Result<Option<(f64, f64)>> {
        let mut eta = first;
        let falling = self.falls(eta)?;
        for _ in 0..MOST_BRACKETS {
            let (shorter, longer) = if falling { (eta, 2.0 * eta) } else { (eta / 2.0, eta) };
            let next = if falling { longer } else { shorter };
            if self.falls(next)? != falling {
                return Ok(Some((shorter, longer)));
            }
            eta = next;
        }
        Ok(None)
    }

    fn bisect(&mut self, mut low: f64, mut high: f64) -> Result<(f64, f64)> {
        while high - low > 2.0 * TOLERANCE * high {
            let middle = (low + high) / 2.0;
            if self.falls(middle)? { low = middle } else { high = middle }
        }
        Ok((low, high))
    }
}
