//! The trained points of a curve as a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use basin_landscape::Curve;
use basin_objective::{Error, Result, weights};

use crate::subject::Subject;

/// Refuses a file that has no place or would be written over an end, before any work is done for it.
pub(super) fn check(path: &Path, ends: [&PathBuf; 2]) -> Result<()> {
    let refused = |cause: &str, hint: &str| {
        Err(Error::input(format!("cannot write the bends to `{}`: {cause}", path.display()), hint))
    };
    if path.is_dir() {
        return refused("it is a directory", "name a file inside the directory");
    }
    if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return refused("its directory does not exist", "create the directory first, or name a file elsewhere");
    }
    let same = |end: &&PathBuf| matches!((end.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
    match ends.into_iter().find(same) {
        Some(_) => refused("it is an end of the path", "name another file"),
        None => Ok(()),
    }
}

/// Writes `bend1.fc1.weight`, ….
pub(super) fn save(path: &Path, subject: &Subject, curve: &Curve) -> Result<()> {
    let layout = subject.model.parameters();
    let mut tensors = Vec::new();
    for (number, bend) in (1..).zip(curve.bends()) {
        let names = layout.entries().iter().map(|entry| format!("bend{number}.{}", entry.name));
        tensors.extend(names.zip(layout.views(bend)?));
    }
    weights::write(path, &tensors, &BTreeMap::from([("curve".to_owned(), curve.shape().to_string())]))
}
