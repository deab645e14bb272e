//! Whether the samples of a batch stay apart. A network that was exported for a number of samples says nowhere which of its
//! numbers are that one: what was taken for it is tried out.

use std::collections::HashMap;

use basin_tape::{Layout, Point};
use candle_core::{DType, Device, Tensor};

use super::{Format, Input, Network, Numbers};
use crate::{Error, Result};

/// Relative difference allowed between the output of a sample alone and beside another, in f32.
const TOLERANCE: f64 = 1e-3;

/// Two samples together must give the rows that each gives alone.
pub(super) fn check(file: &dyn Format, network: &Network, samples: &[Vec<usize>]) -> Result<()> {
    let mixed = |reason: &str| {
        Error::new(
            format!("`{}` was exported for one number of samples, and {reason}", file.path().display()),
            file.export_any(),
        )
    };
    let difference = largest_difference(file, network, samples).map_err(|cause| match cause {
        Cause::File(error) => error,
        Cause::Run(reason) => mixed(&format!("cannot be computed on others: {reason}")),
    })?;
    if difference <= TOLERANCE { Ok(()) } else { Err(mixed("what it gives for a sample depends on the others")) }
}

enum Cause {
    File(Error),
    Run(String),
}

impl From<basin_tape::Error> for Cause {
    fn from(error: basin_tape::Error) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<candle_core::Error> for Cause {
    fn from(error: candle_core::Error) -> Self {
        Self::Run(error.to_string())
    }
}

fn largest_difference(file: &dyn Format, network: &Network, samples: &[Vec<usize>]) -> Result<f64, Cause> {
    let point = point(file, network)?;
    let inputs = network.inputs.iter().zip(samples).zip(&network.vocabularies);
    let pair = inputs.map(|((input, shape), vocabulary)| two_samples(input, shape, *vocabulary));
    let pair = pair.collect::<Result<Vec<_>, _>>()?;
    let run = |batch: &[Tensor]| -> Result<Tensor, Cause> {
        Ok(network.program.evaluate(&point, &batch.iter().collect::<Vec<_>>())?.to_dtype(DType::F64)?)
    };
    let together = run(&pair)?;
    let mut largest = 0.0_f64;
    for i in 0..2 {
        let one = pair.iter().map(|x| x.narrow(0, i, 1)).collect::<candle_core::Result<Vec<_>>>()?;
        let (alone, row) = (run(&one)?, together.narrow(0, i, 1)?);
        let scale = alone.abs()?.max_all()?.to_scalar::<f64>()?.max(f64::MIN_POSITIVE);
        largest = largest.max((alone - row)?.abs()?.max_all()?.to_scalar::<f64>()? / scale);
    }
    Ok(largest)
}

/// The weights in the file as the point of the program.
fn point(file: &dyn Format, network: &Network) -> Result<Point, Cause> {
    let tensors: HashMap<String, Tensor> = file.weights().map_err(Cause::File)?.into_iter().collect();
    let own = |name: &str| {
        let other = network.aliases.iter().find(|(alias, own)| own == name && tensors.contains_key(alias));
        tensors.get(other.map_or(name, |(alias, _)| alias))
    };
    let vector = |layout: &Layout| -> Result<Tensor, Cause> {
        let part = |name: &str| {
            let tensor = own(name).ok_or_else(|| Cause::Run(format!("`{name}` is not in the file")))?;
            Ok::<_, Cause>(tensor.to_dtype(DType::F32)?.flatten_all()?)
        };
        let parts = layout.entries().iter().map(|entry| part(&entry.name)).collect::<Result<Vec<_>, _>>()?;
        match parts.as_slice() {
            [] => Ok(Tensor::zeros(0, DType::F32, &Device::Cpu)?),
            parts => Ok(Tensor::cat(parts, 0)?),
        }
    };
    Ok(network.program.at(&vector(network.program.parameters())?, &vector(network.program.buffers())?)?)
}

/// Two different samples: waves, all tokens in turn, or true everywhere.
fn two_samples(input: &Input, shape: &[usize], vocabulary: Option<usize>) -> candle_core::Result<Tensor> {
    let shape = [&[2], shape].concat();
    let count: usize = shape.iter().product();
    let cpu = &Device::Cpu;
    match input.numbers {
        Numbers::Float => {
            let numbers: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
            Tensor::from_vec(numbers, shape, cpu)
        }
        Numbers::Integer => {
            // What is no token is most often a mask, of which 1 lets everything through.
            let modulus = vocabulary.map_or(2, |vocabulary| vocabulary.max(1)) as i64;
            let numbers: Vec<i64> =
                (0..count as i64).map(|i| if modulus == 2 { 1 } else { (7 * i + 1) % modulus }).collect();
            Tensor::from_vec(numbers, shape, cpu)
        }
        Numbers::Boolean => Tensor::ones(shape, DType::U8, cpu),
    }
}
