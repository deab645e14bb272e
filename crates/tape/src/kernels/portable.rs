//! The kernels as compositions of candle's operations: they run on every device, and allocate freely.
//!
//! **Nothing crosses between host and device** but the shapes and strides that candle's CUDA kernels take as arguments:
//! tables of positions are kept on the device, see [`constant`]. What is derived from a comparison with a number is written
//! against a tensor of zeros, for candle copies such a number to the device each time.
//!
//! **The same bits from run to run.** Gathers, elementwise functions and candle's sums (a fixed tree of additions in one
//! block of threads) always do the same. cuBLAS does on one GPU, with one version and one stream. `index_add` and
//! `scatter_add` walk through their indices in order, one thread for each row or plane, without atomic additions: always
//! the same, and slow, so that they are used where indices are data (embeddings, the positions of maxima) and nowhere
//! else. Another GPU or version of CUDA may round otherwise.
//!
//! **What is avoided**: candle's CUDA `argmax` does not give the first of equal maxima, and its `relu` and `max` drop NaN.
//! Its kernels count elements in 32 bits, so no tensor may have 2³² of them. CUDA knows no empty tensors: an empty batch
//! is for the CPU.

use candle_core::{D, DType, Device, Tensor};

use super::constants::constant;
use crate::ops::{Conv2d, Pool2d, Real, Scalar};
use crate::{Error, Result};

/// Where a gather finds nothing: candle's `index_select` gives 0 for the largest index.
const NOWHERE: u32 = u32::MAX;

pub(crate) fn matmul_sum(pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (a, b) in pairs {
        sum = crate::op::accumulate(sum, Some(factor(a)?.matmul(&factor(b)?)?))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("matmul", "no factors"))?;
    Ok(match bias {
        Some(bias) => sum.broadcast_add(bias)?,
        None => sum,
    })
}

/// A factor of a matrix product; it is copied where its elements lie neither row by row nor column by column.
fn factor(x: &Tensor) -> Result<Tensor> {
    let lies_well = x.is_contiguous() || x.transpose(D::Minus2, D::Minus1)?.is_contiguous();
    Ok(if lies_well { x.clone() } else { x.contiguous()? })
}

/// A convolution as a matrix product of its weights with patches, (images · groups, depth, positions), where `depth` runs
/// over the channels of a group and the positions of the kernel.
struct Patches<'a> {
    geometry: &'a Conv2d,
    input: [usize; 4],
    kernel: (usize, usize),
    output: (usize, usize),
    depth: usize,
    device: &'a Device,
}

impl<'a> Patches<'a> {
    fn new(geometry: &'a Conv2d, input: &[usize], weight: &[usize], device: &'a Device) -> Result<Self> {
        let output = geometry.output_size(input, weight)?;
        let input = [input[0], input[1], input[2], input[3]];
        let (kernel, depth) = ((weight[2], weight[3]), weight[1] * weight[2] * weight[3]);
        Ok(Self { geometry, input, kernel, output, depth, device })
    }

    /// A table of positions that depends on the geometry.
    fn table(&self, name: &'static str, make: impl FnOnce() -> Vec<u32>) -> Result<Tensor> {
        let Conv2d { stride, padding, dilation, .. } = *self.geometry;
        let pairs = [stride, padding, dilation, self.kernel, (self.input[2], self.input[3])];
        let sizes: Vec<usize> = pairs.into_iter().flat_map(|(a, b)| [a, b]).collect();
        constant(name, &sizes, DType::U32, self.device, || Ok(Tensor::new(make(), &Device::Cpu)?))
    }

    /// The row or column of the image that a kernel position meets at an output position; none in the padding.
    fn met(&self, axis: usize, kernel: usize, output: usize) -> Option<usize> {
        let pick = |pair: (usize, usize)| if axis == 0 { pair.0 } else { pair.1 };
        let Conv2d { stride, padding, dilation, .. } = *self.geometry;
        (output * pick(stride) + kernel * pick(dilation))
            .checked_sub(pick(padding))
            .filter(|&position| position < self.input[2 + axis])
    }

    fn kernel_positions(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        pairs(self.kernel)
    }

    /// For each kernel position, and within it each output position, the position of the image.
    fn sources(&self) -> Vec<u32> {
        let source = |(p, q): (usize, usize), (row, column): (usize, usize)| {
            let met = self.met(0, p, row).zip(self.met(1, q, column));
            met.map_or(NOWHERE, |(h, w)| (h * self.input[3] + w) as u32)
        };
        self.kernel_positions().flat_map(|k| pairs(self.output).map(move |o| source(k, o))).collect()
    }

    /// For each position of the image, and within it each kernel position, the entry of `sources` that leads there: there
    /// is at most one.
    fn entries(&self) -> Vec<u32> {
        let kernel_len = self.kernel.0 * self.kernel.1;
        let mut entries = vec![NOWHERE; self.input[2] * self.input[3] * kernel_len];
        let output_len = self.output.0 * self.output.1;
        for (entry, source) in self.sources().into_iter().enumerate().filter(|(_, source)| *source != NOWHERE) {
            entries[source as usize * kernel_len + entry / output_len] = entry as u32;
        }
        entries
    }

    fn gather(&self, x: &Tensor) -> Result<Tensor> {
        let table = self.table("conv2d sources", || self.sources())?;
        let patches = x.flatten(2, 3)?.contiguous()?.index_select(&table, 2)?;
        Ok(patches.reshape((self.input[0] * self.geometry.groups, self.depth, self.output.0 * self.output.1))?)
    }

    /// The adjoint of `gather`, as a gather too: nothing is added to one place by two threads.
    fn collect(&self, patches: &Tensor) -> Result<Tensor> {
        let [images, channels, height, width] = self.input;
        let table = self.table("conv2d entries", || self.entries())?;
        let kernel_len = self.kernel.0 * self.kernel.1;
        let patches = patches.reshape((images, channels, kernel_len * self.output.0 * self.output.1))?;
        let parts = patches.index_select(&table, 2)?.reshape((images, channels, height * width, kernel_len))?;
        Ok(parts.sum(3)?.reshape((images, channels, height, width))?)
    }

    /// The output's channels by group: (images · groups, channels, positions).
    fn grouped_output(&self, y: &Tensor) -> Result<Tensor> {
        let (images, channels, groups) = (y.dim(0)?, y.dim(1)?, self.geometry.groups);
        Ok(y.reshape((images * groups, channels / groups, self.output.0 * self.output.1))?)
    }

    /// The weights by group, repeated for each image: (images · groups, channels, depth). One group is not copied.
    fn grouped_weights(&self, w: &Tensor) -> Result<Tensor> {
        let (images, groups, channels) = (self.input[0], self.geometry.groups, w.dim(0)? / self.geometry.groups);
        if groups == 1 {
            return Ok(w.reshape((1, channels, self.depth))?.broadcast_as((images, channels, self.depth))?);
        }
        let repeated = w.reshape((1, groups, channels, self.depth))?;
        let repeated = repeated.broadcast_as((images, groups, channels, self.depth))?.contiguous()?;
        Ok(repeated.reshape((images * groups, channels, self.depth))?)
    }

    /// (images · groups, rows, positions) as (groups, rows, images · positions).
    fn images_side_by_side(&self, x: &Tensor) -> Result<Tensor> {
        let (_, rows, positions) = x.dims3()?;
        let by_group = x.reshape((self.input[0], self.geometry.groups, rows, positions))?.permute((1, 2, 0, 3))?;
        Ok(by_group.contiguous()?.reshape((self.geometry.groups, rows, self.input[0] * positions))?)
    }
}

/// All pairs of indices below two numbers, the second one running faster.
fn pairs((rows, columns): (usize, usize)) -> impl Iterator<Item = (usize, usize)> + use<> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

pub(crate) fn conv2d_sum(geometry: &Conv2d, pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, w) = pairs[0];
    let layout = Patches::new(geometry, x.dims(), w.dims(), x.device())?;
    let shape = (x.dim(0)?, w.dim(0)?, layout.output.0, layout.output.1);
    let mut sum: Option<Tensor> = None;
    for (x, w) in pairs {
        sum = crate::op::accumulate(sum, Some(layout.grouped_weights(w)?.matmul(&layout.gather(x)?)?))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("conv2d", "no factors"))?.reshape(shape)?;
    Ok(match bias {
        Some(bias) => sum.broadcast_add(&bias.reshape((1, shape.1, 1, 1))?)?,
        None => sum,
    })
}

pub(crate) fn conv2d_input_adjoint_sum(
    geometry: &Conv2d,
    input_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let w = pairs[0].0;
    let layout = Patches::new(geometry, input_shape, w.dims(), w.device())?;
    let mut sum: Option<Tensor> = None;
    for (w, y) in pairs {
        let product = layout.grouped_weights(w)?.transpose(1, 2)?.matmul(&layout.grouped_output(y)?.contiguous()?)?;
        sum = crate::op::accumulate(sum, Some(product))?;
    }
    layout.collect(&sum.ok_or_else(|| Error::unsupported("conv2d", "no factors"))?)
}

pub(crate) fn conv2d_weight_adjoint_sum(
    geometry: &Conv2d,
    weight_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let x = pairs[0].0;
    let layout = Patches::new(geometry, x.dims(), weight_shape, x.device())?;
    let mut sum: Option<Tensor> = None;
    for (x, y) in pairs {
        // One product over all images: their own products would take the memory of the weights once for each.
        let patches = layout.images_side_by_side(&layout.gather(x)?)?;
        let y = layout.images_side_by_side(&layout.grouped_output(y)?)?;
        sum = crate::op::accumulate(sum, Some(y.matmul(&patches.transpose(1, 2)?)?))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("conv2d", "no factors"))?;
    Ok(sum.reshape(weight_shape)?)
}

pub(crate) fn max_pool2d(geometry: &Pool2d, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (images, channels, height, width) = x.dims4()?;
    let output = geometry.output_size(height, width)?;
    let (windows, window_len) = (output.0 * output.1, geometry.kernel.0 * geometry.kernel.1);
    // One row for each entry of a window, one column for each window. Positions outside are replaced by the first one
    // inside, which changes neither the maximum nor its position.
    let make = || {
        let mut positions = vec![0; window_len * windows];
        for (window, (i, j)) in pairs(output).enumerate() {
            let rows = geometry.window(0, i, height);
            let inside: Vec<usize> =
                rows.flat_map(|row| geometry.window(1, j, width).map(move |column| row * width + column)).collect();
            for entry in 0..window_len {
                positions[entry * windows + window] = inside.get(entry).copied().unwrap_or(inside[0]) as u32;
            }
        }
        Ok(Tensor::new(positions, &Device::Cpu)?)
    };
    let Pool2d { kernel, stride, padding, dilation, ceil_mode } = *geometry;
    let sizes = [kernel, stride, padding, dilation, (height, width), (ceil_mode.into(), 0)];
    let sizes: Vec<usize> = sizes.into_iter().flat_map(|(a, b)| [a, b]).collect();
    let positions = constant("max_pool2d windows", &sizes, DType::U32, x.device(), make)?;

    let planes = x.flatten(2, 3)?.contiguous()?;
    let entry = |k: usize| {
        let at = positions.narrow(0, k * windows, windows)?;
        Ok::<_, Error>((planes.index_select(&at, 2)?, at.broadcast_as((images, channels, windows))?))
    };
    let (mut maxima, mut places) = entry(0)?;
    for k in 1..window_len {
        // Of equal values the first one stays, and a NaN, which is not equal to itself, counts as the maximum.
        let (value, at) = entry(k)?;
        let larger = (value.gt(&maxima)? + value.ne(&value)?)?;
        (maxima, places) = (larger.where_cond(&value, &maxima)?, larger.where_cond(&at, &places)?);
    }
    let shape = (images, channels, output.0, output.1);
    Ok((maxima.reshape(shape)?, places.contiguous()?.reshape(shape)?))
}

pub(crate) fn pick(x: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let planes = x.flatten(2, 3)?.contiguous()?;
    Ok(planes.gather(&positions.flatten(2, 3)?, D::Minus1)?.reshape(positions.dims())?)
}

pub(crate) fn scatter(y: &Tensor, positions: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let zeros = Tensor::zeros((shape[0], shape[1], shape[2] * shape[3]), y.dtype(), y.device())?;
    let sums = zeros.scatter_add(&positions.flatten(2, 3)?, &y.flatten(2, 3)?.contiguous()?, D::Minus1)?;
    Ok(sums.reshape(shape)?)
}

/// The sum along axes, which stay with length 1, accumulated in f64.
pub(crate) fn sum_axes(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    Ok(x.to_dtype(DType::F64)?.sum_keepdim(axes)?.to_dtype(x.dtype())?)
}

pub(crate) fn scaled_sum(
    total: Option<&Tensor>,
    summands: &[Vec<(usize, Tensor)>],
    scale: f64,
    dtype: DType,
) -> Result<Tensor> {
    let mut sum = total.cloned();
    for (_, part) in summands.iter().flatten() {
        sum = crate::op::accumulate(sum, Some(part.to_dtype(DType::F64)?))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("sum", "nothing to add"))?;
    Ok((sum * scale)?.to_dtype(dtype)?)
}

/// A vector over channels, shaped to broadcast along axis 1.
fn per_channel(vector: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[1] = like.dims()[1];
    Ok(vector.reshape(shape)?)
}

pub(crate) fn combine_channels(
    x: &Tensor,
    scale: &Tensor,
    further: Option<(&Tensor, &Tensor)>,
    shift: Option<&Tensor>,
) -> Result<Tensor> {
    let mut y = x.broadcast_mul(&per_channel(scale, x)?)?;
    if let Some((z, t)) = further {
        y = (y + z.broadcast_mul(&per_channel(t, z)?)?)?;
    }
    Ok(match shift {
        Some(shift) => y.broadcast_add(&per_channel(shift, x)?)?,
        None => y,
    })
}

pub(crate) fn channel_moments(
    (a, b): (&Tensor, &Tensor),
    centre: &Tensor,
    further: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Tensor)> {
    let mut products = channel_sums(&(a * b.broadcast_sub(&per_channel(centre, b)?)?)?)?;
    if let Some((a, b)) = further {
        products = (products + channel_sums(&(a * b)?)?)?;
    }
    Ok((products, channel_sums(a)?))
}

pub(crate) fn channel_sums(x: &Tensor) -> Result<Tensor> {
    let axes: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
    Ok(sum_axes(x, &axes)?.flatten_all()?)
}

/// A tensor expression whose first error is reported at its end, so that formulas read as formulas.
#[derive(Clone, Debug)]
struct Expression(std::result::Result<Tensor, std::sync::Arc<candle_core::Error>>);

impl Expression {
    fn of(x: &Tensor) -> Self {
        Self(Ok(x.clone()))
    }

    fn then(self, f: impl FnOnce(Tensor) -> candle_core::Result<Tensor>) -> Self {
        Self(self.0.and_then(|x| f(x).map_err(std::sync::Arc::new)))
    }

    fn with(self, other: Self, f: impl FnOnce(&Tensor, &Tensor) -> candle_core::Result<Tensor>) -> Self {
        Self(self.0.and_then(|a| other.0.and_then(|b| f(&a, &b).map_err(std::sync::Arc::new))))
    }

    fn finish(self) -> Result<Tensor> {
        self.0.map_err(|e| Error::Candle(candle_core::Error::Msg(e.to_string())))
    }
}

impl std::ops::Add for Expression {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl std::ops::Sub for Expression {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl std::ops::Mul for Expression {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl Real for Expression {
    fn affine(self, scale: f64, shift: f64) -> Self {
        self.then(|x| x.affine(scale, shift))
    }

    fn exp(self) -> Self {
        self.then(|x| x.exp())
    }

    fn ln_1p(self) -> Self {
        // log(u)·x/(u − 1) with u = 1 + x keeps the digits of x that rounding takes from u; where none are left, x itself.
        self.then(|x| {
            let u = (&x + 1.0)?;
            let step = (&u - 1.0)?;
            let lost = step.eq(&step.zeros_like()?)?;
            let divisor = lost.where_cond(&step.ones_like()?, &step)?;
            lost.where_cond(&x, &((u.log()? * &x)? / divisor)?)
        })
    }

    fn ln(self) -> Self {
        self.then(|x| x.log())
    }

    fn powf(self, p: f64) -> Self {
        self.then(|x| x.powf(p))
    }

    fn sin(self) -> Self {
        self.then(|x| x.sin())
    }

    fn cos(self) -> Self {
        self.then(|x| x.cos())
    }

    fn recip(self) -> Self {
        self.then(|x| x.recip())
    }

    fn tanh(self) -> Self {
        self.then(|x| x.tanh())
    }

    fn erf(self) -> Self {
        self.then(|x| x.erf())
    }

    fn clamp(self, low: f64, high: f64) -> Self {
        self.then(|x| {
            let number = |value: f64| x.zeros_like()?.affine(1.0, value);
            let (low, high) = (number(low)?, number(high)?);
            x.gt(&high)?.where_cond(&high, &x.lt(&low)?.where_cond(&low, &x)?)
        })
    }

    fn positive_part(self) -> Self {
        // Written so that NaN stays NaN, which candle's CUDA kernel of `relu` makes 0.
        self.then(|x| {
            let zeros = x.zeros_like()?;
            x.lt(&zeros)?.where_cond(&zeros, &x)
        })
    }

    fn step(self) -> Self {
        self.then(|x| x.gt(&x.zeros_like()?)?.to_dtype(x.dtype()))
    }
}

pub(crate) fn map<F: Scalar>(function: &F, x: &Tensor) -> Result<Tensor> {
    function.value(Expression::of(x)).finish()
}

pub(crate) fn map_first<F: Scalar>(function: &F, x: &Tensor, t: &Tensor) -> Result<Tensor> {
    (function.first(Expression::of(x)) * Expression::of(t)).finish()
}

pub(crate) fn map_second<F: Scalar>(function: &F, x: &Tensor, s: &Tensor, t: &Tensor) -> Result<Tensor> {
    (function.second(Expression::of(x)) * Expression::of(s) * Expression::of(t)).finish()
}
