//! Convolutions.

use super::Reader;
use crate::graph::{Array, ConvolutionGeometry, Extent, Number, Padding, Read};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Conv" => convolution,
        "ConvTranspose" => transposed_convolution,
        _ => return None,
    })
}

/// What is added in front of and behind each axis of positions, for windows with so much reach and stride.
pub(super) fn sides(c: &Call, x: &Array, reach: &[usize], stride: &[usize]) -> Read<Vec<(usize, usize)>> {
    let axes = reach.len();
    let pads = c.counts("pads")?;
    let early = match c.text("auto_pad") {
        None | Some("NOTSET") if pads.is_empty() => return Ok(vec![(0, 0); axes]),
        None | Some("NOTSET") if pads.len() == 2 * axes => {
            return Ok((0..axes).map(|i| (pads[i], pads[axes + i])).collect());
        }
        None | Some("NOTSET") => return Err(format!("`pads` is {pads:?} for {axes} axes").into()),
        Some("VALID") => return Ok(vec![(0, 0); axes]),
        Some("SAME_UPPER") => false,
        Some("SAME_LOWER") => true,
        Some(other) => return Err(format!("the padding `{other}`").into()),
    };
    let side = |i: usize| {
        let extent = x.fixed(2 + i)?;
        let stride = stride.get(i).copied().unwrap_or(1).max(1);
        let last = extent.div_ceil(stride).saturating_sub(1).saturating_mul(stride);
        let total = last.saturating_add(reach[i]).saturating_sub(extent);
        let (less, more) = (total / 2, total - total / 2);
        Ok(if early { (more, less) } else { (less, more) })
    };
    (0..axes).map(side).collect()
}

/// How far windows reach.
pub(super) fn reach(kernel: &[usize], dilation: &[usize]) -> Vec<usize> {
    let of = |(i, &kernel): (usize, &usize)| {
        kernel.saturating_sub(1).saturating_mul(dilation.get(i).copied().unwrap_or(1)).saturating_add(1)
    };
    kernel.iter().enumerate().map(of).collect()
}

/// x padded with a number where the sides differ, and what is left to pad on both sides of each axis.
pub(super) fn padded(c: &mut Call, x: &Array, sides: &[(usize, usize)], number: f64) -> Read<(Array, Vec<usize>)> {
    if sides.iter().all(|(before, behind)| before == behind) {
        return Ok((x.clone(), sides.iter().map(|&(before, _)| before).collect()));
    }
    let mut x = x.clone();
    for (i, &(before, behind)) in sides.iter().enumerate() {
        let axis = 2 + i;
        if number == 0.0 {
            x = c.graph.pad(&x, axis, before as i64, behind as i64, 0.0)?;
            continue;
        }
        let side = |amount: usize| -> Read<Option<Array>> {
            let mut shape = x.shape.clone();
            shape[axis] = Extent::Fixed(amount);
            (amount > 0).then(|| c.graph.full(&shape, Number::Float(number), x.kind)).transpose()
        };
        let parts: Vec<Array> = [side(before)?, Some(x.clone()), side(behind)?].into_iter().flatten().collect();
        x = c.graph.concatenate(&parts, axis)?;
    }
    Ok((x, vec![0; sides.len()]))
}

fn geometry(c: &Call, padding: Vec<usize>) -> Read<ConvolutionGeometry> {
    Ok(ConvolutionGeometry {
        stride: c.counts("strides")?,
        padding: Padding::Sizes(padding),
        dilation: c.counts("dilations")?,
        groups: c.count("group", 1)?,
    })
}

fn kernel(weight: &Array) -> Read<Vec<usize>> {
    (2..weight.rank()).map(|axis| weight.fixed(axis)).collect()
}

fn convolution(c: &mut Call) -> Read<Vec<Array>> {
    let (x, weight, bias) = (c.array(0)?, c.array(1)?, c.optional(2));
    let reach = reach(&kernel(&weight)?, &c.counts("dilations")?);
    let sides = sides(c, &x, &reach, &c.counts("strides")?)?;
    let (x, padding) = padded(c, &x, &sides, 0.0)?;
    let geometry = geometry(c, padding)?;
    Ok(vec![c.graph.convolution(&x, &weight, bias.as_ref(), &geometry)?])
}

fn transposed_convolution(c: &mut Call) -> Read<Vec<Array>> {
    let (x, weight, bias) = (c.array(0)?, c.array(1)?, c.optional(2));
    if c.has("output_shape") || matches!(c.text("auto_pad"), Some("SAME_UPPER" | "SAME_LOWER")) {
        return Err("a transposed convolution whose padding follows from its result".into());
    }
    let sides = sides(c, &x, &kernel(&weight)?, &[])?;
    if sides.iter().any(|(before, behind)| before != behind) {
        return Err("a transposed convolution with other padding in front than behind".into());
    }
    let geometry = geometry(c, sides.iter().map(|&(before, _)| before).collect())?;
    let more = c.counts("output_padding")?;
    Ok(vec![c.graph.transposed_convolution(&x, &weight, bias.as_ref(), &geometry, &more)?])
}
