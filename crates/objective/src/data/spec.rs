//! The text that names data on the command line, in study files and in records.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Synthetic, Tokens};
use crate::{Error, Result, suggestion};

/// Which data: a name, and where it needs one, a folder, a file or settings behind a colon.
///
/// | text | data |
/// |---|---|
/// | `digits` | the handwritten digits that ship with basin: 64 pixels each, 1437 to train on and 360 held back |
/// | `digits:images` | the same as images of shape (1, 8, 8), for convolutions and augmentation |
/// | `mnist:DIR` | the IDX files of MNIST or Fashion-MNIST, plain or `.gz` |
/// | `cifar10:DIR`, `cifar100:DIR` | the binary versions of CIFAR |
/// | `images:DIR[:gray]` | a folder of PNG, JPEG and WebP images for each class, or such folders below `train` and `test` or `val`; in colour, or in grey |
/// | `parquet:FILE[:gray]`, `parquet:DIR[:gray]` | images and labels as Hugging Face keeps them: a file, or all `train` and `test` files of a folder |
/// | `csv:FILE[:target=NAME]` | numbers; the target is the column named, else `label`, `target` or `y`, else the last one |
/// | `tokens:FILE[:SETTINGS]` | text or tokens, see [`Tokens`] |
/// | `safetensors:FILE`, `npz:FILE` | arrays `x` and `y`, and `x_test` and `y_test` for the test split |
/// | `synthetic:KIND[:SETTINGS]` | data drawn from a seed, see [`Synthetic`] |
///
/// `Display` writes the same text with every setting spelled out.
///
/// ```
/// use basin_objective::data::DataSpec;
///
/// let spec: DataSpec = "cifar10:/data/cifar".parse()?;
/// assert_eq!(spec, DataSpec::Cifar10("/data/cifar".into()));
/// assert_eq!(spec.to_string(), "cifar10:/data/cifar");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DataSpec {
    /// The handwritten digits that ship with basin.
    Digits,
    /// The same as images of one channel.
    DigitImages,
    /// A folder with the IDX files of MNIST or Fashion-MNIST.
    Mnist(PathBuf),
    /// A folder with the binary version of CIFAR-10.
    Cifar10(PathBuf),
    /// A folder with the binary version of CIFAR-100.
    Cifar100(PathBuf),
    /// A safetensors file with `x` and `y`.
    Safetensors(PathBuf),
    /// A NumPy archive with `x` and `y`.
    Npz(PathBuf),
    /// A folder of images for each class.
    Images {
        /// The folder.
        folder: PathBuf,
        /// What its images are read as.
        color: Color,
    },
    /// Parquet files in the layout of Hugging Face.
    Parquet {
        /// A file, or a folder of them.
        path: PathBuf,
        /// What their images are read as.
        color: Color,
    },
    /// A table of numbers as text.
    Csv {
        /// The file.
        file: PathBuf,
        /// The column that is the target, where it is named.
        target: Option<String>,
    },
    /// Text as tokens.
    Tokens(Tokens),
    /// Data drawn from a seed.
    Synthetic(Synthetic),
    /// Tensors that a program made itself, under a name for its records; they cannot be loaded again.
    Memory(String),
}

/// What images are read as: three channels or one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Color {
    /// Red, green and blue.
    #[default]
    Rgb,
    /// Lightness.
    Gray,
}

impl Color {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }

    /// What is behind a path that may end in `:gray` or `:rgb`, and which of them.
    fn behind(path: PathBuf) -> (PathBuf, Self) {
        let text = path.to_str().unwrap_or_default();
        match (text.strip_suffix(":gray"), text.strip_suffix(":rgb")) {
            (Some(path), _) => (path.into(), Self::Gray),
            (_, Some(path)) => (path.into(), Self::Rgb),
            _ => (path, Self::Rgb),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Rgb => "",
            Self::Gray => ":gray",
        }
    }
}

impl DataSpec {
    /// The names that a spec begins with.
    pub const NAMES: [&str; 11] = [
        "digits",
        "mnist",
        "cifar10",
        "cifar100",
        "images",
        "parquet",
        "csv",
        "tokens",
        "safetensors",
        "npz",
        "synthetic",
    ];
}

impl FromStr for DataSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        match name {
            "digits" => match rest {
                None => Ok(Self::Digits),
                Some("images") => Ok(Self::DigitImages),
                Some(rest) => Err(Error::input(
                    format!("the data `digits` are vectors or `images`, found `{rest}`"),
                    "write `digits` or `digits:images`",
                )),
            },
            "mnist" => path(name, rest, "DIR").map(Self::Mnist),
            "cifar10" => path(name, rest, "DIR").map(Self::Cifar10),
            "cifar100" => path(name, rest, "DIR").map(Self::Cifar100),
            "images" => path(name, rest, "DIR").map(|path| {
                let (folder, color) = Color::behind(path);
                Self::Images { folder, color }
            }),
            "parquet" => path(name, rest, "FILE").map(|path| {
                let (path, color) = Color::behind(path);
                Self::Parquet { path, color }
            }),
            "csv" => path(name, rest, "FILE").map(|file| {
                let text = file.to_str().and_then(|text| text.rsplit_once(":target="));
                match text {
                    Some((file, target)) => Self::Csv { file: file.into(), target: Some(target.to_owned()) },
                    None => Self::Csv { file, target: None },
                }
            }),
            "tokens" => {
                path(name, rest, "FILE")?;
                rest.unwrap_or_default().parse().map(Self::Tokens)
            }
            "safetensors" => path(name, rest, "FILE").map(Self::Safetensors),
            "npz" => path(name, rest, "FILE").map(Self::Npz),
            "synthetic" => rest.unwrap_or_default().parse().map(Self::Synthetic),
            other => Err(Error::input(format!("unknown data `{other}`"), unknown_hint(text, other))),
        }
    }
}

fn path(name: &str, rest: Option<&str>, what: &str) -> Result<PathBuf> {
    rest.filter(|rest| !rest.is_empty()).map(PathBuf::from).ok_or_else(|| {
        Error::input(
            format!("the data `{name}` needs a path"),
            format!("write `{name}:{what}`, with the path of the {}", if what == "DIR" { "directory" } else { "file" }),
        )
    })
}

/// A bare file name is the likeliest slip, a misspelled name the next.
fn unknown_hint(text: &str, name: &str) -> String {
    match Path::new(text).extension().and_then(|extension| extension.to_str()) {
        Some(format @ ("npz" | "safetensors")) => format!("for a file of arrays write `{format}:{text}`"),
        Some(format @ ("csv" | "parquet")) => format!("for such a file write `{format}:{text}`"),
        Some("txt") => format!("for a text write `tokens:{text}`"),
        _ => suggestion::hint(name, &DataSpec::NAMES),
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::DigitImages => f.write_str("digits:images"),
            Self::Mnist(folder) => write!(f, "mnist:{}", folder.display()),
            Self::Cifar10(folder) => write!(f, "cifar10:{}", folder.display()),
            Self::Cifar100(folder) => write!(f, "cifar100:{}", folder.display()),
            Self::Safetensors(file) => write!(f, "safetensors:{}", file.display()),
            Self::Npz(file) => write!(f, "npz:{}", file.display()),
            Self::Images { folder, color } => write!(f, "images:{}{}", folder.display(), color.suffix()),
            Self::Parquet { path, color } => write!(f, "parquet:{}{}", path.display(), color.suffix()),
            Self::Csv { file, target: None } => write!(f, "csv:{}", file.display()),
            Self::Csv { file, target: Some(target) } => write!(f, "csv:{}:target={target}", file.display()),
            Self::Tokens(tokens) => write!(f, "tokens:{tokens}"),
            Self::Synthetic(synthetic) => write!(f, "synthetic:{synthetic}"),
            Self::Memory(name) => write!(f, "memory:{name}"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in [
            "digits",
            "digits:images",
            "mnist:a b/c",
            "cifar10:C:/x",
            "cifar100:d",
            "safetensors:f.safetensors",
            "npz:f.npz",
            "images:d",
            "images:d:e:gray",
            "parquet:f.parquet:gray",
            "csv:f.csv:target=a b",
            "tokens:d:e/f.bin:u16,context=3",
        ] {
            assert_eq!(text.parse::<DataSpec>().unwrap().to_string(), text);
        }
        let spec: DataSpec = "synthetic:spirals".parse().unwrap();
        assert_eq!(spec.to_string().parse::<DataSpec>().unwrap(), spec);
    }

    #[test]
    fn slips_are_answered_with_what_was_meant() {
        for (text, message, hint) in [
            ("cifar-10:d", "unknown data `cifar-10`", "did you mean `cifar10`?"),
            ("d/train.npz", "unknown data `d/train.npz`", "for a file of arrays write `npz:d/train.npz`"),
            ("mnist", "the data `mnist` needs a path", "write `mnist:DIR`, with the path of the directory"),
            ("npz:", "the data `npz` needs a path", "write `npz:FILE`, with the path of the file"),
            ("digits:8", "the data `digits` are vectors or `images`, found `8`", "write `digits` or `digits:images`"),
        ] {
            let error = text.parse::<DataSpec>().unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint()), (message, Some(hint)));
        }
        let error = "imagenet".parse::<DataSpec>().unwrap_err();
        assert!(error.hint().unwrap().contains("known: digits, mnist"));
    }
}
