//! The kernels as compositions of candle's operations: they run on every device, and allocate freely.

use candle_core::{D, Device, Tensor};

use crate::ops::{Conv2d, Pool2d, Real, Scalar};
use crate::{Error, Result};

pub(crate) fn matmul_sum(pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (a, b) in pairs {
        let product = a.contiguous()?.matmul(&b.contiguous()?)?;
        sum = crate::op::accumulate(sum, Some(product))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("matmul", "no factors"))?;
    Ok(match bias {
        Some(bias) => sum.broadcast_add(bias)?,
        None => sum,
    })
}

/// The input position of each (kernel position, output position) in the padded plane, kernel positions outermost.
fn patch_positions(geometry: &Conv2d, padded_width: usize, kernel: (usize, usize), output: (usize, usize)) -> Vec<u32> {
    let mut positions = Vec::with_capacity(kernel.0 * kernel.1 * output.0 * output.1);
    for (kernel_row, kernel_column) in (0..kernel.0).flat_map(|i| (0..kernel.1).map(move |j| (i, j))) {
        for (row, column) in (0..output.0).flat_map(|i| (0..output.1).map(move |j| (i, j))) {
            let input_row = row * geometry.stride.0 + kernel_row * geometry.dilation.0;
            let input_column = column * geometry.stride.1 + kernel_column * geometry.dilation.1;
            positions.push((input_row * padded_width + input_column) as u32);
        }
    }
    positions
}

/// The sizes of a convolution whose patches are laid out as (images, groups, depth, positions).
struct Patches {
    positions: Tensor,
    padded: (usize, usize),
    output: (usize, usize),
    groups: usize,
    depth: usize,
}

impl Patches {
    fn new(geometry: &Conv2d, input: &[usize], weight: &[usize], device: &Device) -> Result<Self> {
        let output = geometry.output_size(input, weight)?;
        let padded = (input[2] + 2 * geometry.padding.0, input[3] + 2 * geometry.padding.1);
        let positions = patch_positions(geometry, padded.1, (weight[2], weight[3]), output);
        Ok(Self {
            positions: Tensor::new(positions, device)?,
            padded,
            output,
            groups: geometry.groups,
            depth: weight[1] * weight[2] * weight[3],
        })
    }

    fn gather(&self, geometry: &Conv2d, x: &Tensor) -> Result<Tensor> {
        let padded = x.pad_with_zeros(2, geometry.padding.0, geometry.padding.0)?.pad_with_zeros(
            3,
            geometry.padding.1,
            geometry.padding.1,
        )?;
        let patches = padded.flatten(2, 3)?.contiguous()?.index_select(&self.positions, 2)?;
        Ok(patches.reshape((x.dim(0)?, self.groups, self.depth, self.output.0 * self.output.1))?)
    }

    fn scatter(&self, geometry: &Conv2d, patches: &Tensor, input: &[usize]) -> Result<Tensor> {
        let (height, width) = self.padded;
        let patches = patches.reshape((input[0], input[1], self.positions.elem_count()))?;
        let plane = Tensor::zeros((input[0], input[1], height * width), patches.dtype(), patches.device())?;
        let sums = plane.index_add(&self.positions, &patches, 2)?.reshape((input[0], input[1], height, width))?;
        Ok(sums.narrow(2, geometry.padding.0, input[2])?.narrow(3, geometry.padding.1, input[3])?.contiguous()?)
    }

    /// The output's channels by group: (images, groups, channels, positions).
    fn grouped_output(&self, y: &Tensor) -> Result<Tensor> {
        let (images, channels) = (y.dim(0)?, y.dim(1)?);
        Ok(y.reshape((images, self.groups, channels / self.groups, self.output.0 * self.output.1))?)
    }

    /// The weights by group, repeated for each image: (images, groups, channels, depth).
    fn grouped_weights(&self, w: &Tensor, images: usize) -> Result<Tensor> {
        let channels = w.dim(0)? / self.groups;
        let grouped = w.reshape((1, self.groups, channels, self.depth))?;
        Ok(grouped.broadcast_as((images, self.groups, channels, self.depth))?.contiguous()?)
    }
}

pub(crate) fn conv2d_sum(geometry: &Conv2d, pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, w) = pairs[0];
    let layout = Patches::new(geometry, x.dims(), w.dims(), x.device())?;
    let shape = (x.dim(0)?, w.dim(0)?, layout.output.0, layout.output.1);
    let mut sum: Option<Tensor> = None;
    for (x, w) in pairs {
        let product = layout.grouped_weights(w, shape.0)?.matmul(&layout.gather(geometry, x)?)?;
        sum = crate::op::accumulate(sum, Some(product))?;
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
        let weights = layout.grouped_weights(w, input_shape[0])?.transpose(2, 3)?.contiguous()?;
        sum = crate::op::accumulate(sum, Some(weights.matmul(&layout.grouped_output(y)?.contiguous()?)?))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("conv2d", "no factors"))?;
    layout.scatter(geometry, &sum, input_shape)
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
        let patches = layout.gather(geometry, x)?.transpose(2, 3)?.contiguous()?;
        let product = layout.grouped_output(y)?.contiguous()?.matmul(&patches)?.sum(0)?;
        sum = crate::op::accumulate(sum, Some(product))?;
    }
    let sum = sum.ok_or_else(|| Error::unsupported("conv2d", "no factors"))?;
    Ok(sum.reshape(weight_shape)?)
}

pub(crate) fn max_pool2d(geometry: &Pool2d, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (images, channels, height, width) = x.dims4()?;
    let (out_height, out_width) = geometry.output_size(height, width)?;
    let window_len = geometry.kernel.0 * geometry.kernel.1;
    let mut windows = Vec::with_capacity(out_height * out_width * window_len);
    for (i, j) in (0..out_height).flat_map(|i| (0..out_width).map(move |j| (i, j))) {
        let rows = geometry.window(0, i, height);
        let inside: Vec<u32> = rows
            .flat_map(|row| geometry.window(1, j, width).map(move |column| (row * width + column) as u32))
            .collect();
        // Positions outside are replaced by the first one inside, which changes neither the maximum nor its position.
        windows.extend(inside.iter().copied().chain(std::iter::repeat(inside[0])).take(window_len));
    }
    let windows = Tensor::from_vec(windows, out_height * out_width * window_len, x.device())?;
    let shape = (images, channels, out_height * out_width, window_len);
    let values = x.flatten(2, 3)?.contiguous()?.index_select(&windows, 2)?.reshape(shape)?;
    let best = values.argmax_keepdim(D::Minus1)?;
    let positions = windows.reshape((1, 1, shape.2, window_len))?.broadcast_as(shape)?.contiguous()?;
    let out_shape = (images, channels, out_height, out_width);
    Ok((values.gather(&best, D::Minus1)?.reshape(out_shape)?, positions.gather(&best, D::Minus1)?.reshape(out_shape)?))
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
    let channels_first = x.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
    Ok(channels_first.sum(1)?)
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

    fn recip(self) -> Self {
        self.then(|x| x.recip())
    }

    fn tanh(self) -> Self {
        self.then(|x| x.tanh())
    }

    fn erf(self) -> Self {
        self.then(|x| x.erf())
    }

    fn positive_part(self) -> Self {
        self.then(|x| x.relu())
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
