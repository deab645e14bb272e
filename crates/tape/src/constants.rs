//! Tensors that are part of a program itself, such as masks and positions: they depend on neither parameters nor samples.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, DeviceLocation, Tensor};

use crate::Result;

/// The constants of a program, kept where and as they were last used.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    given: Vec<Tensor>,
    placed: Mutex<Option<Placed>>,
}

#[derive(Debug)]
struct Placed {
    dtype: DType,
    location: DeviceLocation,
    tensors: Vec<Tensor>,
}

impl Constants {
    pub(crate) fn new(given: Vec<Tensor>) -> Self {
        Self { given, placed: Mutex::default() }
    }

    pub(crate) fn into_given(self) -> Vec<Tensor> {
        self.given
    }

    /// The constants on a device, those of floating point numbers in `dtype`. Programs run at many points: the copies of the
    /// last device and dtype are kept.
    pub(crate) fn on(&self, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        if self.given.is_empty() {
            return Ok(Vec::new());
        }
        // A thread that panicked left the copies as they were.
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*placed {
            Some(kept) if kept.dtype == dtype && kept.location == device.location() => Ok(kept.tensors.clone()),
            _ => {
                let place = |constant: &Tensor| {
                    let constant =
                        if constant.dtype().is_float() { constant.to_dtype(dtype)? } else { constant.clone() };
                    constant.to_device(device)
                };
                let tensors = self.given.iter().map(place).collect::<candle_core::Result<Vec<_>>>()?;
                *placed = Some(Placed { dtype, location: device.location(), tensors: tensors.clone() });
                Ok(tensors)
            }
        }
    }
}
