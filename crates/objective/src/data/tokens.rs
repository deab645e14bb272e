//! Text as tokens: windows of T tokens, each of which is to be followed by the next one, or of which some are masked and to be
//! found again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use super::arrays::ArrayRows;
use super::dataset::IGNORED;
use super::rows::Source;
use super::{Rows, Samples, Split, Targets, images};
use crate::file::{OpenFile, ReadAt};
use crate::stored::{Located, Number};
use crate::{Error, Result, random};

/// The bytes of a text are its tokens.
const BYTES: usize = 256;
/// The share of tokens that are to be found again where nothing else is said.
const MASK_SHARE: f64 = 0.15;

/// A file of tokens one after the other, or a folder with `train` and `val` or `test`, as nanoGPT prepares them.
///
/// As text it is `FILE[:SETTINGS]` with settings `u16`, `u32` or `text`, `context=T` and `vocabulary=N`, and for masked language
/// models `mask=ID`, `mask-share=0.15` and `mask-seed=0`.
///
/// ```
/// use basin_objective::data::{TokenFormat, Tokens};
///
/// let tokens: Tokens = "shakespeare/train.bin:u16,context=64".parse()?;
/// assert_eq!((tokens.format, tokens.context), (Some(TokenFormat::U16), Some(64)));
/// assert_eq!(tokens.to_string(), "shakespeare/train.bin:u16,context=64");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// The file or folder.
    pub path: PathBuf,
    /// How tokens are stored; by the file's ending where absent.
    pub format: Option<TokenFormat>,
    /// T, the tokens of one sample.
    pub context: Option<usize>,
    /// How many tokens there are; the highest found and those below it where absent.
    pub vocabulary: Option<usize>,
    /// Which tokens are masked, for masked language models.
    pub masking: Option<Masking>,
}

/// Tokens that a model is to find again, as BERT is trained (Devlin et al., "BERT", 2019, section 3.1): each is chosen with the
/// chance `share`, and then replaced with `token` in 8 of 10 cases, by any token in one, and left as it is in one. A sample's
/// choice follows from the seed and its position alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Masking {
    /// The token that stands for a masked one.
    pub token: u32,
    /// The share of tokens that are to be found again.
    pub share: f64,
    /// What they are drawn from.
    pub seed: u64,
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

    fn number(self) -> Number {
        match self {
            Self::U16 => Number::U16,
            Self::U32 => Number::U32,
            Self::Text => Number::U8,
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
        let tokens = TokenFile::open(path, self.format_of(path)?)?;
        let classes = match (self.vocabulary, tokens.format) {
            (Some(vocabulary), _) => vocabulary,
            (None, TokenFormat::Text) => BYTES,
            (None, _) => {
                let other = match split {
                    Split::Train => test.as_ref(),
                    Split::Test => Some(&train),
                };
                let other = other.map(|path| TokenFile::open(path, self.format_of(path)?)?.highest()).transpose()?;
                let highest =
                    tokens.highest()?.max(other.unwrap_or(0)).max(self.masking.map_or(0, |masking| masking.token));
                highest as usize + 1
            }
        };
        // The last token of a window is the next one's first: it has nothing to be followed by here.
        let samples = tokens.count.saturating_sub(1) / context;
        if samples == 0 {
            return Err(Error::input(
                format!(
                    "`{}` holds {} tokens, too few for a sample of {context} and the next",
                    path.display(),
                    tokens.count
                ),
                "give a smaller `--context`",
            ));
        }
        let rows = |first: usize, dtype: DType| tokens.rows((samples, context), first, dtype);
        let (inputs, labels) = match self.masking {
            None => (rows(0, DType::U32)?, rows(1, DType::I64)?),
            Some(masking) => {
                let masked = |wanted| -> Result<Rows> {
                    let tokens = rows(0, DType::I64)?;
                    Rows::stored(Arc::new(MaskedRows { tokens, masking, vocabulary: classes, wanted }), samples)
                };
                (masked(Wanted::Inputs)?, masked(Wanted::Labels)?)
            }
        };
        Ok((inputs, Targets::classes(labels, classes)).into())
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
}

/// A file of tokens one after the other.
struct TokenFile {
    file: Arc<dyn ReadAt>,
    format: TokenFormat,
    count: usize,
}

impl TokenFile {
    fn open(path: &Path, format: TokenFormat) -> Result<Self> {
        let file = OpenFile::open(path)?;
        let (length, size) = (file.length(), format.number().size() as u64);
        let count = usize::try_from(length / size).ok().filter(|_| length.is_multiple_of(size)).ok_or_else(|| {
            Error::input(
                format!("`{}` has {length} bytes, which is no whole number of tokens of {size}", path.display()),
                "check that the file was copied completely, and how tokens are stored: u16, u32 or text",
            )
        })?;
        Ok(Self { file: Arc::new(file), format, count })
    }

    /// The highest token, 0 where there are none.
    fn highest(&self) -> Result<u32> {
        let (size, mut highest) = (self.format.number().size(), 0);
        let token = |bytes: &[u8]| bytes.iter().rev().fold(0, |token, &byte| token << 8 | u32::from(byte));
        self.file.each_part(|part| {
            highest = part.chunks_exact(size).map(token).fold(highest, u32::max);
        })?;
        Ok(highest)
    }

    /// Windows one behind the other, from the token `first` on.
    fn rows(&self, (samples, context): (usize, usize), first: usize, dtype: DType) -> Result<Rows> {
        let number = self.format.number();
        let array = Located { number, shape: vec![samples, context], start: (first * number.size()) as u64 };
        Rows::stored(Arc::new(ArrayRows { file: self.file.clone(), array, dtype: Some(dtype) }), samples)
    }
}

/// Windows of tokens of which some are masked.
#[derive(Debug)]
struct MaskedRows {
    tokens: Rows,
    masking: Masking,
    vocabulary: usize,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// What a model sees.
    Inputs,
    /// What it is to find: the tokens that were chosen, no label at the others.
    Labels,
}

impl Source for MaskedRows {
    fn read(&self, positions: &[usize]) -> Result<Tensor> {
        let tokens = self.tokens.select(positions)?.tensor()?.to_vec2::<i64>()?;
        let stream = random::stream(self.masking.seed, "masked tokens", "");
        let row = |(mut row, &position): (Vec<i64>, &usize)| {
            let mut stream = stream.clone();
            stream.set_stream(position as u64);
            for token in &mut row {
                // All three are drawn for each token, so that a larger share masks the same tokens and others.
                let (chosen, how): (f64, f64) = (stream.random(), stream.random());
                let any = stream.random_range(0..self.vocabulary.max(1)) as i64;
                *token = match (self.wanted, chosen < self.masking.share) {
                    (Wanted::Inputs, false) | (Wanted::Labels, true) => *token,
                    (Wanted::Labels, false) => IGNORED,
                    (Wanted::Inputs, true) if how < 0.8 => i64::from(self.masking.token),
                    (Wanted::Inputs, true) if how < 0.9 => any,
                    (Wanted::Inputs, true) => *token,
                };
            }
            row
        };
        let rows: Vec<i64> = tokens.into_iter().zip(positions).flat_map(row).collect();
        Ok(Tensor::from_vec(rows, (positions.len(), self.tokens.dims()[1]), &Device::Cpu)?)
    }
}

impl FromStr for Tokens {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut tokens = Self { path: text.into(), format: None, context: None, vocabulary: None, masking: None };
        // A colon may be part of a path: what stands behind the last one is settings only where it looks like them.
        let is_setting = |setting: &str| TokenFormat::named(setting).is_some() || setting.contains('=');
        let Some((path, settings)) = text.rsplit_once(':').filter(|(_, settings)| settings.split(',').all(is_setting))
        else {
            return Ok(tokens);
        };
        tokens.path = path.into();
        let (mut mask, mut share, mut seed) = (None, MASK_SHARE, 0);
        for setting in settings.split(',') {
            let count = |value: &str| value.parse().ok().filter(|&count: &usize| count > 0);
            let known = match setting.split_once('=') {
                None => TokenFormat::named(setting).map(|format| tokens.format = Some(format)),
                Some(("context", value)) => count(value).map(|count| tokens.context = Some(count)),
                Some(("vocabulary", value)) => count(value).map(|count| tokens.vocabulary = Some(count)),
                Some(("mask", value)) => value.parse().ok().map(|token| mask = Some(token)),
                Some(("mask-share", value)) => {
                    value.parse().ok().filter(|given| (0.0..=1.0).contains(given)).map(|given| share = given)
                }
                Some(("mask-seed", value)) => value.parse().ok().map(|given| seed = given),
                Some(_) => None,
            };
            known.ok_or_else(|| {
                Error::input(
                    format!("the data `tokens` has no setting `{setting}`"),
                    "write u16, u32 or text, context=T and vocabulary=N, each a number from 1; for masked language models \
                     mask=ID, the number of the mask token, mask-share=0.15 and mask-seed=0",
                )
            })?;
        }
        tokens.masking = mask.map(|token| Masking { token, share, seed });
        Ok(tokens)
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = [
            self.format.map(|format| format.name().to_owned()),
            self.context.map(|context| format!("context={context}")),
            self.vocabulary.map(|vocabulary| format!("vocabulary={vocabulary}")),
            self.masking.map(|masking| format!("mask={}", masking.token)),
            self.masking
                .filter(|masking| masking.share != MASK_SHARE)
                .map(|masking| format!("mask-share={}", masking.share)),
            self.masking.filter(|masking| masking.seed != 0).map(|masking| format!("mask-seed={}", masking.seed)),
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
        assert_eq!(data.inputs.tensor().unwrap().to_vec2::<u32>().unwrap(), [[1, 2], [3, 4]]);
        let Targets::Classes { labels, classes } = data.targets else { unreachable!() };
        assert_eq!(
            (labels.tensor().unwrap().to_vec2::<i64>().unwrap(), classes),
            (vec![vec![2, 3], vec![4, 256]], 257)
        );
        let text = load("t.txt", b"abcd", ":context=3").unwrap();
        assert_eq!((text.samples(), text.classes()), (1, Some(256)));
        let few = load("t.u32", &[7, 0, 0, 0, 8, 0, 0, 0], ":context=1,vocabulary=50304").unwrap();
        assert_eq!(few.classes(), Some(50304));
    }

    #[test]
    fn masked_tokens_are_to_be_found_again() {
        let text: Vec<u8> = (0..50_001).map(|i| (i * 7 % 251) as u8).collect();
        let data = load("t.txt", &text, ":context=50,vocabulary=300,mask=299,mask-seed=4").unwrap();
        let plain = load("t.txt", &text, ":context=50").unwrap();
        let flat = |rows: &Rows| {
            let rows = rows.tensor().unwrap().to_dtype(DType::I64).unwrap();
            rows.flatten_all().unwrap().to_vec1::<i64>().unwrap()
        };
        let Targets::Classes { labels, classes: 300 } = &data.targets else { unreachable!() };
        let (inputs, labels, tokens) = (flat(&data.inputs), flat(labels), flat(&plain.inputs));
        let count = |of: &dyn Fn(usize) -> bool| (0..tokens.len()).filter(|&i| of(i)).count() as f64;
        let chosen = count(&|i| labels[i] != IGNORED);
        assert_eq!(count(&|i| labels[i] != IGNORED && labels[i] != tokens[i]), 0.0);
        assert_eq!(count(&|i| labels[i] == IGNORED && inputs[i] != tokens[i]), 0.0);
        // Shares of 50,000 and 7,500 draws: more than five standard deviations.
        assert!((chosen / 50_000.0 - 0.15).abs() < 0.01, "{chosen}");
        let share = |of: &dyn Fn(usize) -> bool| count(&|i| labels[i] != IGNORED && of(i)) / chosen;
        assert!((share(&|i| inputs[i] == 299) - 0.8).abs() < 0.03);
        assert!((share(&|i| inputs[i] == tokens[i]) - 0.1).abs() < 0.03);
        // A part has the masks of the whole.
        assert_eq!(flat(&data.select(&[7]).unwrap().inputs), inputs[350..400]);
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
            ("t.txt", ":context=2,mask-share=2", "no setting `mask-share=2`"),
        ] {
            let error = load(file, &[0; 5], settings).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
