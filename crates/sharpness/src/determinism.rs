//! Whether an objective is a function at all: the same loss and gradient each time it is evaluated.

use basin_objective::{Error, Objective, Result};
use basin_tape::vector;
use candle_core::Tensor;

/// L(θ) and ∇L(θ), after it is sure that a second evaluation gives the same bits and that all are finite.
///
/// Every measure multiplies with derivatives again and again at one θ; data that is shuffled or augmented on the way,
/// dropout or a device that sums in another order each time would make them those of different functions.
///
/// ```
/// use basin_objective::Quadratic;
/// use candle_core::{Device, Tensor};
///
/// let quadratic = Quadratic::new(Tensor::new(&[[2.0]], &Device::Cpu)?, Tensor::new(&[1.0], &Device::Cpu)?)?;
/// let (loss, _) = basin_sharpness::deterministic_gradient(&quadratic, &Tensor::new(&[3.0], &Device::Cpu)?)?;
/// assert_eq!(loss, 4.0);
/// assert!(basin_sharpness::deterministic_gradient(&quadratic, &Tensor::new(&[f64::NAN], &Device::Cpu)?).is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When loss or gradient are not finite, or differ between two evaluations.
pub fn deterministic_gradient(objective: &dyn Objective, theta: &Tensor) -> Result<(f64, Tensor)> {
    let (loss, gradient) = objective.gradient(theta)?;
    // A number times 0 is 0 if it is finite, and NaN if not.
    let finite = vector::total(&(&gradient * 0.0)?)? == 0.0;
    if !loss.is_finite() || !finite {
        let what = if loss.is_finite() { "gradient has elements that are not finite" } else { "loss is not finite" };
        return Err(Error::input(
            format!("at these weights the {what} (loss {loss})"),
            "check the weights, the scale of the inputs and the loss, or try `--dtype f64`",
        ));
    }
    let (again, repeated) = objective.gradient(theta)?;
    let differing = vector::total(&gradient.ne(&repeated)?)?;
    if loss.to_bits() != again.to_bits() || differing > 0.0 {
        return Err(Error::input(
            format!(
                "two evaluations at the same weights differ: losses {loss} and {again}, {differing} elements of the gradient"
            ),
            "an objective must give the same each time: no shuffling, augmentation or dropout; try `--device cpu`",
        ));
    }
    Ok((loss, gradient))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use basin_objective::{Evaluation, Linearized, Quadratic};
    use candle_core::{DType, Device};

    use super::*;

    /// A loss that moves a little each time, as dropout or a shuffled batch would make it.
    struct Shuffled {
        quadratic: Quadratic,
        evaluations: AtomicU32,
    }

    impl Objective for Shuffled {
        fn dimension(&self) -> usize {
            self.quadratic.dimension()
        }
        fn samples(&self) -> usize {
            1
        }
        fn device(&self) -> &Device {
            self.quadratic.device()
        }
        fn dtype(&self) -> DType {
            self.quadratic.dtype()
        }
        fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
            self.quadratic.evaluate(theta)
        }
        fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
            let (loss, gradient) = self.quadratic.gradient(theta)?;
            let moved = f64::from(self.evaluations.fetch_add(1, Ordering::Relaxed)) * 1e-15;
            Ok((loss, (gradient + moved)?))
        }
        fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
            self.quadratic.sample_losses(theta)
        }
        fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
            self.quadratic.linearize(theta)
        }
    }

    #[test]
    fn an_objective_that_changes_between_evaluations_is_refused() -> Result<()> {
        let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
        let quadratic = Quadratic::new(hessian, Tensor::zeros(2, DType::F64, &Device::Cpu)?)?;
        let shuffled = Shuffled { quadratic, evaluations: AtomicU32::new(0) };
        let theta = Tensor::new(&[0.5, 0.25], &Device::Cpu)?;
        match deterministic_gradient(&shuffled, &theta) {
            Err(error) => assert!(error.is_bad_input() && error.to_string().contains("differ"), "{error}"),
            Ok(_) => panic!("two different gradients passed"),
        }
        Ok(())
    }
}
