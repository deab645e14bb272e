//! The batches of a run that has not ended, kept beside the file for its record.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use basin_objective::{Error, Result};
use basin_records::batch_hessian::Draw;
use basin_records::lines;
use basin_sharpness::batch_hessian::DrawLog;
use serde::{Deserialize, Serialize};

/// `OUT.unfinished`: a line that says of which measurement, then one for each batch.
pub(super) struct Unfinished {
    path: PathBuf,
    known: Vec<Kept>,
    measurement: String,
    /// Whether the file says of which measurement it is. Lines are written one at a time.
    begun: Mutex<bool>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    batch_size: usize,
    draw: Draw,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Of { measurement: String },
    Kept(Kept),
}

impl Unfinished {
    /// What is kept for the file at `out`, if it is of the same measurement.
    pub(super) fn open(out: &Path, measurement: &str) -> anyhow::Result<Self> {
        let mut name = OsString::from(out);
        name.push(".unfinished");
        let path = PathBuf::from(name);
        let mut known = Vec::new();
        if path.exists() {
            for line in lines::read(&path)? {
                match line {
                    Line::Kept(kept) => known.push(kept),
                    Line::Of { measurement: other } if other == measurement => {}
                    Line::Of { measurement: other } => {
                        let message = format!(
                            "`{}` holds batches of another measurement: {other}, not {measurement}",
                            path.display()
                        );
                        return Err(
                            Error::input(message, "finish that one, remove the file, or give another `--out`").into()
                        );
                    }
                }
            }
        }
        let begun = Mutex::new(!known.is_empty());
        Ok(Self { path, known, measurement: measurement.into(), begun })
    }

    /// How many batches are known.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// Removes the file, once the record is written.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        if self.path.exists() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

impl DrawLog for Unfinished {
    fn known(&self, batch_size: usize, draw: usize) -> Option<Draw> {
        let same = |kept: &&Kept| kept.batch_size == batch_size && kept.draw.draw == draw as u64;
        self.known.iter().find(same).map(|kept| kept.draw.clone())
    }

    fn keep(&self, batch_size: usize, draw: &Draw) -> Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let append = |line: &Line| {
            lines::append(&self.path, line).map_err(|error| {
                Error::input(format!("a batch cannot be kept: {error}"), "give `--out` a file where there is room")
            })
        };
        if !*begun {
            append(&Line::Of { measurement: self.measurement.clone() })?;
            *begun = true;
        }
        append(&Line::Kept(Kept { batch_size, draw: draw.clone() }))
    }
}
