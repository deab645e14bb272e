//! The binary as its users meet it: what it prints, what it writes, how it ends.

#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

#[path = "end_to_end/alignment.rs"]
mod alignment;
#[path = "end_to_end/along.rs"]
mod along;
#[path = "end_to_end/automatic_learning_rate.rs"]
mod automatic_learning_rate;
#[path = "end_to_end/bad_input.rs"]
mod bad_input;
#[path = "end_to_end/basin.rs"]
mod basin;
#[path = "end_to_end/batch_hessian.rs"]
mod batch_hessian;
#[path = "end_to_end/connection.rs"]
mod connection;
#[path = "end_to_end/damaged_files.rs"]
mod damaged_files;
#[path = "end_to_end/exported.rs"]
mod exported;
#[path = "end_to_end/inputs.rs"]
mod inputs;
#[path = "end_to_end/interruption.rs"]
mod interruption;
#[path = "end_to_end/interventions.rs"]
mod interventions;
#[path = "end_to_end/measures.rs"]
mod measures;
#[path = "end_to_end/observables.rs"]
mod observables;
#[path = "end_to_end/optimizers.rs"]
mod optimizers;
#[path = "end_to_end/plane.rs"]
mod plane;
#[path = "end_to_end/pytorch_files.rs"]
mod pytorch_files;
#[path = "end_to_end/ratio.rs"]
mod ratio;
#[path = "end_to_end/real_networks.rs"]
mod real_networks;
#[path = "end_to_end/schedules.rs"]
mod schedules;
#[path = "end_to_end/sharpness.rs"]
mod sharpness;
#[path = "end_to_end/spectrum.rs"]
mod spectrum;
#[path = "end_to_end/study.rs"]
mod study;
#[path = "end_to_end/study_variants.rs"]
mod study_variants;
#[path = "end_to_end/tasks.rs"]
mod tasks;
#[path = "end_to_end/trajectory.rs"]
mod trajectory;
#[path = "end_to_end/warm_start.rs"]
mod warm_start;
