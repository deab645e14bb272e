//! Reading what `pytorch.py` wrote, and comparing with it.

use std::path::Path;

use basin_objective::weights::Weights;
use candle_core::{DType, Device, Tensor};
use serde::de::DeserializeOwned;

/// The tensors of one file beside `pytorch.py`.
pub(crate) struct Golden(Weights);

impl Golden {
    pub(crate) fn read(file: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens");
        Self(Weights::read(Path::new(folder).join(file)).unwrap())
    }

    /// What the script noted beside the tensors, such as its cases.
    pub(crate) fn notes<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.0.metadata["golden"]).unwrap()
    }

    pub(crate) fn tensor(&self, name: &str) -> &Tensor {
        &self.0.tensors[name]
    }
}

/// Element i is uniform in [−1, 1): the SplitMix64 generator's hash of i + 2³² stream, as in `pytorch.py`.
pub(crate) fn numbers(stream: u64, shape: &[usize]) -> Tensor {
    let element = |i: u64| {
        let mut z = ((stream << 32) + 1 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    let elements: Vec<f64> = (0..shape.iter().product::<usize>() as u64).map(element).collect();
    Tensor::from_vec(elements, shape, &Device::Cpu).unwrap()
}

pub(crate) fn norm(x: &Tensor) -> f64 {
    let squares = x.to_dtype(DType::F64).unwrap().sqr().unwrap();
    squares.sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
}

/// The norm of the error relative to that of what is expected; NaN where anything is.
pub(crate) fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let error = norm(&(found.to_dtype(DType::F64).unwrap() - expected).unwrap());
    if error == 0.0 { 0.0 } else { error / norm(expected) }
}
