//! Diagonal blocks of a matrix: the curvature in some of the parameters with the others held fixed.

use std::ops::Range;

use basin_objective::{Error, Result, nearest};
use basin_tape::Layout;
use candle_core::{D, DType, Device, Tensor};

use super::SymmetricOperator;

/// Some of the parameters, as ranges of the parameter vector in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterGroup {
    /// What names them: a layer, or the patterns that chose them.
    pub name: String,
    /// Their positions, ascending and disjoint.
    pub ranges: Vec<Range<usize>>,
}

impl ParameterGroup {
    /// The parameters whose names match any of `patterns`, in which `*` stands for any characters: `conv1.*`, `*.bias`.
    ///
    /// ```
    /// use basin_sharpness::ParameterGroup;
    /// use basin_tape::Layout;
    ///
    /// let mut layout = Layout::default();
    /// layout.push("fc1.weight", &[3, 2]);
    /// layout.push("fc1.bias", &[3]);
    /// layout.push("fc2.weight", &[1, 3]);
    /// let biases = ParameterGroup::matching(&layout, &["*.bias"])?;
    /// assert_eq!(biases.ranges, [6..9]);
    /// assert!(ParameterGroup::matching(&layout, &["fc3.*"]).is_err());
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a pattern matches no parameter.
    pub fn matching(layout: &Layout, patterns: &[impl AsRef<str>]) -> Result<Self> {
        let patterns: Vec<&str> = patterns.iter().map(AsRef::as_ref).collect();
        let names: Vec<&str> = layout.entries().iter().map(|entry| entry.name.as_str()).collect();
        if let Some(idle) = patterns.iter().find(|pattern| !names.iter().any(|name| matches(pattern, name))) {
            let hint = match nearest(idle, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`*` stands for any characters; there are {}", names.join(", ")),
            };
            return Err(Error::input(format!("no parameter's name matches `{idle}`"), hint));
        }
        let chosen =
            layout.entries().iter().filter(|entry| patterns.iter().any(|pattern| matches(pattern, &entry.name)));
        let ranges = chosen.map(|entry| entry.offset..entry.offset + entry.len());
        Ok(Self { name: patterns.join(","), ranges: joined(ranges) })
    }

    /// One group per layer: the parameters that share what stands before the last dot of their names.
    ///
    /// ```
    /// # use basin_sharpness::ParameterGroup;
    /// # use basin_tape::Layout;
    /// # let mut layout = Layout::default();
    /// layout.push("fc1.weight", &[3, 2]);
    /// layout.push("fc1.bias", &[3]);
    /// layout.push("fc2.weight", &[1, 3]);
    /// let layers = ParameterGroup::layers(&layout);
    /// assert_eq!((layers[0].name.as_str(), layers[0].len()), ("fc1", 9));
    /// assert_eq!((layers[1].name.as_str(), layers[1].len()), ("fc2", 3));
    /// ```
    pub fn layers(layout: &Layout) -> Vec<Self> {
        let mut layers: Vec<Self> = Vec::new();
        for entry in layout.entries() {
            let name = entry.name.rsplit_once('.').map_or(entry.name.as_str(), |(layer, _)| layer);
            let range = entry.offset..entry.offset + entry.len();
            match layers.iter_mut().find(|layer| layer.name == name) {
                Some(layer) => layer.ranges.push(range),
                None => layers.push(Self { name: name.to_owned(), ranges: vec![range] }),
            }
        }
        for layer in &mut layers {
            layer.ranges = joined(std::mem::take(&mut layer.ranges).into_iter());
        }
        layers
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These elements of a vector (P), or of each row of (K, P).
    ///
    /// # Errors
    /// When a range exceeds the vector.
    pub fn gather(&self, v: &Tensor) -> Result<Tensor> {
        let parts = self.ranges.iter().map(|range| v.narrow(D::Minus1, range.start, range.len()));
        Ok(Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, D::Minus1)?)
    }

    /// The vector (P), or rows of them, that has these elements and is 0 elsewhere: the transpose of
    /// [`gather`](Self::gather).
    ///
    /// # Errors
    /// When the number of elements is not the group's.
    pub fn scatter(&self, v: &Tensor, dimension: usize) -> Result<Tensor> {
        let leading = &v.dims()[..v.rank() - 1];
        let zeros = |len: usize| Tensor::zeros([leading, &[len]].concat(), v.dtype(), v.device());
        let (mut parts, mut at, mut taken) = (Vec::new(), 0, 0);
        for range in &self.ranges {
            if range.start > at {
                parts.push(zeros(range.start - at)?);
            }
            parts.push(v.narrow(D::Minus1, taken, range.len())?);
            (at, taken) = (range.end, taken + range.len());
        }
        if dimension > at {
            parts.push(zeros(dimension - at)?);
        }
        Ok(Tensor::cat(&parts, D::Minus1)?)
    }
}

/// Ascending ranges with neighbours made one.
fn joined(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges.filter(|range| !range.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// Whether a name matches a pattern in which `*` stands for any characters, none included.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.into_iter().any(|at| matches(after, &rest[at..]))
        }),
    }
}

/// The diagonal block of A in a group of parameters, Eᵀ A E with the columns of E the group's unit vectors.
///
/// One product costs as much as one with the whole of A.
///
/// ```
/// use basin_sharpness::{Block, ParameterGroup, SymmetricOperator};
/// use candle_core::{Device, Tensor};
///
/// let matrix = Tensor::new(&[[2.0, 1.0, 0.0], [1.0, 4.0, 5.0], [0.0, 5.0, 3.0]], &Device::Cpu)?;
/// let group = ParameterGroup { name: "last two".into(), ranges: vec![1..3] };
/// let block = Block::new(&matrix, &group)?;
/// assert_eq!(block.apply(&Tensor::new(&[1.0, 0.0], &Device::Cpu)?)?.to_vec1::<f64>()?, [4.0, 5.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
pub struct Block<'a> {
    operator: &'a dyn SymmetricOperator,
    group: &'a ParameterGroup,
}

impl<'a> Block<'a> {
    /// The block of `operator` in `group`.
    ///
    /// # Errors
    /// When the group is empty or reaches beyond the operator.
    pub fn new(operator: &'a dyn SymmetricOperator, group: &'a ParameterGroup) -> Result<Self> {
        let dimension = operator.dimension();
        if group.is_empty() || group.ranges.last().is_some_and(|last| last.end > dimension) {
            return Err(Error::input(
                format!("`{}` is no part of a matrix of {dimension} parameters", group.name),
                "choose at least one parameter of the model",
            ));
        }
        Ok(Self { operator, group })
    }
}

impl SymmetricOperator for Block<'_> {
    fn dimension(&self) -> usize {
        self.group.len()
    }

    fn device(&self) -> &Device {
        self.operator.device()
    }

    fn dtype(&self) -> DType {
        self.operator.dtype()
    }

    fn apply(&self, v: &Tensor) -> Result<Tensor> {
        let whole = self.group.scatter(v, self.operator.dimension())?;
        self.group.gather(&self.operator.apply(&whole)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_characters() {
        for (pattern, name) in [
            ("conv1.*", "conv1.weight"),
            ("*", ""),
            ("*.bias", "a.b.bias"),
            ("a*b*c", "abbc"),
            ("fc1.weight", "fc1.weight"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("conv1.*", "conv10.weight"), ("a*b", "ac"), ("fc1", "fc1.weight"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
