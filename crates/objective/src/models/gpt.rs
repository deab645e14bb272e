//! A GPT (Radford et al., 2019), as in Karpathy's nanoGPT: a sample is a sequence of tokens, and each position answers with
//! the logits of the next token. The token table is also the last layer's weight (`lm_head.weight`). Hugging Face's differs in
//! the layout of linear layers, the activation, and the second names of tensors.

use std::fmt;

use super::attention::{Blocks, LONGEST, attend};
use super::initial::{Draw, Initial};
use super::layers::{EPSILON, Layer, Layers};
use super::spec::Activation;
use crate::settings::Settings;
use crate::{Error, Outputs, Result};

/// The largest vocabulary: keeps the number of weights countable whatever is typed.
const MOST_TOKENS: usize = 1 << 24;

/// The rate of dropout behind embeddings, attention and its shares, and perceptrons (Radford et al., "Improving language
/// understanding by generative pre-training", 2018).
const DROPOUT: Option<f64> = Some(0.1);

/// A GPT: `gpt:vocabulary=65,context=64,width=128,depth=4,heads=4,bias=true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// As many as the data shows when absent.
    vocabulary: Option<usize>,
    /// The longest sequence; as long as the data's when absent.
    context: Option<usize>,
    blocks: Blocks,
    /// Whether layer norms and linear layers have biases.
    bias: bool,
    origin: Origin,
}

/// Whose GPT it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    NanoGpt,
    /// Linear layers are `Conv1D`, whose weights are inputs × outputs, and GELU is approximated with tanh.
    HuggingFace,
}

impl Gpt {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        (name == "gpt").then(|| {
            let known = ["vocabulary", "context", "width", "depth", "heads", "bias"];
            let given = Settings::parse(name, option.unwrap_or(""), &known)?;
            let (width, depth, heads) =
                (given.count("width", 128)?, given.count("depth", 4)?, given.count("heads", 4)?);
            let blocks = Blocks { width, depth, heads }.check(name)?;
            let (vocabulary, context) = (given.count_if_any("vocabulary")?, given.count_if_any("context")?);
            check_sizes(name, vocabulary, context)?;
            Ok(Self { vocabulary, context, blocks, bias: given.switch("bias", true)?, origin: Origin::NanoGpt })
        })
    }

    /// GPT-2 by Hugging Face's names and layouts.
    pub(super) fn of_hugging_face(vocabulary: usize, context: usize, blocks: Blocks) -> Result<Self> {
        let (vocabulary, context) = (Some(vocabulary), Some(context));
        check_sizes("hf-gpt2", vocabulary, context)?;
        Ok(Self { vocabulary, context, blocks, bias: true, origin: Origin::HuggingFace })
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: Outputs) -> Result<Layer> {
        let Blocks { width, depth, .. } = self.blocks;
        let Sizes { vocabulary, context, length } = self.sizes(&x.shape, outputs)?;
        layers.tokens(vocabulary);
        let normal = Initial::Normal { std: 0.02 };
        let tokens = layers.table("transformer.wte", vocabulary, width, normal);
        let places = layers.table("transformer.wpe", context, width, normal);
        layers.alias("lm_head.weight".to_owned(), "transformer.wte.weight".to_owned());
        let x = layers.embedding(tokens, x);
        let places = layers.first_rows(places, length);
        let x = layers.add(x, places);
        let mut x = layers.dropout(DROPOUT, x);
        for i in 0..depth {
            x = self.block(layers, &format!("transformer.h.{i}"), x);
        }
        x = layers.layer_norm("transformer.ln_f", EPSILON, self.bias, x);
        if self.origin == Origin::HuggingFace {
            self.name_bare_model(layers);
        }
        Ok(layers.tied_linear(tokens, x))
    }

    fn block(&self, layers: &mut Layers, name: &str, x: Layer) -> Layer {
        let Blocks { width, depth, heads } = self.blocks;
        let named = |layer: &str| format!("{name}.{layer}");
        let normal = Initial::Normal { std: 0.02 };
        // The more layers add to the stream, the less each one does.
        let added = Initial::Normal { std: 0.02 / (2.0 * depth as f64).sqrt() };
        // Written by versions without fused attention: the mask of earlier positions.
        layers.constant(named("attn.bias"));
        layers.constant(named("attn.masked_bias"));
        let y = layers.layer_norm(&named("ln_1"), EPSILON, self.bias, x.clone());
        let y = self.linear(layers, &named("attn.c_attn"), 3 * width, normal, y);
        let y = attend(layers, heads, true, DROPOUT, y);
        let y = self.linear(layers, &named("attn.c_proj"), width, added, y);
        let y = layers.dropout(DROPOUT, y);
        let x = layers.add(x, y);
        let y = layers.layer_norm(&named("ln_2"), EPSILON, self.bias, x.clone());
        let y = self.linear(layers, &named("mlp.c_fc"), 4 * width, normal, y);
        let activation = match self.origin {
            Origin::NanoGpt => Activation::Gelu,
            Origin::HuggingFace => Activation::GeluTanh,
        };
        let y = layers.activation(activation, y);
        let y = self.linear(layers, &named("mlp.c_proj"), width, added, y);
        let y = layers.dropout(DROPOUT, y);
        layers.add(x, y)
    }

    fn linear(&self, layers: &mut Layers, name: &str, outputs: usize, weight: Initial, x: Layer) -> Layer {
        let bias = self.bias.then_some(Initial::zero as Draw);
        match self.origin {
            Origin::NanoGpt => layers.linear_drawn(name, outputs, |_| weight, bias, x),
            Origin::HuggingFace => layers.conv1d(name, outputs, weight, Initial::Constant(0.0), x),
        }
    }

    /// Files of the model without its head leave out `transformer.`.
    fn name_bare_model(&self, layers: &mut Layers) {
        let in_block = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"];
        let of_block = |i| in_block.map(|layer| format!("h.{i}.{layer}"));
        let names: Vec<String> = (0..self.blocks.depth).flat_map(of_block).chain(["ln_f".to_owned()]).collect();
        let tensors = names.iter().flat_map(|layer| ["weight", "bias"].map(|tensor| format!("{layer}.{tensor}")));
        for bare in tensors.chain(["wte.weight", "wpe.weight"].map(str::to_owned)) {
            let own = format!("transformer.{bare}");
            layers.alias(bare, own);
        }
        for i in 0..self.blocks.depth {
            layers.constant(format!("h.{i}.attn.bias"));
            layers.constant(format!("h.{i}.attn.masked_bias"));
        }
    }

    fn sizes(&self, shape: &[usize], outputs: Outputs) -> Result<Sizes> {
        let (&[length], Outputs::EachPosition { positions, classes }) = (shape, outputs) else {
            return Err(Error::input(
                format!("model `{self}` needs sequences of tokens and the next token for each position"),
                "give integers `x` and `y` of one shape (N, T), such as `synthetic:tokens`",
            ));
        };
        if positions != length {
            return Err(Error::input(
                format!("the data has {length} tokens per sample and {positions} classes"),
                "give one class for each token",
            ));
        }
        let (vocabulary, context) = (self.vocabulary.unwrap_or(classes), self.context.unwrap_or(length));
        if classes > vocabulary {
            return Err(Error::input(
                format!("model `{self}` knows {vocabulary} tokens, the data has {classes}"),
                format!("give `vocabulary={classes}` or more"),
            ));
        }
        if length > context.min(LONGEST) {
            return Err(Error::input(
                format!("model `{self}` takes at most {} tokens, a sample has {length}", context.min(LONGEST)),
                format!("give shorter samples, or a `context` of at most {LONGEST}"),
            ));
        }
        Ok(Sizes { vocabulary, context, length })
    }
}

/// Refuses sizes beyond any that is trained.
fn check_sizes(name: &str, vocabulary: Option<usize>, context: Option<usize>) -> Result<()> {
    for (setting, count, most) in [("vocabulary", vocabulary, MOST_TOKENS), ("context", context, LONGEST)] {
        if let Some(count) = count.filter(|&count| count > most) {
            return Err(Error::input(
                format!("`{name}`: `{setting}` is {count}, the most is {most}"),
                format!("give a smaller `{setting}`"),
            ));
        }
    }
    Ok(())
}

/// What the data decides.
struct Sizes {
    vocabulary: usize,
    context: usize,
    length: usize,
}

impl fmt::Display for Gpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.origin {
            Origin::NanoGpt => "gpt:",
            Origin::HuggingFace => "hf-gpt2:",
        })?;
        for (name, size) in [("vocabulary", self.vocabulary), ("context", self.context)] {
            if let Some(size) = size {
                write!(f, "{name}={size},")?;
            }
        }
        let Blocks { width, depth, heads } = self.blocks;
        write!(f, "width={width},depth={depth},heads={heads}")?;
        match self.origin {
            Origin::NanoGpt => write!(f, ",bias={}", self.bias),
            Origin::HuggingFace => Ok(()),
        }
    }
}
