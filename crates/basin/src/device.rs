//! The device that `--device` names.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use basin_objective::{Error, Result, nearest};
use candle_core::{Device, DeviceLocation};

use crate::exit::tell;

/// The device of a name: `auto`, `cpu`, `cuda` or `cuda:N`.
pub(crate) fn named(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(automatic()),
        "cuda" => demanded(name, 0),
        _ => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(ordinal)) => demanded(name, ordinal),
            Some(Err(_)) => Err(Error::input(
                format!("unknown device `{name}`: `cuda:` is followed by the number of a GPU"),
                "write it like `cuda:0`",
            )),
            None => {
                let hint = match nearest(name, &["auto", "cpu", "cuda"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "known: auto, cpu, cuda, cuda:N".into(),
                };
                Err(Error::input(format!("unknown device `{name}`"), hint))
            }
        },
    }
}

/// The name of a device in records.
pub(crate) fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".into(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// The first GPU where this build can use one and there is one, else the CPU, which is said once.
fn automatic() -> Device {
    static CHOSEN: OnceLock<Device> = OnceLock::new();
    let choose = || {
        if !cfg!(feature = "cuda") {
            return Device::Cpu;
        }
        open(0).unwrap_or_else(|cause| {
            tell(&format!("no CUDA device could be opened, computing on the CPU: {cause}"));
            Device::Cpu
        })
    };
    CHOSEN.get_or_init(choose).clone()
}

/// A GPU, or why there is none.
fn demanded(name: &str, ordinal: usize) -> Result<Device> {
    if !cfg!(feature = "cuda") {
        return Err(Error::input(
            format!("device `{name}`: this basin was built without CUDA"),
            "use `--device cpu`, or build with `--features cuda` where NVIDIA's toolkit is installed",
        ));
    }
    open(ordinal).map_err(|cause| {
        Error::input(
            format!("device `{name}` could not be opened: {cause}"),
            "use `--device cpu`, or see `nvidia-smi` for the driver and the numbers of the GPUs",
        )
    })
}

/// Opens a GPU once: each further handle would load all kernels again.
fn open(ordinal: usize) -> std::result::Result<Device, String> {
    static OPEN: OnceLock<Mutex<HashMap<usize, Device>>> = OnceLock::new();
    let mut open = OPEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(&ordinal) {
        return Ok(device.clone());
    }
    // What follows the first line is a backtrace.
    let cause = |error: candle_core::Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let device = Device::new_cuda(ordinal).map_err(cause)?;
    open.insert(ordinal, device.clone());
    Ok(device)
}
