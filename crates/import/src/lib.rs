//! Readers of what PyTorch and its exporters write: architectures as [`Program`](basin_tape::Program)s, weights as
//! tensors.

mod aten;
mod error;
mod exported_program;
mod graph;
pub mod network;
mod onnx;
pub mod pickle;

pub use error::{Error, Result};
pub use network::NetworkFile;
