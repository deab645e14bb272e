//! The zip archive of a `.pt2` file: stored files under one folder, read by name and bounded by the length of the archive.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use zip::{CompressionMethod, ZipArchive};

use crate::{Error, Result};

const HINT: &str = "write it with `torch.export.save(torch.export.export(model.eval(), (x,)), \"net.pt2\")`";

/// An open archive.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    length: u64,
    zip: Mutex<ZipArchive<BufReader<File>>>,
    /// The folder that all files lie in, with its slash.
    folder: String,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refused =
            |cause: &dyn std::fmt::Display| Error::new(format!("cannot read `{}`: {cause}", path.display()), HINT);
        let metadata = std::fs::metadata(path).map_err(|cause| refused(&cause))?;
        if !metadata.is_file() {
            return Err(Error::new(format!("`{}` is not a regular file", path.display()), "name a file"));
        }
        let file = File::open(path).map_err(|cause| refused(&cause))?;
        // Nothing lies in front of the archive. Left to look for it, the reader takes bytes of the weights for its table.
        let config = zip::read::Config { archive_offset: zip::read::ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, BufReader::new(file)).map_err(|cause| {
            Error::new(format!("`{}` is not a whole zip archive, as a `.pt2` file is: {cause}", path.display()), HINT)
        })?;
        let named = |end: &str| zip.file_names().flatten().find_map(|name| name.strip_suffix(end).map(str::to_owned));
        let folder = match named("models/model.json") {
            Some(folder) => folder,
            None if named("serialized_exported_program.json").is_some() => {
                return Err(Error::new(
                    format!(
                        "`{}` was written by an early `torch.export.save`, whose format is another",
                        path.display()
                    ),
                    "save it again with PyTorch 2.8 or newer",
                ));
            }
            None if named("data.pkl").is_some() => {
                return Err(Error::new(
                    format!("`{}` holds weights, not a network: it was written by `torch.save`", path.display()),
                    "give it as a checkpoint, and the network as `--model net.pt2` or a name of the zoo",
                ));
            }
            None => {
                return Err(Error::new(
                    format!(
                        "`{}` is a zip archive without `models/model.json`: no network of `torch.export`",
                        path.display()
                    ),
                    HINT,
                ));
            }
        };
        Ok(Self { path: path.to_owned(), length: metadata.len(), zip: Mutex::new(zip), folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let zip = self.zip.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        zip.index_for_name(&format!("{}{name}", self.folder)).is_some()
    }

    /// A file's bytes.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let whole = format!("{}{name}", self.folder);
        let fault = |reason: String| {
            Error::new(format!("`{}`: `{name}` {reason}", self.path.display()), "check that it was copied completely")
        };
        let mut zip = self.zip.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = zip.by_name(&whole).map_err(|cause| fault(format!("cannot be read: {cause}")))?;
        if file.compression() != CompressionMethod::Stored {
            return Err(fault("is compressed, which `torch.export.save` never does".into()));
        }
        let size = file.size();
        if size > self.length {
            return Err(fault(format!("claims {size} bytes of an archive of {}", self.length)));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(size).read_to_end(&mut bytes).map_err(|cause| fault(format!("cannot be read: {cause}")))?;
        if bytes.len() as u64 != size {
            return Err(fault(format!("has {} of {size} bytes", bytes.len())));
        }
        Ok(bytes)
    }
}
