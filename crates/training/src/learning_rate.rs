//! A learning rate as it is given: a number, or `auto`.

use std::fmt;
use std::str::FromStr;

use basin_objective::Error;
use serde::{Deserialize, Serialize};

/// The learning rate of stochastic gradient descent before its schedule.
///
/// ```
/// use basin_training::LearningRate;
///
/// assert_eq!("0.1".parse::<LearningRate>()?, LearningRate::Fixed(0.1));
/// assert_eq!("auto".parse::<LearningRate>()?, LearningRate::Automatic);
/// assert!("fast".parse::<LearningRate>().is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum LearningRate {
    /// A number.
    Fixed(f64),
    /// Chosen with the momentum from the curvature of the training batch, see [`HeavyBall`](crate::HeavyBall).
    Automatic,
}

impl From<f64> for LearningRate {
    fn from(learning_rate: f64) -> Self {
        Self::Fixed(learning_rate)
    }
}

impl FromStr for LearningRate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Automatic),
            _ => text.parse().map(Self::Fixed).map_err(|_| {
                Error::input(format!("the learning rate is `{text}`"), "give a number such as 0.1, or `auto`")
            }),
        }
    }
}

impl fmt::Display for LearningRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(learning_rate) => write!(f, "{learning_rate}"),
            Self::Automatic => f.write_str("auto"),
        }
    }
}

/// How it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or `auto`")]
enum Written {
    Number(f64),
    Name(Name),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Auto,
}

impl From<Written> for LearningRate {
    fn from(written: Written) -> Self {
        match written {
            Written::Number(learning_rate) => Self::Fixed(learning_rate),
            Written::Name(Name::Auto) => Self::Automatic,
        }
    }
}

impl From<LearningRate> for Written {
    fn from(learning_rate: LearningRate) -> Self {
        match learning_rate {
            LearningRate::Fixed(learning_rate) => Self::Number(learning_rate),
            LearningRate::Automatic => Self::Name(Name::Auto),
        }
    }
}
