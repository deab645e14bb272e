//! Values gathered point by point, those of an interrupted run among them.

use std::path::Path;

use basin_landscape::Position;
use basin_objective::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::unfinished::Unfinished;
use super::values::Values;
use crate::exit;
use crate::interruption;
use crate::progress::Progress;

/// Takes over the values of some points.
pub(crate) type Keep<'a, T> = dyn FnMut(&[Position], Vec<T>) -> Result<()> + 'a;

/// The values of a grid that are known so far, kept beside the file for the record if there is one.
pub(crate) struct Gathering<T> {
    what: &'static str,
    values: Values<T>,
    log: Option<Unfinished<T>>,
    quiet: bool,
}

impl<T: Clone + Serialize + DeserializeOwned> Gathering<T> {
    /// Takes up what is known from a run that was stopped; `measurement` says what the values depend on, `size`
    /// how many columns and rows there are.
    pub(crate) fn begin(
        what: &'static str,
        out: Option<&Path>,
        measurement: String,
        size: [usize; 2],
        quiet: bool,
    ) -> anyhow::Result<Self> {
        let mut values = Values::new(size);
        let log = out.map(|out| Unfinished::<T>::open(out, measurement, size)).transpose()?;
        if let Some(log) = &log {
            log.known().for_each(|(position, value)| values.set(position, value.clone()));
        }
        let known = values.count();
        if known > 0 && !quiet {
            exit::tell(&format!("note: {known} points are known from a run that was stopped"));
        }
        Ok(Self { what, values, log, quiet })
    }

    /// Has `work` find the values of those points that are not known; it hands each few of them over as soon as it has them.
    pub(crate) fn gather(
        &mut self,
        positions: &[Position],
        work: impl FnOnce(&[Position], &mut Keep<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let missing: Vec<_> = positions.iter().copied().filter(|&at| self.values.get(at).is_none()).collect();
        let mut progress = Progress::new(self.what, missing.len() as u64, self.quiet);
        let mut done = 0;
        let mut keep = |positions: &[Position], found: Vec<T>| {
            if let Some(log) = &mut self.log {
                log.keep(positions, &found)?;
            }
            positions.iter().zip(found).for_each(|(&position, value)| self.values.set(position, value));
            done += positions.len();
            progress.set(done as u64, format!("{done} of {} points", missing.len()));
            interruption::check()
        };
        work(&missing, &mut keep)
    }

    pub(crate) fn values(&self) -> &Values<T> {
        &self.values
    }

    /// Removes what was kept, once the record is written.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        self.log.as_ref().map_or(Ok(()), Unfinished::finish)
    }
}
