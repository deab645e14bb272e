//! Minima side by side, as tables, figures and sentences see them.

mod verdict;

use basin_records::comparison::{Comparison, Row, Scale};
use basin_records::keskar::{Subspace, Summary};
use basin_records::sharpness::{self, Measurement};
use basin_records::spectrum::Eigenvalue;
use basin_records::{Outcome, Provenance};

use crate::chart::palette::{Look, look};
use crate::checkpoints;
use crate::collection::{Collection, Measured};
use crate::number;
pub(crate) use verdict::{Verdict, findings};

/// The share of a value from which an error is told beside it.
const SEEN: f64 = 1e-3;

/// A comparison with short names of its minima.
pub(crate) struct Compared<'a> {
    pub(crate) measured: Measured<'a, Comparison>,
    /// One per row.
    pub(crate) names: Vec<String>,
}

/// What one measure says of each of the minima.
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) scale: Scale,
    /// None of what says nothing of how flat a minimum is.
    pub(crate) flatter: Option<Flatter>,
    /// One per row.
    pub(crate) values: Vec<Option<Value>>,
}

/// Which values stand for flatter minima.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flatter {
    Lesser,
    /// A noise scale that a flat minimum bears.
    Greater,
}

/// A value with its error: of draws their standard deviation or error, of an iteration its residual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Value {
    pub(crate) value: f64,
    pub(crate) error: Option<f64>,
    pub(crate) converged: bool,
}

/// Every comparison among the records.
pub(crate) fn all(collection: &Collection) -> Vec<Compared<'_>> {
    let found = collection.pick(|outcome| if let Outcome::Comparison(result) = outcome { Some(result) } else { None });
    let names =
        |result: &Comparison| checkpoints::apart(&result.rows.iter().map(|row| row.file.as_str()).collect::<Vec<_>>());
    found.into_iter().map(|measured| Compared { names: names(measured.result), measured }).collect()
}

/// The comparisons that the page is about; a study shows its minima by what it varied.
pub(crate) fn shown(collection: &Collection) -> Vec<Compared<'_>> {
    let mut found = if collection.study().is_some() { Vec::new() } else { all(collection) };
    found.retain(|compared| compared.rows().len() > 1);
    found
}

/// How the page calls and draws a minimum that it compares.
pub(crate) fn look_of(collection: &Collection, provenance: &Provenance) -> Option<(String, Look)> {
    let path = &provenance.checkpoint.as_ref()?.path;
    shown(collection).iter().find_map(|compared| {
        let row = compared.rows().iter().position(|row| row.file == *path)?;
        Some((compared.names[row].clone(), look(row)))
    })
}

impl<'a> Compared<'a> {
    pub(crate) fn rows(&self) -> &'a [Row] {
        &self.measured.result.rows
    }

    /// The measures of this kind that some minimum has a value of.
    pub(crate) fn measures(&self, scale: Scale) -> Vec<Measure> {
        let rows = self.rows();
        let measure = |name: String, flatter, value: &dyn Fn(&Row) -> Option<Value>| Measure {
            name,
            scale,
            flatter,
            values: rows.iter().map(value).collect(),
        };
        let mut measures = Vec::new();
        if scale == Scale::ScaleDependent {
            for setting in settings(rows) {
                let of = |row: &Row| row.keskar.iter().find(|found| alike(found, setting)).map(Value::of_draws);
                measures.push(measure(keskar_name(setting), Some(Flatter::Lesser), &of));
            }
            measures
                .push(measure("λ_max".into(), Some(Flatter::Lesser), &|row| row.lambda_max.map(Value::of_eigenvalue)));
            measures.push(measure("λ_min".into(), None, &|row| row.lambda_min.map(Value::of_eigenvalue)));
        }
        let columns = self.measured.result.columns.iter().filter(|column| column.scale == scale);
        for column in columns {
            let Some(found) = rows.iter().find_map(|row| row.measurement(&column.name)) else { continue };
            let of = |row: &Row| row.measurement(&column.name).map(Value::of_measurement);
            measures.push(measure(column.name.clone(), flatter(found.measure), &of));
        }
        measures.retain(|measure| measure.values.iter().any(Option::is_some));
        measures
    }
}

impl Value {
    fn of_draws(summary: &Summary) -> Self {
        Self { value: summary.mean, error: summary.std, converged: true }
    }

    fn of_eigenvalue(eigenvalue: Eigenvalue) -> Self {
        Self { value: eigenvalue.value, error: Some(eigenvalue.residual), converged: eigenvalue.converged }
    }

    fn of_measurement(found: &Measurement) -> Self {
        let error = found.stderr.or(found.residual).or(found.spread);
        Self { value: found.value, error, converged: found.converged }
    }

    /// With the error where that is no less than a thousandth of the value.
    pub(crate) fn words(&self) -> String {
        let mark = if self.converged { "" } else { " (not converged)" };
        let error = self.error.filter(|error| *error >= SEEN * self.value.abs() && *error > 0.0);
        format!("{}{mark}", number::with_spread(self.value, error))
    }

    /// Whether the intervals value ± error have a point in common.
    fn overlaps(&self, other: &Self) -> bool {
        let reach = self.error.unwrap_or(0.0) + other.error.unwrap_or(0.0);
        // Nothing may be claimed of a NaN.
        let between = (self.value - other.value).abs() - reach;
        between.is_nan() || between <= 0.0
    }
}

/// The settings of Keskar's measure that any row has, in order.
fn settings(rows: &[Row]) -> Vec<&Summary> {
    let mut settings: Vec<&Summary> = Vec::new();
    for summary in rows.iter().flat_map(|row| &row.keskar) {
        if settings.iter().all(|known| !alike(known, summary)) {
            settings.push(summary);
        }
    }
    settings
}

fn alike(one: &Summary, other: &Summary) -> bool {
    let key = |found: &Summary| (found.epsilon.to_bits(), found.subspace, found.columns, found.dimension);
    key(one) == key(other)
}

fn keskar_name(setting: &Summary) -> String {
    let space = if setting.subspace == Subspace::Full { "full" } else { "manifold" };
    format!("φ {space}, ε = {}", number::step(setting.epsilon))
}

fn flatter(measure: sharpness::Measure) -> Option<Flatter> {
    match measure {
        sharpness::Measure::PacBayes | sharpness::Measure::AdaptivePacBayes => Some(Flatter::Greater),
        // How far a point is from being a minimum.
        sharpness::Measure::GradientNorm => None,
        _ => Some(Flatter::Lesser),
    }
}
