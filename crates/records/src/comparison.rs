//! Minima side by side.

use serde::{Deserialize, Serialize};

use crate::float;
use crate::keskar::Summary;
use crate::spectrum::Eigenvalue;

/// Minima side by side, and which of the columns a rescaling of the weights can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The columns and what a rescaling does to them.
    pub columns: Vec<Column>,
    /// One row per checkpoint.
    pub rows: Vec<Row>,
}

/// A column of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name of the field in a row.
    pub name: String,
    /// What a rescaling of the weights does to it.
    pub scale: Scale,
}

/// What happens to a figure when layers are rescaled so that the network computes the same function (Dinh et al. 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// It stays.
    ScaleInvariant,
    /// It changes; two minima of different weight norms are not to be ranked by it alone.
    ScaleDependent,
}

/// One minimum.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The checkpoint file.
    pub file: String,
    /// Batch size that it was trained with.
    #[serde(default)]
    pub batch_size: Option<u64>,
    /// Seed that it was trained with.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Mean loss over the training split.
    #[serde(default, with = "float::optional")]
    pub loss: Option<f64>,
    /// Mean loss over the test split.
    #[serde(default, with = "float::optional")]
    pub test_loss: Option<f64>,
    /// Fraction of the training split classified rightly, in [0, 1].
    #[serde(default, with = "float::optional")]
    pub train_accuracy: Option<f64>,
    /// Fraction of the test split classified rightly, in [0, 1].
    #[serde(default, with = "float::optional")]
    pub test_accuracy: Option<f64>,
    /// `train_accuracy` − `test_accuracy`; for targets that are no classes `test_loss` − `loss`.
    #[serde(default, with = "float::optional")]
    pub generalization_gap: Option<f64>,
    /// Keskar sharpness, full space and manifold, at every ε.
    #[serde(default)]
    pub keskar: Vec<Summary>,
    /// Largest eigenvalue of the Hessian.
    #[serde(default)]
    pub lambda_max: Option<Eigenvalue>,
    /// Smallest eigenvalue of the Hessian.
    #[serde(default)]
    pub lambda_min: Option<Eigenvalue>,
    /// ‖θ‖₂.
    #[serde(default, with = "float::optional")]
    pub parameter_norm: Option<f64>,
    /// ‖θ − θ₀‖₂ from the initial weights, where they are known.
    #[serde(default, with = "float::optional")]
    pub distance: Option<f64>,
}

const COLUMNS: [(&str, Scale); 10] = [
    ("loss", Scale::ScaleInvariant),
    ("test_loss", Scale::ScaleInvariant),
    ("train_accuracy", Scale::ScaleInvariant),
    ("test_accuracy", Scale::ScaleInvariant),
    ("generalization_gap", Scale::ScaleInvariant),
    ("keskar", Scale::ScaleDependent),
    ("lambda_max", Scale::ScaleDependent),
    ("lambda_min", Scale::ScaleDependent),
    ("parameter_norm", Scale::ScaleDependent),
    ("distance", Scale::ScaleDependent),
];

impl Comparison {
    /// Rows with the columns as this crate knows them.
    pub fn new(rows: Vec<Row>) -> Self {
        let columns = COLUMNS.iter().map(|&(name, scale)| Column { name: name.into(), scale }).collect();
        Self { columns, rows }
    }
}
