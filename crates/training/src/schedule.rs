//! How the learning rate follows the epochs and the batch size.

use std::f64::consts::PI;
use std::fmt;
use std::ops::Range;
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
    /// (1 − t/T)^power at the epoch t of T: with power 2 that of LARS (You, Gitman and Ginsburg, 2017).
    Poly {
        /// The power.
        power: f64,
    },
}

impl Decay {
    /// The factor at a `progress` in epochs of a run of `epochs`.
    fn factor(self, progress: f64, epochs: u64) -> f64 {
        let share = (progress / epochs as f64).min(1.0);
        match self {
            Self::Constant => 1.0,
            Self::Step { epochs, factor } => factor.powi((progress / epochs as f64) as i32),
            Self::Cosine => 0.5 * (1.0 + (PI * share).cos()),
            Self::Poly { power } => (1.0 - share).powf(power),
        }
    }
}

/// How the learning rate follows the batch size B, where the one that was given is that of a reference batch size B₀.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// Not at all.
    #[default]
    None,
    /// In proportion, B/B₀ (Goyal et al., "Accurate, large minibatch SGD", 2017).
    Linear,
    /// With the root, √(B/B₀), which keeps the variance of a step (Krizhevsky, 2014; Hoffer, Hubara and Soudry, 2017).
    Sqrt,
    /// With the root, and the warm-up's epochs in proportion: linear-epoch gradual warm-up (You et al., "Large-batch
    /// training for LSTM and beyond", 2019).
    Legw,
}

impl Scaling {
    const ALL: [Self; 4] = [Self::None, Self::Linear, Self::Sqrt, Self::Legw];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Linear => "linear",
            Self::Sqrt => "sqrt",
            Self::Legw => "legw",
        }
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scaling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|scaling| scaling.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let hint = match nearest(text, &names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known: {}", names.join(", ")),
            };
            Error::input(format!("unknown scaling `{text}` of the learning rate"), hint)
        })
    }
}

/// A decay behind a linear warm-up, of a rate that is scaled with the batch size.
///
/// ```
/// use basin_training::{Scaling, Schedule};
///
/// let schedule = Schedule { decay: "step:10:0.5".parse()?, warmup_epochs: 1.0, ..Schedule::default() };
/// assert_eq!(schedule.factor(0.0..0.25, 20, 64), 0.25);
/// assert_eq!(schedule.factor(10.0..10.25, 20, 64), 0.5);
///
/// let legw = Schedule { scaling: Scaling::Legw, reference_batch_size: Some(16), ..schedule };
/// assert_eq!(legw.scale(64), 2.0);
/// assert_eq!(legw.factor(0.0..0.25, 20, 64), 0.0625);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// What happens after the warm-up, written `constant`, `step:EPOCHS:FACTOR`, `cosine` or `poly:POWER`.
    pub decay: Decay,
    /// Epochs over which the rate rises linearly to its full value.
    pub warmup_epochs: f64,
    /// How the rate follows the batch size of the settings.
    pub scaling: Scaling,
    /// The batch size B₀ for which learning rate and warm-up are given; goes with a scaling.
    pub reference_batch_size: Option<usize>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { decay: Decay::Constant, warmup_epochs: 0.0, scaling: Scaling::None, reference_batch_size: None }
    }
}

impl Schedule {
    /// Refuses values outside their ranges, and a scaling without a reference.
    ///
    /// # Errors
    /// Names the setting, what was expected and what was found.
    pub fn check(&self) -> Result<(), Error> {
        let warmup = self.warmup_epochs;
        if !(warmup.is_finite() && warmup >= 0.0) {
            let message = format!("the warm-up lasts {warmup} epochs, expected 0 or a positive number");
            return Err(Error::input(message, "give a number of epochs such as 5"));
        }
        match (self.scaling, self.reference_batch_size) {
            (_, Some(0)) => Err(Error::input("the reference batch size is 0", "give at least 1")),
            (Scaling::None, Some(size)) => Err(Error::input(
                format!("nothing follows from the reference batch size {size} without a scaling"),
                "add a scaling such as `linear`, or leave the reference out",
            )),
            (Scaling::Linear | Scaling::Sqrt | Scaling::Legw, None) => Err(Error::input(
                "a scaling of the learning rate needs the batch size for which the rate is given",
                "add it, such as `--reference-batch-size 256`",
            )),
            (Scaling::Legw, _) if warmup == 0.0 => Err(Error::input(
                "legw lengthens the warm-up, and there is none",
                "give the warm-up of the reference batch size, such as `--warmup 0.5`, or use the scaling `sqrt`",
            )),
            _ => Ok(()),
        }
    }

    /// What the given learning rate is multiplied by at a batch size: 1, B/B₀ or √(B/B₀).
    pub fn scale(&self, batch_size: usize) -> f64 {
        match self.scaling {
            Scaling::None => 1.0,
            Scaling::Linear => self.multiple(batch_size),
            Scaling::Sqrt | Scaling::Legw => self.multiple(batch_size).sqrt(),
        }
    }

    /// What the full learning rate is multiplied by in a step, of which `step` is the part of the run in epochs that it goes
    /// through, in a run of `epochs` at a batch size. The warm-up counts to the step's end, so that no step has the rate 0,
    /// and the decay from its begin, so that the first one is whole.
    pub fn factor(&self, step: Range<f64>, epochs: u64, batch_size: usize) -> f64 {
        let warmup_epochs = match self.scaling {
            Scaling::Legw => self.warmup_epochs * self.multiple(batch_size),
            Scaling::None | Scaling::Linear | Scaling::Sqrt => self.warmup_epochs,
        };
        let warmup = if warmup_epochs > 0.0 { (step.end / warmup_epochs).min(1.0) } else { 1.0 };
        warmup * self.decay.factor(step.start, epochs)
    }

    /// B/B₀.
    fn multiple(&self, batch_size: usize) -> f64 {
        self.reference_batch_size.map_or(1.0, |reference| batch_size as f64 / reference as f64)
    }
}

impl fmt::Display for Decay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Step { epochs, factor } => write!(f, "step:{epochs}:{factor}"),
            Self::Cosine => f.write_str("cosine"),
            Self::Poly { power } => write!(f, "poly:{power}"),
        }
    }
}

impl FromStr for Decay {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let positive = |text: &str| text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0);
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["constant"] => Ok(Self::Constant),
            ["cosine"] => Ok(Self::Cosine),
            ["step", epochs, factor] => {
                let epochs = epochs.parse().ok().filter(|&epochs| epochs >= 1);
                epochs.zip(positive(factor)).map(|(epochs, factor)| Self::Step { epochs, factor }).ok_or_else(|| {
                    Error::input(
                        format!("schedule `{text}`: expected epochs of at least 1 and a positive factor"),
                        "write it like `step:30:0.1`",
                    )
                })
            }
            ["poly", power] => positive(power).map(|power| Self::Poly { power }).ok_or_else(|| {
                Error::input(format!("schedule `{text}`: expected a positive power"), "write it like `poly:2`")
            }),
            _ => {
                let hint = match nearest(parts[0], &["constant", "step", "cosine", "poly"]) {
                    Some("step") => "did you mean `step:30:0.1`?".into(),
                    Some("poly") => "did you mean `poly:2`?".into(),
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "known: constant, step:EPOCHS:FACTOR, cosine, poly:POWER".into(),
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

    /// Rounding of a few operations on numbers of order 1.
    const TOLERANCE: f64 = 1e-15;

    /// The factors of four steps an epoch.
    fn table(schedule: &Schedule, epochs: u64) -> Vec<f64> {
        let quarter = |step: u64| step as f64 / 4.0;
        (0..4 * epochs).map(|step| schedule.factor(quarter(step)..quarter(step + 1), epochs, 64)).collect()
    }

    fn assert_table(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE), "{found:?} {expected:?}");
    }

    fn decaying(decay: &str) -> Schedule {
        Schedule { decay: decay.parse().unwrap(), ..Schedule::default() }
    }

    #[test]
    fn warm_up_rises_to_the_full_rate_at_its_last_step() {
        let schedule = Schedule { warmup_epochs: 1.5, ..Schedule::default() };
        let rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 6.0];
        assert_table(&table(&schedule, 2), &rising.map(|sixths: f64| sixths / 6.0));
    }

    #[test]
    fn a_cosine_falls_from_one_to_zero() {
        let root = 0.5_f64.sqrt();
        assert_table(&table(&decaying("cosine"), 1), &[1.0, 0.5 * (1.0 + root), 0.5, 0.5 * (1.0 - root)]);
    }

    #[test]
    fn a_polynomial_falls_from_one_to_zero() {
        assert_table(&table(&decaying("poly:2"), 1), &[1.0, 0.5625, 0.25, 0.0625]);
        assert_table(&table(&decaying("poly:1"), 1), &[1.0, 0.75, 0.5, 0.25]);
        assert_eq!(decaying("poly:0.5").factor(3.0..4.0, 4, 64), 0.5);
    }

    #[test]
    fn steps_multiply_after_whole_epochs() {
        let expected: Vec<f64> = [1.0; 8].into_iter().chain([0.1; 8]).chain([0.01; 4]).collect();
        assert_table(&table(&decaying("step:2:0.1"), 5), &expected);
    }

    #[test]
    fn warm_up_and_decay_multiply() {
        let schedule = Schedule { warmup_epochs: 1.0, ..decaying("poly:1") };
        assert_table(&table(&schedule, 1), &[0.25, 0.5 * 0.75, 0.75 * 0.5, 0.25]);
    }

    #[test]
    fn rates_are_scaled_with_the_batch_size() {
        let scale = |scaling, batch_size| {
            Schedule { scaling, reference_batch_size: Some(256), ..Schedule::default() }.scale(batch_size)
        };
        for (batch_size, linear, root) in [(64, 0.25, 0.5), (256, 1.0, 1.0), (8192, 32.0, 32_f64.sqrt())] {
            assert_eq!(scale(Scaling::Linear, batch_size), linear);
            assert_eq!(scale(Scaling::Sqrt, batch_size), root);
            assert_eq!(scale(Scaling::Legw, batch_size), root);
        }
        assert_eq!(Schedule::default().scale(8192), 1.0);
    }

    #[test]
    fn legw_lengthens_the_warm_up_in_proportion() {
        let schedule =
            |scaling| Schedule { warmup_epochs: 0.5, scaling, reference_batch_size: Some(16), ..Schedule::default() };
        // Two epochs in place of half a one at four times the batch size.
        assert_table(&table(&schedule(Scaling::Legw), 2), &[0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]);
        assert_table(&table(&schedule(Scaling::Sqrt), 1), &[0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["constant", "step:30:0.1", "cosine", "poly:2", "poly:0.5"] {
            assert_eq!(text.parse::<Decay>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "step", "step:0:0.1", "step:2:-1", "step:2:nan", "cosin", "constant:1", "poly", "poly:0", "poly:inf"]
        {
            assert!(text.parse::<Decay>().unwrap_err().is_bad_input(), "{text}");
        }
        for text in ["", "lineal", "LINEAR", "root"] {
            assert!(text.parse::<Scaling>().unwrap_err().is_bad_input(), "{text}");
        }
        let scaled = |scaling, reference_batch_size, warmup_epochs| Schedule {
            scaling,
            reference_batch_size,
            warmup_epochs,
            ..Schedule::default()
        };
        for schedule in [
            scaled(Scaling::Linear, None, 0.0),
            scaled(Scaling::None, Some(256), 0.0),
            scaled(Scaling::Sqrt, Some(0), 0.0),
            scaled(Scaling::Legw, Some(256), 0.0),
            scaled(Scaling::None, None, f64::NAN),
            scaled(Scaling::None, None, -1.0),
        ] {
            assert!(schedule.check().unwrap_err().is_bad_input(), "{schedule:?}");
        }
        assert!(scaled(Scaling::Legw, Some(256), 0.5).check().is_ok());
    }
}
