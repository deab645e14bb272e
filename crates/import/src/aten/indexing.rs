//! Elements at positions that other tensors hold.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::Read;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "embedding" => |c| {
            let (table, indices) = (c.array("weight")?, c.array("indices")?);
            let padding = usize::try_from(c.integer("padding_idx", -1)?).ok();
            Ok(c.graph.embedding(&table, &indices, padding)?.into())
        },
        "index" => |c| {
            let (x, indices) = (c.array("self")?, c.optional_arrays("indices")?);
            Ok(c.graph.index(&x, &indices)?.into())
        },
        "index_select" => |c| {
            let (x, positions) = (c.array("self")?, c.array("index")?);
            let axis = x.axis(c.integer("dim", 0)?)?;
            Ok(c.graph.index_select(&x, axis, &positions)?.into())
        },
        "gather" => |c| {
            let (x, index) = (c.array("self")?, c.array("index")?);
            let axis = x.axis(c.integer("dim", 0)?)?;
            Ok(c.graph.gather(&x, axis, &index)?.into())
        },
        "slice_scatter" => slice_scatter,
        "select_scatter" => select_scatter,
        _ => return None,
    })
}

fn slice_scatter(c: &mut Call) -> Read<Outputs> {
    let (x, write) = (c.array("self")?, c.array("src")?);
    let axis = x.axis(c.integer("dim", 0)?)?;
    let positions = super::layout::sliced(c, &x, axis)?;
    Ok(c.graph.overwrite(&x, &write, axis, &positions)?.into())
}

fn select_scatter(c: &mut Call) -> Read<Outputs> {
    let (x, write) = (c.array("self")?, c.array("src")?);
    let axis = x.axis(c.integer("dim", 0)?)?;
    let position = c.integer("index", 0)?;
    let position =
        crate::graph::place(position, x.fixed(axis)?).ok_or_else(|| format!("there is no position {position}"))?;
    let write = c.graph.unsqueeze(&write, axis as i64)?;
    Ok(c.graph.overwrite(&x, &write, axis, &[position])?.into())
}
