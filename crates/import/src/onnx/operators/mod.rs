//! ONNX's operators, one file per family: which of them are known, and what each is in terms of the graph's operations.

mod activation;
mod arithmetic;
mod convolution;
mod creation;
mod indexing;
mod layout;
mod linear;
mod normalization;
mod pooling;
mod recurrent;
mod reduction;
mod resampling;

use super::call::Call;
use crate::graph::{Array, Read};

/// Reads one call of an operator: its outputs in their order, those behind the last that is computed left out.
pub(super) type Reader = fn(&mut Call) -> Read<Vec<Array>>;

/// What reads an operator.
pub(super) fn reader(name: &str) -> Option<Reader> {
    const FAMILIES: [fn(&str) -> Option<Reader>; 12] = [
        activation::reader,
        arithmetic::reader,
        convolution::reader,
        creation::reader,
        indexing::reader,
        layout::reader,
        linear::reader,
        normalization::reader,
        pooling::reader,
        recurrent::reader,
        reduction::reader,
        resampling::reader,
    ];
    FAMILIES.iter().find_map(|family| family(name))
}

/// The inputs whose numbers an operator moves without computing with them.
pub(super) fn moved(name: &str, inputs: usize) -> std::ops::Range<usize> {
    match name {
        "Concat" => 0..inputs,
        "Where" => 1..3,
        "Cast" | "CastLike" | "Expand" | "Flatten" | "Gather" | "GatherElements" | "GatherND" | "Identity"
        | "Reshape" | "Slice" | "Split" | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze" => 0..1,
        _ => 0..0,
    }
}
