//! Memory: what a run will take, and what it took.

use basin_objective::{Network, Objective};

use crate::exit::tell;
use crate::table::number;

/// A peak that is told without being asked for.
const NOTABLE: u64 = 1 << 30;

/// Tells what products with a network's matrices will take at most, beside what the program holds already; where that is
/// little, only if `asked`.
pub(crate) fn announce(network: &Network, asked: bool) {
    let memory = network.memory();
    if !asked && memory.peak() < NOTABLE {
        return;
    }
    let megabytes = |bytes: u64| number(bytes as f64 / 1e6);
    let recomputed = match memory.all > memory.kept {
        true => format!(" of {}, the rest made anew for each product", megabytes(memory.all)),
        false => String::new(),
    };
    // A GPU's memory is not the program's.
    let held = resident("VmRSS:").filter(|_| network.device().is_cpu());
    let peak = match held {
        Some(resident) => format!("about {} MB at its peak: ", megabytes(resident + memory.peak())),
        None => String::new(),
    };
    tell(&format!(
        "memory: {peak}linearizations {} MB{recomputed}, a product {} MB, each Lanczos vector {} MB",
        megabytes(memory.kept),
        megabytes(memory.product),
        megabytes(memory.vector),
    ));
}

/// Tells the largest resident memory of the program so far, where the system counts it.
pub(crate) fn tell_peak() {
    if let Some(peak) = resident("VmHWM:") {
        tell(&format!("peak memory {} MB", number(peak as f64 / 1e6)));
    }
}

/// Bytes of the host's memory that are free for more, where the system counts them.
pub(crate) fn available() -> Option<u64> {
    counted("/proc/meminfo", "MemAvailable:")
}

/// Bytes of a line of Linux's account of this process.
fn resident(name: &str) -> Option<u64> {
    counted("/proc/self/status", name)
}

fn counted(account: &str, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(account).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
