//! From the graph of a file to a program: node after node, each by what reads its operator.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::call::{Call, known};
use super::schema::{self, Node, ValueInfo};
use super::weights::Role;
use super::{OnnxModel, is_default, operator, operators as readers, place, tensors};
use crate::graph::{Array, Fault, Kind, Moving, Read};
use crate::network::{Dimension, Input, Network, Numbers, Operators, Reading, defect, refuse_unknown};
use crate::{Error, Result};

/// Operators that are read here, since they give or take more than arrays.
const CONTROL: [&str; 2] = ["If", "SequenceAt"];

fn is_known(node: &Node) -> bool {
    is_default(&node.domain) && (CONTROL.contains(&node.op_type.as_str()) || readers::reader(&node.op_type).is_some())
}

pub(super) fn operators(graph: &schema::Graph) -> Operators {
    let mut calls: BTreeMap<String, (usize, &Node)> = BTreeMap::new();
    for node in &graph.node {
        calls.entry(operator(node)).or_insert((0, node)).0 += 1;
    }
    let mut operators = Operators::default();
    for (name, (count, first)) in calls {
        match is_known(first) {
            true => operators.known.push((name, count)),
            false => operators.unknown.push((name, count, place(first))),
        }
    }
    operators
}

/// The kind of numbers and the extents of a value as the file declares them.
fn declared(info: &ValueInfo) -> Option<(Read<Kind>, Vec<Dimension>)> {
    let tensor = info.r#type.as_ref()?.tensor_type.as_ref()?;
    let multiple = |text: &str| {
        let (times, symbol) = text.split_once('*')?;
        let symbol = symbol.trim();
        let plain = !symbol.is_empty() && symbol.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        Some(Dimension::Multiple(times.trim().parse().ok().filter(|_| plain)?, symbol.to_owned()))
    };
    let dimension = |dim: &schema::Dim| match (dim.dim_value, dim.dim_param.as_deref()) {
        (Some(number), _) => Dimension::Number(number),
        (None, Some(text)) if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            Dimension::Symbol(text.to_owned())
        }
        (None, Some(text)) => multiple(text).unwrap_or_else(|| Dimension::Unknown(text.to_owned())),
        (None, None) => Dimension::Unknown("any".to_owned()),
    };
    let dimensions = tensor.shape.as_ref()?.dim.iter().map(dimension).collect();
    Some((tensors::kind_of(tensor.elem_type), dimensions))
}

/// The inputs, and their extents as the file declares them.
pub(super) fn inputs(file: &OnnxModel) -> Result<(Vec<Input>, Vec<Vec<Dimension>>)> {
    let path = file.path.display();
    let hint = "export the network with tensors alone as inputs";
    let (mut inputs, mut all) = (Vec::new(), Vec::new());
    // Older files name their weights among the inputs.
    let weights: HashSet<&str> = file.graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    for info in file.graph.input.iter().filter(|info| !weights.contains(info.name.as_str())) {
        let name = &info.name;
        let (kind, dimensions) = declared(info)
            .ok_or_else(|| Error::new(format!("`{path}` does not say the shape of its input `{name}`"), hint))?;
        let numbers = match kind {
            Ok(Kind::Float) => Numbers::Float,
            Ok(Kind::Integer) => Numbers::Integer,
            Ok(Kind::Boolean) => Numbers::Boolean,
            Err(Fault(reason)) => return Err(Error::new(format!("`{path}`: the input `{name}` holds {reason}"), hint)),
        };
        let shape = dimensions.iter().map(Dimension::number).collect();
        inputs.push(Input { name: name.clone(), numbers, shape });
        all.push(dimensions);
    }
    Ok((inputs, all))
}

pub(super) fn network(file: &OnnxModel, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
    refuse_unknown(&file.path, &operators(&file.graph), |name| ["Loop", "Scan"].contains(&name))?;
    let (inputs, declared_inputs) = inputs(file)?;
    let mut lowering = Lowering {
        file,
        reading: Reading::new(file),
        declared: file.graph.value_info.iter().map(|info| (info.name.as_str(), info)).collect(),
        arrays: HashMap::new(),
        sequences: HashMap::new(),
        batch_statistics,
    };
    let arrays = lowering.reading.inputs(&inputs, &declared_inputs, samples)?;
    lowering.bind_weights()?;
    lowering.arrays.extend(inputs.iter().map(|input| input.name.clone()).zip(arrays));
    lowering.nodes(&file.graph.node)?;
    let Some(output) = file.graph.output.first() else { return Err(lowering.reading.fault("it has no output")) };
    let Some(array) = lowering.arrays.get(&output.name) else {
        return Err(lowering.reading.fault(&format!("its output `{}` is not computed", output.name)));
    };
    let trainable = |name: &str| file.weights.is_parameter(name);
    lowering.reading.finish(inputs, (&output.name, array), file.graph.output.len(), trainable)
}

struct Lowering<'a> {
    file: &'a OnnxModel,
    reading: Reading<'a>,
    /// What the file says of its values.
    declared: HashMap<&'a str, &'a ValueInfo>,
    arrays: HashMap<String, Array>,
    sequences: HashMap<&'a str, Vec<Array>>,
    batch_statistics: bool,
}

impl<'a> Lowering<'a> {
    fn bind_weights(&mut self) -> Result<()> {
        self.reading.notes.extend(self.file.weights.notes.iter().cloned());
        let used = self.used_names();
        for weight in self.file.weights.iter() {
            let array = match weight.role {
                _ if weight.transposed.is_some() => continue,
                Role::Parameter => self.reading.graph.parameter(&weight.name, &weight.shape),
                Role::Buffer => self.reading.graph.buffer(&weight.name, &weight.shape),
                Role::Constant if used.contains(weight.name.as_str()) => {
                    known(&self.file.tensor(weight.place)?).map_err(defect)?
                }
                Role::Constant => continue,
            };
            self.arrays.insert(weight.name.clone(), array);
        }
        for weight in self.file.weights.iter() {
            let original = weight.transposed.as_ref().and_then(|original| self.arrays.get(original));
            if let Some(original) = original.cloned() {
                let turned = self.reading.graph.transpose(&original, 0, 1).map_err(defect)?;
                self.arrays.insert(weight.name.clone(), turned);
            }
        }
        Ok(())
    }

    /// The names that nodes read.
    fn used_names(&self) -> HashSet<&'a str> {
        let mut all = Vec::new();
        super::weights::nodes(&self.file.graph, &mut all);
        all.into_iter().flat_map(|node| &node.input).map(String::as_str).collect()
    }

    fn nodes(&mut self, nodes: &'a [Node]) -> Result<()> {
        for node in nodes {
            // What has a value already is a tensor under a second name.
            if node.op_type == "Identity" && node.output.first().is_some_and(|name| self.arrays.contains_key(name)) {
                continue;
            }
            let read = if node.op_type == "If" { self.branch(node)? } else { self.node(node) };
            read.map_err(|fault| {
                let name = node.output.first().filter(|name| !name.is_empty()).unwrap_or(&node.name);
                self.reading.refused(&format!("`{name}` ({} {})", operator(node), place(node)), fault)
            })?;
        }
        Ok(())
    }

    /// The branch that a condition chooses which is known beforehand.
    fn branch(&mut self, node: &'a Node) -> Result<Read<()>> {
        let condition = node.input.first().and_then(|name| self.arrays.get(name)).and_then(|x| x.integers().ok());
        let Some(&[condition]) = condition.as_deref() else {
            return Ok(Err("control flow that depends on data: write the branch that is taken".into()));
        };
        let name = if condition != 0 { "then_branch" } else { "else_branch" };
        let branch =
            node.attribute.iter().find(|attribute| attribute.name == name).and_then(|branch| branch.g.as_ref());
        let Some(branch) = branch else { return Ok(Err(format!("there is no `{name}`").into())) };
        for tensor in &branch.initializer {
            let array = match tensors::decoded(tensor, super::directory(&self.file.path)).and_then(|x| known(&x)) {
                Ok(array) => array,
                Err(fault) => return Ok(Err(fault)),
            };
            self.arrays.insert(tensor.name.clone(), array);
        }
        self.nodes(&branch.node)?;
        for (own, inner) in node.output.iter().zip(&branch.output) {
            let Some(array) = self.arrays.get(&inner.name).cloned() else {
                return Ok(Err(format!("`{}` is not computed", inner.name).into()));
            };
            self.arrays.insert(own.clone(), array);
        }
        Ok(Ok(()))
    }

    fn array(&self, name: &str) -> Read<Array> {
        self.arrays.get(name).cloned().ok_or_else(|| format!("`{name}` is used before it is computed").into())
    }

    fn node(&mut self, node: &'a Node) -> Read<()> {
        if node.op_type == "SequenceAt" {
            return self.sequence_at(node);
        }
        let reader = readers::reader(&node.op_type).filter(|_| is_default(&node.domain)).ok_or("it is not known")?;
        let input = |name: &String| (!name.is_empty()).then(|| self.array(name)).transpose();
        let mut inputs = node.input.iter().map(input).collect::<Read<Vec<_>>>()?;
        // Where sizes are only moved, their positions are moved for them.
        let moved = readers::moved(&node.op_type, inputs.len());
        let mut moving = None;
        if inputs.get(moved.clone()).unwrap_or_default().iter().flatten().any(Array::is_of_sizes) {
            let moving = moving.insert(Moving::default());
            for x in inputs[moved].iter_mut().flatten() {
                *x = moving.positions(x)?;
            }
        }
        let Reading { graph, notes, .. } = &mut self.reading;
        let (opset, batch_statistics) = (self.file.opset, self.batch_statistics);
        let mut outputs = reader(&mut Call { graph, node, opset, batch_statistics, notes, inputs })?;
        if let Some(moving) = moving {
            outputs = outputs.iter().map(|x| moving.arrived(&self.reading.graph, x)).collect::<Read<Vec<_>>>()?;
        }
        if matches!(node.op_type.as_str(), "SplitToSequence" | "SequenceConstruct") {
            self.sequences.extend(node.output.first().map(|name| (name.as_str(), outputs)));
            return Ok(());
        }
        for (name, array) in node.output.iter().zip(outputs).filter(|(name, _)| !name.is_empty()) {
            self.check(name, &array)?;
            if self.arrays.insert(name.clone(), array).is_some() {
                return Err(format!("the file gives the name `{name}` twice").into());
            }
        }
        Ok(())
    }

    fn sequence_at(&mut self, node: &'a Node) -> Read<()> {
        let (Some(sequence), Some(position), Some(output)) =
            (node.input.first(), node.input.get(1), node.output.first())
        else {
            return Err("it has no sequence and position".into());
        };
        let parts = self.sequences.get(sequence.as_str()).ok_or("its sequence is not known")?;
        let positions = self.array(position)?.integers()?;
        let position = positions.first().and_then(|&position| crate::graph::place(position, parts.len()));
        let part = parts[position.ok_or("there is no such part of its sequence")?].clone();
        self.check(output, &part)?;
        self.arrays.insert(output.clone(), part);
        Ok(())
    }

    /// What was found must be what the file says of it.
    fn check(&self, name: &str, array: &Array) -> Read<()> {
        match self.declared.get(name).and_then(|info| declared(info)) {
            Some((kind, dimensions)) => self.reading.check(array, &dimensions, kind?),
            None => Ok(()),
        }
    }
}
