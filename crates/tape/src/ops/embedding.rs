//! Embedding: y = table[indices], linear in the table: ẏ = ṫable[indices], and the table's adjoint collects the rows of
//! ȳ at the indices.

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Error, Result};

/// Rows of a table; inputs the table (entries, width) and integer indices (…), output (…, width).
#[derive(Debug)]
pub struct Embedding;

fn rows(table: &Tensor, indices: &Tensor) -> Result<Tensor> {
    let rows = table.index_select(&indices.flatten_all()?, 0)?;
    Ok(rows.reshape([indices.dims(), &table.dims()[1..]].concat())?)
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn reads(&self, _active: &[bool]) -> Reads {
        Reads { inputs: vec![false, true], ..Reads::shapes(2) }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        if x[0].rank() != 2 || !x[1].dtype().is_int() {
            return Err(Error::shape("embedding", "a table of rank 2 and integer indices", x[0].dims()));
        }
        rows(x[0], x[1])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| rows(dx, at.input(1))).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        let indices = at.input(1).flatten_all()?;
        let rows = y_bar.reshape((indices.elem_count(), at.input(0).dim(1)?))?;
        Ok(vec![Some(at.input(0).zeros_like()?.index_add(&indices, &rows, 0)?), None])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let indices = Tensor::new(&[[0_u32, 2, 2], [1, 0, 4]], &Device::Cpu).expect("a new tensor");
        check(&Embedding, &[normal(&[5, 3], 1), indices], &[true, false]);
    }
}
