//! The hidden units of one network in the order of another's.
//!
//! Networks that were trained apart are often alike up to the order of their hidden units, of which each has its own: between them
//! stands a barrier that none of them has to do with. Weight matching (Ainsworth, Hayase and Srinivasa, "Git Re-Basin: merging
//! models modulo permutation symmetries", ICLR 2023, algorithm 1) looks for the permutations π of the hidden units of B, which leave its
//! function as it is, that bring it nearest to A:
//!
//! ```text
//! min_π ‖θ_A − π(θ_B)‖²  =  ‖θ_A‖² + ‖θ_B‖² − 2 max_π ⟨θ_A, π(θ_B)⟩.
//! ```
//!
//! With the orders of all other layers held, the inner product is Σᵢ G(i, σ(i)) in the order σ of one layer, where G(i, j) is the
//! product of the weights of A's unit i with those of B's unit j: a linear assignment problem. Layer after layer is solved until none
//! improves. That is a descent: the distance never grows, and where it ends depends on the order of the layers.

mod assignment;
mod permutation;

pub use permutation::Permutation;

use basin_objective::models::{ExchangeableUnits, Model, UnitAxis, UnitTensor};
use basin_objective::random::stream;
use basin_objective::{Error, Result};
use basin_records::Alignment;
use basin_tape::vector;
use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;

use crate::direction::{norm, on_cpu};
use assignment::assignment;
use permutation::{exchangeable_units, reordered};

/// What a layer must gain to count as improved, relative to ‖θ_A‖ ‖θ_B‖: more than rounding does.
const LEAST_GAIN: f64 = 1e-12;

/// The permutation of B's hidden units that [`align`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Aligned {
    /// The order of the units of each layer.
    pub permutation: Permutation,
    /// What it took and what it brought.
    pub alignment: Alignment,
}

/// Looks for the order of B's hidden units that brings its parameters nearest to A's; the order in which layers are gone through is
/// drawn from the seed for each sweep. `observe` is told of every sweep before it, and by how far A and B are apart by then.
///
/// ```
/// use basin_landscape::{Permutation, align};
/// use basin_objective::models::Model;
/// use candle_core::DType;
///
/// let model = Model::new(&"mlp:8-5-4-2:relu".parse()?, &[8], 2)?;
/// let a = model.initial_parameters(0, DType::F64)?;
/// let planted = Permutation::new(&model, vec![vec![4, 0, 3, 1, 2], vec![2, 3, 1, 0]])?;
/// let b = planted.parameters(&model, &a)?;
/// let found = align(&model, &a, &b, 0, |_, _| Ok(()))?;
/// assert_eq!(found.alignment.distance_after, 0.0);
/// assert_eq!(found.permutation.parameters(&model, &b)?.to_vec1::<f64>()?, a.to_vec1::<f64>()?);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When it is not known which units of the model can change places, a vector has not the model's length or is not finite, or
/// `observe` returns an error.
pub fn align(
    model: &Model,
    a: &Tensor,
    b: &Tensor,
    seed: u64,
    mut observe: impl FnMut(usize, f64) -> Result<()>,
) -> Result<Aligned> {
    let sets = exchangeable_units(model)?;
    let (a, b) = (on_cpu(a)?, on_cpu(b)?);
    let scale = norm(&a)? * norm(&b)?;
    if !scale.is_finite() {
        return Err(Error::input("there are parameters that are not finite", "align networks that did not diverge"));
    }
    let (a, b) = (model.parameters().views(&a)?, model.parameters().views(&b)?);
    let mut matching = Matching { a, b, least_gain: LEAST_GAIN * scale };
    let mut permutation = Permutation::identity(sets);
    let distance_before = matching.distance()?;
    let mut order: Vec<usize> = (0..sets.len()).collect();
    let (mut sweeps, mut improved) = (0, true);
    while improved {
        observe(sweeps, matching.distance()?)?;
        order.shuffle(&mut stream(seed, "alignment", &sweeps.to_string()));
        improved = false;
        for &set in &order {
            if let Some(better) = matching.improve(&sets[set])? {
                permutation.reorder(set, &better);
                improved = true;
            }
        }
        sweeps += 1;
    }
    let alignment = Alignment { sweeps: sweeps as u64, distance_before, distance_after: matching.distance()? };
    Ok(Aligned { permutation, alignment })
}

/// The parameter tensors of A, and those of B in the order found so far.
struct Matching {
    a: Vec<Tensor>,
    b: Vec<Tensor>,
    least_gain: f64,
}

impl Matching {
    /// The best order of the units of a set with all others held, into which they are put; none where they are in it already.
    fn improve(&mut self, set: &ExchangeableUnits) -> Result<Option<Vec<usize>>> {
        let gains = self.gains(set)?.to_vec2::<f64>()?;
        let order = assignment(&gains);
        let gain: f64 = order.iter().enumerate().map(|(i, &unit)| gains[i][unit] - gains[i][i]).sum();
        if gain <= self.least_gain {
            return Ok(None);
        }
        for (tensor, axis) in of_parameters(set) {
            self.b[tensor] = reordered(&self.b[tensor], axis, &order)?;
        }
        Ok(Some(order))
    }

    /// G(i, j), the product of the weights of A's unit i with those of B's unit j.
    fn gains(&self, set: &ExchangeableUnits) -> Result<Tensor> {
        let mut gains = Tensor::zeros((set.count, set.count), DType::F64, &Device::Cpu)?;
        for (tensor, axis) in of_parameters(set) {
            let rows = |tensors: &[Tensor]| rows(&tensors[tensor], axis, set.count);
            gains = (gains + rows(&self.a)?.matmul(&rows(&self.b)?.t()?)?)?;
        }
        Ok(gains)
    }

    /// ‖θ_A − π(θ_B)‖.
    fn distance(&self) -> Result<f64> {
        let squares = self.a.iter().zip(&self.b).map(|(a, b)| {
            let difference = (a - b)?.flatten_all()?;
            Ok(vector::dot(&difference, &difference)?)
        });
        Ok(squares.sum::<Result<f64>>()?.sqrt())
    }
}

/// The axes of a set that parameters have.
fn of_parameters(set: &ExchangeableUnits) -> impl Iterator<Item = (usize, &UnitAxis)> {
    set.axes.iter().filter_map(|axis| match axis.tensor {
        UnitTensor::Parameter(index) => Some((index, axis)),
        UnitTensor::Buffer(_) => None,
    })
}

/// A matrix whose row i has the weights of unit i.
fn rows(tensor: &Tensor, axis: &UnitAxis, count: usize) -> Result<Tensor> {
    let positions: Vec<u32> = axis.positions.iter().map(|&position| position as u32).collect();
    let of_units = tensor.contiguous()?.index_select(&Tensor::new(positions, tensor.device())?, axis.axis)?;
    Ok(of_units.transpose(0, axis.axis)?.reshape((count, of_units.elem_count() / count))?)
}
