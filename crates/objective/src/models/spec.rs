//! Which model, by the names of the command line.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use basin_import::NetworkFile;

use super::alexnet::AlexNet;
use super::gpt::Gpt;
use super::hugging_face_gpt2::HuggingFaceGpt2;
use super::layers::{Layer, Layers};
use super::residual::{CifarResNet, ResNet};
use super::vgg::Vgg;
use super::vision_transformer::VisionTransformer;
use super::wide_residual::WideResNet;
use super::{convolutional, fully_connected, torchvision};
use crate::weights::Weights;
use crate::{Error, Outputs, Result, suggestion};

/// An elementwise function between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x, or 0.01 x where x is negative.
    LeakyRelu,
    /// tanh x.
    Tanh,
    /// 1/(1 + e^(−x)).
    Sigmoid,
    /// x Φ(x).
    Gelu,
    /// The same with Φ approximated by tanh, as in GPT-2.
    GeluTanh,
    /// x σ(x).
    Silu,
    /// log(1 + eˣ).
    Softplus,
    /// x: a linear network.
    Identity,
}

const ACTIVATIONS: [(&str, Activation); 9] = [
    ("relu", Activation::Relu),
    ("leaky-relu", Activation::LeakyRelu),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("gelu", Activation::Gelu),
    ("gelu-tanh", Activation::GeluTanh),
    ("silu", Activation::Silu),
    ("softplus", Activation::Softplus),
    ("identity", Activation::Identity),
];

/// The name of a model, as in `--model`.
///
/// ```
/// use basin_objective::models::ModelSpec;
///
/// let spec: ModelSpec = "mlp:64-128-10:tanh:bn".parse()?;
/// assert_eq!(spec.to_string(), "mlp:64-128-10:tanh:bn");
/// let error = "f7".parse::<ModelSpec>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown model `f7`");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSpec {
    /// Linear layers of the given widths, inputs first and outputs last.
    Mlp {
        /// Widths: inputs, hidden layers, outputs.
        widths: Vec<usize>,
        /// The function between layers.
        activation: Activation,
        /// Whether batch norm stands before each activation.
        batch_norm: bool,
    },
    /// Keskar's F1: five layers of 512 with batch norm and relu.
    F1,
    /// Keskar's F2: seven layers of 512 with batch norm and relu.
    F2,
    /// Keskar's C1: the shallow convolutional network.
    C1,
    /// Keskar's C2: the deep convolutional network.
    C2,
    /// C1 under the name the paper uses with CIFAR-100.
    C3,
    /// C2 under the name the paper uses with CIFAR-100.
    C4,
    /// `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`, optionally with `:cifar` or `:imagenet`.
    ResNet(ResNet),
    /// `resnet20`, `resnet32`, `resnet44`, `resnet56`, `resnet110`, optionally with `:b`.
    CifarResNet(CifarResNet),
    /// `vgg9`, `vgg11`, `vgg13`, `vgg16`, `vgg19`, optionally with `-bn`, then with `:cifar` or `:imagenet`.
    Vgg(Vgg),
    /// `alexnet`, optionally with `:cifar` or `:imagenet`.
    AlexNet(AlexNet),
    /// `wrn28-10` and others of its kind.
    WideResNet(WideResNet),
    /// `vit`, with settings such as `vit:patch=4,width=64`.
    VisionTransformer(VisionTransformer),
    /// `gpt`, with settings such as `gpt:context=64,width=128`.
    Gpt(Gpt),
    /// `hf-gpt2`, with settings such as `hf-gpt2:heads=12`.
    HuggingFaceGpt2(HuggingFaceGpt2),
    /// The path of a file that holds a network: `.pt2`, as `torch.export.save` writes it, or `.onnx`.
    Exported(PathBuf),
    /// The same with weights to be drawn by PyTorch's defaults: `net.pt2:from-scratch`.
    FromScratch(PathBuf),
}

/// What stands behind the file of a network that does not start from its own weights.
const FROM_SCRATCH: &str = ":from-scratch";

/// Names to suggest; families of many names stand with their best known members.
pub(super) const NAMES: [&str; 32] = [
    "f1",
    "f2",
    "c1",
    "c2",
    "c3",
    "c4",
    "mlp",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "vgg9",
    "vgg9-bn",
    "vgg11",
    "vgg11-bn",
    "vgg13",
    "vgg13-bn",
    "vgg16",
    "vgg16-bn",
    "vgg19",
    "vgg19-bn",
    "alexnet",
    "wrn28-10",
    "vit",
    "gpt",
    "hf-gpt2",
];

/// Of a file of weights given as a model.
const WEIGHTS_ALONE: &str = "weights do not say what is computed with them: name a model of the zoo, or the file of a \
     network that `torch.export.save` or `torch.onnx.export` wrote, like `--model net.pt2`";

/// Reads a name and what stands behind its colon; absent where the name is another family's.
type Parse = fn(&str, Option<&str>) -> Option<Result<ModelSpec>>;

const FAMILIES: [Parse; 10] = [
    |name, option| option.filter(|_| name == "mlp").map(mlp),
    keskar,
    |name, option| Some(ResNet::parse(name, option)?.map(ModelSpec::ResNet)),
    |name, option| Some(CifarResNet::parse(name, option)?.map(ModelSpec::CifarResNet)),
    |name, option| Some(Vgg::parse(name, option)?.map(ModelSpec::Vgg)),
    |name, option| Some(AlexNet::parse(name, option)?.map(ModelSpec::AlexNet)),
    |name, option| Some(WideResNet::parse(name, option)?.map(ModelSpec::WideResNet)),
    |name, option| Some(VisionTransformer::parse(name, option)?.map(ModelSpec::VisionTransformer)),
    |name, option| Some(Gpt::parse(name, option)?.map(ModelSpec::Gpt)),
    |name, option| Some(HuggingFaceGpt2::parse(name, option)?.map(ModelSpec::HuggingFaceGpt2)),
];

impl FromStr for ModelSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if NetworkFile::is_named_by(text) {
            return Ok(Self::Exported(text.into()));
        }
        if let Some(path) = text.strip_suffix(FROM_SCRATCH).filter(|path| path.ends_with(".pt2")) {
            return Ok(Self::FromScratch(path.into()));
        }
        torchvision::parse(text).unwrap_or_else(|| parse_in_zoo(text))
    }
}

/// A model of the zoo by the zoo's own name.
pub(super) fn parse_in_zoo(text: &str) -> Result<ModelSpec> {
    let (name, option) = match text.split_once(':') {
        Some((name, option)) => (name, Some(option)),
        None => (text, None),
    };
    FAMILIES.iter().find_map(|parse| parse(name, option)).unwrap_or_else(|| {
        let hint = match Path::new(text).extension().and_then(|extension| extension.to_str()) {
            Some("pt" | "pth" | "ckpt" | "bin" | "safetensors") => WEIGHTS_ALONE.to_owned(),
            _ => suggestion::hint(name, &NAMES),
        };
        Err(Error::input(
            format!("unknown model `{text}`"),
            match suggestion::nearest(name, &NAMES) {
                Some("mlp") | None => format!("{hint}; an `mlp` is written like `mlp:64-128-10:relu`"),
                Some(_) => hint,
            },
        ))
    })
}

fn keskar(name: &str, option: Option<&str>) -> Option<Result<ModelSpec>> {
    let spec = match name {
        "f1" => ModelSpec::F1,
        "f2" => ModelSpec::F2,
        "c1" => ModelSpec::C1,
        "c2" => ModelSpec::C2,
        "c3" => ModelSpec::C3,
        "c4" => ModelSpec::C4,
        _ => return None,
    };
    // With an option the name is unknown, as it always was.
    option.is_none().then_some(Ok(spec))
}

/// Largest width of a layer: keeps the number of weights countable whatever is typed.
const MAX_WIDTH: usize = 1 << 24;

fn mlp(option: &str) -> Result<ModelSpec> {
    let text = &format!("mlp:{option}");
    let example = "write it like `mlp:64-128-10:relu` or `mlp:64-128-10:relu:bn`";
    let mut parts = option.split(':');
    let widths = parts
        .next()
        .unwrap_or_default()
        .split('-')
        .map(|width| width.parse().ok().filter(|width| (1..=MAX_WIDTH).contains(width)))
        .collect::<Option<Vec<usize>>>()
        .filter(|widths| widths.len() >= 2)
        .ok_or_else(|| Error::input(format!("model `{text}`: expected at least two widths of at least 1"), example))?;
    let activation = match parts.next() {
        None => Activation::Relu,
        Some(name) => named_activation(text, name)?,
    };
    let batch_norm = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some("bn"), None) => true,
        _ => return Err(Error::input(format!("model `{text}`: only `bn` may follow the activation"), example)),
    };
    Ok(ModelSpec::Mlp { widths, activation, batch_norm })
}

fn named_activation(text: &str, name: &str) -> Result<Activation> {
    ACTIVATIONS.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation).ok_or_else(|| {
        let names = ACTIVATIONS.map(|(name, _)| name);
        Error::input(format!("model `{text}`: unknown activation `{name}`"), suggestion::hint(name, &names))
    })
}

impl Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mlp { widths, activation, batch_norm } => {
                let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
                let activation = ACTIVATIONS.iter().find(|(_, a)| a == activation).map_or("relu", |(name, _)| name);
                write!(f, "mlp:{}:{activation}{}", widths.join("-"), if *batch_norm { ":bn" } else { "" })
            }
            Self::F1 => f.write_str("f1"),
            Self::F2 => f.write_str("f2"),
            Self::C1 => f.write_str("c1"),
            Self::C2 => f.write_str("c2"),
            Self::C3 => f.write_str("c3"),
            Self::C4 => f.write_str("c4"),
            Self::ResNet(spec) => spec.fmt(f),
            Self::CifarResNet(spec) => spec.fmt(f),
            Self::Vgg(spec) => spec.fmt(f),
            Self::AlexNet(spec) => spec.fmt(f),
            Self::WideResNet(spec) => spec.fmt(f),
            Self::VisionTransformer(spec) => spec.fmt(f),
            Self::Gpt(spec) => spec.fmt(f),
            Self::HuggingFaceGpt2(spec) => spec.fmt(f),
            Self::Exported(path) => path.display().fmt(f),
            Self::FromScratch(path) => write!(f, "{}{FROM_SCRATCH}", path.display()),
        }
    }
}

impl ModelSpec {
    /// The same model with the sizes of these weights where its name leaves them open, as `hf-gpt2` does.
    ///
    /// ```
    /// use basin_objective::models::ModelSpec;
    /// # use basin_objective::weights::{self, Weights};
    /// # use candle_core::{DType, Device, Tensor};
    /// # let path = tempfile::tempdir()?.keep().join("model.safetensors");
    /// # let tensor = |rows| Tensor::zeros((rows, 8), DType::F32, &Device::Cpu);
    /// # let tensors = [("wte.weight".to_owned(), tensor(7)?), ("wpe.weight".to_owned(), tensor(6)?)];
    /// # weights::write(&path, &tensors, &Default::default())?;
    ///
    /// // A file with a table of 7 tokens and one of 6 positions, 8 numbers each.
    /// let spec = "hf-gpt2:depth=1,heads=2".parse::<ModelSpec>()?.sized(&Weights::read(&path)?);
    /// assert_eq!(spec.to_string(), "hf-gpt2:vocabulary=7,context=6,width=8,depth=1,heads=2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sized(self, weights: &Weights) -> Self {
        match self {
            Self::HuggingFaceGpt2(spec) => Self::HuggingFaceGpt2(spec.sized(weights)),
            other => other,
        }
    }

    pub(super) fn build(&self, layers: &mut Layers, input_shape: &[usize], outputs: Outputs) -> Result<Layer> {
        let x = layers.input(input_shape);
        match self {
            Self::Gpt(spec) => return spec.build(layers, x, outputs),
            Self::HuggingFaceGpt2(spec) => return spec.build(layers, x, outputs),
            _ => {}
        }
        let needed = match outputs {
            Outputs::AtLeast(_) | Outputs::Exactly(_) | Outputs::Binary => outputs.needed(),
            Outputs::EachPosition { positions, .. } => {
                return Err(Error::input(
                    format!("model `{self}` gives one answer per sample, the data has {positions} classes for each"),
                    "give one class per sample, an array of shape (N,), or use a model of sequences such as `gpt`",
                ));
            }
        };
        match self {
            Self::Gpt(spec) => spec.build(layers, x, outputs),
            Self::HuggingFaceGpt2(spec) => spec.build(layers, x, outputs),
            Self::Mlp { widths, activation, batch_norm } => {
                let inputs = input_shape.iter().product::<usize>();
                let last = widths[widths.len() - 1];
                if widths[0] != inputs || !outputs.allows(last) {
                    return Err(self.misfit(widths, inputs, needed));
                }
                let hidden = &widths[1..widths.len() - 1];
                Ok(fully_connected::stack(layers, x, hidden, last, *activation, *batch_norm))
            }
            Self::F1 => Ok(fully_connected::stack(layers, x, &[512; 5], needed, Activation::Relu, true)),
            Self::F2 => Ok(fully_connected::stack(layers, x, &[512; 7], needed, Activation::Relu, true)),
            Self::C1 | Self::C3 => convolutional::shallow(layers, x, needed),
            Self::C2 | Self::C4 => convolutional::deep(layers, x, needed),
            Self::ResNet(spec) => spec.build(layers, x, needed),
            Self::CifarResNet(spec) => spec.build(layers, x, needed),
            Self::Vgg(spec) => spec.build(layers, x, needed),
            Self::AlexNet(spec) => spec.build(layers, x, needed),
            Self::WideResNet(spec) => spec.build(layers, x, needed),
            Self::VisionTransformer(spec) => spec.build(layers, x, needed),
            Self::Exported(path) | Self::FromScratch(path) => Err(Error::input(
                format!("`{}` is a program, not a stack of layers", path.display()),
                "this is a defect of basin: report it",
            )),
        }
    }

    fn misfit(&self, widths: &[usize], inputs: usize, outputs: usize) -> Error {
        let mut fitting: Vec<String> = widths.iter().map(usize::to_string).collect();
        let last = fitting.len() - 1;
        (fitting[0], fitting[last]) = (inputs.to_string(), outputs.to_string());
        Error::input(
            format!(
                "model `{self}` takes {} inputs and gives {} outputs; the data has {inputs} inputs and needs {outputs}",
                widths[0], widths[last]
            ),
            format!("widths that fit are {}", fitting.join("-")),
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::Model;

    #[test]
    fn the_papers_networks_have_the_papers_sizes() {
        let parameters = |spec: &str, shape: &[usize]| {
            Model::new(&spec.parse().unwrap(), shape, Outputs::AtLeast(10)).unwrap().parameters().len()
        };
        // 784·512 + 4·512² weights, 6 biases, 5 batch norms.
        assert_eq!(parameters("f1", &[1, 28, 28]), 784 * 512 + 4 * 512 * 512 + 512 * 10 + 5 * 512 + 10 + 5 * 1024);
        // Convolutions 3·25·64 and 64·25·64, then 4096-384-192-10.
        let (conv, dense) = (75 * 64 + 1600 * 64, 4096 * 384 + 384 * 192 + 1920);
        assert_eq!(parameters("c1", &[3, 32, 32]), conv + dense + 128 + 384 + 192 + 10 + 2 * (128 + 384 + 192));
        assert!(parameters("c2", &[3, 32, 32]) > 14_000_000);
    }

    #[test]
    fn misfits_name_the_widths_that_fit() {
        let error = Model::new(&"mlp:60-32-10".parse().unwrap(), &[64], Outputs::AtLeast(10)).unwrap_err();
        assert_eq!(error.hint(), Some("widths that fit are 64-32-10"));
        assert!(Model::new(&ModelSpec::C1, &[64], Outputs::AtLeast(10)).unwrap_err().is_bad_input());
    }

    #[test]
    fn a_model_may_know_more_classes_than_the_data_shows() {
        let model = |outputs| Model::new(&"mlp:4-10".parse().unwrap(), &[4], outputs);
        assert_eq!(model(Outputs::AtLeast(3)).unwrap().outputs(), 10);
        assert!(model(Outputs::AtLeast(11)).is_err());
        assert!(model(Outputs::Exactly(3)).is_err());
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_name() {
        for text in
            ["", "mlp", "mlp:", "mlp:64", "mlp:64-0-10", "mlp:64-10:relu:bn:bn", "mlp:64-10:bn", "mlp:9-99999999999-2"]
        {
            assert!(text.parse::<ModelSpec>().unwrap_err().is_bad_input(), "{text}");
        }
        assert!("mlp:64-10:rleu".parse::<ModelSpec>().unwrap_err().hint().unwrap().contains("relu"));
    }

    #[test]
    fn names_of_the_zoo_are_written_as_they_are_read() {
        for text in NAMES.into_iter().filter(|&name| !["mlp", "vit", "gpt"].contains(&name)).chain([
            "resnet18:cifar",
            "resnet34:imagenet",
            "resnet56:b",
            "vgg16-bn:imagenet",
            "vgg13:cifar",
            "alexnet:imagenet",
            "wrn16-4",
            "vit:patch=2,width=12,depth=3,heads=6,mlp=24",
            "gpt:width=128,depth=4,heads=4,bias=true",
            "gpt:vocabulary=65,context=64,width=8,depth=1,heads=2,bias=false",
            "resnet50:imagenet",
            "a/net.pt2:from-scratch",
            "hf-gpt2:vocabulary=65,width=8,heads=2",
            "mlp:3-4-2:gelu-tanh",
        ]) {
            assert_eq!(text.parse::<ModelSpec>().unwrap().to_string(), text);
        }
        let written = |text: &str| text.parse::<ModelSpec>().unwrap().to_string();
        assert_eq!(written("vit"), "vit:patch=4,width=64,depth=4,heads=4,mlp=256");
        assert_eq!(written("gpt"), "gpt:width=128,depth=4,heads=4,bias=true");
        assert_eq!(written("resnet20:a"), "resnet20");
    }

    #[test]
    fn slips_in_names_are_answered() {
        for (text, message, hint) in [
            ("resnet19", "unknown model `resnet19`", "did you mean `resnet18`?"),
            ("vgg16bn", "unknown model `vgg16bn`", "did you mean `vgg16-bn`?"),
            ("f1:bn", "unknown model `f1:bn`", "did you mean `f1`?"),
            ("resnet18:imagnet", "model `resnet18` has no layout `imagnet`", "did you mean `imagenet`?"),
            ("resnet20:c", "model `resnet20` has no shortcut `c`", "write `:b`"),
            ("vgg9:imagenet", "model `vgg9` has no layout `imagenet`", "write `vgg9` alone"),
            ("wrn27-10", "model `wrn27-10` is no wide residual network", "like `wrn28-10`"),
            ("wrn28-10:x", "model `wrn28-10` is no wide residual network", "without options"),
            ("wrn28-99999", "is no wide residual network", "like `wrn28-10`"),
            ("vit:width=10,heads=4", "`vit`: 4 heads cannot share a width of 10 evenly", "a multiple of 4"),
            ("vit:pach=4", "`vit` has no setting `pach`", "did you mean `patch`?"),
            ("vit:depth=100000", "beyond any that is trained", "at most 1000"),
            ("vit:mlp=99999999", "beyond any that is trained", "`mlp` of at most"),
            ("gpt:heads=0", "`heads` is `0`", "at least 1"),
            ("gpt:bias=maybe", "`bias` is `maybe`, expected `true` or `false`", "`true` or `false`"),
            ("gpt:vocabulary=999999999", "the most is 16777216", "smaller `vocabulary`"),
        ] {
            let error = text.parse::<ModelSpec>().unwrap_err();
            assert!(error.is_bad_input() && error.to_string().contains(message), "{error:?} lacks {message:?}");
            assert!(error.hint().is_some_and(|found| found.contains(hint)), "{error:?} lacks {hint:?}");
        }
    }

    #[test]
    fn samples_that_do_not_fit_are_bad_input() {
        let each = |positions, classes| Outputs::EachPosition { positions, classes };
        for (spec, shape, outputs, message) in [
            ("resnet18", &[64][..], Outputs::Exactly(10), "[channels, height, width], found [64]"),
            ("vgg11", &[3, 16, 16], Outputs::Exactly(10), "cannot take samples of shape [3, 16, 16]"),
            ("alexnet", &[3, 8, 8], Outputs::Exactly(10), "cannot take samples of shape [3, 8, 8]"),
            ("vit", &[3, 30, 32], Outputs::Exactly(10), "cut images of 30×32 into patches of 4×4"),
            ("vit:patch=1", &[3, 512, 512], Outputs::Exactly(10), "into 262144 patches"),
            ("vit:width=65536,depth=1000", &[3, 32, 32], Outputs::Exactly(10), "parameters, the most are"),
            ("resnet20", &[16], each(16, 5), "one answer per sample, the data has 16 classes for each"),
            ("gpt", &[16], Outputs::AtLeast(5), "needs sequences of tokens"),
            ("gpt", &[3, 16], each(16, 5), "needs sequences of tokens"),
            ("gpt", &[16], each(15, 5), "16 tokens per sample and 15 classes"),
            ("gpt:vocabulary=4", &[16], each(16, 5), "knows 4 tokens, the data has 5"),
            ("gpt:context=8", &[16], each(16, 5), "takes at most 8 tokens, a sample has 16"),
            ("gpt", &[10_000], each(10_000, 5), "takes at most 8192 tokens"),
        ] {
            let error = Model::new(&spec.parse().unwrap(), shape, outputs).unwrap_err();
            assert!(error.is_bad_input() && error.to_string().contains(message), "{error:?} lacks {message:?}");
        }
    }

    #[test]
    fn layouts_go_by_the_size_of_the_images() {
        let first = |spec: &str, size| {
            let model = Model::new(&spec.parse().unwrap(), &[3, size, size], Outputs::Exactly(10)).unwrap();
            let entries = model.parameters().entries();
            (entries[0].shape[2], entries[entries.len() - 2].name.clone())
        };
        assert_eq!(first("resnet18", 32), (3, "fc.weight".to_owned()));
        assert_eq!(first("resnet18", 224), (7, "fc.weight".to_owned()));
        assert_eq!(first("resnet18:imagenet", 32).0, 7);
        assert_eq!(first("vgg16", 32).1, "classifier.weight");
        assert_eq!(first("vgg16", 96).1, "classifier.6.weight");
        assert_eq!((first("alexnet", 64).0, first("alexnet", 224).0), (3, 11));
    }

    #[test]
    fn tokens_are_integers_of_the_vocabulary() {
        use crate::data::{Dataset, Targets};
        use candle_core::{DType, Device, Tensor};
        let outputs = Outputs::EachPosition { positions: 2, classes: 3 };
        let model = Model::new(&"gpt:width=4,depth=1,heads=1".parse().unwrap(), &[2], outputs).unwrap();
        let inputs = |x: Tensor| {
            let labels = Tensor::zeros((1, 2), DType::I64, &Device::Cpu).unwrap();
            let data = Dataset::from_tensors("tokens", x, Targets::classes(labels, 3)).unwrap();
            model.inputs(&data, DType::F32, &Device::Cpu)
        };
        assert_eq!(inputs(Tensor::new(&[[0_u8, 2]], &Device::Cpu).unwrap()).unwrap()[0].dtype(), DType::U32);
        for (x, message) in [
            (Tensor::new(&[[0_i64, 3]], &Device::Cpu), "a token 3 in `x`"),
            (Tensor::new(&[[0_i64, -1]], &Device::Cpu), "a token -1 in `x`"),
            (
                Tensor::new(&[[0_f32, 1.0]], &Device::Cpu),
                "takes tokens or other whole numbers as `x`, the inputs are f32",
            ),
        ] {
            assert!(inputs(x.unwrap()).unwrap_err().to_string().contains(message));
        }
    }

    #[test]
    fn initial_weights_have_the_spread_of_the_papers() {
        let check = |spec: &str, name: &str, expected: f64| {
            let shape = [3, 8, 8];
            let model = Model::new(&spec.parse().unwrap(), &shape, Outputs::Exactly(10)).unwrap();
            let theta = model.initial_parameters(0, candle_core::DType::F64).unwrap();
            let index = model.parameters().entries().iter().position(|entry| entry.name == name).unwrap();
            let values = &model.parameters().views(&theta).unwrap()[index].flatten_all().unwrap();
            let square = values.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
            assert!((square.sqrt() - expected).abs() <= 0.05 * expected, "{spec} {name}: {}", square.sqrt());
        };
        // By the outputs, 2/(9·128), and by the inputs, 2/(9·16).
        check("resnet18", "layer2.0.conv1.weight", (2.0_f64 / 1152.0).sqrt());
        check("resnet20", "layer2.0.conv1.weight", (2.0_f64 / 144.0).sqrt());
        check("wrn10-1", "block2.layer.0.conv1.weight", (2.0_f64 / 288.0).sqrt());
        check("vit", "heads.head.weight", 0.0);
        // Uniform in ±√(6/(64 + 192)).
        check("vit", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight", (2.0_f64 / 256.0).sqrt());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_bad_input(
            text in "(mlp:|resnet|vgg|wrn|alexnet:|vit:|gpt:)?[a-z0-9:=,-]{0,20}"
        ) {
            if let Ok(spec) = text.parse::<ModelSpec>() {
                prop_assert_eq!(spec.to_string().parse::<ModelSpec>().unwrap(), spec);
            }
        }
    }
}
