//! The tensors of a `.pt2` file: raw storages, of which a tensor takes elements by strides.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use half::{bf16, f16};

use super::archive::Archive;
use super::schema::{Extent, Payload, Payloads, TensorMeta};
use crate::{Error, Result};

/// Where the tensors of a file lie.
#[derive(Debug)]
pub(super) struct Stored {
    folder: &'static str,
    payloads: BTreeMap<String, Payload>,
}

impl Stored {
    pub(super) fn read(archive: &Archive, folder: &'static str, config: &str) -> Result<Self> {
        let name = format!("{folder}{config}");
        if !archive.has(&name) {
            return Ok(Self { folder, payloads: BTreeMap::new() });
        }
        let payloads: Payloads = serde_json::from_slice(&archive.read(&name)?).map_err(|cause| {
            Error::new(
                format!("`{}`: `{name}` is not what PyTorch writes: {cause}", archive.path().display()),
                "save the network again",
            )
        })?;
        Ok(Self { folder, payloads: payloads.config })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.payloads.keys()
    }

    pub(super) fn meta(&self, name: &str) -> Option<&TensorMeta> {
        self.payloads.get(name)?.tensor_meta.as_ref()
    }

    /// The first name, in their order, under which the same elements lie.
    pub(super) fn first_name(&self, name: &str) -> Option<&str> {
        let place = |payload: &Payload| {
            let meta = payload.tensor_meta.as_ref()?;
            Some((payload.path_name.clone(), meta.sizes.clone(), meta.strides.clone(), meta.storage_offset.clone()))
        };
        let own = place(self.payloads.get(name)?)?;
        self.payloads.iter().find(|(_, payload)| place(payload).as_ref() == Some(&own)).map(|(name, _)| name.as_str())
    }

    /// A tensor: f64 where the file has double precision, other floating point numbers as f32, truth values as u8, whole
    /// numbers as i64.
    pub(super) fn tensor(&self, archive: &Archive, name: &str) -> Result<Tensor> {
        let fault = |reason: &str| {
            Error::new(
                format!("`{}`: the tensor `{name}` {reason}", archive.path().display()),
                "save the network again, and check that the file was copied completely",
            )
        };
        let payload = self.payloads.get(name).ok_or_else(|| fault("is not in the file"))?;
        let meta = payload.tensor_meta.as_ref().ok_or_else(|| fault("has no description"))?;
        if payload.use_pickle {
            return Err(fault("is a pickled object"));
        }
        let number = |extent: &Extent| match extent {
            Extent::AsInt(number) => usize::try_from(*number).ok(),
            Extent::AsExpr(_) => None,
        };
        let list = |extents: &[Extent]| extents.iter().map(number).collect::<Option<Vec<usize>>>();
        let shape = list(&meta.sizes).ok_or_else(|| fault("has a shape that is none"))?;
        let strides = list(&meta.strides).filter(|strides| strides.len() == shape.len());
        let strides = strides.ok_or_else(|| fault("has strides that do not fit its shape"))?;
        let offset = meta.storage_offset.as_ref().map_or(Some(0), number);
        let offset = offset.ok_or_else(|| fault("begins nowhere"))?;
        // Weights lie dense; what repeats elements could claim any size.
        let elements = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        let bytes = archive.read(&format!("{}{}", self.folder, payload.path_name))?;
        let elements = elements.filter(|&elements| elements <= bytes.len());
        elements.ok_or_else(|| fault("is larger than its storage"))?;
        elements_of(&bytes, meta.dtype, &shape, &strides, offset).map_err(|reason| fault(&reason))
    }
}

/// The elements at shape, strides and offset of a storage.
fn elements_of(
    bytes: &[u8],
    dtype: u64,
    shape: &[usize],
    strides: &[usize],
    offset: usize,
) -> std::result::Result<Tensor, String> {
    fn gathered<const SIZE: usize, T>(
        bytes: &[u8],
        (shape, strides, offset): (&[usize], &[usize], usize),
        read: impl Fn([u8; SIZE]) -> T,
    ) -> std::result::Result<Vec<T>, String> {
        let (storage, _) = bytes.as_chunks::<SIZE>();
        let outside = || "reaches beyond its storage".to_owned();
        let count: usize = shape.iter().product();
        let mut elements = Vec::with_capacity(count.min(storage.len()));
        let mut index = vec![0_usize; shape.len()];
        for _ in 0..count {
            let step =
                |place: Option<usize>, (&i, &stride): (&usize, &usize)| place?.checked_add(i.checked_mul(stride)?);
            let place = index.iter().zip(strides).fold(Some(offset), step).ok_or_else(outside)?;
            elements.push(read(*storage.get(place).ok_or_else(outside)?));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(elements)
    }
    let place = (shape, strides, offset);
    let cpu = &Device::Cpu;
    let tensor = match dtype {
        1 => Tensor::from_vec(gathered(bytes, place, |[x]: [u8; 1]| i64::from(x))?, shape, cpu),
        2 => Tensor::from_vec(gathered(bytes, place, |[x]: [u8; 1]| i64::from(x as i8))?, shape, cpu),
        3 => Tensor::from_vec(gathered(bytes, place, |x| i64::from(i16::from_le_bytes(x)))?, shape, cpu),
        4 => Tensor::from_vec(gathered(bytes, place, |x| i64::from(i32::from_le_bytes(x)))?, shape, cpu),
        5 => Tensor::from_vec(gathered(bytes, place, i64::from_le_bytes)?, shape, cpu),
        6 => Tensor::from_vec(gathered(bytes, place, |x| f16::from_le_bytes(x).to_f32())?, shape, cpu),
        7 => Tensor::from_vec(gathered(bytes, place, f32::from_le_bytes)?, shape, cpu),
        8 => Tensor::from_vec(gathered(bytes, place, f64::from_le_bytes)?, shape, cpu),
        12 => Tensor::from_vec(gathered(bytes, place, |[x]: [u8; 1]| u8::from(x != 0))?, shape, cpu),
        13 => Tensor::from_vec(gathered(bytes, place, |x| bf16::from_le_bytes(x).to_f32())?, shape, cpu),
        other => return Err(format!("holds numbers of type {other}, which are not computed with")),
    };
    tensor.map_err(|cause| cause.to_string())
}
