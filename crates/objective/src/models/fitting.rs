//! Which model of the zoo a checkpoint's tensors belong to.

use std::str::FromStr;

use super::Model;
use super::spec::{ModelSpec, NAMES};
use crate::Outputs;
use crate::weights::Weights;

/// What may stand behind the colon of a name; the sizes of other models are guessed from the tensors.
const OPTIONS: [&str; 4] = ["", ":b", ":cifar", ":imagenet"];

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

    /// The model of the zoo whose names and shapes a checkpoint has, for such samples and outputs. What no tensor says is
    /// guessed: the function between the layers of an `mlp`, the heads of a transformer.
    pub fn fitting(weights: &Weights, input_shape: &[usize], outputs: Outputs) -> Option<String> {
        // What tensors have names of their own is seen at once; any stack of matrices is an mlp, whatever else it is.
        let told = [wide_residual, vision_transformer, gpt, hugging_face_gpt2].into_iter().filter_map(|of| of(weights));
        let named = NAMES.iter().flat_map(|name| OPTIONS.map(|option| format!("{name}{option}")));
        told.chain(named).chain(fully_connected(weights)).find(|name| {
            ModelSpec::from_str(name).is_ok_and(|spec| {
                Model::new(&spec.sized(weights), input_shape, outputs).is_ok_and(|model| model.fits(weights))
            })
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

fn wide_residual(weights: &Weights) -> Option<String> {
    let channels = shape(weights, "block1.layer.0.conv1.weight")?.first()?;
    Some(format!("wrn{}-{}", 6 * numbered(weights, "block1.layer.")? + 4, channels / 16))
}

fn vision_transformer(weights: &Weights) -> Option<String> {
    let (&[width, _, _, patch], depth) =
        (shape(weights, "conv_proj.weight")?, numbered(weights, "encoder.layers.encoder_layer_")?)
    else {
        return None;
    };
    let mlp = shape(weights, "encoder.layers.encoder_layer_0.mlp.0.weight")?.first()?;
    Some(format!("vit:patch={patch},width={width},depth={depth},heads={},mlp={mlp}", heads(width)))
}

fn gpt(weights: &Weights) -> Option<String> {
    let table = shape(weights, "transformer.wte.weight").or_else(|| shape(weights, "lm_head.weight"));
    let (&[vocabulary, width], &[context, _]) = (table?, shape(weights, "transformer.wpe.weight")?) else {
        return None;
    };
    let (depth, bias) = (numbered(weights, "transformer.h.")?, shape(weights, "transformer.ln_f.bias").is_some());
    let heads = heads(width);
    Some(format!("gpt:vocabulary={vocabulary},context={context},width={width},depth={depth},heads={heads},bias={bias}"))
}

fn hugging_face_gpt2(weights: &Weights) -> Option<String> {
    let &[_, width] = shape(weights, "wte.weight")? else { return None };
    Some(if width.is_multiple_of(HEAD) { "hf-gpt2".into() } else { format!("hf-gpt2:heads={}", heads(width)) })
}

/// The shape of the tensor of this name, whatever wrapper stands before it.
fn shape<'a>(weights: &'a Weights, name: &str) -> Option<&'a [usize]> {
    let behind = |full: &str| full.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    weights.tensors.iter().find(|(full, _)| behind(full)).map(|(_, tensor)| tensor.dims())
}

/// How many blocks are numbered behind this beginning of their names.
fn numbered(weights: &Weights, beginning: &str) -> Option<usize> {
    let number = |name: &String| {
        let (_, rest) = name.split_once(beginning)?;
        rest.split('.').next()?.parse::<usize>().ok()?.checked_add(1)
    };
    weights.tensors.keys().filter_map(number).max()
}

/// The usual width of a head.
const HEAD: usize = 64;

/// Heads of the usual width, or one: no tensor says how many there are.
fn heads(width: usize) -> usize {
    if width.is_multiple_of(HEAD) { width / HEAD } else { 1 }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use candle_core::{DType, Tensor};

    use super::*;

    /// The weights of a model as a file would hold them.
    fn weights_of(spec: &str, input_shape: &[usize], outputs: Outputs, prefix: &str) -> Weights {
        let model = Model::new(&spec.parse().unwrap(), input_shape, outputs).unwrap();
        let mut weights = Weights::empty("net.pt".as_ref());
        for (name, shape) in model.state_dict() {
            weights.order.push(format!("{prefix}{name}"));
            let zeros = Tensor::zeros(shape, DType::F32, &candle_core::Device::Cpu).unwrap();
            weights.tensors.insert(format!("{prefix}{name}"), zeros);
        }
        weights
    }

    #[test]
    fn sizes_are_read_off_the_tensors() {
        let (images, classes) = (&[3, 8, 8][..], Outputs::AtLeast(3));
        let (sequences, tokens) = (&[4][..], Outputs::EachPosition { positions: 4, classes: 5 });
        for (spec, shape, outputs) in [
            ("mlp:192-7-3:relu", images, classes),
            ("wrn16-2", images, classes),
            ("vit:patch=2,width=12,depth=2,heads=1,mlp=20", images, classes),
            ("resnet50:cifar", images, classes),
            ("resnet18:imagenet", images, classes),
            ("gpt:vocabulary=7,context=6,width=8,depth=2,heads=1,bias=false", sequences, tokens),
        ] {
            let found = Model::fitting(&weights_of(spec, shape, outputs, "module."), shape, outputs);
            // A layout by the size of the images has the shorter name.
            assert!(found.as_deref().is_some_and(|found| spec.starts_with(found)), "{spec}: {found:?}");
        }
        let gpt2 = "hf-gpt2:vocabulary=7,context=6,width=8,depth=2,heads=2";
        let weights = weights_of(gpt2, sequences, tokens, "");
        assert_eq!(Model::fitting(&weights, sequences, tokens).as_deref(), Some("hf-gpt2:heads=1"));
    }
}
