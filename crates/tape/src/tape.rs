//! A tape: the values of one run of a program on one micro-batch, and the sweeps over them.

use candle_core::Tensor;

use crate::Result;
use crate::op::{Node, Op, accumulate, hollow};
use crate::product::Product;
use crate::program::{Program, Source, Value};

/// One slot per value of the program; absent where zero or not kept.
pub(crate) type Slots = Vec<Option<Tensor>>;

/// Bytes that derivatives on a batch take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// What stays while a linearization is kept: values, what operations saved, and adjoints.
    pub kept: usize,
    /// The most that one Hessian product takes beyond that.
    pub sweep: usize,
}

/// What `forward` computed and saved, value by value.
#[derive(Debug)]
pub struct Tape<'p> {
    program: &'p Program,
    values: Vec<Tensor>,
    saved: Vec<Vec<Tensor>>,
    /// Whether the last operation was left out: it is applied by rows.
    is_open: bool,
}

impl<'p> Tape<'p> {
    pub(crate) fn new(program: &'p Program, values: Vec<Tensor>, saved: Vec<Vec<Tensor>>, is_open: bool) -> Self {
        Self { program, values, saved, is_open }
    }

    /// Where sweeps backwards begin: at the output, or at the inputs of the last operation where it was left out.
    fn ends(&self) -> Vec<Value> {
        match &self.program.sources[self.program.output.0] {
            Source::Op { inputs, .. } if self.is_open => inputs.clone(),
            _ => vec![self.program.output],
        }
    }

    /// The program that was run.
    pub fn program(&self) -> &'p Program {
        self.program
    }

    /// The program's output; NaN of its shape where it is computed by rows.
    pub fn output(&self) -> &Tensor {
        &self.values[self.program.output.0]
    }

    /// The value that a step of the program computed; NaN where no derivative rule reads it.
    pub fn value(&self, value: Value) -> &Tensor {
        &self.values[value.0]
    }

    /// What the operation behind `value` saved, such as batch statistics.
    pub fn saved(&self, value: Value) -> &[Tensor] {
        &self.saved[value.0]
    }

    /// What linearizing this batch keeps, and what a Hessian product takes beyond that, counted from the shapes of the
    /// values; vectors of the parameters' length are not counted.
    pub fn footprint(&self) -> Footprint {
        let of_batch = |step: usize| match self.program.sources[step] {
            _ if self.is_open && step == self.program.output.0 => 0,
            Source::Op { .. } => self.values[step].elem_count() * self.values[step].dtype().size_in_bytes(),
            _ => 0,
        };
        let read = &self.program.read;
        let saved: usize = self.saved.iter().flatten().map(tensor_bytes).sum();
        let active: Vec<(usize, &[Value])> = self.active_operations().map(|(step, _, inputs)| (step, inputs)).collect();
        let values: usize = (0..self.values.len()).filter(|&step| read[step].value).map(of_batch).sum();
        let adjoints: usize =
            active.iter().filter(|(step, _)| read[*step].adjoint).map(|(step, _)| of_batch(*step)).sum();

        // The tangent sweep: what is not read later is dropped after its last use.
        let (mut live, mut peak) = (0, 0);
        for (step, inputs) in &active {
            live += of_batch(*step);
            peak = peak.max(live);
            let ended = inputs.iter().enumerate().filter(|(i, x)| !inputs[..*i].contains(x));
            let ended = ended.map(|(_, x)| x.0).filter(|&x| self.program.active[x]);
            let dropped = ended.filter(|&x| self.program.last_use[x] == *step && !read[x].tangent);
            live -= dropped.map(of_batch).sum::<usize>();
        }
        // The adjoint-tangent sweep: an adjoint lives from its first summand to the step that computed its value.
        let mut reached = vec![false; self.values.len()];
        for end in self.ends() {
            reached[end.0] = true;
            live += of_batch(end.0);
        }
        for (step, inputs) in active.iter().rev() {
            if !reached[*step] {
                continue;
            }
            let (known, new): (Vec<usize>, Vec<usize>) =
                inputs.iter().map(|x| x.0).filter(|&x| self.program.active[x]).partition(|&x| reached[x]);
            live += new.iter().copied().map(of_batch).sum::<usize>();
            // A further summand and the sum exist beside the one before.
            peak = peak.max(live + 2 * known.into_iter().map(of_batch).sum::<usize>());
            live -= of_batch(*step) + if read[*step].tangent { of_batch(*step) } else { 0 };
            new.into_iter().for_each(|x| reached[x] = true);
        }
        Footprint { kept: values + saved + adjoints, sweep: peak }
    }

    fn with_node<R>(&self, step: usize, inputs: &[Value], f: impl FnOnce(&Node) -> R) -> R {
        let inputs: Vec<&Tensor> = inputs.iter().map(|x| &self.values[x.0]).collect();
        f(&Node { inputs: &inputs, output: &self.values[step], saved: &self.saved[step] })
    }

    fn wanted(&self, inputs: &[Value]) -> Vec<bool> {
        inputs.iter().map(|x| self.program.active[x.0]).collect()
    }

    /// The operations that depend on what the program is differentiated in, in the order in which they ran.
    fn active_operations(&self) -> impl DoubleEndedIterator<Item = (usize, &dyn Op, &[Value])> {
        self.program.sources.iter().enumerate().filter_map(|(step, source)| match source {
            _ if self.is_open && step == self.program.output.0 => None,
            Source::Op { op, inputs } if self.program.active[step] => Some((step, op.as_ref(), inputs.as_slice())),
            _ => None,
        })
    }

    /// The tangent sweep: the tangents of the output and of all values whose tangents the adjoint-tangent sweep reads,
    /// for tangents of the parameters.
    pub(crate) fn tangents(&self, parameters: &[Tensor]) -> Result<Slots> {
        let mut slots: Slots = vec![None; self.values.len()];
        for (step, source) in self.program.sources.iter().enumerate() {
            if let Source::Parameter(i) = source {
                slots[step] = Some(parameters[*i].clone());
            }
        }
        for (step, op, inputs) in self.active_operations() {
            let dx: Vec<Option<&Tensor>> = inputs.iter().map(|x| slots[x.0].as_ref()).collect();
            if dx.iter().any(Option::is_some) {
                slots[step] = self.with_node(step, inputs, |at| op.tangent(at, &dx))?;
            }
            for x in inputs.iter().filter(|x| self.program.last_use[x.0] == step && !self.program.read[x.0].tangent) {
                slots[x.0] = None;
            }
        }
        Ok(slots)
    }

    /// The tangent of the output alone, for tangents of the parameters: J v.
    ///
    /// # Errors
    /// When a tangent does not fit its parameter.
    pub(crate) fn output_tangent(&self, parameters: &[Tensor]) -> Result<Tensor> {
        match self.tangents(parameters)?.swap_remove(self.program.output.0) {
            Some(tangent) => Ok(tangent),
            None => Ok(self.output().zeros_like()?),
        }
    }

    /// The adjoint sweep from the adjoints of the output, or of the inputs of a last operation that was left out; with `keep`,
    /// the adjoints that the adjoint-tangent sweep reads stay.
    pub(crate) fn adjoints(&self, bars: Vec<(Value, Tensor)>, keep: bool) -> Result<Slots> {
        let mut slots = self.seeded(bars)?;
        for (step, op, inputs) in self.active_operations().rev() {
            let Some(y_bar) = slots[step].take() else { continue };
            if keep {
                slots[step] = Some(if self.program.read[step].adjoint { y_bar.clone() } else { hollow(&y_bar)? });
            }
            let wanted = self.wanted(inputs);
            let adjoints = self.with_node(step, inputs, |at| op.adjoint(at, &y_bar, &wanted))?;
            collect(&mut slots, inputs, &wanted, adjoints)?;
        }
        Ok(slots)
    }

    /// The adjoint-tangent sweep: the tangents of the parameters' adjoints, given the tangents and the adjoints of all
    /// values and the tangents of the adjoints that it begins with.
    pub(crate) fn adjoint_tangents(
        &self,
        mut tangents: Slots,
        adjoints: &Slots,
        bars: Vec<(Value, Tensor)>,
    ) -> Result<Slots> {
        let mut slots = self.seeded(bars)?;
        for (step, op, inputs) in self.active_operations().rev() {
            // All that read the tangent of this value are behind us.
            tangents[step] = None;
            let Some(y_bar) = adjoints[step].as_ref() else { continue };
            let dy_bar = slots[step].take();
            let dx: Vec<Option<&Tensor>> = inputs.iter().map(|x| tangents[x.0].as_ref()).collect();
            if dy_bar.is_none() && dx.iter().all(Option::is_none) {
                continue;
            }
            let wanted = self.wanted(inputs);
            let rule = |at: &Node| op.adjoint_tangent(at, &dx, y_bar, dy_bar.as_ref(), &wanted);
            let adjoints = self.with_node(step, inputs, rule)?;
            collect(&mut slots, inputs, &wanted, adjoints)?;
        }
        Ok(slots)
    }

    fn seeded(&self, bars: Vec<(Value, Tensor)>) -> Result<Slots> {
        let mut slots: Slots = vec![None; self.values.len()];
        for (value, bar) in bars {
            slots[value.0] = accumulate(slots[value.0].take(), Some(bar))?;
        }
        Ok(slots)
    }

    /// The gradient vector in the parameters, for an adjoint of the output: Jᵀ u.
    ///
    /// # Errors
    /// When the adjoint does not have the output's shape.
    pub fn pull_back(&self, output_bar: &Tensor) -> Result<Product<'p>> {
        Ok(self.product(self.adjoints(vec![(self.program.output, output_bar.clone())], false)?))
    }

    /// What a sweep left in the parameters' slots.
    pub(crate) fn product(&self, mut slots: Slots) -> Product<'p> {
        let mut parts = vec![None; self.program.parameters.entries().len()];
        for (step, source) in self.program.sources.iter().enumerate() {
            if let Source::Parameter(i) = source {
                parts[*i] = slots[step].take();
            }
        }
        let (dtype, device) = (self.output().dtype(), self.output().device().clone());
        Product { layout: &self.program.parameters, parts, dtype, device }
    }
}

/// Adds the wanted adjoints of an operation's inputs to their slots.
fn collect(slots: &mut Slots, inputs: &[Value], wanted: &[bool], adjoints: Vec<Option<Tensor>>) -> Result<()> {
    for ((x, adjoint), _) in inputs.iter().zip(adjoints).zip(wanted).filter(|(_, wanted)| **wanted) {
        slots[x.0] = accumulate(slots[x.0].take(), adjoint)?;
    }
    Ok(())
}

/// Bytes of a tensor's elements; those of a repeated axis are one.
pub(crate) fn tensor_bytes(x: &Tensor) -> usize {
    let stored = x.dims().iter().zip(x.stride()).filter(|(_, stride)| **stride != 0).map(|(size, _)| size);
    stored.product::<usize>() * x.dtype().size_in_bytes()
}
