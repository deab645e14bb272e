//! Values at many points of parameter space.

use basin_objective::{Objective, Result};
use candle_core::Device;
use rayon::prelude::*;

/// Points that are evaluated side by side at most.
const SIDE_BY_SIDE: usize = 8;
/// Elements of the parameter vectors of all points that are evaluated side by side.
const PARAMETERS: usize = 1 << 24;

/// The values at some points: on a CPU several are worked on at a time, and handed to `keep` together as soon as they are
/// known, in the order of the points. No value depends on how many there are at a time, nor on the number of threads.
///
/// ```
/// use basin_landscape::evaluate;
/// use basin_objective::{Objective, Quadratic};
/// use candle_core::{Device, Tensor};
///
/// let zero = Tensor::new(&[0.0, 0.0], &Device::Cpu)?;
/// let quadratic = Quadratic::new(Tensor::new(&[[2.0, 0.0], [0.0, 6.0]], &Device::Cpu)?, zero)?;
/// let points = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
/// let loss = |point: &[f64; 2]| Ok(quadratic.evaluate(&Tensor::new(point, &Device::Cpu)?)?.loss);
/// let mut losses = Vec::new();
/// evaluate(&quadratic, &points, loss, |_, found| Ok(losses.extend(found)))?;
/// assert_eq!(losses, [0.0, 1.0, 3.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// The first one that `value` or `keep` returns.
pub fn evaluate<P: Sync, T: Send>(
    objective: &dyn Objective,
    points: &[P],
    value: impl Fn(&P) -> Result<T> + Sync,
    mut keep: impl FnMut(&[P], Vec<T>) -> Result<()>,
) -> Result<()> {
    for wave in points.chunks(side_by_side(objective)) {
        let values: Result<Vec<T>> = match wave {
            [one] => value(one).map(|value| vec![value]),
            several => several.par_iter().map(&value).collect(),
        };
        keep(wave, values?)?;
    }
    Ok(())
}

/// How many points are worked on at a time.
fn side_by_side(objective: &dyn Objective) -> usize {
    match objective.device() {
        Device::Cpu => (PARAMETERS / objective.dimension().max(1)).clamp(1, SIDE_BY_SIDE),
        // On a GPU the thread that calls is the one whose stream is in use.
        _ => 1,
    }
}
