//! What is asked of a matrix, checked.

use basin_objective::{Cost, DrawnLabels, Error, Result};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix, DensityOptions, Precision, Shifted};
use basin_sharpness::{SymmetricOperator, TraceMethod};
use indicatif::HumanDuration;

use crate::arguments::{EigenvalueSettings, EstimateSettings, MatrixArgument, MatrixSettings, Spectrum, TraceArgument};
use crate::table::number;

/// A matrix, and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) matrix: CurvatureMatrix,
    /// c of the c I that is added.
    pub(super) weight_decay: f64,
    /// Patterns of the names of the parameters that are measured; all where there are none.
    pub(super) parameters: Vec<String>,
    pub(super) per_layer: bool,
    /// Absent where no eigenvalue is sought.
    pub(super) lanczos: Option<Lanczos>,
    pub(super) trace: Option<TraceMethod>,
    pub(super) frobenius: bool,
    pub(super) diagonal: bool,
    pub(super) precision: Precision,
    pub(super) density: Option<DensityOptions>,
}

impl Request {
    pub(super) fn of(arguments: &Spectrum) -> Result<Self> {
        let (memory, seed) = (arguments.common.machine.memory, arguments.common.seed);
        let EstimateSettings { trace, frobenius, diagonal, standard_error, density, probes, steps, kernel_width } =
            &arguments.estimates;
        let EigenvalueSettings { top, bottom, tolerance, max_basis, max_products, eigenvectors } =
            &arguments.eigenvalues;
        let lanczos = Lanczos {
            top: *top,
            bottom: bottom.unwrap_or(usize::from(arguments.matrix.matrix.indefinite())),
            tolerance: *tolerance,
            max_basis: *max_basis,
            max_products: *max_products,
            memory,
            basis_device: None,
            seed,
        };
        let precision = Precision { standard_error: *standard_error, max_products: *max_products, memory, seed };
        let density_options =
            DensityOptions { probes: *probes, steps: *steps, kernel_width: *kernel_width, memory, seed };
        let estimated = trace.is_some() || *frobenius || diagonal.is_some();
        if estimated {
            precision.check()?;
        }
        if *density {
            density_options.check()?;
        }
        // Whoever wants a trace alone gives `--top 0 --bottom 0`.
        let none = lanczos.top == 0 && lanczos.bottom == 0 && eigenvectors.is_none() && (estimated || *density);
        if !none {
            lanczos.check()?;
        }
        let MatrixSettings { weight_decay, per_layer, .. } = &arguments.matrix;
        if !weight_decay.is_finite() {
            return Err(Error::input(format!("the weight decay is {weight_decay}"), "give a number such as 5e-4"));
        }
        Ok(Self {
            matrix: matrix(&arguments.matrix, seed)?,
            weight_decay: *weight_decay,
            parameters: arguments.common.parameters.clone(),
            per_layer: *per_layer,
            lanczos: (!none).then_some(lanczos),
            trace: trace.map(TraceMethod::from),
            frobenius: *frobenius,
            diagonal: diagonal.is_some(),
            precision,
            density: density.then_some(density_options),
        })
    }

    /// Extremal eigenvalues alone.
    pub(super) fn eigenvalues(lanczos: Lanczos, matrix: CurvatureMatrix) -> Self {
        Self {
            matrix,
            weight_decay: 0.0,
            parameters: Vec::new(),
            per_layer: false,
            precision: Precision { memory: lanczos.memory, seed: lanczos.seed, ..Precision::default() },
            lanczos: Some(lanczos),
            trace: None,
            frobenius: false,
            diagonal: false,
            density: None,
        }
    }

    /// Hands `curvature` on with weight decay added.
    pub(super) fn with_operator<T>(
        &self,
        curvature: &Curvature,
        then: impl FnOnce(&dyn SymmetricOperator) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let shifted = Shifted { operator: curvature, shift: self.weight_decay };
        then(if self.weight_decay == 0.0 { curvature } else { &shifted })
    }

    /// A line on what the work will cost at most, of a model of so many parameters.
    pub(super) fn cost(&self, cost: Cost, dimension: usize) -> String {
        // The time was measured for the Hessian, and other products stand to it as their sweeps.
        let share = self.matrix.gradient_equivalents(1.0) / CurvatureMatrix::Hessian.gradient_equivalents(1.0);
        let product = cost.product.mul_f64(share);
        let estimates = [self.trace.is_some(), self.frobenius, self.diagonal];
        let estimates = estimates.iter().filter(|asked| **asked).count() * self.precision.max_products;
        let eigenvalues = self.lanczos.as_ref().map_or(0, |lanczos| lanczos.max_products.min(2 * dimension + 2));
        let density = self.density.as_ref().map_or(0, |density| density.probes * density.steps.min(dimension));
        let most = eigenvalues + estimates + density;
        let each = if self.per_layer { " for the whole matrix and as many for each layer" } else { "" };
        format!(
            "cost: a product takes about {} ms, at most {most} of them{each}: at most {}",
            number(1e3 * product.as_secs_f64()),
            HumanDuration(product.mul_f64(most as f64)),
        )
    }
}

fn matrix(settings: &MatrixSettings, seed: u64) -> Result<CurvatureMatrix> {
    if settings.label_draws == Some(0) {
        return Err(Error::input("no labels are drawn for the Fisher matrix", "give `--label-draws` at least 1"));
    }
    if settings.label_draws.is_some() && settings.matrix != MatrixArgument::Fisher {
        return Err(Error::input(
            "`--label-draws` is for the Fisher matrix alone",
            "give `--matrix fisher` with it, or leave it out",
        ));
    }
    Ok(match settings.matrix {
        MatrixArgument::Hessian => CurvatureMatrix::Hessian,
        MatrixArgument::Ggn => CurvatureMatrix::GaussNewton,
        MatrixArgument::Fisher => {
            CurvatureMatrix::Fisher(DrawnLabels { seed, draws: settings.label_draws.unwrap_or(1) })
        }
        MatrixArgument::EmpiricalFisher => CurvatureMatrix::EmpiricalFisher,
        MatrixArgument::GradientCovariance => CurvatureMatrix::GradientCovariance,
        MatrixArgument::Residual => CurvatureMatrix::Residual,
    })
}

impl From<TraceArgument> for TraceMethod {
    fn from(method: TraceArgument) -> Self {
        match method {
            TraceArgument::Hutchinson => Self::Hutchinson,
            TraceArgument::HutchPlusPlus => Self::HutchPlusPlus,
            TraceArgument::XTrace => Self::XTrace,
        }
    }
}
