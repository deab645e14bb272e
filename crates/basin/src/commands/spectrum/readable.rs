//! A spectrum as a person reads it.

use basin_records::spectrum::{Block, Density, Eigenvalue, End, Estimate, Matrix, Spread, Subsets, Verification};
use basin_records::{Outcome, Record, Spectrum};

use super::files::rank;
use crate::subject::Subject;
use crate::table::{number, spread, table};

pub(super) fn text(subject: &Subject, record: &Record) -> String {
    let Outcome::Spectrum(spectrum) = &record.outcome else { return String::new() };
    let reason = spectrum.reason.as_deref().map_or_else(String::new, |reason| format!(", {reason}"));
    let mut parts = vec![format!(
        "{}: {} on {} ({}, {} samples), {} products{reason}",
        subject.path.display(),
        name(spectrum),
        subject.data.spec,
        subject.data.split,
        subject.data.samples(),
        record.provenance.products.unwrap_or_default(),
    )];
    if !spectrum.eigenvalues.is_empty() {
        parts.push(eigenvalues(&spectrum.eigenvalues));
    }
    parts.extend(signs(spectrum));
    parts.extend(spectrum.trace.as_ref().map(|trace| format!("trace {}", estimate(trace))));
    parts.extend(spectrum.frobenius.as_ref().map(|norm| format!("Frobenius norm {}", estimate(norm))));
    parts.extend(spectrum.intrinsic_dimension.map(|ratio| format!("trace / λ_max {}", number(ratio))));
    parts.extend(spectrum.effective_rank.map(|rank| format!("effective rank, trace² / ‖A‖_F² {}", number(rank))));
    parts.extend(spectrum.diagonal.as_ref().map(|diagonal| {
        format!(
            "diagonal in {}, relative standard error {} ({} products, {})",
            diagonal.path,
            number(diagonal.relative_error),
            diagonal.products,
            diagonal.reason
        )
    }));
    parts.extend(spectrum.density.as_deref().map(density));
    parts.extend(spectrum.subsets.as_deref().map(subsets));
    parts.extend(spectrum.verification.as_ref().map(|found| verification(found, spectrum)));
    if !spectrum.blocks.is_empty() {
        parts.push(blocks(&spectrum.blocks));
    }
    parts.join("\n")
}

fn name(spectrum: &Spectrum) -> String {
    let matrix = match spectrum.matrix {
        Matrix::Hessian => "Hessian",
        Matrix::Ggn => "generalized Gauss-Newton matrix",
        Matrix::Fisher => "Fisher matrix",
        Matrix::EmpiricalFisher => "empirical Fisher matrix",
        Matrix::GradientCovariance => "covariance of per-sample gradients",
        Matrix::Residual => "Hessian minus generalized Gauss-Newton matrix",
        other => other.name(),
    };
    let draws = spectrum.label_draws.map_or_else(String::new, |draws| format!(" of {draws} drawn labels per sample"));
    let decay = spectrum.weight_decay.map_or_else(String::new, |decay| format!(" + {decay} I"));
    let block = spectrum.block.as_ref().map_or_else(String::new, |block| format!(", block of {block},"));
    format!("{matrix}{draws}{decay}{block}")
}

fn eigenvalues(eigenvalues: &[Eigenvalue]) -> String {
    let rows = eigenvalues.iter().enumerate().map(|(index, eigenvalue)| {
        vec![
            rank(eigenvalues, index),
            number(eigenvalue.value),
            number(eigenvalue.residual),
            if eigenvalue.converged { "yes" } else { "no" }.into(),
        ]
    });
    table(&["end", "eigenvalue λ", "‖Hv − λv‖", "converged"], rows.collect())
}

fn signs(spectrum: &Spectrum) -> Option<String> {
    let ratio = spectrum.ratio.map_or_else(String::new, |ratio| format!(", λ_min/λ_max {}", number(ratio)));
    let negative = spectrum.negative?;
    Some(format!("{negative} of the {} found negative{ratio}", spectrum.eigenvalues.len()))
}

fn estimate(estimate: &Estimate) -> String {
    let stderr = estimate.stderr.map_or_else(String::new, |stderr| format!(" ± {}", number(stderr)));
    let method = estimate.method.as_deref().unwrap_or_default();
    let products = estimate.products.unwrap_or_default();
    let reason = estimate.reason.as_deref().unwrap_or_default();
    format!("{}{stderr} ({method}, {products} products, {reason})", number(estimate.value))
}

fn density(density: &Density) -> String {
    let drawn = &density.nodes[(density.atoms as usize).min(density.nodes.len())..];
    let (low, high) =
        drawn.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    format!(
        "density from {} to {} beside {} eigenvalues known exactly ({} probes of {} steps, kernel width {})",
        number(low),
        number(high),
        density.atoms,
        density.probes,
        density.steps,
        number(density.sigma)
    )
}

fn subsets(subsets: &Subsets) -> String {
    let of = |figure: &Spread| spread(figure.mean, Some(figure.std));
    let trace = subsets.trace.as_ref().map_or_else(String::new, |trace| format!(", trace {}", of(trace)));
    format!(
        "on {} disjoint subsets of {} samples each: λ_max {}{trace} (mean ± standard deviation)",
        subsets.lambda_max.values.len(),
        subsets.samples,
        of(&subsets.lambda_max)
    )
}

fn verification(found: &Verification, spectrum: &Spectrum) -> String {
    let pair = found.value.zip(found.residual).zip(spectrum.eigenvalues.first()).map(|((value, residual), first)| {
        format!(
            "first eigenvalue {} (here {}), its residual {}; ",
            number(value),
            number(first.value),
            number(residual)
        )
    });
    format!(
        "in f64: {}a random product differs by {} of its norm, zᵀAz {} (here {})",
        pair.unwrap_or_default(),
        number(found.product_difference),
        number(found.form_f64),
        number(found.form)
    )
}

fn blocks(blocks: &[Block]) -> String {
    let end = |block: &Block, end: End| {
        let mut of_end = block.eigenvalues.iter().filter(|eigenvalue| eigenvalue.end == end);
        match end {
            End::Top => of_end.next(),
            End::Bottom => of_end.next_back(),
        }
        .map(|eigenvalue| format!("{}{}", number(eigenvalue.value), if eigenvalue.converged { "" } else { "?" }))
    };
    let estimated = |estimate: &Option<Estimate>| estimate.as_ref().map(|found| spread(found.value, found.stderr));
    let row = |block: &Block| {
        let cells =
            [end(block, End::Top), end(block, End::Bottom), estimated(&block.trace), estimated(&block.frobenius)];
        let cells = cells.map(|cell| cell.unwrap_or_else(|| "–".into()));
        [vec![block.name.clone(), block.parameters.to_string()], cells.to_vec()].concat()
    };
    table(&["layer", "parameters", "λ_max", "λ_min", "trace", "‖A‖_F"], blocks.iter().map(row).collect())
}
