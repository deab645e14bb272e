//! Accuracy and sharpness per batch size, mean ± standard deviation over seeds (tables 2 to 4 of Keskar et al.), and the
//! minima side by side.

use basin_records::Outcome;
use basin_records::comparison::{Comparison, Correlation, Row, Scale};
use basin_records::keskar::{Columns, Subspace};
use basin_records::spectrum::Eigenvalue;

use crate::collection::Collection;
use crate::figure::{Numbers, Table, cell, distinct, settings};
use crate::minima::{Minima, Way, same};
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

fn accuracy(collection: &Collection) -> Option<Table> {
    let minima = Minima::of(collection);
    let runs = &minima.trainings;
    let groups = &collection.groups;
    let columns = ["batch_size", "seeds", "train_mean", "train_std", "test_mean", "test_std"];
    let mut numbers = Numbers::new(&groups.columns(&columns));
    let mut rows = Vec::new();
    for group in distinct(runs.keys().map(|run| run.group)) {
        let size = group.batch_size;
        let train = Moments::of(&minima.train_accuracies(group));
        let test = Moments::of(&minima.test_accuracies(group));
        let Some(count) = train.or(test).map(|moments| moments.count) else {
            continue;
        };
        let row = vec![size.to_string(), count.to_string(), shown(train), shown(test)];
        rows.push(groups.row(group.variant, row));
        let mut row = vec![size.to_string(), count.to_string()];
        for moments in [train, test] {
            row.push(cell(moments.map(|moments| moments.mean)));
            row.push(cell(moments.and_then(|moments| moments.std)));
        }
        numbers.push(groups.cells(group.variant, row));
    }
    let caption = format!(
        "Accuracy in percent after the last epoch, mean ± standard deviation over seeds.{}",
        settings(runs.values().map(|run| run.provenance)),
    );
    (!rows.is_empty()).then(|| Table {
        stem: "table-accuracy".into(),
        title: "Accuracy".into(),
        caption,
        header: groups
            .columns(&["batch size", "seeds", "train / %", "test / %"])
            .into_iter()
            .map(String::from)
            .collect(),
        rows,
        numbers,
    })
}

fn sharpness(collection: &Collection, subspace: Subspace) -> Option<Table> {
    let minima = Minima::of(collection);
    let (settings_found, steps) = (minima.settings(), minima.steps());
    let groups = &collection.groups;
    let runs = &minima.keskar;
    let found = distinct(runs.keys().map(|run| run.group));
    let name = match subspace {
        Subspace::Full => "full",
        Subspace::Manifold => "manifold",
    };
    let columns = ["batch_size", "subspace", "columns", "dimension", "epsilon", "seeds", "mean", "std"];
    let mut numbers = Numbers::new(&groups.columns(&columns));
    let mut rows = Vec::new();
    for setting in settings_found.iter().filter(|setting| setting.subspace == subspace) {
        for &group in &found {
            let size = group.batch_size;
            let at = |&epsilon: &f64| Moments::of(&minima.sharpness(group, Way { setting: *setting, epsilon }));
            let values: Vec<Option<Moments>> = steps.iter().map(at).collect();
            let Some(seeds) = values.iter().flatten().map(|moments| moments.count).max() else {
                continue;
            };
            let mut row = vec![size.to_string(), seeds.to_string()];
            if subspace == Subspace::Manifold {
                row.push(format!("{} × {}", setting.dimension, cell(setting.columns.map(column_name))));
            }
            row.extend(values.iter().map(|moments| shown(*moments)));
            rows.push(groups.row(group.variant, row));
            for (epsilon, moments) in steps.iter().zip(values) {
                let Some(moments) = moments else { continue };
                let cells = vec![
                    size.to_string(),
                    name.into(),
                    cell(setting.columns.map(column_name)),
                    setting.dimension.to_string(),
                    epsilon.to_string(),
                    moments.count.to_string(),
                    moments.mean.to_string(),
                    cell(moments.std),
                ];
                numbers.push(groups.cells(group.variant, cells));
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    let mut header: Vec<String> = groups.columns(&["batch size", "seeds"]).into_iter().map(String::from).collect();
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
    let of_variants = comparison.rows.iter().any(|row| row.variant.is_some());
    let variant = |row: &Row| of_variants.then(|| row.variant.clone().unwrap_or_default());
    let mut header: Vec<String> = of_variants.then(|| "variant".to_owned()).into_iter().collect();
    header.push("checkpoint".into());
    header.extend(columns.iter().map(|column| format!("{}{}", column.title, flag(&column.name))));
    let rows = comparison.rows.iter().map(|row| {
        let values = columns.iter().map(|column| (column.value)(row).map_or_else(|| "–".into(), number::significant));
        variant(row).into_iter().chain([row.file.clone()]).chain(values).collect()
    });
    let rows = rows.collect();
    let names = of_variants.then_some("variant").into_iter().chain(["file"]);
    let names: Vec<&str> = names.chain(columns.iter().map(|column| column.title.as_str())).collect();
    let mut numbers = Numbers::new(&names);
    for row in &comparison.rows {
        let values = columns.iter().map(|column| cell((column.value)(row)));
        numbers.push(variant(row).into_iter().chain([row.file.clone()]).chain(values).collect());
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
