//! One call of an operator: its arguments by name, with PyTorch's defaults where the file leaves them out.

use std::collections::{BTreeMap, HashMap};

use super::schema::{Argument, Node, OptionalTensor, SymbolicInt, TensorMeta};
use super::views::View;
use crate::graph::{Array, Extent, Graph, Kind, Number, Read, Size};

/// What an operator gives: arrays, some of them views of its first argument.
pub(crate) struct Outputs(pub(crate) Vec<(Array, Option<View>)>);

impl From<Array> for Outputs {
    fn from(array: Array) -> Self {
        Self(vec![(array, None)])
    }
}

impl From<(Array, View)> for Outputs {
    fn from((array, view): (Array, View)) -> Self {
        Self(vec![(array, Some(view))])
    }
}

impl From<Vec<Array>> for Outputs {
    fn from(arrays: Vec<Array>) -> Self {
        Self(arrays.into_iter().map(|array| (array, None)).collect())
    }
}

/// An array, or a number that stands for one.
pub(crate) enum Operand {
    Array(Array),
    Number(Number),
}

/// A call of an operator.
pub(crate) struct Call<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) node: &'a Node,
    /// The operator's name without namespace, overload and the mark of what works in place.
    pub(crate) name: &'a str,
    pub(crate) overload: &'a str,
    /// Whether batch norm uses the statistics of the batch.
    pub(crate) batch_statistics: bool,
    pub(super) arrays: HashMap<&'a str, Array>,
    pub(super) extents: &'a HashMap<String, Extent>,
    pub(super) metas: &'a BTreeMap<String, TensorMeta>,
}

impl Call<'_> {
    fn argument(&self, name: &str) -> Option<&Argument> {
        let found = self.node.inputs.iter().find(|argument| argument.name == name).map(|argument| &argument.arg);
        found.filter(|argument| !matches!(argument, Argument::AsNone(_)))
    }

    fn named(&self, name: &str) -> Read<Array> {
        self.arrays.get(name).cloned().ok_or_else(|| format!("`{name}` is not there").into())
    }

    fn symbol(&self, symbol: &SymbolicInt) -> Read<Size> {
        match symbol {
            SymbolicInt::AsInt(number) => Ok(Size::Number(*number)),
            SymbolicInt::AsName(name) => match self.extents.get(name) {
                Some(extent) => Ok(Size::Extent(*extent)),
                None => Err(format!("the number `{name}` is not known").into()),
            },
        }
    }

    /// An array or a number.
    pub(crate) fn operand(&self, name: &str) -> Read<Operand> {
        Ok(match self.argument(name) {
            Some(Argument::AsTensor(tensor)) => Operand::Array(self.named(&tensor.name)?),
            Some(_) => {
                Operand::Number(self.number(name)?.ok_or_else(|| format!("the argument `{name}` is no number"))?)
            }
            None => return Err(format!("the argument `{name}` is missing").into()),
        })
    }

    pub(crate) fn array(&self, name: &str) -> Read<Array> {
        self.optional_array(name)?.ok_or_else(|| format!("the argument `{name}` is missing").into())
    }

    pub(crate) fn optional_array(&self, name: &str) -> Read<Option<Array>> {
        match self.argument(name) {
            None | Some(Argument::AsOptionalTensor(OptionalTensor::AsNone(_))) => Ok(None),
            Some(Argument::AsTensor(tensor) | Argument::AsOptionalTensor(OptionalTensor::AsTensor(tensor))) => {
                self.named(&tensor.name).map(Some)
            }
            Some(_) => Err(format!("the argument `{name}` is no tensor").into()),
        }
    }

    pub(crate) fn arrays(&self, name: &str) -> Read<Vec<Array>> {
        match self.argument(name) {
            Some(Argument::AsTensors(tensors)) => tensors.iter().map(|tensor| self.named(&tensor.name)).collect(),
            _ => Err(format!("the argument `{name}` is no list of tensors").into()),
        }
    }

    pub(crate) fn optional_arrays(&self, name: &str) -> Read<Vec<Option<Array>>> {
        match self.argument(name) {
            Some(Argument::AsOptionalTensors(tensors)) => {
                let tensor = |tensor: &OptionalTensor| match tensor {
                    OptionalTensor::AsTensor(tensor) => self.named(&tensor.name).map(Some),
                    OptionalTensor::AsNone(_) => Ok(None),
                };
                tensors.iter().map(tensor).collect()
            }
            _ => Ok(self.arrays(name)?.into_iter().map(Some).collect()),
        }
    }

    pub(crate) fn optional_integer(&self, name: &str) -> Read<Option<i64>> {
        match self.argument(name) {
            None => Ok(None),
            Some(Argument::AsInt(number)) => Ok(Some(*number)),
            Some(Argument::AsSymInt(symbol)) => match self.symbol(symbol)? {
                Size::Number(number) => Ok(Some(number)),
                Size::Extent(Extent::Fixed(extent)) => Ok(Some(extent as i64)),
                Size::Extent(Extent::Samples(_)) => Err(format!("`{name}` depends on the number of samples").into()),
            },
            Some(_) => Err(format!("the argument `{name}` is no whole number").into()),
        }
    }

    pub(crate) fn integer(&self, name: &str, default: i64) -> Read<i64> {
        Ok(self.optional_integer(name)?.unwrap_or(default))
    }

    pub(crate) fn count(&self, name: &str, default: usize) -> Read<usize> {
        match self.optional_integer(name)? {
            None => Ok(default),
            Some(number) => counted(number).ok_or_else(|| format!("`{name}` is {number}").into()),
        }
    }

    pub(crate) fn optional_integers(&self, name: &str) -> Read<Option<Vec<i64>>> {
        match self.argument(name) {
            None => Ok(None),
            Some(Argument::AsInts(numbers)) => Ok(Some(numbers.clone())),
            Some(Argument::AsInt(number)) => Ok(Some(vec![*number])),
            Some(Argument::AsSymInts(_)) => {
                let number = |size: Size| match size {
                    Size::Number(number) => Ok(number),
                    Size::Extent(Extent::Fixed(extent)) => Ok(extent as i64),
                    Size::Extent(_) => Err(format!("`{name}` depends on the number of samples").into()),
                };
                self.sizes(name)?.into_iter().map(number).collect::<Read<Vec<_>>>().map(Some)
            }
            Some(_) => Err(format!("the argument `{name}` is no list of whole numbers").into()),
        }
    }

    pub(crate) fn counts(&self, name: &str) -> Read<Vec<usize>> {
        let numbers = self.optional_integers(name)?.unwrap_or_default();
        let counts = numbers.iter().map(|&number| counted(number)).collect::<Option<Vec<usize>>>();
        counts.ok_or_else(|| format!("`{name}` is {numbers:?}").into())
    }

    /// Extents, some of which may depend on the samples.
    pub(crate) fn sizes(&self, name: &str) -> Read<Vec<Size>> {
        match self.argument(name) {
            Some(Argument::AsInts(numbers)) => Ok(numbers.iter().map(|&number| Size::Number(number)).collect()),
            Some(Argument::AsSymInts(symbols)) => symbols.iter().map(|symbol| self.symbol(symbol)).collect(),
            Some(_) => Err(format!("the argument `{name}` is no shape").into()),
            None => Err(format!("the argument `{name}` is missing").into()),
        }
    }

    /// A shape of something new.
    pub(crate) fn shape(&self, name: &str) -> Read<Vec<Extent>> {
        let traced = self.graph.traced_samples.filter(|&traced| traced > 1);
        let extent = |(axis, size): (usize, Size)| match size {
            Size::Extent(extent) => Ok(extent),
            Size::Number(number) => match usize::try_from(number) {
                Ok(number) if axis == 0 && traced == Some(number) => Ok(Extent::Samples(1)),
                Ok(number) => Ok(Extent::Fixed(number)),
                Err(_) => Err(format!("`{name}` holds {number}").into()),
            },
        };
        self.sizes(name)?.into_iter().enumerate().map(extent).collect()
    }

    /// A number that may be one of samples.
    pub(crate) fn size(&self, name: &str) -> Read<Size> {
        match self.argument(name) {
            Some(Argument::AsSymInt(symbol)) => self.symbol(symbol),
            _ => Ok(Size::Number(
                self.optional_integer(name)?.ok_or_else(|| format!("the argument `{name}` is missing"))?,
            )),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Read<Option<Number>> {
        Ok(match self.argument(name) {
            None => None,
            Some(Argument::AsBool(truth)) => Some(Number::Boolean(*truth)),
            Some(Argument::AsFloat(number)) => Some(Number::Float(number.0)),
            Some(_) => self.optional_integer(name)?.map(Number::Integer),
        })
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> Read<f64> {
        Ok(self.number(name)?.map_or(default, Number::value))
    }

    pub(crate) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        match self.argument(name) {
            Some(Argument::AsFloats(numbers)) => Some(numbers.iter().map(|number| number.0).collect()),
            _ => None,
        }
    }

    pub(crate) fn truth(&self, name: &str, default: bool) -> Read<bool> {
        match self.argument(name) {
            None => Ok(default),
            Some(Argument::AsBool(truth)) => Ok(*truth),
            Some(_) => Err(format!("the argument `{name}` is no truth value").into()),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.argument(name) {
            Some(Argument::AsString(text)) => Some(text),
            _ => None,
        }
    }

    /// The distance of 1 to the next number of the type that a tensor had when the network was exported.
    pub(crate) fn machine_epsilon(&self, name: &str) -> Read<f64> {
        let dtype = match self.argument(name) {
            Some(Argument::AsTensor(tensor)) => self.metas.get(&tensor.name).map(|meta| meta.dtype),
            _ => None,
        };
        match dtype {
            Some(6) => Ok(2.0_f64.powi(-10)),
            Some(7) => Ok(f64::from(f32::EPSILON)),
            Some(8) => Ok(f64::EPSILON),
            Some(13) => Ok(2.0_f64.powi(-7)),
            _ => Err(format!("the type of `{name}` is not known").into()),
        }
    }

    pub(crate) fn kind(&self, name: &str) -> Read<Option<Kind>> {
        match self.argument(name) {
            Some(Argument::AsScalarType(dtype)) => kind_of(*dtype).map(Some),
            _ => Ok(None),
        }
    }
}

/// A number of positions, strides, channels and the like; one beyond any network's could overflow what it is multiplied with.
fn counted(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|&count| count <= 1 << 31)
}

/// The kind of numbers that PyTorch's number of a type stands for.
pub(super) fn kind_of(dtype: u64) -> Read<Kind> {
    match dtype {
        1..=5 => Ok(Kind::Integer),
        6..=8 | 13 => Ok(Kind::Float),
        12 => Ok(Kind::Boolean),
        other => Err(format!("numbers of type {other}").into()),
    }
}
