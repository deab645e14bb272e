//! Means and standard errors.

/// Count, mean and sum of squared deviations, updated as Welford does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Moments {
    pub(crate) fn extend(&mut self, samples: impl IntoIterator<Item = f64>) {
        for sample in samples {
            self.count += 1;
            let apart = sample - self.mean;
            self.mean += apart / self.count as f64;
            self.squares += apart * (sample - self.mean);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// s/√n with the unbiased variance s²; infinite of fewer than two samples.
    pub(crate) fn standard_error(&self) -> f64 {
        match self.count {
            0 | 1 => f64::INFINITY,
            n => (self.squares / (n - 1) as f64 / n as f64).sqrt(),
        }
    }
}
