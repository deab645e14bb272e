//! What a study directory holds.

use serde::{Deserialize, Serialize};

/// A study: runs that differ in batch size and seed only, and what was measured of them.
///
/// Its record is `study.json` in the study directory; every path is relative to that directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Study {
    /// A name for the page's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What all runs have in common, for people to read: optimizer, learning rate, epochs, ….
    pub held_equal: Vec<Setting>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The record files that belong to the study.
    #[serde(default)]
    pub records: Vec<String>,
}

/// A setting and its value, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What it is.
    pub name: String,
    /// Its value, with its unit.
    pub value: String,
}

/// One training run of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Samples per step.
    pub batch_size: u64,
    /// Seed of initial weights and order of the samples.
    pub seed: u64,
    /// The last checkpoint.
    pub checkpoint: String,
    /// The run directory.
    pub directory: String,
}
