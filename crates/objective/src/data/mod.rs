//! Data: inputs and targets, read from files, shipped with basin, or drawn from a seed.
//!
//! A [`DataSpec`] says which data, [`Dataset::load`] reads one [`Split`] of it.
//!
//! ```
//! use basin_objective::data::{DataSpec, Dataset, Split};
//!
//! let spec: DataSpec = "digits".parse()?;
//! let data = Dataset::load(&spec, Split::Train)?;
//! assert_eq!(data.samples(), 1437);
//! assert_eq!(data.sample_shape(), [64]);
//! assert_eq!(data.classes(), Some(10));
//! # Ok::<(), basin_objective::Error>(())
//! ```

mod arrays;
mod center_crop;
mod cifar;
mod csv;
mod dataset;
mod decoding;
mod digits;
mod hugging_face;
mod idx;
mod image_folder;
mod images;
mod npy;
mod npz;
mod panics;
mod preprocessing;
mod resizing;
mod rows;
mod spec;
mod split;
mod standardization;
mod synthetic;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use center_crop::CenterCrop;
pub use dataset::{Dataset, HELD, IGNORED, InputShapes, Targets};
pub use preprocessing::Preprocessing;
pub use resizing::Resize;
pub use rows::Rows;
pub use spec::{Color, DataSpec};
pub use standardization::Standardization;
pub use synthetic::Synthetic;
pub use tokens::{Masking, TokenFormat, Tokens};

use crate::{Error, Result, suggestion};

/// The part of the data that is looked at.
///
/// ```
/// use basin_objective::data::Split;
///
/// assert_eq!("test".parse::<Split>()?, Split::Test);
/// assert_eq!(Split::Train.to_string(), "train");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// What a model is trained on.
    Train,
    /// What was held back.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "train" => Ok(Self::Train),
            "test" => Ok(Self::Test),
            other => Err(Error::input(format!("unknown split `{other}`"), suggestion::hint(other, &["train", "test"]))),
        }
    }
}

/// What a reader delivers.
#[derive(Debug)]
struct Samples {
    inputs: Rows,
    further_inputs: BTreeMap<String, Rows>,
    targets: Targets,
    weights: Option<candle_core::Tensor>,
}

impl<R: Into<Rows>> From<(R, Targets)> for Samples {
    fn from((inputs, targets): (R, Targets)) -> Self {
        Self { inputs: inputs.into(), further_inputs: BTreeMap::new(), targets, weights: None }
    }
}

/// Reads the data that a spec names. Images of different sizes are resized and cut, which brings them to one; other inputs are as
/// they are stored. Arrays of more than `held` bytes stay in their files where they can.
fn read(spec: &DataSpec, split: Split, preprocessing: &Preprocessing, held: u64) -> Result<Samples> {
    match spec {
        DataSpec::Images { folder, color } => image_folder::read(folder, *color, split, preprocessing),
        DataSpec::Parquet { path, color } => hugging_face::read(path, *color, split, preprocessing),
        _ => read_arrays(spec, split, held),
    }
}

/// Reads data whose inputs have one shape.
fn read_arrays(spec: &DataSpec, split: Split, held: u64) -> Result<Samples> {
    match spec {
        DataSpec::Digits => digits::read(split),
        DataSpec::DigitImages => digits::read_images(split),
        DataSpec::Mnist(folder) => idx::read(folder, split),
        DataSpec::Cifar10(folder) => cifar::read(cifar::Kind::Cifar10, folder, split),
        DataSpec::Cifar100(folder) => cifar::read(cifar::Kind::Cifar100, folder, split),
        DataSpec::Safetensors(path) => arrays::read(arrays::Format::Safetensors, path, split, held),
        DataSpec::Npz(path) => arrays::read(arrays::Format::Npz, path, split, held),
        DataSpec::Csv { file, target } => csv::read(file, target.as_deref(), split),
        DataSpec::Tokens(tokens) => tokens.read(split),
        DataSpec::Synthetic(synthetic) => synthetic.draw(split),
        DataSpec::Images { .. } | DataSpec::Parquet { .. } => Err(Error::input(
            format!("the images of `{spec}` may differ in size"),
            "read them with what brings them to one",
        )),
        DataSpec::Memory(name) => Err(Error::input(
            format!("the data `memory:{name}` existed only inside the program that used it"),
            "name data that can be read, with `--data`",
        )),
    }
}
