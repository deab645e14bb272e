//! Exact first and second derivatives of programs over candle tensors.
//!
//! # Overview
//! A [`Program`] holds the operations of a model, written once. Run on a micro-batch it leaves a [`Tape`]; with a
//! [`Loss`](losses::Loss) on its output it is a [`Linearization`], which multiplies vectors with Jacobians, the Hessian,
//! the generalized Gauss-Newton matrix and the empirical Fisher matrix at the cost of one or two sweeps each. Every
//! derivative comes from the four rules of [`Op`], one file per operation in [`ops`].
//!
//! # Example
//! ```
//! use basin_tape::{Linearization, ProgramBuilder, losses::SquaredError};
//! use candle_core::{Device, Tensor};
//!
//! // ℓ = (w·x − t)² has the Hessian 2 x xᵀ.
//! let mut b = ProgramBuilder::default();
//! let x = b.input();
//! let w = b.parameter("weight", &[1, 2]);
//! let y = b.linear(x, w, None);
//! let program = b.finish(y)?;
//!
//! let cpu = &Device::Cpu;
//! let none = Tensor::new(&[] as &[f64], cpu)?;
//! let point = program.at(&Tensor::new(&[0.5, -1.0], cpu)?, &none)?;
//! let (x, t) = (Tensor::new(&[[3.0, 4.0]], cpu)?, Tensor::new(&[[1.0]], cpu)?);
//! let linearization = Linearization::new(&program, &SquaredError, &point, &[&x], &t)?;
//! let product = linearization.hessian(&Tensor::new(&[1.0, 0.0], cpu)?)?.joined()?;
//! assert_eq!(product.to_vec1::<f64>()?, [18.0, 24.0]);
//! # Ok::<(), basin_tape::Error>(())
//! ```

mod by_rows;
mod constants;
mod error;
mod input_gradient;
mod kernels;
mod layout;
mod linearization;
pub mod losses;
mod op;
pub mod ops;
mod product;
mod program;
mod tape;
pub mod vector;

#[cfg(test)]
mod derivative_check;

pub use error::{Error, Result};
pub use input_gradient::InputGradient;
pub use layout::{Entry, Layout};
pub use linearization::Linearization;
pub use op::{Adjoints, Node, Op, Reads, Tangents};
pub use product::{Product, Sum};
pub use program::{BatchStatistics, Point, Program, ProgramBuilder, Value};
pub use tape::{Footprint, Tape};
