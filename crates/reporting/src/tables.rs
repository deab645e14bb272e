//! Accuracy and sharpness per batch size, mean ± standard deviation over seeds (tables 2 to 4 of Keskar et al.), and the
//! minima side by side.

use basin_records::comparison::{Comparison, Correlation, Row, Scale};
use basin_records::keskar::{Columns, Subspace, Summary};
use basin_records::spectrum::Eigenvalue;
use basin_records::{Keskar, Outcome};

use crate::collection::{ByRun, Collection, by_run};
use crate::figure::{Numbers, Table, cell, distinct, settings};
use crate::number;
use crate::statistics::Moments;

/// Every table that the records suffice for.
pub(crate) fn all(collection: &Collection) -> Vec<Table> {
    let mut tables = Vec::new();
    tables.extend(accuracy(collection));
    tables.extend(sharpness(collection, Subspace::Full));
    tables.extend(sharpness(collection, Subspace::Manifold));
    tables.extend(comparisons(collection));
    tables
}

/// Accuracy at the end of training in percent: train and test at one batch size.
pub(crate) fn final_accuracy(collection: &Collection, batch_size: u64) -> (Option<Moments>, Option<Moments>) {
    let runs = collection.trainings();
    let last = runs.iter().filter(|(run, _)| run.batch_size == batch_size).filter_map(|(_, m)| m.result.epochs.last());
    let train: Vec<f64> = last.clone().filter_map(|epoch| Some(100.0 * epoch.train_accuracy?)).collect();
    let test: Vec<f64> = last.filter_map(|epoch| Some(100.0 * epoch.test_accuracy?)).collect();
    (Moments::of(&train), Moments::of(&test))
}

fn accuracy(collection: &Collection) -> Option<Table> {
    let runs = collection.trainings();
    let sizes = distinct(runs.keys().map(|run| run.batch_size));
    let mut numbers = Numbers::new(&["batch_size", "seeds", "train_mean", "train_std", "test_mean", "test_std"]);
    let mut rows = Vec::new();
    for size in sizes {
        let (train, test) = final_accuracy(collection, size);
        let Some(count) = train.or(test).map(|moments| moments.count) else {
            continue;
        };
        rows.push(vec![size.to_string(), count.to_string(), shown(train), shown(test)]);
        let mut row = vec![size.to_string(), count.to_string()];
        for moments in [train, test] {
            row.push(cell(moments.map(|moments| moments.mean)));
            row.push(cell(moments.and_then(|moments| moments.std)));
        }
        numbers.push(row);
    }
    let caption = format!(
        "Accuracy in percent after the last epoch, mean ± standard deviation over seeds.{}",
        settings(runs.values().map(|run| run.provenance)),
    );
    (!rows.is_empty()).then(|| Table {
        stem: "table-accuracy".into(),
        title: "Accuracy".into(),
        caption,
        header: ["batch size", "seeds", "train / %", "test / %"].map(String::from).to_vec(),
        rows,
        numbers,
    })
}

/// One way to measure sharpness, over all seeds of a batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting {
    pub(crate) subspace: Subspace,
    pub(crate) columns: Option<Columns>,
    pub(crate) dimension: u64,
}

impl Setting {
    fn of(summary: &Summary) -> Self {
        Self { subspace: summary.subspace, columns: summary.columns, dimension: summary.dimension }
    }

    /// As in `full space` or `random manifold, dimension 100, gaussian columns`.
    pub(crate) fn words(&self) -> String {
        let columns = match self.columns {
            Some(Columns::Gaussian) => ", gaussian columns",
            Some(Columns::Uniform) => ", uniform columns",
            Some(Columns::Orthonormal) => ", orthonormal columns",
            _ => "",
        };
        match self.subspace {
            Subspace::Full => "full space".into(),
            Subspace::Manifold => format!("random manifold, dimension {}{columns}", self.dimension),
        }
    }
}

/// Sharpness at the end of training over the seeds of a batch size.
pub(crate) fn final_sharpness(
    runs: &ByRun<'_, Keskar>,
    batch_size: u64,
    setting: Setting,
    epsilon: f64,
) -> Option<Moments> {
    let of_size = runs.iter().filter(|(run, _)| run.batch_size == batch_size);
    let values: Vec<f64> = of_size
        .filter_map(|(_, along)| {
            let last = along.last()?.provenance.epoch;
            // One checkpoint may have a record per ε or per subspace.
            let at_the_end = along.iter().rev().take_while(|measured| measured.provenance.epoch == last);
            at_the_end
                .flat_map(|measured| &measured.result.summary)
                .find(|summary| Setting::of(summary) == setting && same(summary.epsilon, epsilon))
                .map(|summary| summary.mean)
        })
        .collect();
    Moments::of(&values)
}

/// The settings and the ε of all Keskar records, ε descending.
pub(crate) fn settings_and_steps(collection: &Collection) -> (Vec<Setting>, Vec<f64>) {
    let records = collection.keskar();
    let summaries: Vec<&Summary> = records.iter().flat_map(|measured| &measured.result.summary).collect();
    let mut steps = distinct(summaries.iter().map(|summary| summary.epsilon));
    steps.sort_by(|a, b| b.total_cmp(a));
    (distinct(summaries.into_iter().map(Setting::of)), steps)
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

fn sharpness(collection: &Collection, subspace: Subspace) -> Option<Table> {
    let (settings_found, steps) = settings_and_steps(collection);
    let runs = by_run(collection.keskar());
    let sizes = distinct(runs.keys().map(|run| run.batch_size));
    let name = match subspace {
        Subspace::Full => "full",
        Subspace::Manifold => "manifold",
    };
    let mut numbers =
        Numbers::new(&["batch_size", "subspace", "columns", "dimension", "epsilon", "seeds", "mean", "std"]);
    let mut rows = Vec::new();
    for setting in settings_found.iter().filter(|setting| setting.subspace == subspace) {
        for &size in &sizes {
            let values: Vec<Option<Moments>> =
                steps.iter().map(|&epsilon| final_sharpness(&runs, size, *setting, epsilon)).collect();
            let Some(seeds) = values.iter().flatten().map(|moments| moments.count).max() else {
                continue;
            };
            let mut row = vec![size.to_string(), seeds.to_string()];
            if subspace == Subspace::Manifold {
                row.push(format!("{} × {}", setting.dimension, cell(setting.columns.map(column_name))));
            }
            row.extend(values.iter().map(|moments| shown(*moments)));
            rows.push(row);
            for (epsilon, moments) in steps.iter().zip(values) {
                let Some(moments) = moments else { continue };
                numbers.push(vec![
                    size.to_string(),
                    name.into(),
                    cell(setting.columns.map(column_name)),
                    setting.dimension.to_string(),
                    epsilon.to_string(),
                    moments.count.to_string(),
                    moments.mean.to_string(),
                    cell(moments.std),
                ]);
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    let mut header = vec!["batch size".to_owned(), "seeds".to_owned()];
    if subspace == Subspace::Manifold {
        header.push("columns of A".into());
    }
    header.extend(steps.iter().map(|&epsilon| format!("ε = {}", number::step(epsilon))));
    let space = if subspace == Subspace::Full { "in the full space (A = I)" } else { "in random manifolds" };
    let caption = format!(
        "Keskar sharpness φ (percent of 1 + L) {space} at the end of training, mean ± standard deviation over seeds; \
         each value is a lower bound, for the maximiser stops after its fixed iterations.{}",
        settings(runs.values().filter_map(|along| along.last()).map(|measured| measured.provenance)),
    );
    Some(Table {
        stem: format!("table-sharpness-{name}"),
        title: if subspace == Subspace::Full { "Sharpness, full space" } else { "Sharpness, random manifolds" }.into(),
        caption,
        header,
        rows,
        numbers,
    })
}

fn column_name(columns: Columns) -> &'static str {
    match columns {
        Columns::Gaussian => "gaussian",
        Columns::Uniform => "uniform",
        Columns::Orthonormal => "orthonormal",
        _ => "other",
    }
}

fn shown(moments: Option<Moments>) -> String {
    moments.map_or_else(|| "–".into(), |moments| number::with_spread(moments.mean, moments.std))
}

fn comparisons(collection: &Collection) -> Vec<Table> {
    let found = collection.pick(|outcome| if let Outcome::Comparison(result) = outcome { Some(result) } else { None });
    let several = found.len() > 1;
    let tables = |(index, comparison): (usize, &Comparison)| {
        let number = if several { format!("-{}", index + 1) } else { String::new() };
        let correlations = correlation_table(format!("correlations{number}"), &comparison.correlations);
        std::iter::once(comparison_table(format!("comparison{number}"), comparison))
            .chain(correlations)
            .collect::<Vec<_>>()
    };
    found.iter().map(|measured| measured.result).enumerate().flat_map(tables).collect()
}

/// How each measure ranks the minima as against their generalization gaps.
fn correlation_table(stem: String, correlations: &[Correlation]) -> Option<Table> {
    let mut numbers = Numbers::new(&["measure", "scale", "tau", "stderr", "p_value", "exact", "checkpoints"]);
    let mut rows = Vec::new();
    for found in correlations {
        let (mark, scale) = match found.scale {
            Scale::ScaleInvariant => ("", "scale-invariant"),
            Scale::ScaleDependent => (" *", "scale-dependent"),
        };
        rows.push(vec![
            format!("{}{mark}", found.measure),
            number::with_spread(found.tau, found.stderr),
            number::significant(found.p_value),
            found.checkpoints.to_string(),
        ]);
        numbers.push(vec![
            found.measure.clone(),
            scale.into(),
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
                  measure among many has a small p by chance. * as above."
            .into(),
        header: ["measure", "τ-b", "p", "minima"].map(String::from).to_vec(),
        rows,
        numbers,
    })
}

fn comparison_table(stem: String, comparison: &Comparison) -> Table {
    let sharpest = comparison.rows.iter().flat_map(|row| &row.keskar).map(|summary| summary.epsilon);
    let epsilon = sharpest.max_by(f64::total_cmp);
    let columns = comparison_columns(comparison, epsilon);
    // A column that no row fills says nothing.
    let columns: Vec<_> =
        columns.into_iter().filter(|column| comparison.rows.iter().any(|row| (column.value)(row).is_some())).collect();
    let flag = |name: &str| match comparison.columns.iter().find(|column| column.name == name).map(|c| c.scale) {
        Some(Scale::ScaleInvariant) => "",
        Some(Scale::ScaleDependent) => " *",
        None => " ?",
    };
    let mut header = vec!["checkpoint".to_owned()];
    header.extend(columns.iter().map(|column| format!("{}{}", column.title, flag(&column.name))));
    let rows = comparison.rows.iter().map(|row| {
        let values = columns.iter().map(|column| (column.value)(row).map_or_else(|| "–".into(), number::significant));
        std::iter::once(row.file.clone()).chain(values).collect()
    });
    let rows = rows.collect();
    let names: Vec<&str> = std::iter::once("file").chain(columns.iter().map(|column| column.title.as_str())).collect();
    let mut numbers = Numbers::new(&names);
    for row in &comparison.rows {
        let values = columns.iter().map(|column| cell((column.value)(row)));
        numbers.push(std::iter::once(row.file.clone()).chain(values).collect());
    }
    Table {
        stem,
        title: "Minima side by side".into(),
        caption: "Columns marked * change when layers are rescaled so that the network computes the same function; \
                  two minima are not to be ranked by them alone."
            .into(),
        header,
        rows,
        numbers,
    }
}

struct ComparisonColumn {
    /// The field's name in the record, by which its flag is found.
    name: String,
    title: String,
    value: Value,
}

/// Takes a value from a row.
type Value = Box<dyn Fn(&Row) -> Option<f64>>;

fn comparison_columns(comparison: &Comparison, epsilon: Option<f64>) -> Vec<ComparisonColumn> {
    let column = |name: &str, title: &str, value: Value| ComparisonColumn {
        name: name.to_owned(),
        title: title.to_owned(),
        value,
    };
    let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
    let eigenvalue = |eigenvalue: Option<Eigenvalue>| eigenvalue.map(|eigenvalue| eigenvalue.value);
    let mut columns = vec![
        column("loss", "train loss", Box::new(|row| row.loss)),
        column("test_loss", "test loss", Box::new(|row| row.test_loss)),
        column("train_accuracy", "train / %", Box::new(move |row| percent(row.train_accuracy))),
        column("test_accuracy", "test / %", Box::new(move |row| percent(row.test_accuracy))),
        column("generalization_gap", "gap", Box::new(|row| row.generalization_gap)),
        column("lambda_max", "λ_max", Box::new(move |row| eigenvalue(row.lambda_max))),
        column("lambda_min", "λ_min", Box::new(move |row| eigenvalue(row.lambda_min))),
        column("parameter_norm", "‖θ‖", Box::new(|row| row.parameter_norm)),
        column("distance", "‖θ − θ₀‖", Box::new(|row| row.distance)),
    ];
    if let Some(epsilon) = epsilon {
        for (subspace, word) in [(Subspace::Manifold, "manifold"), (Subspace::Full, "full")] {
            let value: Value = Box::new(move |row| {
                let found = row.keskar.iter().find(|s| s.subspace == subspace && same(s.epsilon, epsilon));
                found.map(|summary| summary.mean)
            });
            columns.insert(5, column("keskar", &format!("φ {word}, ε = {}", number::step(epsilon)), value));
        }
    }
    let known = |name: &str| columns.iter().any(|column| column.name == name);
    let further = comparison.columns.iter().filter(|found| !known(&found.name)).map(|found| {
        let name = found.name.clone();
        column(&found.name, &found.name, Box::new(move |row| row.measurement(&name).map(|found| found.value)))
    });
    let further: Vec<_> = further.collect();
    columns.extend(further);
    columns
}
