//! Training on samples that are moved to where their loss is larger.

use basin_objective::models::{Model, TrainingProgram};
use basin_objective::{Error, Result};
use basin_tape::InputGradient;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// How far all steps together may go, in radii: enough to cross the box from any place in it.
const REACH: f64 = 2.5;

/// Adversarial training: min_θ E max_{‖δ‖∞ ≤ ε} ℓ(θ; x + δ) with the radius ε.
///
/// The maximum is sought from δ = 0 by signed gradient steps, each projected on the box: δ ← clip(δ + α sign ∇ₓℓ(θ; x + δ), ±ε) with
/// α = 2.5 ε/steps (Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to adversarial attacks",
/// 2018). One step ends at δ = ε sign ∇ₓℓ(θ; x) (Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples",
/// 2015). Data have no range here that x + δ would be clipped to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adversarial {
    /// ε, the most that a number of a sample moves, in the units in which the model takes it; nothing moves when 0.
    pub radius: f64,
    /// The number of gradient steps to the maximum.
    pub steps: usize,
}

impl Default for Adversarial {
    fn default() -> Self {
        Self { radius: 0.0, steps: 1 }
    }
}

impl Adversarial {
    /// Whether samples are moved.
    pub fn is_on(&self) -> bool {
        self.radius > 0.0
    }

    /// Refuses a radius or a number of steps that is none.
    ///
    /// # Errors
    /// When the radius is negative or no number, or there is no step.
    pub fn check(&self) -> Result<()> {
        if !(0.0..f64::INFINITY).contains(&self.radius) {
            return Err(Error::input(
                format!("the radius of the adversary is {}, expected at least 0", self.radius),
                "give how far each number of a sample may move, such as 0.1",
            ));
        }
        match self.steps {
            0 => Err(Error::input("the adversary takes 0 steps", "give at least 1")),
            _ => Ok(()),
        }
    }

    /// x + δ for samples x, when `gradient` is that of their losses.
    ///
    /// ```
    /// use basin_training::Adversarial;
    /// use candle_core::{Device, Tensor};
    ///
    /// // The loss grows with the first number, falls with the second and does not see the third.
    /// let x = Tensor::new(&[[1.0, 1.0, 1.0]], &Device::Cpu)?;
    /// let slope = Tensor::new(&[[3.0, -0.2, 0.0]], &Device::Cpu)?;
    /// let moved = Adversarial { radius: 0.5, steps: 1 }.moved(&x, |_| Ok(slope.clone()))?;
    /// assert_eq!(moved.to_vec2::<f64>()?, [[1.5, 0.5, 1.0]]);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the gradient fails or is not of the samples' shape.
    pub fn moved(&self, x: &Tensor, gradient: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let length = REACH * self.radius / self.steps as f64;
        let mut delta = x.zeros_like()?;
        for _ in 0..self.steps {
            let step = (gradient(&(x + &delta)?)?.sign()? * length)?;
            delta = (delta + step)?.clamp(-self.radius, self.radius)?;
        }
        Ok((x + delta)?)
    }
}

/// What finds the perturbations of the samples of a model.
#[derive(Debug)]
pub(crate) struct Adversary {
    pub(crate) settings: Adversarial,
    pub(crate) program: InputGradient,
}

impl Adversary {
    /// The adversary of a model that is trained by a program.
    ///
    /// # Errors
    /// When samples are tokens, which do not move.
    pub(crate) fn new(settings: Adversarial, model: &Model, program: TrainingProgram) -> Result<Self> {
        if model.takes_tokens() {
            return Err(Error::input(
                format!("adversarial training moves samples a little, and those of `{}` are tokens", model.name()),
                "leave `--adversarial` out, or train a model of images or vectors",
            ));
        }
        Ok(Self { settings, program: program.input_gradient()? })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use candle_core::Device;

    use super::*;

    fn moved(radius: f64, steps: usize, x: f64, gradient: impl Fn(f64) -> f64) -> f64 {
        let x = Tensor::new(&[x], &Device::Cpu).unwrap();
        let of = |x: &Tensor| Ok(Tensor::new(&[gradient(x.to_vec1::<f64>()?[0])], &Device::Cpu)?);
        Adversarial { radius, steps }.moved(&x, of).unwrap().to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn steps_follow_the_sign_and_stay_in_the_box() {
        assert_eq!(moved(0.5, 1, 2.0, |_| 1e-9), 2.5);
        assert_eq!(moved(0.5, 1, 2.0, |_| -7.0), 1.5);
        assert_eq!(moved(0.5, 1, 2.0, |_| 0.0), 2.0);
        // Four steps of 2.5 · 1/4 each way: a constant slope leads to the face of the box.
        assert_eq!(moved(1.0, 4, 0.0, |_| 1.0), 1.0);
        // −(x − 0.2)² has its maximum inside: 0.625, then back and forth around 0.2.
        assert_eq!(moved(1.0, 4, 0.0, |x| 0.2 - x), 0.0);
        assert_eq!(moved(1.0, 3, 0.0, |x| -x - 0.1), -2.5 / 3.0);
    }

    #[test]
    fn nonsense_is_refused() {
        for (radius, steps) in [(-0.1, 1), (f64::NAN, 1), (f64::INFINITY, 1), (0.1, 0)] {
            assert!(Adversarial { radius, steps }.check().unwrap_err().is_bad_input());
        }
        assert!(Adversarial::default().check().is_ok() && !Adversarial::default().is_on());
    }
}
