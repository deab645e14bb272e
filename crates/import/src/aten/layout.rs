//! Shapes, axes, parts and joins.

use super::Reader;
use crate::exported_program::{Call, Outputs, View};
use crate::graph::{Array, Extent, Read, Size, place};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "view" | "reshape" | "_unsafe_view" => |c| {
            let (x, sizes) = (c.array("self")?, c.sizes(if c.name == "reshape" { "shape" } else { "size" })?);
            reshaped(c.graph.reshape(&x, &sizes))
        },
        "view_as" | "reshape_as" => |c| {
            let (x, other) = (c.array("self")?, c.array("other")?);
            reshaped(c.graph.viewed(&x, other.shape))
        },
        "flatten" => |c| {
            let x = c.array("self")?;
            let last = x.axis(c.integer("end_dim", -1)?).unwrap_or(0);
            let first = x.axis(c.integer("start_dim", 0)?).unwrap_or(0);
            reshaped(c.graph.flatten(&x, first, last))
        },
        "unflatten" => |c| {
            let x = c.array("self")?;
            let (axis, sizes) = (x.axis(c.integer("dim", 0)?)?, c.sizes("sizes")?);
            reshaped(c.graph.unflatten(&x, axis, &sizes))
        },
        "unsqueeze" => |c| reshaped(c.graph.unsqueeze(&c.array("self")?, c.integer("dim", 0)?)),
        "squeeze" => squeeze,
        "permute" => |c| {
            let x = c.array("self")?;
            let axes = x.axes(&c.optional_integers("dims")?.unwrap_or_default())?;
            Ok((c.graph.permute(&x, &axes)?, View::Permuted(axes)).into())
        },
        "transpose" | "swapaxes" | "swapdims" => transpose,
        "t" | "numpy_T" | "mT" => turned,
        "movedim" | "moveaxis" => move_axes,
        "expand" => |c| Ok(c.graph.expand(&c.array("self")?, &c.sizes("size")?)?.into()),
        "expand_as" => |c| Ok(c.graph.expand_to(&c.array("self")?, &c.array("other")?.shape)?.into()),
        "contiguous" | "alias" | "lift_fresh" | "view_dtype" | "requires_grad" | "identity" => {
            |c| Ok((c.array("self")?, View::Same).into())
        }
        "clone" | "lift_fresh_copy" => |c| Ok(c.array("self")?.into()),
        "slice" => slice,
        "narrow" => narrow,
        "select" => select,
        "split" | "split_with_sizes" | "chunk" | "tensor_split" => split,
        "unbind" => unbind,
        "cat" | "concat" | "concatenate" => |c| {
            let parts = c.arrays("tensors")?;
            let first =
                parts.iter().find(|part| part.rank() > 1).or(parts.first()).ok_or("there is nothing to join")?;
            let axis = first.axis(c.integer("dim", 0)?)?;
            Ok(c.graph.concatenate(&parts, axis)?.into())
        },
        "stack" => |c| {
            let (parts, axis) = (c.arrays("tensors")?, c.integer("dim", 0)?);
            Ok(c.graph.stack(&parts, axis)?.into())
        },
        "pad" => pad,
        "constant_pad_nd" => pad,
        "reflection_pad1d" | "reflection_pad2d" => |c| padded_from_inside(c, "padding", "reflect"),
        "replication_pad1d" | "replication_pad2d" => |c| padded_from_inside(c, "padding", "replicate"),
        "roll" => roll,
        "flip" => |c| {
            let mut x = c.array("self")?;
            for axis in x.axes(&c.optional_integers("dims")?.unwrap_or_default())? {
                x = c.graph.flip(&x, axis)?;
            }
            Ok(x.into())
        },
        "repeat" => |c| Ok(c.graph.repeat(&c.array("self")?, &c.sizes("repeats")?)?.into()),
        "tile" => |c| {
            let (x, times) = (c.array("self")?, c.sizes("dims")?);
            let lead = x.rank().saturating_sub(times.len());
            Ok(c.graph.repeat(&x, &[vec![Size::Number(1); lead], times].concat())?.into())
        },
        "repeat_interleave" => |c| {
            let x = c.array("self")?;
            let axis = c.optional_integer("dim")?.ok_or("elements repeated along no axis")?;
            Ok(c.graph.repeat_interleave(&x, x.axis(axis)?, c.count("repeats", 1)?)?.into())
        },
        "diff" => difference,
        _ => return None,
    })
}

fn reshaped(array: Read<Array>) -> Read<Outputs> {
    Ok((array?, View::Reshaped).into())
}

fn squeeze(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let axes = match c.optional_integers("dim")? {
        Some(axes) => x.axes(&axes)?,
        None => (0..x.rank()).collect(),
    };
    reshaped(c.graph.squeeze(&x, &axes))
}

fn transpose(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let names = match c.name {
        "swapaxes" => ("axis0", "axis1"),
        _ => ("dim0", "dim1"),
    };
    let (a, b) = (x.axis(c.integer(names.0, 0)?)?, x.axis(c.integer(names.1, 1)?)?);
    let mut axes: Vec<usize> = (0..x.rank()).collect();
    axes.swap(a, b);
    Ok((c.graph.permute(&x, &axes)?, View::Permuted(axes)).into())
}

/// The last two axes exchanged, or all reversed where there are at most two.
fn turned(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let mut axes: Vec<usize> = (0..x.rank()).collect();
    match (c.name, x.rank()) {
        ("mT", 2..) => axes.swap(x.rank() - 2, x.rank() - 1),
        _ => axes.reverse(),
    }
    Ok((c.graph.permute(&x, &axes)?, View::Permuted(axes)).into())
}

fn move_axes(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let from = x.axes(&c.optional_integers("source")?.unwrap_or_default())?;
    let to = x.axes(&c.optional_integers("destination")?.unwrap_or_default())?;
    let mut axes = vec![None; x.rank()];
    from.iter().zip(&to).for_each(|(&from, &to)| axes[to] = Some(from));
    let mut rest = (0..x.rank()).filter(|axis| !from.contains(axis));
    let axes = axes.into_iter().map(|axis| axis.or_else(|| rest.next())).collect::<Option<Vec<usize>>>();
    let axes = axes.ok_or("axes moved to one place")?;
    Ok((c.graph.permute(&x, &axes)?, View::Permuted(axes)).into())
}

/// The positions of a slice.
pub(super) fn sliced(c: &Call, x: &Array, axis: usize) -> Read<Vec<usize>> {
    let extent = x.fixed(axis)?;
    let length = extent as i64;
    let clamp = |position: i64| if position < 0 { position.saturating_add(length) } else { position }.clamp(0, length);
    let (start, end) = (clamp(c.integer("start", 0)?), clamp(c.integer("end", i64::MAX)?));
    let step =
        usize::try_from(c.integer("step", 1)?).ok().filter(|&step| step > 0).ok_or("a slice's step is not positive")?;
    Ok((start as usize..end.max(start) as usize).step_by(step).collect())
}

fn slice(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let axis = x.axis(c.integer("dim", 0)?)?;
    if let Extent::Samples(_) = x.shape[axis] {
        // Samples are taken all, by their number or to the end.
        let traced = c.graph.traced_samples.and_then(|n| i64::try_from(n).ok());
        let to_the_end = match c.size("end") {
            Ok(Size::Extent(end)) => end == x.shape[axis],
            Ok(Size::Number(end)) => end == i64::MAX || traced.is_some_and(|traced| end >= traced),
            Err(_) => true,
        };
        return match (to_the_end, c.integer("start", 0)?, c.integer("step", 1)?) {
            (true, 0, 1) => Ok((x, View::Same).into()),
            _ => Err("it takes some of the samples".into()),
        };
    }
    let positions = sliced(c, &x, axis)?;
    let y = c.graph.slice(&x, axis, &positions)?;
    Ok((y, View::Positions { axis, positions, selected: false }).into())
}

fn narrow(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let axis = x.axis(c.integer("dim", 0)?)?;
    let start = c.integer("start", 0)?;
    let start = place(start, x.fixed(axis)? + 1).ok_or_else(|| format!("there is no position {start}"))?;
    let length = c.count("length", 0)?;
    let y = c.graph.narrow(&x, axis, start, length)?;
    Ok((y, View::Positions { axis, positions: (start..start + length).collect(), selected: false }).into())
}

fn select(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let axis = x.axis(c.integer("dim", 0)?)?;
    let position = c.integer("index", 0)?;
    let y = c.graph.select(&x, axis, position)?;
    let positions = place(position, x.fixed(axis)?).into_iter().collect();
    Ok((y, View::Positions { axis, positions, selected: true }).into())
}

fn split(c: &mut Call) -> Read<Outputs> {
    let x = c.array(if c.name == "chunk" || c.name == "tensor_split" || c.name.starts_with("split") {
        "self"
    } else {
        "input"
    })?;
    let axis = x.axis(c.integer("dim", 0)?)?;
    let extent = x.fixed(axis)?;
    let even = |each: usize| -> Vec<usize> {
        (0..extent).step_by(each.max(1)).map(|start| each.max(1).min(extent - start)).collect()
    };
    let lengths = match c.name {
        "chunk" => even(extent.div_ceil(c.count("chunks", 1)?.max(1))),
        "tensor_split" => {
            let count = c.count("sections", 1)?.max(1);
            (0..count.min(extent.max(1))).map(|i| extent / count + usize::from(i < extent % count)).collect()
        }
        "split" if c.overload == "Tensor" => even(c.count("split_size", 1)?),
        "split" => c.counts("split_size")?,
        _ => c.counts("split_sizes")?,
    };
    let parts = c.graph.split(&x, axis, &lengths)?;
    let mut start = 0;
    let views = lengths.iter().map(|&length| {
        start += length;
        View::Positions { axis, positions: (start - length..start).collect(), selected: false }
    });
    Ok(Outputs(parts.into_iter().zip(views.map(Some)).collect()))
}

fn unbind(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let axis = x.axis(c.integer("dim", 0)?)?;
    let part = |position: usize| {
        let part = c.graph.select(&x, axis, position as i64)?;
        Ok((part, Some(View::Positions { axis, positions: vec![position], selected: true })))
    };
    Ok(Outputs((0..x.fixed(axis)?).map(part).collect::<Read<Vec<_>>>()?))
}

fn pad(c: &mut Call) -> Read<Outputs> {
    let mode = c.text("mode").unwrap_or("constant").to_owned();
    if mode != "constant" {
        return padded_from_inside(c, "pad", &mode);
    }
    let mut x = c.array("self")?;
    let value = c.float("value", 0.0)?;
    for (axis, before, behind) in sides(c, &x, "pad")? {
        x = c.graph.pad(&x, axis, before, behind, value)?;
    }
    Ok(x.into())
}

/// The axes with what is added in front and behind, the last axis first.
fn sides(c: &Call, x: &Array, name: &str) -> Read<Vec<(usize, i64, i64)>> {
    let amounts = c.optional_integers(name)?.unwrap_or_default();
    let (pairs, []) = amounts.as_chunks::<2>() else { return Err("an axis is padded at both ends".into()) };
    let axis = |i: usize| x.rank().checked_sub(i + 1).ok_or("more axes are padded than there are");
    pairs.iter().enumerate().map(|(i, &[before, behind])| Ok((axis(i)?, before, behind))).collect()
}

fn padded_from_inside(c: &mut Call, name: &str, mode: &str) -> Read<Outputs> {
    let mut x = c.array("self")?;
    for (axis, before, behind) in sides(c, &x, name)? {
        x = c.graph.pad_from_inside(&x, axis, before, behind, mode)?;
    }
    Ok(x.into())
}

fn roll(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let (shifts, axes) = (c.optional_integers("shifts")?.unwrap_or_default(), c.optional_integers("dims")?);
    let Some(axes) = axes.filter(|axes| axes.len() == shifts.len()) else {
        return Err("a roll of all axes as one".into());
    };
    let mut y = x.clone();
    for (axis, shift) in x.axes(&axes)?.into_iter().zip(shifts) {
        y = c.graph.roll(&y, axis, shift)?;
    }
    Ok(y.into())
}

/// Each position less the one before.
fn difference(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let axis = x.axis(c.integer("dim", -1)?)?;
    if c.integer("n", 1)? != 1 {
        return Err("differences of differences".into());
    }
    let parts: Vec<Array> =
        [c.optional_array("prepend")?, Some(x), c.optional_array("append")?].into_iter().flatten().collect();
    let whole = if let [x] = parts.as_slice() { x.clone() } else { c.graph.concatenate(&parts, axis)? };
    let Extent::Fixed(length) = whole.shape[axis] else { return Err("differences of samples".into()) };
    let count = length.saturating_sub(1);
    let (later, earlier) = (c.graph.narrow(&whole, axis, 1, count)?, c.graph.narrow(&whole, axis, 0, count)?);
    Ok(c.graph.subtract(&later, &earlier)?.into())
}
