//! Models, losses, data and weights: an objective that can be evaluated and differentiated.

mod batch_statistics;
pub mod data;
mod error;
mod file;
mod loss_spec;
pub mod models;
mod network;
mod objective;
mod quadratic;
pub mod random;
mod sampled;
pub mod settings;
mod stored;
mod suggestion;
pub mod weights;

pub use batch_statistics::batch_statistics;
pub use error::{Error, Result};
pub use loss_spec::{CrossEntropy, LossSpec, Outputs};
pub use network::{Cost, LastLayer, Memory, Network, NetworkOptions, Samples};
pub use objective::{DrawnLabels, Evaluation, Linearized, Objective};
pub use quadratic::Quadratic;
pub use sampled::{SampledNetwork, SampledObjective};
pub use suggestion::nearest;
