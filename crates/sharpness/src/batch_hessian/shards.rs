//! The parts of one measurement put together.

use std::collections::BTreeSet;

use basin_objective::{Error, Result};
use basin_records::BatchHessian;
use basin_records::batch_hessian::Row;

use super::rows::summarise;

/// The measurement whose parts i/n these are: every draw stands in its row, and means and spreads are over all of them. What all
/// parts have in common is taken from the first.
///
/// # Errors
/// When they are not all the parts of one measurement.
pub fn merged(parts: &[BatchHessian]) -> Result<BatchHessian> {
    let [first, others @ ..] = parts else {
        return Err(Error::input("there is no part to merge", "name the files that the parts were written to"));
    };
    check_complete(parts)?;
    let same = |part: &&BatchHessian| {
        (
            part.matrix,
            part.samples,
            part.momentum.to_bits(),
            part.adam,
            part.check.map(|check| (check.steps, check.runs)),
        ) == (
            first.matrix,
            first.samples,
            first.momentum.to_bits(),
            first.adam,
            first.check.map(|check| (check.steps, check.runs)),
        )
    };
    if !others.iter().all(|part| same(&part)) {
        return Err(Error::input(
            "the parts were measured with different options",
            "measure all parts with the same options, but for `--shard`",
        ));
    }
    let sizes: BTreeSet<u64> = parts.iter().flat_map(|part| &part.rows).map(|row| row.batch_size).collect();
    let row_of = |size: u64| {
        let rows: Vec<&Row> = parts.iter().flat_map(|part| &part.rows).filter(|row| row.batch_size == size).collect();
        // What is made of the first batch alone, and the runs, stand beside it.
        let first_batch = rows.iter().find(|row| row.values.iter().any(|draw| draw.draw == 0));
        let mut row = Row::clone(first_batch.or(rows.first())?);
        row.values = rows.iter().flat_map(|row| row.values.clone()).collect();
        row.values.sort_by_key(|draw| draw.draw);
        summarise(&mut row, first.samples, first.adam.map(|adam| adam.beta1));
        Some(row)
    };
    Ok(BatchHessian { rows: sizes.into_iter().filter_map(row_of).collect(), shard: None, ..first.clone() })
}

/// Refuses parts of which one is missing or there twice.
fn check_complete(parts: &[BatchHessian]) -> Result<()> {
    let mut named: Vec<&str> = parts.iter().filter_map(|part| part.shard.as_deref()).collect();
    named.sort_unstable();
    let count = parts.len();
    let mut wanted: Vec<String> = (1..=count).map(|part| format!("{part}/{count}")).collect();
    wanted.sort_unstable();
    if named == wanted {
        return Ok(());
    }
    let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|part| !named.contains(part)).collect();
    Err(Error::input(
        format!(
            "{count} records are to be merged: the parts {}, of {count} missing {}",
            named.join(", "),
            missing.join(", ")
        ),
        "name the record of every part once",
    ))
}
