//! Arrays as they lie in files, their names and shapes in safetensors files, and candle tensors made of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::file::ReadAt;
use crate::{Error, Result};

/// The longest header of a safetensors file, as the crate of that name has it.
const LONGEST_HEADER: u64 = 100_000_000;

/// The kinds of number that files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Number {
    /// Bytes per element.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    fn from_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::U16 => Self::U16,
            Dtype::I16 => Self::I16,
            Dtype::U32 => Self::U32,
            Dtype::I32 => Self::I32,
            Dtype::U64 => Self::U64,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// An array of a file: little-endian, row by row, with exactly as many bytes as its shape asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored<'a> {
    number: Number,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Stored<'a> {
    /// `None` unless there are exactly as many bytes as the shape asks for.
    pub(crate) fn new(number: Number, shape: Vec<usize>, bytes: Cow<'a, [u8]>) -> Option<Self> {
        (byte_length(&shape, number)? == bytes.len()).then_some(Self { number, shape, bytes })
    }

    pub(crate) fn number(&self) -> Number {
        self.number
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same values in the nearest type that candle computes with: half precision becomes single precision, other
    /// integers become `U8`, `U32` or `I64`.
    pub(crate) fn to_tensor(&self) -> Result<Tensor> {
        let shape = self.shape.as_slice();
        let cpu = &Device::Cpu;
        let bytes = &*self.bytes;
        Ok(match self.number {
            Number::Bool => Tensor::from_vec(values(bytes, |[byte]| u8::from(byte != 0)), shape, cpu),
            Number::U8 => Tensor::from_slice(bytes, shape, cpu),
            Number::U16 => Tensor::from_vec(values(bytes, |x| u32::from(u16::from_le_bytes(x))), shape, cpu),
            Number::U32 => Tensor::from_vec(values(bytes, u32::from_le_bytes), shape, cpu),
            Number::F16 => Tensor::from_vec(values(bytes, |x| f16::from_le_bytes(x).to_f32()), shape, cpu),
            Number::BF16 => Tensor::from_vec(values(bytes, |x| bf16::from_le_bytes(x).to_f32()), shape, cpu),
            Number::F32 => Tensor::from_vec(values(bytes, f32::from_le_bytes), shape, cpu),
            Number::F64 => Tensor::from_vec(values(bytes, f64::from_le_bytes), shape, cpu),
            Number::I8 | Number::I16 | Number::I32 | Number::I64 | Number::U64 => {
                Tensor::from_vec(self.to_integers()?, shape, cpu)
            }
        }?)
    }

    /// The values of an integer array; floating point and values beyond `i64` are errors.
    pub(crate) fn to_integers(&self) -> Result<Vec<i64>> {
        let bytes = &*self.bytes;
        Ok(match self.number {
            Number::Bool => values(bytes, |[byte]| i64::from(byte != 0)),
            Number::U8 => values(bytes, |[byte]| i64::from(byte)),
            Number::I8 => values(bytes, |x| i64::from(i8::from_le_bytes(x))),
            Number::U16 => values(bytes, |x| i64::from(u16::from_le_bytes(x))),
            Number::I16 => values(bytes, |x| i64::from(i16::from_le_bytes(x))),
            Number::U32 => values(bytes, |x| i64::from(u32::from_le_bytes(x))),
            Number::I32 => values(bytes, |x| i64::from(i32::from_le_bytes(x))),
            Number::U64 => {
                values(bytes, |x| i64::try_from(u64::from_le_bytes(x))).into_iter().collect::<Result<_, _>>().map_err(
                    |_| Error::input("a 64-bit integer exceeds 2^63 - 1", "store the values as signed integers"),
                )?
            }
            Number::I64 => values(bytes, i64::from_le_bytes),
            Number::F16 | Number::BF16 | Number::F32 | Number::F64 => {
                return Err(Error::input(
                    format!("expected integers, found {}", self.number),
                    "store the values as integers",
                ));
            }
        })
    }
}

/// How many bytes an array takes; `None` when no memory could hold it.
pub(crate) fn byte_length(shape: &[usize], number: Number) -> Option<usize> {
    shape.iter().try_fold(number.size(), |product, &extent| product.checked_mul(extent))
}

fn values<const SIZE: usize, T>(bytes: &[u8], from_bytes: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<SIZE>();
    elements.iter().map(|&element| from_bytes(element)).collect()
}

/// Where an array lies in a file: little-endian, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located {
    pub(crate) number: Number,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: u64,
}

impl Located {
    /// Bytes that it takes; `None` when no memory could hold it.
    pub(crate) fn bytes(&self) -> Option<u64> {
        byte_length(&self.shape, self.number).map(|bytes| bytes as u64)
    }

    /// The array.
    pub(crate) fn read(&self, file: &dyn ReadAt) -> Result<Stored<'static>> {
        let bytes = file.read_at(self.start, self.bytes().ok_or_else(too_large)?)?;
        Stored::new(self.number, self.shape.clone(), Cow::Owned(bytes)).ok_or_else(too_large)
    }

    /// The rows at some positions.
    pub(crate) fn rows(&self, file: &dyn ReadAt, positions: &[usize]) -> Result<Stored<'static>> {
        let row = byte_length(self.shape.get(1..).unwrap_or_default(), self.number).ok_or_else(too_large)? as u64;
        let mut bytes = Vec::new();
        // Rows that lie one behind the other are read at once.
        for run in positions.chunk_by(|a, b| a + 1 == *b) {
            let first = (run[0] as u64).checked_mul(row).and_then(|offset| offset.checked_add(self.start));
            bytes.extend(file.read_at(first.ok_or_else(too_large)?, run.len() as u64 * row)?);
        }
        let shape = [&[positions.len()], self.shape.get(1..).unwrap_or_default()].concat();
        Stored::new(self.number, shape, Cow::Owned(bytes)).ok_or_else(too_large)
    }
}

fn too_large() -> Error {
    Error::input("an array is larger than any memory", "check that the file was copied completely")
}

/// What a safetensors file holds.
#[derive(Debug)]
pub(crate) struct SafetensorsFile {
    /// The arrays of numbers, by name.
    pub(crate) arrays: BTreeMap<String, Located>,
    /// The names of all tensors, in the order in which their numbers lie in the file.
    pub(crate) order: Vec<String>,
    /// The names and types of the other tensors (8-bit and smaller floats, complex numbers).
    pub(crate) others: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Whether a file begins as a safetensors file does: with the length of a header that is there and opens a JSON object.
pub(crate) fn is_safetensors(file: &dyn ReadAt) -> Result<bool> {
    if file.length() < 9 {
        return Ok(false);
    }
    let beginning = file.read_at(0, 9)?;
    let length = beginning.first_chunk().map(|&length| u64::from_le_bytes(length));
    Ok(length.is_some_and(|length| length <= file.length() - 8) && beginning[8] == b'{')
}

/// Reads the header of a safetensors file; `path` serves the messages.
pub(crate) fn read_safetensors(file: &dyn ReadAt, path: &Path) -> Result<SafetensorsFile> {
    let invalid = |reason: String| {
        Error::input(
            format!("`{}` is not a whole safetensors file: {reason}", path.display()),
            "check that the file was copied completely and was written by `safetensors.torch.save_file` or by basin",
        )
    };
    let header = header(file)?.map_err(invalid)?;
    let data = file.length() - 8 - header.len() as u64;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|cause| invalid(format!("its header does not describe tensors one behind the other: {cause}")))?;
    let described = header.data_len() as u64;
    if described != data {
        return Err(invalid(format!("what it describes ends at byte {described} of the data, which has {data} bytes")));
    }
    let start = file.length() - data;
    let (mut arrays, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (name, info) in header.tensors() {
        match Number::from_safetensors(info.dtype) {
            Some(number) => {
                let start = start + info.data_offsets.0 as u64;
                arrays.insert(name, Located { number, shape: info.shape.clone(), start });
            }
            None => drop(others.insert(name, info.dtype.to_string())),
        }
    }
    let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    // The crate keeps tensors in the order of their offsets.
    let order = header.offset_keys();
    Ok(SafetensorsFile { arrays, order, others, metadata })
}

/// The text of a header; what is wrong is said as the end of a sentence.
fn header(file: &dyn ReadAt) -> Result<Result<Vec<u8>, String>> {
    let Some(rest) = file.length().checked_sub(8) else { return Ok(Err("it has fewer than 8 bytes".into())) };
    let length = file.read_at(0, 8)?.first_chunk().map_or(0, |&length| u64::from_le_bytes(length));
    match length <= rest.min(LONGEST_HEADER) {
        true => Ok(Ok(file.read_at(8, length)?)),
        false => Ok(Err(format!("its first 8 bytes promise a header of {length} bytes, {rest} follow"))),
    }
}

/// The elements of a tensor as little-endian bytes, row by row.
pub(crate) fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    fn bytes<T: candle_core::WithDType, const SIZE: usize>(
        tensor: &Tensor,
        to_bytes: impl Fn(T) -> [u8; SIZE],
    ) -> Result<Vec<u8>> {
        Ok(tensor.to_vec1::<T>()?.into_iter().flat_map(to_bytes).collect())
    }
    let flat = tensor.flatten_all()?;
    match flat.dtype() {
        DType::U8 => Ok(flat.to_vec1()?),
        DType::U32 => bytes(&flat, u32::to_le_bytes),
        DType::I16 => bytes(&flat, i16::to_le_bytes),
        DType::I32 => bytes(&flat, i32::to_le_bytes),
        DType::I64 => bytes(&flat, i64::to_le_bytes),
        DType::F16 => bytes(&flat, f16::to_le_bytes),
        DType::BF16 => bytes(&flat, bf16::to_le_bytes),
        DType::F32 => bytes(&flat, f32::to_le_bytes),
        DType::F64 => bytes(&flat, f64::to_le_bytes),
        other => Err(Error::input(
            format!("tensors of type {} cannot be written", other.as_str()),
            "convert the tensor to f32 first",
        )),
    }
}

/// The type's name in a safetensors header; `None` for what [`bytes_of`] refuses.
pub(crate) fn safetensors_dtype(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::U8 => Dtype::U8,
        DType::U32 => Dtype::U32,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        _ => return None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored<const SIZE: usize>(number: Number, elements: &[[u8; SIZE]]) -> Stored<'static> {
        Stored::new(number, vec![elements.len()], Cow::Owned(elements.concat())).unwrap()
    }

    #[test]
    fn every_kind_of_number_keeps_its_values() {
        let integers = [
            (stored(Number::Bool, &[[0], [2]]), vec![0, 1], DType::U8),
            (stored(Number::U8, &[[0], [255]]), vec![0, 255], DType::U8),
            (stored(Number::I8, &[[0], [255]]), vec![0, -1], DType::I64),
            (stored(Number::U16, &[65535_u16.to_le_bytes()]), vec![65535], DType::U32),
            (stored(Number::I16, &[(-300_i16).to_le_bytes()]), vec![-300], DType::I64),
            (stored(Number::U32, &[u32::MAX.to_le_bytes()]), vec![i64::from(u32::MAX)], DType::U32),
            (stored(Number::I32, &[i32::MIN.to_le_bytes()]), vec![i64::from(i32::MIN)], DType::I64),
            (stored(Number::U64, &[7_u64.to_le_bytes()]), vec![7], DType::I64),
            (stored(Number::I64, &[(-7_i64).to_le_bytes()]), vec![-7], DType::I64),
        ];
        for (array, expected, dtype) in integers {
            assert_eq!(array.to_integers().unwrap(), expected, "{}", array.number());
            let tensor = array.to_tensor().unwrap();
            assert_eq!(tensor.dtype(), dtype, "{}", array.number());
            let exact = tensor.to_dtype(DType::I64).unwrap().to_vec1::<i64>().unwrap();
            assert_eq!(exact, expected, "{}", array.number());
        }
        let floats = [
            (stored(Number::F16, &[f16::from_f32(1.5).to_le_bytes()]), DType::F32),
            (stored(Number::BF16, &[bf16::from_f32(1.5).to_le_bytes()]), DType::F32),
            (stored(Number::F32, &[1.5_f32.to_le_bytes()]), DType::F32),
            (stored(Number::F64, &[1.5_f64.to_le_bytes()]), DType::F64),
        ];
        for (array, dtype) in floats {
            assert!(array.to_integers().is_err());
            let tensor = array.to_tensor().unwrap();
            assert_eq!(tensor.dtype(), dtype);
            assert_eq!(tensor.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap(), [1.5]);
        }
    }

    #[test]
    fn an_integer_beyond_64_signed_bits_is_refused() {
        let array = stored(Number::U64, &[u64::MAX.to_le_bytes()]);
        assert!(array.to_integers().unwrap_err().is_bad_input());
        assert!(array.to_tensor().unwrap_err().is_bad_input());
    }

    #[test]
    fn the_bytes_must_fit_the_shape() {
        assert_eq!(Stored::new(Number::F32, vec![2], Cow::Owned(vec![0; 7])), None);
        assert_eq!(Stored::new(Number::F32, vec![usize::MAX, 2], Cow::Owned(vec![])), None);
        assert!(Stored::new(Number::F32, vec![0, 3], Cow::Owned(vec![])).is_some());
    }

    fn valid() -> Vec<u8> {
        let values = [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![2], &values).unwrap();
        let metadata = [("epoch".to_owned(), "3".to_owned())].into();
        safetensors::serialize([("w", view)], Some(metadata)).unwrap()
    }

    #[test]
    fn reads_what_the_safetensors_crate_writes() {
        let bytes = valid();
        let file = read_safetensors(&&bytes[..], Path::new("a")).unwrap();
        assert_eq!(
            file.arrays["w"].read(&&bytes[..]).unwrap(),
            stored(Number::F32, &[1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()])
        );
        assert_eq!(file.metadata["epoch"], "3");
        assert!(file.others.is_empty());
    }

    /// Offsets whose sum overflows must be an error, not a panic in the safetensors crate.
    #[test]
    fn offsets_beyond_the_file_are_refused() {
        let most = (1_u64 << 61) - 1;
        let tensors: Vec<String> = (0..8_u64)
            .map(|i| {
                let (start, end) = (i * most, (i + 1) * most);
                format!(r#""t{i}":{{"dtype":"U8","shape":[{most}],"data_offsets":[{start},{end}]}}"#)
            })
            .collect();
        let header = format!("{{{}}}", tensors.join(","));
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let error = read_safetensors(&&bytes[..], Path::new("a.safetensors")).unwrap_err();
        assert!(error.to_string().contains("is not a whole safetensors file"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert!(read_safetensors(&&bytes[..], Path::new("a")).is_err());
        }

        #[test]
        fn damaged_files_never_panic(at in 0..200_usize, value: u8, length in 0..200_usize) {
            let mut bytes = valid();
            let last = bytes.len() - 1;
            bytes[at.min(last)] = value;
            bytes.truncate(length);
            if let Ok(file) = read_safetensors(&&bytes[..], Path::new("a")) {
                for array in file.arrays.values() {
                    prop_assert!(array.read(&&bytes[..]).unwrap().to_tensor().is_ok());
                }
            }
        }
    }
}
