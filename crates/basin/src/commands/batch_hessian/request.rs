//! What was typed, checked.

use std::time::{Duration, Instant};

use basin_records::spectrum::Matrix;
use basin_sharpness::batch_hessian::{AdamOptions, BatchHessianOptions, powers_of_two};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{CurvatureMatrix, DensityOptions};
use basin_training::StabilityCheck;
use indicatif::HumanDuration;

use crate::arguments::{BatchHessian, BatchMatrixArgument};
use crate::subject::Subject;

/// The largest basis of a batch: a few times what its two eigenvalues take, and several fit side by side.
const MAX_BASIS: usize = 200;
/// Products after which both ends of a batch have usually converged: 22 to 80 on the digits.
const TYPICAL_PRODUCTS: usize = 50;

pub(super) struct Request {
    pub(super) matrix: CurvatureMatrix,
    pub(super) options: BatchHessianOptions,
    pub(super) check: Option<StabilityCheck>,
}

impl Request {
    /// On so many samples.
    pub(super) fn new(arguments: &BatchHessian, samples: usize) -> anyhow::Result<Self> {
        let options = options(arguments, samples);
        options.check(samples)?;
        let check = arguments.check.then(|| StabilityCheck {
            multiples: arguments.multiples.clone(),
            steps: arguments.check_steps,
            runs: arguments.check_runs,
            seed: arguments.common.seed,
        });
        if let Some(check) = &check {
            check.check()?;
        }
        let matrix = match arguments.matrix {
            BatchMatrixArgument::Hessian => CurvatureMatrix::Hessian,
            BatchMatrixArgument::Ggn => CurvatureMatrix::GaussNewton,
        };
        Ok(Self { matrix, options, check })
    }

    /// A line on what the work may cost.
    pub(super) fn cost(&self, subject: &Subject) -> anyhow::Result<String> {
        let options = &self.options;
        let samples = subject.data.samples();
        let cost = subject.network()?.cost(&subject.theta)?;
        // The time was measured for the Hessian.
        let share = self.matrix.gradient_equivalents(1.0) / CurvatureMatrix::Hessian.gradient_equivalents(1.0);
        let (gradient, product) = (cost.gradient.as_secs_f64(), share * cost.product.as_secs_f64());
        let work = options.expected_work(samples, TYPICAL_PRODUCTS);
        let mut seconds = work.sample_products as f64 * product + work.linearized as f64 * gradient;
        if let Some(check) = &self.check {
            let optimizers = 1 + usize::from(options.momentum > 0.0) + usize::from(options.adam.is_some());
            let stepped: usize = options.batch_sizes.iter().sum();
            seconds += (optimizers * check.total_steps() * stepped) as f64 * gradient;
        }
        seconds /= samples as f64;
        let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Ok(format!(
            "cost: a product on all samples takes about {:.1} ms; about {} if a batch takes {TYPICAL_PRODUCTS} products",
            1e3 * product,
            HumanDuration(seconds)
        ))
    }

    /// What the figures of a batch depend on.
    pub(super) fn measurement(&self, subject: &Subject) -> anyhow::Result<String> {
        let options = &self.options;
        let provenance = subject.provenance(Instant::now())?;
        let of_checkpoint = provenance.checkpoint.and_then(|checkpoint| checkpoint.blake3).unwrap_or_default();
        let of_data = provenance.data.and_then(|data| data.blake3).unwrap_or_default();
        let part = options.shard.map_or_else(String::new, |(part, parts)| format!(", part {part}/{parts}"));
        let adam = options.adam.map_or_else(String::new, |adam| format!(", {adam:?}"));
        let statistics = provenance.batch_norm.map_or_else(String::new, |_| ", batch statistics".into());
        Ok(format!(
            "{} of the checkpoint {:.8} on the data {:.8}, {}, {}{statistics}{adam}, tolerance {:e}, at most {} products, seed {}{part}",
            Matrix::from(self.matrix),
            of_checkpoint,
            of_data,
            provenance.loss.unwrap_or_default(),
            provenance.dtype.unwrap_or_default(),
            options.lanczos.tolerance,
            options.lanczos.max_products,
            options.lanczos.seed,
        ))
    }
}

fn options(arguments: &BatchHessian, samples: usize) -> BatchHessianOptions {
    let (memory, seed) = (arguments.common.machine.memory, arguments.common.seed);
    let BatchHessian { probes, steps, .. } = *arguments;
    BatchHessianOptions {
        batch_sizes: arguments.batch_sizes.clone().unwrap_or_else(|| powers_of_two(samples)),
        draws: arguments.draws,
        momentum: arguments.momentum,
        adam: arguments.adam.then_some(AdamOptions { beta1: arguments.beta1, epsilon: arguments.adam_epsilon }),
        density: arguments.density.then_some(DensityOptions { probes, steps, kernel_width: None, memory, seed }),
        shard: arguments.shard,
        lanczos: Lanczos {
            top: 1,
            bottom: usize::from(arguments.matrix == BatchMatrixArgument::Hessian),
            tolerance: arguments.tolerance,
            max_basis: MAX_BASIS,
            max_products: arguments.max_products,
            memory,
            seed,
            ..Lanczos::default()
        },
    }
}
