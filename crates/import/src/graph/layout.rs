//! What moves numbers without computing with them: shapes, axes, parts, joins, repetitions.

use basin_tape::ops::{Broadcast, Concatenate, IndexSelect, Narrow, Pad, Permute, View};
use candle_core::{Device, Tensor};

use super::{Arithmetic, Array, Content, Extent, Graph, Kind, Number, Read, place, shape_text};

/// An extent as a file gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A number; −1 stands for what the others leave, or for what is there.
    Number(i64),
    /// A known extent.
    Extent(Extent),
}

impl Size {
    pub(crate) fn fixed(sizes: &[usize]) -> Vec<Self> {
        sizes.iter().map(|&size| Self::Extent(Extent::Fixed(size))).collect()
    }
}

/// The product of the extents as so many numbers for each sample, or at all.
fn elements(shape: &[Extent]) -> Read<Extent> {
    let product = shape.iter().try_fold(Extent::Fixed(1), |product, &extent| product.times(extent));
    product.ok_or_else(|| format!("the shape {} is too large", shape_text(shape)).into())
}

impl Graph {
    /// The shape that sizes ask for, for an array of some shape.
    fn resolve(&self, shape: &[Extent], sizes: &[Size]) -> Read<Vec<Extent>> {
        let all = elements(shape)?;
        let text = || format!("the shape {} cannot become {sizes:?}", shape_text(shape));
        let known = sizes.iter().filter_map(|size| match size {
            Size::Number(-1) => None,
            Size::Number(number) => Some(usize::try_from(*number).ok().map(Extent::Fixed)),
            Size::Extent(extent) => Some(Some(*extent)),
        });
        let known = known.collect::<Option<Vec<_>>>().ok_or_else(text)?;
        let symbolic = known.iter().any(|extent| extent.depends_on_samples());
        if let Some(traced) = self.traced_samples.filter(|_| all.depends_on_samples() && !symbolic) {
            return resolve_traced(shape, sizes, traced).ok_or_else(|| text().into());
        }
        let product = elements(&known)?;
        let missing = sizes.len() - known.len();
        let rest = all.divided_by(product).filter(|&rest| missing == 1 || (missing == 0 && rest == Extent::Fixed(1)));
        let rest = rest.ok_or_else(text)?;
        Ok(sizes
            .iter()
            .map(|size| match size {
                Size::Number(number) => usize::try_from(*number).map_or(rest, Extent::Fixed),
                Size::Extent(extent) => *extent,
            })
            .collect())
    }

    /// The same elements, row by row, in another shape.
    pub(crate) fn reshape(&mut self, x: &Array, sizes: &[Size]) -> Read<Array> {
        let shape = self.resolve(&x.shape, sizes)?;
        self.viewed(x, shape)
    }

    /// The same for a shape without samples.
    pub(crate) fn reshape_fixed(&mut self, x: &Array, shape: &[usize]) -> Read<Array> {
        self.reshape(x, &Size::fixed(shape))
    }

    pub(crate) fn viewed(&mut self, x: &Array, shape: Vec<Extent>) -> Read<Array> {
        if shape == x.shape {
            return Ok(x.clone());
        }
        let samples_of = |shape: &[Extent]| {
            let axis = shape.iter().position(|extent| extent.depends_on_samples())?;
            let before: usize = shape[..axis].iter().map(|extent| extent.of_one_sample()).product();
            Some((before, shape[axis].of_one_sample()))
        };
        // What is known and the same for all samples stays so while the samples keep an axis of their own.
        let keeps_samples = samples_of(&x.shape) == samples_of(&shape);
        if matches!(x.content, Content::SampleNumbers) && keeps_samples {
            return Ok(Array { shape, ..x.clone() });
        }
        let x = if keeps_samples { x.clone() } else { self.whole(x)? };
        let extents = shape.iter().map(|extent| extent.fixed()).collect();
        self.map(View { shape: extents }, &x, shape)
    }

    /// Axes `first` to `last` as one.
    pub(crate) fn flatten(&mut self, x: &Array, first: usize, last: usize) -> Read<Array> {
        if x.rank() == 0 {
            return self.viewed(x, vec![Extent::Fixed(1)]);
        }
        let Some(joined) = x.shape.get(first..=last) else {
            return Err(format!("axes {first} to {last} of {} cannot be joined", shape_text(&x.shape)).into());
        };
        let joined = elements(joined)?;
        let shape = [&x.shape[..first], &[joined], &x.shape[last + 1..]].concat();
        self.viewed(x, shape)
    }

    /// One axis as several.
    pub(crate) fn unflatten(&mut self, x: &Array, axis: usize, sizes: &[Size]) -> Read<Array> {
        let parts = self.resolve(&x.shape[axis..=axis], sizes)?;
        let shape = [&x.shape[..axis], &parts, &x.shape[axis + 1..]].concat();
        self.viewed(x, shape)
    }

    /// A new axis of extent 1.
    pub(crate) fn unsqueeze(&mut self, x: &Array, axis: i64) -> Read<Array> {
        let axis = place(axis, x.rank() + 1).ok_or_else(|| format!("there is no place {axis} for an axis"))?;
        let mut shape = x.shape.clone();
        shape.insert(axis, Extent::Fixed(1));
        self.viewed(x, shape)
    }

    /// Without those of the axes that have extent 1.
    pub(crate) fn squeeze(&mut self, x: &Array, axes: &[usize]) -> Read<Array> {
        let kept =
            x.shape.iter().enumerate().filter(|(axis, extent)| !(axes.contains(axis) && **extent == Extent::Fixed(1)));
        let shape = kept.map(|(_, &extent)| extent).collect();
        self.viewed(x, shape)
    }

    /// The axes in another order.
    pub(crate) fn permute(&mut self, x: &Array, axes: &[usize]) -> Read<Array> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            return Err(format!("{axes:?} does not order the axes of {}", shape_text(&x.shape)).into());
        }
        if sorted == axes {
            return Ok(x.clone());
        }
        let shape: Vec<Extent> = axes.iter().map(|&axis| x.shape[axis]).collect();
        if matches!(x.content, Content::SampleNumbers) {
            return Ok(Array { shape, ..x.clone() });
        }
        self.map(Permute { axes: axes.to_vec() }, x, shape)
    }

    /// Two axes exchanged.
    pub(crate) fn transpose(&mut self, x: &Array, a: usize, b: usize) -> Read<Array> {
        let mut axes: Vec<usize> = (0..x.rank()).collect();
        axes.swap(a, b);
        self.permute(x, &axes)
    }

    /// x repeated along axes of extent 1 and new ones in front.
    pub(crate) fn expand(&mut self, x: &Array, sizes: &[Size]) -> Read<Array> {
        let Some(lead) = sizes.len().checked_sub(x.rank()) else {
            return Err(format!("the shape {} cannot be repeated to {sizes:?}", shape_text(&x.shape)).into());
        };
        let padded = [&vec![Extent::Fixed(1); lead], x.shape.as_slice()].concat();
        let x = self.viewed(x, padded)?;
        let mut shape = x.shape.clone();
        for (axis, size) in sizes.iter().enumerate() {
            let asked = match *size {
                Size::Number(-1) => continue,
                Size::Extent(extent) => extent,
                Size::Number(number) => {
                    let number = usize::try_from(number).map_err(|_| format!("{number} is no extent"))?;
                    let traced = self.traced_samples.filter(|&traced| traced > 1);
                    match shape[axis] {
                        Extent::Samples(times) if self.traced_samples == Some(number / times.max(1)) => continue,
                        Extent::Fixed(1) if axis == 0 && traced == Some(number) => Extent::Samples(1),
                        _ => Extent::Fixed(number),
                    }
                }
            };
            match (shape[axis], asked) {
                (own, asked) if own == asked => {}
                (Extent::Fixed(1), Extent::Fixed(_)) => shape[axis] = asked,
                (Extent::Fixed(1), Extent::Samples(_)) => {
                    if shape.iter().any(|extent| extent.depends_on_samples()) {
                        return Err("two axes would depend on the samples".into());
                    }
                    shape[axis] = asked;
                }
                _ => return Err(format!("{} cannot be repeated to {asked}", shape_text(&shape)).into()),
            }
        }
        self.spread(&x, shape)
    }

    /// x repeated along its axes of extent 1; where that is for each sample, all have the same.
    fn spread(&mut self, x: &Array, shape: Vec<Extent>) -> Read<Array> {
        let same = shape.iter().zip(&x.shape).all(|(new, old)| new == old || new.depends_on_samples());
        if same || matches!(x.content, Content::SampleNumbers) {
            return Ok(Array { shape, ..x.clone() });
        }
        let extents = shape.iter().map(|extent| extent.fixed()).collect();
        self.map(Broadcast { shape: extents }, x, shape)
    }

    /// x broadcast to a shape.
    pub(crate) fn expand_to(&mut self, x: &Array, shape: &[Extent]) -> Read<Array> {
        let sizes: Vec<Size> = shape.iter().map(|&extent| Size::Extent(extent)).collect();
        self.expand(x, &sizes)
    }

    /// The positions from a first one in even steps along an axis.
    pub(crate) fn slice(&mut self, x: &Array, axis: usize, positions: &[usize]) -> Read<Array> {
        match positions {
            [] => self.narrow(x, axis, 0, 0),
            [first, second, ..] if second - first > 1 => {
                self.select_positions(x, axis, positions.iter().map(|&position| position as i64).collect())
            }
            [first, ..] => self.narrow(x, axis, *first, positions.len()),
        }
    }

    /// So many positions from a first one along an axis.
    pub(crate) fn narrow(&mut self, x: &Array, axis: usize, start: usize, length: usize) -> Read<Array> {
        let extent = x.fixed(axis)?;
        if start.checked_add(length).is_none_or(|end| end > extent) {
            return Err(format!("{length} positions from {start} are not in {extent}").into());
        }
        if length == extent {
            return Ok(x.clone());
        }
        let mut shape = x.shape.clone();
        shape[axis] = Extent::Fixed(length);
        if matches!(x.content, Content::SampleNumbers) {
            return Ok(Array { shape, ..x.clone() });
        }
        self.map(Narrow { axis, start, length }, x, shape)
    }

    /// The positions along an axis.
    pub(crate) fn select_positions(&mut self, x: &Array, axis: usize, positions: Vec<i64>) -> Read<Array> {
        let extent = x.fixed(axis)?;
        if let Some(position) =
            positions.iter().find(|&&position| usize::try_from(position).is_ok_and(|p| p >= extent) || position < 0)
        {
            return Err(format!("there is no position {position} of {extent} along axis {axis}").into());
        }
        let mut shape = x.shape.clone();
        shape[axis] = Extent::Fixed(positions.len());
        let count = positions.len();
        let positions = Array::constant(Tensor::from_vec(positions, count, &Device::Cpu)?)?;
        self.apply(IndexSelect { axis }, &[x, &positions], shape, x.kind)
    }

    /// One position along an axis, which disappears.
    pub(crate) fn select(&mut self, x: &Array, axis: usize, position: i64) -> Read<Array> {
        let extent = x.fixed(axis)?;
        let position = place(position, extent).ok_or_else(|| format!("there is no position {position} of {extent}"))?;
        let part = self.narrow(x, axis, position, 1)?;
        self.squeeze(&part, &[axis])
    }

    /// Parts of the given lengths along an axis.
    pub(crate) fn split(&mut self, x: &Array, axis: usize, lengths: &[usize]) -> Read<Vec<Array>> {
        let mut start = 0;
        let part = |&length: &usize| {
            let part = self.narrow(x, axis, start, length);
            start = start.saturating_add(length);
            part
        };
        let parts = lengths.iter().map(part).collect::<Read<Vec<_>>>()?;
        if start != x.fixed(axis)? {
            return Err(format!("parts of {lengths:?} are not the whole of {}", shape_text(&x.shape)).into());
        }
        Ok(parts)
    }

    /// One behind the other along an axis.
    pub(crate) fn concatenate(&mut self, parts: &[Array], axis: usize) -> Read<Array> {
        // An empty vector among others is PyTorch's oldest allowance.
        let parts: Vec<&Array> = parts.iter().filter(|part| part.shape != [Extent::Fixed(0)]).collect();
        let Some(first) = parts.first() else { return Err("there is nothing to join".into()) };
        if parts.iter().any(|part| matches!(part.content, Content::SampleNumbers)) {
            return self.columns(&parts, axis);
        }
        let kind = parts.iter().map(|part| part.kind).max().unwrap_or(Kind::Float);
        let sample_axis = parts.iter().find_map(|part| part.sample_axis());
        let mut shape = parts.iter().find(|part| part.sample_axis().is_some()).unwrap_or(first).shape.clone();
        let mut total = 0;
        let mut same = Vec::with_capacity(parts.len());
        for part in &parts {
            let mut part = self.cast(part, kind)?;
            // A network traced for one sample joins what is the same for all samples with what is not.
            if let Some(samples) = sample_axis.filter(|&axis| {
                part.rank() == shape.len()
                    && part.shape[axis] == Extent::Fixed(1)
                    && shape[axis] == Extent::Samples(1)
                    && self.traced_samples == Some(1)
            }) {
                let mut wider = part.shape.clone();
                wider[samples] = Extent::Samples(1);
                part = self.expand_to(&part, &wider)?;
            }
            let part = self.whole(&part)?;
            total += part.fixed(axis)?;
            let mut others = part.shape.clone();
            others[axis] = shape[axis];
            if others != shape {
                return Err(format!("{} and {} cannot be joined", shape_text(&shape), shape_text(&part.shape)).into());
            }
            same.push(part);
        }
        shape[axis] = Extent::Fixed(total);
        let same: Vec<&Array> = same.iter().collect();
        self.apply(Concatenate { axis }, &same, shape, kind)
    }

    /// Indices, each of one axis, beside each other on the last axis.
    fn columns(&mut self, parts: &[&Array], axis: usize) -> Read<Array> {
        let of_one = |part: &&Array| part.rank() == axis + 1 && part.shape.last() == Some(&Extent::Fixed(1));
        if !parts.iter().all(of_one) {
            return Err("numbers of samples joined with others".into());
        }
        let columns = parts.iter().map(|part| self.squeeze(part, &[axis])).collect::<Read<Vec<_>>>()?;
        let shapes: Vec<&[Extent]> = columns.iter().map(|column| column.shape.as_slice()).collect();
        let mut shape = self.broadcast_shape(&shapes)?;
        shape.push(Extent::Fixed(columns.len()));
        Ok(Array { content: Content::Columns(columns), shape, kind: Kind::Integer, uniform: false })
    }

    /// One beside the other along a new axis.
    pub(crate) fn stack(&mut self, parts: &[Array], axis: i64) -> Read<Array> {
        let Some(first) = parts.first() else { return Err("there is nothing to join".into()) };
        let axis = place(axis, first.rank() + 1).ok_or_else(|| format!("there is no place {axis} for an axis"))?;
        let parts = parts.iter().map(|part| self.unsqueeze(part, axis as i64)).collect::<Read<Vec<_>>>()?;
        self.concatenate(&parts, axis)
    }

    /// A number around an axis; negative amounts cut off.
    pub(crate) fn pad(&mut self, x: &Array, axis: usize, before: i64, behind: i64, number: f64) -> Read<Array> {
        let extent = x.fixed(axis)?;
        let cut = |amount: i64| usize::try_from(amount.saturating_neg()).unwrap_or(0);
        let left =
            extent.checked_sub(cut(before).saturating_add(cut(behind))).ok_or("more is cut off than there is")?;
        let x = self.narrow(x, axis, cut(before), left)?;
        let (before, behind) = (usize::try_from(before).unwrap_or(0), usize::try_from(behind).unwrap_or(0));
        if before + behind == 0 {
            return Ok(x);
        }
        let mut shape = x.shape.clone();
        shape[axis] =
            Extent::Fixed(left.checked_add(before).and_then(|n| n.checked_add(behind)).ok_or("it pads too much")?);
        super::bounded(&shape.iter().map(|extent| extent.of_one_sample()).collect::<Vec<_>>())?;
        // A number other than 0 is taken away before and added behind.
        let shifted = self.with_number(Arithmetic::Subtract, &x, Number::Float(number));
        let x = if number == 0.0 { x } else { shifted? };
        let padded = self.map(Pad { axis, before, behind }, &x, shape)?;
        if number == 0.0 { Ok(padded) } else { self.with_number(Arithmetic::Add, &padded, Number::Float(number)) }
    }

    /// Positions beyond both ends of an axis, taken from inside: mirrored, repeated or going round.
    pub(crate) fn pad_from_inside(
        &mut self,
        x: &Array,
        axis: usize,
        before: i64,
        behind: i64,
        mode: &str,
    ) -> Read<Array> {
        let extent = i64::try_from(x.fixed(axis)?).map_err(|_| "an axis is too long")?;
        super::bounded(&[usize::try_from(before.saturating_add(behind).saturating_add(extent)).unwrap_or(usize::MAX)])?;
        let inside = |position: i64| match mode {
            "reflect" if position < 0 => Some(-position),
            "reflect" if position >= extent => Some(2 * (extent - 1) - position),
            "replicate" => Some(position.clamp(0, extent - 1)),
            "circular" => Some(position.rem_euclid(extent.max(1))),
            _ if mode == "reflect" => Some(position),
            _ => None,
        };
        let positions = (-before..extent + behind).map(inside).collect::<Option<Vec<i64>>>();
        self.select_positions(x, axis, positions.ok_or_else(|| format!("the padding mode `{mode}`"))?)
    }

    /// The positions along axes moved on, those that leave at one end coming in at the other.
    pub(crate) fn roll(&mut self, x: &Array, axis: usize, shift: i64) -> Read<Array> {
        let extent = i64::try_from(x.fixed(axis)?).map_err(|_| "an axis is too long")?;
        let positions = (0..extent).map(|position| (position - shift.rem_euclid(extent)).rem_euclid(extent)).collect();
        self.select_positions(x, axis, positions)
    }

    /// The positions along an axis in reverse.
    pub(crate) fn flip(&mut self, x: &Array, axis: usize) -> Read<Array> {
        let extent = x.fixed(axis)? as i64;
        self.select_positions(x, axis, (0..extent).rev().collect())
    }

    /// The whole repeated so often along each axis, with new axes in front.
    pub(crate) fn repeat(&mut self, x: &Array, times: &[Size]) -> Read<Array> {
        let lead = times.len().checked_sub(x.rank()).ok_or("there are fewer repetitions than axes")?;
        let mut y = self.viewed(x, [&vec![Extent::Fixed(1); lead], x.shape.as_slice()].concat())?;
        for (axis, times) in times.iter().enumerate() {
            let times = match *times {
                Size::Number(times) => Extent::Fixed(usize::try_from(times).map_err(|_| "it repeats less than never")?),
                Size::Extent(extent) => extent,
            };
            if times == Extent::Fixed(1) {
                continue;
            }
            let own = y.shape[axis];
            let repeated = own.times(times).ok_or("two axes would depend on the samples")?;
            let with_axis = self.unsqueeze(&y, axis as i64)?;
            let mut wide = with_axis.shape.clone();
            wide[axis] = times;
            let wide = self.expand_to(&with_axis, &wide)?;
            let mut shape = y.shape.clone();
            shape[axis] = repeated;
            y = self.viewed(&wide, shape)?;
        }
        Ok(y)
    }

    /// Each element so often in a row along an axis.
    pub(crate) fn repeat_interleave(&mut self, x: &Array, axis: usize, times: usize) -> Read<Array> {
        let extent = x.fixed(axis)?;
        let positions =
            super::bounded(&[extent, times]).map(|count| (0..count).map(|i| (i / times.max(1)) as i64).collect())?;
        self.select_positions(x, axis, positions)
    }

    /// With `write` over the positions start, start + step, … along an axis.
    pub(crate) fn overwrite(&mut self, x: &Array, write: &Array, axis: usize, positions: &[usize]) -> Read<Array> {
        let extent = x.fixed(axis)?;
        let mut source = vec![None; extent];
        for (from, &to) in positions.iter().enumerate() {
            *source.get_mut(to).ok_or_else(|| format!("there is no position {to} of {extent}"))? = Some(from);
        }
        let mut shape = x.shape.clone();
        shape[axis] = Extent::Fixed(positions.len());
        let write = self.cast(write, x.kind)?;
        let write = self.expand_to(&write, &shape)?;
        let write = self.whole(&write)?;
        let x = if write.sample_axis().is_some() || x.sample_axis().is_none() { x.clone() } else { self.whole(x)? };
        // Both beside each other, then each position from the one or the other.
        let both = self.concatenate(&[x, write], axis)?;
        let order = source.iter().enumerate().map(|(at, from)| from.map_or(at, |from| extent + from) as i64).collect();
        self.select_positions(&both, axis, order)
    }
}

/// The shape that numbers ask for where the number of samples is one of their factors. It is found by what lies in front:
/// row by row, the elements keep their places. A network that was traced for one sample shows nothing of it: there the axis
/// is taken in front of which lies as much as before, and who reads the network checks that samples do not mix.
fn resolve_traced(shape: &[Extent], sizes: &[Size], traced: usize) -> Option<Vec<Extent>> {
    let axis = shape.iter().position(|extent| extent.depends_on_samples())?;
    let number = |extent: &Extent| match extent {
        Extent::Fixed(extent) => Some(*extent),
        Extent::Samples(times) => times.checked_mul(traced),
    };
    let numbers = shape.iter().map(number).collect::<Option<Vec<usize>>>()?;
    let product = |numbers: &[usize]| numbers.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    let (all, before) = (product(&numbers)?, product(&numbers[..axis])?);
    let given = sizes.iter().map(|size| match size {
        Size::Number(-1) => Some(None),
        Size::Number(number) => usize::try_from(*number).ok().map(Some),
        Size::Extent(extent) => number(extent).map(Some),
    });
    let given = given.collect::<Option<Vec<Option<usize>>>>()?;
    let rest = all.checked_div(given.iter().flatten().try_fold(1_usize, |product, &n| product.checked_mul(n))?)?;
    let given: Vec<usize> = given.into_iter().map(|n| n.unwrap_or(rest)).collect();
    if product(&given)? != all || traced == 0 {
        return None;
    }
    let behind = before.checked_mul(numbers[axis])?;
    let (mut passed, mut found) = (1_usize, None);
    for (place, &extent) in given.iter().enumerate() {
        let end = passed.checked_mul(extent)?;
        let touches =
            if traced == 1 { passed == before } else { passed < behind && end > before && extent % traced == 0 };
        if touches && (found.is_none() || passed == before) {
            found = Some(place);
        }
        if found.is_some() && passed >= before {
            break;
        }
        passed = end;
    }
    let found = found?;
    let extent = |(place, &n): (usize, &usize)| match place == found {
        true => Extent::Samples(n / traced),
        false => Extent::Fixed(n),
    };
    Some(given.iter().enumerate().map(extent).collect())
}
