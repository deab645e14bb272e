//! Pooling.

use super::Reader;
use super::convolution::{padded, reach, sides};
use crate::graph::{Array, Read, Windows};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "MaxPool" => max_pool,
        "AveragePool" => average_pool,
        "GlobalAveragePool" => |c| {
            let x = c.array(0)?;
            Ok(vec![c.graph.mean(&x, &(2..x.rank()).collect::<Vec<_>>(), true)?])
        },
        "GlobalMaxPool" => |c| {
            let x = c.array(0)?;
            Ok(vec![c.graph.extremum(&x, &(2..x.rank()).collect::<Vec<_>>(), true, true)?])
        },
        _ => return None,
    })
}

/// The windows and what is added in front of and behind each axis. Without strides they stand a step apart.
fn windows(c: &Call, x: &Array) -> Read<(Windows, Vec<(usize, usize)>)> {
    let (kernel, dilation) = (c.counts("kernel_shape")?, c.counts("dilations")?);
    if kernel.len() + 2 != x.rank() {
        return Err(format!("windows of {kernel:?} for {} axes", x.rank()).into());
    }
    let stride = Some(c.counts("strides")?).filter(|strides| !strides.is_empty()).unwrap_or(vec![1; kernel.len()]);
    let sides = sides(c, x, &reach(&kernel, &dilation), &stride)?;
    let ceil_mode = c.truth("ceil_mode", false);
    Ok((Windows { kernel, stride, padding: vec![], dilation, ceil_mode }, sides))
}

fn max_pool(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let (mut windows, sides) = windows(c, &x)?;
    let (x, padding) = padded(c, &x, &sides, f64::NEG_INFINITY)?;
    windows.padding = padding;
    let axes = windows.kernel.len();
    Ok(vec![c.graph.max_pool(&x, &windows, axes)?])
}

fn average_pool(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let (mut windows, sides) = windows(c, &x)?;
    let count_padding = c.truth("count_include_pad", false);
    let even = sides.iter().all(|(before, behind)| before == behind);
    if !even && !count_padding {
        return Err("averages that leave out other padding in front than behind".into());
    }
    let (x, padding) = padded(c, &x, &sides, 0.0)?;
    windows.padding = padding;
    match windows.kernel.len() {
        3 => Ok(vec![c.graph.average_pool_of_depth(&x, &windows)?]),
        axes => Ok(vec![c.graph.average_pool(&x, &windows, count_padding, axes)?]),
    }
}
