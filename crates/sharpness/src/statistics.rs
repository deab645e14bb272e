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

    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut moments = Self::default();
        moments.extend(samples.iter().copied());
        moments
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// s with the unbiased variance s²; NaN of fewer than two samples.
    pub(crate) fn deviation(&self) -> f64 {
        match self.count {
            0 | 1 => f64::NAN,
            n => (self.squares / (n - 1) as f64).sqrt(),
        }
    }

    /// s/√n with the unbiased variance s²; infinite of fewer than two samples.
    pub(crate) fn standard_error(&self) -> f64 {
        match self.count {
            0 | 1 => f64::INFINITY,
            n => (self.squares / (n - 1) as f64 / n as f64).sqrt(),
        }
    }
}

/// The standard error of the mean of samples that share what they are made of: of n estimates t_j, each made of all n probes
/// and of mean zero error over its own, with what the mean would be without the i-th probe.
///
/// Where errors come from k probes together, the spread of the t_j over n holds their variance 1/k times, for k of the t_j
/// carry the same error, and the jackknife (n − 1)/n Σ (mean without i − their mean)² holds it k times (Efron and Stein, "The
/// jackknife estimate of variance", 1981). The geometric mean of both is right for every k, and a little too large where
/// several are mixed.
pub(crate) fn shared_standard_error(samples: &[f64], without_one: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let squares = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / n;
        x.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
    };
    let (spread, jackknife) = (squares(samples) / (n * (n - 1.0)), squares(without_one) * (n - 1.0) / n);
    (spread * jackknife).powf(0.25)
}

/// The standard error of a function of the means of n independent samples, by the jackknife: √((n − 1)/n Σ (f without sample i −
/// their mean)²) (Efron and Stein, 1981). None of fewer than two.
pub(crate) fn jackknife(samples: usize, without: impl Fn(usize) -> f64) -> Option<f64> {
    let n = samples as f64;
    let values: Vec<f64> = (0..samples).map(without).collect();
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (samples > 1).then(|| ((n - 1.0) / n * squares).sqrt())
}
