//! Names of a graph and what they stand for, where several may stand for parts of one memory: an operation in place changes
//! all of them.

use std::collections::HashMap;

use crate::graph::{Array, Graph, Read};

/// The most views of views: each is looked up through all before it.
const DEEPEST: usize = 200;

/// How a view comes from the array it is a part of.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// It is the same.
    Same,
    /// The same elements in another shape.
    Reshaped,
    /// The axes in another order.
    Permuted(Vec<usize>),
    /// Some positions along an axis.
    Positions {
        /// The axis.
        axis: usize,
        /// The positions.
        positions: Vec<usize>,
        /// Whether the axis is gone, of which there is one position.
        selected: bool,
    },
}

#[derive(Clone, Debug)]
struct Binding {
    array: Array,
    /// How often it was written to.
    version: usize,
    /// How many views lie between it and an array of its own.
    depth: usize,
    /// What it is a view of, how, and the version it was taken from.
    view: Option<(String, View, usize)>,
}

/// The arrays of a graph by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bindings: HashMap<String, Binding>,
}

impl Names {
    pub(crate) fn bind(&mut self, name: &str, array: Array, view: Option<(String, View)>) -> Read<()> {
        let base = view.as_ref().and_then(|(base, _)| self.bindings.get(base));
        let (depth, version) = base.map_or((0, 0), |base| (base.depth + 1, base.version));
        if depth > DEEPEST {
            return Err(format!("it is a view of a view, {depth} times over").into());
        }
        let view = view.map(|(base, view)| (base, view, version));
        self.bindings.insert(name.to_owned(), Binding { array, version: 0, depth, view });
        Ok(())
    }

    /// The array of a name; a view of what was written to since is taken again.
    pub(crate) fn get(&mut self, graph: &mut Graph, name: &str) -> Read<Array> {
        let Some(binding) = self.bindings.get(name).cloned() else {
            return Err(format!("`{name}` is used before it is computed").into());
        };
        let Some((base, view, taken)) = binding.view.clone() else { return Ok(binding.array) };
        let whole = self.get(graph, &base)?;
        let version = self.bindings.get(&base).map_or(0, |base| base.version);
        if version == taken {
            return Ok(binding.array);
        }
        let array = match &view {
            View::Same => whole,
            View::Reshaped => graph.viewed(&whole, binding.array.shape.clone())?,
            View::Permuted(axes) => graph.permute(&whole, axes)?,
            View::Positions { axis, positions, selected } => {
                let positions = positions.iter().map(|&position| position as i64).collect();
                let part = graph.select_positions(&whole, *axis, positions)?;
                if *selected { graph.squeeze(&part, &[*axis])? } else { part }
            }
        };
        // What is a view of this one sees a new version too.
        let binding = Binding {
            array: array.clone(),
            version: binding.version + 1,
            view: Some((base, view, version)),
            ..binding
        };
        self.bindings.insert(name.to_owned(), binding);
        Ok(array)
    }

    /// Replaces an array in place, and with it what it is a part of.
    pub(crate) fn write(&mut self, graph: &mut Graph, name: &str, array: Array) -> Read<()> {
        let current = self.get(graph, name)?;
        let array = graph.cast(&array, current.kind)?;
        let array = graph.expand_to(&array, &current.shape)?;
        let Some(binding) = self.bindings.get(name).cloned() else { return Ok(()) };
        let mut view = binding.view;
        if let Some((base, how, taken)) = &mut view {
            let whole = self.get(graph, base)?;
            let written = match how {
                View::Same => array.clone(),
                View::Reshaped => graph.viewed(&array, whole.shape.clone())?,
                View::Permuted(axes) => {
                    let mut inverse = vec![0; axes.len()];
                    axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
                    graph.permute(&array, &inverse)?
                }
                View::Positions { axis, positions, selected } => {
                    let part = if *selected { graph.unsqueeze(&array, *axis as i64)? } else { array.clone() };
                    graph.overwrite(&whole, &part, *axis, positions)?
                }
            };
            self.write(graph, base, written)?;
            *taken = self.bindings.get(base).map_or(0, |base| base.version);
        }
        let version = binding.version + 1;
        self.bindings.insert(name.to_owned(), Binding { array, version, view, depth: binding.depth });
        Ok(())
    }
}
