//! Tensors that depend on shapes alone, such as the positions of a convolution's patches: made on the host once and kept
//! on their device, so that no sweep copies them there again.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::{DType, Device, DeviceLocation, Tensor};

use crate::Result;

/// Constants kept before all are dropped: far more than the layers of a model have, so that a program which meets ever
/// new shapes does not fill the memory.
const MOST: usize = 1024;

type Key = (&'static str, Vec<usize>, DType, DeviceLocation);

static KEPT: LazyLock<Mutex<HashMap<Key, Tensor>>> = LazyLock::new(Mutex::default);

/// The constant of a name and the sizes it depends on, which `make` makes on the host where it is not kept yet.
pub(crate) fn constant(
    name: &'static str,
    sizes: &[usize],
    dtype: DType,
    device: &Device,
    make: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    let key = (name, sizes.to_vec(), dtype, device.location());
    // A thread that panicked left the map as it was.
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(constant) = kept.get(&key) {
        return Ok(constant.clone());
    }
    let constant = make()?.to_dtype(dtype)?.to_device(device)?;
    if kept.len() == MOST {
        kept.clear();
    }
    kept.insert(key, constant.clone());
    Ok(constant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_made_once_for_each_size_and_type() {
        let made = std::cell::Cell::new(0);
        let get = |size: usize, dtype| {
            constant("test", &[size], dtype, &Device::Cpu, || {
                made.set(made.get() + 1);
                Ok(Tensor::ones(size, DType::F64, &Device::Cpu)?)
            })
            .expect("a constant")
        };
        assert_eq!(get(2, DType::F64).dims(), [2]);
        assert_eq!(get(2, DType::F64).dims(), [2]);
        assert_eq!(get(2, DType::F32).dtype(), DType::F32);
        assert_eq!(get(3, DType::F64).dims(), [3]);
        assert_eq!(made.get(), 3);
    }
}
