//! Kernels on CUDA that candle does not offer.

mod convolution;

pub(crate) use convolution::{conv2d_input_adjoint_sum, conv2d_sum, conv2d_weight_adjoint_sum};
