//! Readers of what PyTorch and its exporters write: architectures as [`Program`](basin_tape::Program)s, weights as
//! tensors.

mod error;
pub mod pickle;

pub use error::{Error, Result};
