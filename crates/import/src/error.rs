//! What can be wrong with a file that another program wrote.

/// What is wrong with a file, and what to do about it.
///
/// ```
/// use basin_import::Error;
///
/// let error = Error::new("`net.pt2` is empty", "export it again");
/// assert_eq!(error.to_string(), "`net.pt2` is empty");
/// assert_eq!(error.hint(), "export it again");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    hint: String,
}

/// The result of reading a file of others.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A fault, with what to do about it.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}
