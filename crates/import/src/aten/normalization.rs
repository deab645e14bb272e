//! Normalisations.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::Read;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "batch_norm" | "_native_batch_norm_legit_no_training" | "cudnn_batch_norm" => batch_norm,
        "layer_norm" | "native_layer_norm" => |c| {
            let count = c.sizes("normalized_shape")?.len();
            let (x, weight, bias) = (c.array("input")?, c.optional_array("weight")?, c.optional_array("bias")?);
            let epsilon = c.float("eps", 1e-5)?;
            Ok(c.graph.layer_norm(&x, count, weight.as_ref(), bias.as_ref(), epsilon)?.into())
        },
        "rms_norm" | "_fused_rms_norm" => |c| {
            let count = c.sizes("normalized_shape")?.len();
            let (x, weight) = (c.array("input")?, c.optional_array("weight")?);
            let epsilon = match c.number("eps")? {
                Some(epsilon) => epsilon.value(),
                None => c.machine_epsilon("input")?,
            };
            Ok(c.graph.rms_norm(&x, count, weight.as_ref(), epsilon)?.into())
        },
        "group_norm" => |c| {
            let (x, groups) = (c.array("input")?, c.count("num_groups", 1)?);
            let (weight, bias) = (c.optional_array("weight")?, c.optional_array("bias")?);
            let epsilon = c.float("eps", 1e-5)?;
            Ok(c.graph.group_norm(&x, groups, weight.as_ref(), bias.as_ref(), epsilon)?.into())
        },
        "instance_norm" => instance_norm,
        _ => return None,
    })
}

fn batch_norm(c: &mut Call) -> Read<Outputs> {
    if c.name == "batch_norm" && c.truth("training", false)? {
        return Err("batch norm in training mode: export `model.eval()`; `--batch-norm batch` takes the statistics of the batch".into());
    }
    let (x, weight, bias) = (c.array("input")?, c.optional_array("weight")?, c.optional_array("bias")?);
    let (mean, variance) = (c.array("running_mean")?, c.array("running_var")?);
    let epsilon = c.float("eps", 1e-5)?;
    let of_batch = c.batch_statistics;
    Ok(c.graph.batch_norm(&x, (weight.as_ref(), bias.as_ref()), (&mean, &variance), epsilon, of_batch)?.into())
}

fn instance_norm(c: &mut Call) -> Read<Outputs> {
    if !c.truth("use_input_stats", true)? {
        return batch_norm(c);
    }
    let x = c.array("input")?;
    let channels = x.fixed(1)?;
    let (weight, bias, epsilon) = (c.optional_array("weight")?, c.optional_array("bias")?, c.float("eps", 1e-5)?);
    Ok(c.graph.group_norm(&x, channels, weight.as_ref(), bias.as_ref(), epsilon)?.into())
}
