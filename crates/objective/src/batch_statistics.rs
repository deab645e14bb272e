//! What the batch norms of a program saw of one batch.

use basin_tape::Tape;
use basin_tape::ops::Normalize;
use candle_core::Tensor;

use crate::Result;

/// The mean and the unbiased variance per channel of the values that each batch norm with batch statistics normalised,
/// with the index of the buffer that tracks them: what PyTorch moves its running statistics towards. A batch of one
/// value per channel has no variance, its batch norm is left out.
///
/// ```
/// use basin_objective::batch_statistics;
/// use basin_objective::models::{BatchNorm, Model};
/// use candle_core::{DType, Device, Tensor};
///
/// let model = Model::new(&"mlp:2-3-2:relu:bn".parse()?, &[2], 2)?;
/// let (theta, buffers) = (model.initial_parameters(0, DType::F64)?, model.initial_buffers(DType::F64)?);
/// let program = model.program(BatchNorm::Batch);
/// let batch = Tensor::new(&[[0.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
/// let tape = program.record(&program.at(&theta, &buffers)?, &[&batch])?;
/// let statistics = batch_statistics(&tape)?;
/// assert_eq!(model.buffers().entries()[statistics[0].0].name, "bn1.running_mean");
/// assert_eq!(statistics[0].1.dims(), [3]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When candle fails.
pub fn batch_statistics(tape: &Tape) -> Result<Vec<(usize, Tensor)>> {
    let mut found = Vec::new();
    for statistics in tape.program().batch_statistics() {
        let saved = tape.saved(statistics.normalized);
        let (mean, variance) = (saved[Normalize::MEAN].flatten_all()?, saved[Normalize::VARIANCE].flatten_all()?);
        let count = tape.value(statistics.normalized).elem_count() / mean.elem_count();
        if count < 2 {
            continue;
        }
        let unbiased = (variance * (count as f64 / (count - 1) as f64))?;
        found.extend([(statistics.mean, mean), (statistics.variance, unbiased)]);
    }
    Ok(found)
}
