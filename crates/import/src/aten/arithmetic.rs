//! Arithmetic, comparisons, logic and choices.

use basin_tape::ops::{Abs, Clamp, Comparison, Cosine, Discrete, Elementwise, Erf, Exp, Log, Log1p, Sine};

use super::Reader;
use crate::exported_program::{Call, Operand, Outputs, View};
use crate::graph::{Arithmetic, Array, Kind, Number, Read};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "add" => |c| with_alpha(c, Arithmetic::Add),
        "sub" | "subtract" => |c| with_alpha(c, Arithmetic::Subtract),
        "rsub" => reversed_subtraction,
        "mul" | "multiply" => |c| two(c, Arithmetic::Multiply),
        "div" | "divide" | "true_divide" => division,
        "floor_divide" | "remainder" | "fmod" => whole_division,
        "addcmul" | "addcdiv" => with_product,
        "lerp" => interpolation,
        "neg" => |c| Ok(c.graph.with_number(Arithmetic::Multiply, &c.array("self")?, Number::Integer(-1))?.into()),
        "pow" => power,
        "exp" => |c| Ok(c.graph.elementwise(Exp, &c.array("self")?)?.into()),
        "log" => |c| Ok(c.graph.elementwise(Log, &c.array("self")?)?.into()),
        "log1p" => |c| Ok(c.graph.elementwise(Log1p, &c.array("self")?)?.into()),
        "sin" => |c| Ok(c.graph.elementwise(Sine, &c.array("self")?)?.into()),
        "cos" => |c| Ok(c.graph.elementwise(Cosine, &c.array("self")?)?.into()),
        "erf" => |c| Ok(c.graph.elementwise(Erf, &c.array("self")?)?.into()),
        "abs" => |c| Ok(c.graph.elementwise(Abs, &c.array("self")?)?.into()),
        "sqrt" | "rsqrt" | "reciprocal" | "expm1" | "sinh" | "cosh" | "square" => named,
        "floor" => |c| Ok(c.graph.discrete(Discrete::Floor, &c.array("self")?)?.into()),
        "sign" | "sgn" => |c| Ok(c.graph.discrete(Discrete::Sign, &c.array("self")?)?.into()),
        "clamp" | "clip" => |c| {
            let (low, high) = (c.float("min", f64::NEG_INFINITY)?, c.float("max", f64::INFINITY)?);
            clamped(c, low, high)
        },
        "clamp_min" => |c| {
            let low = c.float("min", f64::NEG_INFINITY)?;
            clamped(c, low, f64::INFINITY)
        },
        "clamp_max" => |c| {
            let high = c.float("max", f64::INFINITY)?;
            clamped(c, f64::NEG_INFINITY, high)
        },
        "maximum" => |c| Ok(c.graph.extreme_of_two(&c.array("self")?, &c.array("other")?, true)?.into()),
        "minimum" => |c| Ok(c.graph.extreme_of_two(&c.array("self")?, &c.array("other")?, false)?.into()),
        "eq" => |c| comparison(c, Comparison::Equal),
        "ne" => |c| comparison(c, Comparison::NotEqual),
        "lt" => |c| comparison(c, Comparison::Less),
        "le" => |c| comparison(c, Comparison::LessOrEqual),
        "gt" => |c| comparison(c, Comparison::Greater),
        "ge" => |c| comparison(c, Comparison::GreaterOrEqual),
        "logical_and" | "bitwise_and" | "__and__" => |c| logic(c, Discrete::And),
        "logical_or" | "bitwise_or" | "__or__" => |c| logic(c, Discrete::Or),
        "logical_not" | "bitwise_not" => |c| Ok(c.graph.not(&c.array("self")?)?.into()),
        "where" => choice,
        "masked_fill" => masked_fill,
        "copy" => |c| Ok(c.array("src")?.into()),
        "fill" => |c| {
            let x = c.array("self")?;
            Ok(array(c, "value", x.kind)?.into())
        },
        "zero" => |c| Ok(Number::Integer(0).array(c.array("self")?.kind)?.into()),
        "detach" => |c| {
            let x = c.array("self")?;
            match x.known() {
                Some(_) => Ok((x, View::Same).into()),
                None => Ok(c.graph.discrete(Discrete::Detach, &x)?.into()),
            }
        },
        "to" | "_to_copy" | "type_as" | "float" | "double" | "half" => cast,
        _ => return None,
    })
}

/// An argument that may be a number as an array.
fn array(c: &mut Call, name: &str, kind: Kind) -> Read<Array> {
    match c.operand(name)? {
        Operand::Array(array) => Ok(array),
        // A number takes the array's kind, unless it is one that the array cannot hold.
        Operand::Number(number) => number.array(kind.max(number.kind())),
    }
}

/// The arguments `self` and `other`, one of which is an array.
fn pair(c: &mut Call) -> Read<(Array, Array)> {
    match (c.operand("self")?, c.operand("other")?) {
        (Operand::Array(a), _) => {
            let b = array(c, "other", a.kind)?;
            Ok((a, b))
        }
        (Operand::Number(number), Operand::Array(b)) => Ok((number.array(b.kind.max(number.kind()))?, b)),
        _ => Err("two numbers".into()),
    }
}

fn two(c: &mut Call, operation: Arithmetic) -> Read<Outputs> {
    if let (Operand::Array(x), Operand::Number(number)) = (c.operand("self")?, c.operand("other")?) {
        return Ok(c.graph.with_number(operation, &x, number)?.into());
    }
    let (a, b) = pair(c)?;
    Ok(c.graph.arithmetic(operation, &a, &b)?.into())
}

fn with_alpha(c: &mut Call, operation: Arithmetic) -> Read<Outputs> {
    let Some(alpha) = c.number("alpha")?.filter(|alpha| alpha.value() != 1.0) else { return two(c, operation) };
    let (a, b) = pair(c)?;
    let b = c.graph.with_number(Arithmetic::Multiply, &b, alpha)?;
    Ok(c.graph.arithmetic(operation, &a, &b)?.into())
}

/// other − α self.
fn reversed_subtraction(c: &mut Call) -> Read<Outputs> {
    let (a, b) = pair(c)?;
    let alpha = c.number("alpha")?.unwrap_or(Number::Integer(1));
    let a = c.graph.with_number(Arithmetic::Multiply, &a, alpha)?;
    Ok(c.graph.subtract(&b, &a)?.into())
}

fn division(c: &mut Call) -> Read<Outputs> {
    match c.text("rounding_mode") {
        None => two(c, Arithmetic::Divide),
        Some("floor") => whole_division(c),
        Some(mode) => Err(format!("division rounded by `{mode}`").into()),
    }
}

fn whole_division(c: &mut Call) -> Read<Outputs> {
    let (a, b) = pair(c)?;
    match c.name {
        "fmod" => Err("the remainder with the sign of the dividend".into()),
        "remainder" => Ok(c.graph.remainder(&a, &b)?.into()),
        _ => Ok(c.graph.floor_divide(&a, &b)?.into()),
    }
}

/// self + value · a ∘ b.
fn with_product(c: &mut Call) -> Read<Outputs> {
    let operation = if c.name == "addcdiv" { Arithmetic::Divide } else { Arithmetic::Multiply };
    let (x, a, b) = (c.array("self")?, c.array("tensor1")?, c.array("tensor2")?);
    let value = c.number("value")?.unwrap_or(Number::Integer(1));
    let product = c.graph.arithmetic(operation, &a, &b)?;
    let product = c.graph.with_number(Arithmetic::Multiply, &product, value)?;
    Ok(c.graph.add(&x, &product)?.into())
}

/// self + weight (end − self).
fn interpolation(c: &mut Call) -> Read<Outputs> {
    let (x, end) = (c.array("self")?, c.array("end")?);
    let weight = array(c, "weight", Kind::Float)?;
    let difference = c.graph.subtract(&end, &x)?;
    let step = c.graph.multiply(&weight, &difference)?;
    Ok(c.graph.add(&x, &step)?.into())
}

fn power(c: &mut Call) -> Read<Outputs> {
    Ok(match (c.operand("self")?, c.operand("exponent")?) {
        (Operand::Array(x), Operand::Number(exponent)) => c.graph.power(&x, exponent.value())?.into(),
        (Operand::Number(base), Operand::Array(x)) => c.graph.exponential_of_base(base.value(), &x)?.into(),
        (Operand::Array(x), Operand::Array(exponent)) => c.graph.power_of_two(&x, &exponent)?.into(),
        _ => return Err("two numbers".into()),
    })
}

fn named(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let y = c.graph.activation(c.name, &x)?;
    Ok(y.ok_or("a function that is not known")?.into())
}

fn clamped(c: &mut Call, low: f64, high: f64) -> Read<Outputs> {
    let x = c.array("self")?;
    let numbers = c.graph.cast(&x, Kind::Float)?;
    let y = c.graph.apply(Elementwise(Clamp { low, high }), &[&numbers], x.shape.clone(), Kind::Float)?;
    Ok(c.graph.cast(&y, x.kind.max(Kind::Integer))?.into())
}

fn comparison(c: &mut Call, comparison: Comparison) -> Read<Outputs> {
    let (a, b) = pair(c)?;
    Ok(c.graph.compare(comparison, &a, &b)?.into())
}

fn logic(c: &mut Call, op: Discrete) -> Read<Outputs> {
    let (a, b) = pair(c)?;
    if c.name.contains("bitwise") && a.kind.max(b.kind) != Kind::Boolean {
        return Err("logic on the bits of whole numbers".into());
    }
    Ok(c.graph.logic(op, &a, &b)?.into())
}

fn choice(c: &mut Call) -> Read<Outputs> {
    let condition = c.array("condition")?;
    let (a, b) = match (c.operand("self")?, c.operand("other")?) {
        (Operand::Array(a), Operand::Array(b)) => (a, b),
        (Operand::Array(a), Operand::Number(b)) => (a.clone(), b.array(a.kind.max(b.kind()))?),
        (Operand::Number(a), Operand::Array(b)) => (a.array(b.kind.max(a.kind()))?, b),
        (Operand::Number(a), Operand::Number(b)) => {
            let kind = a.kind().max(b.kind());
            (a.array(kind)?, b.array(kind)?)
        }
    };
    Ok(c.graph.choose(&condition, &a, &b)?.into())
}

fn masked_fill(c: &mut Call) -> Read<Outputs> {
    let (x, mask) = (c.array("self")?, c.array("mask")?);
    let value = array(c, "value", x.kind)?;
    let value = c.graph.cast(&value, x.kind)?;
    Ok(c.graph.choose(&mask, &value, &x)?.into())
}

fn cast(c: &mut Call) -> Read<Outputs> {
    let x = c.array("self")?;
    let kind = match c.name {
        "float" | "double" | "half" => Kind::Float,
        "type_as" => c.array("other")?.kind,
        _ => match (c.kind("dtype")?, c.optional_array("other")?) {
            (Some(kind), _) => kind,
            (None, Some(other)) => other.kind,
            (None, None) => x.kind,
        },
    };
    let copies = c.name == "_to_copy" || c.truth("copy", false)?;
    let y = c.graph.cast(&x, kind)?;
    Ok(if kind == x.kind && !copies { (y, View::Same).into() } else { y.into() })
}
