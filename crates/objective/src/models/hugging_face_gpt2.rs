//! GPT-2 as Hugging Face's `transformers` have it, by the names and layouts of its files. Sizes that are not given are those of
//! the weights, or else the published ones of the smallest GPT-2.

use std::fmt;

use super::attention::Blocks;
use super::gpt::Gpt;
use super::layers::{Layer, Layers};
use crate::settings::Settings;
use crate::weights::Weights;
use crate::{Error, Outputs, Result};

const NAME: &str = "hf-gpt2";
const SETTINGS: [&str; 5] = ["vocabulary", "context", "width", "depth", "heads"];

/// The width of a head in every published GPT-2.
const HEAD: usize = 64;

/// GPT-2 of Hugging Face: `hf-gpt2`, or like `hf-gpt2:heads=12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HuggingFaceGpt2 {
    vocabulary: Option<usize>,
    context: Option<usize>,
    width: Option<usize>,
    depth: Option<usize>,
    /// As many as heads of 64 fill the width when absent.
    heads: Option<usize>,
}

impl HuggingFaceGpt2 {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        (name == NAME).then(|| {
            let given = Settings::parse(name, option.unwrap_or(""), &SETTINGS)?;
            let [vocabulary, context, width, depth, heads] = SETTINGS.map(|setting| given.count_if_any(setting));
            Ok(Self { vocabulary: vocabulary?, context: context?, width: width?, depth: depth?, heads: heads? })
        })
    }

    /// With the sizes of the weights for those that are left open.
    pub(super) fn sized(self, weights: &Weights) -> Self {
        let rows_and_columns = |table: &str| {
            let named = |name: &str| name == table || name.ends_with(&format!(".{table}"));
            let (_, tensor) = weights.tensors.iter().find(|(name, _)| named(name))?;
            tensor.dims2().ok()
        };
        let block = |name: &String| {
            let mut parts = name.split('.').skip_while(|part| *part != "h").skip(1);
            parts.next()?.parse::<usize>().ok()?.checked_add(1)
        };
        let (tokens, places) = (rows_and_columns("wte.weight"), rows_and_columns("wpe.weight"));
        Self {
            vocabulary: self.vocabulary.or(tokens.map(|(rows, _)| rows)),
            context: self.context.or(places.map(|(rows, _)| rows)),
            width: self.width.or(tokens.map(|(_, columns)| columns)),
            depth: self.depth.or(weights.tensors.keys().filter_map(block).max()),
            ..self
        }
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: Outputs) -> Result<Layer> {
        let (width, depth) = (self.width.unwrap_or(768), self.depth.unwrap_or(12));
        let heads = match self.heads {
            Some(heads) => heads,
            None if width.is_multiple_of(HEAD) => width / HEAD,
            None => {
                return Err(Error::input(
                    format!("heads of {HEAD} do not fill the width {width} of model `{self}`"),
                    format!("say how many heads there are, as `n_head` in its `config.json`: `{NAME}:heads=N`"),
                ));
            }
        };
        let blocks = Blocks { width, depth, heads }.check(NAME)?;
        let (vocabulary, context) = (self.vocabulary.unwrap_or(50257), self.context.unwrap_or(1024));
        Gpt::of_hugging_face(vocabulary, context, blocks)?.build(layers, x, outputs)
    }
}

impl fmt::Display for HuggingFaceGpt2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = [self.vocabulary, self.context, self.width, self.depth, self.heads];
        let given = SETTINGS.iter().zip(sizes).filter_map(|(name, size)| Some(format!("{name}={}", size?)));
        let given: Vec<String> = given.collect();
        f.write_str(NAME)?;
        if given.is_empty() { Ok(()) } else { write!(f, ":{}", given.join(",")) }
    }
}
