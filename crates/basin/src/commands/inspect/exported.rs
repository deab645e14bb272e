//! What the file of a network holds beside its tensors: inputs and operators.

use std::path::Path;

use basin_import::NetworkFile;
use basin_import::network::{Input, Numbers};

use crate::table::table;

pub(super) fn network(path: &Path) -> anyhow::Result<String> {
    let file = NetworkFile::open(path).map_err(basin_objective::Error::from)?;
    let inputs = file.inputs().map_err(basin_objective::Error::from)?;
    let operators = file.operators();
    let rows = inputs.iter().map(|input| {
        let numbers = match input.numbers {
            Numbers::Boolean => "truth values",
            Numbers::Integer => "whole numbers",
            Numbers::Float => "floating point",
        };
        vec![input.name.clone(), numbers.into(), shape(input)]
    });
    let mut text = format!("a network exported by {}\n", file.producer());
    text += &table(&["input", "numbers", "shape"], rows.collect());
    text += match inputs.iter().any(|input| input.shape.first().is_some_and(Option::is_some)) {
        true => "\nthe first axis is that of the samples, N; it was exported for a fixed number of them\n",
        false => "\nthe first axis is that of the samples, N\n",
    };
    let known = operators.known.iter().map(|(name, calls)| vec![name.clone(), calls.to_string(), String::new()]);
    let unknown = operators
        .unknown
        .iter()
        .map(|(name, calls, place)| vec![name.clone(), calls.to_string(), format!("not known, {place}")]);
    text += &table(&["operator", "calls", ""], unknown.chain(known).collect());
    let all = operators.known.len() + operators.unknown.len();
    text += &format!("\n{} of {all} operators are known\n", operators.known.len());
    Ok(text)
}

/// The extents, N for the samples and `any` where one is open.
fn shape(input: &Input) -> String {
    let rest = input.shape.iter().skip(1).map(|extent| extent.map_or("any".to_owned(), |extent| extent.to_string()));
    let extents: Vec<String> = std::iter::once("N".to_owned()).chain(rest).collect();
    format!("[{}]", extents.join(", "))
}
