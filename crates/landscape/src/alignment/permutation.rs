//! Orders of hidden units.

use basin_objective::models::{ExchangeableUnits, Model, UnitAxis, UnitTensor};
use basin_objective::{Error, Result};
use basin_tape::Layout;
use candle_core::{Device, Tensor};

/// An order for each set of exchangeable hidden units of a model: unit `order[i]` takes the place of unit i.
///
/// ```
/// use basin_landscape::Permutation;
/// use basin_objective::models::Model;
/// use candle_core::{Device, Tensor};
///
/// let model = Model::new(&"mlp:1-2-1:tanh".parse()?, &[1], 1)?;
/// // fc1.weight, fc1.bias and fc2.weight of the two hidden units, and fc2.bias.
/// let theta = Tensor::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &Device::Cpu)?;
/// let exchanged = Permutation::new(&model, vec![vec![1, 0]])?.parameters(&model, &theta)?;
/// assert_eq!(exchanged.to_vec1::<f64>()?, [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 7.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    orders: Vec<Vec<usize>>,
}

impl Permutation {
    /// One order for each of the model's [sets](Model::exchangeable_units).
    ///
    /// # Errors
    /// When it is not known which units of the model can change places, or an order is no permutation of its set.
    pub fn new(model: &Model, orders: Vec<Vec<usize>>) -> Result<Self> {
        let sets = exchangeable_units(model)?;
        let is_permutation = |set: &ExchangeableUnits, order: &[usize]| {
            let mut sorted = order.to_vec();
            sorted.sort_unstable();
            sorted.into_iter().eq(0..set.count)
        };
        if sets.len() != orders.len() || !sets.iter().zip(&orders).all(|(set, order)| is_permutation(set, order)) {
            let counts: Vec<String> = sets.iter().map(|set| set.count.to_string()).collect();
            return Err(Error::input(
                format!("these are no orders of the hidden units of `{}`", model.name()),
                format!("give one order for each set of units: {}", counts.join(", ")),
            ));
        }
        Ok(Self { orders })
    }

    /// The order that changes nothing.
    pub(super) fn identity(sets: &[ExchangeableUnits]) -> Self {
        Self { orders: sets.iter().map(|set| (0..set.count).collect()).collect() }
    }

    /// Puts the units of a set, as they are ordered by now, into a new order.
    pub(super) fn reorder(&mut self, set: usize, order: &[usize]) {
        self.orders[set] = order.iter().map(|&unit| self.orders[set][unit]).collect();
    }

    /// The parameters with the units in this order: those of the same function.
    ///
    /// # Errors
    /// When the vector or the model is not what the order was made for.
    pub fn parameters(&self, model: &Model, theta: &Tensor) -> Result<Tensor> {
        let index = |axis: &UnitAxis| match axis.tensor {
            UnitTensor::Parameter(index) => Some(index),
            UnitTensor::Buffer(_) => None,
        };
        self.applied(exchangeable_units(model)?, model.parameters(), theta, index)
    }

    /// The buffers, such as running means, with the units in this order.
    ///
    /// # Errors
    /// As [`parameters`](Self::parameters).
    pub fn buffers(&self, model: &Model, buffers: &Tensor) -> Result<Tensor> {
        let index = |axis: &UnitAxis| match axis.tensor {
            UnitTensor::Parameter(_) => None,
            UnitTensor::Buffer(index) => Some(index),
        };
        self.applied(exchangeable_units(model)?, model.buffers(), buffers, index)
    }

    fn applied(
        &self,
        sets: &[ExchangeableUnits],
        layout: &Layout,
        vector: &Tensor,
        index: impl Fn(&UnitAxis) -> Option<usize>,
    ) -> Result<Tensor> {
        let mut views = layout.views(vector)?;
        for (set, order) in sets.iter().zip(&self.orders) {
            for axis in &set.axes {
                if let Some(index) = index(axis) {
                    views[index] = reordered(&views[index], axis, order)?;
                }
            }
        }
        Ok(layout.join(views.into_iter().map(Some).collect(), vector.dtype(), &Device::Cpu)?)
    }
}

/// A tensor with the units along an axis in another order.
pub(super) fn reordered(tensor: &Tensor, axis: &UnitAxis, order: &[usize]) -> Result<Tensor> {
    let each = axis.positions.len() / order.len();
    let mut index: Vec<u32> = (0..tensor.dims()[axis.axis] as u32).collect();
    for (places, &unit) in axis.positions.chunks(each).zip(order) {
        for (&place, &from) in places.iter().zip(&axis.positions[unit * each..]) {
            index[place] = from as u32;
        }
    }
    Ok(tensor.contiguous()?.index_select(&Tensor::new(index, tensor.device())?, axis.axis)?)
}

/// The sets of exchangeable hidden units of a model, or why there are none.
pub(super) fn exchangeable_units(model: &Model) -> Result<&[ExchangeableUnits]> {
    model.exchangeable_units().ok_or_else(|| {
        Error::input(
            format!("the hidden units of model `{}` cannot be aligned", model.name()),
            "aligned are `mlp:…`, `f1`, `f2`, `c1` to `c4`, `alexnet` and the networks `vgg…`, `resnet…` and `wrn…`",
        )
    })
}
