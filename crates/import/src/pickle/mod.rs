//! Weights as `torch.save` writes them: state_dicts as pickles, in the zip format and in the legacy one; and dicts of NumPy
//! arrays that `pickle.dump` wrote.
//!
//! A pickle is a program. The one here builds containers, numbers and texts, and knows the few constructors that a
//! state_dict needs; anything else that a file names is refused by that name. Nothing of a file is ever run.

mod archive;
mod constructors;
mod legacy;
mod machine;
mod numpy;
mod opcodes;
mod state_dict;
mod tensor;

use std::path::Path;

use crate::{Error, Result};
use machine::Value;
use tensor::Storages;

pub use tensor::{Array, ElementType};

/// What a file of `torch.save` holds: one state_dict, and the numbers and texts beside it.
#[derive(Debug, Clone, Default)]
pub struct Pickled {
    /// The tensors in the order of the file.
    pub arrays: Vec<(String, Array)>,
    /// Numbers and texts beside the tensors, such as `epoch`, as text.
    pub metadata: Vec<(String, String)>,
    /// What a reader should know, such as another state_dict that was left out.
    pub notes: Vec<String>,
}

/// Whether the first bytes of a file are those of a zip archive.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether the first bytes of a file are those of a pickle. Protocols 0 and 1 have no header; theirs are told by what
/// `torch.save` begins with, and a dict.
pub fn is_pickle(bytes: &[u8]) -> bool {
    let old: [&[u8]; 4] = [legacy::MAGIC_AS_TEXT, b"(dp0\n", b"}q\x00", b"ccollections\nOrderedDict\n"];
    matches!(bytes, [0x80, 2..=5, ..]) || old.iter().any(|start| bytes.starts_with(start))
}

/// Reads the state_dict of a file that `torch.save` wrote, or `pickle.dump` from NumPy arrays; `path` serves the messages.
/// Where the file holds several, `choice` names one by its keys, such as `state_dict_ema`.
///
/// ```
/// use basin_import::pickle;
/// use std::path::Path;
///
/// // `os.system` is refused by its name, and nothing is run.
/// let bytes = b"\x80\x02cos\nsystem\nU\x04echo\x85R.";
/// let error = pickle::read(bytes, Path::new("net.pt"), None).unwrap_err();
/// assert!(error.to_string().contains("`os.system`"));
/// ```
///
/// # Errors
/// When the file is damaged, names a constructor that no state_dict needs, or holds no state_dict.
pub fn read(bytes: &[u8], path: &Path, choice: Option<&str>) -> Result<Pickled> {
    let place = path.display().to_string();
    let (heap, root, storages) = match is_zip(bytes) {
        true => archive::read(bytes, &place)?,
        false => legacy::read(bytes, &place)?,
    };
    state_dict::read(&heap, root, &storages, &place, choice)
}

/// Everything a file's pickle built, the value it returned, and the bytes of its tensors.
type Unpickled<'a> = (machine::Heap, Value, Storages<'a>);

fn damaged(place: &str, what: impl std::fmt::Display) -> Error {
    Error::new(
        format!("`{place}` is not a whole file of `torch.save`: {what}"),
        "check that the file was copied completely; write it with `torch.save(model.state_dict(), …)`",
    )
}

#[cfg(test)]
mod tests;
