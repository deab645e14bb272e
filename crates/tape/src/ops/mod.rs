//! The operations, one file each: formula on top, rules, tests below.

mod arithmetic;
mod average_pool;
mod batch_norm;
mod bilinear;
mod concatenate;
mod conv2d;
mod elementwise;
mod embedding;
mod linear;
mod linear_map;
mod matmul;
mod max_pool;
mod narrow;
mod normalize;
mod pool_geometry;
mod reduce;
mod reshape;
mod softmax;
mod transpose;

pub use arithmetic::{Add, Affine, Div, Mul, Sub};
pub use average_pool::AveragePool2d;
pub use batch_norm::Standardize;
pub use bilinear::{Bilinear, BilinearRules, Pairs};
pub use concatenate::Concatenate;
pub use conv2d::{Conv2d, Convolution};
pub use elementwise::{
    Elementwise, Gelu, GeluTanh, LeakyRelu, Real, Relu, Scalar, Sigmoid, Silu, Softplus, Tanh,
};
pub use embedding::Embedding;
pub use linear::Linear;
pub use linear_map::{LinearMap, LinearRules};
pub use matmul::Matmul;
pub use max_pool::MaxPool2d;
pub use narrow::Narrow;
pub use normalize::Normalize;
pub use pool_geometry::Pool2d;
pub use reduce::{Mean, Sum};
pub use reshape::Reshape;
pub use softmax::Softmax;
pub use transpose::Transpose;
