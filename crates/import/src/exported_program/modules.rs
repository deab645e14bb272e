//! The modules that a network's tensors belong to, as the nodes of its graph name them.

use std::collections::BTreeMap;

use super::ExportedProgram;
use super::schema::{Argument, InputSpec, Node};
use crate::network::Owner;

/// Where a node stands: `KEY,PATH,CLASS` for each module from the outermost on, with semicolons between them.
const STACK: &str = "nn_module_stack";

impl ExportedProgram {
    pub(super) fn modules(&self) -> BTreeMap<String, Owner> {
        let nodes = &self.model.graph_module.graph.nodes;
        let mut classes = BTreeMap::new();
        for stack in nodes.iter().filter_map(|node| node.metadata.get(STACK)) {
            for module in stack.split(';') {
                let mut parts = module.splitn(3, ',').skip(1);
                if let (Some(path), Some(class)) = (parts.next(), parts.next()) {
                    // A module that is called again has the number of the call behind its name.
                    classes.insert(path.split('@').next().unwrap_or(path), class);
                }
            }
        }
        let paddings: BTreeMap<&str, usize> = nodes.iter().filter_map(padding).collect();
        let parameter = |spec: &InputSpec| match spec {
            InputSpec::Parameter { arg, parameter_name } => Some((parameter_name.clone(), arg.name.clone())),
            _ => None,
        };
        let values: BTreeMap<String, String> = self.specs().iter().filter_map(parameter).collect();
        let owner = |name: &String| {
            let mut ends = name.rmatch_indices('.').map(|(at, _)| at).chain([0]);
            let (end, class) = ends.find_map(|end| Some((end, classes.get(name.get(..end)?)?)))?;
            let padding = values.get(name).and_then(|value| paddings.get(value.as_str())).copied();
            let (module, tensor) = (name.get(..end)?, name.get(end..)?.trim_start_matches('.'));
            let owner = Owner { module: module.into(), class: (*class).into(), tensor: tensor.into(), padding };
            Some((name.clone(), owner))
        };
        self.weights.names().filter_map(owner).collect()
    }
}

/// The table of an embedding and its row for padding.
fn padding(node: &Node) -> Option<(&str, usize)> {
    if node.target != "torch.ops.aten.embedding.default" {
        return None;
    }
    let argument = |name: &str| node.inputs.iter().find(|input| input.name == name).map(|input| &input.arg);
    match (argument("weight")?, argument("padding_idx")?) {
        (Argument::AsTensor(table), Argument::AsInt(row)) => Some((&table.name, usize::try_from(*row).ok()?)),
        _ => None,
    }
}
