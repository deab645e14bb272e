//! Operations, losses, models and a spectrum against PyTorch. `tests/goldens/pytorch.py` computes what is expected.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

#[path = "goldens/from_scratch.rs"]
mod from_scratch;
#[path = "goldens/golden.rs"]
mod golden;
#[path = "goldens/inputs.rs"]
mod inputs;
#[path = "goldens/losses.rs"]
mod losses;
#[path = "goldens/models.rs"]
mod models;
#[path = "goldens/operations.rs"]
mod operations;
#[path = "goldens/spectrum.rs"]
mod spectrum;

use candle_core::{DType, Tensor};

/// Relative errors allowed against PyTorch's f64: 10⁵ units of rounding of f64 and 10³ of f32. The worst found are
/// 1e-13 and 1.3e-5, where a batch norm of batch statistics cancels; a wrong formula or constant is off by far more.
const TOLERANCES: [(DType, f64); 2] = [(DType::F64, 1e-11), (DType::F32, 1e-4)];

fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let error = golden::distance(found, expected);
    assert!(error <= tolerance, "{what}: off by {error:e}\nfound {found}\nexpected {expected}");
}
