//! How the learning rate moves with the steps.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use basin_objective::{Error, nearest};
use serde::{Deserialize, Serialize};

/// What happens to the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// Nothing.
    Constant,
    /// It is multiplied by `factor` after every `epochs` epochs.
    Step {
        /// Epochs between two multiplications.
        epochs: u64,
        /// The factor.
        factor: f64,
    },
    /// Half a cosine from the full rate to zero over the whole run (Loshchilov and Hutter, 2017).
    Cosine,
}

/// A decay behind a linear warm-up.
///
/// ```
/// use basin_training::{Decay, Schedule};
///
/// let schedule = Schedule { decay: "step:10:0.5".parse()?, warmup_epochs: 1.0 };
/// assert_eq!(schedule.factor(0, 4, 20), 0.25);
/// assert_eq!(schedule.factor(4 * 10, 4, 20), 0.5);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What happens after the warm-up, written `constant`, `step:EPOCHS:FACTOR` or `cosine`.
    pub decay: Decay,
    /// Epochs over which the rate rises linearly to its full value.
    pub warmup_epochs: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { decay: Decay::Constant, warmup_epochs: 0.0 }
    }
}

impl Schedule {
    /// What the learning rate of a step, counted from 0, is multiplied by.
    pub fn factor(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        let warmup_steps = self.warmup_epochs * steps_per_epoch as f64;
        let warmup = if warmup_steps > 0.0 { ((step + 1) as f64 / warmup_steps).min(1.0) } else { 1.0 };
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Step { epochs, factor } => {
                let times = step / steps_per_epoch.max(1) / epochs.max(1);
                factor.powi(i32::try_from(times).unwrap_or(i32::MAX))
            }
            Decay::Cosine => {
                let progress = step as f64 / (steps_per_epoch * epochs).max(1) as f64;
                0.5 * (1.0 + (PI * progress.min(1.0)).cos())
            }
        };
        warmup * decay
    }
}

impl fmt::Display for Decay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Step { epochs, factor } => write!(f, "step:{epochs}:{factor}"),
            Self::Cosine => f.write_str("cosine"),
        }
    }
}

impl FromStr for Decay {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["constant"] => Ok(Self::Constant),
            ["cosine"] => Ok(Self::Cosine),
            ["step", epochs, factor] => {
                let epochs = epochs.parse().ok().filter(|&epochs| epochs >= 1);
                let factor = factor.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
                epochs.zip(factor).map(|(epochs, factor)| Self::Step { epochs, factor }).ok_or_else(|| {
                    Error::input(
                        format!("schedule `{text}`: expected epochs of at least 1 and a positive factor"),
                        "write it like `step:30:0.1`",
                    )
                })
            }
            _ => {
                let hint = match nearest(parts[0], &["constant", "step", "cosine"]) {
                    Some("step") => "did you mean `step:30:0.1`?".into(),
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "known: constant, step:EPOCHS:FACTOR, cosine".into(),
                };
                Err(Error::input(format!("unknown schedule `{text}`"), hint))
            }
        }
    }
}

impl Serialize for Decay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_to_the_full_rate_at_its_last_step() {
        let schedule = Schedule { decay: Decay::Constant, warmup_epochs: 2.0 };
        let factors: Vec<f64> = (0..10).map(|step| schedule.factor(step, 4, 5)).collect();
        assert_eq!(factors, [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_cosine_falls_from_one_to_zero() {
        let schedule = Schedule { decay: Decay::Cosine, warmup_epochs: 0.0 };
        assert_eq!(schedule.factor(0, 10, 4), 1.0);
        assert!((schedule.factor(20, 10, 4) - 0.5).abs() < 1e-15);
        assert!(schedule.factor(39, 10, 4) < 0.01);
    }

    #[test]
    fn steps_multiply_after_whole_epochs() {
        let schedule = Schedule { decay: "step:2:0.1".parse().unwrap(), warmup_epochs: 0.0 };
        assert_eq!(schedule.factor(19, 10, 6), 1.0);
        assert_eq!(schedule.factor(20, 10, 6), 0.1);
        assert!((schedule.factor(59, 10, 6) - 0.01).abs() < 1e-15);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "step", "step:0:0.1", "step:2:-1", "step:2:nan", "cosin", "constant:1"] {
            assert!(text.parse::<Decay>().unwrap_err().is_bad_input(), "{text}");
        }
    }
}
