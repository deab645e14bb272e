//! What a study directory holds.

use serde::{Deserialize, Serialize};

use crate::float;

/// A study: runs that differ in batch size, seed and [`Variant`] only, and what was measured of them.
///
/// Its record is `study.json` in the study directory; every path is relative to that directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// A name for the page's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What others found in this experiment, each a sentence with its source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<String>,
    /// What all runs have in common, for people to read: optimizer, learning rate, epochs, ….
    pub held_equal: Vec<Setting>,
    /// What the runs differ in beside batch size and seed, in the order in which they are shown; the others are compared with
    /// the first one. Empty where they differ in nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// What the variants' values are of, like `discard.share`; absent where the variants have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept: Option<String>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The record files that belong to the study.
    #[serde(default)]
    pub records: Vec<String>,
}

/// One way to train, at every batch size and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name; [`Provenance::variant`](crate::Provenance::variant) of what was measured of its runs.
    pub name: String,
    /// Where variants are the values of one number, that number.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it sets otherwise than `held_equal` says.
    pub settings: Vec<Setting>,
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
    /// The name of its variant; none where the study has no variants, and of a run that only serves the others as their start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Samples per step.
    pub batch_size: u64,
    /// Seed of initial weights and order of the samples.
    pub seed: u64,
    /// The last checkpoint.
    pub checkpoint: String,
    /// The run directory.
    pub directory: String,
}
