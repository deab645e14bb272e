//! The adjoint of a convolution in its weight, w̄[o, c, p] = Σ over images and positions g of ȳ[o, g] · padded[c, s·g + p],
//! as tiles of output channels by taps and channels, summed over positions.
//!
//! For this the images are laid out with their channels last: the entries that a kernel row meets at one position then
//! lie side by side.

use rayon::prelude::*;

use super::SlicePairs;
use super::correlation::Correlation;
use crate::kernels::cpu::Element;
use crate::kernels::cpu::simd::{Microkernel, Rows};

/// Partial sums; fixed, so that the order of additions does not depend on threads.
const PARTIAL_SUMS: usize = 8;
/// Positions that are summed in registers before they are added to a partial sum.
const TILE_POSITIONS: usize = 1024;

/// A register of kernel entries: where it starts in an image with its channels last, from a position's own place, and
/// the entries of the weight, within an output channel, that its lanes belong to.
struct Column {
    start: usize,
    entries: Vec<usize>,
}

/// The registers that cover all channels and taps: each row of taps side by side where its columns are dense.
fn columns(correlation: &Correlation, lanes: usize) -> Vec<Column> {
    let sources = correlation.group_sources();
    let width = correlation.source.pitch();
    let mut lines: Vec<(usize, Vec<usize>)> = Vec::new();
    for tap in &correlation.sums[0].taps {
        let start = (tap.shift.0 * width + tap.shift.1) * sources;
        let entries = (0..sources).map(|channel| channel * correlation.entries + tap.entry);
        match lines.last_mut() {
            Some((first, line)) if *first + line.len() == start => line.extend(entries),
            _ => lines.push((start, entries.collect())),
        }
    }
    let registers = lines.iter().flat_map(|(start, line)| {
        (*start..)
            .step_by(lanes)
            .zip(line.chunks(lanes))
            .map(|(start, entries)| Column { start, entries: entries.to_vec() })
    });
    registers.collect()
}

/// Buffers of one piece of work.
struct Buffers<T> {
    padded: Vec<T>,
    channels_last: Vec<T>,
    panels: Vec<T>,
    tile: Vec<T>,
}

/// Σ over pairs (x, ȳ) of the adjoint of the convolution of x in its weight, applied to ȳ.
pub(super) fn adjoint_sum<T: Element>(
    kernel: &Microkernel<T>,
    correlation: &Correlation,
    images: usize,
    pairs: &SlicePairs<T>,
) -> Vec<T> {
    let plane = correlation.target.1 * correlation.target.2;
    let len = correlation.target.0 * correlation.group_sources() * correlation.entries;
    if plane == 0 || images == 0 {
        return vec![T::ZERO; len];
    }
    let block = TILE_POSITIONS.div_ceil(plane).min(images.div_ceil(PARTIAL_SUMS));
    let blocks = images.div_ceil(block);
    let columns = columns(correlation, kernel.lanes);
    let parts: Vec<Vec<T>> = (0..PARTIAL_SUMS.min(blocks))
        .into_par_iter()
        .map(|part| {
            let mut weights = vec![T::ZERO; len];
            let mut buffers = Buffers { padded: vec![], channels_last: vec![], panels: vec![], tile: vec![] };
            for index in (part..blocks).step_by(PARTIAL_SUMS) {
                let images = index * block..((index + 1) * block).min(images);
                for pair in pairs {
                    add_block(kernel, correlation, &columns, images.clone(), *pair, &mut buffers, &mut weights);
                }
            }
            weights
        })
        .collect();
    let mut parts = parts.into_iter();
    let mut weights = parts.next().unwrap_or_default();
    for part in parts {
        weights.iter_mut().zip(part).for_each(|(sum, w)| *sum += w);
    }
    weights
}

/// Adds what some images contribute.
fn add_block<T: Element>(
    kernel: &Microkernel<T>,
    correlation: &Correlation,
    columns: &[Column],
    images: std::ops::Range<usize>,
    (x, y): (&[T], &[T]),
    buffers: &mut Buffers<T>,
    weights: &mut [T],
) {
    let plane = correlation.target.1 * correlation.target.2;
    let (source_len, target_len) = (correlation.source.image_len(), correlation.target.0 * plane);
    let (targets, sources) = (correlation.group_targets(), correlation.group_sources());
    let depth = sources * correlation.entries;
    let x = correlation.source.pad(&x[images.start * source_len..images.end * source_len], &mut buffers.padded);
    let y = &y[images.start * target_len..images.end * target_len];
    let pixels = correlation.source.padded.0 * correlation.source.pitch();
    let positions = images.len() * plane;
    buffers.tile.resize(kernel.channels * kernel.width(), T::ZERO);

    for group in 0..correlation.groups {
        // A register may reach behind the last entry of a kernel row.
        buffers.channels_last.resize(images.len() * pixels * sources + kernel.lanes, T::ZERO);
        for image in 0..images.len() {
            let source = &x[(image * correlation.groups + group) * sources * pixels..];
            let target = &mut buffers.channels_last[image * pixels * sources..];
            transpose(source, (sources, pixels), pixels, target, sources);
        }
        for first in (0..positions).step_by(TILE_POSITIONS) {
            let tile = first..(first + TILE_POSITIONS).min(positions);
            let rows: Rows = tile.clone().map(|position| correlation.place(position) * sources).collect();
            let panel_len = tile.len() * kernel.channels;
            pack_panels(kernel.channels, correlation, group, tile, y, &mut buffers.panels);
            for columns in columns.chunks(kernel.vectors) {
                let starts: Vec<usize> =
                    (0..kernel.vectors).map(|i| columns.get(i).unwrap_or(&columns[0]).start).collect();
                let panels = (0..targets).step_by(kernel.channels).zip(buffers.panels.chunks_exact(panel_len));
                for (first, panel) in panels {
                    buffers.tile.fill(T::ZERO);
                    kernel.add_products(panel, &buffers.channels_last, &rows, &starts, &mut buffers.tile);
                    let rows = buffers.tile.chunks_exact(kernel.width()).take(targets - first);
                    for (target, row) in (group * targets + first..).zip(rows) {
                        let weights = &mut weights[target * depth..][..depth];
                        for (column, sums) in columns.iter().zip(row.chunks_exact(kernel.lanes)) {
                            column.entries.iter().zip(sums).for_each(|(&entry, &sum)| weights[entry] += sum);
                        }
                    }
                }
            }
        }
    }
}

/// The output's adjoint at some positions of a block of images, as panels: for each tile of `channels` channels of a
/// group, the numbers of these channels position by position.
fn pack_panels<T: Element>(
    channels: usize,
    correlation: &Correlation,
    group: usize,
    positions: std::ops::Range<usize>,
    y: &[T],
    panels: &mut Vec<T>,
) {
    let plane = correlation.target.1 * correlation.target.2;
    let targets = correlation.group_targets();
    let panel_len = positions.len() * channels;
    panels.clear();
    panels.resize(targets.div_ceil(channels) * panel_len, T::ZERO);
    for (first, panel) in (0..targets).step_by(channels).zip(panels.chunks_exact_mut(panel_len)) {
        let mut from = positions.start;
        while from < positions.end {
            let (image, inside) = (from / plane, from % plane);
            let count = (plane - inside).min(positions.end - from);
            let channel = image * correlation.target.0 + group * targets + first;
            let size = (channels.min(targets - first), count);
            transpose(
                &y[channel * plane + inside..],
                size,
                plane,
                &mut panel[(from - positions.start) * channels..],
                channels,
            );
            from += count;
        }
    }
}

/// Writes the transpose of a (rows, columns) matrix; rows lie `pitch` apart, those of the transpose `transposed_pitch`.
fn transpose<T: Element>(
    matrix: &[T],
    (rows, columns): (usize, usize),
    pitch: usize,
    transposed: &mut [T],
    transposed_pitch: usize,
) {
    const N: usize = 8;
    for first_row in (0..rows).step_by(N) {
        for first in (0..columns).step_by(N) {
            if first_row + N <= rows && first + N <= columns {
                let mut block = [[T::ZERO; N]; N];
                for (i, row) in block.iter_mut().enumerate() {
                    row.copy_from_slice(&matrix[(first_row + i) * pitch + first..][..N]);
                }
                for j in 0..N {
                    let column: [T; N] = std::array::from_fn(|i| block[i][j]);
                    transposed[(first + j) * transposed_pitch + first_row..][..N].copy_from_slice(&column);
                }
            } else {
                for row in first_row..rows.min(first_row + N) {
                    for column in first..columns.min(first + N) {
                        transposed[column * transposed_pitch + row] = matrix[row * pitch + column];
                    }
                }
            }
        }
    }
}
