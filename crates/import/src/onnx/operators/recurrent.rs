//! Recurrent layers.

use super::Reader;
use crate::graph::{Array, Cell, Extent, Kind, Number, Read};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "LSTM" => |c| recurrent(c, Cell::Lstm),
        "GRU" => |c| {
            let reset_after =
                c.truth("linear_before_reset", false) || c.is_pytorchs("aten.gru", "with `linear_before_reset` 0");
            recurrent(c, Cell::Gru { reset_after })
        },
        "RNN" => |c| {
            let relu = c.texts("activations").first().is_some_and(|name| name.eq_ignore_ascii_case("relu"));
            recurrent(c, if relu { Cell::Relu } else { Cell::Tanh })
        },
        _ => return None,
    })
}

/// The functions of a cell, of one direction.
fn functions(cell: Cell) -> &'static [&'static str] {
    match cell {
        Cell::Lstm => &["sigmoid", "tanh", "tanh"],
        Cell::Gru { .. } => &["sigmoid", "tanh"],
        Cell::Tanh => &["tanh"],
        Cell::Relu => &["relu"],
    }
}

/// Which of ONNX's gates are PyTorch's, in PyTorch's order.
fn gates(cell: Cell) -> &'static [usize] {
    match cell {
        // i, o, f, c as i, f, g, o.
        Cell::Lstm => &[0, 2, 3, 1],
        // z, r, h as r, z, n.
        Cell::Gru { .. } => &[1, 0, 2],
        Cell::Tanh | Cell::Relu => &[0],
    }
}

fn refuse_variants(c: &Call, cell: Cell) -> Read<()> {
    let (given, own) = (c.texts("activations"), functions(cell));
    let usual = given.iter().enumerate().all(|(i, name)| name.eq_ignore_ascii_case(own[i % own.len()]));
    if !usual || c.has("activation_alpha") || c.has("clip") || c.truth("input_forget", false) {
        return Err("a recurrent layer with functions of its own".into());
    }
    if c.optional(4).is_some() {
        return Err("a recurrent layer of sequences that differ in length".into());
    }
    if c.optional(7).is_some() {
        return Err("an LSTM with peepholes".into());
    }
    if c.integer("layout", 0) != 0 {
        return Err("a recurrent layer with the samples in front".into());
    }
    Ok(())
}

fn recurrent(c: &mut Call, cell: Cell) -> Read<Vec<Array>> {
    refuse_variants(c, cell)?;
    let (x, of_input, of_state, biases) = (c.array(0)?, c.array(1)?, c.array(2)?, c.optional(3));
    if x.rank() != 3 || of_input.rank() != 3 || of_state.rank() != 3 {
        return Err("a recurrent layer of what are no sequences".into());
    }
    let (directions, width) = (of_state.fixed(0)?, of_state.fixed(2)?);
    let backwards = c.text("direction") == Some("reverse");
    let x = if backwards { c.graph.flip(&x, 0)? } else { x };
    let mut weights = Vec::new();
    for direction in 0..directions as i64 {
        for all in [&of_input, &of_state] {
            let weight = c.graph.select(all, 0, direction)?;
            weights.push(in_order(c, &weight, cell, width)?);
        }
        if let Some(biases) = &biases {
            let both = c.graph.select(biases, 0, direction)?;
            let rows = gates(cell).len().checked_mul(width).ok_or("a recurrent layer that is too wide")?;
            for bias in c.graph.split(&both, 0, &[rows, rows])? {
                weights.push(in_order(c, &bias, cell, width)?);
            }
        }
    }
    let given = if cell == Cell::Lstm { vec![c.optional(5), c.optional(6)] } else { vec![c.optional(5)] };
    let mut states = Vec::new();
    for state in given {
        let shape = [Extent::Fixed(directions), x.shape[1], Extent::Fixed(width)];
        states.push(match state {
            Some(state) => state,
            None => c.graph.full(&shape, Number::Float(0.0), Kind::Float)?,
        });
    }
    let settings = (biases.is_some(), directions == 2, false);
    let mut outputs = c.graph.recurrent(cell, &x, &states, &weights, settings)?;
    // (positions, samples, directions · width) as (positions, directions, samples, width).
    let y = &outputs[0];
    let split = vec![y.shape[0], y.shape[1], Extent::Fixed(directions), Extent::Fixed(width)];
    let y = c.graph.viewed(y, split)?;
    let y = c.graph.permute(&y, &[0, 2, 1, 3])?;
    outputs[0] = if backwards { c.graph.flip(&y, 0)? } else { y };
    Ok(outputs)
}

/// The rows of a weight, gate by gate, in PyTorch's order.
fn in_order(c: &mut Call, weight: &Array, cell: Cell, width: usize) -> Read<Array> {
    let gates = gates(cell);
    if gates.len() == 1 {
        return Ok(weight.clone());
    }
    let parts = c.graph.split(weight, 0, &vec![width; gates.len()])?;
    let parts: Vec<Array> = gates.iter().map(|&gate| parts[gate].clone()).collect();
    c.graph.concatenate(&parts, 0)
}
