//! What every figure and table consists of.

use basin_records::Provenance;
use serde::Serialize;

use crate::chart::drawing::Drawing;
use crate::error::{Error, Result};
use crate::number;

/// A drawing, its sentence and its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// File name without its ending.
    pub(crate) stem: String,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) drawing: Drawing,
    pub(crate) numbers: Numbers,
}

/// A table to read, and the same in full precision.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) stem: String,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) numbers: Numbers,
}

/// A cell of a table: its words, and the number that it sorts by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) value: Option<f64>,
}

impl Cell {
    /// A number in other words than its own; one that is not finite sorts as words.
    pub(crate) fn number(value: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), value: Some(value).filter(|value| value.is_finite()) }
    }

    pub(crate) fn count(value: u64) -> Self {
        Self::number(value as f64, value.to_string())
    }

    /// Nothing is known.
    pub(crate) fn unknown() -> Self {
        "–".into()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), value: None }
    }
}

/// Rows for a CSV file, in full precision.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Numbers {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The files of the records that they were taken from, where these are few.
    records: Vec<String>,
}

impl Numbers {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }

    /// The same with the records that they were taken from.
    pub(crate) fn of_records<'a>(mut self, files: impl IntoIterator<Item = &'a str>) -> Self {
        self.records = distinct(files.into_iter().map(str::to_owned));
        self
    }

    pub(crate) fn records(&self) -> &[String] {
        &self.records
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub(crate) fn csv(&self, stem: &str) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = std::iter::once(&self.header).chain(&self.rows).try_for_each(|row| writer.write_record(row));
        written.map_err(|error| Error::figure(stem, error))?;
        writer.into_inner().map_err(|error| Error::figure(stem, error))
    }
}

/// A cell that may be unknown; then it is empty.
pub(crate) fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// The settings behind a figure, as the end of its caption: data, samples, model, seeds.
pub(crate) fn settings<'a>(provenances: impl IntoIterator<Item = &'a Provenance>) -> String {
    let provenances: Vec<&Provenance> = provenances.into_iter().collect();
    let data = distinct(provenances.iter().filter_map(|provenance| {
        let data = provenance.data.as_ref()?;
        Some(format!("{} ({}, {} samples)", data.spec, data.split, number::count(data.samples)))
    }));
    let models = distinct(provenances.iter().filter_map(|provenance| provenance.model.clone()));
    let training =
        distinct(provenances.iter().filter_map(|provenance| provenance.training_seed.map(|s| s.to_string())));
    let seeds = distinct(provenances.iter().filter_map(|provenance| provenance.seed.map(|seed| seed.to_string())));
    let parts = [("data", data), ("model", models), ("training seed", training), ("measurement seed", seeds)];
    let phrases: Vec<String> = parts
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| {
            let plural = if values.len() > 1 && name.ends_with("seed") { "s" } else { "" };
            format!("{name}{plural} {}", number::enumerate(&values))
        })
        .collect();
    if phrases.is_empty() { String::new() } else { format!(" Settings: {}.", phrases.join("; ")) }
}

/// A figure's file name: with a number where the directory gives several of its kind.
pub(crate) fn numbered(stem: &str, index: usize, count: usize) -> String {
    if count > 1 { format!("{stem}-{}", index + 1) } else { stem.into() }
}

/// Each value once, in the order of first appearance.
pub(crate) fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}
