//! Readers of what PyTorch and its exporters write: architectures as [`Program`](basin_tape::Program)s, weights as
//! tensors.

mod aten;
mod error;
pub mod exported_program;
mod graph;
pub mod pickle;

pub use error::{Error, Result};
pub use exported_program::ExportedProgram;
