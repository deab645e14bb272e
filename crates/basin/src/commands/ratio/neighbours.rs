//! Eigenvectors of the points worked on last, kept beside the file for a record until that is written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use basin_landscape::Position;
use basin_objective::Result;
use basin_objective::weights::{self, Weights};
use candle_core::Tensor;

/// `OUT.unfinished.0.safetensors` and `OUT.unfinished.1.safetensors`, which take turns: those of a point are there while the
/// next one's are written, so that a kill at any instant leaves what an unfinished point starts from.
pub(super) struct Neighbours {
    files: [PathBuf; 2],
    measurement: String,
}

const MEASUREMENT: &str = "measurement";
const POINT: &str = "point";
const VECTORS: &str = "eigenvectors";

impl Neighbours {
    pub(super) fn new(out: &Path, measurement: String) -> Self {
        let file = |turn: usize| {
            let mut name = OsString::from(out);
            name.push(format!(".unfinished.{turn}.safetensors"));
            name.into()
        };
        Self { files: [0, 1].map(file), measurement }
    }

    /// The eigenvectors at a point, where they are the last but one that were kept or the last.
    pub(super) fn at(&self, position: Position) -> Result<Option<Tensor>> {
        let file = self.file(position);
        if !file.exists() {
            return Ok(None);
        }
        let mut weights = Weights::read(file)?;
        let is = |key: &str, value: &str| weights.metadata.get(key).is_some_and(|found| found == value);
        let of_it = is(MEASUREMENT, &self.measurement) && is(POINT, &name(position));
        Ok(if of_it { weights.tensors.remove(VECTORS) } else { None })
    }

    /// Keeps the eigenvectors at a point in place of those of the last but one.
    pub(super) fn keep(&self, position: Position, vectors: &Tensor) -> Result<()> {
        let metadata = [(MEASUREMENT, self.measurement.clone()), (POINT, name(position))];
        let metadata: BTreeMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        weights::write(self.file(position), &[(VECTORS.to_owned(), vectors.clone())], &metadata)
    }

    /// Removes the files, once the record is written.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        self.files.iter().filter(|file| file.exists()).try_for_each(std::fs::remove_file)
    }

    fn file(&self, position: Position) -> &Path {
        &self.files[position.column % 2]
    }
}

fn name(Position { column, row }: Position) -> String {
    format!("column {column}, row {row}")
}
