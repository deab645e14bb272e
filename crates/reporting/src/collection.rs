//! The records of a directory, and which of them belong to which training run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use basin_records::line::Endpoint;
use basin_records::{
    BatchHessian, Connection, Error as RecordError, Keskar, Line, Outcome, Problem, Profile, Provenance, RatioMap,
    Record, Spectrum, Study, Surface, Training, Trajectory,
};

use crate::error::{Error, Result};
use crate::groups::{Group, Groups};

/// Every record found, in the order of their files' names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collection {
    pub(crate) records: Vec<Sourced>,
    pub(crate) groups: Groups,
}

/// A record and the file that it stands in, relative to the directory.
#[derive(Debug, Clone)]
pub(crate) struct Sourced {
    pub(crate) file: String,
    pub(crate) record: Record,
}

/// A result beside its provenance.
#[derive(Debug)]
pub(crate) struct Measured<'a, T> {
    /// The record's file, relative to the directory.
    pub(crate) file: &'a str,
    pub(crate) provenance: &'a Provenance,
    pub(crate) result: &'a T,
}

impl<T> Clone for Measured<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Measured<'_, T> {}

/// A training run as the figures group by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunId {
    pub(crate) group: Group,
    pub(crate) seed: Option<u64>,
}

/// What was measured along each run, in the order of training.
pub(crate) type ByRun<'a, T> = BTreeMap<RunId, Vec<Measured<'a, T>>>;

impl Collection {
    /// Reads the records in a directory and in its `records/`.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let mut collection = Self::default();
        let mut seen = BTreeSet::new();
        for path in record_files(directory)? {
            match collection.add(directory, &path) {
                // Beside the records there may be settings and other JSON that is none of ours.
                Err(Error::Records(RecordError::Malformed { problem: Problem::NotARecord, .. })) => {}
                other => other?,
            }
            seen.insert(path);
        }
        let inner = directory.join("records");
        if inner.is_dir() {
            for path in record_files(&inner)? {
                collection.add(directory, &path)?;
                seen.insert(path);
            }
        }
        let listed: Vec<PathBuf> = collection
            .study()
            .into_iter()
            .flat_map(|(_, study)| &study.records)
            .map(|file| directory.join(file))
            .filter(|path| !seen.contains(path))
            .collect();
        for path in listed {
            collection.add(directory, &path)?;
        }
        if collection.records.is_empty() {
            return Err(Error::Empty { path: directory.to_owned() });
        }
        collection.groups = collection.found_groups();
        Ok(collection)
    }

    fn add(&mut self, directory: &Path, path: &Path) -> Result<()> {
        let records = if path.extension().is_some_and(|ending| ending == "jsonl") {
            Record::read_lines(path)?
        } else {
            vec![Record::read(path)?]
        };
        let file = path.strip_prefix(directory).unwrap_or(path).to_string_lossy().into_owned();
        self.records.extend(records.into_iter().map(|record| Sourced { file: file.clone(), record }));
        Ok(())
    }

    pub(crate) fn study(&self) -> Option<(&Provenance, &Study)> {
        self.records.iter().find_map(|Sourced { record, .. }| match &record.outcome {
            Outcome::Study(study) => Some((&record.provenance, study)),
            _ => None,
        })
    }

    pub(crate) fn lines(&self) -> Vec<Measured<'_, Line>> {
        self.pick(|outcome| if let Outcome::Line(line) = outcome { Some(line) } else { None })
    }

    pub(crate) fn connections(&self) -> Vec<Measured<'_, Connection>> {
        self.pick(|outcome| if let Outcome::Connection(found) = outcome { Some(found.as_ref()) } else { None })
    }

    pub(crate) fn profiles(&self) -> Vec<Measured<'_, Profile>> {
        self.pick(|outcome| if let Outcome::Profile(profile) = outcome { Some(profile) } else { None })
    }

    pub(crate) fn surfaces(&self) -> Vec<Measured<'_, Surface>> {
        self.pick(|outcome| if let Outcome::Surface(surface) = outcome { Some(surface.as_ref()) } else { None })
    }

    pub(crate) fn trajectories(&self) -> Vec<Measured<'_, Trajectory>> {
        self.pick(|outcome| if let Outcome::Trajectory(way) = outcome { Some(way.as_ref()) } else { None })
    }

    pub(crate) fn ratio_maps(&self) -> Vec<Measured<'_, RatioMap>> {
        self.pick(|outcome| if let Outcome::RatioMap(map) = outcome { Some(map.as_ref()) } else { None })
    }

    pub(crate) fn spectra(&self) -> Vec<Measured<'_, Spectrum>> {
        self.pick(|outcome| if let Outcome::Spectrum(spectrum) = outcome { Some(spectrum) } else { None })
    }

    pub(crate) fn batch_hessians(&self) -> Vec<Measured<'_, BatchHessian>> {
        self.pick(|outcome| if let Outcome::BatchHessian(found) = outcome { Some(found.as_ref()) } else { None })
    }

    pub(crate) fn keskar(&self) -> Vec<Measured<'_, Keskar>> {
        self.pick(|outcome| if let Outcome::Keskar(keskar) = outcome { Some(keskar) } else { None })
    }

    /// The last history of each run.
    pub(crate) fn trainings(&self) -> BTreeMap<RunId, Measured<'_, Training>> {
        self.pick(|outcome| if let Outcome::Training(training) = outcome { Some(training) } else { None })
            .into_iter()
            .map(|measured| {
                let settings = &measured.result.settings;
                let group = self.groups.member(measured.provenance.variant.as_deref(), settings.batch_size);
                (RunId { group, seed: Some(settings.seed) }, measured)
            })
            .collect()
    }

    pub(crate) fn pick<'a, T>(&'a self, choose: impl Fn(&'a Outcome) -> Option<&'a T>) -> Vec<Measured<'a, T>> {
        self.records
            .iter()
            .filter_map(|Sourced { file, record }| {
                choose(&record.outcome).map(|result| Measured { file, provenance: &record.provenance, result })
            })
            .collect()
    }

    /// The results by the run that their checkpoint comes from; those of unknown runs are left out.
    pub(crate) fn by_run<'a, T>(&self, results: Vec<Measured<'a, T>>) -> ByRun<'a, T> {
        let mut runs: ByRun<'a, T> = BTreeMap::new();
        for measured in results {
            if let Some(group) = self.groups.of_record(measured.provenance) {
                let run = RunId { group, seed: measured.provenance.training_seed };
                runs.entry(run).or_default().push(measured);
            }
        }
        for along in runs.values_mut() {
            // Stable, so that of two measurements of one checkpoint the later record stays last.
            along.sort_by_key(|measured| progress(measured.provenance));
        }
        runs
    }

    /// The group of a minimum that a line ends at, which is known by its checkpoint, or as that of the whole line.
    pub(crate) fn group_of(&self, line: &Provenance, end: &Endpoint) -> Option<Group> {
        let mut runs = self.study().into_iter().flat_map(|(_, study)| &study.runs);
        // The study's paths are relative to its directory, the line's as the user named them.
        let path = Path::new(&end.checkpoint.path);
        let run = runs.find(|run| !run.checkpoint.is_empty() && path.ends_with(&run.checkpoint));
        let variant = run.map_or(line.variant.as_deref(), |run| run.variant.as_deref());
        Some(self.groups.member(variant, end.batch_size?))
    }

    fn found_groups(&self) -> Groups {
        let named = self.records.iter().map(|Sourced { record, .. }| {
            let trained = match &record.outcome {
                Outcome::Training(training) => Some(training.settings.batch_size),
                _ => None,
            };
            (&record.provenance, trained)
        });
        Groups::of(self.study().map(|(_, study)| study), named)
    }
}

/// How far the checkpoint was trained; one that does not say so is taken for the end of its run.
pub(crate) fn progress(provenance: &Provenance) -> (u64, u64) {
    (provenance.epoch.unwrap_or(u64::MAX), provenance.step.unwrap_or(u64::MAX))
}

fn record_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Directory { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|ending| ending == "json" || ending == "jsonl") {
            files.push(path);
        }
    }
    files.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    Ok(files)
}

/// A key by which numbers in names go by their value: b16 before b144.
fn natural(name: &str) -> Vec<(String, u64)> {
    let is_break = |pair: &[u8]| pair[0].is_ascii_digit() && !pair[1].is_ascii_digit();
    let breaks = name.as_bytes().windows(2).enumerate().filter(|(_, pair)| is_break(pair)).map(|(at, _)| at + 1);
    let mut from = 0;
    let mut parts = Vec::new();
    for to in breaks.chain([name.len()]) {
        let part = &name[from..to];
        let words = part.trim_end_matches(|letter: char| letter.is_ascii_digit());
        parts.push((words.to_owned(), part[words.len()..].parse().unwrap_or(0)));
        from = to;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn numbers_in_names_go_by_their_value() {
        let mut names = ["b144-s0.json", "b16-s10.json", "b16-s2.json", "a.json", "ü7", "b16"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a.json", "b16", "b16-s2.json", "b16-s10.json", "b144-s0.json", "ü7"]);
    }
}
