//! Eigenvectors and diagonals in safetensors files, under the parameters' names.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::{Error, Result, weights};
use basin_records::spectrum::{Diagonal as DiagonalRecord, Eigenvalue, End};
use basin_sharpness::Diagonal;
use basin_sharpness::lanczos::Extremes;
use candle_core::Tensor;

use crate::arguments::Spectrum;
use crate::subject::Subject;

/// Refuses a file that would be written more than once, or over a checkpoint, or has no place.
pub(super) fn check(arguments: &Spectrum) -> Result<()> {
    let files =
        [("--eigenvectors", &arguments.eigenvalues.eigenvectors), ("--diagonal", &arguments.estimates.diagonal)];
    for (option, file) in files.iter().filter_map(|(option, file)| Some((option, file.as_ref()?))) {
        if arguments.checkpoints.len() > 1 {
            let message = format!("`{option}` names one file, {} checkpoints are given", arguments.checkpoints.len());
            return Err(Error::input(message, "run the command once for each checkpoint"));
        }
        // Found out now and not after all the work.
        if file.is_dir() {
            let message = format!("cannot write `{}`: is a directory", file.display());
            return Err(Error::input(message, "name a file inside the directory"));
        }
        if file.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            let message = format!("cannot write `{}`: its directory does not exist", file.display());
            return Err(Error::input(message, "create the directory first, or name a file elsewhere"));
        }
        if file.exists() && arguments.checkpoints.iter().any(|path| same_file(path, file)) {
            let message = format!("`{option}` names the checkpoint `{}` itself", file.display());
            return Err(Error::input(message, "name another file"));
        }
    }
    match files {
        [(_, Some(eigenvectors)), (_, Some(diagonal))] if eigenvectors == diagonal => Err(Error::input(
            format!("`--eigenvectors` and `--diagonal` both name `{}`", diagonal.display()),
            "name two files",
        )),
        _ => Ok(()),
    }
}

/// Whether two paths lead to one existing file.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A vector in the measured parameters, as tensors under their names.
fn named(vector: &Tensor, subject: &Subject, name: impl Fn(&str) -> String) -> Result<Vec<(String, Tensor)>> {
    let layout = subject.model.parameters();
    Ok(layout.entries().iter().map(|entry| name(&entry.name)).zip(layout.views(vector)?).collect())
}

/// `top1.fc1.weight`, …, counted from each end inwards.
pub(super) fn write_eigenvectors(path: &Path, subject: &Subject, extremes: &Extremes) -> Result<()> {
    let (mut tensors, mut metadata) = (Vec::new(), BTreeMap::new());
    for (index, eigenvalue) in extremes.eigenvalues.iter().enumerate() {
        let rank = rank(&extremes.eigenvalues, index);
        tensors.extend(named(&extremes.eigenvectors.get(index)?, subject, |name| format!("{rank}.{name}"))?);
        metadata.insert(format!("{rank}.eigenvalue"), eigenvalue.value.to_string());
        metadata.insert(format!("{rank}.residual"), eigenvalue.residual.to_string());
    }
    weights::write(path, &tensors, &metadata)
}

/// `fc1.weight` with `fc1.weight.stderr` beside it, ….
pub(super) fn write_diagonal(path: &Path, subject: &Subject, found: &Diagonal) -> Result<DiagonalRecord> {
    let mut tensors = named(&found.value, subject, str::to_owned)?;
    tensors.extend(named(&found.stderr, subject, |name| format!("{name}.stderr"))?);
    let metadata = BTreeMap::from([("relative_error".to_owned(), found.relative_error.to_string())]);
    weights::write(path, &tensors, &metadata)?;
    Ok(DiagonalRecord {
        path: path.display().to_string(),
        relative_error: found.relative_error,
        products: found.products as u64,
        converged: found.stop.converged(),
        reason: found.stop.to_string(),
    })
}

/// `top1` for the largest, `top2` for the next; `bottom1` for the smallest.
pub(super) fn rank(eigenvalues: &[Eigenvalue], index: usize) -> String {
    match eigenvalues[index].end {
        End::Top => format!("top{}", index + 1),
        End::Bottom => format!("bottom{}", eigenvalues.len() - index),
    }
}
