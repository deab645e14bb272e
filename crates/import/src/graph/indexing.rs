//! Elements at positions that other arrays hold.

use basin_tape::ops::{Embedding, Gather, IndexSelect};
use candle_core::{DType, Tensor};

use super::{Array, Content, Extent, Graph, Kind, Read, shape_text};

/// Positions as candle counts them: from the front.
fn counted_from_front(positions: &Tensor, extent: usize) -> Read<Tensor> {
    let extent = i64::try_from(extent).map_err(|_| "an axis is too long")?;
    let numbers = positions.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let front = |&n: &i64| Some(if n < 0 { n + extent } else { n }).filter(|n| (0..extent).contains(n));
    match numbers.iter().map(front).collect::<Option<Vec<i64>>>() {
        Some(numbers) => Ok(Tensor::from_vec(numbers, positions.dims(), positions.device())?),
        None => Err(format!("there are positions beyond the {extent} of an axis").into()),
    }
}

impl Graph {
    /// Rows of a table (entries, width) at indices of any shape.
    pub(crate) fn embedding(&mut self, table: &Array, indices: &Array, padding: Option<usize>) -> Read<Array> {
        let (&[Extent::Fixed(entries), width], Kind::Integer) = (table.shape.as_slice(), indices.kind) else {
            return Err(
                format!("an embedding needs a table and whole numbers, not {}", shape_text(&table.shape)).into()
            );
        };
        let indices = match indices.known() {
            Some(known) => Array { content: Content::Constant(counted_from_front(known, entries)?), ..indices.clone() },
            None => indices.clone(),
        };
        if let Content::Step(value) = indices.content {
            self.tables.push((value, entries));
        }
        let shape = [indices.shape.as_slice(), &[width]].concat();
        self.apply(Embedding { padding }, &[table, &indices], shape, table.kind)
    }

    /// x at the positions of a one-dimensional array along an axis.
    pub(crate) fn index_select(&mut self, x: &Array, axis: usize, positions: &Array) -> Read<Array> {
        let extent = x.fixed(axis)?;
        let known = positions.known().ok_or("positions along an axis that depend on the samples")?;
        let count = known.elem_count();
        let known = counted_from_front(known, extent)?.reshape(count)?;
        let mut shape = x.shape.clone();
        shape[axis] = Extent::Fixed(count);
        self.apply(IndexSelect { axis }, &[x, &Array::constant(known)?], shape, x.kind)
    }

    /// y[…, i, …] = x[…, index[…, i, …], …] along an axis, both of one rank.
    pub(crate) fn gather(&mut self, x: &Array, axis: usize, index: &Array) -> Read<Array> {
        let extent = x.fixed(axis)?;
        let index = match index.known() {
            Some(known) => Array { content: Content::Constant(counted_from_front(known, extent)?), ..index.clone() },
            None => index.clone(),
        };
        let (x, index) = (self.whole(x)?, self.whole(&index)?);
        if x.rank() != index.rank() {
            return Err(format!(
                "{} has another number of axes than {}",
                shape_text(&index.shape),
                shape_text(&x.shape)
            )
            .into());
        }
        // Along the other axes the index may be shorter.
        let mut x = x;
        for other in (0..x.rank()).filter(|&other| other != axis) {
            if x.shape[other] != index.shape[other] {
                x = self.narrow(&x, other, 0, index.fixed(other)?)?;
            }
        }
        self.apply(Gather { axis }, &[&x, &index], index.shape.clone(), x.kind)
    }

    /// x indexed by arrays along its axes, as NumPy does; an absent one takes all.
    pub(crate) fn index(&mut self, x: &Array, indices: &[Option<Array>]) -> Read<Array> {
        let given: Vec<usize> = (0..indices.len()).filter(|&axis| indices[axis].is_some()).collect();
        if let [Some(mask)] = indices
            && mask.kind == Kind::Boolean
        {
            return Err("a mask as an index makes a shape that depends on the samples".into());
        }
        if given.iter().any(|&axis| axis >= x.rank()) {
            return Err(format!("there are more indices than axes of {}", shape_text(&x.shape)).into());
        }
        let indices: Vec<Option<Array>> = indices
            .iter()
            .enumerate()
            .map(|(axis, index)| Some(self.numbers_of_samples(index.as_ref()?, x.shape[axis])))
            .collect();
        let indices = indices.as_slice();
        // The numbers of the samples as index of their own axis take each sample once: what is left are its other axes.
        let samples = given.iter().copied().find(|&axis| {
            let numbers = indices[axis].as_ref().is_some_and(|index| matches!(index.content, Content::SampleNumbers));
            numbers && x.shape[axis] == Extent::Samples(1)
        });
        let rest: Vec<usize> = given.iter().copied().filter(|&axis| Some(axis) != samples).collect();
        let arrays: Vec<&Array> = given.iter().filter_map(|&axis| indices[axis].as_ref()).collect();
        let shapes: Vec<&[Extent]> = arrays.iter().map(|array| array.shape.as_slice()).collect();
        let common = self.broadcast_shape(&shapes)?;
        let known = rest.iter().filter_map(|&axis| indices[axis].as_ref()).collect::<Vec<_>>();
        if known.iter().any(|index| index.known().is_none()) {
            return self.index_by_samples(x, &rest, indices);
        }
        if !rest.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return Err("indices of axes that do not lie beside each other".into());
        }
        let shapes: Vec<&[Extent]> = known.iter().map(|index| index.shape.as_slice()).collect();
        let own = self.broadcast_shape(&shapes)?;
        let own_fixed = own.iter().map(|extent| extent.fixed()).collect::<Option<Vec<usize>>>();
        let Some(own_fixed) = own_fixed else { return Err("indices that depend on the samples".into()) };
        // The axes that are indexed become one, of which the positions are taken.
        let (Some(&first), Some(&last)) = (rest.first(), rest.last()) else {
            return self.viewed_as_index(x, samples, &common);
        };
        let extents = rest.iter().map(|&axis| x.fixed(axis)).collect::<Read<Vec<usize>>>()?;
        let mut flat = Tensor::zeros(own_fixed.as_slice(), DType::I64, &candle_core::Device::Cpu)?;
        for (index, &extent) in known.iter().zip(&extents) {
            let Some(tensor) = index.known() else { continue };
            let tensor = counted_from_front(tensor, extent)?.broadcast_as(own_fixed.as_slice())?;
            flat = ((flat * extent as f64)? + tensor)?;
        }
        let joined = self.flatten(x, first, last)?;
        let taken = self.index_select(&joined, first, &Array::constant(flat)?)?;
        match samples {
            None => {
                let shape = [&x.shape[..first], &own, &x.shape[last + 1..]].concat();
                self.viewed(&taken, shape)
            }
            Some(0) if first == 1 => {
                // The common shape holds the samples where their numbers have them, in front of all that is indexed.
                if common.first() != Some(&Extent::Samples(1)) {
                    return Err("the samples are not in front of what is indexed".into());
                }
                let shape = [&common, &x.shape[last + 1..]].concat();
                self.viewed(&taken, shape)
            }
            Some(_) => Err("the samples are not on the first axis of what is indexed".into()),
        }
    }

    /// Where a network was traced for a number of samples, 0, 1, … below it as an index of their axis are their numbers.
    fn numbers_of_samples(&self, index: &Array, extent: Extent) -> Array {
        let (Some(traced), Some(tensor), Extent::Samples(1)) = (self.traced_samples, index.known(), extent) else {
            return index.clone();
        };
        let numbers = tensor.flatten_all().and_then(|numbers| numbers.to_vec1::<i64>()).unwrap_or_default();
        let counts = numbers.len() == traced && numbers.iter().enumerate().all(|(i, &n)| i64::try_from(i) == Ok(n));
        let axis = index.shape.iter().position(|&extent| extent == Extent::Fixed(traced));
        match axis.filter(|_| counts) {
            Some(axis) => {
                let mut shape = index.shape.clone();
                shape[axis] = Extent::Samples(1);
                Array { content: Content::SampleNumbers, shape, kind: Kind::Integer, uniform: false }
            }
            None => index.clone(),
        }
    }

    /// Each sample taken once, in the shape of an index.
    fn viewed_as_index(&mut self, x: &Array, samples: Option<usize>, common: &[Extent]) -> Read<Array> {
        match samples {
            Some(0) => {
                let shape = [common, &x.shape[1..]].concat();
                self.viewed(x, shape)
            }
            _ => Err("an index of the samples alone".into()),
        }
    }

    /// x indexed along one axis by an array that depends on the samples: a table by tokens, or for each sample some of its own
    /// positions.
    fn index_by_samples(&mut self, x: &Array, rest: &[usize], indices: &[Option<Array>]) -> Read<Array> {
        let &[axis] = rest else { return Err("several indices that depend on the samples".into()) };
        let Some(index) = indices[axis].as_ref() else { return Err("there is no index".into()) };
        if x.sample_axis().is_none() && axis == 0 {
            let width: usize = x.shape[1..].iter().map(|extent| extent.of_one_sample()).product();
            let table = self.reshape_fixed(x, &[x.fixed(0)?, width])?;
            let rows = self.embedding(&table, index, None)?;
            let shape = [index.shape.as_slice(), &x.shape[1..]].concat();
            return self.viewed(&rows, shape);
        }
        if x.sample_axis() == Some(0) && axis == 1 && index.rank() == 1 {
            // One position of each sample: x[arange(N), position].
            let mut shape = vec![Extent::Fixed(1); x.rank()];
            shape[0] = Extent::Samples(1);
            let index = self.viewed(index, shape)?;
            let mut wide = x.shape.clone();
            wide[1] = Extent::Fixed(1);
            let index = self.expand_to(&index, &wide)?;
            let taken = self.gather(x, 1, &index)?;
            return self.squeeze(&taken, &[1]);
        }
        Err("an index that depends on the samples".into())
    }
}
