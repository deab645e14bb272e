//! Networks of files, as models.

use std::path::Path;

use basin_import::NetworkFile;
use basin_import::network::{self, Input, Network};
use candle_core::DType;

use super::{InitialValues, Model, ModelInput, Numbers, not_an_input};
use crate::data::{Dataset, InputShapes};
use crate::weights::ForeignNames;
use crate::{Error, Outputs, Result};

/// The network of a `.pt2` or `.onnx` file as a model, for samples with inputs of these shapes and the outputs that the targets ask for.
pub(super) fn model(path: &Path, shapes: &InputShapes, outputs: Outputs) -> Result<Model> {
    let file = NetworkFile::open(path)?;
    let arrays = arrays(path, &file.inputs()?, shapes)?;
    let samples: Vec<Vec<usize>> = arrays.iter().map(|(_, shape)| shape.clone()).collect();
    let read = file.network(&samples, false)?;
    let Network { program, inputs, output, vocabularies, aliases, unused, mut notes } = read;
    check_outputs(path, &output, outputs)?;
    let with_batch_statistics = file.network(&samples, true)?.program;
    let has_batch_norm = !with_batch_statistics.batch_statistics().is_empty();
    let left_out = shapes.further.iter().filter(|(name, _)| !arrays.iter().any(|(array, _)| array == name));
    notes.extend(left_out.map(|(name, _)| not_an_input(name)));
    let inputs = inputs.iter().zip(vocabularies).zip(arrays);
    Ok(Model {
        name: path.display().to_string(),
        stored: program,
        batch: has_batch_norm.then_some(with_batch_statistics),
        outputs: output.last().copied().unwrap_or(1),
        positions: (output.len() > 1).then(|| output[0]),
        initial: InitialValues::Exported(Box::new(file)),
        foreign: ForeignNames { aliases, constants: unused },
        inputs: inputs.map(|((input, vocabulary), (array, _))| model_input(input, vocabulary, array)).collect(),
        exchangeable: None,
        notes,
    })
}

/// The inputs' shapes in the order of the network.
pub(super) fn sample_shapes(path: &Path, file: &NetworkFile, shapes: &InputShapes) -> Result<Vec<Vec<usize>>> {
    Ok(arrays(path, &file.inputs()?, shapes)?.into_iter().map(|(_, shape)| shape).collect())
}

/// The array of the data that each input of a network takes, with its shape: the one of its name, or else `x` for the first.
fn arrays(path: &Path, inputs: &[Input], shapes: &InputShapes) -> Result<Vec<(String, Vec<usize>)>> {
    let array = |(place, input): (usize, &Input)| {
        if let Some(named) = shapes.further.iter().find(|(name, _)| *name == input.name) {
            return Ok(named.clone());
        }
        if place == 0 || input.name == Dataset::FIRST_INPUT {
            return Ok((Dataset::FIRST_INPUT.to_owned(), shapes.first.clone()));
        }
        let names = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let further = shapes.further.iter().map(|(name, _)| name.as_str());
        Err(Error::input(
            format!(
                "`{}` takes the inputs {}; the data has {}, and no `{}`",
                path.display(),
                names(inputs.iter().map(|input| input.name.as_str()).collect()),
                names([Dataset::FIRST_INPUT].into_iter().chain(further).collect()),
                input.name
            ),
            format!(
                "give an npz or safetensors file with an array for each: the first as `x`, `{}` by its name, one row per \
                 sample; or export the network without that input",
                input.name
            ),
        ))
    };
    inputs.iter().enumerate().map(array).collect()
}

fn model_input(input: &Input, vocabulary: Option<usize>, array: String) -> ModelInput {
    let numbers = match input.numbers {
        network::Numbers::Float => Numbers::Float,
        network::Numbers::Integer => Numbers::Whole { count: vocabulary, dtype: DType::I64 },
        network::Numbers::Boolean => Numbers::Whole { count: Some(2), dtype: DType::U8 },
    };
    ModelInput { array, numbers }
}

/// The network must answer what the targets ask.
fn check_outputs(path: &Path, output: &[usize], outputs: Outputs) -> Result<()> {
    let fits = match (output, outputs) {
        (&[count], Outputs::AtLeast(_) | Outputs::Exactly(_) | Outputs::Binary) => outputs.allows(count),
        (&[own, count], Outputs::EachPosition { positions, .. }) => own == positions && outputs.allows(count),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let asked = match outputs {
        Outputs::AtLeast(count) => format!("{count} classes for each sample"),
        Outputs::Exactly(count) => format!("{count} numbers for each sample"),
        Outputs::Binary => "two classes for each sample".to_owned(),
        Outputs::EachPosition { positions, classes } => format!("{classes} classes at each of {positions} positions"),
    };
    Err(Error::input(
        format!("`{}` gives an output of shape {output:?} for a sample, the data has {asked}", path.display()),
        "give the data that the network was trained on, or another network",
    ))
}
