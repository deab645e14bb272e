//! A GPT (Radford et al., 2019), as in Karpathy's nanoGPT: a sample is a sequence of tokens, and each position answers with
//! the logits of the next token. The token table is also the last layer's weight (`lm_head.weight`).

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
}

impl Gpt {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        (name == "gpt").then(|| {
            let known = ["vocabulary", "context", "width", "depth", "heads", "bias"];
            let given = Settings::parse(name, option.unwrap_or(""), &known)?;
            let (width, depth, heads) =
                (given.count("width", 128)?, given.count("depth", 4)?, given.count("heads", 4)?);
            let blocks = Blocks { width, depth, heads }.check(name)?;
            let at_most = |setting: &str, most: usize| match given.count_if_any(setting)? {
                Some(count) if count > most => Err(Error::input(
                    format!("`{name}`: `{setting}` is {count}, the most is {most}"),
                    format!("give a smaller `{setting}`"),
                )),
                count => Ok(count),
            };
            let (vocabulary, context) = (at_most("vocabulary", MOST_TOKENS)?, at_most("context", LONGEST)?);
            Ok(Self { vocabulary, context, blocks, bias: given.switch("bias", true)? })
        })
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
        Ok(layers.tied_linear(tokens, x))
    }

    fn block(&self, layers: &mut Layers, name: &str, x: Layer) -> Layer {
        let Blocks { width, depth, heads } = self.blocks;
        let named = |layer: &str| format!("{name}.{layer}");
        let bias = self.bias.then_some(Initial::zero as Draw);
        let normal = |_| Initial::Normal { std: 0.02 };
        // The more layers add to the stream, the less each one does.
        let added = |_| Initial::Normal { std: 0.02 / (2.0 * depth as f64).sqrt() };
        // Written by versions without fused attention: the mask of earlier positions.
        layers.constant(named("attn.bias"));
        let y = layers.layer_norm(&named("ln_1"), EPSILON, self.bias, x.clone());
        let y = layers.linear_drawn(&named("attn.c_attn"), 3 * width, normal, bias, y);
        let y = attend(layers, heads, true, DROPOUT, y);
        let y = layers.linear_drawn(&named("attn.c_proj"), width, added, bias, y);
        let y = layers.dropout(DROPOUT, y);
        let x = layers.add(x, y);
        let y = layers.layer_norm(&named("ln_2"), EPSILON, self.bias, x.clone());
        let y = layers.linear_drawn(&named("mlp.c_fc"), 4 * width, normal, bias, y);
        let y = layers.activation(Activation::Gelu, y);
        let y = layers.linear_drawn(&named("mlp.c_proj"), width, added, bias, y);
        let y = layers.dropout(DROPOUT, y);
        layers.add(x, y)
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

/// What the data decides.
struct Sizes {
    vocabulary: usize,
    context: usize,
    length: usize,
}

impl fmt::Display for Gpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gpt:")?;
        for (name, size) in [("vocabulary", self.vocabulary), ("context", self.context)] {
            if let Some(size) = size {
                write!(f, "{name}={size},")?;
            }
        }
        let Blocks { width, depth, heads } = self.blocks;
        write!(f, "width={width},depth={depth},heads={heads},bias={}", self.bias)
    }
}
