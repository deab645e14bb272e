//! Arrays that are made: constants, shapes, filled, counted, triangular.

use basin_tape::ops::Comparison;
use candle_core::{DType, Device, Tensor};

use super::Reader;
use crate::graph::{Array, Extent, Kind, Number, Read, Size};
use crate::onnx::call::Call;
use crate::onnx::tensors;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Constant" => constant,
        "Shape" => shape,
        "Size" => |c| {
            let x = c.array(0)?;
            let product = x.shape.iter().try_fold(Extent::Fixed(1), |product, &extent| product.times(extent));
            Ok(vec![c.graph.of_sizes(&[Size::Extent(product.ok_or("a size beyond any network's")?)], &[])?])
        },
        "ConstantOfShape" => |c| {
            let shape = extents(&c.sizes(0)?.ok_or("the shape is missing")?)?;
            let zero = Number::Float(0.0).array(Kind::Float)?;
            let value = c.tensor("value")?.unwrap_or(zero);
            let value = c.graph.reshape_fixed(&value, &[])?;
            Ok(vec![c.graph.expand_to(&value, &shape)?])
        },
        "Range" => range,
        "EyeLike" => |c| {
            let x = c.array(0)?;
            let kind = if c.has("dtype") { tensors::kind_of(c.integer("dtype", 1) as i32)? } else { x.kind };
            let offset = c.integer("k", 0);
            let ones = c.graph.full(&x.shape, Number::Integer(1), kind)?;
            let lower = c.graph.triangle(&ones, offset, true)?;
            Ok(vec![c.graph.triangle(&lower, offset, false)?])
        },
        "Trilu" => |c| {
            let (x, lower) = (c.array(0)?, !c.truth("upper", true));
            let diagonal = c.integers(1)?.and_then(|k| k.first().copied()).unwrap_or(0);
            Ok(vec![c.graph.triangle(&x, diagonal, lower)?])
        },
        "OneHot" => one_hot,
        _ => return None,
    })
}

/// Sizes as extents.
fn extents(sizes: &[Size]) -> Read<Vec<Extent>> {
    let extent = |size: &Size| match *size {
        Size::Extent(extent) => Ok(extent),
        Size::Number(number) => {
            usize::try_from(number).map(Extent::Fixed).map_err(|_| format!("{number} is no extent").into())
        }
    };
    sizes.iter().map(extent).collect()
}

fn constant(c: &mut Call) -> Read<Vec<Array>> {
    let cpu = &Device::Cpu;
    if let Some(array) = c.tensor("value")? {
        return Ok(vec![array]);
    }
    Ok(vec![if c.has("value_float") {
        Number::Float(c.float("value_float", 0.0)).array(Kind::Float)?
    } else if c.has("value_int") {
        Number::Integer(c.integer("value_int", 0)).array(Kind::Integer)?
    } else if let Some(numbers) = c.floats("value_floats") {
        let count = numbers.len();
        Array::constant(Tensor::from_vec(numbers, count, cpu)?)?
    } else if let Some(numbers) = c.list("value_ints") {
        let count = numbers.len();
        Array::constant(Tensor::from_vec(numbers, count, cpu)?)?
    } else {
        return Err("a constant that is no tensor of numbers".into());
    }])
}

fn shape(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let rank = x.rank() as i64;
    let place = |place: i64| (if place < 0 { place.saturating_add(rank) } else { place }).clamp(0, rank) as usize;
    let (start, end) = (place(c.integer("start", 0)), place(c.integer("end", rank)));
    Ok(vec![c.graph.extents(x.shape.get(start..end).unwrap_or_default())?])
}

fn range(c: &mut Call) -> Read<Vec<Array>> {
    let (start, end, step) = (c.array(0)?, c.array(1)?, c.array(2)?);
    if end.is_of_sizes() {
        return match (end.sizes()?.as_slice(), c.number(0)?, c.number(2)?) {
            ([Size::Extent(Extent::Samples(1))], Some(0.0), Some(1.0)) => Ok(vec![c.graph.sample_numbers()]),
            _ => Err("a range of samples that does not count them from the first".into()),
        };
    }
    let kind = start.kind.max(end.kind).max(step.kind);
    let number = |c: &Call, place: usize| c.number(place).map(|number| Number::Float(number.unwrap_or(0.0)));
    let (start, end, step) = (number(c, 0)?, number(c, 1)?, number(c, 2)?);
    Ok(vec![c.graph.range(start, end, step, kind)?])
}

/// A new axis on which the position that a number names has one value, all others another.
fn one_hot(c: &mut Call) -> Read<Vec<Array>> {
    let (indices, values) = (c.array(0)?, c.array(2)?);
    let depth = c.integers(1)?.and_then(|depth| depth.first().copied()).and_then(|depth| usize::try_from(depth).ok());
    let depth = depth.ok_or("the number of positions is missing")?;
    crate::graph::bounded(&[depth])?;
    let place = c.integer("axis", -1);
    let indices = c.graph.unsqueeze(&indices, place)?;
    let axis = indices.axis(place)?;
    let mut shape = vec![1; indices.rank()];
    shape[axis] = depth;
    let positions = Tensor::arange(0, depth as i64, &Device::Cpu)?.to_dtype(DType::I64)?.reshape(shape)?;
    let here = c.graph.compare(Comparison::Equal, &indices, &Array::constant(positions)?)?;
    let (off, on) = (c.graph.select(&values, 0, 0)?, c.graph.select(&values, 0, 1)?);
    Ok(vec![c.graph.choose(&here, &on, &off)?])
}
