//! Writing safetensors files: the same tensors and metadata give the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use safetensors::Dtype;
use serde::Serialize;

use crate::stored::{bytes_of, safetensors_dtype};
use crate::{Error, Result, file};

/// Writes tensors under their names, with metadata, in one step: whoever reads the path finds the old file or the new one.
///
/// The safetensors crate keeps metadata in an order that changes from run to run, so the header is written here.
///
/// ```
/// use std::collections::BTreeMap;
/// use basin_objective::weights;
/// use candle_core::{Device, Tensor};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("direction.safetensors");
/// let tensors = [("fc1.bias".to_owned(), Tensor::new(&[0.5_f32], &Device::Cpu)?)];
/// weights::write(&path, &tensors, &BTreeMap::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(path: impl AsRef<Path>, tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    let path = path.as_ref();
    let mut entries = tensors.iter().map(|(name, tensor)| Entry::new(name, tensor)).collect::<Result<Vec<_>>>()?;
    // Wide elements first keeps each tensor aligned to its element; tensors of one type stay in the order given.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.dtype.bitsize()));
    let header = header(&entries, metadata)?;
    let contents = entries.iter().map(|entry| bytes_of(entry.tensor));
    // What cannot be converted must fail before a file exists.
    let contents = contents.collect::<Result<Vec<_>>>()?;
    file::replace(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        contents.iter().try_for_each(|bytes| file.write_all(bytes))
    })
}

struct Entry<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    dtype: Dtype,
}

impl<'a> Entry<'a> {
    fn new(name: &'a str, tensor: &'a Tensor) -> Result<Self> {
        let dtype = safetensors_dtype(tensor.dtype()).ok_or_else(|| {
            Error::input(
                format!("tensor `{name}` is of type {}, which is not written", tensor.dtype().as_str()),
                "convert it to f32 first",
            )
        })?;
        Ok(Self { name, tensor, dtype })
    }
}

#[derive(Serialize)]
struct Layout<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// The header's JSON, padded with spaces so that the data start at a multiple of 8 bytes.
fn header(entries: &[Entry<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    const METADATA: &str = "__metadata__";
    let unwritable = |cause: serde_json::Error| {
        Error::input(format!("the header cannot be written: {cause}"), "use shorter names and metadata")
    };
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert(METADATA, serde_json::to_value(metadata).map_err(unwritable)?);
    }
    let mut start = 0;
    for entry in entries {
        let end = start + entry.tensor.elem_count() * entry.dtype.bitsize() / 8;
        let layout = Layout { dtype: entry.dtype, shape: entry.tensor.dims(), data_offsets: [start, end] };
        let layout = serde_json::to_value(layout).map_err(unwritable)?;
        if entry.name == METADATA || header.insert(entry.name, layout).is_some() {
            return Err(Error::input(
                format!("the name `{}` is taken twice", entry.name),
                "give every tensor its own name; `__metadata__` is reserved",
            ));
        }
        start = end;
    }
    let mut header = serde_json::to_vec(&header).map_err(unwritable)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::weights::Weights;
    use candle_core::{DType, Device};
    use safetensors::SafeTensors;

    fn tensors() -> Vec<(String, Tensor)> {
        let cpu = &Device::Cpu;
        let transposed = Tensor::new(&[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]], cpu).unwrap().t().unwrap();
        vec![
            ("b".to_owned(), transposed),
            ("counter".to_owned(), Tensor::new(&[1_u8, 2, 3], cpu).unwrap()),
            ("a".to_owned(), Tensor::new(&[0.1_f64], cpu).unwrap()),
            ("none".to_owned(), Tensor::zeros((0, 4), DType::F32, cpu).unwrap()),
        ]
    }

    fn metadata() -> BTreeMap<String, String> {
        (0..20).map(|i| (format!("key {i}"), format!("\"{i}\" ü\n"))).collect()
    }

    #[test]
    fn the_safetensors_crate_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write(&path, &tensors(), &metadata()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let b = file.tensor("b").unwrap();
        assert_eq!((b.dtype(), b.shape()), (Dtype::F32, &[3, 2][..]));
        let by_rows: Vec<u8> = [1.0_f32, 4.0, 2.0, 5.0, 3.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(b.data(), by_rows);
        assert_eq!(file.tensor("counter").unwrap().data(), [1, 2, 3]);
        assert_eq!(file.tensor("none").unwrap().shape(), [0, 4]);
        let weights = Weights::read(&path).unwrap();
        assert_eq!(weights.metadata, metadata());
        assert_eq!(weights.tensors["a"].to_vec1::<f64>().unwrap(), [0.1]);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |name: &str| {
            let path = folder.path().join(name);
            write(&path, &tensors(), &metadata()).unwrap();
            std::fs::read(path).unwrap()
        };
        assert_eq!(bytes("a"), bytes("b"));
    }

    #[test]
    fn a_name_is_taken_once_and_a_refused_write_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensor = Tensor::new(&[1.0_f32], &Device::Cpu).unwrap();
        let twice = vec![("a".to_owned(), tensor.clone()), ("a".to_owned(), tensor.clone())];
        assert!(write(&path, &twice, &BTreeMap::new()).unwrap_err().to_string().contains("`a` is taken twice"));
        let reserved = vec![("__metadata__".to_owned(), tensor)];
        assert!(write(&path, &reserved, &BTreeMap::new()).unwrap_err().is_bad_input());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
