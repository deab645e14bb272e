//! Recurrent layers, unrolled over the positions of a sequence.

use basin_tape::ops::{Relu, Sigmoid, Tanh};

use super::{Array, Graph, Read};

/// The most positions of a sequence: each is some steps of the program.
const LONGEST: usize = 1 << 16;

/// What a recurrent layer does at each position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Lstm,
    Gru {
        /// Whether the reset gate acts on the state behind its matrix product, as in PyTorch, or in front of it.
        reset_after: bool,
    },
    Tanh,
    Relu,
}

/// The weights of one direction of one layer.
struct Weights<'a> {
    of_input: &'a Array,
    of_state: &'a Array,
    biases: Option<(&'a Array, &'a Array)>,
}

impl Graph {
    /// The outputs (positions, samples, width) of layers of a cell, and their last states (layers, samples, width): hidden, and
    /// for an LSTM the cell's. `weights` are in PyTorch's order.
    pub(crate) fn recurrent(
        &mut self,
        cell: Cell,
        x: &Array,
        states: &[Array],
        weights: &[Array],
        (biased, bidirectional, batch_first): (bool, bool, bool),
    ) -> Read<Vec<Array>> {
        let mut sequence = if batch_first { self.transpose(x, 0, 1)? } else { x.clone() };
        let mut given = [&[sequence.clone()], states].concat();
        self.freed_of_tracing(&mut given)?;
        let states = &given[1..];
        let (directions, each) = (1 + usize::from(bidirectional), if biased { 4 } else { 2 });
        if weights.is_empty() || !weights.len().is_multiple_of(directions * each) {
            return Err(format!("{} weights of a recurrent layer", weights.len()).into());
        }
        let (mut hidden, mut cells) = (Vec::new(), Vec::new());
        for (layer, of_layer) in weights.chunks(directions * each).enumerate() {
            let mut outputs = Vec::new();
            for (direction, of_direction) in of_layer.chunks(each).enumerate() {
                let weights = match of_direction {
                    [of_input, of_state] => Weights { of_input, of_state, biases: None },
                    [of_input, of_state, a, b] => Weights { of_input, of_state, biases: Some((a, b)) },
                    _ => return Err("a recurrent layer with a projection".into()),
                };
                let number = (layer * directions + direction) as i64;
                let start = states.iter().map(|state| self.select(state, 0, number)).collect::<Read<Vec<_>>>()?;
                let (output, last) = self.unrolled(cell, &sequence, &start, &weights, direction == 1)?;
                outputs.push(output);
                let mut last = last.into_iter();
                hidden.extend(last.next());
                cells.extend(last.next());
            }
            sequence = self.concatenate(&outputs, 2)?;
        }
        let output = if batch_first { self.transpose(&sequence, 0, 1)? } else { sequence };
        let mut results = vec![output, self.stack(&hidden, 0)?];
        if !cells.is_empty() {
            results.push(self.stack(&cells, 0)?);
        }
        Ok(results)
    }

    fn unrolled(
        &mut self,
        cell: Cell,
        sequence: &Array,
        start: &[Array],
        weights: &Weights,
        backwards: bool,
    ) -> Read<(Array, Vec<Array>)> {
        let positions = sequence.fixed(0)?;
        if positions > LONGEST {
            return Err(format!("a sequence of {positions} positions, the most are {LONGEST}").into());
        }
        let mut state = start.to_vec();
        // The inputs' share of all positions at once.
        let of_input = self.linear(sequence, weights.of_input, weights.biases.map(|(bias, _)| bias))?;
        let mut outputs = vec![None; positions];
        for step in 0..positions {
            let position = if backwards { positions - 1 - step } else { step };
            let input = self.select(&of_input, 0, position as i64)?;
            state = self.cell(cell, &input, &state, weights)?;
            outputs[position] = state.first().cloned();
        }
        let outputs = outputs.into_iter().flatten().collect::<Vec<_>>();
        Ok((self.stack(&outputs, 0)?, state))
    }

    fn cell(&mut self, cell: Cell, input: &Array, state: &[Array], weights: &Weights) -> Read<Vec<Array>> {
        let Some(h) = state.first() else { return Err("a recurrent layer without a state".into()) };
        let of_state = self.linear(h, weights.of_state, weights.biases.map(|(_, bias)| bias))?;
        let width = h.fixed(h.rank() - 1)?;
        match cell {
            Cell::Tanh => {
                let sum = self.add(input, &of_state)?;
                Ok(vec![self.elementwise(Tanh, &sum)?])
            }
            Cell::Relu => {
                let sum = self.add(input, &of_state)?;
                Ok(vec![self.elementwise(Relu, &sum)?])
            }
            Cell::Lstm => {
                let c = state.get(1).ok_or("an LSTM without a cell state")?;
                let sum = self.add(input, &of_state)?;
                let gates = self.split(&sum, sum.rank() - 1, &[width; 4])?;
                let [i, f, g, o] = gates.as_slice() else { return Err("an LSTM has four gates".into()) };
                let (i, f) = (self.elementwise(Sigmoid, i)?, self.elementwise(Sigmoid, f)?);
                let (g, o) = (self.elementwise(Tanh, g)?, self.elementwise(Sigmoid, o)?);
                let (kept, new) = (self.multiply(&f, c)?, self.multiply(&i, &g)?);
                let c = self.add(&kept, &new)?;
                let bounded = self.elementwise(Tanh, &c)?;
                Ok(vec![self.multiply(&o, &bounded)?, c])
            }
            Cell::Gru { reset_after } => {
                let (axis, thirds) = (input.rank() - 1, [width; 3]);
                let (of_input, of_state) = (self.split(input, axis, &thirds)?, self.split(&of_state, axis, &thirds)?);
                let gate = |graph: &mut Self, k: usize| {
                    let sum = graph.add(&of_input[k], &of_state[k])?;
                    graph.elementwise(Sigmoid, &sum)
                };
                let (r, z) = (gate(self, 0)?, gate(self, 1)?);
                let remembered = match reset_after {
                    true => self.multiply(&r, &of_state[2])?,
                    false => {
                        let reset = self.multiply(&r, h)?;
                        let weight = self.narrow(weights.of_state, 0, 2 * width, width)?;
                        let bias =
                            weights.biases.map(|(_, bias)| self.narrow(bias, 0, 2 * width, width)).transpose()?;
                        self.linear(&reset, &weight, bias.as_ref())?
                    }
                };
                let sum = self.add(&of_input[2], &remembered)?;
                let n = self.elementwise(Tanh, &sum)?;
                // h' = n + z (h − n).
                let difference = self.subtract(h, &n)?;
                let kept = self.multiply(&z, &difference)?;
                Ok(vec![self.add(&n, &kept)?])
            }
        }
    }
}
