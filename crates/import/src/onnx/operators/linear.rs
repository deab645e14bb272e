//! Matrix products.

use super::Reader;
use crate::graph::{Array, Read};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "MatMul" => |c| Ok(vec![c.graph.matmul(&c.array(0)?, &c.array(1)?)?]),
        "Gemm" => general_product,
        "Einsum" => |c| {
            let equation = c.text("equation").ok_or("the equation is missing")?.to_owned();
            let operands = c.arrays();
            Ok(vec![c.graph.einsum(&equation, &operands)?])
        },
        _ => return None,
    })
}

/// α A B + β C, with A and B transposed where asked.
fn general_product(c: &mut Call) -> Read<Vec<Array>> {
    let (mut a, b, bias) = (c.array(0)?, c.array(1)?, c.optional(2));
    if a.rank() != 2 || b.rank() != 2 {
        return Err("a product of what are no matrices".into());
    }
    let (alpha, beta) = (c.float("alpha", 1.0), c.float("beta", 1.0));
    if c.truth("transA", false) {
        a = c.graph.transpose(&a, 0, 1)?;
    }
    let transposed = c.truth("transB", false);
    if transposed && alpha == 1.0 && beta == 1.0 && bias.as_ref().is_none_or(|bias| bias.rank() == 1) {
        // A linear layer as PyTorch writes it.
        return Ok(vec![c.graph.linear(&a, &b, bias.as_ref())?]);
    }
    let b = if transposed { c.graph.transpose(&b, 0, 1)? } else { b };
    let product = c.graph.matmul(&a, &b)?;
    let product = c.graph.affine(&product, alpha, 0.0)?;
    match bias {
        None => Ok(vec![product]),
        Some(bias) => {
            let bias = c.graph.affine(&bias, beta, 0.0)?;
            Ok(vec![c.graph.add(&product, &bias)?])
        }
    }
}
