//! How named tensors lie in one contiguous vector.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// One named tensor inside the vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tensor's name, as in a PyTorch state_dict.
    pub name: String,
    /// The tensor's shape.
    pub shape: Vec<usize>,
    /// The position of its first element in the vector.
    pub offset: usize,
}

impl Entry {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The names, shapes and offsets of the tensors that make up one vector, row-major one behind the other.
///
/// ```
/// # use basin_tape::Layout;
/// let mut layout = Layout::default();
/// layout.push("fc1.weight", &[3, 2]);
/// layout.push("fc1.bias", &[3]);
/// assert_eq!(layout.len(), 9);
/// assert_eq!(layout.entries()[1].offset, 6);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
}

impl Layout {
    /// Appends a tensor and returns its index.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) -> usize {
        self.entries.push(Entry { name: name.into(), shape: shape.to_vec(), offset: self.len() });
        self.entries.len() - 1
    }

    /// The tensors in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The length of the vector.
    pub fn len(&self) -> usize {
        self.entries.last().map_or(0, |last| last.offset + last.len())
    }

    /// Whether the vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensors as views of a vector: nothing is copied.
    ///
    /// # Errors
    /// When the vector's length is not the layout's.
    pub fn views(&self, vector: &Tensor) -> Result<Vec<Tensor>> {
        if vector.dims() != [self.len()] {
            return Err(Error::Length { what: "the vector", expected: self.len(), found: vector.elem_count() });
        }
        let view = |entry: &Entry| Ok(vector.narrow(0, entry.offset, entry.len())?.reshape(entry.shape.as_slice())?);
        self.entries.iter().map(view).collect()
    }

    /// One vector from the tensors in order, an absent one being zero: the inverse of [`views`](Self::views).
    ///
    /// # Errors
    /// When the tensors' dtypes or devices differ.
    pub fn join(&self, tensors: Vec<Option<Tensor>>, dtype: DType, device: &Device) -> Result<Tensor> {
        let flat = |(entry, tensor): (&Entry, Option<Tensor>)| match tensor {
            Some(tensor) => tensor.flatten_all(),
            None => Tensor::zeros(entry.len(), dtype, device),
        };
        let parts = self.entries.iter().zip(tensors).map(flat).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(match parts.as_slice() {
            // CUDA has no empty memory.
            [] => Tensor::zeros(0, dtype, &Device::Cpu)?,
            parts => Tensor::cat(parts, 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::normal;

    #[test]
    fn joining_the_views_gives_the_vector_back() {
        let mut layout = Layout::default();
        layout.push("a", &[2, 3]);
        layout.push("b", &[]);
        layout.push("c", &[4]);
        let vector = normal(&[11], 1);
        let views = layout.views(&vector).expect("views").into_iter().map(Some).collect();
        let joined = layout.join(views, DType::F64, &Device::Cpu).expect("joined");
        assert_eq!(joined.to_vec1::<f64>().expect("f64"), vector.to_vec1::<f64>().expect("f64"));
    }

    #[test]
    fn a_vector_of_another_length_is_refused() {
        let mut layout = Layout::default();
        layout.push("a", &[2]);
        assert!(matches!(layout.views(&normal(&[3], 1)), Err(Error::Length { expected: 2, found: 3, .. })));
    }
}
