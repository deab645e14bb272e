//! Sums, means, extremes and spreads along axes.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::{Array, Kind, Read};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "sum" => |c| {
            let (x, axes, keep) = over(c)?;
            let sum = c.graph.sum(&x, &axes, keep)?;
            let kind = c.kind("dtype")?.unwrap_or(sum.kind);
            Ok(c.graph.cast(&sum, kind)?.into())
        },
        "mean" => |c| {
            let (x, axes, keep) = over(c)?;
            Ok(c.graph.mean(&x, &axes, keep)?.into())
        },
        "var" | "std" => spread,
        "amax" => |c| {
            let (x, axes, keep) = over(c)?;
            Ok(c.graph.extremum(&x, &axes, keep, true)?.into())
        },
        "amin" => |c| {
            let (x, axes, keep) = over(c)?;
            Ok(c.graph.extremum(&x, &axes, keep, false)?.into())
        },
        "max" | "min" => extreme,
        "argmax" => |c| {
            let x = c.array("self")?;
            let axis = x.axis(c.optional_integer("dim")?.ok_or("the position of the largest of all elements")?)?;
            let keep = c.truth("keepdim", false)?;
            Ok(c.graph.argmax(&x, axis, keep)?.into())
        },
        "logsumexp" => |c| {
            let (x, axes, keep) = over(c)?;
            Ok(c.graph.log_sum_exp(&x, &axes, keep)?.into())
        },
        "cumsum" => |c| {
            let x = c.array("self")?;
            let axis = x.axis(c.integer("dim", 0)?)?;
            let x = if x.kind == Kind::Float { x } else { c.graph.cast(&x, Kind::Integer)? };
            Ok(c.graph.cumulative_sum(&x, axis)?.into())
        },
        "linalg_vector_norm" | "norm" => |c| {
            let (x, axes, keep) = over(c)?;
            let order = c.float(if c.name == "norm" { "p" } else { "ord" }, 2.0)?;
            Ok(c.graph.norm(&x, order, &axes, keep)?.into())
        },
        _ => return None,
    })
}

/// The array with the axes that are summed over, all where none are named, and whether they stay.
fn over(c: &Call) -> Read<(Array, Vec<usize>, bool)> {
    let x = c.array("self")?;
    let axes = match c.optional_integers("dim")?.filter(|axes| !axes.is_empty()) {
        Some(axes) => x.axes(&axes)?,
        None => (0..x.rank()).collect(),
    };
    Ok((x, axes, c.truth("keepdim", false)?))
}

fn spread(c: &mut Call) -> Read<Outputs> {
    let (x, axes, keep) = over(c)?;
    let correction = match c.number("correction")? {
        Some(correction) => correction.value(),
        None => f64::from(u8::from(c.truth("unbiased", true)?)),
    };
    let variance = c.graph.variance(&x, &axes, correction, keep)?;
    Ok(if c.name == "std" { c.graph.power(&variance, 0.5)? } else { variance }.into())
}

/// Along an axis with the positions, of all elements, or of two arrays.
fn extreme(c: &mut Call) -> Read<Outputs> {
    let (x, largest) = (c.array("self")?, c.name == "max");
    if c.overload == "other" {
        return Ok(c.graph.extreme_of_two(&x, &c.array("other")?, largest)?.into());
    }
    let keep = c.truth("keepdim", false)?;
    match c.optional_integer("dim")? {
        None => Ok(c.graph.extremum(&x, &(0..x.rank()).collect::<Vec<_>>(), false, largest)?.into()),
        Some(axis) => {
            let axis = x.axis(axis)?;
            let value = c.graph.extremum(&x, &[axis], keep, largest)?;
            let turned = if largest { x } else { c.graph.affine(&x, -1.0, 0.0)? };
            Ok(vec![value, c.graph.argmax(&turned, axis, keep)?].into())
        }
    }
}
