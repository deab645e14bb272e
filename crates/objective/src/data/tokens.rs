//! Text as tokens: windows of T tokens, each of which is to be followed by the next one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{Device, Tensor};

use super::{Samples, Split, Targets, images};
use crate::{Error, Result, file};

/// The bytes of a text are its tokens.
const BYTES: usize = 256;

/// A file of tokens one after the other, or a folder with `train` and `val` or `test`, as nanoGPT prepares them.
///
/// As text it is `FILE[:SETTINGS]` with settings `u16`, `u32` or `text`, `context=T` and `vocabulary=N`.
///
/// ```
/// use basin_objective::data::{TokenFormat, Tokens};
///
/// let tokens: Tokens = "shakespeare/train.bin:u16,context=64".parse()?;
/// assert_eq!((tokens.format, tokens.context), (Some(TokenFormat::U16), Some(64)));
/// assert_eq!(tokens.to_string(), "shakespeare/train.bin:u16,context=64");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The file or folder.
    pub path: PathBuf,
    /// How tokens are stored; by the file's ending where absent.
    pub format: Option<TokenFormat>,
    /// T, the tokens of one sample.
    pub context: Option<usize>,
    /// How many tokens there are; the highest found and those below it where absent.
    pub vocabulary: Option<usize>,
}

/// How tokens are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFormat {
    /// Two bytes, the lower first.
    U16,
    /// Four bytes, the lowest first.
    U32,
    /// Each byte of the file is a token.
    Text,
}

impl TokenFormat {
    fn name(self) -> &'static str {
        match self {
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::Text => "text",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::U16, Self::U32, Self::Text].into_iter().find(|format| format.name() == name)
    }

    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            ending => Self::named(ending),
        }
    }
}

impl Tokens {
    pub(super) fn read(&self, split: Split) -> Result<Samples> {
        let context = self.context.ok_or_else(|| {
            Error::input(
                format!("`{}` is cut into samples of T tokens, and T is not given", self.path.display()),
                "give it with `--context T`, as the model was trained with",
            )
        })?;
        let (train, test) = self.files()?;
        let path = match split {
            Split::Train => &train,
            Split::Test => test.as_ref().ok_or_else(|| Error::NoSplit {
                message: format!("`{}` has no test split", self.path.display()),
                hint: "name a folder with `train.bin` and `val.bin`, or choose `--split train`".into(),
            })?,
        };
        let tokens = self.tokens(path)?;
        let highest = |tokens: &[u32]| tokens.iter().max().map_or(0, |&highest| highest as usize + 1);
        let classes = match (self.vocabulary, self.format_of(path)?) {
            (Some(vocabulary), _) => vocabulary,
            (None, TokenFormat::Text) => BYTES,
            (None, _) => {
                let other = match split {
                    Split::Train => test.as_ref(),
                    Split::Test => Some(&train),
                };
                let other = other.map(|path| self.tokens(path)).transpose()?;
                highest(&tokens).max(highest(other.as_deref().unwrap_or_default()))
            }
        };
        // The last token of a window is the next one's first: it has nothing to be followed by here.
        let samples = tokens.len().saturating_sub(1) / context;
        if samples == 0 {
            return Err(Error::input(
                format!(
                    "`{}` holds {} tokens, too few for a sample of {context} and the next",
                    path.display(),
                    tokens.len()
                ),
                "give a smaller `--context`",
            ));
        }
        let used = samples * context;
        let labels: Vec<i64> = tokens.iter().skip(1).take(used).map(|&token| i64::from(token)).collect();
        let mut inputs = tokens;
        inputs.truncate(used);
        let inputs = Tensor::from_vec(inputs, (samples, context), &Device::Cpu)?;
        let labels = Tensor::from_vec(labels, (samples, context), &Device::Cpu)?;
        Ok((inputs, Targets::Classes { labels, classes }))
    }

    fn files(&self) -> Result<(PathBuf, Option<PathBuf>)> {
        if !self.path.is_dir() {
            return Ok((self.path.clone(), None));
        }
        let named = |stems: &[&str]| {
            let names: Vec<String> = stems
                .iter()
                .flat_map(|stem| ["bin", "u16", "u32", "txt"].map(|ending| format!("{stem}.{ending}")))
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            images::find(&self.path, &[], &names)
        };
        Ok((named(&["train"])?, named(&["val", "test"]).ok()))
    }

    fn format_of(&self, path: &Path) -> Result<TokenFormat> {
        self.format.or_else(|| TokenFormat::of(path)).ok_or_else(|| {
            Error::input(
                format!("how the tokens of `{}` are stored is not known", path.display()),
                format!("write `tokens:{}:u16`, or u32, or text", self.path.display()),
            )
        })
    }

    fn tokens(&self, path: &Path) -> Result<Vec<u32>> {
        let bytes = file::read(path)?;
        let size = match self.format_of(path)? {
            TokenFormat::Text => return Ok(bytes.into_iter().map(u32::from).collect()),
            TokenFormat::U16 => 2,
            TokenFormat::U32 => 4,
        };
        if !bytes.len().is_multiple_of(size) {
            return Err(Error::input(
                format!("`{}` has {} bytes, which is no whole number of tokens of {size}", path.display(), bytes.len()),
                "check that the file was copied completely, and how tokens are stored: u16, u32 or text",
            ));
        }
        let token = |bytes: &[u8]| bytes.iter().rev().fold(0, |token, &byte| token << 8 | u32::from(byte));
        Ok(bytes.chunks_exact(size).map(token).collect())
    }
}

impl FromStr for Tokens {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut tokens = Self { path: text.into(), format: None, context: None, vocabulary: None };
        // A colon may be part of a path: what stands behind the last one is settings only where it looks like them.
        let is_setting = |setting: &str| TokenFormat::named(setting).is_some() || setting.contains('=');
        let Some((path, settings)) = text.rsplit_once(':').filter(|(_, settings)| settings.split(',').all(is_setting))
        else {
            return Ok(tokens);
        };
        tokens.path = path.into();
        for setting in settings.split(',') {
            let count = |value: &str| value.parse().ok().filter(|&count: &usize| count > 0);
            let known = match setting.split_once('=') {
                None => TokenFormat::named(setting).map(|format| tokens.format = Some(format)),
                Some(("context", value)) => count(value).map(|count| tokens.context = Some(count)),
                Some(("vocabulary", value)) => count(value).map(|count| tokens.vocabulary = Some(count)),
                Some(_) => None,
            };
            known.ok_or_else(|| {
                Error::input(
                    format!("the data `tokens` has no setting `{setting}`"),
                    "write u16, u32 or text, context=T and vocabulary=N, each a number from 1",
                )
            })?;
        }
        Ok(tokens)
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = [
            self.format.map(|format| format.name().to_owned()),
            self.context.map(|context| format!("context={context}")),
            self.vocabulary.map(|vocabulary| format!("vocabulary={vocabulary}")),
        ];
        let settings: Vec<String> = settings.into_iter().flatten().collect();
        let colon = if settings.is_empty() { "" } else { ":" };
        write!(f, "{}{colon}{}", self.path.display(), settings.join(","))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset};

    fn load(file: &str, bytes: &[u8], settings: &str) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, bytes).unwrap();
        let spec: DataSpec = format!("tokens:{}{settings}", path.display()).parse()?;
        assert_eq!(spec.to_string().parse::<DataSpec>()?, spec);
        Dataset::load(&spec, Split::Train)
    }

    #[test]
    fn windows_are_followed_by_the_next_tokens() {
        let data = load("t.bin", &[1, 0, 2, 0, 3, 0, 4, 0, 0, 1, 6, 0], ":u16,context=2").unwrap();
        assert_eq!(data.inputs.to_vec2::<u32>().unwrap(), [[1, 2], [3, 4]]);
        let Targets::Classes { labels, classes } = data.targets else { unreachable!() };
        assert_eq!((labels.to_vec2::<i64>().unwrap(), classes), (vec![vec![2, 3], vec![4, 256]], 257));
        let text = load("t.txt", b"abcd", ":context=3").unwrap();
        assert_eq!((text.samples(), text.classes()), (1, Some(256)));
        let few = load("t.u32", &[7, 0, 0, 0, 8, 0, 0, 0], ":context=1,vocabulary=50304").unwrap();
        assert_eq!(few.classes(), Some(50304));
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        for (file, settings, message) in [
            ("t.bin", ":context=2", "is not known"),
            ("t.bin", ":u16", "T is not given"),
            ("t.bin", ":u32,context=2", "5 bytes"),
            ("t.txt", ":context=5", "5 tokens, too few"),
            ("t.txt", ":context=0", "no setting `context=0`"),
            ("t.txt", ":kontext=2", "no setting `kontext=2`"),
        ] {
            let error = load(file, &[0; 5], settings).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
