//! Transposed convolution: the adjoint of a convolution in its input, as an operation. With conv(z, w) the convolution of
//! a geometry, y = Bz(w, x) is its input adjoint, so that its own adjoints are x̄ = conv(ȳ, w) and w̄ = B_w(ȳ, x).

use candle_core::Tensor;

use super::bilinear::{Bilinear, Pairs};
use super::conv2d::Conv2d;
use crate::{Error, Result, kernels};

/// y = convᵀ(x, w) + b; inputs x (images, channels, height, width), w (channels, out channels of a group, kernel height,
/// kernel width) as PyTorch stores it, and optionally b (out channels).
#[derive(Debug)]
pub struct TransposedConvolution {
    /// The geometry of the convolution that it is the adjoint of.
    pub geometry: Conv2d,
    /// Rows and columns added at the end of the output, which the stride leaves open.
    pub output_padding: (usize, usize),
}

impl TransposedConvolution {
    fn output_shape(&self, x: &[usize], w: &[usize]) -> Result<Vec<usize>> {
        let (&[images, channels, height, width], &[in_channels, group_channels, kernel_height, kernel_width]) = (x, w)
        else {
            return Err(Error::shape("conv_transpose2d", format!("images and a weight of rank 4, not {w:?}"), x));
        };
        let Conv2d { stride, padding, dilation, groups } = self.geometry;
        if channels != in_channels || groups == 0 || channels % groups != 0 {
            return Err(Error::shape("conv_transpose2d", format!("{in_channels} channels for the weight {w:?}"), x));
        }
        let extent = |size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize, more: usize| {
            let reach = size.checked_sub(1)? * stride + dilation * kernel.checked_sub(1)? + more + 1;
            reach.checked_sub(2 * padding).filter(|&extent| extent > 0)
        };
        let rows = extent(height, kernel_height, stride.0, padding.0, dilation.0, self.output_padding.0);
        let columns = extent(width, kernel_width, stride.1, padding.1, dilation.1, self.output_padding.1);
        match rows.zip(columns) {
            Some((rows, columns)) => Ok(vec![images, group_channels * groups, rows, columns]),
            None => Err(Error::shape("conv_transpose2d", "an input larger than what the padding takes away", x)),
        }
    }
}

impl Bilinear for TransposedConvolution {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn product(&self, pairs: &Pairs, bias: Option<&Tensor>) -> Result<Tensor> {
        let (x, w) = pairs[0];
        let shape = self.output_shape(x.dims(), w.dims())?;
        let turned: Vec<(&Tensor, &Tensor)> = pairs.iter().map(|&(x, w)| (w, x)).collect();
        let y = kernels::conv2d_input_adjoint_sum(&self.geometry, &shape, &turned)?;
        match bias {
            Some(bias) => kernels::add(&y, &bias.reshape((1, shape[1], 1, 1))?),
            None => Ok(y),
        }
    }

    fn left_adjoint(&self, _left: &[usize], pairs: &Pairs) -> Result<Tensor> {
        let turned: Vec<(&Tensor, &Tensor)> = pairs.iter().map(|&(w, y_bar)| (y_bar, w)).collect();
        kernels::conv2d_sum(&self.geometry, &turned, None)
    }

    fn right_adjoint(&self, right: &[usize], pairs: &Pairs) -> Result<Tensor> {
        let turned: Vec<(&Tensor, &Tensor)> = pairs.iter().map(|&(x, y_bar)| (y_bar, x)).collect();
        kernels::conv2d_weight_adjoint_sum(&self.geometry, right, &turned)
    }

    fn spread_bias(&self, bias: &Tensor, output: &[usize]) -> Result<Tensor> {
        Ok(bias.reshape((1, output[1], 1, 1))?.broadcast_as(output)?.contiguous()?)
    }

    fn bias_adjoint(&self, y_bar: &Tensor) -> Result<Tensor> {
        kernels::channel_sums(y_bar)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bilinear::BilinearRules;
    use super::*;
    use crate::derivative_check::{check, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let plain = Conv2d::default();
        for (geometry, output_padding) in [
            (plain, (0, 0)),
            (Conv2d { stride: (2, 2), padding: (1, 1), ..plain }, (1, 1)),
            (Conv2d { stride: (1, 3), dilation: (2, 1), ..plain }, (0, 2)),
            (Conv2d { groups: 2, ..plain }, (0, 0)),
        ] {
            let x = normal(&[2, 4, 3, 4], 1);
            let w = normal(&[4, 3, 3, 2], 2);
            let b = normal(&[3 * geometry.groups], 3);
            let op = BilinearRules(TransposedConvolution { geometry, output_padding });
            check(&op, &[x.clone(), w.clone(), b], &[true; 3]);
            check(&op, &[x, w], &[false, true]);
        }
    }

    #[test]
    fn misfits_are_refused() {
        let op = TransposedConvolution { geometry: Conv2d::default(), output_padding: (0, 0) };
        assert!(op.product(&[(&normal(&[1, 3, 2, 2], 1), &normal(&[2, 3, 2, 2], 2))], None).is_err());
        assert!(op.product(&[(&normal(&[1, 3], 1), &normal(&[3, 3, 2, 2], 2))], None).is_err());
    }
}
