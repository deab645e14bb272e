//! One call of an operator: its inputs by place, its attributes by name, with ONNX's defaults where the file leaves them out.

use std::path::Path;

use super::schema::{Attribute, Node, value_of};
use super::tensors;
use crate::graph::{Array, Graph, Read, Size};

/// A call of an operator.
pub(crate) struct Call<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) node: &'a Node,
    /// The version of the operators.
    pub(crate) opset: i64,
    /// Whether batch norm uses the statistics of the batch.
    pub(crate) batch_statistics: bool,
    /// What a reader of the network's figures should know.
    pub(crate) notes: &'a mut Vec<String>,
    /// The inputs, absent where they are left out.
    pub(super) inputs: Vec<Option<Array>>,
}

impl Call<'_> {
    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// Whether the exporter says that a node was one of PyTorch's operators.
    pub(crate) fn was_exported_from(&self, operator: &str) -> bool {
        let classes = value_of(&self.node.metadata_props, "pkg.torch.onnx.class_hierarchy");
        classes.is_some_and(|classes| classes.contains(operator))
    }

    /// Whether a node that is another operator than PyTorch's says that it was exported from that one. There PyTorch 2.15
    /// writes by mistake what computes something else; a network is measured as it was trained.
    pub(crate) fn is_pytorchs(&mut self, operator: &str, written: &str) -> bool {
        let own = self.was_exported_from(operator);
        if own {
            self.notes.push(format!(
                "`{}` is computed as PyTorch's `{operator}`, from which it was exported: the file has a {} {written}, \
                 which computes something else, by a mistake of the exporter",
                self.node.name, self.node.op_type
            ));
        }
        own
    }

    /// The input at a place.
    pub(crate) fn array(&self, place: usize) -> Read<Array> {
        self.optional(place).ok_or_else(|| format!("its input {place} is missing").into())
    }

    pub(crate) fn optional(&self, place: usize) -> Option<Array> {
        self.inputs.get(place).cloned().flatten()
    }

    /// All inputs that are there.
    pub(crate) fn arrays(&self) -> Vec<Array> {
        self.inputs.iter().flatten().cloned().collect()
    }

    /// The whole numbers of an input that is known.
    pub(crate) fn sizes(&self, place: usize) -> Read<Option<Vec<Size>>> {
        self.optional(place).map(|x| x.sizes()).transpose()
    }

    /// The same where the number of samples is not among them.
    pub(crate) fn integers(&self, place: usize) -> Read<Option<Vec<i64>>> {
        self.optional(place).map(|x| x.integers()).transpose()
    }

    /// The one number of an input that is known.
    pub(crate) fn number(&self, place: usize) -> Read<Option<f64>> {
        let Some(x) = self.optional(place) else { return Ok(None) };
        match x.known() {
            Some(known) if known.elem_count() == 1 => {
                Ok(Some(known.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0]))
            }
            _ => Err(format!("its input {place} is no number that is known").into()),
        }
    }

    /// The axes that an attribute names, or in newer versions an input.
    pub(crate) fn axes(&self, place: usize) -> Read<Option<Vec<i64>>> {
        match self.list("axes") {
            Some(axes) => Ok(Some(axes)),
            None => self.integers(place),
        }
    }

    pub(crate) fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(crate) fn truth(&self, name: &str, default: bool) -> bool {
        self.integer(name, i64::from(default)) != 0
    }

    pub(crate) fn count(&self, name: &str, default: usize) -> Read<usize> {
        match self.attribute(name) {
            None => Ok(default),
            Some(attribute) => counted(attribute.i).ok_or_else(|| format!("`{name}` is {}", attribute.i).into()),
        }
    }

    /// The whole numbers of an attribute.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    /// The same as counts, none where it is left out.
    pub(crate) fn counts(&self, name: &str) -> Read<Vec<usize>> {
        let numbers = self.list(name).unwrap_or_default();
        let counts = numbers.iter().map(|&number| counted(number)).collect::<Option<Vec<usize>>>();
        counts.ok_or_else(|| format!("`{name}` is {numbers:?}").into())
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |attribute| decimal(attribute.f))
    }

    pub(crate) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.attribute(name).map(|attribute| attribute.floats.iter().copied().map(decimal).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(&self.attribute(name)?.s).ok().filter(|text| !text.is_empty())
    }

    /// The texts of an attribute.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        let strings = self.attribute(name).map(|attribute| attribute.strings.as_slice()).unwrap_or_default();
        strings.iter().map(|text| std::str::from_utf8(text).unwrap_or_default()).collect()
    }

    /// The tensor of an attribute as a known array.
    pub(crate) fn tensor(&self, name: &str) -> Read<Option<Array>> {
        let Some(tensor) = self.attribute(name).and_then(|attribute| attribute.t.as_ref()) else { return Ok(None) };
        known(&tensors::decoded(tensor, Path::new(""))?).map(Some)
    }
}

/// A tensor of the file as a known array.
pub(super) fn known(tensor: &candle_core::Tensor) -> Read<Array> {
    if tensor.elem_count() == 1 && tensor.dtype() == candle_core::DType::F32 {
        let number = decimal(tensor.flatten_all()?.to_vec1::<f32>()?[0]);
        return Array::constant(candle_core::Tensor::full(number, tensor.dims(), tensor.device())?);
    }
    Array::constant(tensor.clone())
}

/// The shortest decimal that a number in single precision stands for. A file has the numbers of a network's source, such as
/// 0.1 and 1e-5, in single precision whatever the network computes in.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// A number of positions, strides, channels and the like; one beyond any network's could overflow what it is multiplied with.
fn counted(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|&count| count <= 1 << 31)
}
