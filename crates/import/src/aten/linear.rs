//! Matrix products and attention.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::{Arithmetic, Array, Attention, Number, Read};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "linear" => |c| {
            let (x, weight, bias) = (c.array("input")?, c.array("weight")?, c.optional_array("bias")?);
            Ok(c.graph.linear(&x, &weight, bias.as_ref())?.into())
        },
        "matmul" | "mm" | "bmm" | "mv" | "dot" => |c| {
            let other = match c.name {
                "mm" | "bmm" => "mat2",
                "mv" => "vec",
                "dot" => "tensor",
                _ => "other",
            };
            Ok(c.graph.matmul(&c.array("self")?, &c.array(other)?)?.into())
        },
        "addmm" => |c| added(c, "mat1", "mat2"),
        "baddbmm" => |c| added(c, "batch1", "batch2"),
        "einsum" => |c| {
            let equation = c.text("equation").ok_or("the equation is missing")?.to_owned();
            let operands = c.arrays("tensors")?;
            Ok(c.graph.einsum(&equation, &operands)?.into())
        },
        "diagonal" => |c| {
            let x = c.array("self")?;
            if c.integer("offset", 0)? != 0 {
                return Err("a diagonal beside the main one".into());
            }
            let (a, b) = (x.axis(c.integer("dim1", 0)?)?, x.axis(c.integer("dim2", 1)?)?);
            Ok(c.graph.diagonal(&x, a, b)?.into())
        },
        "scaled_dot_product_attention" => attention,
        _ => return None,
    })
}

/// β self + α a b.
fn added(c: &mut Call, a: &str, b: &str) -> Read<Outputs> {
    let (x, a, b) = (c.array("self")?, c.array(a)?, c.array(b)?);
    let scaled = |c: &mut Call, x: &Array, name: &str| -> Read<Array> {
        let factor = c.number(name)?.unwrap_or(Number::Integer(1));
        if factor.value() == 1.0 { Ok(x.clone()) } else { c.graph.with_number(Arithmetic::Multiply, x, factor) }
    };
    let product = c.graph.matmul(&a, &b)?;
    let product = scaled(c, &product, "alpha")?;
    let x = scaled(c, &x, "beta")?;
    Ok(c.graph.add(&product, &x)?.into())
}

fn attention(c: &mut Call) -> Read<Outputs> {
    if c.float("dropout_p", 0.0)? > 0.0 {
        return Err("attention with dropout, whose result is random: export `model.eval()`".into());
    }
    let (q, k, v) = (c.array("query")?, c.array("key")?, c.array("value")?);
    let settings = Attention {
        mask: c.optional_array("attn_mask")?,
        causal: c.truth("is_causal", false)?,
        scale: c.number("scale")?.map(Number::value),
        grouped: c.truth("enable_gqa", false)?,
    };
    Ok(c.graph.attention(&q, &k, &v, &settings)?.into())
}
