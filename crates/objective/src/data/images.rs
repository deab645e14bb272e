//! Images of bytes: where their files lie, and the tensors made of them.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::{Samples, Targets};
use crate::{Error, Result};

/// One image: numbers from 0 to 1, channel by channel, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Image {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) pixels: Vec<f32>,
}

/// Images with their labels. Bytes from 0 to 255 become numbers from 0 to 1.
pub(super) fn samples(pixels: &[u8], shape: &[usize], labels: &[u8], classes: usize) -> Result<Samples> {
    let pixels: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let inputs = Tensor::from_vec(pixels, shape, &Device::Cpu)?;
    let labels = Tensor::new(labels, &Device::Cpu)?;
    Ok((inputs, Targets::classes(labels, classes)).into())
}

/// The first of these names that exists in the folder, or in one of the subfolders that downloads come with.
pub(super) fn find(folder: &Path, subfolders: &[&str], names: &[&str]) -> Result<PathBuf> {
    let metadata = std::fs::metadata(folder).map_err(|cause| Error::io("read", folder, cause))?;
    if !metadata.is_dir() {
        return Err(Error::input(
            format!("`{}` is a file, expected the directory that holds `{}`", folder.display(), names.join("` or `")),
            "name the directory, not a file in it",
        ));
    }
    std::iter::once("")
        .chain(subfolders.iter().copied())
        .flat_map(|subfolder| names.iter().map(move |name| folder.join(subfolder).join(name)))
        .find(|path| path.exists())
        .ok_or_else(|| {
            Error::input(
                format!("there is no `{}` in `{}`", names.join("` or `"), folder.display()),
                "download the data and unpack it there, or name the directory where it is",
            )
        })
}
