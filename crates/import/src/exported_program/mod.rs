//! Networks as `torch.export.save` writes them: `.pt2` files.
//!
//! A file holds the graph of a network's operators, the names of its weights as in its `state_dict`, and the weights.
//! [`ExportedProgram::network`] makes a program of the graph, for samples of a shape.

mod archive;
mod call;
mod independence;
mod lowering;
mod modules;
mod schema;
mod views;
mod weights;

use std::path::Path;

use basin_tape::Program;
use candle_core::Tensor;

use crate::{Error, Result};
use archive::Archive;
use schema::{Extent, InputSpec, Model, Versioned};
use weights::Stored;

pub(crate) use call::{Call, Operand, Outputs};
pub use modules::Owner;
pub(crate) use views::View;

/// The major version of the schema that is read.
const MAJOR: u64 = 8;

/// A `.pt2` file.
#[derive(Debug)]
pub struct ExportedProgram {
    archive: Archive,
    model: Model,
    weights: Stored,
    constants: Stored,
}

/// What kind of numbers an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Truth values.
    Boolean,
    /// Whole numbers, such as tokens.
    Integer,
    /// Floating point numbers.
    Float,
}

/// An input of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the network's `forward`.
    pub name: String,
    /// The kind of its numbers.
    pub numbers: Numbers,
    /// Its extents, the samples' first; absent where any will do.
    pub shape: Vec<Option<usize>>,
}

/// A network as a program.
#[derive(Debug)]
pub struct Network {
    /// The program; its inputs are those of the network, in their order.
    pub program: Program,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The shape of the output for one sample.
    pub output: Vec<usize>,
    /// How many different whole numbers each input may hold, where it looks them up in a table, as tokens are.
    pub vocabularies: Vec<Option<usize>>,
    /// Second names of parameters, each with the one that the program has.
    pub aliases: Vec<(String, String)>,
    /// Tensors of the network's `state_dict` that the output does not depend on, or that are constants of the program.
    pub unused: Vec<String>,
    /// What a reader of its figures should know.
    pub notes: Vec<String>,
}

/// How many of a network's operators are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators {
    /// The names of known ones with the number of their calls.
    pub known: Vec<(String, usize)>,
    /// Those that are not known, with the number of their calls and where the first one stands.
    pub unknown: Vec<(String, usize, String)>,
}

impl ExportedProgram {
    /// Reads the graph of a file; weights stay in the file until they are asked for.
    ///
    /// # Errors
    /// When it is no file of `torch.export.save`, or one of another major version of the format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let archive = Archive::open(path)?;
        let text = archive.read("models/model.json")?;
        let malformed = |cause: serde_json::Error| {
            Error::new(
                format!("`{}`: `models/model.json` is not what PyTorch writes: {cause}", path.display()),
                "save the network again with `torch.export.save`",
            )
        };
        let Versioned { schema_version: version } = serde_json::from_slice(&text).map_err(malformed)?;
        if version.major != MAJOR {
            return Err(Error::new(
                format!(
                    "`{}` has version {}.{} of the format, expected {MAJOR}",
                    path.display(),
                    version.major,
                    version.minor
                ),
                "save the network again with PyTorch 2.8 to 2.15",
            ));
        }
        let model = serde_json::from_slice(&text).map_err(malformed)?;
        let weights = Stored::read(&archive, "data/weights/", "model_weights_config.json")?;
        let constants = Stored::read(&archive, "data/constants/", "model_constants_config.json")?;
        Ok(Self { archive, model, weights, constants })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        self.archive.path()
    }

    /// The version of PyTorch that wrote it.
    pub fn torch_version(&self) -> &str {
        &self.model.torch_version
    }

    /// The inputs of the network.
    ///
    /// # Errors
    /// When one is neither a tensor nor a constant.
    pub fn inputs(&self) -> Result<Vec<Input>> {
        lowering::inputs(self)
    }

    /// Which operators the network uses.
    pub fn operators(&self) -> Operators {
        lowering::operators(&self.model.graph_module.graph)
    }

    /// The names and shapes of the network's tensors that are saved with its `state_dict`.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let shape = |name: &String| {
            let sizes = self.weights.meta(name).map(|meta| meta.sizes.as_slice()).unwrap_or_default();
            let number = |extent: &Extent| match extent {
                Extent::AsInt(number) => usize::try_from(*number).unwrap_or(0),
                Extent::AsExpr(_) => 0,
            };
            sizes.iter().map(number).collect()
        };
        self.weights.names().map(|name| (name.clone(), shape(name))).collect()
    }

    /// The weights by name, tied ones once: f64 where the file has double precision, other floating point numbers as f32,
    /// whole numbers as i64, truth values as u8.
    ///
    /// # Errors
    /// When a tensor is not whole.
    pub fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        let once = self.weights.names().filter(|name| self.weights.first_name(name) == Some(name.as_str()));
        once.map(|name| Ok((name.clone(), self.weights.tensor(&self.archive, name)?))).collect()
    }

    /// The network as a program, for samples of one shape for each input, without the axis of the samples. With
    /// `batch_statistics` batch norm uses the statistics of the batch.
    ///
    /// # Errors
    /// When the shapes are not those it was exported for, or it uses what is not known; the error names the operator and
    /// where it stands.
    pub fn network(&self, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
        let network = lowering::network(self, samples, batch_statistics)?;
        if !batch_statistics && network.inputs.iter().any(|input| input.shape.first().is_some_and(Option::is_some)) {
            independence::check(self, &network, samples)?;
        }
        Ok(network)
    }

    fn specs(&self) -> &[InputSpec] {
        &self.model.graph_module.signature.input_specs
    }
}
