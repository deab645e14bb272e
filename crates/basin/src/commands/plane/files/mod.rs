//! The surface in files beside its record: CSV with one line per point and NumPy's arrays, others where they are asked for.

mod hdf5;
mod npz;
mod vtk;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use basin_objective::Error;
use basin_records::{Surface, file};

use crate::arguments::FormatArgument;

/// Refuses files that have no place or would be written over what is read, before any work is done for them.
pub(crate) fn check<'a>(
    out: Option<&Path>,
    also: &[FormatArgument],
    save_directions: Option<&Path>,
    mut read: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), Error> {
    if let Some(out) = out {
        let ending = out.extension().and_then(|ending| ending.to_str());
        if !matches!(ending, Some("json" | "jsonl")) {
            let message = format!("`--out {}` is no name for a record", out.display());
            return Err(Error::input(message, "let it end in .json: a .csv and a .npz are written beside it"));
        }
        for ending in ["csv", "npz"].into_iter().chain(also.iter().map(|format| format.ending())) {
            let beside = out.with_extension(ending);
            if beside.is_dir() {
                let message = format!("cannot write `{}`: is a directory", beside.display());
                return Err(Error::input(message, "give another `--out`"));
            }
        }
    }
    if let (None, [format, ..]) = (out, also) {
        let message =
            format!("`--also {}` has no place: a .{} is written beside `--out`", format.name(), format.ending());
        return Err(Error::input(message, "name a record with `--out`"));
    }
    let Some(save) = save_directions else { return Ok(()) };
    if save.is_dir() {
        let message = format!("cannot write `{}`: is a directory", save.display());
        return Err(Error::input(message, "name a file inside the directory"));
    }
    if save.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        let message = format!("cannot write `{}`: its directory does not exist", save.display());
        return Err(Error::input(message, "create the directory first, or name a file elsewhere"));
    }
    let same = |path: &&PathBuf| matches!((path.canonicalize(), save.canonicalize()), (Ok(a), Ok(b)) if a == b);
    match read.find(same) {
        Some(path) => Err(Error::input(
            format!("`--save-directions` names `{}`, which is read", path.display()),
            "name another file",
        )),
        None => Ok(()),
    }
}

/// Rows of values with their name.
pub(crate) type Named<'a> = (&'static str, &'a Vec<Vec<f64>>);

/// Writes `OUT.csv`, `OUT.npz` and what else is asked for, with the values of the surface and what more is known at its
/// points.
pub(crate) fn write(out: &Path, also: &[FormatArgument], surface: &Surface, more: &[Named<'_>]) -> anyhow::Result<()> {
    let lists = [&lists(surface), more].concat();
    file::replace(&out.with_extension("csv"), csv(surface, &lists).as_bytes())?;
    file::replace(&out.with_extension("npz"), &npz::bytes(surface, &lists)?)?;
    for format in also {
        let bytes = match format {
            FormatArgument::Hdf5 => hdf5::bytes(surface, &lists)?,
            FormatArgument::Vtk => vtk::bytes(surface, &lists),
        };
        file::replace(&out.with_extension(format.ending()), &bytes)?;
    }
    Ok(())
}

/// The lists of values that the surface has, by name.
fn lists(surface: &Surface) -> Vec<Named<'_>> {
    let lists = [
        ("train_loss", &surface.train_loss),
        ("train_accuracy", &surface.train_accuracy),
        ("test_loss", &surface.test_loss),
        ("test_accuracy", &surface.test_accuracy),
    ];
    lists.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}

/// One line per point, x before y, with its true displacements.
fn csv(surface: &Surface, lists: &[Named<'_>]) -> String {
    let mut text = String::from("x,y,x_displacement,y_displacement");
    lists.iter().for_each(|(name, _)| text.extend([",", name]));
    text.push('\n');
    for (row, y) in surface.y.coordinates.iter().enumerate() {
        for (column, x) in surface.x.coordinates.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{x},{y},{},{}", x * surface.x.norm, y * surface.y.norm);
            for (_, rows) in lists {
                let value = rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(f64::NAN);
                let _ = write!(text, ",{value}");
            }
            text.push('\n');
        }
    }
    text
}
