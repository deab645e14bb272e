//! Activations, softmax and dropout.

use basin_tape::ops::{Clamp, Comparison, Elu, Hardsigmoid, LeakyRelu};

use super::Reader;
use crate::graph::{Array, Kind, Number, Read};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Relu" => |c| plain(c, "relu"),
        "Sigmoid" => |c| plain(c, "sigmoid"),
        "Tanh" => |c| plain(c, "tanh"),
        "Softplus" => |c| plain(c, "softplus"),
        "Softsign" => |c| plain(c, "softsign"),
        "HardSwish" => |c| plain(c, "hardswish"),
        "Mish" => |c| plain(c, "mish"),
        "Gelu" => |c| match c.text("approximate") {
            None | Some("none") => plain(c, "gelu"),
            Some("tanh") => plain(c, "gelu_tanh"),
            Some(other) => Err(format!("the approximation `{other}`").into()),
        },
        "LeakyRelu" => |c| {
            let slope = c.float("alpha", 0.01);
            Ok(vec![c.graph.elementwise(LeakyRelu { slope }, &c.array(0)?)?])
        },
        "Elu" => |c| {
            let alpha = c.float("alpha", 1.0);
            Ok(vec![c.graph.elementwise(Elu { alpha, scale: 1.0, rate: 1.0 }, &c.array(0)?)?])
        },
        "Celu" => |c| {
            let alpha = c.float("alpha", 1.0);
            Ok(vec![c.graph.elementwise(Elu { alpha, scale: 1.0, rate: 1.0 / alpha }, &c.array(0)?)?])
        },
        "Selu" => selu,
        "HardSigmoid" => hard_sigmoid,
        "ThresholdedRelu" => |c| Ok(vec![c.graph.threshold(&c.array(0)?, c.float("alpha", 1.0), 0.0)?]),
        "Shrink" => shrink,
        "PRelu" => parametric_relu,
        "Softmax" => |c| {
            let (x, axis) = along(c)?;
            Ok(vec![c.graph.softmax(&x, axis)?])
        },
        "LogSoftmax" => |c| {
            let (x, axis) = along(c)?;
            Ok(vec![c.graph.log_softmax(&x, axis)?])
        },
        "Dropout" => dropout,
        _ => return None,
    })
}

fn plain(c: &mut Call, name: &str) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    Ok(vec![c.graph.activation(name, &x)?.ok_or("a function that is not known")?])
}

fn along(c: &Call) -> Read<(Array, usize)> {
    let x = c.array(0)?;
    let axis = x.axis(c.integer("axis", -1))?;
    Ok((x, axis))
}

/// γ (max(x, 0) + min(α (eˣ − 1), 0)). The file has α and γ in single precision: those that stand for PyTorch's are taken
/// for them.
fn selu(c: &mut Call) -> Read<Vec<Array>> {
    let (alpha, gamma) = (c.float("alpha", 1.673_263_2), c.float("gamma", 1.050_701));
    if (alpha as f32, gamma as f32) == (1.673_263_2, 1.050_701) {
        return plain(c, "selu");
    }
    Ok(vec![c.graph.elementwise(Elu { alpha, scale: gamma, rate: 1.0 }, &c.array(0)?)?])
}

/// max(0, min(1, α x + β)); with α = 1/6, which single precision rounds, and β = 1/2 PyTorch's.
fn hard_sigmoid(c: &mut Call) -> Read<Vec<Array>> {
    let (x, alpha, beta) = (c.array(0)?, c.float("alpha", 0.2), c.float("beta", 0.5));
    if (alpha as f32, beta) == (1.0 / 6.0, 0.5) {
        return Ok(vec![c.graph.elementwise(Hardsigmoid, &x)?]);
    }
    let line = c.graph.affine(&x, alpha, beta)?;
    Ok(vec![c.graph.elementwise(Clamp { low: 0.0, high: 1.0 }, &line)?])
}

/// x + b where x < −λ, x − b where x > λ, else 0.
fn shrink(c: &mut Call) -> Read<Vec<Array>> {
    let (x, size, bias) = (c.array(0)?, c.float("lambd", 0.5), c.float("bias", 0.0));
    let number = |number: f64| Number::Float(number).array(Kind::Float);
    let (low, high, zero) = (number(-size)?, number(size)?, number(0.0)?);
    let below = c.graph.compare(Comparison::Less, &x, &low)?;
    let above = c.graph.compare(Comparison::Greater, &x, &high)?;
    let (up, down) = (c.graph.affine(&x, 1.0, bias)?, c.graph.affine(&x, 1.0, -bias)?);
    let right = c.graph.choose(&above, &down, &zero)?;
    Ok(vec![c.graph.choose(&below, &up, &right)?])
}

/// x where x > 0, else w x with a weight that is broadcast.
fn parametric_relu(c: &mut Call) -> Read<Vec<Array>> {
    let (x, weight) = (c.array(0)?, c.array(1)?);
    let scaled = c.graph.multiply(&x, &weight)?;
    let zero = Number::Float(0.0).array(Kind::Float)?;
    let positive = c.graph.compare(Comparison::Greater, &x, &zero)?;
    Ok(vec![c.graph.choose(&positive, &x, &scaled)?])
}

/// In evaluation mode dropout gives its input.
fn dropout(c: &mut Call) -> Read<Vec<Array>> {
    let rate = if c.optional(1).is_some() { c.number(1)? } else { None }.unwrap_or(0.5);
    if c.number(2)?.unwrap_or(0.0) != 0.0 && rate > 0.0 {
        return Err("dropout in training mode, whose result is random: export `model.eval()`".into());
    }
    Ok(vec![c.array(0)?])
}
