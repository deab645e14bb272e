//! How samples are divided into micro-batches.

use std::ops::Range;

use basin_tape::Footprint;

/// Samples that are worked on at a time at most: beyond, nothing gets faster.
const SAMPLES: usize = 1024;
/// Micro-batches that are worked on side by side at most.
const SIDE_BY_SIDE: usize = 8;
/// Samples of a micro-batch below which its own parallel kernels are cut too small.
const LEAST_SAMPLES: usize = 32;
/// What a micro-batch takes at least, in products of its own, unless there are two: more would rather add up products than
/// compute them.
const PRODUCTS: u64 = 4;

/// Samples in micro-batches of one size, but for a shorter last one, of which some are worked on side by side: small
/// matrices and the seams between kernels leave cores idle within one micro-batch, which others then use.
///
/// It depends on the samples, on what they take and on the memory, never on the number of threads, and neither do sums
/// over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// All samples.
    pub(super) samples: usize,
    /// Samples of a micro-batch.
    pub(super) size: usize,
    /// Micro-batches that are worked on at a time.
    pub(super) side_by_side: usize,
}

impl Division {
    /// One micro-batch of all samples.
    pub(super) fn whole(samples: usize) -> Self {
        Self { samples, size: samples, side_by_side: 1 }
    }

    /// As many samples at a time as fit into `memory` bytes when one takes `footprint`. Without an `asked` size, they are
    /// divided into micro-batches side by side whose products take `vector` bytes each, but on a GPU, which takes them as
    /// one.
    pub(super) fn new(
        samples: usize,
        asked: Option<usize>,
        footprint: Footprint,
        vector: u64,
        memory: u64,
        on_cpu: bool,
    ) -> Self {
        let per_sample = (footprint.kept + footprint.sweep).max(1) as u64;
        let fitting = usize::try_from(memory / per_sample).unwrap_or(SAMPLES).clamp(1, SAMPLES).min(samples);
        let most = if on_cpu { SIDE_BY_SIDE } else { 1 };
        match asked {
            Some(size) => {
                let size = size.min(samples);
                Self { samples, size, side_by_side: (fitting / size).clamp(1, most) }
            }
            None => {
                let paying = fitting as u64 * per_sample / (PRODUCTS * vector).max(1);
                let side_by_side = (fitting / LEAST_SAMPLES).clamp(1, most).min(paying.max(2) as usize);
                Self { samples, size: fitting.div_ceil(side_by_side), side_by_side }
            }
        }
    }

    /// The samples of each micro-batch.
    pub(super) fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.samples).step_by(self.size).map(move |start| start..(start + self.size).min(self.samples))
    }

    /// The samples that are worked on at a time.
    pub(super) fn samples_at_a_time(self) -> usize {
        (self.size * self.side_by_side).min(self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOTPRINT: Footprint = Footprint { kept: 600, sweep: 400 };

    fn division(samples: usize, asked: Option<usize>, memory: u64, on_cpu: bool) -> (usize, usize) {
        let Division { size, side_by_side, .. } = Division::new(samples, asked, FOOTPRINT, 1000, memory, on_cpu);
        (size, side_by_side)
    }

    #[test]
    fn samples_are_worked_on_side_by_side_as_memory_allows() {
        assert_eq!(division(5000, None, 1 << 30, true), (128, 8));
        assert_eq!(division(100, None, 1 << 30, true), (34, 3));
        assert_eq!(division(10, None, 1 << 30, true), (10, 1));
        assert_eq!(division(5000, None, 100_000, true), (34, 3));
        assert_eq!(division(5000, None, 0, true), (1, 1));
    }

    #[test]
    fn products_as_large_as_their_micro_batches_are_few() {
        let side_by_side = |vector| Division::new(1024, None, FOOTPRINT, vector, 1 << 30, true).side_by_side;
        assert_eq!([1, 32_000, 80_000, 1 << 30].map(side_by_side), [8, 8, 3, 2]);
    }

    #[test]
    fn a_gpu_takes_one_micro_batch_at_a_time() {
        assert_eq!(division(5000, None, 1 << 30, false), (1024, 1));
        assert_eq!(division(5000, Some(16), 1 << 30, false), (16, 1));
    }

    #[test]
    fn an_asked_size_is_kept() {
        assert_eq!(division(5000, Some(16), 1 << 30, true), (16, 8));
        assert_eq!(division(5000, Some(2048), 1 << 30, true), (2048, 1));
        assert_eq!(division(5000, Some(16), 0, true), (16, 1));
        assert_eq!(division(7, Some(16), 1 << 30, true), (7, 1));
    }

    #[test]
    fn every_sample_is_in_one_micro_batch() {
        for (samples, asked) in [(1, None), (7, Some(3)), (9, Some(3)), (2500, None)] {
            let ranges: Vec<Range<usize>> =
                Division::new(samples, asked, FOOTPRINT, 1000, 1 << 30, true).ranges().collect();
            assert_eq!(ranges.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..samples).collect::<Vec<_>>());
        }
    }
}
