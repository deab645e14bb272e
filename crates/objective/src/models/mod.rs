//! The zoo: models by name, sized by the data.

mod alexnet;
mod attention;
mod convolutional;
mod dropout;
mod exported;
mod fitting;
mod from_scratch;
mod fully_connected;
mod gpt;
mod hidden_units;
mod hugging_face_gpt2;
mod image_layout;
mod initial;
mod layers;
mod residual;
mod spec;
mod torchvision;
mod training_program;
mod vgg;
mod vision_transformer;
mod wide_residual;

pub use alexnet::AlexNet;
pub use dropout::Dropout;
pub use gpt::Gpt;
pub use hidden_units::{ExchangeableUnits, UnitAxis, UnitTensor};
pub use hugging_face_gpt2::HuggingFaceGpt2;
pub use residual::{CifarResNet, ResNet};
pub use spec::{Activation, ModelSpec};
pub use training_program::TrainingProgram;
pub use vgg::Vgg;
pub use vision_transformer::VisionTransformer;
pub use wide_residual::WideResNet;

use std::collections::BTreeMap;

use basin_import::NetworkFile;
use basin_tape::{Entry, Layout, Program};
use candle_core::{DType, Device, Tensor};

use crate::data::{Dataset, InputShapes};
use crate::weights::{ForeignNames, Gathered, Weights};
use crate::{Error, Outputs, Result};
use initial::{Fan, Initial};
use layers::{Layers, Written};

/// The most parameters of a model: two vectors of more would not fit any memory this is run in.
const MOST_PARAMETERS: usize = 1 << 31;

/// What the norm of a sample's outputs is at least when it divides them.
const LEAST_NORM: f64 = 1e-10;

/// Which statistics batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchNorm {
    /// The stored ones: the objective is a mean over samples.
    Stored,
    /// Those of the batch, as in training: the batch must not be split.
    Batch,
}

/// A model: its programs, and how its weights are drawn.
#[derive(Debug)]
pub struct Model {
    name: String,
    stored: Program,
    /// The same with batch statistics, where there is batch norm.
    batch: Option<Program>,
    outputs: usize,
    positions: Option<usize>,
    initial: InitialValues,
    foreign: ForeignNames,
    inputs: Vec<ModelInput>,
    exchangeable: Option<Vec<ExchangeableUnits>>,
    notes: Vec<String>,
}

/// Where a model's values before training come from.
#[derive(Debug)]
enum InitialValues {
    /// Drawn tensor by tensor.
    Drawn { parameters: Vec<Initial>, buffers: Vec<Initial> },
    /// Those in the file of an exported network.
    Exported(Box<NetworkFile>),
    /// Of an exported network too: drawn for tensors by name, and those in its file for all others.
    FromScratch { file: Box<NetworkFile>, drawn: BTreeMap<String, Initial> },
}

/// An input of a model.
#[derive(Clone, Debug)]
struct ModelInput {
    /// The array of the data that it takes.
    array: String,
    numbers: Numbers,
}

/// What kind of numbers an input holds.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    /// Floating point numbers.
    Float,
    /// Whole ones in some dtype, such as tokens, below a count where that is known.
    Whole { count: Option<usize>, dtype: DType },
}

impl ModelInput {
    /// The one of a model of the zoo, of tokens where it has a vocabulary.
    fn only(vocabulary: Option<usize>) -> Vec<Self> {
        let numbers = vocabulary.map_or(Numbers::Float, |_| Numbers::Whole { count: vocabulary, dtype: DType::U32 });
        vec![Self { array: Dataset::FIRST_INPUT.to_owned(), numbers }]
    }
}

impl Model {
    /// The model that `spec` names, for samples with inputs of these shapes (without the batch axis) and the outputs that the
    /// targets ask for.
    ///
    /// ```
    /// use basin_objective::Outputs;
    /// use basin_objective::models::Model;
    ///
    /// let model = Model::new(&"mlp:64-100-10:relu".parse()?, &[64], Outputs::AtLeast(10))?;
    /// assert_eq!(model.parameters().len(), 64 * 100 + 100 + 100 * 10 + 10);
    /// assert_eq!(model.parameters().entries()[0].name, "fc1.weight");
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the model cannot take such samples or give so many outputs.
    pub fn new(spec: &ModelSpec, inputs: impl Into<InputShapes>, outputs: impl Into<Outputs>) -> Result<Self> {
        let (inputs, outputs) = (inputs.into(), outputs.into());
        if let ModelSpec::Exported(path) = spec {
            return exported::model(path, &inputs, outputs);
        }
        if let ModelSpec::FromScratch(path) = spec {
            let name = spec.to_string();
            return Self { name, ..exported::model(path, &inputs, outputs)? }.with_drawn_weights();
        }
        let build = |mode| written(spec, &inputs.first, outputs, (mode, Dropout::None));
        let Written { program: stored, output, parameters, buffers, foreign, vocabulary, exchangeable, .. } =
            build(BatchNorm::Stored)?;
        if stored.parameters().len() > MOST_PARAMETERS {
            return Err(Error::input(
                format!("model `{spec}` has {} parameters, the most are {MOST_PARAMETERS}", stored.parameters().len()),
                "use a smaller model, or smaller samples",
            ));
        }
        Ok(Self {
            name: spec.to_string(),
            stored,
            batch: Some(build(BatchNorm::Batch)?.program),
            outputs: output.last().copied().unwrap_or(1),
            positions: (output.len() > 1).then(|| output[0]),
            initial: InitialValues::Drawn { parameters, buffers },
            foreign,
            inputs: ModelInput::only(vocabulary),
            exchangeable,
            notes: inputs.further.iter().map(|(name, _)| not_an_input(name)).collect(),
        })
    }

    /// A model that is none of the zoo: a program of one input whose output for a sample has the shape `output`. Initial
    /// matrices and kernels are uniform in ±1/√fan-in, as PyTorch's, all else is 0.
    ///
    /// ```
    /// use basin_objective::models::Model;
    /// use basin_tape::ProgramBuilder;
    ///
    /// let mut b = ProgramBuilder::default();
    /// let (x, weight) = (b.input(), b.parameter("weight", &[3, 5]));
    /// let y = b.linear(x, weight, None);
    /// let model = Model::from_program("softmax regression", b.finish(y)?, &[3]);
    /// assert_eq!(model.outputs(), 3);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn from_program(name: &str, program: Program, output: &[usize]) -> Self {
        let initial = |entry: &Entry| match entry.shape.as_slice() {
            [outputs, inputs @ ..] if !inputs.is_empty() => {
                Initial::pytorch(Fan { inputs: inputs.iter().product(), outputs: *outputs })
            }
            _ => Initial::Constant(0.0),
        };
        let initial = |layout: &Layout| layout.entries().iter().map(initial).collect();
        Self {
            name: name.to_owned(),
            outputs: output.last().copied().unwrap_or(1),
            positions: (output.len() > 1).then(|| output[0]),
            initial: InitialValues::Drawn {
                parameters: initial(program.parameters()),
                buffers: initial(program.buffers()),
            },
            foreign: ForeignNames::default(),
            inputs: ModelInput::only(None),
            exchangeable: None,
            notes: Vec::new(),
            stored: program,
            batch: None,
        }
    }

    /// The same model with normalised outputs: (z − mean z)/‖z − mean z‖ over the classes of a sample, or of each of its
    /// positions, instead of z. Sharpness is then that of a loss which scaling the outputs does not change (Andriushchenko et
    /// al., "A modern look at the relationship between sharpness and generalization", ICML 2023, section 3; there ‖z‖ stands
    /// for the norm after the mean is taken away, as in the authors' code).
    ///
    /// ```
    /// use basin_objective::models::Model;
    ///
    /// let model = Model::new(&"mlp:64-100-10:relu".parse()?, &[64], 10)?.with_normalized_outputs()?;
    /// assert_eq!(model.name(), "mlp:64-100-10:relu with normalized outputs");
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is one output, of which nothing would be left.
    pub fn with_normalized_outputs(self) -> Result<Self> {
        if self.outputs < 2 {
            return Err(Error::input(
                format!("model `{}` has a single output, which normalisation makes 0", self.name),
                "leave `--normalize-logits` out",
            ));
        }
        let (classes, axis) = (self.outputs as f64, 1 + usize::from(self.positions.is_some()));
        let normalized = |program: Program| {
            let (mut b, z) = program.continued();
            let standardized = b.normalize(LEAST_NORM * LEAST_NORM / classes, vec![axis], z);
            let output = b.affine(1.0 / classes.sqrt(), 0.0, standardized);
            b.finish(output)
        };
        Ok(Self {
            name: format!("{} with normalized outputs", self.name),
            stored: normalized(self.stored)?,
            batch: self.batch.map(normalized).transpose()?,
            ..self
        })
    }

    /// The same model as a function of some of its parameters: those whose names are `measured`. The others are constants, as
    /// buffers are.
    ///
    /// ```
    /// use basin_objective::models::Model;
    ///
    /// let model = Model::new(&"mlp:64-100-10:relu".parse()?, &[64], 10)?.with_parameters(|name| name.starts_with("fc2."))?;
    /// assert_eq!(model.parameters().len(), 100 * 10 + 10);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no parameter is left.
    pub fn with_parameters(self, measured: impl Fn(&str) -> bool) -> Result<Self> {
        if !self.parameters().entries().iter().any(|entry| measured(&entry.name)) {
            return Err(Error::input(
                format!("no parameter of model `{}` is measured", self.name),
                "measure one at least",
            ));
        }
        let initial = match self.initial {
            InitialValues::Drawn { parameters, mut buffers } => {
                let named = self.stored.parameters().entries().iter().zip(parameters);
                let (kept, frozen): (Vec<_>, Vec<_>) = named.partition(|(entry, _)| measured(&entry.name));
                buffers.extend(frozen.into_iter().map(|(_, initial)| initial));
                InitialValues::Drawn { parameters: kept.into_iter().map(|(_, initial)| initial).collect(), buffers }
            }
            exported => exported,
        };
        let restricted = |program: Program| program.with_frozen(|name| !measured(name));
        Ok(Self {
            stored: restricted(self.stored)?,
            batch: self.batch.map(restricted).transpose()?,
            initial,
            exchangeable: None,
            ..self
        })
    }

    /// The name it was built from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of outputs of a sample, or of each of its positions.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The number of positions of a sample with outputs each, for models of sequences.
    pub fn positions(&self) -> Option<usize> {
        self.positions
    }

    /// The program for one kind of batch norm; both have the same parameters and buffers.
    pub fn program(&self, batch_norm: BatchNorm) -> &Program {
        match batch_norm {
            BatchNorm::Stored => &self.stored,
            BatchNorm::Batch => self.batch.as_ref().unwrap_or(&self.stored),
        }
    }

    /// Whether samples are sequences of tokens.
    pub fn takes_tokens(&self) -> bool {
        self.inputs.first().is_some_and(|input| matches!(input.numbers, Numbers::Whole { .. }))
    }

    /// Names, shapes and offsets of the parameters.
    pub fn parameters(&self) -> &Layout {
        self.stored.parameters()
    }

    /// Names, shapes and offsets of the buffers, such as running means.
    pub fn buffers(&self) -> &Layout {
        self.stored.buffers()
    }

    /// The sets of hidden units that may change places without changing the function: a permutation of the units of a set,
    /// along all of their axes, leaves the outputs as they are. Absent where that is not known: for models of tokens and
    /// patches, and for those that are none of the zoo.
    ///
    /// ```
    /// use basin_objective::models::{Model, UnitTensor};
    ///
    /// let model = Model::new(&"mlp:64-100-10:relu".parse()?, &[64], 10)?;
    /// let sets = model.exchangeable_units().ok_or_else(|| basin_objective::Error::input("none are known", ""))?;
    /// // The 100 hidden units have the rows of fc1.weight and fc1.bias, and the columns of fc2.weight.
    /// assert_eq!((sets.len(), sets[0].count, sets[0].axes.len()), (1, 100, 3));
    /// assert_eq!((sets[0].axes[2].tensor, sets[0].axes[2].axis), (UnitTensor::Parameter(2), 1));
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn exchangeable_units(&self) -> Option<&[ExchangeableUnits]> {
        self.exchangeable.as_deref()
    }

    /// The parameters and buffers that a checkpoint holds under the model's names.
    ///
    /// # Errors
    /// When tensors are missing, unexpected, misshapen or not finite; one error lists them all.
    pub fn gather(&self, weights: &Weights, dtype: DType) -> Result<Gathered> {
        weights.gather_foreign(&named(self.parameters()), &named(self.buffers()), &self.foreign, dtype)
    }

    /// Whether a checkpoint has the model's names and shapes, whatever its values.
    pub fn fits(&self, weights: &Weights) -> bool {
        weights.fits(&named(self.parameters()), &named(self.buffers()), &self.foreign)
    }

    /// The inputs of all samples as the programs take them: tokens and other whole numbers as integers, all others in `dtype`.
    ///
    /// # Errors
    /// When the model takes tokens and the inputs are not integers below its vocabulary, or the data cannot be read.
    pub fn inputs(&self, data: &Dataset, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        self.inputs.iter().map(|input| self.input(input, data, dtype)?.to_device(device).map_err(Error::from)).collect()
    }

    fn input(&self, input: &ModelInput, data: &Dataset, dtype: DType) -> Result<Tensor> {
        let array = &input.array;
        let Some(rows) = data.input(array) else {
            return Err(Error::input(
                format!("`{}` has no array `{array}`, which model `{}` takes", data.spec, self.name),
                "give the data that the model was made for",
            ));
        };
        let values = rows.tensor()?;
        let Numbers::Whole { count, dtype: whole } = input.numbers else { return Ok(values.to_dtype(dtype)?) };
        if !values.dtype().is_int() {
            return Err(Error::input(
                format!(
                    "model `{}` takes tokens or other whole numbers as `{array}`, the inputs are {}",
                    self.name,
                    values.dtype().as_str()
                ),
                "store the tokens as integers",
            ));
        }
        let tokens = values.to_dtype(DType::I64)?;
        let count = count.unwrap_or(usize::MAX);
        let known = |token: i64| usize::try_from(token).is_ok_and(|token| token < count);
        match tokens.flatten_all()?.to_vec1::<i64>()?.into_iter().find(|&token| !known(token)) {
            None => Ok(tokens.to_dtype(whole)?),
            Some(token) => Err(Error::input(
                format!("there is a token {token} in `{array}`, model `{}` knows {count}, from 0", self.name),
                "give the tokens that the model was trained on; a `gpt` takes a larger vocabulary as in `gpt:vocabulary=65`",
            )),
        }
    }

    /// The initial parameter vector, drawn as PyTorch or the model's authors draw it, from one stream per (seed, tensor
    /// name); of an exported network, the weights in its file, unless it is to start from scratch.
    ///
    /// # Errors
    /// When candle fails.
    pub fn initial_parameters(&self, seed: u64, dtype: DType) -> Result<Tensor> {
        match &self.initial {
            InitialValues::Drawn { parameters, .. } => draw(self.parameters(), parameters, seed, dtype),
            InitialValues::Exported(file) => Ok(self.gather(&Weights::of_exported(file)?, dtype)?.parameters),
            InitialValues::FromScratch { file, drawn } => {
                let stored = self.gather(&Weights::of_exported(file)?, dtype)?.parameters;
                redrawn(self.parameters(), &stored, drawn, seed)
            }
        }
    }

    /// The initial buffer vector.
    ///
    /// # Errors
    /// When candle fails.
    pub fn initial_buffers(&self, dtype: DType) -> Result<Tensor> {
        match &self.initial {
            InitialValues::Drawn { buffers, .. } => draw(self.buffers(), buffers, 0, dtype),
            InitialValues::Exported(file) => Ok(self.gather(&Weights::of_exported(file)?, dtype)?.buffers),
            InitialValues::FromScratch { file, drawn } => {
                let stored = self.gather(&Weights::of_exported(file)?, dtype)?.buffers;
                redrawn(self.buffers(), &stored, drawn, 0)
            }
        }
    }

    /// What a reader of its figures should know, such as parameters that are frozen.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// What is said of an array of the data that a model leaves out.
fn not_an_input(array: &str) -> String {
    format!("the data's array `{array}` is no input of the model: it is left out")
}

fn named(layout: &Layout) -> Vec<(String, Vec<usize>)> {
    layout.entries().iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect()
}

/// A model as its layers are written for one kind of batch norm and dropout.
fn written(
    spec: &ModelSpec,
    input_shape: &[usize],
    outputs: Outputs,
    (batch_norm, dropout): (BatchNorm, Dropout),
) -> Result<Written> {
    let mut layers = Layers::new(batch_norm, dropout);
    let output = spec.build(&mut layers, input_shape, outputs).map_err(|e| misfit(spec, input_shape, e))?;
    layers.finish(output)
}

/// A layer that cannot take what reaches it is a matter of the data, not of the engine.
fn misfit(spec: &ModelSpec, input_shape: &[usize], error: Error) -> Error {
    match error {
        Error::Tape(error @ basin_tape::Error::Shape { .. }) => Error::input(
            format!("model `{spec}` cannot take samples of shape {input_shape:?}: {error}"),
            "use data with larger images, or another model",
        ),
        error => error,
    }
}

fn draw(layout: &Layout, initial: &[Initial], seed: u64, dtype: DType) -> Result<Tensor> {
    let mut vector = Vec::with_capacity(layout.len());
    for (Entry { name, shape, .. }, initial) in layout.entries().iter().zip(initial) {
        initial.draw(seed, name, shape.iter().product(), &mut vector);
    }
    Ok(Tensor::new(vector, &Device::Cpu)?.to_dtype(dtype)?)
}

/// Stored values with those of some tensors drawn.
fn redrawn(layout: &Layout, stored: &Tensor, drawn: &BTreeMap<String, Initial>, seed: u64) -> Result<Tensor> {
    let mut vector = stored.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    for entry in layout.entries() {
        let place = vector.get_mut(entry.offset..entry.offset + entry.len());
        if let (Some(initial), Some(place)) = (drawn.get(&entry.name), place) {
            let mut values = Vec::with_capacity(entry.len());
            initial.draw(seed, &entry.name, entry.len(), &mut values);
            place.copy_from_slice(&values);
        }
    }
    Ok(Tensor::new(vector, &Device::Cpu)?.to_dtype(stored.dtype())?)
}
