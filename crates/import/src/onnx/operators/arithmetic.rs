//! Arithmetic, functions of each element, comparisons, logic and choices.

use basin_tape::ops::{Abs, Clamp, Comparison, Cosine, Discrete, Elementwise, Erf, Exp, Hardtanh, Log, Sine};

use super::Reader;
use crate::graph::{Arithmetic, Array, Content, Kind, Number, Read, SizeOperation};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Add" => |c| two(c, Arithmetic::Add, SizeOperation::Add),
        "Sub" => |c| two(c, Arithmetic::Subtract, SizeOperation::Subtract),
        "Mul" => |c| two(c, Arithmetic::Multiply, SizeOperation::Multiply),
        "Div" => division,
        "Mod" => remainder,
        "Sum" => |c| folded(c, |c, a, b| c.graph.add(a, b)),
        "Mean" => |c| {
            let count = c.arrays().len() as f64;
            let sum = folded(c, |c, a, b| c.graph.add(a, b))?;
            Ok(vec![c.graph.affine(&sum[0], 1.0 / count, 0.0)?])
        },
        "Max" => |c| folded(c, |c, a, b| extreme(c, a, b, true)),
        "Min" => |c| folded(c, |c, a, b| extreme(c, a, b, false)),
        "Pow" => power,
        "Neg" => |c| Ok(vec![c.graph.with_number(Arithmetic::Multiply, &c.array(0)?, Number::Integer(-1))?]),
        "Abs" => absolute,
        "Exp" => |c| Ok(vec![c.graph.elementwise(Exp, &c.array(0)?)?]),
        "Log" => |c| Ok(vec![c.graph.elementwise(Log, &c.array(0)?)?]),
        "Sin" => |c| Ok(vec![c.graph.elementwise(Sine, &c.array(0)?)?]),
        "Cos" => |c| Ok(vec![c.graph.elementwise(Cosine, &c.array(0)?)?]),
        "Erf" => |c| Ok(vec![c.graph.elementwise(Erf, &c.array(0)?)?]),
        "Sqrt" => |c| named(c, "sqrt"),
        "Reciprocal" => |c| named(c, "reciprocal"),
        "Sinh" => |c| named(c, "sinh"),
        "Cosh" => |c| named(c, "cosh"),
        "Floor" => |c| Ok(vec![c.graph.discrete(Discrete::Floor, &c.array(0)?)?]),
        "Ceil" => |c| {
            let turned = c.graph.affine(&c.array(0)?, -1.0, 0.0)?;
            let floor = c.graph.discrete(Discrete::Floor, &turned)?;
            Ok(vec![c.graph.affine(&floor, -1.0, 0.0)?])
        },
        "Sign" => |c| Ok(vec![c.graph.discrete(Discrete::Sign, &c.array(0)?)?]),
        "Clip" => clip,
        "Equal" => |c| comparison(c, Comparison::Equal),
        "Less" => |c| comparison(c, Comparison::Less),
        "LessOrEqual" => |c| comparison(c, Comparison::LessOrEqual),
        "Greater" => |c| comparison(c, Comparison::Greater),
        "GreaterOrEqual" => |c| comparison(c, Comparison::GreaterOrEqual),
        "IsNaN" => |c| {
            let x = c.array(0)?;
            Ok(vec![c.graph.compare(Comparison::NotEqual, &x, &x)?])
        },
        "And" => |c| logic(c, Discrete::And),
        "Or" => |c| logic(c, Discrete::Or),
        "Xor" => |c| {
            let (a, b) = (c.array(0)?, c.array(1)?);
            Ok(vec![c.graph.compare(Comparison::NotEqual, &a, &b)?])
        },
        "Not" => |c| Ok(vec![c.graph.not(&c.array(0)?)?]),
        "Where" => |c| {
            let (condition, a, b) = (c.array(0)?, c.array(1)?, c.array(2)?);
            match unknown(c, &[&condition, &a, &b], a.kind)? {
                Some(unknown) => Ok(vec![unknown]),
                None => Ok(vec![c.graph.choose(&condition, &a, &b)?]),
            }
        },
        _ => return None,
    })
}

/// What is computed with the numbers of samples: its shape is known.
fn unknown(c: &Call, operands: &[&Array], kind: Kind) -> Read<Option<Array>> {
    if !operands.iter().any(|x| matches!(x.content, Content::SampleNumbers | Content::Unknown)) {
        return Ok(None);
    }
    let shapes: Vec<_> = operands.iter().map(|x| x.shape.as_slice()).collect();
    let shape = c.graph.broadcast_shape(&shapes)?;
    Ok(Some(Array { content: Content::Unknown, shape, kind, uniform: false }))
}

fn two(c: &mut Call, operation: Arithmetic, of_sizes: SizeOperation) -> Read<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    if a.is_of_sizes() || b.is_of_sizes() {
        return Ok(vec![c.graph.size_arithmetic(of_sizes, &a, &b)?]);
    }
    if let Some(unknown) = unknown(c, &[&a, &b], a.kind)? {
        return Ok(vec![unknown]);
    }
    Ok(vec![c.graph.arithmetic(operation, &a, &b)?])
}

/// Whole numbers are divided towards zero.
fn division(c: &mut Call) -> Read<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    if a.kind.max(b.kind) == Kind::Float || a.is_of_sizes() || b.is_of_sizes() {
        return two(c, Arithmetic::Divide, SizeOperation::Divide);
    }
    let size = |c: &mut Call, x: &Array| {
        let sign = c.graph.discrete(Discrete::Sign, x)?;
        Ok::<_, crate::graph::Fault>((c.graph.multiply(x, &sign)?, sign))
    };
    let ((a, sign_a), (b, sign_b)) = (size(c, &a)?, size(c, &b)?);
    let quotient = c.graph.floor_divide(&a, &b)?;
    let quotient = c.graph.multiply(&quotient, &sign_a)?;
    Ok(vec![c.graph.multiply(&quotient, &sign_b)?])
}

fn remainder(c: &mut Call) -> Read<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    if a.is_of_sizes() || b.is_of_sizes() {
        return Ok(vec![c.graph.size_arithmetic(SizeOperation::Remainder, &a, &b)?]);
    }
    if c.truth("fmod", false) {
        return Err("the remainder with the sign of the dividend".into());
    }
    Ok(vec![c.graph.remainder(&a, &b)?])
}

/// One operation after another on all inputs.
fn folded(c: &mut Call, operation: fn(&mut Call, &Array, &Array) -> Read<Array>) -> Read<Vec<Array>> {
    let mut operands = c.arrays().into_iter();
    let mut result = operands.next().ok_or("it has no input")?;
    for operand in operands {
        result = operation(c, &result, &operand)?;
    }
    Ok(vec![result])
}

fn extreme(c: &mut Call, a: &Array, b: &Array, largest: bool) -> Read<Array> {
    if a.is_of_sizes() || b.is_of_sizes() {
        let operation = if largest { SizeOperation::Largest } else { SizeOperation::Smallest };
        return c.graph.size_arithmetic(operation, a, b);
    }
    match unknown(c, &[a, b], a.kind)? {
        Some(unknown) => Ok(unknown),
        None => c.graph.extreme_of_two(a, b, largest),
    }
}

fn power(c: &mut Call) -> Read<Vec<Array>> {
    let (x, exponent) = (c.array(0)?, c.array(1)?);
    let number = |x: &Array| x.known().is_some_and(|known| known.elem_count() == 1);
    let y = if number(&exponent) {
        let y = c.graph.power(&x, c.number(1)?.unwrap_or(1.0))?;
        expanded(c, y, &exponent)?
    } else if number(&x) {
        let y = c.graph.exponential_of_base(c.number(0)?.unwrap_or(1.0), &exponent)?;
        expanded(c, y, &x)?
    } else {
        c.graph.power_of_two(&x, &exponent)?
    };
    // The result has the type of what is raised.
    Ok(vec![c.graph.cast(&y, x.kind)?])
}

/// y with as many axes as the one number that it was computed with.
fn expanded(c: &mut Call, y: Array, number: &Array) -> Read<Array> {
    let shape = c.graph.broadcast_shape(&[&y.shape, &number.shape])?;
    c.graph.expand_to(&y, &shape)
}

fn absolute(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    if x.kind == Kind::Float {
        return Ok(vec![c.graph.elementwise(Abs, &x)?]);
    }
    let sign = c.graph.discrete(Discrete::Sign, &x)?;
    Ok(vec![c.graph.multiply(&x, &sign)?])
}

fn named(c: &mut Call, name: &str) -> Read<Vec<Array>> {
    let y = c.graph.activation(name, &c.array(0)?)?;
    Ok(vec![y.ok_or("a function that is not known")?])
}

/// Between two numbers, or above or below one. From 0 upwards it is ReLU6, whose derivative at 0 is 0 as that of ReLU;
/// PyTorch's clamp has the derivative 1 there, where the file says that it was one.
fn clip(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let (low, high) = (c.number(1)?.unwrap_or(f64::NEG_INFINITY), c.number(2)?.unwrap_or(f64::INFINITY));
    if x.kind == Kind::Float && low == 0.0 && high > 0.0 && !c.was_exported_from("aten.clamp") {
        return Ok(vec![c.graph.elementwise(Hardtanh { low, high }, &x)?]);
    }
    let numbers = c.graph.cast(&x, Kind::Float)?;
    let y = c.graph.apply(Elementwise(Clamp { low, high }), &[&numbers], x.shape.clone(), Kind::Float)?;
    Ok(vec![c.graph.cast(&y, x.kind.max(Kind::Integer))?])
}

fn comparison(c: &mut Call, comparison: Comparison) -> Read<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    if a.is_of_sizes() || b.is_of_sizes() {
        return Ok(vec![c.graph.size_comparison(comparison, &a, &b)?]);
    }
    match unknown(c, &[&a, &b], Kind::Boolean)? {
        Some(unknown) => Ok(vec![unknown]),
        None => Ok(vec![c.graph.compare(comparison, &a, &b)?]),
    }
}

fn logic(c: &mut Call, op: Discrete) -> Read<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    Ok(vec![c.graph.logic(op, &a, &b)?])
}
