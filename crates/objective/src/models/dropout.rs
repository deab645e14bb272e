//! Dropout: activations that are zeroed at random while a model is trained.
//!
//! Inverted as PyTorch's: y = x ∘ m/(1 − p) with m ~ Bernoulli(1 − p), so that the mean of y is x (Srivastava, Hinton, Krizhevsky,
//! Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural networks from overfitting", 2014).

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use rand::RngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, random};

/// The chance p with which an activation is zeroed in training, at the places of a model that have dropout.
///
/// ```
/// use basin_objective::models::Dropout;
///
/// assert_eq!("published".parse::<Dropout>()?, Dropout::Published);
/// assert_eq!("0.5".parse::<Dropout>()?, Dropout::Rate(0.5));
/// assert_eq!(Dropout::default().to_string(), "none");
/// assert!("1".parse::<Dropout>().is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Dropout {
    /// Nothing is zeroed.
    #[default]
    None,
    /// The rates of the model's paper, at the places that have one.
    Published,
    /// The same rate at all places, at least 0 and less than 1.
    Rate(f64),
}

impl Dropout {
    /// Whether nothing is zeroed.
    pub fn is_none(self) -> bool {
        self == Self::None
    }

    /// The rate at a place whose published rate this is; absent where nothing is dropped.
    pub(super) fn rate(self, published: Option<f64>) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Published => published,
            Self::Rate(rate) => Some(rate),
        }
    }

    /// Refuses what is no rate.
    ///
    /// # Errors
    /// When the rate is not at least 0 and less than 1.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Rate(rate) if !(0.0..1.0).contains(&rate) => Err(Error::input(
                format!("the rate of dropout is {rate}, expected at least 0 and less than 1"),
                "0.5 zeroes half of the activations",
            )),
            _ => Ok(()),
        }
    }

    /// The error of a model `name` that has no place for this.
    pub(super) fn misplaced(self, name: &str) -> Error {
        let with_published =
            "c1, c2, c3, c4, alexnet, vgg11 to vgg19 with `:imagenet`, wrn28-10 and its kind, vit, gpt";
        match self {
            Self::Published => Error::input(
                format!("model `{name}` has no published dropout"),
                format!("models that have: {with_published}; f1, f2 and an mlp take a rate such as 0.5"),
            ),
            _ => Error::input(
                format!("model `{name}` has no place for dropout"),
                format!("models that have: f1, f2 and an mlp with hidden layers, {with_published}"),
            ),
        }
    }
}

impl FromStr for Dropout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let dropout = match text {
            "none" => Self::None,
            "published" => Self::Published,
            _ => text.parse().map(Self::Rate).map_err(|_| {
                Error::input(format!("the dropout is `{text}`"), "give `none`, `published` or a rate such as 0.5")
            })?,
        };
        dropout.check().map(|()| dropout)
    }
}

impl fmt::Display for Dropout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Published => f.write_str("published"),
            Self::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

/// How it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected `none`, `published` or a rate such as 0.5")]
enum Written {
    Rate(f64),
    Name(Name),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    None,
    Published,
}

impl TryFrom<Written> for Dropout {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let dropout = match written {
            Written::Name(Name::None) => Self::None,
            Written::Name(Name::Published) => Self::Published,
            Written::Rate(rate) => Self::Rate(rate),
        };
        dropout.check().map(|()| dropout)
    }
}

impl From<Dropout> for Written {
    fn from(dropout: Dropout) -> Self {
        match dropout {
            Dropout::None => Self::Name(Name::None),
            Dropout::Published => Self::Name(Name::Published),
            Dropout::Rate(rate) => Self::Rate(rate),
        }
    }
}

/// A place of a program where activations are multiplied with a mask, an input of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Site {
    /// The shape of a sample's activations.
    pub(super) shape: Vec<usize>,
    pub(super) rate: f64,
}

impl Site {
    /// The mask m/(1 − p) of the samples at `positions`, (samples, …), for the site of this `name`: what a sample's part follows
    /// from is its position, whatever samples are beside it.
    pub(super) fn mask(
        &self,
        positions: &[u32],
        seed: u64,
        name: &str,
        (dtype, device): (DType, &Device),
    ) -> Result<Tensor> {
        let stream = random::stream(seed, "dropout", name);
        // So many of the 2³² numbers that are drawn evenly.
        let dropped = (self.rate * 2_f64.powi(32)) as u32;
        let (each, scale) = (self.shape.iter().product::<usize>(), 1.0 / (1.0 - self.rate));
        let of_sample = |&position: &u32| {
            let mut stream = stream.clone();
            stream.set_stream(position.into());
            (0..each).map(move |_| if stream.next_u32() < dropped { 0.0 } else { scale })
        };
        let numbers: Vec<f64> = positions.par_iter().flat_map_iter(of_sample).collect();
        let shape = [&[positions.len()], self.shape.as_slice()].concat();
        Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    fn numbers(site: &Site, positions: &[u32], seed: u64, name: &str) -> Vec<f64> {
        let mask = site.mask(positions, seed, name, (DType::F64, &Device::Cpu)).unwrap();
        assert_eq!(mask.dims()[1..], site.shape);
        mask.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn masks_zero_the_given_share_and_keep_the_mean() {
        let positions: Vec<u32> = (0..200).collect();
        for rate in [0.0, 0.1, 0.3, 0.5, 0.9] {
            let found = numbers(&Site { shape: vec![10, 5, 2], rate }, &positions, 1, "0 0");
            let count = found.len() as f64;
            let zeros = found.iter().filter(|&&m| m == 0.0).count() as f64;
            // Five standard deviations of a binomial count.
            let allowed = 5.0 * (count * rate * (1.0 - rate)).sqrt();
            assert!((zeros - rate * count).abs() <= allowed, "{rate}: {zeros} of {count}");
            let mean = found.iter().sum::<f64>() / count;
            assert!((mean - 1.0).abs() <= allowed / (count * (1.0 - rate)) + 1e-12, "{rate}: {mean}");
            assert!(found.iter().all(|&m| m == 0.0 || m == 1.0 / (1.0 - rate)));
        }
    }

    #[test]
    fn a_mask_depends_on_seed_name_and_position_alone() {
        let site = Site { shape: vec![4, 3], rate: 0.5 };
        let all = numbers(&site, &[7, 0, 3, 9], 1, "2 0");
        assert_eq!(numbers(&site, &[0, 3], 1, "2 0"), all[12..36]);
        assert_eq!(numbers(&site, &[9], 1, "2 0"), all[36..]);
        assert_ne!(all[..12], all[12..24]);
        for (seed, name) in [(2, "2 0"), (1, "3 0"), (1, "2 1")] {
            assert_ne!(numbers(&site, &[7, 0, 3, 9], seed, name), all);
        }
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for (json, dropout) in
            [("\"none\"", Dropout::None), ("\"published\"", Dropout::Published), ("0.25", Dropout::Rate(0.25))]
        {
            assert_eq!(serde_json::from_str::<Dropout>(json).unwrap(), dropout);
            assert_eq!(serde_json::to_string(&dropout).unwrap(), json);
            assert_eq!(dropout.to_string().parse::<Dropout>().unwrap(), dropout);
        }
        assert_eq!(serde_json::from_str::<Dropout>("0").unwrap(), Dropout::Rate(0.0));
        for json in ["1", "-0.1", "\"half\"", "\"0.5\"", "true"] {
            assert!(serde_json::from_str::<Dropout>(json).is_err(), "{json}");
        }
        for text in ["", "half", "1", "-0.1", "nan", "inf"] {
            assert!(text.parse::<Dropout>().unwrap_err().is_bad_input(), "{text}");
        }
    }
}
