//! Accuracy and sharpness per batch size, mean ± standard deviation over seeds (tables 2 to 4 of Keskar et al.), and the
//! minima side by side.

mod minima;

use basin_records::keskar::{Columns, Subspace};

use crate::collection::Collection;
use crate::figure::{Cell, Numbers, Table, cell, distinct, settings};
use crate::minima::{Minima, Way};
use crate::number;
use crate::statistics::Moments;

/// Every table that the records suffice for.
pub(crate) fn all(collection: &Collection) -> Vec<Table> {
    let mut tables = Vec::new();
    tables.extend(accuracy(collection));
    tables.extend(sharpness(collection, Subspace::Full));
    tables.extend(sharpness(collection, Subspace::Manifold));
    tables.extend(minima::tables(collection));
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
        let row = vec![Cell::count(size), Cell::count(count as u64), shown(train), shown(test)];
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
            let mut row = vec![Cell::count(size), Cell::count(seeds as u64)];
            if subspace == Subspace::Manifold {
                row.push(format!("{} × {}", setting.dimension, cell(setting.columns.map(column_name))).into());
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

fn shown(moments: Option<Moments>) -> Cell {
    moments.map_or_else(Cell::unknown, |moments| {
        Cell::number(moments.mean, number::with_spread(moments.mean, moments.std))
    })
}
