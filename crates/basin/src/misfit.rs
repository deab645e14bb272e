//! Weights that do not fit a model: what would make them fit.

use std::env;

use basin_objective::data::Dataset;
use basin_objective::models::Model;
use basin_objective::weights::{Gathered, Weights};
use basin_objective::{Error, LossSpec, Result};
use candle_core::DType;

/// As [`Model::gather`]; where the names or shapes do not fit, the hint says which model they would fit, or how to rename
/// them.
pub(crate) fn gather(
    model: &Model,
    weights: &Weights,
    data: &Dataset,
    loss: &LossSpec,
    dtype: DType,
) -> Result<Gathered> {
    model.gather(weights, dtype).map_err(|error| match hint(model, weights, data, loss) {
        Some(hint) if error.is_bad_input() => Error::input(error.to_string(), hint),
        _ => error,
    })
}

fn hint(model: &Model, weights: &Weights, data: &Dataset, loss: &LossSpec) -> Option<String> {
    if model.fits(weights) {
        return None;
    }
    if let Some(rules) = weights.proposed_renames(&model.state_dict()) {
        let rules: Vec<String> = rules.iter().map(|rule| format!("--rename {}", quoted(&rule.to_string()))).collect();
        return Some(format!(
            "the shapes fit one to one in the order of the file; if the layers are the same, run: {} {}",
            this_command(),
            rules.join(" ")
        ));
    }
    let outputs = loss.outputs(data).ok()?;
    let fitting = Model::fitting(weights, data.sample_shape(), outputs)?;
    // No tensor says which function stands between linear layers, nor how many heads share a width.
    let unknown = match fitting.split(':').next() {
        Some("mlp") => ", or with another activation than `relu`",
        Some("vit" | "gpt" | "hf-gpt2") => ", with the number of heads that it was trained with",
        _ => "",
    };
    Some(format!("names and shapes are those of a `{fitting}`: give `--model {fitting}`{unknown}"))
}

/// The command line as it was typed.
fn this_command() -> String {
    let program = env::args().next().unwrap_or_default();
    let name =
        std::path::Path::new(&program).file_name().map_or("basin".into(), |name| name.to_string_lossy().into_owned());
    let arguments = env::args_os().skip(1).map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=,@+%".contains(char);
    match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.to_owned(),
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}
