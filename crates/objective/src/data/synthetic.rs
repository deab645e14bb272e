//! Data drawn from a seed: Gaussian clusters, spirals, what a random network answers, and sequences of tokens.

mod draw;

use std::fmt;
use std::str::FromStr;

use crate::settings::Settings;
use crate::{Error, Result, suggestion};

const KINDS: [&str; 5] = ["clusters", "spirals", "teacher", "images", "tokens"];
/// 4 GiB of single precision: more is a slip of the hand.
const MOST_NUMBERS: usize = 1 << 30;

/// Data drawn from a seed. Train and test samples are independent draws from the same distribution.
///
/// The text is a kind, and behind a colon the settings that differ from the default, separated by commas.
///
/// | kind | data | settings |
/// |---|---|---|
/// | `clusters` | one Gaussian cloud per class around a standard normal centre | `samples=1000`, `test=200`, `features=20`, `classes=4`, `spread=0.5`, `seed=0` |
/// | `spirals` | arms in the plane that wind around the origin, one per class | `samples=1000`, `test=200`, `classes=2`, `turns=1.5`, `noise=0.02`, `seed=0` |
/// | `teacher` | real targets: a random network of one hidden tanh layer, plus noise | `samples=1000`, `test=200`, `features=10`, `hidden=32`, `outputs=1`, `noise=0`, `seed=0` |
/// | `images` | clusters whose samples are square images | `samples=1000`, `test=200`, `channels=3`, `size=32`, `classes=10`, `spread=1`, `seed=0` |
/// | `tokens` | sequences in which each token has its successor, except for noise; the target at a position is the next token | `samples=1000`, `test=200`, `length=16`, `vocabulary=11`, `noise=0.1`, `seed=0` |
///
/// `test`, the number of samples held back, is a fifth of `samples` unless it is given.
///
/// ```
/// use basin_objective::data::{DataSpec, Dataset, Split};
///
/// let spec: DataSpec = "synthetic:clusters:samples=90,classes=3,seed=7".parse()?;
/// assert_eq!(spec.to_string(), "synthetic:clusters:samples=90,test=18,features=20,classes=3,spread=0.5,seed=7");
/// let data = Dataset::load(&spec, Split::Test)?;
/// assert_eq!((data.inputs.dims(), data.classes()), (&[18, 20][..], Some(3)));
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Synthetic {
    /// One Gaussian cloud per class around a standard normal centre.
    #[non_exhaustive]
    Clusters {
        /// The number of samples to train on.
        samples: usize,
        /// The number of samples held back.
        test: usize,
        /// The length of an input.
        features: usize,
        /// The number of clouds.
        classes: usize,
        /// The standard deviation of a cloud along each axis.
        spread: f64,
        /// What it is drawn from.
        seed: u64,
    },
    /// Arms in the plane that wind around the origin, one per class.
    #[non_exhaustive]
    Spirals {
        /// The number of samples to train on.
        samples: usize,
        /// The number of samples held back.
        test: usize,
        /// The number of arms.
        classes: usize,
        /// How often an arm winds around the origin.
        turns: f64,
        /// The standard deviation of a point about its arm; the arms reach a radius of 1.
        noise: f64,
        /// What it is drawn from.
        seed: u64,
    },
    /// Standard normal inputs, answered by a random network of one hidden tanh layer.
    #[non_exhaustive]
    Teacher {
        /// The number of samples to train on.
        samples: usize,
        /// The number of samples held back.
        test: usize,
        /// The length of an input.
        features: usize,
        /// The width of the hidden layer.
        hidden: usize,
        /// The length of a target.
        outputs: usize,
        /// The standard deviation of what is added to each target.
        noise: f64,
        /// What it is drawn from.
        seed: u64,
    },
    /// Clusters whose samples are square images.
    #[non_exhaustive]
    Images {
        /// The number of samples to train on.
        samples: usize,
        /// The number of samples held back.
        test: usize,
        /// The channels of an image.
        channels: usize,
        /// Height and width of an image.
        size: usize,
        /// The number of clouds.
        classes: usize,
        /// The standard deviation of a cloud along each axis.
        spread: f64,
        /// What it is drawn from.
        seed: u64,
    },
    /// Sequences in which each token has its successor, except for noise.
    #[non_exhaustive]
    Tokens {
        /// The number of samples to train on.
        samples: usize,
        /// The number of samples held back.
        test: usize,
        /// The tokens of a sample.
        length: usize,
        /// How many tokens there are.
        vocabulary: usize,
        /// The share of tokens that are drawn at random instead.
        noise: f64,
        /// What it is drawn from.
        seed: u64,
    },
}

impl FromStr for Synthetic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, settings) = text.split_once(':').unwrap_or((text, ""));
        let settings = |known| Settings::parse(kind, settings, known);
        let synthetic = match kind {
            "clusters" => {
                let given = settings(&["samples", "test", "features", "classes", "spread", "seed"])?;
                let (samples, test) = given.sizes()?;
                Self::Clusters {
                    samples,
                    test,
                    features: given.count("features", 20)?,
                    classes: given.count("classes", 4)?,
                    spread: given.amount("spread", 0.5)?,
                    seed: given.value("seed", 0)?,
                }
            }
            "spirals" => {
                let given = settings(&["samples", "test", "classes", "turns", "noise", "seed"])?;
                let (samples, test) = given.sizes()?;
                Self::Spirals {
                    samples,
                    test,
                    classes: given.count("classes", 2)?,
                    turns: given.amount("turns", 1.5)?,
                    noise: given.amount("noise", 0.02)?,
                    seed: given.value("seed", 0)?,
                }
            }
            "teacher" => {
                let given = settings(&["samples", "test", "features", "hidden", "outputs", "noise", "seed"])?;
                let (samples, test) = given.sizes()?;
                Self::Teacher {
                    samples,
                    test,
                    features: given.count("features", 10)?,
                    hidden: given.count("hidden", 32)?,
                    outputs: given.count("outputs", 1)?,
                    noise: given.amount("noise", 0.0)?,
                    seed: given.value("seed", 0)?,
                }
            }
            "images" => {
                let given = settings(&["samples", "test", "channels", "size", "classes", "spread", "seed"])?;
                let (samples, test) = given.sizes()?;
                Self::Images {
                    samples,
                    test,
                    channels: given.count("channels", 3)?,
                    size: given.count("size", 32)?,
                    classes: given.count("classes", 10)?,
                    spread: given.amount("spread", 1.0)?,
                    seed: given.value("seed", 0)?,
                }
            }
            "tokens" => {
                let given = settings(&["samples", "test", "length", "vocabulary", "noise", "seed"])?;
                let (samples, test) = given.sizes()?;
                Self::Tokens {
                    samples,
                    test,
                    length: given.count("length", 16)?,
                    vocabulary: given.count("vocabulary", 11)?,
                    noise: given.amount("noise", 0.1)?,
                    seed: given.value("seed", 0)?,
                }
            }
            "" => {
                return Err(Error::input(
                    "the data `synthetic` needs a kind",
                    format!("write `synthetic:KIND`, with one of {}", KINDS.join(", ")),
                ));
            }
            other => {
                return Err(Error::input(format!("unknown synthetic data `{other}`"), suggestion::hint(other, &KINDS)));
            }
        };
        synthetic.check_size()?;
        Ok(synthetic)
    }
}

impl fmt::Display for Synthetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clusters { samples, test, features, classes, spread, seed } => write!(
                f,
                "clusters:samples={samples},test={test},features={features},classes={classes},spread={spread},seed={seed}"
            ),
            Self::Spirals { samples, test, classes, turns, noise, seed } => write!(
                f,
                "spirals:samples={samples},test={test},classes={classes},turns={turns},noise={noise},seed={seed}"
            ),
            Self::Teacher { samples, test, features, hidden, outputs, noise, seed } => write!(
                f,
                "teacher:samples={samples},test={test},features={features},hidden={hidden},outputs={outputs},noise={noise},seed={seed}"
            ),
            Self::Images { samples, test, channels, size, classes, spread, seed } => write!(
                f,
                "images:samples={samples},test={test},channels={channels},size={size},classes={classes},spread={spread},seed={seed}"
            ),
            Self::Tokens { samples, test, length, vocabulary, noise, seed } => write!(
                f,
                "tokens:samples={samples},test={test},length={length},vocabulary={vocabulary},noise={noise},seed={seed}"
            ),
        }
    }
}

impl Synthetic {
    /// Refuses what no machine would hold.
    fn check_size(&self) -> Result<()> {
        let products: [&[usize]; 2] = match *self {
            Self::Clusters { samples, test, features, classes, .. } => {
                [&[samples.max(test), features], &[classes, features]]
            }
            Self::Spirals { samples, test, classes, .. } => [&[samples.max(test), 2], &[classes]],
            Self::Teacher { samples, test, features, hidden, outputs, .. } => {
                [&[samples.max(test), features.max(outputs)], &[hidden, features.max(outputs)]]
            }
            Self::Images { samples, test, channels, size, classes, .. } => {
                [&[samples.max(test), channels, size, size], &[classes, channels, size, size]]
            }
            Self::Tokens { samples, test, length, vocabulary, .. } => [&[samples.max(test), length], &[vocabulary]],
        };
        let fits = |factors: &&[usize]| {
            let product = factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor));
            product.is_some_and(|product| product <= MOST_NUMBERS)
        };
        if products.iter().all(fits) {
            return Ok(());
        }
        Err(Error::input(
            format!("`{self}` asks for more than {MOST_NUMBERS} numbers"),
            "ask for fewer samples, features or classes",
        ))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset, Split};

    #[test]
    fn the_text_gives_the_same_data_again() {
        for kind in KINDS {
            let spec: DataSpec = format!("synthetic:{kind}:seed=3,samples=50").parse().unwrap();
            assert_eq!(spec.to_string().parse::<DataSpec>().unwrap(), spec);
            let fingerprint = |spec: &DataSpec, split| Dataset::load(spec, split).unwrap().fingerprint().unwrap();
            assert_eq!(fingerprint(&spec, Split::Train), fingerprint(&spec, Split::Train));
            assert_ne!(fingerprint(&spec, Split::Train), fingerprint(&spec, Split::Test));
            let other: DataSpec = format!("synthetic:{kind}:seed=4,samples=50").parse().unwrap();
            assert_ne!(fingerprint(&spec, Split::Train), fingerprint(&other, Split::Train));
        }
    }

    #[test]
    fn slips_are_answered() {
        for (text, message, hint) in [
            ("", "needs a kind", "clusters, spirals, teacher, images, tokens"),
            ("cluster", "unknown synthetic data `cluster`", "did you mean `clusters`?"),
            ("spirals:clases=2", "`spirals` has no setting `clases`", "did you mean `classes`?"),
            ("spirals:classes", "expected `setting=value`, found `classes`", "samples, test"),
            ("spirals:seed=1,seed=1", "set twice", "once"),
            ("clusters:samples=0", "`samples` is `0`, expected at least 1", "at least 1"),
            ("clusters:spread=nan", "expected a finite number", "from 0"),
            ("clusters:seed=-1", "`seed` is `-1`", "range"),
            ("clusters:samples=1000000000000", "more than 1073741824 numbers", "fewer"),
            ("teacher:hidden=18446744073709551615", "more than 1073741824 numbers", "fewer"),
        ] {
            let error = text.parse::<Synthetic>().unwrap_err();
            assert!(error.to_string().contains(message), "{error:?} lacks {message:?}");
            assert!(error.hint().is_some_and(|found| found.contains(hint)), "{error:?} lacks {hint:?}");
        }
    }
}
