//! Data drawn from a seed: Gaussian clusters, spirals, and what a random network answers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Samples, Split, Targets};
use crate::random::stream;
use crate::{Error, Result, suggestion};

const KINDS: [&str; 3] = ["clusters", "spirals", "teacher"];
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

/// What stands behind the kind: `samples=100,seed=1`.
struct Settings<'a> {
    kind: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Settings<'a> {
    fn parse(kind: &'a str, text: &'a str, known: &[&str]) -> Result<Self> {
        let mut values = BTreeMap::new();
        for setting in text.split(',').filter(|_| !text.is_empty()) {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                Error::input(format!("`{kind}`: expected `setting=value`, found `{setting}`"), known_settings(known))
            })?;
            if !known.contains(&name) {
                let hint = suggestion::hint(name, known);
                return Err(Error::input(format!("`{kind}` has no setting `{name}`"), hint));
            }
            if values.insert(name, value).is_some() {
                return Err(Error::input(format!("`{kind}`: `{name}` is set twice"), "set it once"));
            }
        }
        Ok(Self { kind, values })
    }

    fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.values.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| self.invalid(name, text, "a number in range")),
        }
    }

    /// A whole number from 1.
    fn count(&self, name: &str, default: usize) -> Result<usize> {
        match self.value(name, default)? {
            0 => Err(self.invalid(name, "0", "at least 1")),
            count => Ok(count),
        }
    }

    /// A finite number from 0.
    fn amount(&self, name: &str, default: f64) -> Result<f64> {
        let amount: f64 = self.value(name, default)?;
        if amount.is_finite() && amount >= 0.0 {
            Ok(amount)
        } else {
            Err(self.invalid(name, &amount.to_string(), "a finite number from 0"))
        }
    }

    fn sizes(&self) -> Result<(usize, usize)> {
        let samples = self.count("samples", 1000)?;
        Ok((samples, self.count("test", (samples / 5).max(1))?))
    }

    fn invalid(&self, name: &str, found: &str, expected: &str) -> Error {
        Error::input(
            format!("`{}`: `{name}` is `{found}`, expected {expected}", self.kind),
            format!("give `{name}` {expected}"),
        )
    }
}

fn known_settings(known: &[&str]) -> String {
    format!("the settings are {}", known.join(", "))
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
        }
    }
}

impl Synthetic {
    /// Draws one split.
    pub(super) fn draw(&self, split: Split) -> Result<Samples> {
        self.check_size()?;
        let count = |samples, test| match split {
            Split::Train => samples,
            Split::Test => test,
        };
        match *self {
            Self::Clusters { samples, test, features, classes, spread, seed } => {
                let centres = normals(classes * features, &mut self.stream(seed, "centres"));
                clusters(&centres, count(samples, test), features, classes, spread, &mut self.samples(seed, split))
            }
            Self::Spirals { samples, test, classes, turns, noise, seed } => {
                spirals(count(samples, test), classes, turns, noise, &mut self.samples(seed, split))
            }
            Self::Teacher { samples, test, features, hidden, outputs, noise, seed } => {
                let teacher = Teacher {
                    hidden_weights: normals(hidden * features, &mut self.stream(seed, "hidden weights")),
                    output_weights: normals(outputs * hidden, &mut self.stream(seed, "output weights")),
                    features,
                    hidden,
                };
                teacher.samples(count(samples, test), outputs, noise, &mut self.samples(seed, split))
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Clusters { .. } => "clusters",
            Self::Spirals { .. } => "spirals",
            Self::Teacher { .. } => "teacher",
        }
    }

    fn stream(&self, seed: u64, name: &str) -> ChaCha8Rng {
        stream(seed, self.kind(), name)
    }

    fn samples(&self, seed: u64, split: Split) -> ChaCha8Rng {
        self.stream(seed, &format!("{split} samples"))
    }

    /// Refuses what no machine would hold.
    fn check_size(&self) -> Result<()> {
        let products = match *self {
            Self::Clusters { samples, test, features, classes, .. } => {
                [(samples.max(test), features), (classes, features)]
            }
            Self::Spirals { samples, test, classes, .. } => [(samples.max(test), 2), (classes, 1)],
            Self::Teacher { samples, test, features, hidden, outputs, .. } => {
                [(samples.max(test), features.max(outputs)), (hidden, features.max(outputs))]
            }
        };
        let fits = |&(a, b): &(usize, usize)| a.checked_mul(b).is_some_and(|product| product <= MOST_NUMBERS);
        if products.iter().all(fits) {
            return Ok(());
        }
        Err(Error::input(
            format!("`{self}` asks for more than {MOST_NUMBERS} numbers"),
            "ask for fewer samples, features or classes",
        ))
    }
}

fn clusters(
    centres: &[f64],
    samples: usize,
    features: usize,
    classes: usize,
    spread: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Samples> {
    let mut inputs = Vec::with_capacity(samples * features);
    for centre in centres.chunks_exact(features).cycle().take(samples) {
        inputs.extend(centre.iter().map(|centre| (centre + spread * normal(rng)) as f32));
    }
    classified(inputs, samples, features, classes)
}

fn spirals(samples: usize, classes: usize, turns: f64, noise: f64, rng: &mut ChaCha8Rng) -> Result<Samples> {
    let mut inputs = Vec::with_capacity(samples * 2);
    for sample in 0..samples {
        // Evenly along the arm, which would crowd its inner end if it were drawn by the angle.
        let along: f64 = rand::Rng::random::<f64>(rng).sqrt();
        let arm = (sample % classes) as f64 / classes as f64;
        let angle = std::f64::consts::TAU * (arm + turns * along);
        inputs.push((along * angle.cos() + noise * normal(rng)) as f32);
        inputs.push((along * angle.sin() + noise * normal(rng)) as f32);
    }
    classified(inputs, samples, 2, classes)
}

/// Inputs whose classes take turns, so that every class has its share in any beginning of the data.
fn classified(inputs: Vec<f32>, samples: usize, features: usize, classes: usize) -> Result<Samples> {
    let labels: Vec<i64> = (0..samples).map(|sample| (sample % classes) as i64).collect();
    let inputs = Tensor::from_vec(inputs, (samples, features), &Device::Cpu)?;
    let labels = Tensor::new(labels, &Device::Cpu)?;
    Ok((inputs, Targets::Classes { labels, classes }))
}

/// y = V tanh(W x / √features) / √hidden, with standard normal V and W.
struct Teacher {
    hidden_weights: Vec<f64>,
    output_weights: Vec<f64>,
    features: usize,
    hidden: usize,
}

impl Teacher {
    fn samples(&self, samples: usize, outputs: usize, noise: f64, rng: &mut ChaCha8Rng) -> Result<Samples> {
        let mut inputs = Vec::with_capacity(samples * self.features);
        let mut targets = Vec::with_capacity(samples * outputs);
        for _ in 0..samples {
            let input = normals(self.features, rng);
            targets.extend(self.answer(&input).into_iter().map(|answer| (answer + noise * normal(rng)) as f32));
            inputs.extend(input.into_iter().map(|value| value as f32));
        }
        let inputs = Tensor::from_vec(inputs, (samples, self.features), &Device::Cpu)?;
        Ok((inputs, Targets::Real(Tensor::from_vec(targets, (samples, outputs), &Device::Cpu)?)))
    }

    fn answer(&self, input: &[f64]) -> Vec<f64> {
        let hidden: Vec<f64> = self
            .hidden_weights
            .chunks_exact(self.features)
            .map(|weights| (dot(weights, input) / (self.features as f64).sqrt()).tanh())
            .collect();
        self.output_weights
            .chunks_exact(self.hidden)
            .map(|weights| dot(weights, &hidden) / (self.hidden as f64).sqrt())
            .collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn normals(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| normal(rng)).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset};

    fn load(text: &str, split: Split) -> Dataset {
        Dataset::load(&text.parse().unwrap(), split).unwrap()
    }

    fn points(data: &Dataset) -> Vec<Vec<f32>> {
        data.inputs.to_vec2().unwrap()
    }

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

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
    fn clusters_have_their_spread_around_centres_that_both_splits_share() {
        let spec = "synthetic:clusters:samples=4000,test=4000,features=3,classes=2,spread=0.1";
        let (train, test) = (points(&load(spec, Split::Train)), points(&load(spec, Split::Test)));
        let centre = |points: &[Vec<f32>]| -> Vec<f32> {
            (0..3).map(|axis| points.iter().step_by(2).map(|point| point[axis]).sum::<f32>() / 2000.0).collect()
        };
        let first = centre(&train);
        assert!(distance(&first, &centre(&test)) < 0.02);
        let variance =
            train.iter().step_by(2).map(|point| distance(point, &first).powi(2)).sum::<f64>() / (3.0 * 2000.0);
        assert!((variance.sqrt() - 0.1).abs() < 0.005, "{variance}");
    }

    #[test]
    fn spirals_without_noise_lie_on_their_arms() {
        let data = load("synthetic:spirals:samples=300,classes=3,turns=1,noise=0", Split::Train);
        for (sample, point) in points(&data).iter().enumerate() {
            let radius = f64::from(point[0]).hypot(f64::from(point[1]));
            assert!(radius <= 1.0 + 1e-6);
            let angle = std::f64::consts::TAU * ((sample % 3) as f64 / 3.0 + radius);
            let expected = [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32];
            assert!(distance(point, &expected) < 1e-5, "sample {sample}");
        }
    }

    #[test]
    fn the_teacher_answers_by_its_formula() {
        let teacher = Teacher { hidden_weights: vec![1.0, 2.0], output_weights: vec![3.0], features: 2, hidden: 1 };
        let expected = 3.0 * ((0.5 - 2.0) / 2.0_f64.sqrt()).tanh();
        assert!((teacher.answer(&[0.5, -1.0])[0] - expected).abs() < 1e-15);
        let data = load("synthetic:teacher:samples=40,features=5,outputs=2", Split::Train);
        let Targets::Real(targets) = &data.targets else { unreachable!("the teacher answers with numbers") };
        assert_eq!((data.inputs.dims(), targets.dims()), (&[40, 5][..], &[40, 2][..]));
    }

    #[test]
    fn slips_are_answered() {
        for (text, message, hint) in [
            ("", "needs a kind", "clusters, spirals, teacher"),
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
