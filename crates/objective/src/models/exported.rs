//! Networks of files, as models.

use std::path::Path;

use basin_import::NetworkFile;
use basin_import::network::{Input, Network, Numbers};
use candle_core::DType;

use super::{InitialValues, Model, SampleNumbers};
use crate::weights::ForeignNames;
use crate::{Error, Outputs, Result};

/// The network of a `.pt2` or `.onnx` file as a model, for samples of a shape and the outputs that the targets ask for.
pub(super) fn model(path: &Path, input_shape: &[usize], outputs: Outputs) -> Result<Model> {
    let file = NetworkFile::open(path)?;
    let samples = [input_shape.to_vec()];
    let Network { program, inputs, output, vocabulary, aliases, unused, notes } = file.network(&samples, false)?;
    check_outputs(path, &output, outputs)?;
    let with_batch_statistics = file.network(&samples, true)?.program;
    let has_batch_norm = !with_batch_statistics.batch_statistics().is_empty();
    Ok(Model {
        name: path.display().to_string(),
        stored: program,
        batch: has_batch_norm.then_some(with_batch_statistics),
        outputs: output.last().copied().unwrap_or(1),
        positions: (output.len() > 1).then(|| output[0]),
        initial: InitialValues::Exported(Box::new(file)),
        foreign: ForeignNames { aliases, constants: unused },
        numbers: match inputs.first() {
            Some(Input { numbers: Numbers::Float, .. }) | None => SampleNumbers::Float,
            Some(_) => SampleNumbers::Tokens { vocabulary, dtype: DType::I64 },
        },
        exchangeable: None,
        notes,
    })
}

/// The network must answer what the targets ask.
fn check_outputs(path: &Path, output: &[usize], outputs: Outputs) -> Result<()> {
    let fits = match (output, outputs) {
        (&[count], Outputs::AtLeast(_) | Outputs::Exactly(_)) => outputs.allows(count),
        (&[own, count], Outputs::EachPosition { positions, .. }) => own == positions && outputs.allows(count),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let asked = match outputs {
        Outputs::AtLeast(count) => format!("{count} classes for each sample"),
        Outputs::Exactly(count) => format!("{count} numbers for each sample"),
        Outputs::EachPosition { positions, classes } => format!("{classes} classes at each of {positions} positions"),
    };
    Err(Error::input(
        format!("`{}` gives an output of shape {output:?} for a sample, the data has {asked}", path.display()),
        "give the data that the network was trained on, or another network",
    ))
}
