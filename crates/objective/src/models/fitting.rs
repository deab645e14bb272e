//! Which model of the zoo a checkpoint's tensors belong to.

use super::Model;
use super::spec::NAMES;
use crate::Outputs;
use crate::weights::Weights;

/// Models that a name alone does not say; the sizes of others are guessed from the tensors.
const WITH_OPTIONS: [&str; 9] = [
    "resnet20:b",
    "resnet32:b",
    "resnet44:b",
    "resnet56:b",
    "resnet110:b",
    "resnet18:cifar",
    "resnet18:imagenet",
    "resnet34:cifar",
    "resnet34:imagenet",
];

impl Model {
    /// Names and shapes as PyTorch's `state_dict` lists them: the buffers of a module behind its parameters.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let module = |name: &str| name.rsplit_once('.').map(|(module, _)| module.to_owned()).unwrap_or_default();
        let mut buffers: Vec<_> = self.buffers().entries().iter().collect();
        let mut listed = Vec::new();
        let mut parameters = self.parameters().entries().iter().peekable();
        while let Some(entry) = parameters.next() {
            let own = module(&entry.name);
            listed.push((entry.name.clone(), entry.shape.clone()));
            if parameters.peek().is_none_or(|next| module(&next.name) != own) {
                let (here, later): (Vec<_>, Vec<_>) = buffers.into_iter().partition(|entry| module(&entry.name) == own);
                listed.extend(here.into_iter().map(|entry| (entry.name.clone(), entry.shape.clone())));
                buffers = later;
            }
        }
        listed.extend(buffers.into_iter().map(|entry| (entry.name.clone(), entry.shape.clone())));
        listed
    }

    /// The model of the zoo whose names and shapes a checkpoint has, for such samples and outputs.
    pub fn fitting(weights: &Weights, input_shape: &[usize], outputs: Outputs) -> Option<String> {
        let named = NAMES.iter().chain(&WITH_OPTIONS).map(|name| (*name).to_owned()).chain(fully_connected(weights));
        named.into_iter().find(|name| {
            name.parse()
                .is_ok_and(|spec| Model::new(&spec, input_shape, outputs).is_ok_and(|model| model.fits(weights)))
        })
    }
}

/// An mlp with the widths of the matrices, if these follow one another.
fn fully_connected(weights: &Weights) -> Option<String> {
    let mut widths = Vec::new();
    for name in &weights.order {
        let [outputs, inputs] = *weights.tensors.get(name)?.dims() else { continue };
        match widths.last() {
            None => widths.extend([inputs, outputs]),
            Some(&last) if last == inputs => widths.push(outputs),
            Some(_) => return None,
        }
    }
    let normed = weights.tensors.keys().any(|name| name.ends_with("running_mean"));
    let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
    (!widths.is_empty()).then(|| format!("mlp:{}:relu{}", widths.join("-"), if normed { ":bn" } else { "" }))
}
