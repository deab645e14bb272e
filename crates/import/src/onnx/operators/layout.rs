//! Shapes, axes, parts, joins and types.

use super::Reader;
use crate::graph::{Array, Extent, Read, Size, place};
use crate::onnx::call::Call;
use crate::onnx::tensors;

/// The most parts of an array: each is a step of the program.
const MOST_PARTS: usize = 1 << 16;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Identity" => |c| Ok(vec![c.array(0)?]),
        "Cast" => |c| {
            let kind = tensors::kind_of(c.integer("to", 1) as i32)?;
            Ok(vec![c.graph.cast(&c.array(0)?, kind)?])
        },
        "CastLike" => |c| {
            let kind = c.array(1)?.kind;
            Ok(vec![c.graph.cast(&c.array(0)?, kind)?])
        },
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Unsqueeze" => unsqueeze,
        "Squeeze" => |c| {
            let x = c.array(0)?;
            let axes = match c.axes(1)? {
                Some(axes) => x.axes(&axes)?,
                None => (0..x.rank()).collect(),
            };
            Ok(vec![c.graph.squeeze(&x, &axes)?])
        },
        "Transpose" => |c| {
            let x = c.array(0)?;
            let axes = match c.list("perm") {
                Some(axes) => x.axes(&axes)?,
                None => (0..x.rank()).rev().collect(),
            };
            Ok(vec![c.graph.permute(&x, &axes)?])
        },
        "Expand" => expand,
        "Tile" => |c| {
            let times = c.sizes(1)?.ok_or("the repetitions are missing")?;
            Ok(vec![c.graph.repeat(&c.array(0)?, &times)?])
        },
        "Concat" => |c| {
            let parts = c.arrays();
            let axis = parts.first().ok_or("there is nothing to join")?.axis(c.integer("axis", 0))?;
            Ok(vec![c.graph.concatenate(&parts, axis)?])
        },
        "Slice" => slice,
        "Split" => split,
        "SplitToSequence" => split_to_sequence,
        "SequenceConstruct" => |c| Ok(c.arrays()),
        "Pad" => pad,
        _ => return None,
    })
}

/// Row by row in another shape, of which −1 is what the others leave, and 0 what is there.
fn reshape(c: &mut Call) -> Read<Vec<Array>> {
    let (x, keep) = (c.array(0)?, !c.truth("allowzero", false));
    let sizes = c.sizes(1)?.ok_or("the shape is missing")?;
    let size = |(axis, size): (usize, Size)| match size {
        Size::Number(0) if keep => x.shape.get(axis).map(|&extent| Size::Extent(extent)),
        other => Some(other),
    };
    let sizes = sizes.into_iter().enumerate().map(size).collect::<Option<Vec<Size>>>();
    Ok(vec![c.graph.reshape(&x, &sizes.ok_or("an extent of an axis that is not there")?)?])
}

/// The axes in front of one as one, and all others as another.
fn flatten(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let axis = c.integer("axis", 1);
    let axis = place(axis, x.rank() + 1).ok_or_else(|| format!("there is no axis {axis}"))?;
    let joined = |extents: &[Extent]| extents.iter().try_fold(Extent::Fixed(1), |joined, &extent| joined.times(extent));
    let shape = joined(&x.shape[..axis]).zip(joined(&x.shape[axis..])).ok_or("a shape that is too large")?;
    Ok(vec![c.graph.viewed(&x, vec![shape.0, shape.1])?])
}

/// New axes at places of the result.
fn unsqueeze(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let axes = c.axes(1)?.ok_or("the axes are missing")?;
    let rank = x.rank() + axes.len();
    let places = axes.iter().map(|&axis| place(axis, rank)).collect::<Option<Vec<usize>>>();
    let mut places = places.ok_or_else(|| format!("there are no places {axes:?} for axes"))?;
    places.sort_unstable();
    let mut shape = x.shape.clone();
    for place in places {
        if place > shape.len() {
            return Err(format!("there are no places {axes:?} for axes").into());
        }
        shape.insert(place, Extent::Fixed(1));
    }
    Ok(vec![c.graph.viewed(&x, shape)?])
}

/// Both shapes are broadcast: an axis of extent 1 may be asked for where there is more.
fn expand(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let sizes = c.sizes(1)?.ok_or("the shape is missing")?;
    let lead = x.rank().saturating_sub(sizes.len());
    let own = |size: Size| match size {
        Size::Number(1) | Size::Extent(Extent::Fixed(1)) => Size::Number(-1),
        other => other,
    };
    let sizes: Vec<Size> = std::iter::repeat_n(Size::Number(-1), lead).chain(sizes.into_iter().map(own)).collect();
    Ok(vec![c.graph.expand(&x, &sizes)?])
}

fn slice(c: &mut Call) -> Read<Vec<Array>> {
    let mut x = c.array(0)?;
    let starts = c.sizes(1)?.ok_or("the first positions are missing")?;
    let ends = c.sizes(2)?.ok_or("the last positions are missing")?;
    let axes = c.integers(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = c.integers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|&count| count != starts.len()) {
        return Err("a slice with other numbers of starts, ends, axes or steps".into());
    }
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = x.axis(axis)?;
        if let Extent::Samples(_) = x.shape[axis] {
            // Samples are taken all, by their number or to the end.
            let traced = c.graph.traced_samples.and_then(|n| i64::try_from(n).ok());
            let to_the_end = match end {
                Size::Extent(end) => end == x.shape[axis],
                Size::Number(end) => end >= i64::from(i32::MAX) || traced.is_some_and(|traced| end >= traced),
            };
            if (to_the_end, start, step) != (true, Size::Number(0), 1) {
                return Err("it takes some of the samples".into());
            }
            continue;
        }
        let extent = x.fixed(axis)?;
        let number = |size: Size| match size {
            Size::Number(number) => Ok(number),
            // However few samples there are, it lies beyond the end.
            Size::Extent(Extent::Samples(times)) if times >= extent => Ok(i64::MAX),
            Size::Extent(_) => Err("a slice up to the number of samples"),
        };
        let positions = sliced(number(start)?, number(end)?, step, extent)?;
        x = match step {
            1.. => c.graph.slice(&x, axis, &positions)?,
            _ => c.graph.select_positions(&x, axis, positions.into_iter().map(|position| position as i64).collect())?,
        };
    }
    Ok(vec![x])
}

/// The positions of a slice.
fn sliced(start: i64, end: i64, step: i64, extent: usize) -> Read<Vec<usize>> {
    let length = i64::try_from(extent).map_err(|_| "an axis is too long")?;
    let from_front = |position: i64| if position < 0 { position.saturating_add(length) } else { position };
    let stride = usize::try_from(step.unsigned_abs()).ok().filter(|&stride| stride > 0).ok_or("a slice of step 0")?;
    if step > 0 {
        let (start, end) = (from_front(start).clamp(0, length), from_front(end).clamp(0, length));
        return Ok((start as usize..end.max(start) as usize).step_by(stride).collect());
    }
    let (start, end) = (from_front(start).clamp(-1, length - 1), from_front(end).clamp(-1, length - 1));
    Ok((end + 1..start + 1).rev().map(|position| position as usize).step_by(stride).collect())
}

fn split(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let axis = x.axis(c.integer("axis", 0))?;
    let lengths = match c.integers(1)? {
        Some(lengths) => counted(&lengths)?,
        None => {
            let parts = c.count("num_outputs", c.node.output.len())?;
            even(x.fixed(axis)?, x.fixed(axis)?.div_ceil(parts.max(1)))?
        }
    };
    c.graph.split(&x, axis, &lengths)
}

/// Parts of one length, or of one each.
fn split_to_sequence(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let axis = x.axis(c.integer("axis", 0))?;
    let (lengths, alone) = match (c.optional(1), c.integers(1)?) {
        (Some(split), Some(lengths)) if split.rank() > 0 => (counted(&lengths)?, false),
        (_, Some(lengths)) => (even(x.fixed(axis)?, counted(&lengths)?.first().copied().unwrap_or(1))?, false),
        (_, None) => (even(x.fixed(axis)?, 1)?, !c.truth("keepdims", true)),
    };
    let parts = c.graph.split(&x, axis, &lengths)?;
    if !alone {
        return Ok(parts);
    }
    parts.iter().map(|part| c.graph.squeeze(part, &[axis])).collect()
}

fn even(extent: usize, each: usize) -> Read<Vec<usize>> {
    let each = each.max(1);
    if extent.div_ceil(each) > MOST_PARTS {
        return Err(format!("{} parts, the most are {MOST_PARTS}", extent.div_ceil(each)).into());
    }
    Ok((0..extent).step_by(each).map(|start| each.min(extent - start)).collect())
}

fn counted(lengths: &[i64]) -> Read<Vec<usize>> {
    let counts = lengths.iter().map(|&length| usize::try_from(length).ok()).collect::<Option<Vec<usize>>>();
    counts.ok_or_else(|| format!("parts of {lengths:?}").into())
}

fn pad(c: &mut Call) -> Read<Vec<Array>> {
    let mut x = c.array(0)?;
    let amounts = c.integers(1)?.ok_or("the amounts are missing")?;
    let value = c.number(2)?.unwrap_or(0.0);
    let axes = match c.integers(3)? {
        Some(axes) => x.axes(&axes)?,
        None => (0..x.rank()).collect(),
    };
    let (before, behind) = amounts.split_at(amounts.len() / 2);
    if before.len() != axes.len() || behind.len() != axes.len() {
        return Err(format!("it is padded by {amounts:?} along {} axes", axes.len()).into());
    }
    let mode = match c.text("mode") {
        None | Some("constant") => None,
        Some("edge") => Some("replicate"),
        Some("wrap") => Some("circular"),
        Some("reflect") => Some("reflect"),
        Some(other) => return Err(format!("the padding mode `{other}`").into()),
    };
    for ((axis, &before), &behind) in axes.into_iter().zip(before).zip(behind) {
        if (before, behind) == (0, 0) {
            continue;
        }
        x = match mode {
            None => c.graph.pad(&x, axis, before, behind, value)?,
            Some(mode) => c.graph.pad_from_inside(&x, axis, before, behind, mode)?,
        };
    }
    Ok(vec![x])
}
