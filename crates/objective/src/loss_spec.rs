//! Which loss, by the names of the command line.

use std::fmt;
use std::str::FromStr;

use basin_tape::losses::{BinaryCrossEntropy, CrossEntropy, Loss, SquaredError};
use candle_core::{D, DType, Device, Tensor};

use crate::data::{Dataset, Targets};
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
            Self::AtLeast(count) | Self::Exactly(count) => count,
        }
    }

    /// Whether a model with so many outputs serves.
    pub fn allows(self, count: usize) -> bool {
        match self {
            Self::AtLeast(least) => count >= least,
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
    /// When the loss needs classes and the targets are floats.
    pub fn outputs(self, data: &Dataset) -> Result<Outputs> {
        match (self, &data.targets) {
            (_, Targets::Classes { classes, .. }) => Ok(Outputs::AtLeast(*classes)),
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
    /// When the loss needs classes and the targets are floats.
    pub fn targets(self, data: &Dataset, outputs: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        self.outputs(data)?;
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
}
