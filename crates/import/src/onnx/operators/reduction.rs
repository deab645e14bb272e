//! Sums, means, extremes along axes.

use basin_tape::ops::{Abs, Log};

use super::Reader;
use crate::graph::{Array, Kind, Read, Size, SizeOperation};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "ReduceSum" => |c| over(c, |c, x, axes, keep| c.graph.sum(x, axes, keep)),
        "ReduceMean" => |c| over(c, |c, x, axes, keep| c.graph.mean(x, axes, keep)),
        "ReduceMax" => |c| over(c, |c, x, axes, keep| c.graph.extremum(x, axes, keep, true)),
        "ReduceMin" => |c| over(c, |c, x, axes, keep| c.graph.extremum(x, axes, keep, false)),
        "ReduceL2" => |c| over(c, |c, x, axes, keep| c.graph.norm(x, 2.0, axes, keep)),
        "ReduceL1" => |c| {
            over(c, |c, x, axes, keep| {
                let sizes = c.graph.elementwise(Abs, x)?;
                c.graph.sum(&sizes, axes, keep)
            })
        },
        "ReduceSumSquare" => |c| {
            over(c, |c, x, axes, keep| {
                let squares = c.graph.multiply(x, x)?;
                c.graph.sum(&squares, axes, keep)
            })
        },
        "ReduceLogSum" => |c| {
            over(c, |c, x, axes, keep| {
                let sum = c.graph.sum(x, axes, keep)?;
                c.graph.elementwise(Log, &sum)
            })
        },
        "ReduceLogSumExp" => |c| over(c, |c, x, axes, keep| c.graph.log_sum_exp(x, axes, keep)),
        "ReduceProd" => product,
        "ArgMax" => |c| position(c, true),
        "ArgMin" => |c| position(c, false),
        "CumSum" => |c| {
            let x = c.array(0)?;
            let axis = x.axis(c.integers(1)?.and_then(|axis| axis.first().copied()).ok_or("the axis is missing")?)?;
            if c.truth("exclusive", false) || c.truth("reverse", false) {
                return Err("cumulative sums from behind, or of what lies in front".into());
            }
            let x = if x.kind == Kind::Float { x } else { c.graph.cast(&x, Kind::Integer)? };
            Ok(vec![c.graph.cumulative_sum(&x, axis)?])
        },
        _ => return None,
    })
}

/// Something over the axes that are named, or over all.
fn over(c: &mut Call, reduce: fn(&mut Call, &Array, &[usize], bool) -> Read<Array>) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let axes = match c.axes(1)?.filter(|axes| !axes.is_empty()) {
        Some(axes) => x.axes(&axes)?,
        None if c.truth("noop_with_empty_axes", false) => return Ok(vec![x]),
        None => (0..x.rank()).collect(),
    };
    let keep = c.truth("keepdims", true);
    Ok(vec![reduce(c, &x, &axes, keep)?])
}

/// The product of all of some whole numbers.
fn product(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let all = match c.axes(1)?.filter(|axes| !axes.is_empty()) {
        Some(axes) => x.axes(&axes)?.len() == x.rank(),
        None => true,
    };
    if !all || x.kind == Kind::Float {
        return Err("products along an axis".into());
    }
    let one = Some(Size::Number(1));
    let product =
        x.sizes()?.into_iter().fold(one, |product, size| Size::computed(SizeOperation::Multiply, product?, size));
    let shape = if c.truth("keepdims", true) { vec![1; x.rank()] } else { vec![] };
    Ok(vec![c.graph.of_sizes(&[product.ok_or("a product beyond the number of samples")?], &shape)?])
}

fn position(c: &mut Call, largest: bool) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let axis = x.axis(c.integer("axis", 0))?;
    if c.truth("select_last_index", false) {
        return Err("the last of several largest".into());
    }
    let x = if largest { x } else { c.graph.affine(&x, -1.0, 0.0)? };
    Ok(vec![c.graph.argmax(&x, axis, c.truth("keepdims", true))?])
}
