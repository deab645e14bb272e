//! The files of a run, written so that a kill at any instant loses at most the work since the last saved state.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use basin_objective::Error as ObjectiveError;
use basin_records::training::Epoch;
use basin_records::{file, lines};

use crate::settings::Settings;
use crate::{Error, Result};

/// A directory with `settings.json`, written first; `history.jsonl`, one line per epoch; `state.safetensors`, where the
/// run goes on; and `checkpoints/`.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Opens a new or an interrupted run.
    ///
    /// # Errors
    /// When the directory holds a run with other settings, its settings cannot be read or are missing beside a saved
    /// state, or it cannot be written.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self> {
        let directory = Self { path: path.to_owned() };
        fs::create_dir_all(directory.path.join("checkpoints")).map_err(|cause| {
            ObjectiveError::input(
                format!("cannot create the directory `{}`: {cause}", path.display()),
                "name a directory that can be written",
            )
        })?;
        let wanted = serde_json::to_value(settings).map_err(internal)?;
        let file = directory.path.join("settings.json");
        match fs::read(&file) {
            Ok(text) => {
                let found: serde_json::Value = serde_json::from_slice(&text).map_err(|error| {
                    ObjectiveError::input(
                        format!("`{}` is not the settings of a run: {error}", file.display()),
                        "use another directory",
                    )
                })?;
                directory.require_equal(&found, &wanted)?;
            }
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(ObjectiveError::input(
                    format!("cannot read the settings of the run, `{}`: {cause}", file.display()),
                    "make the file readable, or use another directory",
                )
                .into());
            }
            Err(_) if directory.state().exists() => {
                return Err(ObjectiveError::input(
                    format!(
                        "`{}` holds the state of a run, but not its settings `settings.json`",
                        directory.path.display()
                    ),
                    "put the settings back to continue the run, or use another directory",
                )
                .into());
            }
            Err(_) => {
                let text = serde_json::to_string_pretty(&wanted).map_err(internal)?;
                file::replace(&file, text.as_bytes())?;
            }
        }
        file::remove_leftovers(&directory.path)?;
        file::remove_leftovers(&directory.path.join("checkpoints"))?;
        Ok(directory)
    }

    fn require_equal(&self, found: &serde_json::Value, wanted: &serde_json::Value) -> Result<()> {
        let difference = differences(found, wanted);
        if difference.is_empty() {
            return Ok(());
        }
        Err(Error::OtherSettings { directory: self.path.display().to_string(), difference: difference.join(", ") })
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state.safetensors")
    }

    fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// The epochs that ended before `epoch`, dropping lines that a kill left behind the saved state.
    pub(crate) fn resume_history(&self, epoch: u64) -> Result<Vec<Epoch>> {
        if !self.history().exists() {
            return Ok(Vec::new());
        }
        let mut epochs: Vec<Epoch> = lines::read(&self.history())?;
        epochs.retain(|line| line.epoch <= epoch);
        let mut text = Vec::new();
        for line in &epochs {
            serde_json::to_writer(&mut text, line).map_err(internal)?;
            text.push(b'\n');
        }
        file::replace(&self.history(), &text)?;
        Ok(epochs)
    }

    pub(crate) fn append(&self, epoch: &Epoch) -> Result<()> {
        Ok(lines::append(&self.history(), epoch)?)
    }

    /// Where the checkpoint after an epoch lies.
    pub fn checkpoint(&self, epoch: u64) -> PathBuf {
        Self::checkpoint_in(&self.path, epoch)
    }

    /// Where the checkpoint after an epoch lies in the directory of a run, be it there or not.
    pub fn checkpoint_in(run: &Path, epoch: u64) -> PathBuf {
        run.join("checkpoints").join(format!("epoch-{epoch:05}.safetensors"))
    }

    /// Where the checkpoint at the end of the run lies.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.path.join("checkpoints").join("last.safetensors")
    }
}

/// Which fields of two settings differ, each as `field is … there and … now`.
///
/// ```
/// use serde_json::json;
///
/// let difference = basin_training::differences(&json!({"a": {"b": 1}}), &json!({"a": {"b": 2}}));
/// assert_eq!(difference, ["a.b is 1 there and 2 now"]);
/// ```
pub fn differences(found: &serde_json::Value, wanted: &serde_json::Value) -> Vec<String> {
    let mut difference = Vec::new();
    collect_differences("", found, wanted, &mut difference);
    difference
}

fn collect_differences(name: &str, found: &serde_json::Value, wanted: &serde_json::Value, into: &mut Vec<String>) {
    match (found.as_object(), wanted.as_object()) {
        (Some(a), Some(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = &serde_json::Value::Null;
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                collect_differences(&name, a.get(key).unwrap_or(null), b.get(key).unwrap_or(null), into);
            }
        }
        _ if found != wanted => into.push(format!("{name} is {found} there and {wanted} now")),
        _ => {}
    }
}

fn internal(error: serde_json::Error) -> Error {
    ObjectiveError::input(format!("a run's settings or history cannot be written: {error}"), "report this").into()
}
