//! Figures and pages, drawn from records alone.
//!
//! [`draw`] reads the records in a directory and writes, beside them, every figure and table they suffice for as SVG,
//! PNG, PDF and CSV, and one page that shows them all. No model, no data and no network is needed.
//!
//! Records become a figure's data, the data a list of shapes, the shapes SVG or PNG: each step is a pure function, and
//! there is one file per figure.

mod background;
mod batch_hessian;
mod batch_sizes;
mod chart;
mod checkpoints;
mod collection;
mod comparison;
mod error;
mod figure;
mod figures;
mod findings;
mod groups;
pub mod landscape;
mod leftovers;
mod minima;
mod number;
mod observables;
mod page;
mod statistics;
mod tables;
pub mod topology;
mod variants;

use std::fs;
use std::path::{Path, PathBuf};

use basin_records::file;

use chart::{paint, pdf};
use collection::Collection;
pub use error::{Error, Result};
use figure::Figure;

/// Draws the records of a directory: `DIR/figures/*.{svg,png,pdf,csv}` and, last, `DIR/index.html`.
///
/// Records are `DIR/*.json`, `DIR/*.jsonl`, the same in `DIR/records/`, and the files that `DIR/study.json` lists. A
/// directory with a few records gives the figures that these suffice for. The paths written come back, the page first.
/// Figures that the earlier page shows and this one does not are removed.
///
/// # Errors
/// When there is no record, one cannot be read, or the directory cannot be written.
///
/// ```
/// use basin_records::spectrum::{Eigenvalue, End, Matrix, Spectrum};
/// use basin_records::{Outcome, Provenance, Record};
///
/// let directory = tempfile::tempdir()?;
/// let largest = Eigenvalue { value: 12.5, residual: 1e-4, converged: true, end: End::Top };
/// let spectrum = Spectrum::new(Matrix::Hessian, vec![largest]);
/// let record = Record::new(Provenance::now(), Outcome::Spectrum(spectrum));
/// record.write(&directory.path().join("spectrum.json"))?;
///
/// let written = basin_reporting::draw(directory.path())?;
/// assert!(written[0].ends_with("index.html"));
/// assert!(directory.path().join("figures/spectrum.svg").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn draw(directory: &Path) -> Result<Vec<PathBuf>> {
    let collection = Collection::read(directory)?;
    let figures = figures::all(&collection);
    let tables = tables::all(&collection);
    let earlier = leftovers::of_earlier_page(directory);
    let folder = directory.join("figures");
    fs::create_dir_all(&folder).map_err(|source| Error::Directory { path: folder.clone(), source })?;

    let page = directory.join("index.html");
    let mut written = vec![page.clone()];
    let mut drawn = Vec::new();
    for figure in figures {
        let svg = paint::svg(&figure.drawing).map_err(|reason| Error::figure(&figure.stem, reason))?;
        written.extend(write_figure(&folder, &figure, &svg)?);
        drawn.push((figure, svg));
    }
    for table in &tables {
        let path = folder.join(format!("{}.csv", table.stem));
        file::replace(&path, &table.numbers.csv(&table.stem)?)?;
        written.push(path);
    }
    // Last, so that a page never names a figure that is not there yet.
    file::replace(&page, page::html(&collection, &drawn, &tables)?.as_bytes())?;
    leftovers::remove(earlier, &written);
    Ok(written)
}

fn write_figure(folder: &Path, figure: &Figure, svg: &str) -> Result<[PathBuf; 4]> {
    let path = |ending: &str| folder.join(format!("{}.{ending}", figure.stem));
    let paths = [path("svg"), path("png"), path("pdf"), path("csv")];
    file::replace(&paths[0], svg.as_bytes())?;
    write_png(folder, figure, &paths[1])?;
    file::replace(&paths[2], &pdf::pdf(&figure.drawing).map_err(|reason| Error::figure(&figure.stem, reason))?)?;
    file::replace(&paths[3], &figure.numbers.csv(&figure.stem)?)?;
    Ok(paths)
}

fn write_png(folder: &Path, figure: &Figure, path: &Path) -> Result<()> {
    // Plotters encodes PNG into files only, by their ending.
    let temporary = folder.join(format!(".{}.tmp.png", figure.stem));
    let drawn = paint::png(&figure.drawing, &temporary)
        .and_then(|()| fs::rename(&temporary, path).map_err(|error| error.to_string()));
    drawn.map_err(|reason| {
        // What is half-written is of no use; that it stays behind is not worth a second error.
        let _ = fs::remove_file(&temporary);
        Error::figure(&figure.stem, reason)
    })
}
