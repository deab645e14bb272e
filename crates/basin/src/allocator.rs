//! The allocator of the program.
//!
//! Every sweep makes and drops tensors of many megabytes. The system's allocator hands such blocks back at once, and the
//! next sweep faults each of their pages in again: a relu then costs three times its own work. This one keeps what was once
//! used, whatever its size, on huge pages where the system has some: the program never takes more than its peak. Memory that
//! one thread gave back another can use only within an arena, so there are few.

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(unix)]
const SETTINGS: &[u8] = b"narenas:2,thp:always,oversize_threshold:0,dirty_decay_ms:-1\0";

/// Where jemalloc looks for its settings.
#[cfg(unix)]
#[expect(unsafe_code, reason = "a symbol that jemalloc reads: a pointer to a string that ends with a zero byte")]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: Option<&'static u8> = Some(&SETTINGS[0]);
