//! A sum over channels and taps of a padded image, for every position of a grid.
//!
//! target[t, o + d·g] = Σ over sources c and taps p of w[t, c, p] · padded[c, s·g + p], for grid points g
//!
//! with target origin o and step d, and source step s. A convolution is one such sum (d = 1, s its stride, taps the
//! kernel's entries). The adjoint in its input reads the output's adjoint: at stride r it falls into r₀·r₁ sums, one for
//! each residue of the input position (d = r, s = 1), each over the taps that reach positions of that residue.

use std::ops::Range;

use rayon::prelude::*;

use super::padding::Padding;
use crate::kernels::cpu::Element;
use crate::kernels::cpu::simd::{Microkernel, Rows};
use crate::ops::Conv2d;

/// Positions that a block of images holds at least, so that few registers at its end stay empty.
const BLOCK_POSITIONS: usize = 128;

/// An entry of the kernel as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    /// Row and column in the padded image, from the position's own.
    pub(super) shift: (usize, usize),
    /// Its place among the kernel's entries.
    pub(super) entry: usize,
}

/// The sum for one grid of target positions.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) taps: Vec<Tap>,
    pub(super) grid: (usize, usize),
    source_step: (usize, usize),
    target_origin: (usize, usize),
    target_step: (usize, usize),
}

/// A convolution or the adjoint in its input, as sums over taps.
#[derive(Debug)]
pub(super) struct Correlation {
    pub(super) source: Padding,
    /// Channels of all groups, height and width of a target image.
    pub(super) target: (usize, usize, usize),
    pub(super) groups: usize,
    pub(super) sums: Vec<Sum>,
    /// Entries of a kernel plane.
    pub(super) entries: usize,
    /// Whether the weight's first axis runs over the sources, as it does in the adjoint.
    transposed: bool,
}

/// The weights of one [`Sum`], for tiles of channels: per group and tile, one row of channels for each source and tap.
pub(super) struct PackedWeights<T>(Vec<Vec<T>>);

impl Correlation {
    /// The convolution itself, its padded rows laid out in `phases`: 1, or the stride of its columns.
    pub(super) fn forward(
        geometry: &Conv2d,
        input: &[usize],
        weight: &[usize],
        output: (usize, usize),
        phases: usize,
    ) -> Self {
        let size = (input[2], input[3]);
        let source = Padding {
            channels: input[1],
            size,
            before: geometry.padding,
            padded: (size.0 + 2 * geometry.padding.0, size.1 + 2 * geometry.padding.1),
            phases,
        };
        let taps = entries(weight).map(|(entry, row, column)| Tap {
            shift: (row * geometry.dilation.0, source.column(column * geometry.dilation.1)),
            entry,
        });
        Self {
            source,
            target: (weight[0], output.0, output.1),
            groups: geometry.groups,
            sums: vec![Sum {
                taps: taps.collect(),
                grid: output,
                source_step: (geometry.stride.0, geometry.stride.1 / phases),
                target_origin: (0, 0),
                target_step: (1, 1),
            }],
            entries: weight[2] * weight[3],
            transposed: false,
        }
    }

    pub(super) fn input_adjoint(geometry: &Conv2d, input: &[usize], weight: &[usize], output: (usize, usize)) -> Self {
        let rows = Axis {
            size: input[2],
            outputs: output.0,
            kernel: weight[2],
            stride: geometry.stride.0,
            padding: geometry.padding.0,
            dilation: geometry.dilation.0,
        };
        let columns = Axis {
            size: input[3],
            outputs: output.1,
            kernel: weight[3],
            stride: geometry.stride.1,
            padding: geometry.padding.1,
            dilation: geometry.dilation.1,
        };
        let residues = (0..rows.stride).flat_map(|row| (0..columns.stride).map(move |column| (row, column)));
        let sums = residues.map(|(row, column)| {
            let taps = entries(weight).filter_map(|(entry, i, j)| {
                let shift = (rows.tap(row, i)?, columns.tap(column, j)?);
                Some(Tap { shift, entry })
            });
            Sum {
                taps: taps.collect(),
                grid: (rows.grid(row), columns.grid(column)),
                source_step: (1, 1),
                target_origin: (row, column),
                target_step: geometry.stride,
            }
        });
        Self {
            source: Padding {
                channels: weight[0],
                size: output,
                before: (rows.before(), columns.before()),
                padded: (rows.padded(), columns.padded()),
                phases: 1,
            },
            target: (input[1], input[2], input[3]),
            groups: geometry.groups,
            sums: sums.collect(),
            entries: weight[2] * weight[3],
            transposed: true,
        }
    }

    pub(super) fn group_sources(&self) -> usize {
        self.source.channels / self.groups
    }

    pub(super) fn group_targets(&self) -> usize {
        self.target.0 / self.groups
    }

    fn target_len(&self) -> usize {
        self.target.0 * self.target.1 * self.target.2
    }

    /// Where position `position` of a block of images reads a padded channel, in a layout without other channels.
    pub(super) fn place(&self, position: usize) -> usize {
        let sum = &self.sums[0];
        let (image, inside) = (position / (sum.grid.0 * sum.grid.1), position % (sum.grid.0 * sum.grid.1));
        let (row, column) = (inside / sum.grid.1 * sum.source_step.0, inside % sum.grid.1 * sum.source_step.1);
        (image * self.source.padded.0 + row) * self.source.pitch() + column
    }

    /// The rows of a group's patches in padded images: one for each source and tap.
    pub(super) fn patch_rows<'a>(&self, sum: &'a Sum, group: usize) -> impl Iterator<Item = usize> + use<'a> {
        let (height, width) = (self.source.padded.0, self.source.pitch());
        let sources = self.group_sources();
        (group * sources..(group + 1) * sources).flat_map(move |channel| {
            sum.taps.iter().map(move |tap| (channel * height + tap.shift.0) * width + tap.shift.1)
        })
    }

    /// A weight tensor in the order in which tiles of channels read it.
    pub(super) fn pack<T: Element>(&self, kernel: &Microkernel<T>, weight: &[T]) -> PackedWeights<T> {
        let channels = kernel.channels;
        let (sources, targets, entries) = (self.group_sources(), self.group_targets(), self.entries);
        let pack = |sum: &Sum| {
            let mut packed = Vec::with_capacity(self.target.0.next_multiple_of(channels) * sources * sum.taps.len());
            for group in 0..self.groups {
                for tile in (0..targets).step_by(channels) {
                    for source in 0..sources {
                        for tap in &sum.taps {
                            packed.extend((tile..tile + channels).map(|target| {
                                if target >= targets {
                                    T::ZERO
                                } else if self.transposed {
                                    weight[((group * sources + source) * targets + target) * entries + tap.entry]
                                } else {
                                    weight[((group * targets + target) * sources + source) * entries + tap.entry]
                                }
                            }));
                        }
                    }
                }
            }
            packed
        };
        PackedWeights(self.sums.iter().map(pack).collect())
    }

    /// The sums over pairs of images and weights, plus a bias for each target channel.
    pub(super) fn run<T: Element>(
        &self,
        kernel: &Microkernel<T>,
        images: usize,
        pairs: &[(&[T], PackedWeights<T>)],
        bias: Option<&[T]>,
    ) -> Vec<T> {
        let mut target = vec![T::ZERO; images * self.target_len()];
        if target.is_empty() {
            return target;
        }
        let block = BLOCK_POSITIONS.div_ceil(self.target.1 * self.target.2).min(images);
        target.par_chunks_mut(block * self.target_len()).enumerate().for_each_init(
            || (vec![Vec::new(); pairs.len()], Vec::new()),
            |(padded, packed), (index, target)| {
                let images = target.len() / self.target_len();
                let first = index * block * self.source.image_len();
                let sources: Vec<&[T]> = pairs
                    .iter()
                    .zip(padded)
                    .map(|((x, _), padded)| self.source.pad(&x[first..][..images * self.source.image_len()], padded))
                    .collect();
                for (i, sum) in self.sums.iter().enumerate() {
                    let weights: Vec<&[T]> = pairs.iter().map(|(_, weights)| weights.0[i].as_slice()).collect();
                    let factors = sources.iter().copied().zip(weights).collect::<Vec<_>>();
                    self.run_block(kernel, sum, images, &factors, bias, packed, target);
                }
            },
        );
        target
    }

    /// One sum on a block of padded images.
    #[expect(clippy::too_many_arguments, reason = "the inner step of one loop, not an interface")]
    fn run_block<T: Element>(
        &self,
        kernel: &Microkernel<T>,
        sum: &Sum,
        images: usize,
        factors: &[(&[T], &[T])],
        bias: Option<&[T]>,
        packed: &mut Vec<T>,
        target: &mut [T],
    ) {
        let positions = Positions::new(self, sum, images, kernel.lanes);
        let (channels, vectors, width) = (kernel.channels, kernel.vectors, kernel.width());
        let (targets, plane) = (self.group_targets(), self.target.1 * self.target.2);
        let mut tile = vec![T::ZERO; channels * width];
        let rows: Vec<Rows> = (0..self.groups).map(|group| self.patch_rows(sum, group).collect()).collect();
        let depth = rows[0].len();
        let packed_rows: Rows = (0..depth).map(|row| row * width).collect();
        let packed_lanes: Vec<usize> = (0..vectors).map(|vector| vector * kernel.lanes).collect();
        for runs in positions.tiles(width) {
            let direct_lanes = positions.sources(&runs, vectors);
            for group in 0..self.groups {
                if !positions.side_by_side && depth > 0 {
                    packed.resize(factors.len() * depth * width, T::ZERO);
                    for (packed, (x, _)) in packed.chunks_exact_mut(depth * width).zip(factors) {
                        positions.pack(&runs, x, &rows[group], width, packed);
                    }
                }
                for first in (0..targets).step_by(channels) {
                    let channel = group * targets + first;
                    for (row, tile) in tile.chunks_exact_mut(width).enumerate() {
                        tile.fill(bias.and_then(|bias| bias.get(channel + row).copied()).unwrap_or(T::ZERO));
                    }
                    let panel = (group * targets.div_ceil(channels) + first / channels) * depth * channels;
                    for (i, (x, weights)) in factors.iter().enumerate() {
                        let weights = &weights[panel..][..depth * channels];
                        if positions.side_by_side {
                            kernel.add_products(weights, x, &rows[group], &direct_lanes, &mut tile);
                        } else {
                            let packed = &packed[i * depth * width..][..depth * width];
                            kernel.add_products(weights, packed, &packed_rows, &packed_lanes, &mut tile);
                        }
                    }
                    for (row, tile) in tile.chunks_exact(width).take(targets - first).enumerate() {
                        positions.store(&runs, tile, &mut target[(channel + row) * plane..]);
                    }
                }
            }
        }
    }
}

/// The entries of a kernel plane with their rows and columns.
fn entries(weight: &[usize]) -> impl Iterator<Item = (usize, usize, usize)> + Clone + use<> {
    let width = weight[3];
    (0..weight[2] * width).map(move |entry| (entry, entry / width, entry % width))
}

/// One axis of a convolution, seen from its input: position i is reached from output (i + padding − k·dilation)/stride
/// by kernel entry k, where that division leaves no rest.
struct Axis {
    size: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Axis {
    /// Zeros needed before the first output.
    fn before(&self) -> usize {
        ((self.kernel - 1) * self.dilation).saturating_sub(self.padding).div_ceil(self.stride)
    }

    /// Outputs with the zeros before and behind them.
    fn padded(&self) -> usize {
        let last = (self.size.max(1) - 1 + self.padding) / self.stride;
        self.before() + self.outputs.max(last + 1)
    }

    /// Input positions with a residue.
    fn grid(&self, residue: usize) -> usize {
        self.size.saturating_sub(residue).div_ceil(self.stride)
    }

    /// Where kernel entry `k` reads the padded outputs for the first position of a residue.
    fn tap(&self, residue: usize, k: usize) -> Option<usize> {
        let reach = residue + self.padding + self.before() * self.stride;
        let distance = reach.checked_sub(k * self.dilation)?;
        distance.is_multiple_of(self.stride).then_some(distance / self.stride)
    }
}

/// The positions of a grid on a block of images, in runs of equal length that lie side by side in the source.
struct Positions {
    /// The first position of each run, as offsets in a padded channel of the source and in a channel of the target.
    runs: Vec<(usize, usize)>,
    /// Positions in a run: a divisor of the numbers in a register.
    length: usize,
    /// Whether a run fills a register, so that patches are read where they lie.
    side_by_side: bool,
    /// How far apart the positions of a run lie in the target.
    target_step: usize,
}

impl Positions {
    fn new(correlation: &Correlation, sum: &Sum, images: usize, lanes: usize) -> Self {
        let divides = |length: &usize| sum.source_step.1 == 1 && sum.grid.1.is_multiple_of(*length);
        let length = std::iter::successors(Some(lanes), |length| Some(length / 2))
            .find(|length| *length == 1 || divides(length));
        let length = length.unwrap_or(1);
        let (source_width, target_width) = (correlation.source.pitch(), correlation.target.2);
        let mut runs = Vec::with_capacity(images * sum.grid.0 * sum.grid.1 / length);
        for image in 0..images {
            for row in 0..sum.grid.0 {
                let source = image * correlation.source.padded_len() + row * sum.source_step.0 * source_width;
                let target_row = sum.target_origin.0 + row * sum.target_step.0;
                let target = image * correlation.target_len() + target_row * target_width + sum.target_origin.1;
                let columns = (0..sum.grid.1).step_by(length);
                runs.extend(columns.map(|j| (source + j * sum.source_step.1, target + j * sum.target_step.1)));
            }
        }
        Self { runs, length, side_by_side: length == lanes, target_step: sum.target_step.1 }
    }

    /// Runs that fill tiles of `width` positions; the last tile may be shorter.
    fn tiles(&self, width: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (runs, step) = (self.runs.len(), width / self.length);
        (0..runs).step_by(step).map(move |start| start..(start + step).min(runs))
    }

    /// The offsets of runs in the source and in the target.
    fn offsets(&self, runs: &Range<usize>) -> &[(usize, usize)] {
        &self.runs[runs.clone()]
    }

    /// The source offsets of `count` runs; where there are fewer, the first again.
    fn sources(&self, runs: &Range<usize>, count: usize) -> Vec<usize> {
        let offsets = self.offsets(runs);
        (0..count).map(|i| offsets.get(i).unwrap_or(&offsets[0]).0).collect()
    }

    /// The patch matrix of some runs: for each row of offsets in the padded images, `width` positions.
    fn pack<T: Element>(&self, runs: &Range<usize>, x: &[T], rows: &Rows, width: usize, packed: &mut [T]) {
        let offsets = self.offsets(runs);
        match self.length {
            8 => pack_runs::<T, 8>(offsets, x, rows, width, packed),
            4 => pack_runs::<T, 4>(offsets, x, rows, width, packed),
            2 => pack_runs::<T, 2>(offsets, x, rows, width, packed),
            1 => pack_runs::<T, 1>(offsets, x, rows, width, packed),
            length => unreachable!("runs of {length} are read where they lie"),
        }
    }

    /// Writes a row of a tile to its places in a channel of the target.
    fn store<T: Element>(&self, runs: &Range<usize>, tile: &[T], channel: &mut [T]) {
        for (&(_, to), run) in self.offsets(runs).iter().zip(tile.chunks_exact(self.length)) {
            if self.target_step == 1 {
                channel[to..][..self.length].copy_from_slice(run);
            } else {
                channel[to..].iter_mut().step_by(self.target_step).zip(run).for_each(|(y, &sum)| *y = sum);
            }
        }
    }
}

fn pack_runs<T: Element, const N: usize>(
    runs: &[(usize, usize)],
    x: &[T],
    rows: &Rows,
    width: usize,
    packed: &mut [T],
) {
    for (row, packed) in rows.iter().zip(packed.chunks_exact_mut(width)) {
        let x = &x[row..];
        for (&(from, _), packed) in runs.iter().zip(packed.chunks_exact_mut(N)) {
            packed.copy_from_slice(&x[from..from + N]);
        }
    }
}
