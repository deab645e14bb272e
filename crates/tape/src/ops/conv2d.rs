//! Two-dimensional convolution (cross-correlation, as PyTorch's): for image i, output channel o and position (r, s)
//!
//! y[i,o,r,s] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[i, c, r·stride₀ + p·dilation₀ − padding₀, s·stride₁ + q·dilation₁ − padding₁]
//!
//! where c runs over the input channels of o's group and x is zero outside the image.

use candle_core::Tensor;

use super::bilinear::{Bilinear, Pairs};
use crate::{Error, Result, kernels};

/// The geometry of a convolution: rows first, columns second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Distance of neighbouring output positions in the input.
    pub stride: (usize, usize),
    /// Zeros added on each side.
    pub padding: (usize, usize),
    /// Distance of neighbouring kernel entries in the input.
    pub dilation: (usize, usize),
    /// Groups of channels that are convolved apart.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

impl Conv2d {
    /// Height and width of the output for an input (images, channels, height, width) and a weight
    /// (out channels, channels of a group, kernel height, kernel width).
    ///
    /// # Errors
    /// When the ranks, channels and groups do not belong together, or the kernel is larger than the padded input.
    pub fn output_size(&self, input: &[usize], weight: &[usize]) -> Result<(usize, usize)> {
        let (&[_, channels, height, width], &[out_channels, group_channels, kernel_height, kernel_width]) =
            (input, weight)
        else {
            return Err(Error::shape(
                "conv2d",
                format!("images and a weight of rank 4, the weight is {weight:?}"),
                input,
            ));
        };
        let steps = [self.stride.0, self.stride.1, self.dilation.0, self.dilation.1];
        if self.groups == 0 || steps.contains(&0) {
            return Err(Error::unsupported("conv2d", "stride, dilation and groups must be at least 1"));
        }
        if group_channels.checked_mul(self.groups) != Some(channels) || out_channels % self.groups != 0 {
            let expected = format!(
                "{} input channels in {} groups for the weight {weight:?}",
                group_channels.saturating_mul(self.groups),
                self.groups
            );
            return Err(Error::shape("conv2d", expected, input));
        }
        let extent = |size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize| {
            let reach = dilation.saturating_mul(kernel.max(1) - 1).saturating_add(1);
            size.saturating_add(padding.saturating_mul(2))
                .checked_sub(reach)
                .filter(|_| kernel > 0)
                .map(|room| room / stride + 1)
        };
        let rows = extent(height, kernel_height, self.stride.0, self.padding.0, self.dilation.0);
        let columns = extent(width, kernel_width, self.stride.1, self.padding.1, self.dilation.1);
        rows.zip(columns).ok_or_else(|| {
            Error::shape("conv2d", format!("an input which holds the kernel {kernel_height}×{kernel_width}"), input)
        })
    }
}

/// The convolution as an operation; inputs x (images, channels, height, width), w and optionally b (out channels).
#[derive(Debug)]
pub struct Convolution(pub Conv2d);

impl Bilinear for Convolution {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn product(&self, pairs: &Pairs, bias: Option<&Tensor>) -> Result<Tensor> {
        kernels::conv2d_sum(&self.0, pairs, bias)
    }

    fn left_adjoint(&self, left: &[usize], pairs: &Pairs) -> Result<Tensor> {
        kernels::conv2d_input_adjoint_sum(&self.0, left, pairs)
    }

    fn right_adjoint(&self, right: &[usize], pairs: &Pairs) -> Result<Tensor> {
        kernels::conv2d_weight_adjoint_sum(&self.0, right, pairs)
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
    use super::{Conv2d, Convolution};
    use crate::derivative_check::{check, normal};

    fn geometries() -> Vec<Conv2d> {
        let plain = Conv2d::default();
        vec![
            plain,
            Conv2d { padding: (1, 1), ..plain },
            Conv2d { stride: (2, 2), padding: (1, 0), ..plain },
            Conv2d { stride: (1, 3), padding: (0, 2), dilation: (2, 1), ..plain },
            Conv2d { dilation: (1, 2), padding: (3, 3), ..plain },
            Conv2d { groups: 2, padding: (1, 1), ..plain },
        ]
    }

    #[test]
    fn the_four_rules_agree_with_differences() {
        for geometry in geometries() {
            let x = normal(&[2, 4, 6, 7], 1);
            let w = normal(&[6, 4 / geometry.groups, 3, 2], 2);
            let b = normal(&[6], 3);
            check(&BilinearRules(Convolution(geometry)), &[x.clone(), w.clone(), b], &[true; 3]);
            check(&BilinearRules(Convolution(geometry)), &[x, w], &[false, true]);
        }
    }

    #[test]
    fn empty_batch_one_pixel_and_depthwise() {
        let conv = |groups| BilinearRules(Convolution(Conv2d { groups, ..Conv2d::default() }));
        check(&conv(1), &[normal(&[0, 2, 4, 4], 1), normal(&[3, 2, 3, 3], 2), normal(&[3], 3)], &[true; 3]);
        check(&conv(1), &[normal(&[1, 1, 1, 1], 1), normal(&[1, 1, 1, 1], 2)], &[true; 2]);
        check(&conv(3), &[normal(&[2, 3, 5, 4], 1), normal(&[3, 1, 2, 2], 2), normal(&[3], 3)], &[true; 3]);
    }

    #[test]
    fn cpu_kernels_equal_the_portable_compositions() {
        use crate::kernels::{cpu, portable};
        for geometry in geometries() {
            let x = normal(&[5, 4, 9, 8], 1);
            let w = normal(&[6, 4 / geometry.groups, 3, 3], 2);
            let y = cpu::conv2d_sum::<f64>(&geometry, &[(&x, &w)], None).expect("valid sizes");
            let same = |a: &candle_core::Tensor, b: &candle_core::Tensor| {
                let difference = crate::derivative_check::distance(a, b);
                assert!(difference < 1e-13, "{geometry:?}: {difference:e}");
            };
            same(&y, &portable::conv2d_sum(&geometry, &[(&x, &w)], None).expect("valid sizes"));
            let adjoint = cpu::conv2d_input_adjoint_sum::<f64>(&geometry, x.dims(), &[(&w, &y)]).expect("valid sizes");
            same(&adjoint, &portable::conv2d_input_adjoint_sum(&geometry, x.dims(), &[(&w, &y)]).expect("valid sizes"));
            let adjoint = cpu::conv2d_weight_adjoint_sum::<f64>(&geometry, w.dims(), &[(&x, &y)]).expect("valid sizes");
            same(
                &adjoint,
                &portable::conv2d_weight_adjoint_sum(&geometry, w.dims(), &[(&x, &y)]).expect("valid sizes"),
            );
        }
    }

    #[test]
    fn misfits_are_refused() {
        let geometry = Conv2d::default();
        assert!(geometry.output_size(&[1, 3, 8, 8], &[4, 2, 3, 3]).is_err());
        assert!(geometry.output_size(&[1, 3, 2, 2], &[4, 3, 3, 3]).is_err());
        assert!(Conv2d { stride: (0, 1), ..geometry }.output_size(&[1, 3, 8, 8], &[4, 3, 3, 3]).is_err());
    }
}
