//! What is measured at a batch size beside what theory predicts from the whole and its noise.

use basin_records::batch_hessian::{Row, Spread, Theory};
use basin_records::spectrum::{End, Estimate, Matrix};

use super::draws::Measured;
use super::noise::Figures;
use super::{
    BatchHessianOptions, Pairs, crossover, inverse_effective_batch, max_learning_rate, max_learning_rate_adaptive,
    max_learning_rate_mean_square, max_learning_rate_mean_square_trace, max_learning_rate_preconditioned, overlap,
    spiked_marchenko_pastur, spiked_wigner,
};

/// What the whole and its noise say of batches.
pub(super) struct Prediction<'a> {
    options: &'a BatchHessianOptions,
    pub(super) theory: Theory,
    pairs: &'a Pairs,
    /// Pσ².
    total: Estimate,
    samples: usize,
    pub(super) largest: f64,
    pub(super) smallest: Option<f64>,
    /// vᵀHv along the directions of the pairs.
    along: &'a [f64],
}

impl<'a> Prediction<'a> {
    pub(super) fn new(
        options: &'a BatchHessianOptions,
        matrix: Matrix,
        whole: &Measured,
        pairs: &'a Pairs,
        along: &'a [f64],
    ) -> Self {
        Self {
            options,
            theory: if matrix == Matrix::Ggn { Theory::MarchenkoPastur } else { Theory::Wigner },
            pairs,
            total: pairs.estimate(|mean| mean.total),
            samples: whole.unit.size,
            largest: whole.end(End::Top).unwrap_or(f64::NAN),
            smallest: whole.end(End::Bottom),
            along,
        }
    }

    /// B*.
    pub(super) fn crossover(&self) -> Option<f64> {
        crossover(self.largest, self.total.value, self.samples)
    }

    pub(super) fn row(&self, size: usize, batches: &[&Measured]) -> Row {
        let inverse = inverse_effective_batch(size, self.samples);
        let (largest, dimension) = (self.largest, self.pairs.dimension());
        let top = |total: f64| match self.theory {
            Theory::MarchenkoPastur => spiked_marchenko_pastur(largest, total, dimension, inverse),
            _ => spiked_wigner(largest, total.max(0.0) * inverse, true),
        };
        let bottom = |total: f64| Some(spiked_wigner(self.smallest?, total.max(0.0) * inverse, false));
        let (total, stderr) = (self.total.value, self.total.stderr.unwrap_or(f64::NAN));
        let error = |of: &dyn Fn(f64) -> f64| ((of(total + stderr) - of(total - stderr)) / 2.0).abs();
        // What stays within v moves λ up as often as down; what leaves it pushes λ outward.
        let across = self.pairs.estimate(|mean| mean.product - mean.curvatures[0]).value.max(0.0);
        let predicted = top(total);
        let first = batches.iter().find(|batch| batch.unit.draw == 0);
        let mut row = Row {
            batch_size: size as u64,
            predicted_lambda_max: predicted,
            predicted_lambda_max_stderr: Some(error(&top)),
            predicted_lambda_min: bottom(total),
            predicted_lambda_min_stderr: self.smallest.map(|_| error(&|total| bottom(total).unwrap_or(f64::NAN))),
            predicted_lambda_max_along_top: Some(spiked_wigner(largest, across * inverse, true)),
            predicted_overlap: overlap(largest, total.max(0.0) * inverse),
            max_learning_rate_sgd: max_learning_rate(predicted, 0.0),
            max_learning_rate_momentum: max_learning_rate(predicted, self.options.momentum),
            max_learning_rate_adam: max_learning_rate_adaptive(predicted),
            density: first.and_then(|batch| batch.density.clone()),
            values: batches.iter().map(|batch| batch.draw.clone()).collect(),
            ..Row::default()
        };
        self.mean_square_limits(&mut row, inverse);
        summarise(&mut row, self.samples as u64, self.options.adam.map(|adam| adam.beta1));
        row
    }

    /// The limits of Mulayoff and Michaeli, from the same pairs as the noise.
    fn mean_square_limits(&self, row: &mut Row, inverse: f64) {
        let limit = |direction: usize, variance: f64| {
            max_learning_rate_mean_square(*self.along.get(direction)?, variance * inverse)
        };
        // Without noise nothing that was drawn enters, and what the jackknife says is rounding.
        let exact =
            |estimate: Estimate| if inverse == 0.0 { Estimate { stderr: Some(0.0), ..estimate } } else { estimate };
        let estimate = |of: &dyn Fn(&Figures) -> Option<f64>| {
            let estimate = self.pairs.estimate(|mean| of(mean).unwrap_or(f64::NAN));
            estimate.value.is_finite().then_some(estimate)
        };
        row.max_learning_rate_mean_square = estimate(&|mean| limit(0, mean.curvatures[0])).map(exact);
        row.max_learning_rate_mean_square_trace = estimate(&|mean| {
            let dimension = self.pairs.dimension();
            let squares = mean.squared_frobenius(dimension, self.samples);
            max_learning_rate_mean_square_trace(mean.trace(dimension), squares, dimension, mean.total * inverse)
        });
        row.max_learning_rate_mean_square_directions = self.pairs.least_over_directions(limit).map(exact);
    }
}

/// Puts what the batches of a row have in common into it; `beta1` is that of the Adam whose matrices were measured.
pub(super) fn summarise(row: &mut Row, samples: u64, beta1: Option<f64>) {
    let spread = |figures: Vec<f64>| match figures.as_slice() {
        [figure] if row.batch_size == samples => Spread::exact(*figure),
        figures => Spread::of(figures),
    };
    let of_end = |end: End| {
        let eigenvalues = row.values.iter().filter_map(|draw| draw.eigenvalues.iter().find(|found| found.end == end));
        eigenvalues.map(|eigenvalue| eigenvalue.value).collect::<Vec<_>>()
    };
    let preconditioned: Vec<f64> =
        row.values.iter().filter_map(|draw| draw.preconditioned).map(|found| found.value).collect();
    let (lambda_max, lambda_min) = (spread(of_end(End::Top)), of_end(End::Bottom));
    let lambda_min = (!lambda_min.is_empty()).then(|| spread(lambda_min));
    let preconditioned = (!preconditioned.is_empty()).then(|| spread(preconditioned));
    let overlap = spread(row.values.iter().map(|draw| draw.overlap).collect());
    row.draws = row.values.len() as u64;
    row.max_learning_rate_measured = max_learning_rate(lambda_max.mean, 0.0);
    row.max_learning_rate_adam_measured = preconditioned
        .as_ref()
        .zip(beta1)
        .and_then(|(found, beta1)| max_learning_rate_preconditioned(found.mean, beta1));
    row.lambda_max = lambda_max;
    row.lambda_min = lambda_min;
    row.preconditioned_lambda_max = preconditioned;
    row.overlap = overlap;
}
