//! One result with its provenance, and its JSON.

use std::fs;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::error::{Error, Problem, Result};
use crate::{
    BatchHessian, Comparison, Connection, Keskar, Line, Profile, Provenance, RatioMap, Sharpness, Spectrum, Study,
    Surface, Training, Trajectory, file, lines,
};

/// The version of the JSON, in every record's `schema`.
pub const SCHEMA: &str = "basin/1";

/// One result with its provenance: a file `.json`, or a line of a file `.jsonl`.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where the result comes from.
    pub provenance: Provenance,
    /// The result; in JSON its type is `kind` and its fields are in `result`.
    pub outcome: Outcome,
}

/// What was found, by kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// `keskar`: sharpness in an ε-neighbourhood.
    Keskar(Keskar),
    /// `spectrum`: eigenvalues of a curvature matrix.
    Spectrum(Spectrum),
    /// `batch_hessian`: curvature of mini-batches against that of all samples.
    BatchHessian(Box<BatchHessian>),
    /// `sharpness`: further measures.
    Sharpness(Sharpness),
    /// `line`: loss and accuracy on the line between two minima.
    Line(Line),
    /// `profile`: loss and accuracy along directions through a checkpoint.
    Profile(Profile),
    /// `connection`: a curve of low loss between two minima.
    Connection(Box<Connection>),
    /// `surface`: loss and accuracy on a plane of parameters.
    Surface(Box<Surface>),
    /// `ratio_map`: extremal eigenvalues over a plane of parameters.
    RatioMap(Box<RatioMap>),
    /// `trajectory`: a run's checkpoints in the plane of their principal components.
    Trajectory(Box<Trajectory>),
    /// `training`: the history of one run.
    Training(Training),
    /// `comparison`: minima side by side.
    Comparison(Comparison),
    /// `study`: what a study directory holds.
    Study(Study),
    /// A kind that this version knows nothing about; kept as it is.
    Other {
        /// Its `kind`.
        kind: String,
        /// Its `result`.
        result: Value,
    },
}

/// The flat JSON of a record, in the order in which a person reads it.
#[derive(Serialize, Deserialize)]
struct Document<P, R> {
    schema: String,
    kind: String,
    #[serde(flatten)]
    provenance: P,
    result: R,
}

impl Record {
    /// A result with its provenance.
    pub fn new(provenance: Provenance, outcome: Outcome) -> Self {
        Self { provenance, outcome }
    }

    /// Reads a record from JSON text.
    ///
    /// # Errors
    /// When the text is not JSON, not a record, or a record of another schema version.
    pub fn from_json(text: &[u8]) -> std::result::Result<Self, Problem> {
        Self::from_value(serde_json::from_slice(text).map_err(Problem::Json)?)
    }

    /// The record as JSON on one line, without a line end.
    ///
    /// # Errors
    /// None that a record of this crate's types can cause.
    pub fn to_json_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads a file that holds one record.
    ///
    /// # Errors
    /// When the file cannot be read or is no record of this schema version.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|source| Error::read(path, source))?;
        Self::from_json(&text).map_err(|problem| Error::malformed(path, None, problem))
    }

    /// Reads a file of records, one per line; a last line that a crash left torn is ignored.
    ///
    /// # Errors
    /// When the file cannot be read or another line than the last is damaged.
    pub fn read_lines(path: &Path) -> Result<Vec<Self>> {
        lines::read_with(path, Self::from_json)
    }

    /// Writes the record as indented JSON; at every instant the file is the old one or the new one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| Error::write(path, source.into()))?;
        text.push(b'\n');
        file::replace(path, &text)
    }

    /// Appends the record as one line and waits until the disk has it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append_line(&self, path: &Path) -> Result<()> {
        lines::append(path, self)
    }

    fn from_value(value: Value) -> std::result::Result<Self, Problem> {
        match value.get("schema").map(|schema| schema.as_str().map_or_else(|| schema.to_string(), str::to_owned)) {
            None => return Err(Problem::NotARecord),
            Some(found) if found != SCHEMA => return Err(Problem::Schema { found }),
            Some(_) => {}
        }
        let document: Document<Provenance, Value> = serde_json::from_value(value).map_err(Problem::Field)?;
        Ok(Self { provenance: document.provenance, outcome: Outcome::from_value(document.kind, document.result)? })
    }
}

impl Outcome {
    /// The kind, as it stands in the JSON.
    pub fn kind(&self) -> &str {
        match self {
            Self::Keskar(_) => "keskar",
            Self::Spectrum(_) => "spectrum",
            Self::BatchHessian(_) => "batch_hessian",
            Self::Sharpness(_) => "sharpness",
            Self::Line(_) => "line",
            Self::Profile(_) => "profile",
            Self::Connection(_) => "connection",
            Self::Surface(_) => "surface",
            Self::RatioMap(_) => "ratio_map",
            Self::Trajectory(_) => "trajectory",
            Self::Training(_) => "training",
            Self::Comparison(_) => "comparison",
            Self::Study(_) => "study",
            Self::Other { kind, .. } => kind,
        }
    }

    fn from_value(kind: String, result: Value) -> std::result::Result<Self, Problem> {
        let outcome = match kind.as_str() {
            "keskar" => serde_json::from_value(result).map(Self::Keskar),
            "spectrum" => serde_json::from_value(result).map(Self::Spectrum),
            "batch_hessian" => serde_json::from_value(result).map(Self::BatchHessian),
            "sharpness" => serde_json::from_value(result).map(Self::Sharpness),
            "line" => serde_json::from_value(result).map(Self::Line),
            "profile" => serde_json::from_value(result).map(Self::Profile),
            "connection" => serde_json::from_value(result).map(Self::Connection),
            "surface" => serde_json::from_value(result).map(Self::Surface),
            "ratio_map" => serde_json::from_value(result).map(Self::RatioMap),
            "trajectory" => serde_json::from_value(result).map(Self::Trajectory),
            "training" => serde_json::from_value(result).map(Self::Training),
            "comparison" => serde_json::from_value(result).map(Self::Comparison),
            "study" => serde_json::from_value(result).map(Self::Study),
            _ => return Ok(Self::Other { kind, result }),
        };
        outcome.map_err(|source| Problem::Outcome { kind, source })
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        fn document<S: Serializer, R: Serialize>(
            record: &Record,
            result: R,
            serializer: S,
        ) -> std::result::Result<S::Ok, S::Error> {
            let kind = record.outcome.kind().to_owned();
            Document { schema: SCHEMA.into(), kind, provenance: &record.provenance, result }.serialize(serializer)
        }
        match &self.outcome {
            Outcome::Keskar(result) => document(self, result, serializer),
            Outcome::Spectrum(result) => document(self, result, serializer),
            Outcome::BatchHessian(result) => document(self, result, serializer),
            Outcome::Sharpness(result) => document(self, result, serializer),
            Outcome::Line(result) => document(self, result, serializer),
            Outcome::Profile(result) => document(self, result, serializer),
            Outcome::Connection(result) => document(self, result, serializer),
            Outcome::Surface(result) => document(self, result, serializer),
            Outcome::RatioMap(result) => document(self, result, serializer),
            Outcome::Trajectory(result) => document(self, result, serializer),
            Outcome::Training(result) => document(self, result, serializer),
            Outcome::Comparison(result) => document(self, result, serializer),
            Outcome::Study(result) => document(self, result, serializer),
            Outcome::Other { result, .. } => document(self, result, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
