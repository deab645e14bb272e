//! A row for each sample: held in memory, or read from files each time rows are asked for.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::dataset::check_finite;
use crate::{Error, Result};

/// Rows that are read at a time where all are wanted.
const AT_A_TIME: usize = 512;

/// Where rows are read from.
pub(super) trait Source: fmt::Debug + Send + Sync {
    /// The rows at these positions, (positions, …).
    fn read(&self, positions: &[usize]) -> Result<Tensor>;
}

/// A row for each sample, all of one shape and type. Those of data that memory could not hold stay in their files and are read
/// each time they are asked for.
///
/// ```
/// use basin_objective::data::Rows;
/// use candle_core::{Device, Tensor};
///
/// let rows = Rows::from(Tensor::new(&[[1.0_f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu)?);
/// assert_eq!((rows.samples(), rows.dims()), (3, &[3, 2][..]));
/// assert_eq!(rows.rows(1..2)?.to_vec2::<f32>()?, [[3.0, 4.0]]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rows {
    dims: Vec<usize>,
    dtype: DType,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Held(Tensor),
    Stored { source: Arc<dyn Source>, positions: Positions },
}

/// Which rows of a source these are.
#[derive(Clone, Debug)]
enum Positions {
    /// Consecutive ones from the first.
    From(usize),
    /// Chosen ones.
    Chosen(Arc<[usize]>),
}

impl Positions {
    fn of(&self, range: Range<usize>) -> Vec<usize> {
        match self {
            Self::From(first) => range.map(|row| first + row).collect(),
            Self::Chosen(chosen) => chosen[range].to_vec(),
        }
    }
}

impl From<Tensor> for Rows {
    fn from(tensor: Tensor) -> Self {
        Self { dims: tensor.dims().to_vec(), dtype: tensor.dtype(), content: Content::Held(tensor) }
    }
}

impl Rows {
    /// So many rows of a source, which are as its first one.
    pub(super) fn stored(source: Arc<dyn Source>, samples: usize) -> Result<Self> {
        let first = source.read(&[0])?;
        let mut dims = first.dims().to_vec();
        dims[0] = samples;
        Ok(Self { dims, dtype: first.dtype(), content: Content::Stored { source, positions: Positions::From(0) } })
    }

    /// The shape of all rows, the samples' axis first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The type of their numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of rows.
    pub fn samples(&self) -> usize {
        self.dims.first().copied().unwrap_or(0)
    }

    /// The shape of a row.
    pub fn row_shape(&self) -> &[usize] {
        self.dims.get(1..).unwrap_or_default()
    }

    /// Bytes that all rows take in memory.
    pub fn bytes(&self) -> u64 {
        self.dims.iter().fold(self.dtype.size_in_bytes() as u64, |bytes, &extent| bytes.saturating_mul(extent as u64))
    }

    /// Whether they are in memory.
    pub fn are_held(&self) -> bool {
        matches!(self.content, Content::Held(_))
    }

    /// All rows.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.content {
            Content::Held(tensor) => Ok(tensor.clone()),
            Content::Stored { .. } => {
                let all = Tensor::zeros(self.dims.as_slice(), self.dtype, &Device::Cpu)?;
                self.each_part(|start, part| Ok(all.slice_set(&part.contiguous()?, 0, start)?))?;
                Ok(all)
            }
        }
    }

    /// Consecutive rows.
    ///
    /// # Errors
    /// When there are none such, or they cannot be read.
    pub fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        match &self.content {
            Content::Held(tensor) => Ok(tensor.narrow(0, range.start, range.len())?),
            Content::Stored { source, positions } => {
                let rows = source.read(&positions.of(range))?;
                check_finite("numbers of a micro-batch", &rows)
                    .map_err(|(fault, hint)| Error::input(format!("the inputs that are read: {fault}"), hint))?;
                Ok(rows)
            }
        }
    }

    /// Hands on all rows in order, some at a time, with the position of the first of them.
    pub(super) fn each_part(&self, mut take: impl FnMut(usize, Tensor) -> Result<()>) -> Result<()> {
        let samples = self.samples();
        let starts = (0..samples).step_by(AT_A_TIME);
        starts.into_iter().try_for_each(|start| take(start, self.rows(start..(start + AT_A_TIME).min(samples))?))
    }

    /// The rows of a range, which are not read yet where they are not held.
    pub(super) fn part(&self, range: Range<usize>) -> Result<Self> {
        let content = match &self.content {
            Content::Held(tensor) => return Ok(tensor.narrow(0, range.start, range.len())?.into()),
            Content::Stored { source, positions: Positions::From(first) } => {
                Content::Stored { source: source.clone(), positions: Positions::From(first + range.start) }
            }
            Content::Stored { source, positions } => {
                let chosen = Positions::Chosen(positions.of(range.clone()).into());
                Content::Stored { source: source.clone(), positions: chosen }
            }
        };
        Ok(self.with(range.len(), content))
    }

    /// The rows at some positions, each of them one of these.
    pub(super) fn select(&self, chosen: &[usize]) -> Result<Self> {
        match &self.content {
            Content::Held(tensor) => {
                let positions: Vec<i64> = chosen.iter().map(|&position| position as i64).collect();
                let positions = Tensor::new(positions, &Device::Cpu)?;
                Ok(tensor.contiguous()?.index_select(&positions, 0)?.into())
            }
            Content::Stored { source, positions } => {
                let positions = chosen.iter().flat_map(|&row| positions.of(row..row + 1)).collect();
                let content = Content::Stored { source: source.clone(), positions: Positions::Chosen(positions) };
                Ok(self.with(chosen.len(), content))
            }
        }
    }

    /// The same rows in memory where they take no more than `most` bytes.
    pub(super) fn held_within(self, most: u64) -> Result<Self> {
        match self.are_held() || self.bytes() > most {
            true => Ok(self),
            false => Ok(self.tensor()?.into()),
        }
    }

    fn with(&self, samples: usize, content: Content) -> Self {
        let mut dims = self.dims.clone();
        dims[0] = samples;
        Self { dims, dtype: self.dtype, content }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Row i is (i, −i).
    #[derive(Debug)]
    struct Numbered;

    impl Source for Numbered {
        fn read(&self, positions: &[usize]) -> Result<Tensor> {
            let rows: Vec<f32> = positions.iter().flat_map(|&i| [i as f32, -(i as f32)]).collect();
            Ok(Tensor::from_vec(rows, (positions.len(), 2), &Device::Cpu)?)
        }
    }

    #[test]
    fn stored_rows_are_those_that_would_be_held() {
        let stored = Rows::stored(Arc::new(Numbered), 1300).unwrap();
        let held = stored.clone().held_within(u64::MAX).unwrap();
        assert!(held.are_held() && !stored.are_held());
        assert_eq!(stored.bytes(), 1300 * 8);
        assert!(!stored.clone().held_within(1300 * 8 - 1).unwrap().are_held());
        let same = |a: &Rows, b: &Rows| {
            assert_eq!(a.dims(), b.dims());
            let values = |rows: &Rows| rows.tensor().unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(values(a), values(b));
        };
        same(&stored, &held);
        same(&stored.part(600..1300).unwrap(), &held.part(600..1300).unwrap());
        let chosen = [7, 0, 1299, 7];
        let (of_stored, of_held) = (stored.select(&chosen).unwrap(), held.select(&chosen).unwrap());
        same(&of_stored, &of_held);
        same(&of_stored.part(1..3).unwrap(), &of_held.part(1..3).unwrap());
        same(&of_stored.select(&[3, 2]).unwrap(), &of_held.select(&[3, 2]).unwrap());
        same(&stored.part(5..10).unwrap().select(&[4]).unwrap(), &held.select(&[9]).unwrap());
    }
}
