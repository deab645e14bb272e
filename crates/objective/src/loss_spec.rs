//! Which loss, by the names of the command line.

use std::fmt;
use std::str::FromStr;

use basin_tape::losses::{BinaryCrossEntropy, CrossEntropy, Loss, SquaredError};
use candle_core::{D, DType, Device, Tensor};

use crate::data::{Dataset, IGNORED, Targets};
use crate::{Error, Result, suggestion};

/// The loss of a sample.
///
/// ```
/// use basin_objective::LossSpec;
///
/// assert_eq!("mse".parse::<LossSpec>()?, LossSpec::SquaredError);
/// assert_eq!(LossSpec::CrossEntropy.to_string(), "cross-entropy");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossSpec {
    /// Cross-entropy of softmax probabilities against a class.
    CrossEntropy,
    /// Mean squared error over all elements; classes are one-hot vectors.
    SquaredError,
    /// Binary cross-entropy with logits, mean over all elements; classes are one-hot vectors.
    BinaryCrossEntropy,
}

/// The number of outputs that targets ask of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// One for each class; a model may know more classes than the data shows.
    AtLeast(usize),
    /// One for each number of a target.
    Exactly(usize),
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
        }
    }

    /// Whether a model with so many outputs serves.
    pub fn allows(self, count: usize) -> bool {
        match self {
            Self::AtLeast(least) | Self::EachPosition { classes: least, .. } => count >= least,
            Self::Exactly(exactly) => count == exactly,
        }
    }
}

const NAMES: [&str; 3] = ["cross-entropy", "mse", "bce"];

impl FromStr for LossSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cross-entropy" => Ok(Self::CrossEntropy),
            "mse" => Ok(Self::SquaredError),
            "bce" => Ok(Self::BinaryCrossEntropy),
            other => Err(Error::input(format!("unknown loss `{other}`"), suggestion::hint(other, &NAMES))),
        }
    }
}

impl fmt::Display for LossSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize])
    }
}

impl LossSpec {
    /// Cross-entropy for classes, mean squared error for float targets.
    pub fn default_for(data: &Dataset) -> Self {
        if data.classes().is_some() { Self::CrossEntropy } else { Self::SquaredError }
    }

    /// The loss as the engine computes it.
    pub fn build(self) -> Box<dyn Loss> {
        match self {
            Self::CrossEntropy => Box::new(CrossEntropy::default()),
            Self::SquaredError => Box::new(SquaredError),
            Self::BinaryCrossEntropy => Box::new(BinaryCrossEntropy),
        }
    }

    /// The outputs a model needs for these targets.
    ///
    /// # Errors
    /// When the loss needs classes and the targets are floats, or when a loss other than cross-entropy meets ignored labels
    /// or a class per position.
    pub fn outputs(self, data: &Dataset) -> Result<Outputs> {
        match (self, &data.targets) {
            (Self::CrossEntropy, Targets::Classes { labels, classes }) => Ok(match labels.dims() {
                [_, positions] => Outputs::EachPosition { positions: *positions, classes: *classes },
                _ => Outputs::AtLeast(*classes),
            }),
            (_, Targets::Classes { labels, .. }) if labels.rank() != 1 => Err(Error::input(
                format!(
                    "the classes of `{}` have shape {:?}: `{self}` takes one class per sample, not one per position",
                    data.spec,
                    labels.dims()
                ),
                "use `--loss cross-entropy`, or give one class per sample, an array of shape (N,)",
            )),
            (_, Targets::Classes { labels, classes }) => {
                let ignored = labels.to_vec1::<i64>()?.into_iter().filter(|&label| label == IGNORED).count();
                if ignored == 0 {
                    return Ok(Outputs::AtLeast(*classes));
                }
                Err(Error::input(
                    format!("{ignored} labels of `{}` are {IGNORED}, which `{self}` cannot leave out", data.spec),
                    "use `--loss cross-entropy`, or remove these samples",
                ))
            }
            (Self::CrossEntropy, Targets::Real(_)) => Err(Error::input(
                format!("cross-entropy needs integer classes, the targets of `{}` are floats", data.spec),
                "use `--loss mse`, or store the classes `y` as integers",
            )),
            (_, Targets::Real(targets)) => Ok(Outputs::Exactly(targets.dims()[1..].iter().product())),
        }
    }

    /// The targets as the loss takes them: i64 classes, or numbers of the given dtype of shape (N, outputs).
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs), and when a class or a target's length is not one of a model with so many outputs.
    pub fn targets(self, data: &Dataset, outputs: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let needed = self.outputs(data)?;
        match &data.targets {
            Targets::Classes { labels, .. } => check_classes(labels, outputs, data)?,
            Targets::Real(_) if needed.allows(outputs) => {}
            Targets::Real(_) => {
                return Err(Error::input(
                    format!(
                        "a target of `{}` holds {} numbers, the model has {outputs} outputs",
                        data.spec,
                        needed.needed()
                    ),
                    "use a model with one output for each number of a target",
                ));
            }
        }
        let prepared = match (&data.targets, self) {
            (Targets::Classes { labels, .. }, Self::CrossEntropy) => labels.clone(),
            (Targets::Classes { labels, .. }, _) => {
                let numbers = Tensor::arange(0, outputs as i64, labels.device())?;
                labels.unsqueeze(D::Minus1)?.broadcast_eq(&numbers)?.to_dtype(dtype)?
            }
            (Targets::Real(targets), _) => targets.reshape((data.samples(), outputs))?.to_dtype(dtype)?,
        };
        Ok(prepared.to_device(device)?)
    }

    /// The sum of the weights of targets as [`targets`](Self::targets) gives them, for a model with so many outputs: what
    /// the mean loss divides by, 0 where all are ignored.
    ///
    /// # Errors
    /// When the targets are not of this loss.
    pub fn weight(self, targets: &Tensor, outputs: usize) -> Result<f64> {
        Ok(self.sample_weights(targets, outputs)?.into_iter().sum())
    }

    /// The weight of each sample.
    pub(crate) fn sample_weights(self, targets: &Tensor, outputs: usize) -> Result<Vec<f64>> {
        // Weights depend on the shape of the outputs alone; expanding one zero takes no memory.
        let shape = match self {
            Self::CrossEntropy => [targets.dims(), &[outputs]].concat(),
            _ => targets.dims().to_vec(),
        };
        let zeros = Tensor::zeros((), DType::F64, targets.device())?.broadcast_as(shape)?;
        Ok(self.build().weights(&zeros, targets)?.to_dtype(DType::F64)?.to_vec1()?)
    }
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
