//! What a person reads.

use basin_records::batch_hessian::{Divergence, Row, Spread, Theory};
use basin_records::spectrum::Estimate;
use basin_records::{BatchHessian as Measured, Data, Record};

use crate::table::{number, spread, table};

pub(super) fn text(record: &Record, measured: &Measured) -> String {
    let theory = match measured.theory {
        Theory::MarchenkoPastur => "Marchenko-Pastur",
        _ => "Wigner",
    };
    let part = measured.shard.as_ref().map_or_else(String::new, |part| format!(", part {part}"));
    let minimum = measured.empirical.lambda_min.map_or_else(String::new, |min| format!(", λ_min {}", number(min)));
    let mut parts = vec![
        format!("{}: {} of batches{}, theory {theory}{part}", path(record), measured.matrix, data(record)),
        format!(
            "all samples: λ_max {}{minimum}, trace {}, ‖·‖_F² {}",
            number(measured.empirical.lambda_max),
            estimate(measured.empirical.trace.as_ref()),
            estimate(measured.empirical.squared_frobenius.as_ref())
        ),
        format!("noise of a sample: Pσ² {}", estimate(Some(&measured.noise.total))),
        format!(
            "along the top eigenvector v: Var vᵀHᵢv {}, ‖(Hᵢ − H)v‖² {}",
            estimate(measured.noise.curvature_along_top.as_ref()),
            estimate(measured.noise.product_along_top.as_ref())
        ),
    ];
    parts.extend(measured.crossover.map(|size| {
        format!("the noise doubles λ_max at batch size {}: above it the learning rate saturates", number(size))
    }));
    let head =
        ["batch size", "λ_max ± std", "predicted", "along v", "λ_min ± std", "predicted", "overlap", "predicted"];
    parts.push(table(&head, measured.rows.iter().map(eigenvalues).collect()));
    parts.push("largest learning rates; the three last ones of mean-square stability, along v, by the trace, and over directions".into());
    let momentum = format!("momentum {}", measured.momentum);
    let head = ["batch size", "SGD", "measured", momentum.as_str(), "Adam ∝", "along v", "trace", "directions"];
    parts.push(table(&head, measured.rows.iter().map(learning_rates).collect()));
    if let Some(adam) = &measured.adam {
        parts.push(format!("preconditioned by Adam, β₁ {}, ε {:e}", adam.beta1, adam.epsilon));
        let head = ["batch size", "λ_max ± std", "largest rate"];
        parts.push(table(&head, measured.rows.iter().map(preconditioned).collect()));
    }
    if let Some(check) = &measured.check {
        parts.push(format!(
            "{} runs of {} steps at each rate, from loss {}; diverged where the loss of all samples is above {}",
            check.runs,
            check.steps,
            number(check.loss),
            number(check.level)
        ));
        let head = ["batch size", "by", "all stable up to", "all diverged from", "over the predicted"];
        let rows = measured.rows.iter().flat_map(|row| row.divergence.iter().map(move |found| divergence(row, found)));
        parts.push(table(&head, rows.collect()));
    }
    parts.push(comparison(&measured.rows));
    parts.join("\n")
}

fn path(record: &Record) -> &str {
    record.provenance.checkpoint.as_ref().map_or("a checkpoint", |checkpoint| &checkpoint.path)
}

fn data(record: &Record) -> String {
    let of = |data: &Data| format!(" on {} ({}, {} samples)", data.spec, data.split, data.samples);
    record.provenance.data.as_ref().map_or_else(String::new, of)
}

fn preconditioned(row: &Row) -> Vec<String> {
    let eigenvalue = row.preconditioned_lambda_max.as_ref();
    vec![
        row.batch_size.to_string(),
        eigenvalue.map_or_else(|| "–".into(), |found| spread(found.mean, found.std)),
        number(row.max_learning_rate_adam_measured),
    ]
}

fn divergence(row: &Row, found: &Divergence) -> Vec<String> {
    let of_optimizer = row.runs.iter().filter(|run| run.optimizer == found.optimizer);
    let predicted = of_optimizer.map(|run| run.learning_rate / run.multiple).next();
    let over = |rate: Option<f64>| number(rate.zip(predicted).map(|(rate, predicted)| rate / predicted));
    vec![
        row.batch_size.to_string(),
        found.optimizer.to_string(),
        number(found.stable),
        number(found.diverging),
        format!("{} … {}", over(found.stable), over(found.diverging)),
    ]
}

fn estimate(estimate: Option<&Estimate>) -> String {
    estimate.map_or_else(|| "–".into(), |found| spread(found.value, found.stderr))
}

fn eigenvalues(row: &Row) -> Vec<String> {
    let measured = |figure: &Spread| spread(figure.mean, figure.std);
    vec![
        row.batch_size.to_string(),
        measured(&row.lambda_max),
        number(row.predicted_lambda_max),
        number(row.predicted_lambda_max_along_top),
        row.lambda_min.as_ref().map_or_else(|| "–".into(), measured),
        number(row.predicted_lambda_min),
        number(row.overlap.mean),
        number(row.predicted_overlap),
    ]
}

fn learning_rates(row: &Row) -> Vec<String> {
    let rates = [
        row.max_learning_rate_sgd,
        row.max_learning_rate_measured,
        row.max_learning_rate_momentum,
        row.max_learning_rate_adam,
    ];
    let mean_square = [
        &row.max_learning_rate_mean_square,
        &row.max_learning_rate_mean_square_trace,
        &row.max_learning_rate_mean_square_directions,
    ];
    let mean_square = mean_square.map(|limit| estimate(limit.as_ref()));
    std::iter::once(row.batch_size.to_string()).chain(rates.map(number)).chain(mean_square).collect()
}

/// Where measured and predicted part, at each end.
fn comparison(rows: &[Row]) -> String {
    if rows.iter().any(|row| row.lambda_max.stderr.is_none()) {
        return "a single draw does not say how far measured and predicted eigenvalues agree".into();
    }
    let parts = |measured: &Spread, at: f64, stderr| measured.parts_from(at, stderr) == Some(true);
    let top =
        rows.iter().filter(|row| parts(&row.lambda_max, row.predicted_lambda_max, row.predicted_lambda_max_stderr));
    let bottom = rows.iter().filter(|row| {
        let both = row.lambda_min.as_ref().zip(row.predicted_lambda_min);
        both.is_some_and(|(measured, at)| parts(measured, at, row.predicted_lambda_min_stderr))
    });
    let sizes = |rows: Vec<&Row>| match rows.is_empty() {
        true => "no batch size".into(),
        false => rows.iter().map(|row| row.batch_size.to_string()).collect::<Vec<_>>().join(", "),
    };
    let bottom = match rows.iter().any(|row| row.lambda_min.is_some()) {
        true => format!("; λ_min {}", sizes(bottom.collect())),
        false => String::new(),
    };
    format!(
        "measured and predicted part, by more than three standard errors and a tenth, at: λ_max {}{bottom}",
        sizes(top.collect()),
    )
}
