//! Tensors as views of storages, and their elements row by row.

use std::collections::HashMap;
use std::fmt;

use super::machine::{Heap, Value};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// `torch.bool`
    Bool,
    /// `torch.uint8`
    U8,
    /// `torch.int8`
    I8,
    /// `torch.int16`
    I16,
    /// `torch.int32`
    I32,
    /// `torch.int64`
    I64,
    /// `torch.float16`
    F16,
    /// `torch.bfloat16`
    BF16,
    /// `torch.float32`
    F32,
    /// `torch.float64`
    F64,
    /// Complex numbers, quantized ones and whatever else is not computed with; the number is that of bytes per element.
    Other(usize),
}

impl ElementType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
            Self::Other(size) => size,
        }
    }

    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class.strip_suffix("Storage")? {
            "Bool" => Self::Bool,
            "Byte" | "Untyped" => Self::U8,
            "Char" => Self::I8,
            "Short" => Self::I16,
            "Int" => Self::I32,
            "Long" => Self::I64,
            "Half" => Self::F16,
            "BFloat16" => Self::BF16,
            "Float" => Self::F32,
            "Double" => Self::F64,
            "ComplexFloat" => Self::Other(8),
            "ComplexDouble" => Self::Other(16),
            "QUInt8" | "QInt8" => Self::Other(1),
            "QInt32" => Self::Other(4),
            _ => return None,
        })
    }

    /// By the letters of a NumPy type; `None` for objects, texts, dates and records.
    pub(super) fn of_numpy(letters: &str) -> Option<Self> {
        Some(match letters {
            "b1" => Self::Bool,
            "u1" => Self::U8,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            "u2" => Self::Other(2),
            "u4" => Self::Other(4),
            "u8" | "c8" => Self::Other(8),
            "c16" | "f16" => Self::Other(16),
            _ => return None,
        })
    }

    pub(super) fn of_torch(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "uint8" => Self::U8,
            "int8" => Self::I8,
            "int16" => Self::I16,
            "int32" => Self::I32,
            "int64" => Self::I64,
            "float16" => Self::F16,
            "bfloat16" => Self::BF16,
            "float32" => Self::F32,
            "float64" => Self::F64,
            "uint16" => Self::Other(2),
            "uint32" => Self::Other(4),
            "uint64" | "complex64" => Self::Other(8),
            "complex128" => Self::Other(16),
            "float8_e4m3fn" | "float8_e5m2" | "float8_e4m3fnuz" | "float8_e5m2fnuz" => Self::Other(1),
            _ => return None,
        })
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Other(_) => "a type that is not computed with",
        })
    }
}

/// A tensor: little-endian elements, row by row, exactly as many as its shape asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The type of the elements.
    pub element: ElementType,
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Vec<u8>,
}

/// The bytes of each storage, by its key.
pub(super) type Storages<'a> = HashMap<String, &'a [u8]>;

/// Which storage, and what it holds.
#[derive(Clone, Debug)]
pub(super) struct StorageId {
    pub(super) element: ElementType,
    pub(super) key: String,
    pub(super) elements: usize,
}

/// Where the elements of a tensor lie.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Storage(StorageId),
    /// Bytes in the pickle itself.
    Pickle(Value),
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorView {
    pub(super) source: Source,
    pub(super) element: ElementType,
    pub(super) big_endian: bool,
    /// In elements, as the strides are.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Source {
    fn bytes<'a>(&self, heap: &'a Heap, storages: &Storages<'a>) -> Result<&'a [u8], String> {
        let storage = match self {
            Self::Storage(storage) => storage,
            Self::Pickle(bytes) => return heap.bytes(*bytes).ok_or_else(|| "its elements are missing".to_owned()),
        };
        let bytes = *storages.get(&storage.key).ok_or_else(|| format!("storage `{}` is missing", storage.key))?;
        if storage.elements.checked_mul(storage.element.size()) != Some(bytes.len()) {
            return Err(format!(
                "storage `{}` has {} bytes, expected {} elements of {}",
                storage.key,
                bytes.len(),
                storage.elements,
                storage.element
            ));
        }
        Ok(bytes)
    }
}

impl TensorView {
    /// The elements row by row. No more than `budget` bytes are made, which are taken from it: a view of one element may
    /// claim any number of them.
    pub(super) fn read(&self, heap: &Heap, storages: &Storages<'_>, budget: &mut usize) -> Result<Array, String> {
        let size = self.element.size();
        let bytes = self.source.bytes(heap, storages)?;
        if self.shape.len() != self.strides.len() {
            return Err(format!("there are {} sizes and {} strides", self.shape.len(), self.strides.len()));
        }
        let too_large = || format!("a tensor of shape {:?} is more than the file can hold", self.shape);
        let count = self.shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
        let count = count.ok_or_else(too_large)?;
        let total = count.checked_mul(size).ok_or_else(too_large)?;
        *budget = budget.checked_sub(total).ok_or_else(too_large)?;
        let mut elements = Vec::with_capacity(total);
        if count > 0 {
            let steps = self.shape.iter().zip(&self.strides);
            let last = steps
                .clone()
                .try_fold(self.offset, |at, (&length, &stride)| at.checked_add((length - 1).checked_mul(stride)?));
            let within = last.and_then(|last| last.checked_add(1)?.checked_mul(size)).filter(|&end| end <= bytes.len());
            within.ok_or_else(|| {
                format!(
                    "a tensor of shape {:?}, strides {:?} and offset {} reaches past the {} bytes of its storage",
                    self.shape,
                    self.strides,
                    self.offset,
                    bytes.len(),
                )
            })?;
            self.rows(bytes, count, &mut elements);
        }
        if self.big_endian {
            elements.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(Array { element: self.element, shape: self.shape.clone(), bytes: elements })
    }

    /// Copies the elements in the order of their indices, along the last axis at once where they lie side by side.
    fn rows(&self, bytes: &[u8], count: usize, elements: &mut Vec<u8>) {
        let size = self.element.size();
        // The longest run of last axes that lie row by row.
        let mut run = 1;
        let mut outer = self.shape.len();
        for (&length, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if length > 1 && stride != run {
                break;
            }
            run *= length;
            outer -= 1;
        }
        let outer: Vec<(usize, usize)> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).take(outer).collect();
        let mut index = vec![0; outer.len()];
        let mut at = self.offset;
        for _ in 0..count / run {
            elements.extend(bytes.get(at * size..(at + run) * size).unwrap_or_default());
            for (i, &(length, stride)) in index.iter_mut().zip(&outer).rev() {
                *i += 1;
                at += stride;
                if *i < length {
                    break;
                }
                at -= length * stride;
                *i = 0;
            }
        }
    }
}
