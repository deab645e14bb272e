//! How the batch size moves with the epochs.

use std::fmt;
use std::str::FromStr;

use basin_objective::settings::Settings as Given;
use basin_objective::{Error, nearest};
use serde::{Deserialize, Serialize};

use crate::variance_test::VarianceTest;

/// The kinds by name.
const KINDS: [&str; 6] = ["constant", "first", "grow", "norm-test", "inner-product-test", "augmented-test"];

/// What the batch size of the settings becomes in the course of a run, written as a kind with those of its settings that differ
/// from the defaults:
///
/// | kind | settings | the batch |
/// |---|---|---|
/// | `constant` | | stays |
/// | `first` | `epochs=1,batch-size=512,learning-rate=0.005` | is another one in the first epochs, with a learning rate of its own |
/// | `grow` | `epochs=20,factor=2,rate=0.75,largest` | is multiplied by `factor` after every `epochs` epochs, the learning rate by `rate` |
/// | `norm-test` | `eta=0.1,interval=1,largest` | grows as [`VarianceTest`] asks |
/// | `inner-product-test` | `theta=0.5,interval=1,largest` | likewise |
/// | `augmented-test` | `theta=0.5,nu=1,interval=1,largest` | likewise |
///
/// `first` is that of Gao and Zhong ("Study on the large batch size training of neural networks based on the second order
/// gradient"), whose other epochs have batches of 8192 and the rate 0.05. The defaults of `grow` are those of AdaBatch
/// (Devarakonda, Naumov and Garland, 2017), and `grow:epochs=60,factor=5,rate=1` is "Don't decay the learning rate, increase the
/// batch size" (Smith, Kindermans, Ying and Le, 2018). Those of the tests are from the examples of AdAdaGrad. Without `largest`
/// a batch grows up to all samples; Smith et al. keep to a tenth of them.
///
/// ```
/// use basin_training::BatchSchedule;
///
/// let grow: BatchSchedule = "grow:epochs=10,factor=5,rate=1,largest=1000".parse()?;
/// let stages = [0, 9, 10, 20].map(|epoch| grow.stage(epoch, 128, 50_000));
/// assert_eq!(stages.map(|stage| stage.batch_size), [128, 128, 640, 1000]);
/// // What the batch no longer takes is left to the rate.
/// assert_eq!(stages[3].factor, 1000.0 / 3200.0);
/// assert!("grow:factor=0.5".parse::<BatchSchedule>()?.check(128).is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum BatchSchedule {
    /// The batch size stays.
    #[default]
    Constant,
    /// The first epochs have a batch size and a learning rate of their own.
    First {
        /// How many.
        epochs: u64,
        /// Their batch size.
        batch_size: usize,
        /// Their full learning rate.
        learning_rate: f64,
    },
    /// The batch grows after every so many epochs. After k of these times B fᵏ samples are wanted; those beyond the largest
    /// batch B' divide the learning rate instead: it is multiplied by rᵏ · B'/(B fᵏ), so that rate over batch, which sets the
    /// noise of descent, is the same with and without a bound.
    Grow {
        /// Epochs between two times.
        epochs: u64,
        /// f, above 1.
        factor: f64,
        /// r.
        rate: f64,
        /// The largest batch.
        largest: Option<usize>,
    },
    /// The batch grows as a test of its samples' gradients asks.
    Test {
        /// The test.
        test: VarianceTest,
        /// Optimizer steps between two tests.
        interval: u64,
        /// The largest batch.
        largest: Option<usize>,
    },
}

/// What a schedule sets for an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Samples of a step; where a test decides, those of the first one.
    pub batch_size: usize,
    /// What the learning rate is multiplied by.
    pub factor: f64,
    /// The full learning rate in place of the optimizer's.
    pub learning_rate: Option<f64>,
}

impl BatchSchedule {
    /// What holds in an epoch, counted from 0, of a run on `samples` with a `batch_size`.
    pub fn stage(&self, epoch: u64, batch_size: usize, samples: usize) -> Stage {
        let constant = Stage { batch_size, factor: 1.0, learning_rate: None };
        match *self {
            Self::First { epochs, batch_size, learning_rate } if epoch < epochs => {
                Stage { batch_size, learning_rate: Some(learning_rate), ..constant }
            }
            Self::Grow { epochs, factor, rate, largest } => {
                let times = i32::try_from(epoch / epochs).unwrap_or(i32::MAX);
                let wanted = batch_size as f64 * factor.powi(times);
                let batch_size = (wanted.round() as usize).min(largest.unwrap_or(samples));
                Stage { batch_size, factor: rate.powi(times) * batch_size as f64 / wanted, ..constant }
            }
            Self::Constant | Self::First { .. } | Self::Test { .. } => constant,
        }
    }

    /// The largest of the batches that are named, where a run has a `batch_size`.
    pub(crate) fn largest(&self, batch_size: usize) -> usize {
        match *self {
            Self::Constant => batch_size,
            Self::First { batch_size: first, .. } => batch_size.max(first),
            Self::Grow { largest, .. } | Self::Test { largest, .. } => largest.unwrap_or(batch_size),
        }
    }

    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, what was expected and what was found.
    pub fn check(&self, batch_size: usize) -> Result<(), Error> {
        let require = |fits: bool, name: &str, value: f64, range: &str| match fits {
            true => Ok(()),
            false => Err(Error::input(
                format!("batch schedule `{self}`: `{name}` is {value}, expected {range}"),
                "see docs/concepts/schedules.md for the settings of each kind",
            )),
        };
        let count = |name: &str, value: u64| require(value > 0, name, value as f64, "at least 1");
        let positive =
            |name: &str, value: f64| require(value.is_finite() && value > 0.0, name, value, "a positive number");
        let not_smaller = |largest: Option<usize>| match largest {
            Some(largest) if largest < batch_size => Err(Error::input(
                format!("batch schedule `{self}`: batches start with {batch_size} samples"),
                format!("give a `largest` of at least {batch_size}, or a smaller batch size"),
            )),
            _ => Ok(()),
        };
        match *self {
            Self::Constant => Ok(()),
            Self::First { epochs, batch_size, learning_rate } => {
                count("epochs", epochs)?;
                count("batch-size", batch_size as u64)?;
                positive("learning-rate", learning_rate)
            }
            Self::Grow { epochs, factor, rate, largest } => {
                count("epochs", epochs)?;
                require(factor.is_finite() && factor > 1.0, "factor", factor, "a number above 1")?;
                positive("rate", rate)?;
                not_smaller(largest)
            }
            Self::Test { test, interval, largest } => {
                match test {
                    VarianceTest::Norm { eta } => positive("eta", eta)?,
                    VarianceTest::InnerProduct { theta } => positive("theta", theta)?,
                    VarianceTest::Augmented { theta, nu } => {
                        positive("theta", theta)?;
                        positive("nu", nu)?;
                    }
                }
                count("interval", interval)?;
                if batch_size < 2 {
                    return Err(Error::input(
                        format!("batch schedule `{self}`: the gradient of a single sample has no variance"),
                        "give a batch size of at least 2",
                    ));
                }
                not_smaller(largest)
            }
        }
    }
}

impl fmt::Display for BatchSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = match self {
            Self::Grow { largest: Some(largest), .. } | Self::Test { largest: Some(largest), .. } => {
                format!(",largest={largest}")
            }
            _ => String::new(),
        };
        match self {
            Self::Constant => f.write_str("constant"),
            Self::First { epochs, batch_size, learning_rate } => {
                write!(f, "first:epochs={epochs},batch-size={batch_size},learning-rate={learning_rate}")
            }
            Self::Grow { epochs, factor, rate, .. } => {
                write!(f, "grow:epochs={epochs},factor={factor},rate={rate}{largest}")
            }
            Self::Test { test, interval, .. } => {
                match test {
                    VarianceTest::Norm { eta } => write!(f, "norm-test:eta={eta}"),
                    VarianceTest::InnerProduct { theta } => write!(f, "inner-product-test:theta={theta}"),
                    VarianceTest::Augmented { theta, nu } => write!(f, "augmented-test:theta={theta},nu={nu}"),
                }?;
                write!(f, ",interval={interval}{largest}")
            }
        }
    }
}

impl FromStr for BatchSchedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, settings) = text.split_once(':').unwrap_or((text, ""));
        let given = |known: &[&'static str]| Given::parse(kind, settings, known);
        let test = |test, given: &Given| {
            Ok(Self::Test { test, interval: given.value("interval", 1)?, largest: given.count_if_any("largest")? })
        };
        match kind {
            "constant" => given(&[]).map(|_| Self::Constant),
            "first" => {
                let given = given(&["epochs", "batch-size", "learning-rate"])?;
                Ok(Self::First {
                    epochs: given.value("epochs", 1)?,
                    batch_size: given.value("batch-size", 512)?,
                    learning_rate: given.value("learning-rate", 0.005)?,
                })
            }
            "grow" => {
                let given = given(&["epochs", "factor", "rate", "largest"])?;
                Ok(Self::Grow {
                    epochs: given.value("epochs", 20)?,
                    factor: given.value("factor", 2.0)?,
                    rate: given.value("rate", 0.75)?,
                    largest: given.count_if_any("largest")?,
                })
            }
            "norm-test" => {
                let given = given(&["eta", "interval", "largest"])?;
                test(VarianceTest::Norm { eta: given.value("eta", 0.1)? }, &given)
            }
            "inner-product-test" => {
                let given = given(&["theta", "interval", "largest"])?;
                test(VarianceTest::InnerProduct { theta: given.value("theta", 0.5)? }, &given)
            }
            "augmented-test" => {
                let given = given(&["theta", "nu", "interval", "largest"])?;
                let (theta, nu) = (given.value("theta", 0.5)?, given.value("nu", 1.0)?);
                test(VarianceTest::Augmented { theta, nu }, &given)
            }
            _ => {
                let hint = match nearest(kind, &KINDS) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("known: {}", KINDS.join(", ")),
                };
                Err(Error::input(format!("unknown batch schedule `{text}`"), hint))
            }
        }
    }
}

impl Serialize for BatchSchedule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BatchSchedule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    /// Batch size, factor of the rate and own rate of each of the first epochs of a run on 1000 samples.
    fn table(schedule: &str, batch_size: usize, epochs: u64) -> Vec<(usize, f64, Option<f64>)> {
        let schedule: BatchSchedule = schedule.parse().unwrap();
        schedule.check(batch_size).unwrap();
        let stages = (0..epochs).map(|epoch| schedule.stage(epoch, batch_size, 1000));
        stages.map(|stage| (stage.batch_size, stage.factor, stage.learning_rate)).collect()
    }

    #[test]
    fn a_constant_and_a_tested_batch_have_one_stage() {
        for schedule in ["constant", "norm-test", "inner-product-test", "augmented-test"] {
            assert_eq!(table(schedule, 64, 2), [(64, 1.0, None); 2]);
        }
    }

    #[test]
    fn first_epochs_have_a_batch_size_and_a_rate_of_their_own() {
        let expected = [(512, 1.0, Some(0.005)), (800, 1.0, None), (800, 1.0, None)];
        assert_eq!(table("first", 800, 3), expected);
        let expected = [(8, 1.0, Some(0.1)), (8, 1.0, Some(0.1)), (800, 1.0, None)];
        assert_eq!(table("first:epochs=2,batch-size=8,learning-rate=0.1", 800, 3), expected);
    }

    #[test]
    fn adabatch_doubles_the_batch_and_lowers_the_rate() {
        let expected =
            [(128, 1.0, None), (256, 0.75, None), (512, 0.5625, None), (1000, 0.421875 * 1000.0 / 1024.0, None)];
        assert_eq!(table("grow:epochs=1", 128, 4), expected);
    }

    #[test]
    fn the_rate_falls_once_the_batch_is_the_largest() {
        let expected = [(10, 1.0, None), (50, 1.0, None), (50, 0.2, None), (50, 50.0 / 1250.0, None)];
        assert_eq!(table("grow:epochs=1,factor=5,rate=1,largest=50", 10, 4), expected);
        // Beyond all numbers nothing is left of the rate.
        assert_eq!("grow:epochs=1,rate=1".parse::<BatchSchedule>().unwrap().stage(u64::MAX, 10, 1000).factor, 0.0);
    }

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "constant",
            "first:epochs=1,batch-size=512,learning-rate=0.005",
            "grow:epochs=20,factor=2,rate=0.75",
            "grow:epochs=60,factor=5,rate=1,largest=5000",
            "norm-test:eta=0.1,interval=1",
            "inner-product-test:theta=0.5,interval=10,largest=100",
            "augmented-test:theta=0.5,nu=1,interval=1",
        ] {
            assert_eq!(text.parse::<BatchSchedule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "fist", "first:epoch=1", "first:epochs=x", "first:epochs", "constant:epochs=1", "grow:largest=0"]
        {
            assert!(text.parse::<BatchSchedule>().unwrap_err().is_bad_input(), "{text}");
        }
        for text in [
            "first:epochs=0",
            "first:batch-size=0",
            "first:learning-rate=0",
            "first:learning-rate=nan",
            "grow:epochs=0",
            "grow:factor=1",
            "grow:factor=inf",
            "grow:rate=-1",
            "grow:largest=63",
            "norm-test:eta=0",
            "norm-test:largest=8",
            "norm-test:interval=0",
            "inner-product-test:theta=inf",
            "augmented-test:nu=-1",
        ] {
            let schedule: BatchSchedule = text.parse().unwrap();
            assert!(schedule.check(64).unwrap_err().is_bad_input(), "{text}");
        }
        assert!("norm-test".parse::<BatchSchedule>().unwrap().check(1).unwrap_err().is_bad_input());
    }
}
