//! Sums over and of whole vectors, accumulated in f64 on their device; only results cross to the host.

use candle_core::{DType, Tensor};

use crate::{Result, kernels};

/// Parts in which a long vector is summed on a GPU, where candle gives one sum to one block of threads.
const PARTS: usize = 1024;

/// Σ xᵢ in f64, as a tensor without axes on the device of x.
///
/// # Errors
/// When candle fails.
pub fn sum(x: &Tensor) -> Result<Tensor> {
    let x = x.to_dtype(DType::F64)?;
    if x.device().is_cpu() { Ok(x.sum_all()?) } else { sum_in_parts(&x) }
}

/// ⟨a, b⟩ in f64.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// let a = Tensor::new(&[1.0_f32, 2.0, 3.0], &Device::Cpu)?;
/// assert_eq!(basin_tape::vector::dot(&a, &a)?, 14.0);
/// # Ok::<(), basin_tape::Error>(())
/// ```
///
/// # Errors
/// When the lengths differ, or candle fails.
pub fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    total(&(a.to_dtype(DType::F64)? * b.to_dtype(DType::F64)?)?)
}

/// Σ xᵢ in f64.
///
/// # Errors
/// When candle fails.
pub fn total(x: &Tensor) -> Result<f64> {
    Ok(sum(x)?.to_scalar::<f64>()?)
}

/// The sums of equal parts, then their sum with what is left over.
fn sum_in_parts(x: &Tensor) -> Result<Tensor> {
    let x = x.flatten_all()?;
    let length = x.elem_count() / PARTS;
    let whole = PARTS * length;
    if length < 2 {
        return Ok(x.sum_all()?);
    }
    let parts = x.narrow(0, 0, whole)?.reshape((PARTS, length))?.sum(1)?;
    let sum = parts.sum_all()?;
    let left = x.elem_count() - whole;
    Ok(if left == 0 { sum } else { (sum + x.narrow(0, whole, left)?.sum_all()?)? })
}

/// Vectors that wait to be added in one pass over memory.
const WAITING: usize = 8;

/// The sum of vectors, added in order in f64 so that many small parts lose no digits.
///
/// ```
/// use basin_tape::vector::Sum;
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
    /// In f64.
    total: Option<Tensor>,
    waiting: Vec<Tensor>,
}

impl Sum {
    /// Adds a vector of the shape of the others.
    ///
    /// # Errors
    /// When candle fails.
    pub fn add(&mut self, part: Tensor) -> Result<()> {
        self.waiting.push(part);
        if self.waiting.len() == WAITING {
            self.total = Some(kernels::scaled_sum(self.total.as_ref(), &self.waiting, 1.0, DType::F64)?);
            self.waiting.clear();
        }
        Ok(())
    }

    /// The sum times a number, in a dtype.
    ///
    /// # Errors
    /// When there is nothing to add, or candle fails.
    pub fn scaled(self, scale: f64, dtype: DType) -> Result<Tensor> {
        kernels::scaled_sum(self.total.as_ref(), &self.waiting, scale, dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::normal;

    #[test]
    fn vectors_add_up_however_many_there_are() {
        for dtype in [DType::F32, DType::F64] {
            for count in [1, 3, WAITING, 2 * WAITING + 1] {
                let (mut sum, mut expected) = (Sum::default(), vec![0.0; 10_000]);
                for part in 0..count {
                    let part = normal(&[10_000], part as u64).to_dtype(dtype).expect("a cast");
                    let elements = part.to_dtype(DType::F64).and_then(|x| x.to_vec1::<f64>()).expect("f64");
                    expected.iter_mut().zip(elements).for_each(|(sum, x)| *sum += x);
                    sum.add(part).expect("a sum");
                }
                let found = sum.scaled(0.5, DType::F64).and_then(|x| Ok(x.to_vec1::<f64>()?)).expect("a sum");
                assert!(found.iter().zip(expected).all(|(a, b)| *a == 0.5 * b));
            }
        }
        assert!(Sum::default().scaled(1.0, DType::F64).is_err());
    }

    #[test]
    fn the_kernel_equals_the_portable_composition() {
        let parts = [1, 2, 3].map(|seed| normal(&[100], seed));
        for total in [None, Some(normal(&[100], 4))] {
            let ours = kernels::scaled_sum(total.as_ref(), &parts, 0.3, DType::F32).expect("a sum");
            let portable = kernels::portable::scaled_sum(total.as_ref(), &parts, 0.3, DType::F32).expect("a sum");
            let elements = |x: Tensor| x.to_vec1::<f32>().expect("f32");
            assert_eq!(elements(ours), elements(portable));
        }
    }

    #[test]
    fn parts_add_up() {
        for length in [1, 1023, 2048, 5000, 3 * 1024] {
            let x = normal(&[length], 1);
            let parts = sum_in_parts(&x).and_then(|sum| Ok(sum.to_scalar::<f64>()?)).expect("a sum");
            assert!((parts - total(&x).expect("a sum")).abs() < 1e-10 * length as f64, "{length}");
        }
    }
}
