//! The legacy format of `torch.save`: a magic number, the protocol, facts about the system, the object, the keys of the
//! storages, each a pickle of its own; then the storages, each its number of elements and their bytes. And a dict that
//! `pickle.dump` wrote alone, with arrays of NumPy in it.

use super::machine::{self, Heap, Object, Value};
use super::{Unpickled, damaged};
use crate::{Error, Result};
use std::collections::HashMap;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// As protocols 0 and 1 write it.
pub(super) const MAGIC_AS_TEXT: &[u8] = b"L119547037146038801333356L\n.";
const PROTOCOL: i128 = 1001;

pub(super) fn read<'a>(bytes: &'a [u8], place: &str) -> Result<Unpickled<'a>> {
    let mut heap = Heap::of_file(bytes);
    let mut rest = bytes;
    let (magic, length) = machine::run(rest, &mut heap, place)?;
    if heap.dict(magic).is_some() {
        return Ok((heap, magic, HashMap::new()));
    }
    if magic != Value::Int(MAGIC) {
        return Err(Error::new(
            format!("`{place}` is a pickle, but neither one that `torch.save` wrote nor a dict of NumPy arrays"),
            "save the weights with `torch.save(model.state_dict(), …)` or `safetensors.torch.save_file`",
        ));
    }
    rest = rest.get(length..).unwrap_or_default();
    let mut next = |heap: &mut Heap| {
        let (value, length) = machine::run(rest, heap, place)?;
        rest = rest.get(length..).unwrap_or_default();
        Ok::<_, Error>((value, rest))
    };
    let (protocol, _) = next(&mut heap)?;
    if protocol != Value::Int(PROTOCOL) {
        return Err(damaged(place, format!("its protocol is {protocol:?}, expected {PROTOCOL}")));
    }
    let (system, _) = next(&mut heap)?;
    let little = heap.dict(system).unwrap_or_default().iter().find(|(key, _)| heap.text(*key) == Some("little_endian"));
    if let Some((_, Value::Bool(false))) = little {
        return Err(damaged(place, "its numbers are not little-endian"));
    }
    let (root, _) = next(&mut heap)?;
    let sizes = element_sizes(&heap);
    let (keys, mut data) = next(&mut heap)?;
    let keys = heap.sequence(keys).ok_or_else(|| damaged(place, "it has no list of storages"))?;
    let mut storages = HashMap::new();
    for &key in keys {
        let key = heap.text(key).ok_or_else(|| damaged(place, "the key of a storage is no text"))?;
        let size = *sizes.get(key).ok_or_else(|| damaged(place, format!("no tensor uses storage `{key}`")))?;
        let storage = data.split_first_chunk().and_then(|(count, rest)| {
            let length = usize::try_from(i64::from_le_bytes(*count)).ok()?.checked_mul(size)?;
            rest.split_at_checked(length)
        });
        let (storage, rest) = storage.ok_or_else(|| damaged(place, format!("storage `{key}` is cut off")))?;
        storages.insert(key.to_owned(), storage);
        data = rest;
    }
    Ok((heap, root, storages))
}

/// Bytes per element of each storage.
fn element_sizes(heap: &Heap) -> HashMap<String, usize> {
    let storage = |object: &Object| match object {
        Object::Storage(storage) => Some((storage.key.clone(), storage.element.size())),
        _ => None,
    };
    heap.objects().iter().filter_map(storage).collect()
}
