//! Which of a file's tensors are parameters.
//!
//! PyTorch's newer exporter says of each tensor whether it was a parameter or a buffer. Other files do not: there it is
//! told by where a tensor is used, and by whether it has a name of its own or one that an exporter made up.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::{DType, Tensor};

use super::schema::{self, Node, value_of};
use super::tensors;
use super::{of_tensor, place};
use crate::graph::{Kind, Read};
use crate::network::named;

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Parameter,
    Buffer,
    Constant,
}

/// A tensor under one of the network's names.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub(super) name: String,
    /// Its place among the initializers.
    pub(super) place: usize,
    pub(super) shape: Vec<usize>,
    pub(super) role: Role,
    /// The name of the parameter that it is a transposed copy of.
    pub(super) transposed: Option<String>,
}

/// The tensors of a file.
#[derive(Debug)]
pub(super) struct Weights {
    weights: Vec<Weight>,
    pub(super) notes: Vec<String>,
}

/// Where a tensor is used.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    /// As the weight of a layer.
    weight: bool,
    /// As scale or shift of a normalisation, for which exporters also make up ones and zeros.
    affine: bool,
    /// As a statistic of batch norm.
    statistic: bool,
    /// Otherwise.
    other: bool,
}

/// Operators that give one of their inputs in another form.
const FORMS: [&str; 11] = [
    "Cast",
    "CastLike",
    "Concat",
    "Expand",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

impl Weights {
    pub(super) fn of(graph: &schema::Graph, directory: &Path) -> Read<Self> {
        let told = told(graph);
        let merged = merged(graph, &told);
        let uses = uses(graph, &merged);
        let sources: HashMap<&str, &str> = graph.value_info.iter().filter_map(sources).collect();
        let (mut weights, mut names_so_far) = (Vec::new(), HashSet::new());
        for (place, tensor) in graph.initializer.iter().enumerate() {
            let seconds = merged.get(tensor.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let names = std::iter::once(tensor.name.as_str()).chain(seconds.iter().copied());
            let shape = of_tensor(&tensor.name, tensors::shape_of(tensor))?;
            for name in names {
                if !names_so_far.insert(name) {
                    return Err(format!("has two tensors of the name `{name}`").into());
                }
                let used = uses.get(name).copied().unwrap_or_default();
                let role = match (tensors::kind_of(tensor.data_type), told.get(name)) {
                    (Ok(Kind::Float), Some(role)) => *role,
                    (Ok(Kind::Float), None) if told.is_empty() => role(name, used),
                    (Ok(Kind::Float), None) => role_of_computed(name, used, sources.get(name).copied()),
                    _ => Role::Constant,
                };
                weights.push(Weight { name: name.to_owned(), place, shape: shape.clone(), role, transposed: None });
            }
        }
        let mut all = Self { weights, notes: Vec::new() };
        all.tie_transposed(graph, directory)?;
        all.notes = notes(graph, &all.weights, &told);
        Ok(all)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Weight> {
        self.weights.iter()
    }

    /// Parameters and buffers.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Weight> {
        self.weights.iter().filter(|weight| weight.role != Role::Constant && weight.transposed.is_none())
    }

    pub(super) fn is_parameter(&self, name: &str) -> bool {
        self.weights.iter().any(|weight| weight.name == name && weight.role == Role::Parameter)
    }

    /// Constant folding writes the weight of a layer a second time, transposed, and so tears tied weights apart: a matrix
    /// that equals another one turned, number by number, is that one.
    fn tie_transposed(&mut self, graph: &schema::Graph, directory: &Path) -> Read<()> {
        let matrix = |weight: &Weight| weight.role == Role::Parameter && weight.shape.len() == 2;
        let read = |weight: &Weight| -> Read<Tensor> {
            let tensor = &graph.initializer[weight.place];
            Ok(of_tensor(&tensor.name, tensors::decoded(tensor, directory))?.to_dtype(DType::F64)?)
        };
        let mut tied = Vec::new();
        for (i, copy) in self.weights.iter().enumerate().filter(|(_, w)| matrix(w) && is_made_up(&w.name)) {
            let turned: Vec<usize> = copy.shape.iter().rev().copied().collect();
            let mut originals =
                self.weights.iter().filter(|w| matrix(w) && !is_made_up(&w.name) && w.shape == turned).peekable();
            if originals.peek().is_none() {
                continue;
            }
            let numbers = read(copy)?.t()?;
            // Matrices of one number, as some are before training, are alike without being tied.
            if numbers.max_all()?.to_scalar::<f64>()? == numbers.min_all()?.to_scalar::<f64>()? {
                continue;
            }
            for original in originals {
                let differing = read(original)?.ne(&numbers)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
                if differing == 0.0 {
                    tied.push((i, original.name.clone()));
                    break;
                }
            }
        }
        for (i, original) in tied {
            self.weights[i].transposed = Some(original);
        }
        Ok(())
    }
}

/// Whether an exporter made a name up, which no network gave.
fn is_made_up(name: &str) -> bool {
    let prefixes = ["onnx::", "val_", "/", "_val_", "const_", "Constant_", "lifted_tensor", "_tensor_constant"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || name.contains("_output_")
        || name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a tensor is called a weight or a bias, as PyTorch's layers call theirs.
fn is_called_weight(name: &str) -> bool {
    name.contains("weight") || name.contains("bias")
}

/// What a tensor is by its use, in a file that says nothing of any tensor. What has a name of its own and is computed with
/// may be a parameter or a buffer: taken for a parameter, it is not lost.
fn role(name: &str, used: Uses) -> Role {
    match used {
        Uses { statistic: true, .. } => Role::Buffer,
        Uses { weight: true, .. } => Role::Parameter,
        Uses { affine, other, .. } if (affine || other) && !is_made_up(name) => Role::Parameter,
        _ => Role::Constant,
    }
}

/// What a tensor is that the exporter computed, in a file that says what all others are. `sources` are the tensors it was
/// computed of.
fn role_of_computed(name: &str, used: Uses, sources: Option<&str>) -> Role {
    match used {
        Uses { statistic: true, .. } => Role::Buffer,
        Uses { weight: true, .. } if is_called_weight(name) || sources.is_some_and(is_called_weight) => Role::Parameter,
        Uses { affine: true, .. } if is_called_weight(name) => Role::Parameter,
        _ => Role::Constant,
    }
}

/// The tensors that the exporter computed one of, as a list that Python writes.
fn sources(info: &schema::ValueInfo) -> Option<(&str, &str)> {
    Some((&info.name, value_of(&info.metadata_props, "pkg.onnxscript.optimizer.folded_from")?))
}

/// What the file says its tensors were in PyTorch.
fn told(graph: &schema::Graph) -> HashMap<&str, Role> {
    let word = |info: &schema::ValueInfo| {
        let persistent = value_of(&info.metadata_props, "pkg.torch.export.graph_signature.InputSpec.persistent");
        Some(match value_of(&info.metadata_props, "pkg.torch.export.graph_signature.InputSpec.kind")? {
            "PARAMETER" => Role::Parameter,
            "BUFFER" if persistent != Some("False") => Role::Buffer,
            _ => Role::Constant,
        })
    };
    graph.value_info.iter().filter_map(|info| Some((info.name.as_str(), word(info)?))).collect()
}

/// All nodes, those of branches included.
pub(super) fn nodes<'a>(graph: &'a schema::Graph, found: &mut Vec<&'a Node>) {
    for node in &graph.node {
        found.push(node);
        node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).for_each(|branch| nodes(branch, found));
    }
}

/// Where each tensor is used, also in another form; under each of its names by itself.
fn uses<'a>(graph: &'a schema::Graph, merged: &HashMap<&'a str, Vec<&'a str>>) -> HashMap<&'a str, Uses> {
    let seconds: HashSet<&str> = merged.values().flatten().copied().collect();
    let mut all = Vec::new();
    nodes(graph, &mut all);
    let mut uses: HashMap<&str, Uses> = HashMap::new();
    // Behind a node stand those that use what it gives.
    let is_second = |node: &Node| node.output.first().is_some_and(|output| seconds.contains(output.as_str()));
    for node in all.into_iter().rev().filter(|node| !is_second(node)) {
        let form = FORMS.contains(&node.op_type.as_str());
        let of_output = node.output.first().and_then(|output| uses.get(output.as_str())).copied().unwrap_or_default();
        for (place, input) in node.input.iter().enumerate().filter(|(_, input)| !input.is_empty()) {
            let used = uses.entry(input).or_default();
            if form && (place == 0 || node.op_type == "Concat") {
                used.weight |= of_output.weight;
                used.affine |= of_output.affine;
                used.statistic |= of_output.statistic;
                used.other |= of_output.other;
                continue;
            }
            match (node.op_type.as_str(), place) {
                ("BatchNormalization", 3 | 4) => used.statistic = true,
                ("BatchNormalization" | "InstanceNormalization", 1 | 2)
                | ("LayerNormalization" | "GroupNormalization", 1 | 2) => used.affine = true,
                ("MatMul" | "Gemm" | "Einsum", _)
                | ("Conv" | "ConvTranspose", 1 | 2)
                | ("LSTM" | "GRU" | "RNN", 1..=3)
                | ("PRelu", 1)
                | ("Gather", 0) => used.weight = true,
                _ => used.other = true,
            }
        }
    }
    uses
}

/// The older exporter joins tensors of equal numbers, and gives others their names by `Identity`: for each tensor the
/// names beside its own. Weights that are tied have one name there.
fn merged<'a>(graph: &'a schema::Graph, told: &HashMap<&str, Role>) -> HashMap<&'a str, Vec<&'a str>> {
    let mut merged: HashMap<&str, Vec<&str>> = HashMap::new();
    if !told.is_empty() {
        return merged;
    }
    let tensors: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let identities = graph.node.iter().filter(|node| node.op_type == "Identity");
    let pairs = identities.filter_map(|node| Some((node.output.first()?.as_str(), node.input.first()?.as_str())));
    for (name, source) in pairs.filter(|(name, source)| tensors.contains(source) && !outputs.contains(name)) {
        merged.entry(source).or_default().push(name);
    }
    merged
}

/// What a reader of the figures should know of the weights.
fn notes(graph: &schema::Graph, weights: &[Weight], told: &HashMap<&str, Role>) -> Vec<String> {
    let mut notes = Vec::new();
    let parameters = || weights.iter().filter(|weight| weight.role == Role::Parameter && weight.transposed.is_none());
    let keep = match told.is_empty() {
        true => {
            "`torch.onnx.export(…, dynamo=True, optimize=False)`, or the older exporter's `do_constant_folding=False`"
        }
        false => "`torch.onnx.export(…, dynamo=True, optimize=False)`",
    };
    let folded = folded_batch_norm(graph, weights);
    if !folded.is_empty() {
        notes.push(format!(
            "the file holds folded weights: batch norm is computed into {}. Their sharpness is not that of the \
             network's parameters; {keep} keeps these",
            named(&folded)
        ));
    }
    let made_up: Vec<&str> = parameters()
        .map(|weight| weight.name.as_str())
        .filter(|name| is_made_up(name) && !folded.contains(name))
        .collect();
    if !made_up.is_empty() {
        notes.push(format!(
            "{} are weights that the exporter computed of the network's, most often turned or rearranged, under names of \
             its own; {keep} keeps the network's",
            named(&made_up)
        ));
    }
    let copies: Vec<&Weight> = weights.iter().filter(|weight| weight.transposed.is_some()).collect();
    for copy in copies {
        let original = copy.transposed.as_deref().unwrap_or_default();
        notes.push(format!("`{}` is `{original}` turned: they are measured as one", copy.name));
    }
    if told.is_empty() {
        // Also a buffer may stand where a weight would, as a table of coordinates that is multiplied.
        let sure = |weight: &&Weight| is_called_weight(&weight.name) || is_made_up(&weight.name);
        let unsure: Vec<&str> =
            parameters().filter(|weight| !sure(weight)).map(|weight| weight.name.as_str()).collect();
        if !unsure.is_empty() {
            notes.push(format!(
                "the file does not say whether {} are parameters or buffers: they are measured as parameters \
                 (`--parameters` chooses)",
                named(&unsure)
            ));
        }
    }
    let constants: HashMap<&str, &Weight> = weights
        .iter()
        .filter(|weight| weight.role == Role::Constant && !told.contains_key(weight.name.as_str()))
        .map(|weight| (weight.name.as_str(), weight))
        .collect();
    let lost: Vec<String> = graph.value_info.iter().filter_map(|info| lost(info, &constants)).collect();
    if !lost.is_empty() {
        notes.push(format!(
            "the exporter computed constants of weights: {}. These weights are not measured; {keep} keeps them",
            lost.join(", ")
        ));
    }
    let joined = joined(graph, weights);
    if !joined.is_empty() {
        notes.push(format!(
            "{} are used by several modules: the exporter joins tensors of equal numbers, whether tied or not; {keep} \
             keeps them apart",
            named(&joined)
        ));
    }
    notes
}

/// The weights that batch norm was computed into: the newer exporter marks the nodes, the older one gives the weights of
/// convolutions names of its own.
fn folded_batch_norm<'a>(graph: &'a schema::Graph, weights: &[Weight]) -> Vec<&'a str> {
    let parameters = weights.iter().filter(|weight| weight.role == Role::Parameter);
    let mut parameters: HashSet<&str> = parameters.map(|weight| weight.name.as_str()).collect();
    let mut folded = Vec::new();
    for node in &graph.node {
        let rule = value_of(&node.metadata_props, "pkg.onnxscript.rewriter.rule_name");
        let marked = rule.is_some_and(|rule| rule.contains("BatchNorm"));
        let convolution = node.op_type == "Conv" || node.op_type == "ConvTranspose";
        for name in node.input.iter().skip(1).map(String::as_str) {
            if (marked || convolution && is_made_up(name)) && parameters.remove(name) {
                folded.push(name);
            }
        }
    }
    folded
}

/// A constant that was computed of weights, with them.
fn lost(info: &schema::ValueInfo, constants: &HashMap<&str, &Weight>) -> Option<String> {
    constants.get(info.name.as_str()).filter(|constant| constant.shape.iter().product::<usize>() > 1)?;
    let (_, sources) = sources(info)?;
    let weights: Vec<&str> = sources.split('\'').skip(1).step_by(2).filter(|name| is_called_weight(name)).collect();
    (!weights.is_empty()).then(|| format!("`{}` of {}", info.name, named(&weights)))
}

/// Parameters that several modules use, in a file that was optimised.
fn joined<'a>(graph: &'a schema::Graph, weights: &'a [Weight]) -> Vec<&'a str> {
    let optimised = |node: &Node| value_of(&node.metadata_props, "pkg.onnxscript.rewriter.rule_name").is_some();
    if !graph.node.iter().any(optimised) && !graph.value_info.iter().any(|info| sources(info).is_some()) {
        return Vec::new();
    }
    let mut modules: HashMap<&str, HashSet<String>> = HashMap::new();
    for node in &graph.node {
        for input in &node.input {
            modules.entry(input).or_default().insert(place(node));
        }
    }
    let parameters = weights.iter().filter(|weight| weight.role == Role::Parameter);
    parameters
        .map(|weight| weight.name.as_str())
        .filter(|name| modules.get(name).is_some_and(|places| places.len() > 1))
        .collect()
}
