//! Activations, softmax and dropout.

use basin_tape::ops::{Clamp, Elu, Hardtanh, LeakyRelu, Sigmoid};

use super::Reader;
use crate::exported_program::{Call, Outputs, View};
use crate::graph::{Arithmetic, Kind, Number, Read};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "relu" | "relu6" | "silu" | "sigmoid" | "tanh" | "mish" | "selu" | "hardswish" | "hardsigmoid"
        | "log_sigmoid" => plain,
        "gelu" => |c| {
            let x = c.array("self")?;
            let name = match c.text("approximate") {
                None | Some("none") => "gelu",
                Some("tanh") => "gelu_tanh",
                Some(other) => return Err(format!("the approximation `{other}`").into()),
            };
            Ok(c.graph.activation(name, &x)?.ok_or("a function that is not known")?.into())
        },
        "leaky_relu" => |c| {
            let slope = c.float("negative_slope", 0.01)?;
            Ok(c.graph.elementwise(LeakyRelu { slope }, &c.array("self")?)?.into())
        },
        "elu" => |c| {
            let (alpha, scale, rate) = (c.float("alpha", 1.0)?, c.float("scale", 1.0)?, c.float("input_scale", 1.0)?);
            Ok(c.graph.elementwise(Elu { alpha, scale, rate }, &c.array("self")?)?.into())
        },
        "celu" => |c| {
            let alpha = c.float("alpha", 1.0)?;
            Ok(c.graph.elementwise(Elu { alpha, scale: 1.0, rate: 1.0 / alpha }, &c.array("self")?)?.into())
        },
        "hardtanh" => |c| {
            let (low, high) = (c.float("min_val", -1.0)?, c.float("max_val", 1.0)?);
            Ok(c.graph.elementwise(Hardtanh { low, high }, &c.array("self")?)?.into())
        },
        "softplus" => |c| {
            let (beta, threshold) = (c.float("beta", 1.0)?, c.float("threshold", 20.0)?);
            Ok(c.graph.softplus(&c.array("self")?, beta, threshold)?.into())
        },
        "threshold" => |c| {
            let (threshold, value) = (c.float("threshold", 0.0)?, c.float("value", 0.0)?);
            Ok(c.graph.threshold(&c.array("self")?, threshold, value)?.into())
        },
        "hardshrink" => hard_shrink,
        "softshrink" => soft_shrink,
        "prelu" | "_prelu_kernel" => |c| Ok(c.graph.prelu(&c.array("self")?, &c.array("weight")?)?.into()),
        "glu" => gated,
        "softmax" | "_softmax" | "_safe_softmax" => |c| {
            let (x, axis) = along(c)?;
            Ok(c.graph.softmax(&x, axis)?.into())
        },
        "log_softmax" | "_log_softmax" => |c| {
            let (x, axis) = along(c)?;
            Ok(c.graph.log_softmax(&x, axis)?.into())
        },
        "dropout" | "feature_dropout" | "alpha_dropout" | "native_dropout" => dropout,
        _ => return None,
    })
}

fn plain(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    Ok(c.graph.activation(c.name, &x)?.ok_or("a function that is not known")?.into())
}

fn along(c: &mut Call) -> Read<(crate::graph::Array, usize)> {
    let x = c.array("self")?;
    let axis = x.axis(c.integer("dim", -1)?)?;
    Ok((x, axis))
}

/// x where |x| > λ, else 0.
fn hard_shrink(c: &mut Call) -> Read<Outputs> {
    let (x, size) = (c.array("self")?, c.float("lambd", 0.5)?);
    let above = c.graph.threshold(&x, size, 0.0)?;
    let turned = c.graph.affine(&x, -1.0, 0.0)?;
    let below = c.graph.threshold(&turned, size, 0.0)?;
    Ok(c.graph.subtract(&above, &below)?.into())
}

/// x nearer to 0 by λ, and 0 where it is nearer than that.
fn soft_shrink(c: &mut Call) -> Read<Outputs> {
    let (x, size) = (c.array("self")?, c.float("lambd", 0.5)?);
    let near = c.graph.elementwise(Clamp { low: -size, high: size }, &x)?;
    Ok(c.graph.subtract(&x, &near)?.into())
}

/// a σ(b) for the halves a and b of an axis.
fn gated(c: &mut Call) -> Read<Outputs> {
    let (x, axis) = along(c)?;
    let half = x.fixed(axis)? / 2;
    let halves = c.graph.split(&x, axis, &[half, half])?;
    let [a, b] = halves.as_slice() else { return Err("an axis has two halves".into()) };
    let gate = c.graph.elementwise(Sigmoid, b)?;
    Ok(c.graph.multiply(a, &gate)?.into())
}

/// In evaluation mode dropout gives its input.
fn dropout(c: &mut Call) -> Read<Outputs> {
    // In place, the argument has another name.
    let x = c.optional_array("input")?.map_or_else(|| c.array("self"), Ok)?;
    let rate = c.float("p", 0.5)?;
    if c.truth("train", true)? && rate > 0.0 {
        return Err("dropout in training mode, whose result is random: export `model.eval()`".into());
    }
    if x.kind != Kind::Float {
        return Ok(c.graph.with_number(Arithmetic::Add, &x, Number::Float(0.0))?.into());
    }
    Ok((x, View::Same).into())
}
