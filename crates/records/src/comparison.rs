//! Minima side by side.

use serde::{Deserialize, Serialize};

use crate::float;
use crate::keskar::Summary;
use crate::sharpness::Measurement;
use crate::spectrum::Eigenvalue;

/// Minima side by side, and which of the columns a rescaling of the weights can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The columns and what a rescaling does to them.
    pub columns: Vec<Column>,
    /// One row per checkpoint.
    pub rows: Vec<Row>,
    /// How measures rank the checkpoints as against their generalization gaps; empty below three checkpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub correlations: Vec<Correlation>,
}

/// The rank correlation of a measure with the generalization gap over the checkpoints that have both: Kendall's τ-b,
/// 1 where the measure ranks as the gap does and −1 where it ranks the other way round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// Name of the measure: that of a column, with its setting where a column holds several.
    pub measure: String,
    /// What a rescaling of the weights does to the measure.
    pub scale: Scale,
    /// Checkpoints that have both.
    pub checkpoints: u64,
    /// Kendall's τ-b.
    #[serde(with = "float")]
    pub tau: f64,
    /// Standard error of τ-b as an estimate over the population that the checkpoints were drawn from; none for so few
    /// checkpoints that none is to be trusted.
    #[serde(default, with = "float::optional")]
    pub stderr: Option<f64>,
    /// Probability of a |τ-b| at least as large when nothing but chance pairs measure and gap.
    #[serde(with = "float")]
    pub p_value: f64,
    /// Whether the probability counts every permutation, rather than taking a normal distribution.
    pub exact: bool,
}

/// A column of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name of the field in a row, or of a measure among its `sharpness`.
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
    /// The study's variant that it was trained by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
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
    /// The other measures, in the same order in each row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sharpness: Vec<Measurement>,
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
    /// Rows with the columns as this crate knows them, and one for each further measure in the rows.
    pub fn new(rows: Vec<Row>) -> Self {
        let mut columns: Vec<Column> =
            COLUMNS.iter().map(|&(name, scale)| Column { name: name.into(), scale }).collect();
        for measurement in rows.iter().flat_map(|row| &row.sharpness) {
            let name = measurement.column();
            if columns.iter().all(|column| column.name != name) {
                columns.push(Column { name, scale: measurement.measure.scale() });
            }
        }
        Self { columns, rows, correlations: Vec::new() }
    }
}

impl Row {
    /// The measurement that a column of this name shows.
    pub fn measurement(&self, column: &str) -> Option<&Measurement> {
        self.sharpness.iter().find(|measurement| measurement.column() == column)
    }
}
