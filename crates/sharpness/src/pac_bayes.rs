//! The noise scale of PAC-Bayesian flatness: how much noise on the weights the accuracy bears.

use basin_objective::random::stream;
use basin_objective::{Error, Result};
use basin_records::sharpness::{Measure, Measurement};
use candle_core::Tensor;
use rand_distr::{Distribution, StandardNormal};

use crate::neighbourhood::{Centre, FORWARD, Observe};
use crate::statistics::Moments;

/// The drop of accuracy that defines σ (Jiang et al., "Fantastic generalization measures and where to find them", ICLR
/// 2020).
pub const ACCURACY_DROP: f64 = 0.1;
/// ε, the standard deviation of noise on a zero weight where noise is in proportion to weights (Dziugaite et al., "In
/// search of robust measures of generalization", NeurIPS 2020).
pub const MAGNITUDE_FLOOR: f64 = 1e-3;
/// σ from which the search doubles or halves.
const FIRST: f64 = 0.05;
/// Doublings or halvings until σ is bracketed.
const MOST_BRACKETS: usize = 20;
/// Relative half-width of the last bracket of σ: well below the standard error of usual numbers of draws.
const TOLERANCE: f64 = 5e-3;
/// The slope of the drop is taken between σ/SLOPE and σ·SLOPE: wide enough for many samples to change sides.
const SLOPE: f64 = 1.2;

/// How the noise is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// The standard deviation σ for each weight.
    Equal,
    /// √(σ² θᵢ² + ε²) for weight θᵢ, ε = 10⁻³.
    Magnitude,
}

/// The σ at which E[accuracy(θ + δ)] is 0.1 below the accuracy at θ, δ normal with independent entries; 1/σ² is the
/// flatness of Jiang et al. (2020).
///
/// The same `draws` standard normal vectors serve every σ, so that their mean drop is a function of σ whose crossing is
/// bracketed and bisected. σ is as uncertain as that crossing: `stderr` is the standard error of the mean drop at σ, by the
/// slope of the mean drop there. `residual` is half the last bracket. Not converged, with the reason, where no noise tried
/// costs that much accuracy or all of it does.
///
/// ```
/// use basin_objective::data::{Dataset, Targets};
/// use basin_objective::models::Model;
/// use basin_objective::{LossSpec, Network, NetworkOptions};
/// use basin_sharpness::neighbourhood::Centre;
/// use basin_sharpness::{Noise, pac_bayes};
/// use candle_core::{DType, Device, Tensor};
///
/// // z = x on two unit vectors: noise moves z₀ − z₁ = ±1 with the standard deviation 2σ, so that Φ(−1/(2σ)) = 0.1 go wrong.
/// let inputs = Tensor::new(&[[1.0_f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0_i64, 1], &Device::Cpu)?;
/// let data = Dataset::from_tensors("two points", inputs, Targets::classes(labels, 2))?;
/// let model = Model::new(&"mlp:2-2".parse()?, &[2], 2)?;
/// let buffers = model.initial_buffers(DType::F32)?;
/// let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, NetworkOptions::default())?;
/// let theta = Tensor::new(&[1.0_f32, 0.0, 0.0, 1.0, 0.0, 0.0], &Device::Cpu)?;
/// let found = pac_bayes(&Centre::new(&network, &theta)?, Noise::Equal, 400, 0, &mut |_| Ok(()))?;
/// assert!((found.value - 0.3902).abs() < 4.0 * found.stderr.unwrap_or(0.0));
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the objective has no accuracy, there are fewer than two draws, or the objective fails.
pub fn pac_bayes(
    centre: &Centre<'_>,
    noise: Noise,
    draws: usize,
    seed: u64,
    observe: &mut Observe<'_>,
) -> Result<Measurement> {
    let Some(accuracy) = centre.accuracy() else {
        return Err(Error::input("the objective has no accuracy to drop", "leave `pac-bayes` out, or use classes"));
    };
    if draws < 2 {
        return Err(Error::input(format!("the number of draws is {draws}"), "give at least 2: one has no spread"));
    }
    let measure = match noise {
        Noise::Equal => Measure::PacBayes,
        Noise::Magnitude => Measure::AdaptivePacBayes,
    };
    let mut trials = Trials { centre, noise, draws, seed, accuracy, observe };
    let (low, high) = match trials.bracket()? {
        Bracket::Between(low, high) => trials.bisect(low, high)?,
        Bracket::None { sigma, reason } => {
            return Ok(Measurement {
                draws: Some(draws as u64),
                lower_bound: sigma > FIRST,
                converged: false,
                reason: reason.into(),
                ..Measurement::new(measure, sigma)
            });
        }
    };
    let sigma = (low + high) / 2.0;
    let rise = trials.drop(sigma * SLOPE)?.mean() - trials.drop(sigma / SLOPE)?.mean();
    let slope = rise / (sigma * (SLOPE - 1.0 / SLOPE));
    let stderr = trials.drop(sigma)?.standard_error() / slope;
    let firm = slope > 0.0;
    Ok(Measurement {
        stderr: firm.then_some(stderr),
        residual: Some((high - low) / 2.0),
        draws: Some(draws as u64),
        converged: firm,
        reason: if firm {
            "bracketed and bisected".into()
        } else {
            "the accuracy does not fall with the noise around σ; give more draws".into()
        },
        ..Measurement::new(measure, sigma)
    })
}

/// Noise on the weights, the same draws at every σ.
struct Trials<'a, 'b> {
    centre: &'a Centre<'a>,
    noise: Noise,
    draws: usize,
    seed: u64,
    accuracy: f64,
    observe: &'a mut Observe<'b>,
}

enum Bracket {
    /// The mean drop is below 0.1 at the first σ and not at the second.
    Between(f64, f64),
    /// No σ was found; the last one tried.
    None { sigma: f64, reason: &'static str },
}

impl Trials<'_, '_> {
    /// The drop of accuracy at σ over the draws.
    fn drop(&mut self, sigma: f64) -> Result<Moments> {
        let deviations = self.deviations(sigma)?;
        let mut drops = Vec::with_capacity(self.draws);
        for draw in 0..self.draws {
            let delta = (self.normal(draw)? * &deviations)?;
            let accuracy = self.centre.evaluate(&delta)?.accuracy.filter(|accuracy| !accuracy.is_nan());
            (self.observe)(FORWARD)?;
            // Outputs that are not numbers classify nothing.
            drops.push(self.accuracy - accuracy.unwrap_or(0.0));
        }
        Ok(Moments::of(&drops))
    }

    /// Standard deviations, not variances, of the noise.
    fn deviations(&self, sigma: f64) -> Result<Tensor> {
        let theta = self.centre.theta();
        Ok(match self.noise {
            Noise::Equal => theta.ones_like()?.affine(sigma, 0.0)?,
            Noise::Magnitude => theta.sqr()?.affine(sigma * sigma, MAGNITUDE_FLOOR * MAGNITUDE_FLOOR)?.sqrt()?,
        })
    }

    fn normal(&self, draw: usize) -> Result<Tensor> {
        let mut rng = stream(self.seed, "PAC-Bayesian noise", &draw.to_string());
        let theta = self.centre.theta();
        let numbers: Vec<f64> = (0..theta.elem_count()).map(|_| StandardNormal.sample(&mut rng)).collect();
        Ok(Tensor::from_vec(numbers, theta.dims(), theta.device())?)
    }

    fn bracket(&mut self) -> Result<Bracket> {
        let mut sigma = FIRST;
        let borne = self.bears(sigma)?;
        for _ in 0..MOST_BRACKETS {
            let next = if borne { 2.0 * sigma } else { sigma / 2.0 };
            if self.bears(next)? != borne {
                return Ok(Bracket::Between(sigma.min(next), sigma.max(next)));
            }
            sigma = next;
        }
        let reason = match borne {
            true => "no noise tried costs 0.1 of accuracy",
            false => "all noise tried costs 0.1 of accuracy",
        };
        Ok(Bracket::None { sigma, reason })
    }

    fn bears(&mut self, sigma: f64) -> Result<bool> {
        Ok(self.drop(sigma)?.mean() < ACCURACY_DROP)
    }

    fn bisect(&mut self, mut low: f64, mut high: f64) -> Result<(f64, f64)> {
        while high - low > 2.0 * TOLERANCE * high {
            let middle = (low + high) / 2.0;
            if self.bears(middle)? { low = middle } else { high = middle }
        }
        Ok((low, high))
    }
}
