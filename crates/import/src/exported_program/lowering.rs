//! From the graph of a file to a program: node after node, each by what reads its operator.

use std::collections::{BTreeMap, HashMap, HashSet};

use basin_tape::{Program, Value};

use super::call::{Call, kind_of};
use super::schema::{
    Argument, Expression, Extent as Written, InputSpec, Node, OptionalTensor, OutputSpec, SymbolicInt,
};
use super::views::Names;
use super::{ExportedProgram, Input, Network, Numbers, Operators, schema};
use crate::aten;
use crate::graph::{Array, Extent, Fault, Graph, Kind, Read, Size, shape_text};
use crate::{Error, Result};

/// What makes a network that takes any number of samples.
pub(super) const EXPORT_ANY: &str = "export it for any number of samples: \
     torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))";

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

pub(super) fn inputs(file: &ExportedProgram) -> Result<Vec<Input>> {
    let path = file.archive.path().display();
    let hint = "export the network with tensors alone as inputs";
    let mut inputs = Vec::new();
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
        let extent = |extent: &Written| match extent {
            Written::AsInt(number) => usize::try_from(*number).ok(),
            Written::AsExpr(_) => None,
        };
        inputs.push(Input { name: name.to_owned(), numbers, shape: meta.sizes.iter().map(extent).collect() });
    }
    Ok(inputs)
}

pub(super) fn network(file: &ExportedProgram, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
    let path = file.archive.path().display();
    refuse_unknown(file)?;
    let inputs = inputs(file)?;
    let mut lowering = Lowering::new(file, batch_statistics);
    lowering.bind_symbols(&inputs, samples)?;
    lowering.bind_inputs(&inputs, samples)?;
    let fixed = lowering.graph.traced_samples.is_some();
    for node in &file.model.graph_module.graph.nodes {
        lowering.node(node).map_err(|Fault(reason)| {
            let target = node.target.strip_prefix("torch.ops.").unwrap_or(&node.target);
            let name = node.outputs.first().and_then(tensor_name).unwrap_or(target);
            let message = format!("`{path}`: `{name}` ({target} {}) cannot be read: {reason}", place(node));
            Error::new(message, if fixed { EXPORT_ANY } else { "this is a limit of basin: report it with the node" })
        })?;
    }
    lowering.finish(inputs)
}

/// All operators that are not known are told at once.
fn refuse_unknown(file: &ExportedProgram) -> Result<()> {
    let Operators { known, unknown } = file.operators();
    if unknown.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = unknown.iter().map(|(name, _, place)| format!("`{name}` {place}")).collect();
    let path = file.archive.path().display();
    let control = unknown.iter().any(|(name, ..)| name.starts_with("higher_order"));
    Err(Error::new(
        format!(
            "`{path}` uses operators that are not known: {}; {} of its {} are",
            named.join(", "),
            known.len(),
            known.len() + unknown.len()
        ),
        match control {
            true => "control flow that depends on data cannot be differentiated twice: write the branch that is taken",
            false => "write these with other operators, or report them",
        },
    ))
}

struct Lowering<'a> {
    file: &'a ExportedProgram,
    graph: Graph,
    names: Names,
    extents: HashMap<String, Extent>,
    /// What the symbols of the file stand for.
    symbols: HashMap<String, Extent>,
    inputs: Vec<Value>,
    aliases: Vec<(String, String)>,
    unused: Vec<String>,
    notes: Vec<String>,
    batch_statistics: bool,
}

impl<'a> Lowering<'a> {
    fn new(file: &'a ExportedProgram, batch_statistics: bool) -> Self {
        Self {
            file,
            graph: Graph::default(),
            names: Names::default(),
            extents: HashMap::new(),
            symbols: HashMap::new(),
            inputs: Vec::new(),
            aliases: Vec::new(),
            unused: Vec::new(),
            notes: Vec::new(),
            batch_statistics,
        }
    }

    fn meta(&self, name: &str) -> Option<&'a schema::TensorMeta> {
        self.file.model.graph_module.graph.tensor_values.get(name)
    }

    /// The first axis of every input is that of the samples; other symbols stand for what the samples have there.
    fn bind_symbols(&mut self, inputs: &[Input], samples: &[Vec<usize>]) -> Result<()> {
        let path = self.file.archive.path().display();
        if inputs.len() != samples.len() {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(Error::new(
                format!("`{path}` has the inputs {}, the data has {}", names.join(", "), samples.len()),
                "give the data as an npz or safetensors file with an array for each input: the first as `x`, others by name",
            ));
        }
        for (input, own) in inputs.iter().zip(samples) {
            let misfit = || {
                let extent = |extent: &Option<usize>| extent.map_or("any".to_owned(), |extent| extent.to_string());
                let expected: Vec<String> = input.shape.iter().skip(1).map(extent).collect();
                Error::new(
                    format!(
                        "`{path}` was exported for samples of shape [{}] as `{}`, the data has {own:?}",
                        expected.join(", "),
                        input.name
                    ),
                    "export it with an example of the data's shape, or give data of that shape (`--resize`, `--center-crop`)",
                )
            };
            let Some(meta) = self.meta(&input.name) else { continue };
            let Some((first, rest)) = meta.sizes.split_first().filter(|(_, rest)| rest.len() == own.len()) else {
                return Err(misfit());
            };
            match first {
                Written::AsInt(number) => {
                    let number = usize::try_from(*number).map_err(|_| misfit())?;
                    if self.graph.traced_samples.is_some_and(|traced| traced != number) {
                        return Err(Error::new(
                            format!("`{path}` has inputs with different first axes, which is that of the samples"),
                            "export it with the samples on the first axis of every input",
                        ));
                    }
                    self.graph.traced_samples = Some(number);
                }
                Written::AsExpr(expression) => {
                    if let Some(symbol) = expression.symbol() {
                        self.symbols.insert(symbol.to_owned(), Extent::Samples(1));
                    }
                }
            }
            for (extent, &own) in rest.iter().zip(own) {
                let fits = match extent {
                    Written::AsInt(number) => i64::try_from(own) == Ok(*number),
                    Written::AsExpr(expression) => match expression.symbol() {
                        Some(symbol) => {
                            *self.symbols.entry(symbol.to_owned()).or_insert(Extent::Fixed(own)) == Extent::Fixed(own)
                        }
                        None => true,
                    },
                };
                if !fits {
                    return Err(misfit());
                }
            }
        }
        Ok(())
    }

    fn bind_inputs(&mut self, inputs: &[Input], samples: &[Vec<usize>]) -> Result<()> {
        let used = self.used_names();
        for (input, shape) in inputs.iter().zip(samples) {
            let kind = match input.numbers {
                Numbers::Float => Kind::Float,
                Numbers::Integer => Kind::Integer,
                Numbers::Boolean => Kind::Boolean,
            };
            let array = self.graph.input(shape, kind);
            let value = self.graph.value(&array).map_err(defect)?;
            self.inputs.push(value);
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
                        self.aliases.push((name.clone(), first.clone()));
                        self.names.bind(&arg.name, array.clone(), None).map_err(defect)?;
                        continue;
                    }
                    let shape = self.stored_shape(name)?;
                    let array = if trainable(spec) || !any_trainable {
                        self.graph.parameter(name, &shape)
                    } else {
                        self.notes.push(format!("`{name}` requires no gradient: it is frozen"));
                        self.graph.buffer(name, &shape)
                    };
                    bound.insert(stored, (name.clone(), array.clone()));
                    self.names.bind(&arg.name, array, None).map_err(defect)?;
                }
                InputSpec::Buffer { arg, buffer_name: name, persistent } => {
                    let float = self.meta(&arg.name).is_some_and(|meta| matches!(kind_of(meta.dtype), Ok(Kind::Float)));
                    if *persistent && float {
                        let shape = self.stored_shape(name)?;
                        let array = self.graph.buffer(name, &shape);
                        self.names.bind(&arg.name, array, None).map_err(defect)?;
                        continue;
                    }
                    if *persistent {
                        self.unused.push(name.clone());
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
            self.notes.push("no parameter requires a gradient: all are measured".to_owned());
        }
        // Names under which the file stores a tensor a second time.
        for name in self.file.weights.names() {
            let known = |own: &String| own == name || self.aliases.iter().any(|(alias, _)| alias == name);
            let stored = self.file.weights.first_name(name).unwrap_or(name);
            if let Some((first, _)) = bound.get(stored).filter(|(first, _)| !known(first)) {
                self.aliases.push((name.clone(), first.clone()));
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
            arrays.insert(tensor, self.names.get(&mut self.graph, tensor)?);
        }
        let mut call = Call {
            graph: &mut self.graph,
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
            self.names.write(&mut self.graph, changed, array)?;
            if let Some(name) = names.first() {
                let array = self.names.get(&mut self.graph, changed)?;
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
        let agrees = |(own, written): (&Extent, &Written)| match (own, written) {
            (Extent::Fixed(own), Written::AsInt(number)) => i64::try_from(*own) == Ok(*number),
            (Extent::Samples(times), Written::AsInt(number)) => {
                self.graph.traced_samples.and_then(|n| i64::try_from(n * times).ok()) == Some(*number)
            }
            (own, Written::AsExpr(expression)) => self.extent_of(expression).is_none_or(|expected| expected == *own),
        };
        let kind = kind_of(meta.dtype)?;
        if array.rank() == meta.sizes.len() && array.shape.iter().zip(&meta.sizes).all(agrees) && array.kind == kind {
            return Ok(());
        }
        let sizes: Vec<String> = meta
            .sizes
            .iter()
            .map(|extent| match extent {
                Written::AsInt(number) => number.to_string(),
                Written::AsExpr(expression) => expression.expr_str.clone(),
            })
            .collect();
        let own = shape_text(&array.shape);
        Err(format!("it gives {own} of {:?} where the file has [{}] of {kind:?}", array.kind, sizes.join(", ")).into())
    }

    /// The extent that a symbol, or a multiple of one, stands for.
    fn extent_of(&self, expression: &Expression) -> Option<Extent> {
        if let Some(symbol) = expression.symbol() {
            return self.symbols.get(symbol).copied();
        }
        let factors = expression.expr_str.strip_prefix("Mul(Integer(")?.strip_suffix("))")?;
        let (number, symbol) = factors.split_once("), Symbol('")?;
        let extent = self.symbols.get(symbol.split_once('\'')?.0)?;
        Extent::Fixed(number.parse().ok()?).times(*extent)
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
            let array = self.names.get(&mut self.graph, tensor)?;
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
        let path = self.file.archive.path().display().to_string();
        let specs = &self.file.model.graph_module.signature.output_specs;
        let outputs: Vec<&str> = specs
            .iter()
            .filter_map(|spec| match spec {
                OutputSpec::UserOutput { arg } => tensor_name(arg),
                OutputSpec::Other(_) => None,
            })
            .collect();
        let fault = |reason: String| {
            Error::new(format!("`{path}`: {reason}"), "export a network that gives one answer per sample")
        };
        let Some(&name) = outputs.first() else { return Err(fault("it has no output".into())) };
        if outputs.len() > 1 {
            self.notes.push(format!("the network has {} outputs: the first, `{name}`, is measured", outputs.len()));
        }
        let output = self.output(name).map_err(|Fault(reason)| fault(format!("its output `{name}` {reason}")))?;
        let shape: Vec<usize> = output.shape[1..].iter().map(|extent| extent.of_one_sample()).collect();
        let value = self.graph.value(&output).map_err(|Fault(reason)| fault(reason))?;
        let tables = &self.graph.tables;
        let entries = |input: &Value| tables.iter().filter(|(value, _)| value == input).map(|(_, entries)| *entries).min();
        let vocabularies = self.inputs.iter().map(entries).collect();
        let (program, dropped): (Program, Vec<String>) =
            self.graph.builder.finish_reached(value).map_err(|error| fault(error.to_string()))?;
        let parameters: Vec<&String> =
            dropped.iter().filter(|name| self.file.weights.meta(name).is_some_and(|meta| meta.requires_grad)).collect();
        if !parameters.is_empty() {
            let named: Vec<String> = parameters.iter().take(4).map(|name| format!("`{name}`")).collect();
            let more = parameters.len().saturating_sub(named.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes.push(format!("the output does not depend on {}{more}: they are left out", named.join(", ")));
        }
        self.unused.extend(dropped);
        let unused = &self.unused;
        let gone: Vec<String> =
            self.aliases.iter().filter(|(_, own)| unused.contains(own)).map(|(alias, _)| alias.clone()).collect();
        self.aliases.retain(|(alias, _)| !gone.contains(alias));
        self.unused.extend(gone);
        if program.parameters().is_empty() {
            return Err(fault("its output depends on no parameter".into()));
        }
        let Self { aliases, unused, notes, .. } = self;
        Ok(Network { program, inputs, output: shape, vocabularies, aliases, unused, notes })
    }

    /// The output with the samples on its first axis, and one axis at least beside it.
    fn output(&mut self, name: &str) -> Read<Array> {
        let output = self.names.get(&mut self.graph, name)?;
        if output.kind != Kind::Float {
            return Err("holds no floating point numbers".into());
        }
        let output = self.graph.whole(&output)?;
        if output.shape.first() != Some(&Extent::Samples(1)) {
            return Err(format!(
                "has the shape {}: its first axis is not that of the samples",
                shape_text(&output.shape)
            )
            .into());
        }
        match output.rank() {
            1 => self.graph.reshape(&output, &[Size::Extent(Extent::Samples(1)), Size::Number(1)]),
            _ => Ok(output),
        }
    }
}

/// A fault that no file can cause where it stands.
fn defect(Fault(reason): Fault) -> Error {
    Error::new(reason, "this is a defect of basin: report it with the file")
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
