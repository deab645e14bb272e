//! A vector of the parameters' length as a sweep leaves it.

use candle_core::{DType, Device, Tensor};

use crate::layout::Layout;
use crate::{Result, kernels};

/// A vector of the parameters' length in parts, one for each parameter: sums over micro-batches read them where they lie.
#[derive(Clone, Debug)]
pub struct Product<'p> {
    pub(crate) layout: &'p Layout,
    /// For each parameter its part; absent where zero.
    pub(crate) parts: Vec<Option<Tensor>>,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
}

impl Product<'_> {
    /// The vector, (P).
    ///
    /// # Errors
    /// When candle fails.
    pub fn joined(self) -> Result<Tensor> {
        self.layout.join(self.parts, self.dtype, &self.device)
    }
}

/// A vector that waits to be added: parts with the positions at which they begin, in order; zero elsewhere.
type Summand = Vec<(usize, Tensor)>;

/// Vectors that wait to be added in one pass over memory.
const WAITING: usize = 8;

/// The sum of vectors, added in order in f64 so that many small parts lose no digits.
///
/// ```
/// use basin_tape::Sum;
/// use candle_core::{DType, Device, Tensor};
///
/// let mut sum = Sum::default();
/// for part in [[1.0_f32, 2.0], [3.0, 4.0]] {
///     sum.add(Tensor::new(&part, &Device::Cpu)?)?;
/// }
/// assert_eq!(sum.scaled(0.5, DType::F32)?.to_vec1::<f32>()?, [2.0, 3.0]);
/// # Ok::<(), basin_tape::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Sum {
    shape: Vec<usize>,
    /// In f64.
    total: Option<Tensor>,
    waiting: Vec<Summand>,
}

impl Sum {
    /// Adds a vector, or a number, of the shape of the others.
    ///
    /// # Errors
    /// When candle fails.
    pub fn add(&mut self, vector: Tensor) -> Result<()> {
        self.shape = vector.dims().to_vec();
        self.push(vec![(0, vector)])
    }

    /// Adds a product of the others' length.
    ///
    /// # Errors
    /// When candle fails.
    pub fn add_product(&mut self, product: Product) -> Result<()> {
        if !product.device.is_cpu() {
            return self.add(product.joined()?);
        }
        self.shape = vec![product.layout.len()];
        let parts = product.layout.entries().iter().zip(product.parts);
        self.push(parts.filter_map(|(entry, part)| Some((entry.offset, part?))).collect())
    }

    fn push(&mut self, summand: Summand) -> Result<()> {
        self.waiting.push(summand);
        if self.waiting.len() == WAITING {
            self.total = Some(self.sum(1.0, DType::F64)?);
            self.waiting.clear();
        }
        Ok(())
    }

    fn sum(&self, scale: f64, dtype: DType) -> Result<Tensor> {
        kernels::scaled_sum(&self.shape, self.total.as_ref(), &self.waiting, scale, dtype)
    }

    /// The sum times a number, in a dtype.
    ///
    /// # Errors
    /// When candle fails.
    pub fn scaled(self, scale: f64, dtype: DType) -> Result<Tensor> {
        self.sum(scale, dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::normal;

    fn elements(x: &Tensor) -> Vec<f64> {
        x.to_dtype(DType::F64).and_then(|x| x.to_vec1::<f64>()).expect("f64")
    }

    #[test]
    fn vectors_add_up_however_many_there_are() {
        for dtype in [DType::F32, DType::F64] {
            for count in [1, 3, WAITING, 2 * WAITING + 1] {
                let (mut sum, mut expected) = (Sum::default(), vec![0.0; 10_000]);
                for part in 0..count {
                    let part = normal(&[10_000], part as u64).to_dtype(dtype).expect("a cast");
                    expected.iter_mut().zip(elements(&part)).for_each(|(sum, x)| *sum += x);
                    sum.add(part).expect("a sum");
                }
                let found = elements(&sum.scaled(0.5, DType::F64).expect("a sum"));
                assert!(found.iter().zip(expected).all(|(a, b)| *a == 0.5 * b));
            }
        }
    }

    #[test]
    fn products_add_up_as_their_joined_vectors() {
        let mut layout = Layout::default();
        // Parts larger and smaller than what one thread adds at a time, and one without elements.
        for (name, shape) in [("a", &[100, 91][..]), ("b", &[]), ("c", &[0]), ("d", &[20_000]), ("e", &[7])] {
            layout.push(name, shape);
        }
        let product = |seed: u64, absent: usize| {
            let entries = layout.entries().iter().enumerate();
            let parts = entries.map(|(i, entry)| (i != absent).then(|| normal(&entry.shape, seed + i as u64)));
            Product { layout: &layout, parts: parts.collect(), dtype: DType::F64, device: Device::Cpu }
        };
        let (mut in_parts, mut joined) = (Sum::default(), Sum::default());
        for (seed, absent) in [(1, 0), (10, 3), (20, 9)] {
            in_parts.add_product(product(seed, absent)).expect("a sum");
            joined.add(product(seed, absent).joined().expect("a vector")).expect("a sum");
        }
        let [in_parts, joined] = [in_parts, joined].map(|sum| sum.scaled(2.0, DType::F64).expect("a sum"));
        assert_eq!(elements(&in_parts), elements(&joined));
    }

    #[test]
    fn the_kernel_equals_the_portable_composition() {
        let summands = [1, 2, 3].map(|seed| vec![(0, normal(&[100], seed))]);
        for total in [None, Some(normal(&[100], 4))] {
            let ours = kernels::scaled_sum(&[100], total.as_ref(), &summands, 0.3, DType::F32).expect("a sum");
            let portable = kernels::portable::scaled_sum(total.as_ref(), &summands, 0.3, DType::F32).expect("a sum");
            assert_eq!(elements(&ours), elements(&portable));
        }
    }
}
