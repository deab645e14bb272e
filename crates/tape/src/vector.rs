//! Sums over whole vectors, accumulated in f64 on their device; only the result crosses to the host.

use candle_core::{DType, Tensor};

use crate::Result;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::normal;

    #[test]
    fn parts_add_up() {
        for length in [1, 1023, 2048, 5000, 3 * 1024] {
            let x = normal(&[length], 1);
            let parts = sum_in_parts(&x).and_then(|sum| Ok(sum.to_scalar::<f64>()?)).expect("a sum");
            assert!((parts - total(&x).expect("a sum")).abs() < 1e-10 * length as f64, "{length}");
        }
    }
}
