//! Two-dimensional convolution and its two adjoints as products with patch matrices.
//!
//! The patch matrix of a tile has one row per (channel, kernel row, kernel column) and one column per output position.
//! A tile holds so few positions that its patch matrix stays in the second-level cache, and spans several images where
//! one image has few positions; no patch matrix of a whole batch is ever built. Work is shared by blocks of images.

use candle_core::Tensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::matmul::{Matrix, multiply};
use super::{Element, Guard, tensor};
use crate::Result;
use crate::ops::Conv2d;

/// Bytes of a tile's patch matrix: half of a common second-level cache.
const TILE_BYTES: usize = 512 * 1024;
/// Positions below which a product has too few columns to run well.
const MIN_POSITIONS: usize = 64;
/// Partial sums of the weight's adjoint; fixed, so that the order of additions does not depend on threads.
const PARTIAL_SUMS: usize = 8;

/// The sizes of one convolution, per group.
struct Sizes {
    images: usize,
    groups: usize,
    /// Input channels of a group, height and width.
    input: (usize, usize, usize),
    /// Output channels of a group, height and width.
    output: (usize, usize, usize),
    kernel: (usize, usize),
    positions_per_tile: usize,
}

impl Sizes {
    fn new<T>(geometry: &Conv2d, input: &[usize], weight: &[usize]) -> Result<Self> {
        let (out_height, out_width) = geometry.output_size(input, weight)?;
        let depth = weight[1] * weight[2] * weight[3];
        let fitting = TILE_BYTES / (depth * size_of::<T>()).max(1);
        Ok(Self {
            images: input[0],
            groups: geometry.groups,
            input: (weight[1], input[2], input[3]),
            output: (weight[0] / geometry.groups, out_height, out_width),
            kernel: (weight[2], weight[3]),
            positions_per_tile: fitting.max(MIN_POSITIONS),
        })
    }

    /// Rows of the patch matrix.
    fn depth(&self) -> usize {
        self.input.0 * self.kernel.0 * self.kernel.1
    }

    /// Output positions of one image.
    fn positions(&self) -> usize {
        self.output.1 * self.output.2
    }

    fn input_len(&self) -> usize {
        self.groups * self.input.0 * self.input.1 * self.input.2
    }

    fn output_len(&self) -> usize {
        self.groups * self.output.0 * self.positions()
    }

    /// Images which one block of work covers: as many as fill a tile, at least one.
    fn images_per_block(&self) -> usize {
        (self.positions_per_tile / self.positions().max(1)).clamp(1, self.images.max(1))
    }

    /// The tiles of a block of `images` images, as ranges of positions counted through the block.
    fn tiles(&self, images: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (total, step) = (images * self.positions(), self.positions_per_tile);
        (0..total).step_by(step).map(move |start| start..(start + step).min(total))
    }
}

/// Calls `visit(row, column, input_offset, count)` for the runs of a tile's patch matrix that read consecutive inputs
/// `stride` apart: `count` entries from (row, column) on are the inputs at `input_offset + i·stride`, within a block.
fn for_each_run(
    geometry: &Conv2d,
    sizes: &Sizes,
    group: usize,
    tile: &std::ops::Range<usize>,
    mut visit: impl FnMut(usize, usize, usize, usize),
) {
    let (channels, height, width) = sizes.input;
    let (_, _, out_width) = sizes.output;
    let (kernel_height, kernel_width) = sizes.kernel;
    let positions = sizes.positions();
    let mut position = tile.start;
    while position < tile.end {
        let (image, in_image) = (position / positions, position % positions);
        let (out_row, out_column) = (in_image / out_width, in_image % out_width);
        let count = (out_width - out_column).min(tile.end - position);
        let base = image * sizes.input_len() + group * channels * height * width;
        for kernel_row in 0..kernel_height {
            let padded_row = out_row * geometry.stride.0 + kernel_row * geometry.dilation.0;
            let Some(row) = padded_row.checked_sub(geometry.padding.0).filter(|&row| row < height) else { continue };
            for kernel_column in 0..kernel_width {
                let offset = kernel_column * geometry.dilation.1;
                let (first, last) = geometry.columns_inside(offset, width, out_column, out_column + count);
                if first >= last {
                    continue;
                }
                let column = first * geometry.stride.1 + offset - geometry.padding.1;
                for channel in 0..channels {
                    let patch_row = (channel * kernel_height + kernel_row) * kernel_width + kernel_column;
                    visit(
                        patch_row,
                        position - tile.start + first - out_column,
                        base + (channel * height + row) * width + column,
                        last - first,
                    );
                }
            }
        }
        position += count;
    }
}

/// Fills the patch matrix of a tile from the inputs of a block.
fn gather_patches<T: Element>(
    geometry: &Conv2d,
    sizes: &Sizes,
    group: usize,
    tile: &std::ops::Range<usize>,
    input: &[T],
    patches: &mut [T],
) {
    let columns = tile.len();
    if geometry.padding != (0, 0) {
        patches.fill(T::ZERO);
    }
    for_each_run(geometry, sizes, group, tile, |row, column, offset, count| {
        let run = &mut patches[row * columns + column..][..count];
        if geometry.stride.1 == 1 {
            run.copy_from_slice(&input[offset..][..count]);
        } else {
            run.iter_mut().zip(input[offset..].iter().step_by(geometry.stride.1)).for_each(|(p, &x)| *p = x);
        }
    });
}

/// Adds a patch matrix back onto the inputs of a block: the adjoint of `gather_patches`.
fn scatter_patches<T: Element>(
    geometry: &Conv2d,
    sizes: &Sizes,
    group: usize,
    tile: &std::ops::Range<usize>,
    patches: &[T],
    input: &mut [T],
) {
    let columns = tile.len();
    for_each_run(geometry, sizes, group, tile, |row, column, offset, count| {
        let run = &patches[row * columns + column..][..count];
        if geometry.stride.1 == 1 {
            input[offset..][..count].iter_mut().zip(run).for_each(|(x, &p)| *x += p);
        } else {
            input[offset..].iter_mut().step_by(geometry.stride.1).zip(run).for_each(|(x, &p)| *x += p);
        }
    });
}

/// The segments of a tile, image by image: (start in the tile, image, start in the image, length).
fn image_segments(
    sizes: &Sizes,
    tile: &std::ops::Range<usize>,
) -> impl Iterator<Item = (usize, usize, usize, usize)> + use<> {
    let (positions, tile) = (sizes.positions(), tile.clone());
    (tile.start / positions..tile.end.div_ceil(positions)).map(move |image| {
        let start = tile.start.max(image * positions);
        let end = tile.end.min((image + 1) * positions);
        (start - tile.start, image, start - image * positions, end - start)
    })
}

/// Copies the output channels of a group at a tile's positions into a (channels, positions) matrix.
fn gather_outputs<T: Element>(
    sizes: &Sizes,
    group: usize,
    tile: &std::ops::Range<usize>,
    output: &[T],
    matrix: &mut [T],
) {
    for (at, image, from, count) in image_segments(sizes, tile) {
        for channel in 0..sizes.output.0 {
            let plane = (image * sizes.groups + group) * sizes.output.0 + channel;
            matrix[channel * tile.len() + at..][..count]
                .copy_from_slice(&output[plane * sizes.positions() + from..][..count]);
        }
    }
}

/// Writes a (channels, positions) matrix to the output channels of a group, adding the bias of each channel.
fn scatter_outputs<T: Element>(
    sizes: &Sizes,
    group: usize,
    tile: &std::ops::Range<usize>,
    matrix: &[T],
    bias: Option<&[T]>,
    output: &mut [T],
) {
    for (at, image, from, count) in image_segments(sizes, tile) {
        for channel in 0..sizes.output.0 {
            let shift = bias.map_or(T::ZERO, |bias| bias[group * sizes.output.0 + channel]);
            let plane = (image * sizes.groups + group) * sizes.output.0 + channel;
            let target = &mut output[plane * sizes.positions() + from..][..count];
            target.iter_mut().zip(&matrix[channel * tile.len() + at..]).for_each(|(y, &m)| *y = m + shift);
        }
    }
}

/// The rows of a weight tensor that belong to a group, as a (channels, depth) matrix.
fn group_weights<'a, T>(sizes: &Sizes, group: usize, weights: &'a [T]) -> Matrix<'a, T> {
    let len = sizes.output.0 * sizes.depth();
    Matrix::row_major(&weights[group * len..][..len], sizes.depth())
}

/// The elements of pairs of tensors in row-major order.
type SlicePairs<'a, T> = [(&'a [T], &'a [T])];

/// Runs `kernel` on the elements of all tensors of a list of pairs.
fn with_pairs<T: Element, R>(pairs: &[(&Tensor, &Tensor)], kernel: impl FnOnce(&SlicePairs<T>) -> R) -> Result<R> {
    let tensors =
        pairs.iter().map(|(a, b)| Ok((a.contiguous()?, b.contiguous()?))).collect::<Result<Vec<(Tensor, Tensor)>>>()?;
    let guards: Vec<_> = tensors.iter().map(|(a, b)| (Guard::new(a), Guard::new(b))).collect();
    let slices = guards.iter().map(|(a, b)| Ok((a.elements()?, b.elements()?))).collect::<Result<Vec<_>>>()?;
    Ok(kernel(&slices))
}

pub(crate) fn conv2d_sum<T: Element>(
    geometry: &Conv2d,
    pairs: &[(&Tensor, &Tensor)],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let sizes = Sizes::new::<T>(geometry, pairs[0].0.dims(), pairs[0].1.dims())?;
    let shape = [sizes.images, sizes.groups * sizes.output.0, sizes.output.1, sizes.output.2];
    let mut output = vec![T::ZERO; sizes.images * sizes.output_len()];
    let block = sizes.images_per_block();
    if output.is_empty() {
        return tensor(output, &shape);
    }
    let bias = bias.map(|bias| bias.to_vec1::<T>()).transpose()?;
    with_pairs::<T, _>(pairs, |pairs| {
        output.par_chunks_mut(block * sizes.output_len()).enumerate().for_each_init(
            || (Vec::new(), Vec::new()),
            |(patches, product), (index, output)| {
                let first = index * block * sizes.input_len();
                for group in 0..sizes.groups {
                    for tile in sizes.tiles(output.len() / sizes.output_len()) {
                        patches.resize(sizes.depth() * tile.len(), T::ZERO);
                        product.resize(sizes.output.0 * tile.len(), T::ZERO);
                        for (i, (x, w)) in pairs.iter().enumerate() {
                            gather_patches(geometry, &sizes, group, &tile, &x[first..], patches);
                            multiply(
                                product,
                                (sizes.output.0, sizes.depth(), tile.len()),
                                group_weights(&sizes, group, w),
                                Matrix::row_major(patches, tile.len()),
                                i > 0,
                                Parallelism::None,
                            );
                        }
                        scatter_outputs(&sizes, group, &tile, product, bias.as_deref(), output);
                    }
                }
            },
        );
    })?;
    tensor(output, &shape)
}

pub(crate) fn conv2d_input_adjoint_sum<T: Element>(
    geometry: &Conv2d,
    input_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let sizes = Sizes::new::<T>(geometry, input_shape, pairs[0].0.dims())?;
    let mut input = vec![T::ZERO; input_shape.iter().product()];
    let block = sizes.images_per_block();
    if input.is_empty() {
        return tensor(input, input_shape);
    }
    with_pairs::<T, _>(pairs, |pairs| {
        input.par_chunks_mut(block * sizes.input_len()).enumerate().for_each_init(
            || (Vec::new(), Vec::new()),
            |(patches, outputs), (index, input)| {
                let first = index * block * sizes.output_len();
                for group in 0..sizes.groups {
                    for tile in sizes.tiles(input.len() / sizes.input_len()) {
                        patches.resize(sizes.depth() * tile.len(), T::ZERO);
                        outputs.resize(sizes.output.0 * tile.len(), T::ZERO);
                        for (i, (w, y)) in pairs.iter().enumerate() {
                            gather_outputs(&sizes, group, &tile, &y[first..], outputs);
                            multiply(
                                patches,
                                (sizes.depth(), sizes.output.0, tile.len()),
                                group_weights(&sizes, group, w).transposed(),
                                Matrix::row_major(outputs, tile.len()),
                                i > 0,
                                Parallelism::None,
                            );
                        }
                        scatter_patches(geometry, &sizes, group, &tile, patches, input);
                    }
                }
            },
        );
    })?;
    tensor(input, input_shape)
}

pub(crate) fn conv2d_weight_adjoint_sum<T: Element>(
    geometry: &Conv2d,
    weight_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let sizes = Sizes::new::<T>(geometry, pairs[0].0.dims(), weight_shape)?;
    let len: usize = weight_shape.iter().product();
    let block = sizes.images_per_block();
    let blocks = sizes.images.div_ceil(block);
    let partial_sums: Vec<Vec<T>> = with_pairs::<T, _>(pairs, |pairs| {
        (0..PARTIAL_SUMS.min(blocks))
            .into_par_iter()
            .map(|part| {
                let mut weights = vec![T::ZERO; len];
                let (mut patches, mut outputs) = (Vec::new(), Vec::new());
                for index in (part..blocks).step_by(PARTIAL_SUMS) {
                    let images = block.min(sizes.images - index * block);
                    for (x, y) in pairs {
                        let (x, y) =
                            (&x[index * block * sizes.input_len()..], &y[index * block * sizes.output_len()..]);
                        for group in 0..sizes.groups {
                            for tile in sizes.tiles(images) {
                                patches.resize(sizes.depth() * tile.len(), T::ZERO);
                                outputs.resize(sizes.output.0 * tile.len(), T::ZERO);
                                gather_patches(geometry, &sizes, group, &tile, x, &mut patches);
                                gather_outputs(&sizes, group, &tile, y, &mut outputs);
                                let group_len = sizes.output.0 * sizes.depth();
                                multiply(
                                    &mut weights[group * group_len..][..group_len],
                                    (sizes.output.0, tile.len(), sizes.depth()),
                                    Matrix::row_major(&outputs, tile.len()),
                                    Matrix::row_major(&patches, tile.len()).transposed(),
                                    true,
                                    Parallelism::None,
                                );
                            }
                        }
                    }
                }
                weights
            })
            .collect()
    })?;
    let mut weights = vec![T::ZERO; len];
    for part in partial_sums {
        weights.iter_mut().zip(part).for_each(|(sum, w)| *sum += w);
    }
    tensor(weights, weight_shape)
}
