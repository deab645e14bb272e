//! What can go wrong while training.

/// An error of a training run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Data, model or weights are not as they should be, or the run was interrupted.
    #[error(transparent)]
    Objective(#[from] basin_objective::Error),
    /// A file of the run directory cannot be read or written.
    #[error(transparent)]
    Records(#[from] basin_records::Error),
    /// The directory holds another run.
    #[error("`{directory}` holds a run with other settings: {difference}")]
    OtherSettings {
        /// The run directory.
        directory: String,
        /// Each field that differs, with both values.
        difference: String,
    },
    /// The loss left the numbers.
    #[error("the loss is {loss} at step {step} of epoch {epoch}, with learning rate {learning_rate}")]
    Diverged {
        /// NaN or an infinity; NaN also where weights or a product with the curvature matrix left the numbers.
        loss: f64,
        /// The step before whose update it was seen, or the last one of an epoch after which it was; counted from 1.
        step: u64,
        /// The epoch, counted from 1.
        epoch: u64,
        /// The learning rate of that step.
        learning_rate: f64,
    },
}

/// The result of a training call.
pub type Result<T> = std::result::Result<T, Error>;

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Objective(error.into())
    }
}

impl From<basin_tape::Error> for Error {
    fn from(error: basin_tape::Error) -> Self {
        Self::Objective(error.into())
    }
}

impl Error {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Objective(error) => error.hint().map(str::to_owned),
            Self::Records(error) => Some(error.hint()),
            Self::OtherSettings { .. } => Some("use the same settings to continue it, or another directory".into()),
            Self::Diverged { .. } => Some("lower the learning rate, or warm it up over the first epochs".into()),
        }
    }
}
