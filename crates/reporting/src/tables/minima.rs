//! The minima of a comparison: how well they do, how sharp they are, and which one is the flattest by each measure.

use basin_records::comparison::{Correlation, Row, Scale};

use crate::collection::Collection;
use crate::comparison::{self, Compared, Measure, Value, Verdict};
use crate::figure::{Cell, Numbers, Table, cell, numbered, settings};
use crate::number;

const KINDS: [(Scale, &str); 2] =
    [(Scale::ScaleDependent, "scale-dependent"), (Scale::ScaleInvariant, "scale-invariant")];

pub(super) fn tables(collection: &Collection) -> Vec<Table> {
    let found = comparison::all(collection);
    let judged = comparison::shown(collection).len() == found.len();
    let of = |(index, compared): (usize, &Compared<'_>)| {
        let stem = |name: &str| numbered(name, index, found.len());
        let verdicts = if judged { verdicts(stem("flattest"), compared) } else { None };
        let minima = std::iter::once(minima(stem("comparison"), compared));
        let measures = KINDS
            .into_iter()
            .filter_map(|(scale, kind)| measures(stem(&format!("comparison-{kind}")), compared, scale));
        let correlations = correlations(stem("correlations"), &compared.measured.result.correlations);
        verdicts.into_iter().chain(minima).chain(measures).chain(correlations).collect::<Vec<_>>()
    };
    found.iter().enumerate().flat_map(of).collect()
}

/// How a kind of measures is called in a cell.
fn kind_of(scale: Scale) -> &'static str {
    match scale {
        Scale::ScaleDependent => "changes",
        Scale::ScaleInvariant => "stays",
    }
}

/// A row for each measure: its flattest and its sharpest minimum.
fn verdicts(stem: String, compared: &Compared<'_>) -> Option<Table> {
    let names = &compared.names;
    let mut numbers = Numbers::new(&[
        "measure",
        "scale",
        "flattest",
        "value",
        "error",
        "sharpest",
        "sharpest_value",
        "sharpest_error",
    ]);
    let mut rows = Vec::new();
    for (scale, kind) in KINDS {
        for measure in &compared.measures(scale) {
            let Some(verdict) = Verdict::of(measure) else { continue };
            let ((flat, least), (sharp, most)) = (verdict.flattest(), verdict.sharpest());
            let alike: Vec<String> =
                verdict.flattest_within_errors().into_iter().map(|row| names[row].clone()).collect();
            rows.push(vec![
                measure.name.clone().into(),
                kind_of(scale).into(),
                number::enumerate(&alike).into(),
                Cell::number(least.value, least.words()),
                names[sharp].clone().into(),
                Cell::number(most.value, most.words()),
            ]);
            let file = |row: usize| compared.rows()[row].file.clone();
            let [one, other] = [(flat, least), (sharp, most)]
                .map(|(row, value)| [file(row), value.value.to_string(), cell(value.error)]);
            numbers.push([measure.name.clone(), kind.into()].into_iter().chain(one).chain(other).collect());
        }
    }
    (!rows.is_empty()).then(|| Table {
        stem,
        title: "The flattest minimum by each measure".into(),
        caption: format!(
            "The flattest minimum, all that cannot be told from it within errors, and the sharpest one. Rescaling: what \
             happens to the measure when layers are rescaled so that the network computes the same function.{}",
            settings([compared.measured.provenance]),
        ),
        header: ["measure", "rescaling", "flattest", "value", "sharpest", "value"].map(String::from).to_vec(),
        rows,
        numbers: numbers.of_records([compared.measured.file]),
    })
}

/// A column of what is told of a minimum beside its sharpness.
struct Column {
    name: &'static str,
    value: fn(&Row) -> Option<f64>,
}

const COLUMNS: [Column; 9] = [
    Column { name: "batch size", value: |row| row.batch_size.map(|size| size as f64) },
    Column { name: "seed", value: |row| row.seed.map(|seed| seed as f64) },
    Column { name: "train loss", value: |row| row.loss },
    Column { name: "test loss", value: |row| row.test_loss },
    Column { name: "train / %", value: |row| row.train_accuracy.map(|share| 100.0 * share) },
    Column { name: "test / %", value: |row| row.test_accuracy.map(|share| 100.0 * share) },
    Column { name: "gap", value: |row| row.generalization_gap },
    Column { name: "‖θ‖", value: |row| row.parameter_norm },
    Column { name: "‖θ − θ₀‖", value: |row| row.distance },
];

/// How well the minima do and how far they lie from the origin and the start. The numbers have all measures besides.
fn minima(stem: String, compared: &Compared<'_>) -> Table {
    let columns: Vec<Column> =
        COLUMNS.into_iter().filter(|column| compared.rows().iter().any(|row| (column.value)(row).is_some())).collect();
    let measures: Vec<Measure> = KINDS.into_iter().flat_map(|(scale, _)| compared.measures(scale)).collect();
    let header = columns.iter().map(|column| column.name);
    let mut numbers = Numbers::new(
        &leading(compared, "file")
            .chain(header.clone())
            .chain(measures.iter().map(|measure| measure.name.as_str()))
            .collect::<Vec<_>>(),
    );
    for (index, row) in compared.rows().iter().enumerate() {
        let values = columns.iter().map(|column| cell((column.value)(row)));
        let measured = measures.iter().map(|measure| cell(measure.values[index].map(|found| found.value)));
        numbers
            .push(variant(compared, row).into_iter().chain([row.file.clone()]).chain(values).chain(measured).collect());
    }
    let known = |column: &Column, row: &Row| {
        (column.value)(row).map_or_else(Cell::unknown, |value| Cell::number(value, words(column.name, value)))
    };
    let rows = compared.rows().iter().zip(&compared.names).map(|(row, name)| {
        let values = columns.iter().map(|column| known(column, row));
        titled(compared, row, name).chain(values).collect()
    });
    Table {
        stem,
        title: "Minima side by side".into(),
        caption: format!(
            "Losses, accuracies, the gap between them, and the lengths of the weights and of the way from the start. The CSV has \
             all measures and the checkpoints’ paths.{}",
            settings([compared.measured.provenance]),
        ),
        header: leading(compared, "minimum").chain(header).map(String::from).collect(),
        rows: rows.collect(),
        numbers: numbers.of_records([compared.measured.file]),
    }
}

/// Whole numbers stay whole.
fn words(column: &str, value: f64) -> String {
    if matches!(column, "batch size" | "seed") { value.to_string() } else { number::significant(value) }
}

/// The measures of one kind with their errors.
fn measures(stem: String, compared: &Compared<'_>, scale: Scale) -> Option<Table> {
    let measures = compared.measures(scale);
    let columns = measures.iter().flat_map(|measure| [measure.name.clone(), format!("{} error", measure.name)]);
    let columns: Vec<String> = columns.collect();
    let mut numbers =
        Numbers::new(&leading(compared, "file").chain(columns.iter().map(String::as_str)).collect::<Vec<_>>());
    for (index, row) in compared.rows().iter().enumerate() {
        let values = measures.iter().flat_map(|measure| {
            let found = measure.values[index];
            [cell(found.map(|found| found.value)), cell(found.and_then(|found| found.error))]
        });
        numbers.push(variant(compared, row).into_iter().chain([row.file.clone()]).chain(values).collect());
    }
    let known =
        |found: Option<Value>| found.map_or_else(Cell::unknown, |found| Cell::number(found.value, found.words()));
    let rows = compared.rows().iter().zip(&compared.names).enumerate().map(|(index, (row, name))| {
        let values = measures.iter().map(|measure| known(measure.values[index]));
        titled(compared, row, name).chain(values).collect()
    });
    let (title, told) = match scale {
        Scale::ScaleDependent => (
            "Sharpness that changes when layers are rescaled",
            "These change when layers are rescaled so that the network computes the same function; two minima are not to be \
             ranked by them alone.",
        ),
        Scale::ScaleInvariant => (
            "Sharpness that stays when layers are rescaled",
            "These stay when layers are rescaled so that the network computes the same function.",
        ),
    };
    (!measures.is_empty()).then(|| Table {
        stem,
        title: title.into(),
        caption: format!(
            "{told} ± is the standard deviation over random manifolds, the standard error over other draws, or the residual of an \
             iteration; errors below a thousandth of the value are in the CSV alone.{}",
            settings([compared.measured.provenance]),
        ),
        header: leading(compared, "minimum").chain(measures.iter().map(|measure| measure.name.as_str())).map(String::from).collect(),
        rows: rows.collect(),
        numbers: numbers.of_records([compared.measured.file]),
    })
}

/// The first columns: the variant where there are variants, and the minimum.
fn leading<'a>(compared: &Compared<'_>, minimum: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    has_variants(compared).then_some("variant").into_iter().chain([minimum])
}

fn has_variants(compared: &Compared<'_>) -> bool {
    compared.rows().iter().any(|row| row.variant.is_some())
}

fn variant(compared: &Compared<'_>, row: &Row) -> Option<String> {
    has_variants(compared).then(|| row.variant.clone().unwrap_or_default())
}

fn titled(compared: &Compared<'_>, row: &Row, name: &str) -> impl Iterator<Item = Cell> + use<> {
    variant(compared, row).into_iter().chain([name.to_owned()]).map(Cell::from)
}

/// How each measure ranks the minima as against their generalization gaps.
fn correlations(stem: String, correlations: &[Correlation]) -> Option<Table> {
    let mut numbers = Numbers::new(&["measure", "scale", "tau", "stderr", "p_value", "exact", "checkpoints"]);
    let mut rows = Vec::new();
    for found in correlations {
        let kind = KINDS.into_iter().find(|(scale, _)| *scale == found.scale).map_or("", |(_, kind)| kind);
        rows.push(vec![
            found.measure.clone().into(),
            kind_of(found.scale).into(),
            Cell::number(found.tau, number::with_spread(found.tau, found.stderr)),
            Cell::number(found.p_value, number::significant(found.p_value)),
            Cell::count(found.checkpoints),
        ]);
        numbers.push(vec![
            found.measure.clone(),
            kind.into(),
            found.tau.to_string(),
            cell(found.stderr),
            found.p_value.to_string(),
            found.exact.to_string(),
            found.checkpoints.to_string(),
        ]);
    }
    (!rows.is_empty()).then(|| Table {
        stem,
        title: "Rank correlation with the generalization gap".into(),
        caption: "Kendall's τ-b over the minima, ± jackknife standard error where there are ten or more, and the \
                  probability p of one at least as far from 0 if the measure had nothing to do with the gap. One \
                  measure among many has a small p by chance. Rescaling as above."
            .into(),
        header: ["measure", "rescaling", "τ-b", "p", "minima"].map(String::from).to_vec(),
        rows,
        numbers,
    })
}
