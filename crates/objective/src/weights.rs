//! Weights in safetensors files, under the names and in the layouts of a PyTorch `state_dict`.
//!
//! ```
//! use std::collections::BTreeMap;
//! use basin_objective::weights::{self, Weights};
//! use candle_core::{DType, Device, Tensor};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! let weight = Tensor::new(&[[1.0_f32, 2.0]], &Device::Cpu)?;
//! let metadata = BTreeMap::from([("epoch".to_owned(), "3".to_owned())]);
//! weights::write(&path, &[("fc1.weight".to_owned(), weight)], &metadata)?;
//!
//! let weights = Weights::read(&path)?;
//! assert_eq!(weights.metadata["epoch"], "3");
//! let gathered = weights.gather(&[("fc1.weight".to_owned(), vec![1, 2])], &[], DType::F64)?;
//! assert_eq!(gathered.parameters.to_vec1::<f64>()?, [1.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod gather;
mod sharded;
mod var_map;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use basin_import::ExportedProgram;
use candle_core::Tensor;

pub use gather::{ForeignNames, Gathered};
pub use writer::write;

use crate::stored::parse_safetensors;
use crate::{Result, file};

/// The tensors of a checkpoint, by the names in its file.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Floating point tensors on the CPU: `F64` where the file holds double precision, else `F32`.
    pub tensors: BTreeMap<String, Tensor>,
    /// The names and types of the other tensors, such as the counter `num_batches_tracked`; no model computes with them.
    pub skipped: BTreeMap<String, String>,
    /// What the writer noted: for a checkpoint of basin its model, data, loss, epoch and more.
    pub metadata: BTreeMap<String, String>,
    /// The blake3 hash of the file's bytes, in hexadecimal; of a checkpoint in several files, of all of them.
    pub fingerprint: String,
    /// Where it was read.
    pub path: PathBuf,
}

impl Weights {
    /// Reads a `.safetensors` file, the weights in a `.pt2` file of `torch.export.save`, or a checkpoint in several files by its `.safetensors.index.json`.
    ///
    /// ```
    /// use basin_objective::weights::Weights;
    ///
    /// let error = Weights::read("no/such.safetensors").unwrap_err();
    /// assert!(error.is_bad_input());
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.to_string_lossy().ends_with(".safetensors.index.json") {
            return sharded::read(path);
        }
        if path.extension().is_some_and(|extension| extension == "pt2") {
            let fingerprint = file::fingerprint(path)?;
            return Ok(Self { fingerprint, ..Self::of_exported(&ExportedProgram::open(path)?)? });
        }
        Self::parse(&file::read(path)?, path)
    }

    /// The weights in the file of an exported network.
    pub(crate) fn of_exported(file: &ExportedProgram) -> Result<Self> {
        let (mut tensors, mut skipped) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in file.weights()? {
            if tensor.dtype().is_float() {
                tensors.insert(name, tensor);
            } else {
                skipped.insert(name, tensor.dtype().as_str().to_owned());
            }
        }
        let path = file.path().to_owned();
        Ok(Self { tensors, skipped, metadata: BTreeMap::new(), fingerprint: String::new(), path })
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let file = parse_safetensors(bytes, path)?;
        let mut tensors = BTreeMap::new();
        let mut skipped = file.others;
        for (name, array) in file.arrays {
            if array.number().is_float() {
                tensors.insert(name, array.to_tensor()?);
            } else {
                skipped.insert(name, array.number().to_string());
            }
        }
        let fingerprint = blake3::hash(bytes).to_hex().to_string();
        Ok(Self { tensors, skipped, metadata: file.metadata, fingerprint, path: path.to_owned() })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use candle_core::DType;
    use half::{bf16, f16};
    use proptest::prelude::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    fn bytes() -> Vec<u8> {
        let tensors = [
            ("half", Dtype::F16, f16::from_f32(0.5).to_le_bytes().to_vec()),
            ("brain", Dtype::BF16, bf16::from_f32(0.25).to_le_bytes().to_vec()),
            ("single", Dtype::F32, 3.0_f32.to_le_bytes().to_vec()),
            ("double", Dtype::F64, 0.1_f64.to_le_bytes().to_vec()),
            ("bn.num_batches_tracked", Dtype::I64, 9_i64.to_le_bytes().to_vec()),
            ("mask", Dtype::BOOL, vec![1]),
            ("tiny", Dtype::F8_E4M3, vec![1]),
        ];
        let views = tensors.iter().map(|(name, dtype, bytes)| (name, TensorView::new(*dtype, vec![1], bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn reads_every_float_and_keeps_the_rest_aside() {
        let bytes = bytes();
        let weights = Weights::parse(&bytes, Path::new("a")).unwrap();
        let value = |name: &str| weights.tensors[name].to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0];
        assert_eq!(["half", "brain", "single", "double"].map(value), [0.5, 0.25, 3.0, 0.1]);
        assert_eq!(weights.tensors["double"].dtype(), DType::F64);
        assert_eq!(weights.tensors["half"].dtype(), DType::F32);
        let skipped: Vec<_> = weights.skipped.iter().map(|(name, dtype)| (name.as_str(), dtype.as_str())).collect();
        assert_eq!(skipped, [("bn.num_batches_tracked", "i64"), ("mask", "bool"), ("tiny", "F8_E4M3")]);
        assert_eq!(weights.fingerprint, blake3::hash(&bytes).to_hex().as_str());
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, b"PK\x03\x04 a pickle in a zip archive").unwrap();
        let error = Weights::read(&path).unwrap_err();
        assert!(error.is_bad_input());
        assert!(error.to_string().contains("model.safetensors` is not a whole safetensors file"), "{error}");
        assert!(Weights::read(folder.path()).unwrap_err().is_bad_input());
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..5)) {
            let mut bytes = bytes();
            let length = bytes.len();
            for (at, value) in damage {
                bytes[at % length] = value;
            }
            let _ = Weights::parse(&bytes, Path::new("a"));
        }
    }
}
