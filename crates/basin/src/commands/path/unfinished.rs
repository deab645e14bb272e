//! A curve that is being trained, kept beside the file for its record until that is written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use basin_landscape::CurveState;
use basin_objective::weights::{self, Weights};
use basin_objective::{Error, Result};
use candle_core::Tensor;

/// `OUT.unfinished.safetensors`: bends, velocities, and of which curve they are.
pub(super) struct Unfinished {
    path: PathBuf,
    measurement: String,
}

const MEASUREMENT: &str = "measurement";
const STEP: &str = "step";

impl Unfinished {
    pub(super) fn new(out: &Path, measurement: String) -> Self {
        let mut name = OsString::from(out);
        name.push(".unfinished.safetensors");
        Self { path: name.into(), measurement }
    }

    /// The state that is kept, or else the one to start from.
    pub(super) fn resumed(&self, start: CurveState) -> Result<CurveState> {
        if !self.path.exists() {
            return Ok(start);
        }
        let damaged = || {
            let message = format!("`{}` is not the state of a path", self.path.display());
            Error::input(message, "it was changed by hand: remove it")
        };
        let weights = Weights::read(&self.path)?;
        let other = weights.metadata.get(MEASUREMENT).ok_or_else(damaged)?;
        if *other != self.measurement {
            let message = format!("`{}` holds another path: {other}, not {}", self.path.display(), self.measurement);
            return Err(Error::input(message, "finish that one, remove the file, or give another `--out`"));
        }
        let step = weights.metadata.get(STEP).and_then(|step| step.parse().ok()).ok_or_else(damaged)?;
        let vectors = |name: &str, like: &[Tensor]| {
            let vector = |(number, like): (usize, &Tensor)| {
                let tensor = weights.tensors.get(&format!("{name}{number}"));
                let fits = |tensor: &&Tensor| tensor.dims() == like.dims() && tensor.dtype() == like.dtype();
                Ok(tensor.filter(fits).ok_or_else(damaged)?.to_device(like.device())?)
            };
            (1..).zip(like).map(vector).collect::<Result<Vec<_>>>()
        };
        let bends = vectors("bend", start.curve.bends())?;
        Ok(CurveState {
            velocities: vectors("velocity", &start.velocities)?,
            curve: start.curve.with_bends(bends)?,
            step,
        })
    }

    /// Keeps a state in place of an earlier one.
    pub(super) fn keep(&self, state: &CurveState) -> Result<()> {
        let named = |name: &'static str, vectors: &[Tensor]| {
            (1..).zip(vectors.to_vec()).map(move |(number, vector): (usize, _)| (format!("{name}{number}"), vector))
        };
        let tensors = named("bend", state.curve.bends()).chain(named("velocity", &state.velocities));
        let metadata = [(MEASUREMENT, self.measurement.clone()), (STEP, state.step.to_string())];
        let metadata: BTreeMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        weights::write(&self.path, &tensors.collect::<Vec<_>>(), &metadata)
    }

    /// Removes the file, once the record is written.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        if self.path.exists() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}
