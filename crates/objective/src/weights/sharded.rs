//! Checkpoints in several files, listed by an index: `{"weight_map": {"fc1.weight": "model-00001-of-00002.safetensors"}}`,
//! or of `pytorch_model-….bin` files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use super::Weights;
use crate::file::OpenFile;
use crate::{Error, Result, file};

/// An index names tensors and files only: a larger one is not an index.
const LONGEST_INDEX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

pub(super) fn read(path: &Path) -> Result<Weights> {
    let length = file::length(path)?;
    if length > LONGEST_INDEX {
        return Err(Error::input(
            format!("the index `{}` has {length} bytes, expected at most {LONGEST_INDEX}", path.display()),
            "name the `.index.json` file of the checkpoint",
        ));
    }
    let bytes = file::read(path)?;
    let index = parse(&bytes, path)?;
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes);
    let mut whole = Weights::empty(path);
    for shard in shards {
        let shard_path = path.with_file_name(shard);
        let part = Weights::parse(&OpenFile::open(&shard_path)?, &shard_path, None)?;
        hasher.update(part.fingerprint.as_bytes());
        whole.metadata.extend(part.metadata);
        let listed_here = |name: &String| index.weight_map.get(name) == Some(shard);
        let noted = |note: String| format!("{note} in `{shard}`");
        whole.notes.extend(part.notes.into_iter().map(noted));
        whole.order.extend(part.order.into_iter().filter(|name| listed_here(name)));
        whole.tensors.extend(part.tensors.into_iter().filter(|(name, _)| listed_here(name)));
        whole.skipped.extend(part.skipped.into_iter().filter(|(name, _)| listed_here(name)));
    }
    check_complete(&index, &whole)?;
    whole.fingerprint = hasher.finalize().to_hex().to_string();
    Ok(whole)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Index> {
    let index: Index = serde_json::from_slice(bytes).map_err(|cause| {
        Error::input(
            format!("`{}` is not the index of a checkpoint: {cause}", path.display()),
            "an index is JSON with a `weight_map` from tensor names to file names",
        )
    })?;
    match index.weight_map.iter().find(|(_, shard)| !is_file_name(shard)) {
        None => Ok(index),
        Some((name, shard)) => Err(Error::input(
            format!(
                "the index `{}` puts `{name}` into `{shard}`, expected the name of a file beside it",
                path.display()
            ),
            "put all files of the checkpoint into one directory",
        )),
    }
}

/// A bare name: an index must not reach into other directories.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
}

fn check_complete(index: &Index, whole: &Weights) -> Result<()> {
    let missing: Vec<String> = index
        .weight_map
        .iter()
        .filter(|(name, _)| !whole.tensors.contains_key(*name) && !whole.skipped.contains_key(*name))
        .map(|(name, shard)| format!("`{name}` in `{shard}`"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::input(
        format!("the index `{}` lists tensors that are not there: {}", whole.path.display(), missing.join(", ")),
        "take the index and the files from the same checkpoint",
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::weights::write;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;
    use std::fs;

    fn checkpoint(folder: &Path, map: &str) -> std::path::PathBuf {
        for (shard, name, value) in [("1.safetensors", "a", 1.0_f32), ("2.safetensors", "b", 2.0)] {
            let tensor = Tensor::new(&[value], &Device::Cpu).unwrap();
            write(folder.join(shard), &[(name.to_owned(), tensor)], &BTreeMap::new()).unwrap();
        }
        let path = folder.join("model.safetensors.index.json");
        fs::write(&path, format!(r#"{{"metadata": {{"total_size": 8}}, "weight_map": {map}}}"#)).unwrap();
        path
    }

    #[test]
    fn the_parts_make_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(folder.path(), r#"{"a": "1.safetensors", "b": "2.safetensors"}"#);
        let weights = Weights::read(&path).unwrap();
        assert_eq!(weights.tensors.keys().collect::<Vec<_>>(), ["a", "b"]);
        let tensor = Tensor::new(&[3.0_f32], &Device::Cpu).unwrap();
        write(folder.path().join("2.safetensors"), &[("b".to_owned(), tensor)], &BTreeMap::new()).unwrap();
        assert_ne!(Weights::read(&path).unwrap().fingerprint, weights.fingerprint);
    }

    #[test]
    fn faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (map, expected) in [
            (r#"{"a": "2.safetensors"}"#, "`a` in `2.safetensors`"),
            (r#"{"a": "3.safetensors"}"#, "3.safetensors"),
            (r#"{"a": "../1.safetensors"}"#, "expected the name of a file beside it"),
            (r#"{"a": "/etc/passwd"}"#, "expected the name of a file beside it"),
            (r#"{"a": ""}"#, "expected the name of a file beside it"),
            ("7", "is not the index"),
        ] {
            let error = Weights::read(checkpoint(folder.path(), map)).unwrap_err();
            assert!(error.is_bad_input());
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[\\[{\"a:/.}\\]]{0,40}") {
            prop_assert!(parse(&bytes, Path::new("index")).is_err());
            prop_assert!(parse(text.as_bytes(), Path::new("index")).is_err());
        }
    }
}
