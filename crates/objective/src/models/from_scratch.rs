//! Initial values of exported networks by PyTorch's defaults: what `reset_parameters` of each tensor's module draws.

use std::collections::BTreeMap;

use basin_import::network::Owner;
use basin_tape::Entry;

use super::initial::{Fan, Initial};
use super::{InitialValues, Model};
use crate::{Error, Result};

/// Of whose parameters the default is 1 for weights and 0 for biases.
const NORMS: [&str; 11] = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "SyncBatchNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "GroupNorm",
    "LocalResponseNorm",
    "RMSNorm",
];

/// Whose weights and biases are uniform in ±1/√(inputs of a unit). Attention's own layer starts without a bias.
const LINEAR: [&str; 8] = [
    "Linear",
    "NonDynamicallyQuantizableLinear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
];

/// Recurrent modules and how many gates each unit has.
const RECURRENT: [(&str, usize); 6] =
    [("RNN", 1), ("RNNCell", 1), ("GRU", 3), ("GRUCell", 3), ("LSTM", 4), ("LSTMCell", 4)];

impl Model {
    /// The same exported network with initial values that are drawn, instead of those in its file.
    pub(super) fn with_drawn_weights(self) -> Result<Self> {
        let InitialValues::Exported(file) = self.initial else { return Ok(self) };
        let (owners, shapes): (_, BTreeMap<_, _>) = (file.owners(), file.state_dict().into_iter().collect());
        let initial = |name: &str| owners.get(name).and_then(|owner| initial(owner, &shapes));
        let mut drawn = BTreeMap::new();
        let mut unknown = Vec::new();
        for Entry { name, .. } in self.stored.parameters().entries() {
            match initial(name) {
                Some(initial) => drop(drawn.insert(name.clone(), initial)),
                None => unknown.push(match owners.get(name) {
                    Some(owner) => format!("`{name}` of a `{}`", owner.class),
                    None => format!("`{name}`, whose module is not called"),
                }),
            }
        }
        if let [first, rest @ ..] = unknown.as_slice() {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            return Err(Error::input(
                format!("`{}` cannot be drawn anew: PyTorch has no default for {first}{more}", self.name),
                "leave out `:from-scratch` to start from the weights in the file; initialize them in Python before the export",
            ));
        }
        let buffers = self.stored.buffers().entries().iter();
        drawn.extend(buffers.filter_map(|entry| Some((entry.name.clone(), initial(&entry.name)?))));
        Ok(Self { initial: InitialValues::FromScratch { file, drawn }, ..self })
    }
}

/// The default of a tensor; `None` where its module is of no known class.
fn initial(owner: &Owner, shapes: &BTreeMap<String, Vec<usize>>) -> Option<Initial> {
    let shape = |tensor: &str| {
        let name = if owner.module.is_empty() { tensor.to_owned() } else { format!("{}.{tensor}", owner.module) };
        shapes.get(&name).map(Vec::as_slice)
    };
    let inputs = |shape: &[usize]| Fan { inputs: shape.iter().skip(1).product(), outputs: 1 };
    let tensor = owner.tensor.as_str();
    if owner.class == "transformers.pytorch_utils.Conv1D" {
        return match tensor {
            "weight" => Some(Initial::Normal { std: 0.02 }),
            "bias" => Some(Initial::Constant(0.0)),
            _ => None,
        };
    }
    let class = owner.class.strip_prefix("torch.nn.modules.")?.rsplit('.').next()?;
    if let Some((_, gates)) = RECURRENT.iter().find(|(name, _)| *name == class) {
        let first = shape("weight_ih_l0").or_else(|| shape("weight_ih"))?.first()?;
        return Some(Initial::pytorch(Fan { inputs: first / gates, outputs: 1 }));
    }
    match (class, tensor) {
        ("NonDynamicallyQuantizableLinear", "bias") => Some(Initial::Constant(0.0)),
        (class, "weight" | "bias") if LINEAR.contains(&class) => Some(Initial::pytorch(inputs(shape("weight")?))),
        (class, "weight" | "running_var") if NORMS.contains(&class) => Some(Initial::Constant(1.0)),
        (class, "bias" | "running_mean") if NORMS.contains(&class) => Some(Initial::Constant(0.0)),
        ("Bilinear", "weight" | "bias") => {
            Some(Initial::pytorch(Fan { inputs: *shape("weight")?.get(1)?, outputs: 1 }))
        }
        ("Embedding" | "EmbeddingBag", "weight") => Some(match (owner.padding, shape("weight")?) {
            (Some(row), &[_, width]) => Initial::NormalButOneRow { row, width },
            _ => Initial::Normal { std: 1.0 },
        }),
        ("PReLU", "weight") => Some(Initial::Constant(0.25)),
        ("MultiheadAttention", "in_proj_weight" | "q_proj_weight" | "k_proj_weight" | "v_proj_weight") => {
            let &[outputs, inputs] = shape(tensor)? else { return None };
            Some(Initial::xavier(Fan { inputs, outputs }))
        }
        ("MultiheadAttention", "out_proj.weight") => Some(Initial::pytorch(inputs(shape(tensor)?))),
        ("MultiheadAttention", "in_proj_bias" | "out_proj.bias") => Some(Initial::Constant(0.0)),
        // Xavier's normal distribution for a shape of 1 × 1 × width.
        ("MultiheadAttention", "bias_k" | "bias_v") => {
            let width = *shape(tensor)?.last()?;
            Some(Initial::Normal { std: (1.0 / width.max(1) as f64).sqrt() })
        }
        _ => None,
    }
}
