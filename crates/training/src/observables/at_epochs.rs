//! What is taken at the end of an epoch, on all training samples.

use std::collections::BTreeMap;

use basin_objective::{Error as ObjectiveError, Objective, SampledObjective};
use basin_records::keskar::Subspace;
use basin_sharpness::batch_hessian::{SecondMoment, batch};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{
    Curvature, CurvatureMatrix, KeskarOptions, ParameterGroup, Precision, SymmetricOperator as _, diagonal, keskar,
};
use basin_tape::{Layout, vector};
use candle_core::{DType, Tensor};

use super::Observable;
use crate::Result;

/// Batches of which means are taken: their standard error is a quarter of the spread.
const BATCHES: usize = 16;
/// Eigenvectors with which the gradient's alignment is taken.
const EIGENVECTORS: usize = 3;
/// Relative residual of eigenvalues, and the standard error of the diagonal: a training curve shows no more.
const TOLERANCE: f64 = 1e-3;
const DIAGONAL_ERROR: f64 = 0.1;
/// Products that an eigenvalue or a diagonal may take: a curve goes on where one does not converge.
const MAX_PRODUCTS: usize = 500;
/// ε of Keskar's sharpness.
const EPSILON: f64 = 1e-3;

/// A run at the end of an epoch.
pub(crate) struct AtEpoch<'a> {
    /// All training samples.
    pub(crate) objective: &'a dyn Objective,
    /// Any of them.
    pub(crate) batches: &'a dyn SampledObjective,
    pub(crate) layout: &'a Layout,
    pub(crate) theta: &'a Tensor,
    /// θ₀.
    pub(crate) initial: &'a Tensor,
    pub(crate) batch_size: usize,
    pub(crate) learning_rate: f64,
    /// Of all random choices, differently in each epoch.
    pub(crate) seed: u64,
}

type Observed = Vec<(String, f64)>;

impl AtEpoch<'_> {
    /// The observables named, or NaN where a product is not finite: the run says so itself when it diverges.
    pub(crate) fn observe(&self, observables: &[Observable]) -> Result<BTreeMap<String, f64>> {
        let mut observed = BTreeMap::new();
        for &observable in observables {
            match self.one(observable) {
                Ok(values) => observed.extend(values),
                Err(ObjectiveError::NotFinite { .. }) => {
                    observed.insert(observable.name().replace('-', "_"), f64::NAN);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(observed)
    }

    fn one(&self, observable: Observable) -> basin_objective::Result<Observed> {
        match observable {
            Observable::Gradient | Observable::Stride | Observable::LossStride => Ok(Vec::new()),
            Observable::Distance => {
                let apart = (self.theta - self.initial)?;
                Ok(vec![("distance".into(), vector::dot(&apart, &apart)?.sqrt())])
            }
            Observable::RadiusEstimate => self.radius_estimate(),
            Observable::Radius => self.radius(),
            Observable::NoiseScale => self.noise_scale(),
            Observable::LambdaMax => self.lambda_max(),
            Observable::BatchSharpness => self.batch_sharpness(),
            Observable::Alignment => self.alignment(),
            Observable::Keskar => self.keskar(),
        }
    }

    fn hessian(&self) -> basin_objective::Result<Curvature<'_>> {
        Curvature::new(self.objective, self.theta, CurvatureMatrix::Hessian)
    }

    /// ∇L in f64.
    fn gradient(&self) -> basin_objective::Result<Tensor> {
        Ok(self.objective.gradient(self.theta)?.1.to_dtype(DType::F64)?)
    }

    fn radius_estimate(&self) -> basin_objective::Result<Observed> {
        let (theta, gradient) = (self.theta.to_dtype(DType::F64)?.abs()?, self.gradient()?.abs()?);
        self.of_layers("radius_estimate", |layer| {
            Ok(median(&layer.gather(&theta)?)? / median(&layer.gather(&gradient)?)?)
        })
    }

    fn radius(&self) -> basin_objective::Result<Observed> {
        let precision =
            Precision { standard_error: DIAGONAL_ERROR, max_products: MAX_PRODUCTS, memory: None, seed: self.seed };
        let found = diagonal(&self.hessian()?, precision, |_| Ok(()))?;
        let slope = (self.gradient()?.sqr()? + 1.0)?.powf(1.5)?;
        let radii = (slope / found.value.abs()?)?;
        self.of_layers("radius", |layer| median(&layer.gather(&radii)?))
    }

    fn of_layers(
        &self,
        name: &str,
        of: impl Fn(&ParameterGroup) -> basin_objective::Result<f64>,
    ) -> basin_objective::Result<Observed> {
        let layers = ParameterGroup::layers(self.layout);
        layers.iter().map(|layer| Ok((format!("{name}.{}", layer.name), of(layer)?))).collect()
    }

    /// tr Σ from the variances of groups of samples, and from ‖g_b‖² of batches of b and ‖G‖² of all N as (‖g_b‖² − ‖G‖²)/(1/b − 1/N) over
    /// (N ‖G‖² − b ‖g_b‖²)/(N − b); tr(HΣ) from the gradients of batches, whose deviations e from the mean have
    /// E eᵀHe = tr(HΣ)/𝔟.
    fn noise_scale(&self) -> basin_objective::Result<Observed> {
        let (moment, _) = SecondMoment::measure(self.batches, self.theta, self.seed, |_| Ok(()))?;
        let mean = self.gradient()?;
        let squared_norm = vector::dot(&mean, &mean)?;
        let trace = vector::total(moment.variance())?;
        let hessian = self.hessian()?;
        let along = |v: &Tensor| {
            let product = hessian.apply(&v.to_dtype(hessian.dtype())?)?.to_dtype(DType::F64)?;
            Ok::<_, ObjectiveError>(vector::dot(v, &product)?)
        };
        let curvature = along(&mean)?;
        let size = self.batch_size.min(self.batches.samples() / 2).max(1);
        let inverse = basin_sharpness::batch_hessian::inverse_effective_batch(size, self.batches.samples());
        let deviations =
            self.of_batches(size, |batch| Ok((batch.gradient(self.theta)?.1.to_dtype(DType::F64)? - &mean)?))?;
        let forms = deviations.iter().map(along).collect::<basin_objective::Result<Vec<f64>>>()?;
        let (form, stderr) = mean_and_error(&forms);
        let squared = |e: &Tensor| {
            let gradient = (e + &mean)?;
            Ok::<_, ObjectiveError>(vector::dot(&gradient, &gradient)?)
        };
        let squared = deviations.iter().map(squared).collect::<basin_objective::Result<Vec<f64>>>()?;
        let (of_batches, _) = mean_and_error(&squared);
        let (b, n) = (size as f64, self.batches.samples() as f64);
        let two_sizes = (of_batches - squared_norm) / inverse / ((n * squared_norm - b * of_batches) / (n - b));
        Ok(vec![
            ("noise_scale_simple".into(), trace / squared_norm),
            ("noise_scale_two_sizes".into(), two_sizes),
            ("noise_scale".into(), form / inverse / curvature),
            ("noise_scale.stderr".into(), (stderr / inverse / curvature).abs()),
        ])
    }

    fn lambda_max(&self) -> basin_objective::Result<Observed> {
        let found = self.lanczos(1).extremes(&self.hessian()?, |_| Ok(()))?;
        let largest = found.eigenvalues.first();
        Ok(vec![
            ("lambda_max".into(), largest.map_or(f64::NAN, |found| found.value)),
            ("lambda_max.residual".into(), largest.map_or(f64::NAN, |found| found.residual)),
            ("two_over_rate".into(), 2.0 / self.learning_rate),
        ])
    }

    fn lanczos(&self, top: usize) -> Lanczos {
        Lanczos {
            top,
            bottom: 0,
            tolerance: TOLERANCE,
            max_products: MAX_PRODUCTS,
            seed: self.seed,
            ..Lanczos::default()
        }
    }

    fn batch_sharpness(&self) -> basin_objective::Result<Observed> {
        let sharpness = self.of_batches(self.batch_size, |batch| {
            let at = batch.linearize(self.theta)?;
            let gradient = at.gradient()?;
            Ok(vector::dot(&gradient, &at.hessian(&gradient)?)? / vector::dot(&gradient, &gradient)?)
        })?;
        let (mean, stderr) = mean_and_error(&sharpness);
        Ok(vec![("batch_sharpness".into(), mean), ("batch_sharpness.stderr".into(), stderr)])
    }

    fn alignment(&self) -> basin_objective::Result<Observed> {
        let found = self.lanczos(EIGENVECTORS).extremes(&self.hessian()?, |_| Ok(()))?;
        let gradient = self.gradient()?;
        let squared_norm = vector::dot(&gradient, &gradient)?;
        let cosine = |row: usize| {
            let v = found.eigenvectors.get(row)?.to_dtype(DType::F64)?.to_device(gradient.device())?;
            Ok((format!("alignment.{}", row + 1), vector::dot(&v, &gradient)?.powi(2) / squared_norm))
        };
        (0..found.eigenvalues.len()).map(cosine).collect()
    }

    fn keskar(&self) -> basin_objective::Result<Observed> {
        let options = KeskarOptions {
            epsilons: vec![EPSILON],
            subspaces: vec![Subspace::Full],
            draws: 1,
            seed: self.seed,
            ..KeskarOptions::default()
        };
        let found = keskar(self.objective, self.theta, &options, &mut |_| Ok(()))?;
        Ok(found.summary.iter().map(|summary| ("keskar".into(), summary.mean)).collect())
    }

    /// What `of` makes of batches, side by side.
    fn of_batches<T: Send>(
        &self,
        size: usize,
        of: impl Fn(&dyn Objective) -> basin_objective::Result<T> + Sync,
    ) -> basin_objective::Result<Vec<T>> {
        let draws: Vec<usize> = (0..BATCHES).collect();
        let positions = |draw: usize| batch(self.batches.samples(), size, draw, self.seed);
        self.batches.work(&draws, |_| size, BATCHES, |&draw| self.batches.with_batch(&positions(draw), &of))
    }
}

/// The mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

/// The middle one of the elements in their order, the mean of both where there are two.
fn median(values: &Tensor) -> basin_objective::Result<f64> {
    let mut values = values.to_vec1::<f64>()?;
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    Ok(if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 })
}
