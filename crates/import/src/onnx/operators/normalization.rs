//! Normalisations.

use super::Reader;
use crate::graph::{Array, Read};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "BatchNormalization" => batch_norm,
        "LayerNormalization" => |c| {
            let (x, weight, bias) = (c.array(0)?, c.array(1)?, c.optional(2));
            let count = x.rank() - x.axis(c.integer("axis", -1))?;
            Ok(vec![c.graph.layer_norm(&x, count, Some(&weight), bias.as_ref(), c.float("epsilon", 1e-5))?])
        },
        "InstanceNormalization" => |c| {
            let (x, weight, bias) = (c.array(0)?, c.array(1)?, c.array(2)?);
            let channels = x.fixed(1)?;
            Ok(vec![c.graph.group_norm(&x, channels, Some(&weight), Some(&bias), c.float("epsilon", 1e-5))?])
        },
        "GroupNormalization" => group_norm,
        _ => return None,
    })
}

fn batch_norm(c: &mut Call) -> Read<Vec<Array>> {
    if c.truth("training_mode", false) {
        return Err("batch norm in training mode: export `model.eval()`; `--batch-norm batch` takes the statistics of the batch".into());
    }
    let (x, weight, bias) = (c.array(0)?, c.array(1)?, c.array(2)?);
    let (mean, variance) = (c.array(3)?, c.array(4)?);
    let (epsilon, of_batch) = (c.float("epsilon", 1e-5), c.batch_statistics);
    Ok(vec![c.graph.batch_norm(&x, (Some(&weight), Some(&bias)), (&mean, &variance), epsilon, of_batch)?])
}

/// Up to version 20 the weights are those of groups, then those of channels.
fn group_norm(c: &mut Call) -> Read<Vec<Array>> {
    let (x, groups) = (c.array(0)?, c.count("num_groups", 1)?);
    let (mut weight, mut bias) = (c.array(1)?, c.array(2)?);
    if c.opset < 21 {
        let each = x.fixed(1)?.checked_div(groups).ok_or("no groups")?;
        weight = c.graph.repeat_interleave(&weight, 0, each)?;
        bias = c.graph.repeat_interleave(&bias, 0, each)?;
    }
    Ok(vec![c.graph.group_norm(&x, groups, Some(&weight), Some(&bias), c.float("epsilon", 1e-5))?])
}
