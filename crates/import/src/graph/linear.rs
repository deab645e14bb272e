//! Matrix products and sums over shared indices.

use basin_tape::ops::{BilinearRules, Linear, Matmul};

use super::{Array, Extent, Graph, Kind, Read, Size, shape_text};

impl Graph {
    /// x Wᵀ + b with W (out, in).
    pub(crate) fn linear(&mut self, x: &Array, weight: &Array, bias: Option<&Array>) -> Read<Array> {
        let (Some(&inputs), &[outputs, features]) = (x.shape.last(), weight.shape.as_slice()) else {
            return Err(format!("a weight of shape {} is no matrix", shape_text(&weight.shape)).into());
        };
        if inputs != features {
            return Err(
                format!("{} does not fit the weight {}", shape_text(&x.shape), shape_text(&weight.shape)).into()
            );
        }
        let mut shape = x.shape.clone();
        shape[x.rank() - 1] = outputs;
        let operands: Vec<&Array> = [x, weight].into_iter().chain(bias).collect();
        self.apply(BilinearRules(Linear), &operands, shape, Kind::Float)
    }

    /// The product of vectors, matrices or batches of matrices, as `torch.matmul`.
    pub(crate) fn matmul(&mut self, a: &Array, b: &Array) -> Read<Array> {
        let (a, b) = (self.cast(a, Kind::Float)?, self.cast(b, Kind::Float)?);
        if a.rank() == 0 || b.rank() == 0 {
            return Err("a matrix product of a number".into());
        }
        if a.rank() == 1 {
            let row = self.unsqueeze(&a, 0)?;
            let product = self.matmul(&row, &b)?;
            let axis = product.rank().saturating_sub(if b.rank() == 1 { 1 } else { 2 });
            return self.squeeze(&product, &[axis]);
        }
        if b.rank() == 1 {
            let column = self.unsqueeze(&b, 1)?;
            let product = self.matmul(&a, &column)?;
            return self.squeeze(&product, &[product.rank() - 1]);
        }
        let (m, k, n) = (a.shape[a.rank() - 2], a.shape[a.rank() - 1], b.shape[b.rank() - 1]);
        if k != b.shape[b.rank() - 2] {
            return Err(format!("{} and {} have no product", shape_text(&a.shape), shape_text(&b.shape)).into());
        }
        if b.rank() == 2 && b.sample_axis().is_none() {
            // Rows of all batches at once.
            let rows = a.shape[..a.rank() - 1].iter().try_fold(Extent::Fixed(1), |rows, &extent| rows.times(extent));
            let rows = rows.ok_or("two axes depend on the samples")?;
            let flat = self.viewed(&a, vec![rows, k])?;
            let product = self.apply(BilinearRules(Matmul), &[&flat, &b], vec![rows, n], Kind::Float)?;
            let shape = [&a.shape[..a.rank() - 1], &[n]].concat();
            return self.viewed(&product, shape);
        }
        let lead = self.broadcast_shape(&[&a.shape[..a.rank() - 2], &b.shape[..b.rank() - 2]])?;
        let (a, b) = (self.with_lead(&a, &lead)?, self.with_lead(&b, &lead)?);
        let shape = [lead.as_slice(), &[m, n]].concat();
        self.apply(BilinearRules(Matmul), &[&a, &b], shape, Kind::Float)
    }

    /// Matrices repeated over leading axes.
    fn with_lead(&mut self, x: &Array, lead: &[Extent]) -> Read<Array> {
        let shape = [lead, &x.shape[x.rank() - 2..]].concat();
        let wide = self.expand_to(x, &shape)?;
        self.whole(&wide)
    }

    /// Σ over the letters that the result lacks, for one or two operands, as `torch.einsum`.
    pub(crate) fn einsum(&mut self, equation: &str, operands: &[Array]) -> Read<Array> {
        let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let unknown = || format!("the equation `{equation}`");
        let (left, right) = equation.split_once("->").ok_or_else(unknown)?;
        let terms: Vec<Vec<char>> = left.split(',').map(|term| term.chars().collect()).collect();
        let result: Vec<char> = right.chars().collect();
        let letters = terms.iter().flatten().chain(&result);
        if terms.len() != operands.len() || letters.clone().any(|letter| !letter.is_ascii_alphabetic()) {
            return Err(unknown().into());
        }
        for (term, operand) in terms.iter().zip(operands) {
            let twice = term.iter().enumerate().any(|(i, letter)| term[..i].contains(letter));
            if term.len() != operand.rank() || twice {
                return Err(unknown().into());
            }
        }
        match (operands, terms.as_slice()) {
            ([x], [term]) => {
                let gone: Vec<usize> = (0..term.len()).filter(|&axis| !result.contains(&term[axis])).collect();
                let sum = if gone.is_empty() { x.clone() } else { self.sum(x, &gone, false)? };
                let left: Vec<char> = term.iter().copied().filter(|letter| result.contains(letter)).collect();
                self.ordered(&sum, &left, &result)
            }
            ([a, b], [of_a, of_b]) => {
                let (a, of_a) = self.without_own(a, of_a, |letter| of_b.contains(letter) || result.contains(letter))?;
                let (b, of_b) = self.without_own(b, of_b, |letter| of_a.contains(letter) || result.contains(letter))?;
                let shared = |letter: &&char| of_b.contains(letter);
                let batch: Vec<char> = of_a.iter().filter(shared).filter(|c| result.contains(c)).copied().collect();
                let summed: Vec<char> = of_a.iter().filter(shared).filter(|c| !result.contains(c)).copied().collect();
                let rows: Vec<char> = of_a.iter().filter(|c| !of_b.contains(c)).copied().collect();
                let columns: Vec<char> = of_b.iter().filter(|c| !of_a.contains(c)).copied().collect();
                let a_order = [batch.as_slice(), &rows, &summed].concat();
                let b_order = [batch.as_slice(), &summed, &columns].concat();
                let (a, b) = (self.ordered(&a, &of_a, &a_order)?, self.ordered(&b, &of_b, &b_order)?);
                let sizes = |x: &Array, from: usize, count: usize| x.shape[from..from + count].to_vec();
                let lead = sizes(&a, 0, batch.len());
                let row_sizes = sizes(&a, batch.len(), rows.len());
                let column_sizes = sizes(&b, batch.len() + summed.len(), columns.len());
                let joined = |extents: &[Extent]| {
                    let product = extents.iter().try_fold(Extent::Fixed(1), |product, &extent| product.times(extent));
                    product.ok_or("two axes depend on the samples")
                };
                let inner = joined(&sizes(&a, batch.len() + rows.len(), summed.len()))?;
                let a = self.viewed(&a, [lead.as_slice(), &[joined(&row_sizes)?, inner]].concat())?;
                let b = self.viewed(&b, [lead.as_slice(), &[inner, joined(&column_sizes)?]].concat())?;
                let product = self.matmul(&a, &b)?;
                let product = self.viewed(&product, [lead, row_sizes, column_sizes].concat())?;
                self.ordered(&product, &[batch, rows, columns].concat(), &result)
            }
            _ => Err(unknown().into()),
        }
    }

    /// Summed over the letters that nothing else has.
    fn without_own(&mut self, x: &Array, term: &[char], kept: impl Fn(&char) -> bool) -> Read<(Array, Vec<char>)> {
        let gone: Vec<usize> = (0..term.len()).filter(|&axis| !kept(&term[axis])).collect();
        let x = if gone.is_empty() { x.clone() } else { self.sum(x, &gone, false)? };
        Ok((x, term.iter().copied().filter(|letter| kept(letter)).collect()))
    }

    /// The axes in the order of other letters.
    fn ordered(&mut self, x: &Array, from: &[char], to: &[char]) -> Read<Array> {
        let axes = to.iter().map(|letter| from.iter().position(|own| own == letter)).collect::<Option<Vec<usize>>>();
        let axes = axes.filter(|axes| axes.len() == x.rank()).ok_or("the letters of an equation")?;
        self.permute(x, &axes)
    }

    /// The diagonal of two axes, which becomes the last axis.
    pub(crate) fn diagonal(&mut self, x: &Array, a: usize, b: usize) -> Read<Array> {
        let (rows, columns) = (x.fixed(a)?, x.fixed(b)?);
        let order: Vec<usize> = (0..x.rank()).filter(|&axis| axis != a && axis != b).chain([a, b]).collect();
        let turned = self.permute(x, &order)?;
        let last = x.rank() - 2;
        let flat = self.unflattened_pair(&turned, last)?;
        let positions = (0..rows.min(columns)).map(|i| (i * columns + i) as i64).collect();
        self.select_positions(&flat, last, positions)
    }

    fn unflattened_pair(&mut self, x: &Array, axis: usize) -> Read<Array> {
        let product = x.fixed(axis)?.checked_mul(x.fixed(axis + 1)?).ok_or("an axis is too long")?;
        let sizes: Vec<Size> = x.shape[..axis].iter().map(|&extent| Size::Extent(extent)).collect();
        self.reshape(x, &[sizes.as_slice(), &[Size::Extent(Extent::Fixed(product))]].concat())
    }
}
