//! Models, losses, data and weights: an objective that can be evaluated and differentiated.

pub mod data;
mod error;
mod file;
pub mod random;
mod stored;
mod suggestion;
pub mod weights;

pub use error::{Error, Result};
pub use suggestion::nearest;
