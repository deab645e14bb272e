//! Average-case sharpness: E[L(θ + δ)] − L(θ) over random δ.

use basin_objective::random::stream;
use basin_objective::{Error, Result};
use basin_records::sharpness::{Measure, Measurement, Norm};

use super::{Ball, Centre, FORWARD, Observe};
use crate::statistics::Moments;

/// E[L(θ + δ)] − L(θ) with δ normal, of standard deviation ρ c elementwise, for the ℓ₂ norm, and uniform in ±ρ c for ℓ∞
/// (Andriushchenko et al., ICML 2023). ρ is the scale of each weight's noise: ‖δ∘c⁻¹‖₂ is about ρ√P.
///
/// `pairs` independent δ are drawn and each is taken with both signs: what is averaged,
/// ½ (L(θ + δ) + L(θ − δ)) − L(θ), is free of the slope at θ, and to second order ½ δᵀHδ with the mean ½ ρ² Σ cᵢ² Hᵢᵢ for
/// ℓ₂ and a third of it for ℓ∞. `stderr` is the standard deviation over the pairs by √pairs.
///
/// ```
/// use basin_objective::Quadratic;
/// use basin_records::sharpness::Norm;
/// use basin_sharpness::neighbourhood::{Ball, Centre, average_case};
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let centre = Centre::new(&quadratic, &Tensor::new(&[1.0, 1.0], &Device::Cpu)?)?;
/// let ball = Ball { norm: Norm::L2, adaptive: false, rho: 0.1 };
/// let found = average_case(&centre, &ball, 200, 0, &mut |_| Ok(()))?;
/// assert!((found.value - 0.03).abs() < 5.0 * found.stderr.unwrap_or(0.0));
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When ρ is not positive, there are fewer than two pairs, or the objective fails.
pub fn average_case(
    centre: &Centre<'_>,
    ball: &Ball,
    pairs: usize,
    seed: u64,
    observe: &mut Observe<'_>,
) -> Result<Measurement> {
    ball.check()?;
    if pairs < 2 {
        return Err(Error::input(format!("the number of draws is {pairs}"), "give at least 2: one has no spread"));
    }
    let mut rises = Vec::with_capacity(pairs);
    for pair in 0..pairs {
        let u = ball.noise(&mut stream(seed, "average-case sharpness", &pair.to_string()), centre.theta())?;
        let delta = ball.scaled(&u, centre.theta())?;
        let forth = centre.rise(&delta)?;
        observe(FORWARD)?;
        let back = centre.rise(&delta.neg()?)?;
        observe(FORWARD)?;
        rises.push((forth + back) / 2.0);
    }
    let moments = Moments::of(&rises);
    let finite = moments.mean().is_finite();
    Ok(Measurement {
        rho: Some(ball.rho),
        stderr: Some(moments.standard_error()),
        draws: Some(pairs as u64),
        converged: finite,
        reason: if finite {
            "mean over random steps, each with both signs".into()
        } else {
            "the loss is not finite at some random steps; give a smaller radius".into()
        },
        ..Measurement::new(measure(ball), moments.mean())
    })
}

fn measure(ball: &Ball) -> Measure {
    match (ball.adaptive, ball.norm) {
        (false, Norm::L2) => Measure::AverageL2,
        (false, Norm::Linf) => Measure::AverageLinf,
        (true, Norm::L2) => Measure::AdaptiveAverageL2,
        (true, Norm::Linf) => Measure::AdaptiveAverageLinf,
    }
}
