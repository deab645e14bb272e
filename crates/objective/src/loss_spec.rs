//! Which loss, by the names of the command line.

use std::fmt;
use std::str::FromStr;

use basin_tape::losses::{self, BinaryCrossEntropy, Loss, SquaredError};
use candle_core::{D, DType, Device, Tensor};

use crate::data::{Dataset, IGNORED, Rows, Targets};
use crate::settings::Settings;
use crate::{Error, Result, suggestion};

/// The loss of a sample.
///
/// | text | loss |
/// |---|---|
/// | `cross-entropy` | of softmax probabilities against a class, of each sample or each of its positions |
/// | `next-token` | the same where the class of a position is the label of the one behind it, as language models are trained: labels are shifted by one, the last position has none |
/// | `mse` | mean squared error over all elements; classes are one-hot vectors |
/// | `bce` | binary cross-entropy with logits, mean over all elements: of one output against a class 0 or 1, of several against a 0 or 1 for each (multi-label), or against one-hot vectors |
///
/// The first two take settings: `cross-entropy:label-smoothing=0.1,class-weights=1/2/0.5`.
///
/// ```
/// use basin_objective::{CrossEntropy, LossSpec};
///
/// assert_eq!("mse".parse::<LossSpec>()?, LossSpec::SquaredError);
/// assert_eq!(LossSpec::cross_entropy().to_string(), "cross-entropy");
/// let smoothed: LossSpec = "next-token:label-smoothing=0.1".parse()?;
/// let settings = CrossEntropy { label_smoothing: 0.1, next_token: true, ..CrossEntropy::default() };
/// assert_eq!(smoothed, LossSpec::CrossEntropy(settings));
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum LossSpec {
    /// Cross-entropy of softmax probabilities against a class.
    CrossEntropy(CrossEntropy),
    /// Mean squared error over all elements; classes are one-hot vectors.
    SquaredError,
    /// Binary cross-entropy with logits, mean over all elements.
    BinaryCrossEntropy,
}

/// How outputs are held against classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// The share of probability spread evenly over all classes, as PyTorch's `label_smoothing`.
    pub label_smoothing: f64,
    /// A weight for each class, as PyTorch's `weight`; 1 for all where there are none.
    pub class_weights: Option<Vec<f64>>,
    /// Whether the class of a position is the label of the one behind it.
    pub next_token: bool,
}

/// The number of outputs that targets ask of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// One for each class; a model may know more classes than the data shows.
    AtLeast(usize),
    /// One for each number of a target.
    Exactly(usize),
    /// One for both of two classes, or one for each.
    Binary,
    /// One for each class, at each position of a sample; a model may know more classes than the data shows.
    EachPosition {
        /// The positions of a sample.
        positions: usize,
        /// The classes.
        classes: usize,
    },
}

impl From<usize> for Outputs {
    fn from(count: usize) -> Self {
        Self::Exactly(count)
    }
}

impl Outputs {
    /// The number of outputs of a model that is sized by the data.
    pub fn needed(self) -> usize {
        match self {
            Self::AtLeast(count) | Self::Exactly(count) | Self::EachPosition { classes: count, .. } => count,
            Self::Binary => 2,
        }
    }

    /// Whether a model with so many outputs serves.
    pub fn allows(self, count: usize) -> bool {
        match self {
            Self::AtLeast(least) | Self::EachPosition { classes: least, .. } => count >= least,
            Self::Exactly(exactly) => count == exactly,
            Self::Binary => count >= 1,
        }
    }
}

const NAMES: [&str; 4] = ["cross-entropy", "next-token", "mse", "bce"];
const LABEL_SMOOTHING: &str = "label-smoothing";
const CLASS_WEIGHTS: &str = "class-weights";

impl FromStr for LossSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, settings) = match text.split_once(':') {
            Some((name, settings)) => (name, Some(settings)),
            None => (text, None),
        };
        let loss = match name {
            "cross-entropy" | "next-token" => {
                let next_token = name == "next-token";
                return CrossEntropy::parse(name, settings.unwrap_or_default(), next_token).map(Self::CrossEntropy);
            }
            "mse" => Self::SquaredError,
            "bce" => Self::BinaryCrossEntropy,
            other => return Err(Error::input(format!("unknown loss `{other}`"), suggestion::hint(other, &NAMES))),
        };
        match settings {
            None => Ok(loss),
            Some(_) => Err(Error::input(
                format!("the loss `{name}` has no settings, found `{text}`"),
                format!("write `{name}`"),
            )),
        }
    }
}

impl CrossEntropy {
    fn parse(name: &str, settings: &str, next_token: bool) -> Result<Self> {
        let settings = Settings::parse(name, settings, &[LABEL_SMOOTHING, CLASS_WEIGHTS])?;
        let label_smoothing: f64 = settings.value(LABEL_SMOOTHING, 0.0)?;
        if !(0.0..=1.0).contains(&label_smoothing) {
            return Err(Error::input(
                format!("the label smoothing is {label_smoothing}, expected a share between 0 and 1"),
                "give the one of the training, such as 0.1",
            ));
        }
        let weights: String = settings.value(CLASS_WEIGHTS, String::new())?;
        let weight = |text: &str| text.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight >= 0.0);
        let class_weights = match weights.is_empty() {
            true => None,
            false => Some(weights.split('/').map(weight).collect::<Option<Vec<f64>>>().ok_or_else(|| {
                Error::input(
                    format!("the class weights are `{weights}`, expected finite numbers from 0"),
                    "write one for each class, like `class-weights=1/2/0.5`",
                )
            })?),
        };
        Ok(Self { label_smoothing, class_weights, next_token })
    }
}

impl fmt::Display for LossSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CrossEntropy { label_smoothing, class_weights, next_token } = match self {
            Self::SquaredError => return f.write_str("mse"),
            Self::BinaryCrossEntropy => return f.write_str("bce"),
            Self::CrossEntropy(settings) => settings,
        };
        f.write_str(if *next_token { "next-token" } else { "cross-entropy" })?;
        let smoothing = (*label_smoothing != 0.0).then(|| format!("{LABEL_SMOOTHING}={label_smoothing}"));
        let weights = class_weights.as_ref().map(|weights| {
            let weights: Vec<String> = weights.iter().map(f64::to_string).collect();
            format!("{CLASS_WEIGHTS}={}", weights.join("/"))
        });
        let settings: Vec<String> = smoothing.into_iter().chain(weights).collect();
        let colon = if settings.is_empty() { "" } else { ":" };
        write!(f, "{colon}{}", settings.join(","))
    }
}

impl LossSpec {
    /// Cross-entropy without settings.
    pub fn cross_entropy() -> Self {
        Self::CrossEntropy(CrossEntropy::default())
    }

    /// Cross-entropy for classes, mean squared error for float targets.
    pub fn default_for(data: &Dataset) -> Self {
        if data.classes().is_some() { Self::cross_entropy() } else { Self::SquaredError }
    }

    /// Whether it is a cross-entropy, whatever its settings.
    pub fn is_cross_entropy(&self) -> bool {
        matches!(self, Self::CrossEntropy(_))
    }

    /// The loss as the engine computes it.
    pub fn build(&self) -> Box<dyn Loss> {
        match self {
            Self::CrossEntropy(settings) => Box::new(losses::CrossEntropy {
                label_smoothing: settings.label_smoothing,
                class_weights: settings.class_weights.clone(),
                ..losses::CrossEntropy::default()
            }),
            Self::SquaredError => Box::new(SquaredError),
            Self::BinaryCrossEntropy => Box::new(BinaryCrossEntropy),
        }
    }

    /// The outputs a model needs for these targets.
    ///
    /// # Errors
    /// When the loss needs classes and the targets are floats, or when a loss other than cross-entropy meets ignored labels
    /// or a class per position.
    pub fn outputs(&self, data: &Dataset) -> Result<Outputs> {
        match (self, &data.targets) {
            (Self::CrossEntropy(settings), Targets::Classes { labels, classes }) => {
                settings.outputs(data, labels, *classes)
            }
            (Self::BinaryCrossEntropy, Targets::Classes { labels, classes: 0..=2 }) if ignored(labels)? == 0 => {
                Ok(match labels.row_shape() {
                    [] => Outputs::Binary,
                    each => Outputs::Exactly(each.iter().product()),
                })
            }
            (_, Targets::Classes { labels, .. }) if labels.rank() != 1 => Err(Error::input(
                format!(
                    "the classes of `{}` have shape {:?}: `{self}` takes one class per sample, not one per position",
                    data.spec,
                    labels.dims()
                ),
                "use `--loss cross-entropy`, or give one class per sample, an array of shape (N,); for several labels at \
                 a time give `--loss bce` and a 0 or 1 for each, an array of shape (N, K)",
            )),
            (_, Targets::Classes { labels, classes }) => match ignored(labels)? {
                0 => Ok(Outputs::AtLeast(*classes)),
                ignored => Err(Error::input(
                    format!("{ignored} labels of `{}` are {IGNORED}, which `{self}` cannot leave out", data.spec),
                    "use `--loss cross-entropy`, or remove these samples",
                )),
            },
            (Self::CrossEntropy(_), Targets::Real(_)) => Err(Error::input(
                format!("cross-entropy needs integer classes, the targets of `{}` are floats", data.spec),
                "use `--loss mse`, or `--loss bce` for a 0 or 1 of each class, or store the classes `y` as integers",
            )),
            (_, Targets::Real(targets)) => Ok(Outputs::Exactly(targets.row_shape().iter().product())),
        }
    }

    /// The targets as the loss takes them, with the weights of their samples: i64 classes, or numbers of the given dtype of
    /// shape (N, outputs).
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs), and when a class or a target's length is not one of a model with so many outputs.
    pub fn targets(&self, data: &Dataset, outputs: usize, dtype: DType, device: &Device) -> Result<losses::Targets> {
        let needed = self.outputs(data)?;
        let values = match (&data.targets, self) {
            (Targets::Classes { labels, .. }, Self::CrossEntropy(settings)) => {
                settings.check_class_weights(outputs)?;
                let labels = settings.labels(labels.tensor()?)?;
                check_classes(&labels, outputs, data)?;
                labels
            }
            (Targets::Classes { labels, .. }, _) if is_binary(self, needed, outputs) => {
                labels.tensor()?.reshape((data.samples(), outputs))?.to_dtype(dtype)?
            }
            (Targets::Classes { labels, .. }, _) => {
                let labels = labels.tensor()?;
                check_classes(&labels, outputs, data)?;
                let numbers = Tensor::arange(0, outputs as i64, labels.device())?;
                labels.unsqueeze(D::Minus1)?.broadcast_eq(&numbers)?.to_dtype(dtype)?
            }
            (Targets::Real(targets), _) if needed.allows(outputs) => {
                targets.tensor()?.reshape((data.samples(), outputs))?.to_dtype(dtype)?
            }
            (Targets::Real(_), _) => {
                return Err(Error::input(
                    format!(
                        "a target of `{}` holds {} numbers, the model has {outputs} outputs",
                        data.spec,
                        needed.needed()
                    ),
                    "use a model with one output for each number of a target",
                ));
            }
        };
        let weights = data.weights.as_ref().map(|weights| weights.to_dtype(dtype)?.to_device(device)).transpose()?;
        Ok(losses::Targets::weighted(&values.to_device(device)?, weights.as_ref()))
    }

    /// Whether a model with so many outputs answers yes or no for each of them.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub(crate) fn answers_yes_or_no(&self, data: &Dataset, outputs: usize) -> Result<bool> {
        if *self != Self::BinaryCrossEntropy {
            return Ok(false);
        }
        match &data.targets {
            Targets::Classes { .. } => Ok(is_binary(self, self.outputs(data)?, outputs)),
            Targets::Real(targets) => {
                let values = targets.tensor()?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
                Ok(values.into_iter().all(|value| value == 0.0 || value == 1.0))
            }
        }
    }

    /// What each sample's loss counts as in the mean, for a model with so many outputs: 0 where all its labels are ignored.
    ///
    /// # Errors
    /// When the targets are not of this loss.
    pub(crate) fn sample_weights(&self, targets: &losses::Targets, outputs: usize) -> Result<Vec<f64>> {
        let values = targets.values();
        // Weights depend on the shape of the outputs alone; expanding one zero takes no memory.
        let shape = match self {
            Self::CrossEntropy(_) => [values.dims(), &[outputs]].concat(),
            _ => values.dims().to_vec(),
        };
        let zeros = Tensor::zeros((), DType::F64, values.device())?.broadcast_as(shape)?;
        let weights = self.build().weights(&zeros, values)?.to_dtype(DType::F64)?;
        match targets.weights() {
            Some(of_samples) => Ok((weights * of_samples.to_dtype(DType::F64)?)?.to_vec1()?),
            None => Ok(weights.to_vec1()?),
        }
    }
}

impl CrossEntropy {
    fn outputs(&self, data: &Dataset, labels: &Rows, classes: usize) -> Result<Outputs> {
        match labels.row_shape() {
            [positions] => Ok(Outputs::EachPosition { positions: *positions, classes }),
            _ if self.next_token => Err(Error::input(
                format!("the labels of `{}` have shape {:?}: there is no next token", data.spec, labels.dims()),
                "give a label for each position, an array `y` of shape (N, T): for language models the tokens themselves",
            )),
            _ => Ok(Outputs::AtLeast(classes)),
        }
    }

    fn check_class_weights(&self, outputs: usize) -> Result<()> {
        match self.class_weights.as_ref().map(Vec::len).filter(|&count| count != outputs) {
            None => Ok(()),
            Some(count) => Err(Error::input(
                format!("there are {count} class weights, the model has {outputs} outputs"),
                "give one weight for each output of the model",
            )),
        }
    }

    /// The classes of each position.
    fn labels(&self, labels: Tensor) -> Result<Tensor> {
        if !self.next_token {
            return Ok(labels);
        }
        let (samples, positions) = labels.dims2()?;
        let none = Tensor::full(IGNORED, (samples, 1), labels.device())?;
        Ok(Tensor::cat(&[labels.narrow(1, 1, positions - 1)?, none], 1)?)
    }
}

/// Whether a 0 or 1 is answered by each output.
fn is_binary(loss: &LossSpec, needed: Outputs, outputs: usize) -> bool {
    let fits = match needed {
        Outputs::Binary => outputs == 1,
        Outputs::Exactly(count) => count == outputs,
        _ => false,
    };
    *loss == LossSpec::BinaryCrossEntropy && fits
}

/// How many labels are ignored.
fn ignored(labels: &Rows) -> Result<usize> {
    let labels = labels.tensor()?.flatten_all()?.to_vec1::<i64>()?;
    Ok(labels.into_iter().filter(|&label| label == IGNORED).count())
}

/// Each label must be the number of an output, or the mark of what a loss leaves out.
fn check_classes(labels: &Tensor, outputs: usize, data: &Dataset) -> Result<()> {
    let fits = |label: i64| label == IGNORED || usize::try_from(label).is_ok_and(|label| label < outputs);
    let labels = labels.flatten_all()?.to_vec1::<i64>()?;
    match labels.into_iter().enumerate().find(|&(_, label)| !fits(label)) {
        None => Ok(()),
        Some((position, label)) => Err(Error::input(
            format!("label {label} at position {position} of `{}` is none of the model's {outputs} outputs", data.spec),
            "number the classes from 0 (-100 marks what the loss leaves out), and use a model with an output for each",
        )),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in [
            "cross-entropy",
            "cross-entropy:label-smoothing=0.1",
            "cross-entropy:label-smoothing=0.1,class-weights=1/2/0.5",
            "next-token",
            "next-token:label-smoothing=0.2",
            "mse",
            "bce",
        ] {
            assert_eq!(text.parse::<LossSpec>().unwrap().to_string(), text);
        }
        for (text, message) in [
            ("crossentropy", "unknown loss `crossentropy`"),
            ("mse:label-smoothing=0.1", "`mse` has no settings"),
            ("cross-entropy:label-smoothing=1.5", "expected a share between 0 and 1"),
            ("cross-entropy:class-weights=1/-2", "expected finite numbers from 0"),
            ("cross-entropy:smoothing=0.1", "no setting `smoothing`"),
        ] {
            let error = text.parse::<LossSpec>().unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    fn data(labels: Tensor, classes: usize) -> Dataset {
        let inputs = Tensor::zeros((labels.dims()[0], 2), DType::F32, &Device::Cpu).unwrap();
        Dataset::from_tensors("labels", inputs, Targets::classes(labels, classes)).unwrap()
    }

    fn targets(loss: &str, data: &Dataset, outputs: usize) -> Tensor {
        let loss: LossSpec = loss.parse().unwrap();
        loss.targets(data, outputs, DType::F64, &Device::Cpu).unwrap().values().clone()
    }

    #[test]
    fn the_next_token_is_the_label_of_the_position_behind() {
        let labels = Tensor::new(&[[3_i64, 1, 2], [0, IGNORED, 1]], &Device::Cpu).unwrap();
        let shifted = targets("next-token", &data(labels, 4), 4);
        assert_eq!(shifted.to_vec2::<i64>().unwrap(), [[1, 2, IGNORED], [IGNORED, 1, IGNORED]]);
        let one = data(Tensor::new(&[0_i64, 1], &Device::Cpu).unwrap(), 2);
        let error = "next-token".parse::<LossSpec>().unwrap().outputs(&one).unwrap_err();
        assert!(error.to_string().contains("there is no next token"), "{error}");
    }

    #[test]
    fn binary_cross_entropy_takes_one_output_for_both_classes_or_one_for_each() {
        let data = data(Tensor::new(&[0_i64, 1, 1], &Device::Cpu).unwrap(), 2);
        assert_eq!(targets("bce", &data, 1).to_vec2::<f64>().unwrap(), [[0.0], [1.0], [1.0]]);
        assert_eq!(targets("bce", &data, 2).to_vec2::<f64>().unwrap(), [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]);
        let bce = LossSpec::BinaryCrossEntropy;
        assert!(bce.answers_yes_or_no(&data, 1).unwrap() && !bce.answers_yes_or_no(&data, 2).unwrap());
    }

    #[test]
    fn several_labels_at_a_time_are_a_0_or_1_for_each() {
        let data = data(Tensor::new(&[[0_i64, 1, 1], [0, 0, 0]], &Device::Cpu).unwrap(), 2);
        let bce = LossSpec::BinaryCrossEntropy;
        assert_eq!(bce.outputs(&data).unwrap(), Outputs::Exactly(3));
        assert_eq!(targets("bce", &data, 3).to_vec2::<f64>().unwrap(), [[0.0, 1.0, 1.0], [0.0; 3]]);
        assert!(bce.answers_yes_or_no(&data, 3).unwrap());
        assert!(LossSpec::SquaredError.outputs(&data).unwrap_err().is_bad_input());
    }

    #[test]
    fn class_weights_are_of_all_classes() {
        let data = data(Tensor::new(&[0_i64, 1, 2], &Device::Cpu).unwrap(), 3);
        let loss: LossSpec = "cross-entropy:class-weights=1/2".parse().unwrap();
        let error = loss.targets(&data, 3, DType::F64, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("2 class weights, the model has 3 outputs"), "{error}");
    }
}
