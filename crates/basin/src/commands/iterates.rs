//! The checkpoints of a run, in the order of training.

use std::path::{Path, PathBuf};

use basin_landscape::{PrincipalComponents, principal_components};
use basin_objective::{Error, Result};
use candle_core::Tensor;

use super::line::require_one_subject;
use crate::arguments::Common;
use crate::subject::Subject;

/// Checkpoints of one model, trained on the same data, from the first to the last.
pub(super) struct Iterates {
    pub(super) subjects: Vec<Subject>,
}

impl Iterates {
    /// Those in the directory of a run or in its `checkpoints/`: by epoch and step where all say theirs, else by the numbers
    /// in their names.
    pub(super) fn of_run(run: &Path, common: &Common) -> Result<Self> {
        let within = run.join("checkpoints");
        let directory = if within.is_dir() { &within } else { run };
        let mut files = safetensors_in(directory)?;
        files.sort_by_cached_key(|file| with_numbers(&file.to_string_lossy()));
        let mut iterates = Self::new(&files, common)?;
        let progress = |subject: &Subject| subject.metadata.epoch.zip(subject.metadata.step);
        if iterates.subjects.iter().all(|subject| progress(subject).is_some()) {
            iterates.subjects.sort_by_key(progress);
            // The end of a run lies there under the name of its epoch and as the last.
            iterates.subjects.dedup_by_key(|subject| progress(subject));
        }
        Ok(iterates)
    }

    /// Those in files, in their order.
    pub(super) fn new(files: &[PathBuf], common: &Common) -> Result<Self> {
        let mut subjects: Vec<Subject> = Vec::with_capacity(files.len());
        for file in files {
            let subject = match subjects.first() {
                Some(first) => first.beside(file, common)?,
                None => Subject::load(file, common)?,
            };
            if let Some(first) = subjects.first() {
                first.require_same_model(&subject)?;
                require_one_subject(first, &subject)?;
            }
            subjects.push(subject);
        }
        Ok(Self { subjects })
    }

    /// The directions along which they vary most.
    pub(super) fn principal_components(&self, count: usize) -> Result<PrincipalComponents> {
        let points: Vec<Tensor> = self.subjects.iter().map(|subject| subject.theta.clone()).collect();
        principal_components(&points, count)
    }

    /// What tells them from other checkpoints.
    pub(super) fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for subject in &self.subjects {
            hasher.update(subject.checkpoint().blake3.unwrap_or_default().as_bytes());
        }
        format!("{} checkpoints {:.8}", self.subjects.len(), hasher.finalize().to_hex())
    }
}

fn safetensors_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let refused = |cause: std::io::Error| {
        Error::input(
            format!("cannot read the directory `{}`: {cause}", directory.display()),
            "name the directory of a run, with checkpoints in it or in its `checkpoints`",
        )
    };
    let entries = std::fs::read_dir(directory).map_err(refused)?;
    let paths = entries.map(|entry| Ok(entry.map_err(refused)?.path())).collect::<Result<Vec<_>>>()?;
    let is_checkpoint = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "safetensors");
    let files: Vec<_> = paths.into_iter().filter(is_checkpoint).collect();
    if files.is_empty() {
        return Err(Error::input(
            format!("`{}` holds no checkpoint", directory.display()),
            "name a directory with .safetensors files, such as a run of `basin train --checkpoint-every 1`",
        ));
    }
    Ok(files)
}

/// A name with its numbers written at one length, so that epoch-10 follows epoch-9.
fn with_numbers(name: &str) -> String {
    let mut key = String::new();
    let mut rest = name;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[start..].len() - rest[start..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        key += &rest[..start];
        key += &format!("{:0>20}", &rest[start..start + digits]);
        rest = &rest[start + digits..];
    }
    key + rest
}

#[cfg(test)]
mod tests {
    use super::with_numbers;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let mut names = ["last", "model_10", "model_9", "model_100", "a2b10", "a2b9", "0"];
        names.sort_by_cached_key(|name| with_numbers(name));
        assert_eq!(names, ["0", "a2b9", "a2b10", "last", "model_9", "model_10", "model_100"]);
    }
}
