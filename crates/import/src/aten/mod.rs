//! PyTorch's operators (`torch.ops.aten`), one file per family: which of them are known, and what each is in terms of the
//! graph's operations.

mod activation;
mod arithmetic;
mod convolution;
mod creation;
mod indexing;
mod layout;
mod linear;
mod normalization;
mod recurrent;
mod reduction;

use crate::exported_program::{Call, Outputs};
use crate::graph::Read;

/// Reads one call of an operator.
pub(crate) type Reader = fn(&mut Call) -> Read<Outputs>;

/// What reads an operator of a name, without its overload and the mark of what works in place.
pub(crate) fn reader(name: &str) -> Option<Reader> {
    const FAMILIES: [fn(&str) -> Option<Reader>; 10] = [
        arithmetic::reader,
        activation::reader,
        convolution::reader,
        creation::reader,
        indexing::reader,
        layout::reader,
        linear::reader,
        normalization::reader,
        recurrent::reader,
        reduction::reader,
    ];
    FAMILIES.iter().find_map(|family| family(name))
}

/// Operators that check something and give nothing.
pub(crate) fn is_check(name: &str) -> bool {
    matches!(
        name,
        "_assert_tensor_metadata"
            | "_assert_scalar"
            | "_assert_async"
            | "sym_constrain_range"
            | "sym_constrain_range_for_size"
            | "_functional_sym_constrain_range"
    )
}
