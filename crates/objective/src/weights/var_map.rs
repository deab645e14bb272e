//! Weights from a model that lives in a Rust program, without a file in between.

use std::path::PathBuf;

use candle_core::DType;
use candle_nn::VarMap;

use super::Weights;
use crate::{Error, Result};

impl Weights {
    /// The variables of a candle model, under their names in its `VarMap`.
    ///
    /// ```
    /// use basin_objective::weights::Weights;
    /// use candle_core::{DType, Device};
    /// use candle_nn::{VarBuilder, VarMap};
    ///
    /// let variables = VarMap::new();
    /// let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    /// candle_nn::linear(4, 3, builder.pp("fc1"))?;
    /// let weights = Weights::from_var_map(&variables)?;
    /// assert_eq!(weights.tensors["fc1.weight"].dims(), [3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a thread that held the variables panicked, or the device fails.
    pub fn from_var_map(variables: &VarMap) -> Result<Self> {
        let guard = variables.data().lock().map_err(|_| {
            Error::input("the variables were left locked by a thread that panicked", "build the model again")
        })?;
        let mut hash = blake3::Hasher::new();
        let mut tensors = std::collections::BTreeMap::new();
        for (name, variable) in guard.iter() {
            let dtype = if variable.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let tensor = variable.as_detached_tensor().to_device(&candle_core::Device::Cpu)?.to_dtype(dtype)?;
            tensors.insert(name.clone(), tensor);
        }
        for (name, tensor) in &tensors {
            hash.update(name.as_bytes());
            for value in tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()? {
                hash.update(&value.to_le_bytes());
            }
        }
        Ok(Self {
            tensors,
            skipped: Default::default(),
            metadata: Default::default(),
            fingerprint: hash.finalize().to_hex().to_string(),
            path: PathBuf::from("memory"),
            order: Default::default(),
            notes: Default::default(),
        })
    }
}
