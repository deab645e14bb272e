//! What can go wrong while a program is built or run.

/// An error of the engine, naming the operation and what it found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor does not have the shape that an operation needs.
    #[error("{op}: expected {expected}, found shape {found:?}")]
    Shape {
        /// The operation that was applied.
        op: &'static str,
        /// What the operation needs, in words.
        expected: String,
        /// The shape that it was given.
        found: Vec<usize>,
    },
    /// An operation cannot be applied as asked.
    #[error("{op}: {reason}")]
    Unsupported {
        /// The operation that was applied.
        op: &'static str,
        /// Why it cannot be applied.
        reason: String,
    },
    /// A parameter has no influence on the output of a program, so that its gradient would silently be zero.
    #[error("parameter `{name}` receives no gradient: the output does not depend on it")]
    UnreachedParameter {
        /// The parameter's name in the layout.
        name: String,
    },
    /// A vector does not have the length of the parameters.
    #[error("{what} has {found} elements, the layout has {expected}")]
    Length {
        /// Which vector.
        what: &'static str,
        /// The number of elements the layout needs.
        expected: usize,
        /// The number of elements found.
        found: usize,
    },
    /// An error of candle's.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn shape(op: &'static str, expected: impl Into<String>, found: &[usize]) -> Self {
        Self::Shape { op, expected: expected.into(), found: found.to_vec() }
    }

    pub(crate) fn unsupported(op: &'static str, reason: impl Into<String>) -> Self {
        Self::Unsupported { op, reason: reason.into() }
    }
}
