//! The ball of a neighbourhood: projection, steepest directions and random points in u = δ∘c⁻¹.

use basin_objective::{Error, Result};
use basin_records::sharpness::Norm;
use basin_tape::vector;
use candle_core::Tensor;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// { δ : ‖δ∘c⁻¹‖ ≤ ρ } in the ℓ₂ or ℓ∞ norm, with c = 1, or c = |θ| where it is adaptive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ball {
    /// The norm.
    pub norm: Norm,
    /// Whether distances are relative to |θᵢ|; weights that are zero then do not move.
    pub adaptive: bool,
    /// The radius ρ.
    pub rho: f64,
}

impl Ball {
    /// Whether there is such a ball.
    ///
    /// # Errors
    /// When ρ is not positive and finite.
    pub fn check(&self) -> Result<()> {
        if self.rho.is_finite() && self.rho > 0.0 {
            return Ok(());
        }
        Err(Error::input(format!("ρ is {}", self.rho), "give a positive radius"))
    }

    /// c∘x: δ of u, or the slope in u of a gradient.
    pub(super) fn scaled(&self, x: &Tensor, theta: &Tensor) -> Result<Tensor> {
        Ok(if self.adaptive { (x * theta.abs()?)? } else { x.clone() })
    }

    /// The point of the ball nearest to u, in the metric of u.
    pub(super) fn project(&self, u: &Tensor) -> Result<Tensor> {
        match self.norm {
            Norm::Linf => Ok(u.clamp(-self.rho, self.rho)?),
            Norm::L2 => {
                let length = vector::dot(u, u)?.sqrt();
                Ok(if length > self.rho { (u * (self.rho / length))? } else { u.clone() })
            }
        }
    }

    /// The step of norm 1 along which the first-order rise is the largest: s/‖s‖₂, or sign s; none where the slope s is
    /// zero or not finite.
    pub(super) fn steepest(&self, slope: &Tensor) -> Result<Option<Tensor>> {
        let rise = self.dual_norm(slope)?;
        if !(rise.is_finite() && rise > 0.0) {
            return Ok(None);
        }
        Ok(Some(match self.norm {
            Norm::L2 => (slope / rise)?,
            Norm::Linf => slope.sign()?,
        }))
    }

    /// The largest first-order rise over steps of norm 1: ‖s‖₂, or ‖s‖₁.
    pub(super) fn dual_norm(&self, slope: &Tensor) -> Result<f64> {
        Ok(match self.norm {
            Norm::L2 => vector::dot(slope, slope)?.sqrt(),
            Norm::Linf => vector::total(&slope.abs()?)?,
        })
    }

    /// A point drawn uniformly from the ball, as u.
    pub(super) fn uniform(&self, rng: &mut impl Rng, like: &Tensor) -> Result<Tensor> {
        let point = self.noise(rng, like)?;
        Ok(match self.norm {
            Norm::Linf => point,
            Norm::L2 => {
                let share = rng.random::<f64>().powf(1.0 / like.elem_count().max(1) as f64);
                let length = vector::dot(&point, &point)?.sqrt();
                (point * (share * self.rho / length.max(f64::MIN_POSITIVE)))?
            }
        })
    }

    /// The noise of the average case, as u: normal with standard deviation ρ for ℓ₂, uniform in ±ρ for ℓ∞.
    pub(super) fn noise(&self, rng: &mut impl Rng, like: &Tensor) -> Result<Tensor> {
        let rho = self.rho;
        let mut draw = || match self.norm {
            Norm::L2 => rho * Distribution::<f64>::sample(&StandardNormal, rng),
            Norm::Linf => rho * (2.0 * rng.random::<f64>() - 1.0),
        };
        let numbers: Vec<f64> = (0..like.elem_count()).map(|_| draw()).collect();
        Ok(Tensor::from_vec(numbers, like.dims(), like.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use basin_objective::random::stream;
    use candle_core::Device;

    fn vector_of(x: &Tensor) -> Vec<f64> {
        x.to_vec1().expect("f64")
    }

    const L2: Ball = Ball { norm: Norm::L2, adaptive: false, rho: 2.0 };
    const LINF: Ball = Ball { norm: Norm::Linf, adaptive: true, rho: 0.5 };

    #[test]
    fn projections_are_the_nearest_points() {
        let u = Tensor::new(&[3.0, -4.0, 0.0], &Device::Cpu).expect("a tensor");
        assert_eq!(vector_of(&L2.project(&u).expect("u")), [1.2000000000000002, -1.6, 0.0]);
        assert_eq!(vector_of(&LINF.project(&u).expect("u")), [0.5, -0.5, 0.0]);
        let inside = (&u / 10.0).expect("a tensor");
        assert_eq!(vector_of(&L2.project(&inside).expect("u")), vector_of(&inside));
    }

    #[test]
    fn a_slope_of_zero_or_of_nan_has_no_steepest_direction() {
        for slope in [0.0, f64::NAN, f64::INFINITY] {
            let slope = Tensor::new(&[0.0, slope], &Device::Cpu).expect("a tensor");
            assert!(L2.steepest(&slope).expect("none").is_none() && LINF.steepest(&slope).expect("none").is_none());
        }
    }

    /// Regression against random directions of a peer whose entries were all positive, so that they shared one direction:
    /// the mean entry over many draws is zero, both signs appear in each draw, and different draws are nearly orthogonal.
    #[test]
    fn random_points_have_both_signs_and_no_common_direction() {
        let like = Tensor::zeros(1000, candle_core::DType::F64, &Device::Cpu).expect("a tensor");
        for ball in [L2, LINF] {
            let draws: Vec<Vec<f64>> = (0..20)
                .map(|draw| {
                    let mut rng = stream(0, "test", &draw.to_string());
                    vector_of(&ball.uniform(&mut rng, &like).expect("a draw"))
                })
                .collect();
            for (i, a) in draws.iter().enumerate() {
                let positive = a.iter().filter(|x| **x > 0.0).count();
                assert!((400..600).contains(&positive), "{positive}");
                for b in &draws[..i] {
                    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
                    // Five standard deviations of 1/√1000.
                    assert!(cosine.abs() < 0.16, "{cosine}");
                }
                let within = match ball.norm {
                    Norm::L2 => a.iter().map(|x| x * x).sum::<f64>().sqrt(),
                    Norm::Linf => a.iter().fold(0.0_f64, |most, x| most.max(x.abs())),
                };
                assert!(within <= ball.rho && within > 0.9 * ball.rho, "{within}");
            }
        }
    }
}
