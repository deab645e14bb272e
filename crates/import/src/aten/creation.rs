//! Arrays that are made: filled, counted, triangular.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::{Extent, Kind, Number, Read, Size};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "zeros" => |c| filled(c, Number::Integer(0)),
        "ones" => |c| filled(c, Number::Integer(1)),
        "empty" | "new_empty" => |c| filled(c, Number::Integer(0)),
        "full" | "new_full" => |c| {
            let number = c.number("fill_value")?.ok_or("the number to fill with is missing")?;
            filled(c, number)
        },
        "new_zeros" => |c| filled(c, Number::Integer(0)),
        "new_ones" => |c| filled(c, Number::Integer(1)),
        "zeros_like" | "empty_like" => |c| like(c, Number::Integer(0)),
        "ones_like" => |c| like(c, Number::Integer(1)),
        "full_like" => |c| {
            let number = c.number("fill_value")?.ok_or("the number to fill with is missing")?;
            like(c, number)
        },
        "scalar_tensor" => |c| {
            let number = c.number("s")?.ok_or("the number is missing")?;
            let kind = c.kind("dtype")?.unwrap_or(Kind::Float);
            Ok(number.array(kind)?.into())
        },
        "arange" => range,
        "eye" => eye,
        "tril" => |c| triangle(c, true),
        "triu" => |c| triangle(c, false),
        _ => return None,
    })
}

/// The kind asked for, or else that of an array, or else the number's where it makes one of its own.
fn kind(c: &Call, number: Number) -> Read<Kind> {
    if let Some(kind) = c.kind("dtype")? {
        return Ok(kind);
    }
    Ok(match c.optional_array("self")? {
        Some(x) => x.kind,
        None if c.name == "full" => number.kind(),
        None => Kind::Float,
    })
}

fn filled(c: &mut Call, number: Number) -> Read<Outputs> {
    let (kind, shape) = (kind(c, number)?, c.shape("size")?);
    Ok(c.graph.full(&shape, number, kind)?.into())
}

fn like(c: &mut Call, number: Number) -> Read<Outputs> {
    let (kind, x) = (kind(c, number)?, c.array("self")?);
    Ok(c.graph.full(&x.shape, number, kind)?.into())
}

fn range(c: &mut Call) -> Read<Outputs> {
    let start = c.number("start")?.unwrap_or(Number::Integer(0));
    let step = c.number("step")?.unwrap_or(Number::Integer(1));
    if c.size("end").is_ok_and(|end| end == Size::Extent(Extent::Samples(1))) {
        return match (start.value(), step.value()) {
            (0.0, 1.0) => Ok(c.graph.sample_numbers().into()),
            _ => Err("a range of samples that does not begin with the first".into()),
        };
    }
    let end = c.number("end")?.ok_or("the end is missing")?;
    let numbers = start.kind().max(end.kind()).max(step.kind()).max(Kind::Integer);
    let kind = c.kind("dtype")?.unwrap_or(numbers);
    Ok(c.graph.range(start, end, step, kind)?.into())
}

fn eye(c: &mut Call) -> Read<Outputs> {
    let rows = c.count("n", 0)?;
    let columns = c.count("m", rows)?;
    let kind = c.kind("dtype")?.unwrap_or(Kind::Float);
    let ones = c.graph.full(&[Extent::Fixed(rows), Extent::Fixed(columns)], Number::Integer(1), kind)?;
    let lower = c.graph.triangle(&ones, 0, true)?;
    Ok(c.graph.triangle(&lower, 0, false)?.into())
}

fn triangle(c: &mut Call, lower: bool) -> Read<Outputs> {
    let (x, diagonal) = (c.array("self")?, c.integer("diagonal", 0)?);
    Ok(c.graph.triangle(&x, diagonal, lower)?.into())
}
