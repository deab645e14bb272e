//! The zip format of `torch.save`, since PyTorch 1.6: `NAME/data.pkl` and one entry per storage, `NAME/data/KEY`.

use std::collections::HashMap;
use std::io::Cursor;

use zip::{CompressionMethod, ZipArchive};

use super::machine::{self, Heap};
use super::{Unpickled, damaged};
use crate::{Error, Result};

pub(super) fn read<'a>(bytes: &'a [u8], place: &str) -> Result<Unpickled<'a>> {
    let entries = entries(bytes, place)?;
    let ending = |end: &str| entries.keys().find_map(|name| name.strip_suffix(end));
    // An exported program keeps its network in `models/model.json`; its reader is not this one.
    if ending("models/model.json").is_some() || ending("serialized_exported_program.json").is_some() {
        return Err(Error::new(
            format!("`{place}` is an exported program (`.pt2`), not a state_dict"),
            "name the file with `--model`, or save the weights with `torch.save(model.state_dict(), …)`",
        ));
    }
    let Some(prefix) = ending("data.pkl").filter(|prefix| prefix.is_empty() || prefix.ends_with('/')) else {
        return Err(damaged(place, "the zip archive has no entry `data.pkl`"));
    };
    if entries.contains_key(format!("{prefix}constants.pkl").as_str()) {
        return Err(Error::new(
            format!("`{place}` is a TorchScript archive, not a state_dict"),
            "load it in Python and save the weights: `torch.save(torch.jit.load(…).state_dict(), …)`",
        ));
    }
    let order = entries.get(format!("{prefix}byteorder").as_str());
    if order.is_some_and(|order| *order != b"little") {
        return Err(Error::new(
            format!("the numbers in `{place}` are not little-endian"),
            "load the file in Python and save it again on a little-endian machine",
        ));
    }
    let pickle = entries.get(format!("{prefix}data.pkl").as_str()).copied().unwrap_or_default();
    let mut heap = Heap::of_file(bytes);
    let (root, _) = machine::run(pickle, &mut heap, place)?;
    let data = format!("{prefix}data/");
    let storage = |(name, bytes): (&String, &&'a [u8])| Some((name.strip_prefix(&data)?.to_owned(), *bytes));
    let storages = entries.iter().filter_map(storage).collect();
    Ok((heap, root, storages))
}

/// The bytes of every entry, where they lie in the file.
fn entries<'a>(bytes: &'a [u8], place: &str) -> Result<HashMap<String, &'a [u8]>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|cause| damaged(place, cause))?;
    let mut entries = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|cause| damaged(place, cause))?;
        let name = entry.name().map_err(|cause| damaged(place, cause))?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(damaged(place, format!("its entry `{name}` is compressed, which `torch.save` never does")));
        }
        let range = entry.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            bytes.get(start..start.checked_add(usize::try_from(entry.size()).ok()?)?)
        });
        let range = range.ok_or_else(|| damaged(place, format!("its entry `{name}` reaches past the end")))?;
        entries.insert(name, range);
    }
    Ok(entries)
}
