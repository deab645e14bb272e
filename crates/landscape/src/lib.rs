//! Planes and curves of parameters and the loss on them: which directions span a plane, how they are scaled, and what is found there.
//!
//! A [`Direction`] is drawn, found, read or leads to another checkpoint, and is [normalised](normalized) so that pictures of
//! networks with other weights compare. Two of them and a [`Grid`] make a [`Plane`], whose points are [evaluated](evaluate) by forward
//! passes alone; [`principal_components`] are the plane in which the checkpoints of a run vary most; [`curvatures`] says by exact products what the [`second_difference`] of the surface should be.
//!
//! Between two networks, [`align`] puts the hidden units of one into the order of the other's, and a [`CurveTraining`] trains a
//! [`Curve`] along which the loss stays low.
//!
//! Directions are vectors of length P in f64 on the CPU, whatever an objective computes in.

mod alignment;
mod curvature;
mod curve;
mod direction;
mod eigenvectors;
mod evaluation;
mod grid;
mod normalization;
mod plane;
mod principal_components;
mod refinement;

pub use alignment::{Aligned, Permutation, align};
pub use curvature::{curvatures, second_difference};
pub use curve::{Curve, CurveState, CurveTraining, TrainingStep};
pub use direction::Direction;
pub use eigenvectors::{Eigenvectors, Rank, eigenvectors};
pub use evaluation::evaluate;
pub use grid::{Grid, MOST_POINTS, Position};
pub use normalization::{ignored, normalized, without_ignored};
pub use plane::{Plane, Projection, project};
pub use principal_components::{PrincipalComponents, principal_components};
pub use refinement::Lines;
