//! Mean and standard error of independent draws.

/// The mean of some numbers and their sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    /// With the divisor n − 1; NaN of a single number.
    pub(crate) std: f64,
    count: usize,
}

impl Moments {
    pub(crate) fn of(numbers: &[f64]) -> Self {
        let count = numbers.len();
        let mean = numbers.iter().sum::<f64>() / count as f64;
        let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
        Self { mean, std: (squares / (count as f64 - 1.0)).sqrt(), count }
    }

    /// The standard deviation of the mean: std/√n.
    pub(crate) fn stderr(self) -> f64 {
        self.std / (self.count as f64).sqrt()
    }
}
