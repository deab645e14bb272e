//! The vision transformer (Dosovitskiy et al., "An image is worth 16×16 words", 2021), as in torchvision: a convolution
//! of stride `patch` makes tokens, a class token stands in front of them, and its last state is classified.

use std::fmt;

use super::attention::{Blocks, LONGEST, attend};
use super::initial::Initial;
use super::layers::{Convolution, Layer, Layers, image};
use super::spec::Activation;
use crate::settings::Settings;
use crate::{Error, Result};

/// torchvision's ε of the layer norms.
const EPSILON: f64 = 1e-6;

/// The rate of dropout behind embeddings and every linear layer but the one in front of attention, appendix B.1 of the paper.
const DROPOUT: Option<f64> = Some(0.1);

/// A vision transformer: `vit:patch=4,width=64,depth=4,heads=4,mlp=256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisionTransformer {
    patch: usize,
    blocks: Blocks,
    /// The width inside the blocks' perceptrons.
    mlp: usize,
}

impl VisionTransformer {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        (name == "vit").then(|| {
            let given = Settings::parse(name, option.unwrap_or(""), &["patch", "width", "depth", "heads", "mlp"])?;
            let (width, depth, heads) = (given.count("width", 64)?, given.count("depth", 4)?, given.count("heads", 4)?);
            let blocks = Blocks { width, depth, heads }.check(name)?;
            let (patch, mlp) = (given.count("patch", 4)?, given.count("mlp", 4 * width)?);
            if patch > 1 << 12 || mlp > 1 << 18 {
                return Err(Error::input(
                    format!("`{name}`: a patch of {patch} and an inner width of {mlp} are beyond any that is trained"),
                    "give a `patch` of at most 4096 and an `mlp` of at most 262144",
                ));
            }
            Ok(Self { patch, blocks, mlp })
        })
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: usize) -> Result<Layer> {
        let Blocks { width, depth, heads } = self.blocks;
        let patches = self.patches(image(&x.shape)?)?;
        let class = layers.parameter("class_token", &[1, 1, width], Initial::Constant(0.0));
        let x = layers.conv2d("conv_proj", self.projection(), x)?;
        let x = layers.reshape(x, vec![width, patches]);
        let x = layers.transpose(x, 0, 1);
        let places = layers.parameter("encoder.pos_embedding", &[1, patches + 1, width], Initial::Normal { std: 0.02 });
        // The class token stands at position 0 of every sample, where the patches have zeros.
        let class = layers.pad(class, 0, 0, patches);
        let start = layers.add(class, places);
        let x = layers.pad(x, 0, 1, 0);
        let x = layers.add(x, start);
        let mut x = layers.dropout(DROPOUT, x);
        for i in 0..depth {
            x = self.block(layers, &format!("encoder.layers.encoder_layer_{i}"), heads, x);
        }
        x = layers.layer_norm("encoder.ln", EPSILON, true, x);
        let class = layers.narrow(x, 0, 0, 1);
        let class = layers.flatten(class);
        Ok(layers.linear_drawn("heads.head", outputs, Initial::zero, Some(Initial::zero), class))
    }

    /// The number of patches of an image.
    fn patches(&self, [_, height, width]: [usize; 3]) -> Result<usize> {
        let patch = self.patch;
        if !height.is_multiple_of(patch) || !width.is_multiple_of(patch) {
            return Err(Error::input(
                format!("model `{self}` cannot cut images of {height}×{width} into patches of {patch}×{patch}"),
                "give a `patch` that divides height and width",
            ));
        }
        let patches = (height / patch) * (width / patch);
        if patches < LONGEST {
            return Ok(patches);
        }
        Err(Error::input(
            format!(
                "model `{self}` cuts images of {height}×{width} into {patches} patches, the most are {}",
                LONGEST - 1
            ),
            "give a larger `patch`",
        ))
    }

    fn projection(&self) -> Convolution {
        Convolution {
            channels: self.blocks.width,
            kernel: self.patch,
            stride: self.patch,
            padding: 0,
            weight: |fan| Initial::Normal { std: (1.0 / fan.inputs.max(1) as f64).sqrt() },
            bias: Some(Initial::zero),
        }
    }

    fn block(&self, layers: &mut Layers, name: &str, heads: usize, x: Layer) -> Layer {
        let width = self.blocks.width;
        let named = |layer: &str| format!("{name}.{layer}");
        let y = layers.layer_norm(&named("ln_1"), EPSILON, true, x.clone());
        let projection = (named("self_attention.in_proj_weight"), named("self_attention.in_proj_bias"));
        let y = layers.linear_named(projection, 3 * width, Initial::xavier, Some(Initial::zero), y);
        let y = attend(layers, heads, false, None, y);
        let out = named("self_attention.out_proj");
        let y = layers.linear_drawn(&out, width, Initial::pytorch, Some(Initial::zero), y);
        let y = layers.dropout(DROPOUT, y);
        let x = layers.add(x, y);
        let y = layers.layer_norm(&named("ln_2"), EPSILON, true, x.clone());
        let tiny = |_| Initial::Normal { std: 1e-6 };
        let y = layers.linear_drawn(&named("mlp.0"), self.mlp, Initial::xavier, Some(tiny), y);
        let y = layers.activation(Activation::Gelu, y);
        let y = layers.dropout(DROPOUT, y);
        let y = layers.linear_drawn(&named("mlp.3"), width, Initial::xavier, Some(tiny), y);
        let y = layers.dropout(DROPOUT, y);
        layers.add(x, y)
    }
}

impl fmt::Display for VisionTransformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { patch, blocks: Blocks { width, depth, heads }, mlp } = self;
        write!(f, "vit:patch={patch},width={width},depth={depth},heads={heads},mlp={mlp}")
    }
}
