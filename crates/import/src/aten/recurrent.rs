//! Recurrent layers.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::{Cell, Read};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "lstm" => |c| recurrent(c, Cell::Lstm),
        "gru" => |c| recurrent(c, Cell::Gru { reset_after: true }),
        "rnn_tanh" => |c| recurrent(c, Cell::Tanh),
        "rnn_relu" => |c| recurrent(c, Cell::Relu),
        _ => return None,
    })
}

fn recurrent(c: &mut Call, cell: Cell) -> Read<Outputs> {
    if c.truth("train", false)? && c.float("dropout", 0.0)? > 0.0 {
        return Err("dropout in training mode, whose result is random: export `model.eval()`".into());
    }
    if c.overload != "input" {
        return Err("a recurrent layer of packed sequences".into());
    }
    let (x, weights) = (c.array("input")?, c.arrays("params")?);
    let states = if cell == Cell::Lstm { c.arrays("hx")? } else { vec![c.array("hx")?] };
    let settings = (c.truth("has_biases", true)?, c.truth("bidirectional", false)?, c.truth("batch_first", false)?);
    Ok(c.graph.recurrent(cell, &x, &states, &weights, settings)?.into())
}
