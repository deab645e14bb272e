//! The tensors of an ONNX file: their numbers lie in the message, as bytes or by type, or in a file beside it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path};

use candle_core::{Device, Tensor};
use half::{bf16, f16};

use super::schema::{self, value_of};
use crate::graph::{Kind, Read};

/// The kind of numbers that ONNX's number of a type stands for.
pub(super) fn kind_of(data_type: i32) -> Read<Kind> {
    match data_type {
        1 | 10 | 11 | 16 => Ok(Kind::Float),
        2..=7 | 12 | 13 => Ok(Kind::Integer),
        9 => Ok(Kind::Boolean),
        other => Err(format!("numbers of type {other}, which are not computed with").into()),
    }
}

/// The shape of a tensor.
pub(super) fn shape_of(tensor: &schema::Tensor) -> Read<Vec<usize>> {
    let shape = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect::<Option<Vec<usize>>>();
    // What no memory could hold must not overflow what adds up lengths.
    let length = shape.as_ref().and_then(|shape| shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent)));
    match (shape, length) {
        (Some(shape), Some(0..=0x100_0000_0000)) => Ok(shape),
        _ => Err(format!("the shape {:?}, which is none", tensor.dims).into()),
    }
}

/// A tensor: f64 where the file has double precision, other floating point numbers as f32, truth values as u8, whole numbers
/// as i64. What lies in another file is looked for in the directory.
pub(super) fn decoded(tensor: &schema::Tensor, directory: &Path) -> Read<Tensor> {
    let shape = shape_of(tensor)?;
    let count: usize = shape.iter().product();
    kind_of(tensor.data_type)?;
    let width = match tensor.data_type {
        2 | 3 | 9 => 1,
        4 | 5 | 10 | 16 => 2,
        1 | 6 | 12 => 4,
        _ => 8,
    };
    let external = match tensor.data_location {
        0 => None,
        _ => Some(read_external(tensor, directory, count.saturating_mul(width))?),
    };
    let bytes = external.as_deref().unwrap_or(&tensor.raw_data);
    if !bytes.is_empty() {
        if bytes.len() != count.saturating_mul(width) {
            return Err(format!("{} bytes for {count} numbers of {width}", bytes.len()).into());
        }
        return from_bytes(bytes, tensor.data_type, &shape);
    }
    from_fields(tensor, &shape, count)
}

fn from_bytes(bytes: &[u8], data_type: i32, shape: &[usize]) -> Read<Tensor> {
    fn numbers<const WIDTH: usize, T: candle_core::WithDType>(
        bytes: &[u8],
        shape: &[usize],
        read: impl Fn([u8; WIDTH]) -> T,
    ) -> Read<Tensor> {
        let (chunks, _) = bytes.as_chunks::<WIDTH>();
        Ok(Tensor::from_vec(chunks.iter().map(|&chunk| read(chunk)).collect::<Vec<T>>(), shape, &Device::Cpu)?)
    }
    match data_type {
        1 => numbers(bytes, shape, f32::from_le_bytes),
        2 => numbers(bytes, shape, |[x]: [u8; 1]| i64::from(x)),
        3 => numbers(bytes, shape, |[x]: [u8; 1]| i64::from(x as i8)),
        4 => numbers(bytes, shape, |x| i64::from(u16::from_le_bytes(x))),
        5 => numbers(bytes, shape, |x| i64::from(i16::from_le_bytes(x))),
        6 => numbers(bytes, shape, |x| i64::from(i32::from_le_bytes(x))),
        9 => numbers(bytes, shape, |[x]: [u8; 1]| u8::from(x != 0)),
        10 => numbers(bytes, shape, |x| f16::from_le_bytes(x).to_f32()),
        11 => numbers(bytes, shape, f64::from_le_bytes),
        12 => numbers(bytes, shape, |x| i64::from(u32::from_le_bytes(x))),
        16 => numbers(bytes, shape, |x| bf16::from_le_bytes(x).to_f32()),
        _ => numbers(bytes, shape, i64::from_le_bytes),
    }
}

/// The numbers of a tensor that has them by type, some of them in a wider one.
fn from_fields(tensor: &schema::Tensor, shape: &[usize], count: usize) -> Read<Tensor> {
    fn numbers<S: Copy, T: candle_core::WithDType>(
        stored: &[S],
        (shape, count): (&[usize], usize),
        read: impl Fn(S) -> T,
    ) -> Read<Tensor> {
        if stored.len() != count {
            return Err(format!("{} numbers where its shape {shape:?} has {count}", stored.len()).into());
        }
        Ok(Tensor::from_vec(stored.iter().map(|&number| read(number)).collect::<Vec<T>>(), shape, &Device::Cpu)?)
    }
    let of = (shape, count);
    match tensor.data_type {
        1 => numbers(&tensor.float_data, of, |x| x),
        9 => numbers(&tensor.int32_data, of, |x| u8::from(x != 0)),
        10 => numbers(&tensor.int32_data, of, |x| f16::from_bits(x as u16).to_f32()),
        16 => numbers(&tensor.int32_data, of, |x| bf16::from_bits(x as u16).to_f32()),
        11 => numbers(&tensor.double_data, of, |x| x),
        7 => numbers(&tensor.int64_data, of, |x| x),
        12 | 13 => numbers(&tensor.uint64_data, of, |x| x as i64),
        _ => numbers(&tensor.int32_data, of, i64::from),
    }
}

/// The file beside the network's that holds a tensor, by its name.
pub(super) fn location(tensor: &schema::Tensor) -> Option<&str> {
    value_of(&tensor.external_data, "location").filter(|_| tensor.data_location != 0)
}

/// So many bytes of a file beside the network's, which no name leads out of its directory.
fn read_external(tensor: &schema::Tensor, directory: &Path, length: usize) -> Read<Vec<u8>> {
    let location = location(tensor).ok_or("data in another file that is not named")?;
    let plain = |component: Component| matches!(component, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || !Path::new(location).components().all(plain) {
        return Err(format!("data in `{location}`, which is not beside the network").into());
    }
    let path = directory.join(location);
    let unreadable = |cause: std::io::Error| format!("data in `{}`, which cannot be read: {cause}", path.display());
    let (whole, root) = (path.canonicalize().map_err(unreadable)?, directory.canonicalize().map_err(unreadable)?);
    if !whole.starts_with(root) {
        return Err(format!("data in `{location}`, which is not beside the network").into());
    }
    let number = |key: &str| match value_of(&tensor.external_data, key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("data whose {key} is `{text}`")),
    };
    let (offset, stated) = (number("offset")?.unwrap_or(0), number("length")?);
    if stated.is_some_and(|stated| stated != length as u64) {
        return Err(format!("{} bytes where its shape has {length}", stated.unwrap_or(0)).into());
    }
    let metadata = std::fs::metadata(&whole).map_err(unreadable)?;
    if !metadata.is_file() || offset.checked_add(length as u64).is_none_or(|end| end > metadata.len()) {
        return Err(format!(
            "{length} bytes from {offset} of `{}`, which has {}: was it copied completely?",
            path.display(),
            metadata.len()
        )
        .into());
    }
    let mut file = File::open(&whole).map_err(unreadable)?;
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
