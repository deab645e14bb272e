//! Steps on the samples of a batch that are learnt least.

use basin_objective::Error;
use serde::{Deserialize, Serialize};

/// Leaves the samples with the smallest losses out of each step, for the gradients of what is learnt already dilute the others' mean
/// in a large batch (Gao and Zhong, "Study on the large batch size training of neural networks based on the second order gradient",
/// figures 9 and 10, where 30 % are left out in the first 100 epochs).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discard {
    /// The share of each batch that is left out; at least one sample stays.
    pub share: f64,
    /// The epochs in which it is, from the first; all when absent.
    pub epochs: Option<u64>,
}

impl Default for Discard {
    fn default() -> Self {
        Self { share: 0.0, epochs: None }
    }
}

impl Discard {
    /// Whether anything is left out in an epoch, counted from 0.
    pub fn is_on(&self, epoch: u64) -> bool {
        self.share > 0.0 && self.epochs.is_none_or(|epochs| epoch < epochs)
    }

    /// Refuses a share that is none.
    ///
    /// # Errors
    /// When the share is not at least 0 and less than 1.
    pub fn check(&self) -> Result<(), Error> {
        match (0.0..1.0).contains(&self.share) {
            true => Ok(()),
            false => Err(Error::input(
                format!("the share of discarded samples is {}, expected at least 0 and less than 1", self.share),
                "0.3 leaves out three of ten",
            )),
        }
    }

    /// The places that stay, ascending: all but the `share` with the smallest losses, rounded down. Of equal losses the first are left
    /// out, and a loss that is no number stays.
    ///
    /// ```
    /// use basin_training::Discard;
    ///
    /// let discard = Discard { share: 0.5, epochs: None };
    /// assert_eq!(discard.kept(&[0.3, 0.1, 0.2, 0.9, 0.1]), [0, 2, 3]);
    /// ```
    pub fn kept(&self, losses: &[f64]) -> Vec<usize> {
        let discarded = ((self.share * losses.len() as f64) as usize).min(losses.len().saturating_sub(1));
        let mut places: Vec<usize> = (0..losses.len()).collect();
        places.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
        let mut kept = places.split_off(discarded);
        kept.sort_unstable();
        kept
    }
}
