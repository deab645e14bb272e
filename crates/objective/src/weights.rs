//! Weights in safetensors files, in those of `torch.save` and in pickled NumPy arrays, under the names and in the layouts of
//! a PyTorch `state_dict`.
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
mod pytorch;
mod rename;
mod sharded;
mod var_map;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use basin_import::{NetworkFile, pickle};
use candle_core::Tensor;

pub use gather::{ForeignNames, Gathered};
pub use rename::Rename;
pub use writer::write;

use crate::file::{OpenFile, ReadAt};
use crate::stored::{Number, Stored, is_safetensors, read_safetensors};
use crate::{Error, Result, file};

/// Bytes at the beginning of a file that say what kind it is.
const BEGINNING: u64 = 1024;

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
    /// The names of `tensors` in the order of the file, where it has one.
    pub order: Vec<String>,
    /// What a reader of the results should know, such as tensors that were widened.
    pub notes: Vec<String>,
}

impl Weights {
    /// Reads a safetensors file, a file of `torch.save` or `torch.export.save`, an ONNX file, a checkpoint in several files by its index, or a directory of
    /// Hugging Face with one of these. What kind it is, its bytes say. Of several state_dicts in one file,
    /// `FILE#state_dict_ema` names one by its keys.
    ///
    /// ```
    /// use basin_objective::weights::Weights;
    ///
    /// let error = Weights::read("no/such.safetensors").unwrap_err();
    /// assert!(error.is_bad_input());
    /// ```
    ///
    /// # Errors
    /// When the file is missing, damaged or of another kind.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() {
            return Self::read(in_directory(path)?);
        }
        if path.to_string_lossy().ends_with(".index.json") {
            return sharded::read(path);
        }
        if NetworkFile::is_named_by(path) {
            let network = NetworkFile::open(path)?;
            let weights = Self::of_exported(&network)?;
            return Ok(Self { fingerprint: file::fingerprint(&network.files())?, ..weights });
        }
        match chosen(path) {
            Some((file, choice)) => Self::parse(&OpenFile::open(&file)?, path, Some(&choice)),
            None => Self::parse(&OpenFile::open(path)?, path, None),
        }
    }

    /// The weights in the file of an exported network.
    pub(crate) fn of_exported(file: &NetworkFile) -> Result<Self> {
        let mut weights = Self::empty(file.path());
        for (name, tensor) in file.weights()? {
            if tensor.dtype().is_float() {
                weights.order.push(name.clone());
                weights.tensors.insert(name, tensor);
            } else {
                weights.skipped.insert(name, tensor.dtype().as_str().to_owned());
            }
        }
        Ok(weights)
    }

    /// Whether they were read from the file of a network, which says what is computed with them.
    pub fn are_of_network(&self) -> bool {
        NetworkFile::is_named_by(&self.path)
    }

    fn parse(file: &dyn ReadAt, path: &Path, choice: Option<&str>) -> Result<Self> {
        let beginning = file.read_at(0, file.length().min(BEGINNING))?;
        // The length of a safetensors header may begin with the two bytes of a pickle.
        if !is_safetensors(file)? && (pickle::is_zip(&beginning) || pickle::is_pickle(&beginning)) {
            return pytorch::parse(&file.all()?, path, choice);
        }
        if choice.is_some() {
            return Err(Error::input(
                format!("`{}` is a safetensors file, which holds a single state_dict", path.display()),
                "leave out what is behind the `#`",
            ));
        }
        let mut header = read_safetensors(file, path)?;
        let mut weights = Self::empty(path);
        weights.skipped = header.others;
        weights.metadata = header.metadata;
        let in_order = header.order.into_iter().filter_map(|name| header.arrays.remove_entry(&name));
        // One tensor is read at a time: the file is never held beside them.
        weights.add(in_order.map(|(name, array)| Ok((name, array.read(file)?))))?;
        weights.fingerprint = file.fingerprint()?;
        Ok(weights)
    }

    pub(crate) fn empty(path: &Path) -> Self {
        Self {
            tensors: BTreeMap::new(),
            skipped: BTreeMap::new(),
            metadata: BTreeMap::new(),
            fingerprint: String::new(),
            path: path.to_owned(),
            order: vec![],
            notes: vec![],
        }
    }

    /// Adds the tensors of a file in its order; what is not computed with is set aside, what is of half precision widened.
    fn add<'a>(&mut self, arrays: impl Iterator<Item = Result<(String, Stored<'a>)>>) -> Result<()> {
        let mut halves = Vec::new();
        for array in arrays {
            let (name, array) = array?;
            let number = array.number();
            if !number.is_float() {
                self.skipped.insert(name, number.to_string());
                continue;
            }
            if number.size() < 4 {
                halves.push(number);
            }
            self.order.push(name.clone());
            self.tensors.insert(name, array.to_tensor()?);
        }
        self.note_widened(&halves);
        Ok(())
    }

    fn note_widened(&mut self, halves: &[Number]) {
        let mut widened = BTreeMap::<String, usize>::new();
        halves.iter().for_each(|number| *widened.entry(number.to_string()).or_default() += 1);
        let note = |(number, count): (String, usize)| {
            format!("widened {count} tensor{} from {number} to f32", if count == 1 { "" } else { "s" })
        };
        self.notes.extend(widened.into_iter().map(note));
    }
}

/// The checkpoint in a directory as Hugging Face lays it out.
fn in_directory(path: &Path) -> Result<PathBuf> {
    const NAMES: [&str; 4] =
        ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
    NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        Error::input(
            format!("the directory `{}` holds no checkpoint: there is none of {}", path.display(), NAMES.join(", ")),
            "name the file inside the directory",
        )
    })
}

/// A file and what `#` names inside it, unless a file has that very name.
fn chosen(path: &Path) -> Option<(PathBuf, String)> {
    let (file, choice) = path.to_str()?.rsplit_once('#')?;
    (!path.exists()).then(|| (PathBuf::from(file), choice.to_owned()))
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
        let weights = Weights::parse(&&bytes[..], Path::new("a"), None).unwrap();
        let value = |name: &str| weights.tensors[name].to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0];
        assert_eq!(["half", "brain", "single", "double"].map(value), [0.5, 0.25, 3.0, 0.1]);
        assert_eq!(weights.tensors["double"].dtype(), DType::F64);
        assert_eq!(weights.tensors["half"].dtype(), DType::F32);
        let skipped: Vec<_> = weights.skipped.iter().map(|(name, dtype)| (name.as_str(), dtype.as_str())).collect();
        assert_eq!(skipped, [("bn.num_batches_tracked", "i64"), ("mask", "bool"), ("tiny", "F8_E4M3")]);
        assert_eq!(weights.fingerprint, blake3::hash(&bytes).to_hex().as_str());
    }

    #[test]
    fn a_safetensors_header_of_640_bytes_is_no_pickle() {
        // 640 is 0x280: the file begins with 80 02, as a pickle of protocol 2 does.
        let header = |padding: usize| {
            let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
            let metadata = [("note".to_owned(), "x".repeat(padding))].into();
            safetensors::serialize([("w", view)], Some(metadata)).unwrap()
        };
        let bytes = (0..640).map(header).find(|bytes| bytes.starts_with(&640_u64.to_le_bytes())).unwrap();
        assert!(Weights::parse(&&bytes[..], Path::new("a"), None).unwrap().tensors.contains_key("w"));
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, b"\x7fELF a program").unwrap();
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
            let _ = Weights::parse(&&bytes[..], Path::new("a"), None);
        }
    }
}
