//! Embedding: y = table[indices], linear in the table: ẏ = ṫable[indices], and the table's adjoint collects the rows of
//! ȳ at the indices. A padding row is no variable: its tangent counts nowhere, and its adjoint is zero.

use candle_core::{D, Tensor};

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Error, Result, kernels};

/// Rows of a table; inputs the table (entries, width) and integer indices (…), output (…, width).
#[derive(Debug, Default)]
pub struct Embedding {
    /// The row that stands for padding, of which PyTorch takes no gradient (`padding_idx`).
    pub padding: Option<usize>,
}

impl Embedding {
    /// Rows (…, width) with zeros where the index is that of the padding.
    fn without_padding(&self, rows: Tensor, indices: &Tensor) -> Result<Tensor> {
        let Some(padding) = self.padding else { return Ok(rows) };
        let counted = indices.ne(&indices.zeros_like()?.affine(1.0, padding as f64)?)?.to_dtype(rows.dtype())?;
        kernels::mul(&rows, &counted.unsqueeze(D::Minus1)?)
    }
}

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
        dx[0].map(|dx| self.without_padding(rows(dx, at.input(1))?, at.input(1))).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        let indices = at.input(1).flatten_all()?;
        let rows = self.without_padding(y_bar.clone(), at.input(1))?;
        let rows = rows.reshape((indices.elem_count(), at.input(0).dim(1)?))?;
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
        check(&Embedding::default(), &[normal(&[5, 3], 1), indices], &[true, false]);
    }

    #[test]
    fn a_padding_row_has_values_and_no_derivative() {
        let indices = Tensor::new(&[[0_u32, 2], [1, 0]], &Device::Cpu).expect("a new tensor");
        let (table, op) = (normal(&[3, 2], 1), Embedding { padding: Some(0) });
        let value = op.forward(&[&table, &indices], &mut Vec::new()).expect("rows");
        let row = |x: &Tensor, i: usize| x.get(i).and_then(|x| x.to_vec1::<f64>()).expect("a row");
        assert_eq!(row(&value.get(0).expect("a sample"), 0), row(&table, 0));
        let at = Node { inputs: &[&table, &indices], output: &value, saved: &[] };
        let tangent = op.tangent(&at, &[Some(&table), None]).expect("a tangent").expect("one that is not zero");
        assert_eq!(row(&tangent.get(0).expect("a sample"), 0), [0.0, 0.0]);
        let adjoint = op.adjoint(&at, &normal(&[2, 2, 2], 2), &[true, false]).expect("adjoints").swap_remove(0);
        let adjoint = adjoint.expect("the table's");
        assert_eq!(row(&adjoint, 0), [0.0, 0.0]);
        assert_ne!(row(&adjoint, 1), [0.0, 0.0]);
    }
}
