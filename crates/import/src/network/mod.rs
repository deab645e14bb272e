//! Networks of files, whatever the format: what they take and give, and the programs that they become.
//!
//! [`NetworkFile::open`] reads a file of `torch.export.save` (`.pt2`) or an ONNX file (`.onnx`);
//! [`NetworkFile::network`] makes a program of its graph, for samples of a shape.

mod independence;
mod reading;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use basin_tape::Program;
use candle_core::Tensor;

use crate::Result;
use crate::exported_program::ExportedProgram;
use crate::onnx::OnnxModel;

pub(crate) use reading::{Dimension, Reading, defect, named, refuse_unknown};

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
    /// Its name in the file: that in the network's `forward`, or one given when it was exported.
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

/// The innermost module around a tensor that the network calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The module's name, empty for the network itself.
    pub module: String,
    /// Its class, such as `torch.nn.modules.linear.Linear`.
    pub class: String,
    /// The tensor's name within it.
    pub tensor: String,
    /// The row of an embedding that stands for padding.
    pub padding: Option<usize>,
}

/// A format of files that hold networks.
pub(crate) trait Format: fmt::Debug + Send + Sync {
    fn path(&self) -> &Path;

    /// What wrote the file, with its version.
    fn producer(&self) -> String;

    fn inputs(&self) -> Result<Vec<Input>>;

    fn operators(&self) -> Operators;

    fn state_dict(&self) -> Vec<(String, Vec<usize>)>;

    fn weights(&self) -> Result<Vec<(String, Tensor)>>;

    /// The network as its graph says, for samples of one shape for each input.
    fn read(&self, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network>;

    /// The owner of each tensor of the `state_dict`, where the file says which it is.
    fn owners(&self) -> BTreeMap<String, Owner> {
        BTreeMap::new()
    }

    /// Files beside it that hold its weights.
    fn files_beside(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// How to export a network for any number of samples.
    fn export_any(&self) -> &'static str;
}

/// A file that holds a network and its weights.
#[derive(Debug)]
pub struct NetworkFile(Box<dyn Format>);

impl NetworkFile {
    /// Whether a path names a file that holds a network, by its ending.
    ///
    /// ```
    /// use basin_import::NetworkFile;
    ///
    /// assert!(NetworkFile::is_named_by("net.pt2") && NetworkFile::is_named_by("net.onnx"));
    /// assert!(!NetworkFile::is_named_by("weights.safetensors"));
    /// ```
    pub fn is_named_by(path: impl AsRef<Path>) -> bool {
        path.as_ref().extension().is_some_and(|ending| ending == "pt2" || ending == "onnx")
    }

    /// Reads the graph of a file; weights are read when they are asked for.
    ///
    /// # Errors
    /// When it holds no network, or one in a version of its format that is not read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self(match path.extension() {
            Some(ending) if ending == "onnx" => Box::new(OnnxModel::open(path)?),
            _ => Box::new(ExportedProgram::open(path)?),
        }))
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The files that it consists of: itself, and those beside it that hold its weights.
    pub fn files(&self) -> Vec<PathBuf> {
        std::iter::once(self.path().to_owned()).chain(self.0.files_beside()).collect()
    }

    /// What wrote it, such as `PyTorch 2.15.0`.
    pub fn producer(&self) -> String {
        self.0.producer()
    }

    /// The inputs of the network.
    ///
    /// # Errors
    /// When one is neither a tensor nor a constant.
    pub fn inputs(&self) -> Result<Vec<Input>> {
        self.0.inputs()
    }

    /// Which operators the network uses.
    pub fn operators(&self) -> Operators {
        self.0.operators()
    }

    /// The names and shapes of the network's tensors that are saved with its `state_dict`.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        self.0.state_dict()
    }

    /// The owner of each tensor of the `state_dict`, where the file says which it is: files of `torch.export.save` do.
    pub fn owners(&self) -> BTreeMap<String, Owner> {
        self.0.owners()
    }

    /// The weights by name, tied ones once: f64 where the file has double precision, other floating point numbers as f32,
    /// whole numbers as i64, truth values as u8.
    ///
    /// # Errors
    /// When a tensor is not whole.
    pub fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        self.0.weights()
    }

    /// The network as a program, for samples of one shape for each input, without the axis of the samples. With
    /// `batch_statistics` batch norm uses the statistics of the batch.
    ///
    /// # Errors
    /// When the shapes are not those it was exported for, or it uses what is not known; the error names the operator and
    /// where it stands.
    pub fn network(&self, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
        let network = self.0.read(samples, batch_statistics)?;
        if !batch_statistics && network.inputs.iter().any(|input| input.shape.first().is_some_and(Option::is_some)) {
            independence::check(self.0.as_ref(), &network, samples)?;
        }
        Ok(network)
    }
}
