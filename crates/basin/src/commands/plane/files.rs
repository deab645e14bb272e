//! The surface as tables beside its record: CSV with one line per point, and NumPy's arrays.

use std::fmt::Write as _;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use basin_objective::Error;
use basin_records::{Surface, file};
use npyz::WriterBuilder as _;
use npyz::npz::NpzWriter;
use npyz::zip::write::FileOptions;
use npyz::zip::{CompressionMethod, DateTime};

/// Refuses files that have no place or would be written over what is read, before any work is done for them.
pub(crate) fn check<'a>(
    out: Option<&Path>,
    save_directions: Option<&Path>,
    mut read: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), Error> {
    if let Some(out) = out {
        let ending = out.extension().and_then(|ending| ending.to_str());
        if !matches!(ending, Some("json" | "jsonl")) {
            let message = format!("`--out {}` is no name for a record", out.display());
            return Err(Error::input(message, "let it end in .json: a .csv and a .npz are written beside it"));
        }
        for ending in ["csv", "npz"] {
            let beside = out.with_extension(ending);
            if beside.is_dir() {
                let message = format!("cannot write `{}`: is a directory", beside.display());
                return Err(Error::input(message, "give another `--out`"));
            }
        }
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

/// Writes `OUT.csv` and `OUT.npz` with the values of the surface and what else is known at its points.
pub(crate) fn write(out: &Path, surface: &Surface, more: &[Named<'_>]) -> anyhow::Result<()> {
    let lists = [&lists(surface), more].concat();
    file::replace(&out.with_extension("csv"), csv(surface, &lists).as_bytes())?;
    file::replace(&out.with_extension("npz"), &npz(surface, &lists)?)?;
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

/// `x`, `y` and their norms, and the values as arrays of shape (y, x).
fn npz(surface: &Surface, lists: &[Named<'_>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut archive = NpzWriter::new(Cursor::new(&mut bytes));
    let (x, y) = (&surface.x, &surface.y);
    let mut add = |name: &str, shape: &[u64], values: &[f64]| {
        // Without the time of day: the same surface gives the same bytes.
        let options = FileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default());
        let mut array = archive.array(name, options)?.default_dtype().shape(shape).begin_nd()?;
        array.extend(values)?;
        array.finish()
    };
    for (name, axis) in [("x", x), ("y", y)] {
        add(name, &[axis.coordinates.len() as u64], &axis.coordinates)?;
        add(&format!("{name}_norm"), &[], &[axis.norm])?;
    }
    let shape = [y.coordinates.len() as u64, x.coordinates.len() as u64];
    for (name, rows) in lists {
        add(name, &shape, &rows.concat())?;
    }
    drop(archive);
    Ok(bytes)
}
