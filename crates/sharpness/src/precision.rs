//! How exactly a random estimate is wanted, and what it may take.

use basin_objective::{Error, Result};

/// Bytes that sketches and bases may take when no budget is given.
pub(crate) const DEFAULT_MEMORY: u64 = 4 << 30;

/// How exactly an estimate is wanted, and what it may take.
#[derive(Clone, Copy, Debug)]
pub struct Precision {
    /// The standard error at which an estimate is exact enough, relative to its value.
    pub standard_error: f64,
    /// Products that the estimate may take.
    pub max_products: usize,
    /// Bytes that vectors kept from product to product may take; 4 GiB when absent.
    pub memory: Option<u64>,
    /// Seed of the probes.
    pub seed: u64,
}

impl Default for Precision {
    fn default() -> Self {
        Self { standard_error: 0.02, max_products: 5000, memory: None, seed: 0 }
    }
}

impl Precision {
    /// Refuses what cannot be reached.
    ///
    /// # Errors
    /// When the standard error is no positive number, or fewer products are allowed than make a standard error.
    pub fn check(&self) -> Result<()> {
        if !(self.standard_error > 0.0 && self.standard_error.is_finite()) {
            return Err(Error::input(
                format!("the standard error asked for is {}, expected a positive number", self.standard_error),
                "0.02 asks for 2 % of the value",
            ));
        }
        if self.max_products < FIRST_LOOK {
            return Err(Error::input(
                format!("{} products are too few for an estimate with a standard error", self.max_products),
                format!("allow at least {FIRST_LOOK}"),
            ));
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> u64 {
        self.memory.unwrap_or(DEFAULT_MEMORY)
    }

    pub(crate) fn reached(&self, value: f64, stderr: f64) -> bool {
        stderr <= self.standard_error * value.abs()
    }
}

/// Samples at which a standard error is looked at for the first time: of fewer, it is too uncertain itself to stop on.
pub(crate) const FIRST_LOOK: usize = 16;

/// Why an estimate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The standard error asked for is reached.
    Precise,
    /// The vectors multiplied span the whole range of the matrix: there is nothing left to estimate.
    Exact,
    /// As many products as allowed were taken.
    ProductLimit,
    /// There is no memory for more vectors.
    MemoryLimit,
}

impl Stop {
    /// Whether the estimate is as exact as was asked for.
    pub fn converged(self) -> bool {
        matches!(self, Self::Precise | Self::Exact)
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Precise => "the standard error asked for is reached",
            Self::Exact => "the whole range of the matrix is known",
            Self::ProductLimit => "the products allowed were taken",
            Self::MemoryLimit => "the memory allowed is full",
        })
    }
}

/// Where an estimate stands.
#[derive(Clone, Copy, Debug)]
pub struct EstimateProgress {
    /// Products taken.
    pub products: usize,
    /// The standard error relative to the value.
    pub standard_error: f64,
}
