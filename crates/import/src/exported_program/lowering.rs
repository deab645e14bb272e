//! From the graph of a file to a program: node after node, each by what reads its operator.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::call::{Call, kind_of};
use super::schema::{
    Argument, Extent as Written, InputSpec, Node, OptionalTensor, OutputSpec, SymbolicInt, TensorMeta,
};
use super::views::Names;
use super::{ExportedProgram, schema};
use crate::aten;
use crate::graph::{Array, Extent, Fault, Kind, Read};
use crate::network::{Dimension, Input, Network, Numbers, Operators, Reading, defect, refuse_unknown};
use crate::{Error, Result};

/// An operator's name and overload, and whether it works in place.
fn operator(target: &str) -> Option<(&str, &str, bool)> {
    let name = target.strip_prefix("torch.ops.aten.")?;
    let (name, overload) = name.split_once('.').unwrap_or((name, "default"));
    match name.strip_suffix('_').filter(|_| !name.ends_with("__")) {
        Some(pure) => Some((pure, overload, true)),
        None => Some((name, overload, false)),
    }
}

fn is_symbolic(target: &str) -> bool {
    target.starts_with("torch.ops.aten.sym_size")
        || target.starts_with("_operator.")
        || target.starts_with("torch.sym_")
}

fn is_known(target: &str) -> bool {
    is_symbolic(target)
        || operator(target).is_some_and(|(name, _, _)| aten::is_check(name) || aten::reader(name).is_some())
}

/// Where a node stands in the tree of modules.
fn place(node: &Node) -> String {
    let innermost = node.metadata.get("nn_module_stack").and_then(|stack| stack.rsplit(';').next());
    let mut parts = innermost.unwrap_or_default().splitn(3, ',').skip(1);
    match (parts.next().filter(|path| !path.is_empty()), parts.next()) {
        (Some(path), Some(class)) => format!("in `{path}` ({class})"),
        (None, Some(class)) => format!("in the network itself ({class})"),
        _ => "in the network".to_owned(),
    }
}

pub(super) fn operators(graph: &schema::Graph) -> Operators {
    let mut calls: BTreeMap<&str, (usize, &Node)> = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| !is_symbolic(&node.target)) {
        calls.entry(&node.target).or_insert((0, node)).0 += 1;
    }
    let mut operators = Operators::default();
    for (target, (count, first)) in calls {
        let name = target.strip_prefix("torch.ops.").unwrap_or(target).to_owned();
        match is_known(target) {
            true => operators.known.push((name, count)),
            false => operators.unknown.push((name, count, place(first))),
        }
    }
    operators
}

fn tensor_name(argument: &Argument) -> Option<&str> {
    match argument {
        Argument::AsTensor(tensor) => Some(&tensor.name),
        _ => None,
    }
}

/// The inputs, and their extents as the file declares them.
pub(super) fn inputs(file: &ExportedProgram) -> Result<(Vec<Input>, Vec<Vec<Dimension>>)> {
    let path = file.archive.path().display();
    let hint = "export the network with tensors alone as inputs";
    let (mut inputs, mut declared) = (Vec::new(), Vec::new());
    for spec in file.specs() {
        let name = match spec {
            InputSpec::UserInput { arg: Argument::AsNone(_) } => continue,
            InputSpec::UserInput { arg } => {
                tensor_name(arg).ok_or_else(|| Error::new(format!("`{path}` has an input that is no tensor"), hint))?
            }
            InputSpec::CustomObj(_) => {
                return Err(Error::new(format!("`{path}` has an input that is an object of Python"), hint));
            }
            _ => continue,
        };
        let meta = file.model.graph_module.graph.tensor_values.get(name);
        let meta = meta.ok_or_else(|| Error::new(format!("`{path}` does not describe its input `{name}`"), hint))?;
        let numbers = match kind_of(meta.dtype) {
            Ok(Kind::Float) => Numbers::Float,
            Ok(Kind::Integer) => Numbers::Integer,
            Ok(Kind::Boolean) => Numbers::Boolean,
            Err(Fault(reason)) => return Err(Error::new(format!("`{path}`: the input `{name}` holds {reason}"), hint)),
        };
        let dimensions = dimensions(meta);
        let shape = dimensions.iter().map(Dimension::number).collect();
        inputs.push(Input { name: name.to_owned(), numbers, shape });
        declared.push(dimensions);
    }
    Ok((inputs, declared))
}

fn dimensions(meta: &TensorMeta) -> Vec<Dimension> {
    let multiple = |text: &str| {
        let factors = text.strip_prefix("Mul(Integer(")?.strip_suffix("))")?;
        let (number, symbol) = factors.split_once("), Symbol('")?;
        Some(Dimension::Multiple(number.parse().ok()?, symbol.split_once('\'')?.0.to_owned()))
    };
    let dimension = |extent: &Written| match extent {
        Written::AsInt(number) => Dimension::Number(*number),
        Written::AsExpr(expression) => match expression.symbol() {
            Some(symbol) => Dimension::Symbol(symbol.to_owned()),
            None => multiple(&expression.expr_str).unwrap_or_else(|| Dimension::Unknown(expression.expr_str.clone())),
        },
    };
    meta.sizes.iter().map(dimension).collect()
}

pub(super) fn network(file: &ExportedProgram, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
    refuse_unknown(file.archive.path(), &operators(&file.model.graph_module.graph), |name| {
        name.starts_with("higher_order")
    })?;
    let (inputs, declared) = inputs(file)?;
    let mut lowering = Lowering::new(file, batch_statistics);
    let arrays = lowering.reading.inputs(&inputs, &declared, samples)?;
    lowering.bind_inputs(&inputs, arrays)?;
    for node in &file.model.graph_module.graph.nodes {
        lowering.node(node).map_err(|fault| {
            let target = node.target.strip_prefix("torch.ops.").unwrap_or(&node.target);
            let name = node.outputs.first().and_then(tensor_name).unwrap_or(target);
            lowering.reading.refused(&format!("`{name}` ({target} {})", place(node)), fault)
        })?;
    }
    lowering.finish(inputs)
}

struct Lowering<'a> {
    file: &'a ExportedProgram,
    reading: Reading<'a>,
    names: Names,
    extents: HashMap<String, Extent>,
    batch_statistics: bool,
}

impl<'a> Lowering<'a> {
    fn new(file: &'a ExportedProgram, batch_statistics: bool) -> Self {
        Self { file, reading: Reading::new(file), names: Names::default(), extents: HashMap::new(), batch_statistics }
    }

    fn meta(&self, name: &str) -> Option<&'a TensorMeta> {
        self.file.model.graph_module.graph.tensor_values.get(name)
    }

    fn bind_inputs(&mut self, inputs: &[Input], arrays: Vec<Array>) -> Result<()> {
        let used = self.used_names();
        for (input, array) in inputs.iter().zip(arrays) {
            self.names.bind(&input.name, array, None).map_err(defect)?;
        }
        let trainable = |spec: &InputSpec| match spec {
            InputSpec::Parameter { parameter_name, .. } => {
                self.file.weights.meta(parameter_name).is_some_and(|meta| meta.requires_grad)
            }
            _ => false,
        };
        let any_trainable = self.file.specs().iter().any(trainable);
        let mut bound: HashMap<String, (String, Array)> = HashMap::new();
        for spec in self.file.specs() {
            match spec {
                InputSpec::Parameter { arg, parameter_name: name } => {
                    // Tied parameters are one.
                    let stored = self.file.weights.first_name(name).unwrap_or(name).to_owned();
                    if let Some((first, array)) = bound.get(&stored) {
                        self.reading.aliases.push((name.clone(), first.clone()));
                        self.names.bind(&arg.name, array.clone(), None).map_err(defect)?;
                        continue;
                    }
                    let shape = self.stored_shape(name)?;
                    let array = if trainable(spec) || !any_trainable {
                        self.reading.graph.parameter(name, &shape)
                    } else {
                        self.reading.notes.push(format!("`{name}` requires no gradient: it is frozen"));
                        self.reading.graph.buffer(name, &shape)
                    };
                    bound.insert(stored, (name.clone(), array.clone()));
                    self.names.bind(&arg.name, array, None).map_err(defect)?;
                }
                InputSpec::Buffer { arg, buffer_name: name, persistent } => {
                    let float = self.meta(&arg.name).is_some_and(|meta| matches!(kind_of(meta.dtype), Ok(Kind::Float)));
                    if *persistent && float {
                        let shape = self.stored_shape(name)?;
                        let array = self.reading.graph.buffer(name, &shape);
                        self.names.bind(&arg.name, array, None).map_err(defect)?;
                        continue;
                    }
                    if *persistent {
                        self.reading.unused.push(name.clone());
                    }
                    if used.contains(arg.name.as_str()) {
                        self.bind_constant(&arg.name, name)?;
                    }
                }
                InputSpec::TensorConstant { arg, tensor_constant_name: name } if used.contains(arg.name.as_str()) => {
                    self.bind_constant(&arg.name, name)?;
                }
                _ => {}
            }
        }
        if !any_trainable {
            self.reading.notes.push("no parameter requires a gradient: all are measured".to_owned());
        }
        // Names under which the file stores a tensor a second time.
        for name in self.file.weights.names() {
            let known = |own: &String| own == name || self.reading.aliases.iter().any(|(alias, _)| alias == name);
            let stored = self.file.weights.first_name(name).unwrap_or(name);
            if let Some((first, _)) = bound.get(stored).filter(|(first, _)| !known(first)) {
                self.reading.aliases.push((name.clone(), first.clone()));
            }
        }
        Ok(())
    }

    fn stored_shape(&self, name: &str) -> Result<Vec<usize>> {
        let path = self.file.archive.path().display();
        let fault = || Error::new(format!("`{path}` does not hold the tensor `{name}`"), "save the network again");
        let meta = self.file.weights.meta(name).ok_or_else(fault)?;
        let number = |extent: &Written| match extent {
            Written::AsInt(number) => usize::try_from(*number).ok(),
            Written::AsExpr(_) => None,
        };
        let shape = meta.sizes.iter().map(number).collect::<Option<Vec<usize>>>().ok_or_else(fault)?;
        // A layout adds up lengths: what no memory could hold must not overflow it.
        let length = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        length.filter(|&length| length <= 1 << 40).ok_or_else(fault)?;
        Ok(shape)
    }

    fn bind_constant(&mut self, argument: &str, name: &str) -> Result<()> {
        let file = self.file;
        let stored = if file.constants.meta(name).is_some() { &file.constants } else { &file.weights };
        let tensor = stored.tensor(&file.archive, name)?;
        let array =
            Array::constant(tensor).map_err(|Fault(reason)| Error::new(format!("`{name}`: {reason}"), "report it"))?;
        self.names.bind(argument, array, None).map_err(defect)?;
        Ok(())
    }

    /// The names that nodes and outputs read.
    fn used_names(&self) -> HashSet<&'a str> {
        let module = &self.file.model.graph_module;
        let arguments = module.graph.nodes.iter().flat_map(|node| &node.inputs).flat_map(|input| names_in(&input.arg));
        let outputs = module.signature.output_specs.iter().filter_map(|spec| match spec {
            OutputSpec::UserOutput { arg } => tensor_name(arg),
            OutputSpec::Other(_) => None,
        });
        arguments.chain(outputs).collect()
    }

    fn node(&mut self, node: &'a Node) -> Read<()> {
        if is_symbolic(&node.target) {
            return self.symbolic(node);
        }
        let Some((name, overload, in_place)) = operator(&node.target) else { return Err("it is not known".into()) };
        if aten::is_check(name) {
            return Ok(());
        }
        let Some(reader) = aten::reader(name) else { return Err("it is not known".into()) };
        let mut arrays = HashMap::new();
        let mut first = None;
        for tensor in node.inputs.iter().flat_map(|input| names_in(&input.arg)) {
            first = first.or(Some(tensor));
            arrays.insert(tensor, self.names.get(&mut self.reading.graph, tensor)?);
        }
        let mut call = Call {
            graph: &mut self.reading.graph,
            node,
            name,
            overload,
            batch_statistics: self.batch_statistics,
            arrays,
            extents: &self.extents,
            metas: &self.file.model.graph_module.graph.tensor_values,
        };
        let outputs = reader(&mut call)?;
        let names: Vec<&str> = node.outputs.iter().flat_map(names_in).collect();
        if in_place {
            let (Some(changed), Some((array, _))) = (first, outputs.0.into_iter().next()) else {
                return Err("it changes nothing".into());
            };
            self.names.write(&mut self.reading.graph, changed, array)?;
            if let Some(name) = names.first() {
                let array = self.names.get(&mut self.reading.graph, changed)?;
                self.check(name, &array)?;
                self.names.bind(name, array, Some((changed.to_owned(), super::View::Same)))?;
            }
            return Ok(());
        }
        for (name, (array, view)) in names.into_iter().zip(outputs.0) {
            self.check(name, &array)?;
            let view = view.and_then(|view| Some((first?.to_owned(), view)));
            self.names.bind(name, array, view)?;
        }
        Ok(())
    }

    /// What was found must be what the file says of it.
    fn check(&self, name: &str, array: &Array) -> Read<()> {
        let Some(meta) = self.meta(name) else { return Ok(()) };
        self.reading.check(array, &dimensions(meta), kind_of(meta.dtype)?)
    }

    /// Arithmetic of extents.
    fn symbolic(&mut self, node: &'a Node) -> Read<()> {
        let operand = |place: usize| -> Read<Extent> {
            let argument = node.inputs.get(place).map(|input| &input.arg);
            match argument {
                Some(Argument::AsInt(number) | Argument::AsSymInt(SymbolicInt::AsInt(number))) => {
                    usize::try_from(*number).map(Extent::Fixed).map_err(|_| format!("{number} is no extent").into())
                }
                Some(Argument::AsSymInt(SymbolicInt::AsName(name))) => {
                    self.extents.get(name).copied().ok_or_else(|| format!("the number `{name}` is not known").into())
                }
                _ => Err("it computes with what is no extent".into()),
            }
        };
        let Some(name) = node.outputs.iter().find_map(|output| match output {
            Argument::AsSymInt(SymbolicInt::AsName(name)) => Some(name),
            _ => None,
        }) else {
            // Comparisons of extents are there for checks alone.
            return Ok(());
        };
        let extent = if node.target.starts_with("torch.ops.aten.sym_size") {
            let tensor = node.inputs.first().and_then(|input| tensor_name(&input.arg)).ok_or("it has no tensor")?;
            let array = self.names.get(&mut self.reading.graph, tensor)?;
            let axis = match node.inputs.get(1).map(|input| &input.arg) {
                Some(Argument::AsInt(axis)) => array.axis(*axis)?,
                _ => 0,
            };
            array.shape[axis]
        } else {
            let (a, b) = (operand(0)?, operand(1)?);
            let unknown = || format!("{a} and {b} in `{}`", node.target);
            match (node.target.as_str(), a, b) {
                ("_operator.mul", a, b) => a.times(b).ok_or_else(unknown)?,
                ("_operator.floordiv" | "_operator.truediv", a, b) => match (a, b) {
                    (Extent::Fixed(a), Extent::Fixed(b)) => Extent::Fixed(a.checked_div(b).ok_or_else(unknown)?),
                    (a, b) => a.divided_by(b).ok_or_else(unknown)?,
                },
                ("_operator.add", Extent::Fixed(a), Extent::Fixed(b)) => {
                    Extent::Fixed(a.checked_add(b).ok_or_else(unknown)?)
                }
                ("_operator.sub", Extent::Fixed(a), Extent::Fixed(b)) => {
                    Extent::Fixed(a.checked_sub(b).ok_or_else(unknown)?)
                }
                ("_operator.mod", Extent::Fixed(a), Extent::Fixed(b)) => {
                    Extent::Fixed(a.checked_rem(b).ok_or_else(unknown)?)
                }
                ("torch.sym_max", Extent::Fixed(a), Extent::Fixed(b)) => Extent::Fixed(a.max(b)),
                ("torch.sym_min", Extent::Fixed(a), Extent::Fixed(b)) => Extent::Fixed(a.min(b)),
                _ => return Err(unknown().into()),
            }
        };
        self.extents.insert(name.clone(), extent);
        Ok(())
    }

    fn finish(mut self, inputs: Vec<Input>) -> Result<Network> {
        let specs = &self.file.model.graph_module.signature.output_specs;
        let outputs: Vec<&str> = specs
            .iter()
            .filter_map(|spec| match spec {
                OutputSpec::UserOutput { arg } => tensor_name(arg),
                OutputSpec::Other(_) => None,
            })
            .collect();
        let Some(&name) = outputs.first() else { return Err(self.reading.fault("it has no output")) };
        let output = self
            .names
            .get(&mut self.reading.graph, name)
            .map_err(|Fault(reason)| self.reading.fault(&format!("its output `{name}` cannot be read: {reason}")))?;
        let trainable = |name: &str| self.file.weights.meta(name).is_some_and(|meta| meta.requires_grad);
        self.reading.finish(inputs, (name, &output), outputs.len(), trainable)
    }
}

/// The tensors that an argument names.
fn names_in(argument: &Argument) -> Vec<&str> {
    match argument {
        Argument::AsTensor(tensor) => vec![&tensor.name],
        Argument::AsTensors(tensors) => tensors.iter().map(|tensor| tensor.name.as_str()).collect(),
        Argument::AsOptionalTensor(OptionalTensor::AsTensor(tensor)) => vec![&tensor.name],
        Argument::AsOptionalTensors(tensors) => tensors
            .iter()
            .filter_map(|tensor| match tensor {
                OptionalTensor::AsTensor(tensor) => Some(tensor.name.as_str()),
                OptionalTensor::AsNone(_) => None,
            })
            .collect(),
        _ => vec![],
    }
}
