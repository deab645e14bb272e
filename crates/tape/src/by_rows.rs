//! Last layers with many outputs for each of many positions, such as those of language models: the outputs z are never held for a
//! whole micro-batch. They, their tangents and adjoints are computed for some rows (positions) at a time, together with the loss,
//! and computed again in each sweep; what stays are the adjoints of the layer's inputs.

use std::ops::Range;

use candle_core::Tensor;

use crate::losses::{Loss, Targets, per_sample, sample_sums};
use crate::op::{Node, Op, accumulate};
use crate::ops::Linear;
use crate::program::{Point, Program, Source, Value};
use crate::tape::{Slots, Tape};
use crate::{Result, kernels};

/// Outputs of a sample from which its rows are worked on in parts.
const LEAST_OUTPUTS: usize = 1 << 20;
/// Outputs that are held at a time.
const AT_A_TIME: usize = 1 << 23;

/// Tensors of as many numbers as outputs that are alive at once in a product: z, ż, probabilities, targets, and what is made of them.
const TENSORS: usize = 6;

/// The rows that are worked on at a time where the last layer of a program is a linear one of so many outputs that they are never
/// held together, and its loss one of rows.
pub(crate) fn rows_at_a_time(program: &Program, loss: &dyn Loss, point: &Point, targets: &Targets) -> Option<usize> {
    let outputs = program.last_linear_outputs(point).filter(|_| loss.is_sum_over_positions())?;
    let positions = targets.values().elem_count() / targets.values().dims().first().copied().unwrap_or(1).max(1);
    (outputs * positions >= LEAST_OUTPUTS).then(|| (AT_A_TIME / outputs).max(1))
}

impl Program {
    /// The number of outputs of a last linear layer whose weights are given.
    fn last_linear_outputs(&self, point: &Point) -> Option<usize> {
        let Source::Op { op, inputs } = &self.sources[self.output.0] else { return None };
        let weight = match self.sources[inputs.get(1)?.0] {
            Source::Parameter(weight) => point.parameters.get(weight)?,
            Source::Buffer(weight) => point.buffers.get(weight)?,
            _ => return None,
        };
        (op.name() == Linear::NAME).then(|| weight.dims()[0])
    }

    /// Hands on the outputs on a batch with what they are held against: all at once, or some rows at a time where these are many,
    /// (rows, outputs).
    ///
    /// # Errors
    /// When an operation does not fit the tensors that reach it, or `take` fails.
    pub fn each_output(
        &self,
        point: &Point,
        batch: &[&Tensor],
        (loss, targets): (&dyn Loss, &Targets),
        mut take: impl FnMut(&Tensor, &Targets) -> Result<()>,
    ) -> Result<()> {
        let Some(rows) = rows_at_a_time(self, loss, point, targets) else {
            return take(&self.evaluate(point, batch)?, targets);
        };
        let tape = self.record_but_last(point, batch)?;
        let targets = targets.by_rows()?;
        tape.row_ranges(rows).try_for_each(|range| take(&tape.rows(&range)?.output, &targets.rows(&range)?))
    }
}

/// Some rows of a last layer.
struct Rows {
    /// x of these rows, and the other inputs.
    inputs: Vec<Tensor>,
    output: Tensor,
}

impl Rows {
    fn node<R>(&self, rule: impl FnOnce(&Node) -> R) -> R {
        let inputs: Vec<&Tensor> = self.inputs.iter().collect();
        rule(&Node { inputs: &inputs, output: &self.output, saved: &[] })
    }
}

/// A tensor (…, n) as (rows, n).
fn flat(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_to(x.rank() - 2)?)
}

impl<'p> Tape<'p> {
    fn last(&self) -> (&'p dyn Op, &'p [Value]) {
        match &self.program().sources[self.program().output.0] {
            Source::Op { op, inputs } => (op.as_ref(), inputs),
            _ => unreachable!("a tape by rows ends with a linear layer"),
        }
    }

    /// The positions of all samples.
    fn row_count(&self) -> usize {
        let x = self.value(self.last().1[0]);
        x.dims()[..x.rank() - 1].iter().product()
    }

    fn row_ranges(&self, at_a_time: usize) -> impl Iterator<Item = Range<usize>> + use<'p> {
        let count = self.row_count();
        (0..count).step_by(at_a_time).map(move |start| start..(start + at_a_time).min(count))
    }

    fn rows(&self, range: &Range<usize>) -> Result<Rows> {
        let (op, inputs) = self.last();
        let x = flat(self.value(inputs[0]))?.narrow(0, range.start, range.len())?;
        let inputs: Vec<Tensor> =
            std::iter::once(x).chain(inputs[1..].iter().map(|x| self.value(*x).clone())).collect();
        let output = op.forward(&inputs.iter().collect::<Vec<_>>(), &mut Vec::new())?;
        Ok(Rows { inputs, output })
    }

    /// The tangents of the inputs of the last layer, of which that of x is of some rows.
    fn row_tangents(&self, tangents: &Slots, range: &Range<usize>) -> Result<Vec<Option<Tensor>>> {
        let tangent = |(place, input): (usize, &Value)| match (&tangents[input.0], place) {
            (Some(x), 0) => Ok(Some(flat(x)?.narrow(0, range.start, range.len())?)),
            (other, _) => Ok(other.clone()),
        };
        self.last().1.iter().enumerate().map(tangent).collect()
    }
}

/// A tape whose last layer and loss are applied by rows.
pub(crate) struct ByRows<'a, 'p> {
    pub(crate) tape: &'a Tape<'p>,
    pub(crate) loss: &'a dyn Loss,
    /// Of rows.
    pub(crate) targets: &'a Targets,
    pub(crate) at_a_time: usize,
}

impl<'p> ByRows<'_, 'p> {
    /// The samples of the micro-batch.
    fn samples(&self) -> Result<usize> {
        Ok(self.tape.value(self.tape.last().1[0]).dim(0)?)
    }

    /// Numbers of rows, summed over each sample.
    fn of_samples(&self, rows: &[Tensor]) -> Result<Tensor> {
        let rows = Tensor::cat(rows, 0)?;
        let samples = self.samples()?;
        sample_sums(&rows.reshape((samples, rows.elem_count() / samples.max(1)))?)
    }

    /// Bytes of the outputs that are worked on at a time, with what is computed of them.
    pub(crate) fn bytes_at_a_time(&self) -> usize {
        let z = self.tape.output();
        let outputs = z.dims()[z.rank() - 1];
        self.at_a_time.min(self.tape.row_count()) * outputs * z.dtype().size_in_bytes() * TENSORS
    }

    /// ℓᵢ for each sample.
    pub(crate) fn losses(&self) -> Result<Tensor> {
        let losses = self
            .tape
            .row_ranges(self.at_a_time)
            .map(|range| self.targets.rows(&range)?.losses(self.loss, &self.tape.rows(&range)?.output));
        self.of_samples(&losses.collect::<Result<Vec<_>>>()?)
    }

    /// What the adjoints of the layer's inputs are for adjoints of its outputs by some rule: `bar` of rows and their targets.
    fn seeds(
        &self,
        ranges: impl Iterator<Item = Range<usize>>,
        mut rule: impl FnMut(&Range<usize>, &Rows, &[bool]) -> Result<Vec<Option<Tensor>>>,
    ) -> Result<Vec<(Value, Tensor)>> {
        let inputs = self.tape.last().1;
        let wanted: Vec<bool> = inputs.iter().map(|x| self.tape.program().active[x.0]).collect();
        let (mut of_x, mut of_others) = (Vec::new(), vec![None; inputs.len() - 1]);
        for range in ranges {
            let mut adjoints = rule(&range, &self.tape.rows(&range)?, &wanted)?;
            of_x.extend(adjoints[0].take());
            for ((sum, adjoint), wanted) in of_others.iter_mut().zip(adjoints.drain(1..)).zip(&wanted[1..]) {
                *sum = accumulate(sum.take(), adjoint.filter(|_| *wanted))?;
            }
        }
        let mut seeds = Vec::new();
        if wanted[0] && !of_x.is_empty() {
            seeds.push((inputs[0], Tensor::cat(&of_x, 0)?.reshape(self.tape.value(inputs[0]).shape())?));
        }
        let others = inputs[1..].iter().zip(of_others);
        seeds.extend(others.filter_map(|(input, sum)| Some((*input, sum?))));
        Ok(seeds)
    }

    /// The adjoints of the layer's inputs for adjoints of its outputs.
    fn pull_back(
        &self,
        bar: impl Fn(&Range<usize>, &Tensor, &Targets) -> Result<Tensor>,
    ) -> Result<Vec<(Value, Tensor)>> {
        let op = self.tape.last().0;
        self.seeds(self.tape.row_ranges(self.at_a_time), |range, rows, wanted| {
            let bar = bar(range, &rows.output, &self.targets.rows(range)?)?;
            rows.node(|at| op.adjoint(at, &bar, wanted))
        })
    }

    /// Those for ∂(Σᵢ ℓᵢ)/∂z.
    pub(crate) fn adjoints(&self) -> Result<Vec<(Value, Tensor)>> {
        self.pull_back(|_, z, targets| targets.gradient(self.loss, z))
    }

    /// Those for given adjoints of all outputs.
    pub(crate) fn adjoints_of(&self, u: &Tensor) -> Result<Vec<(Value, Tensor)>> {
        let u = flat(u)?;
        self.pull_back(|range, _, _| Ok(u.narrow(0, range.start, range.len())?))
    }

    /// ż of some rows.
    fn output_tangent(&self, rows: &Rows, tangents: &Slots, range: &Range<usize>) -> Result<Tensor> {
        let dx = self.tape.row_tangents(tangents, range)?;
        let dx: Vec<Option<&Tensor>> = dx.iter().map(Option::as_ref).collect();
        let op = self.tape.last().0;
        let tangent = match dx.iter().any(Option::is_some) {
            true => rows.node(|at| op.tangent(at, &dx))?,
            false => None,
        };
        tangent.map_or_else(|| Ok(rows.output.zeros_like()?), Ok)
    }

    /// ż of all rows, of the shape of z.
    pub(crate) fn push_forward(&self, tangents: &Slots) -> Result<Tensor> {
        let parts = self
            .tape
            .row_ranges(self.at_a_time)
            .map(|range| self.output_tangent(&self.tape.rows(&range)?, tangents, &range));
        let all = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(all.reshape(self.tape.output().shape())?)
    }

    /// The tangents of the adjoints of the layer's inputs.
    pub(crate) fn adjoint_tangents(&self, tangents: &Slots) -> Result<Vec<(Value, Tensor)>> {
        let op = self.tape.last().0;
        self.seeds(self.tape.row_ranges(self.at_a_time), |range, rows, wanted| {
            let targets = self.targets.rows(range)?;
            let bar = targets.gradient(self.loss, &rows.output)?;
            let dz = self.output_tangent(rows, tangents, range)?;
            let bent = targets.hessian_product(self.loss, &rows.output, &dz)?;
            let dx = self.tape.row_tangents(tangents, range)?;
            let dx: Vec<Option<&Tensor>> = dx.iter().map(Option::as_ref).collect();
            rows.node(|at| op.adjoint_tangent(at, &dx, &bar, Some(&bent), wanted))
        })
    }

    /// The adjoints of the layer's inputs for (∂²ℓ/∂z²) ż.
    pub(crate) fn gauss_newton(&self, tangents: &Slots) -> Result<Vec<(Value, Tensor)>> {
        let op = self.tape.last().0;
        self.seeds(self.tape.row_ranges(self.at_a_time), |range, rows, wanted| {
            let dz = self.output_tangent(rows, tangents, range)?;
            let bent = self.targets.rows(range)?.hessian_product(self.loss, &rows.output, &dz)?;
            rows.node(|at| op.adjoint(at, &bent, wanted))
        })
    }

    /// Those for each sample's ∂ℓᵢ/∂zᵢ times its ⟨∂ℓᵢ/∂zᵢ, żᵢ⟩.
    pub(crate) fn empirical_fisher(&self, tangents: &Slots) -> Result<Vec<(Value, Tensor)>> {
        let slopes = self.tape.row_ranges(self.at_a_time).map(|range| {
            let rows = self.tape.rows(&range)?;
            let gradient = self.targets.rows(&range)?.gradient(self.loss, &rows.output)?;
            sample_sums(&kernels::mul(&gradient, &self.output_tangent(&rows, tangents, &range)?)?)
        });
        let slopes = self.of_samples(&slopes.collect::<Result<Vec<_>>>()?)?;
        let (samples, rows) = (self.samples()?, self.tape.row_count());
        let of_rows = slopes.unsqueeze(1)?.broadcast_as((samples, rows / samples.max(1)))?.flatten_all()?;
        self.pull_back(|range, z, targets| {
            let gradient = targets.gradient(self.loss, z)?;
            kernels::mul(&gradient, &per_sample(&of_rows.narrow(0, range.start, range.len())?, &gradient)?)
        })
    }

    /// Those for Σ_d u_d ⟨u_d, żᵢ⟩ of each sample, where u_d is ∂ℓᵢ/∂zᵢ at targets drawn with `noise` of the sample. The outputs of one
    /// sample are held.
    pub(crate) fn fisher(
        &self,
        tangents: &Slots,
        draws: usize,
        noise: impl Fn(usize, usize) -> Result<Tensor>,
    ) -> Result<Vec<(Value, Tensor)>> {
        let op = self.tape.last().0;
        let positions = self.tape.row_count() / self.samples()?.max(1);
        self.seeds(self.tape.row_ranges(positions.max(1)), |range, rows, wanted| {
            let (targets, dz) = (self.targets.rows(range)?, self.output_tangent(rows, tangents, range)?);
            let mut bar = rows.output.zeros_like()?;
            for draw in 0..draws {
                let noise = noise(draw, range.start / positions)?.reshape(rows.output.shape())?;
                let u = targets.drawn_gradient(self.loss, &rows.output, &noise)?;
                let slope = kernels::mul(&u, &dz)?.sum_all()?;
                bar = (bar + u.broadcast_mul(&slope)?)?;
            }
            rows.node(|at| op.adjoint(at, &bar, wanted))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::derivative_check::{distance, normal};
    use crate::losses::CrossEntropy;
    use crate::ops::Tanh;
    use crate::{Linearization, ProgramBuilder};

    /// Rounding of sums in another order, in f64.
    const TOLERANCE: f64 = 1e-12;

    /// Tokens (N, T) looked up in a table, which is the last layer's matrix too unless it is a buffer of its own.
    fn program(tied: bool) -> Program {
        let mut b = ProgramBuilder::default();
        let (tokens, table) = (b.input(), b.parameter("table", &[5, 3]));
        let x = b.embedding(table, tokens);
        let x = b.elementwise(Tanh, x);
        let (weight, bias) = match tied {
            true => (table, b.parameter("bias", &[5])),
            false => (b.buffer("weight", &[5, 3]), b.buffer("bias", &[5])),
        };
        let z = b.linear(x, weight, Some(bias));
        b.finish(z).expect("a program")
    }

    #[test]
    fn rows_give_what_all_give_together() {
        let tokens = Tensor::new(&[[0_i64, 3, 1, 4], [2, 2, 4, 0], [1, 0, 3, 3]], &Device::Cpu).expect("tokens");
        let classes =
            Tensor::new(&[[3_i64, 1, 4, -100], [2, 4, 0, 0], [-100, -100, 3, 1]], &Device::Cpu).expect("classes");
        let weights = Tensor::new(&[0.5, 2.0, 1.0], &Device::Cpu).expect("weights");
        let class_weights = Some(vec![1.0, 0.5, 2.0, 1.5, 1.0]);
        let losses =
            [CrossEntropy::default(), CrossEntropy { label_smoothing: 0.1, class_weights, ..CrossEntropy::default() }];
        for (tied, loss, weights) in
            [(true, &losses[0], None), (true, &losses[1], Some(&weights)), (false, &losses[0], Some(&weights))]
        {
            let program = program(tied);
            let (p, buffers) = (program.parameters().len(), program.buffers().len());
            let buffers = if buffers == 0 {
                Tensor::zeros(0, DType::F64, &Device::Cpu).expect("none")
            } else {
                normal(&[buffers], 3)
            };
            let point = program.at(&normal(&[p], 1), &buffers).expect("a point");
            let (v, u) = (normal(&[p], 2), normal(&[3, 4, 5], 5));
            let noise = |draw: usize, sample: usize| Ok(normal(&[4, 5], (100 + 10 * draw + sample) as u64));
            let targets = Targets::weighted(&classes, weights);
            let figures = |rows| {
                let at =
                    Linearization::with_rows(&program, loss, &point, &[&tokens], targets.clone(), rows).expect("rows");
                let products = [
                    at.gradient(),
                    at.hessian(&v),
                    at.gauss_newton(&v),
                    at.empirical_fisher(&v),
                    at.fisher(&v, 2, noise),
                    at.pull_back(&u),
                    at.gradient(),
                ];
                let products = products.map(|product| product.and_then(|product| product.joined()).expect("a product"));
                [vec![at.losses().expect("losses"), at.push_forward(&v).expect("a tangent")], products.to_vec()]
                    .concat()
            };
            let together = figures(None);
            for rows in [1, 3, 4, 7, 12, 100] {
                for (place, (found, expected)) in figures(Some(rows)).iter().zip(&together).enumerate() {
                    let error = distance(found, expected);
                    assert!(error < TOLERANCE, "figure {place} of {rows} rows, tied {tied}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn outputs_that_are_many_are_worked_on_by_rows_and_never_kept() {
        let mut b = ProgramBuilder::default();
        let (x, weight) = (b.input(), b.parameter("weight", &[1 << 18, 1]));
        let z = b.linear(x, weight, None);
        let program = b.finish(z).expect("a program");
        let point = program.at(&normal(&[1 << 18], 1), &Tensor::zeros(0, DType::F64, &Device::Cpu).expect("none"));
        let (point, x) = (point.expect("a point"), normal(&[2, 4, 1], 2));
        let classes = Tensor::zeros((2, 4), DType::I64, &Device::Cpu).expect("classes");
        let loss = CrossEntropy::default();
        let at = Linearization::new(&program, &loss, &point, &[&x], &classes).expect("a linearization");
        let whole = Linearization::with_rows(&program, &loss, &point, &[&x], (&classes).into(), None).expect("one");
        let outputs = (1 << 18) * 4 * 8;
        assert!(at.footprint().kept < 1000 && at.footprint().sweep < 13 * outputs);
        assert!(whole.footprint().kept + whole.footprint().sweep > 2 * outputs);
        assert!(distance(&at.losses().expect("losses"), &whole.losses().expect("losses")) < TOLERANCE);
        let mut handed = Vec::new();
        let take = |z: &Tensor, targets: &Targets| {
            handed.push((z.dims().to_vec(), targets.values().dims().to_vec()));
            Ok(())
        };
        program.each_output(&point, &[&x], (&loss, &(&classes).into()), take).expect("outputs");
        assert_eq!(handed, [(vec![8, 1 << 18], vec![8])]);
    }
}
