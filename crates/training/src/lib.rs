//! Reaching minima: optimizers, schedules, the training loop and its checkpoints.
//!
//! # Overview
//! [`Settings`] say everything about a run; [`train`] carries it out in a directory and can be killed at any instant:
//! the same call continues, and the weights it ends with are the same bits. Optimizers that need the gradient alone keep the
//! interface of `candle_nn::Optimizer`, so they serve elsewhere too; the others ask for what they need of a [`Batch`].
//!
//! # Example
//! ```
//! use basin_training::{Settings, train};
//!
//! let settings = Settings { model: "mlp:64-16-10:relu".into(), batch_size: 128, epochs: 2, ..Settings::default() };
//! let directory = tempfile::tempdir()?;
//! let run = train(&settings, directory.path(), &mut |_| Ok(()))?;
//! assert_eq!(run.history.epochs.len(), 2);
//! assert!(run.checkpoint.is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adversarial;
mod augmentation;
mod batch;
mod batch_schedule;
mod checkpoint;
mod controller;
mod directory;
mod discard;
mod error;
mod learning_rate;
mod observables;
mod optimizers;
mod problem;
mod schedule;
mod settings;
mod stability;
mod state;
mod trainer;
mod variance_test;

pub use adversarial::Adversarial;
pub use augmentation::Augmentation;
pub use batch_schedule::{BatchSchedule, Stage};
pub use checkpoint::CheckpointMetadata;
pub use controller::HeavyBall;
pub use directory::{RunDirectory, differences};
pub use discard::Discard;
pub use error::{Error, Result};
pub use learning_rate::LearningRate;
pub use observables::Observable;
pub use optimizers::{
    AdaGrad, AdaGradNorm, AdaGradNormSettings, AdaGradSettings, Adam, AdamSettings, AsamSettings, Batch, CblrSettings,
    Lamb, LambSettings, Lars, LarsSettings, LbfgsSettings, Mclr, MclrSettings, ObjectiveAt, Optimizer,
    OptimizerSettings, PercentDelta, PercentDeltaSettings, ProximalSettings, RmsProp, RmsPropSettings, SamSettings,
    Sgd, SgdSettings, SmoothOutSettings,
};
pub use schedule::{Decay, Scaling, Schedule};
pub use settings::Settings;
pub use stability::{Descending, DescentRule, StabilityCheck, divergence, divergence_level};
pub use trainer::{Event, Run, check, train, train_on};
pub use variance_test::{GradientMoments, VarianceTest};
