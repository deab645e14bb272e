//! Curvature matrices of small networks against dense references.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Split};
use basin_objective::models::{BatchNorm, Model};
use basin_objective::{DrawnLabels, LossSpec, Network, NetworkOptions, Objective};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{
    Block, Curvature, CurvatureMatrix, ParameterGroup, Precision, Shifted, SymmetricOperator, TraceMethod, diagonal,
    disjoint_subsets, frobenius_norm, trace,
};
use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;

/// Differences between products that are equal but for rounding, relative to the matrix's norm.
const ROUNDING: f64 = 1e-12;
/// Step and error of central differences of a gradient in f64.
const STEP: f64 = 1e-5;
const DIFFERENCES: f64 = 1e-7;

struct Small {
    model: Model,
    data: Dataset,
    buffers: Tensor,
    theta: Tensor,
}

impl Small {
    /// `samples` of a few smooth features, for differences must not cross a kink.
    fn new(model: &str, samples: usize) -> Self {
        let data = Dataset::load(&"digits".parse().unwrap(), Split::Train).unwrap().take(samples).unwrap();
        let inputs = data.inputs.tensor().unwrap().narrow(1, 20, 5).unwrap().contiguous().unwrap();
        let data = Dataset::from_tensors("digits, five pixels", inputs, data.targets).unwrap();
        let model = Model::new(&model.parse().unwrap(), &[5], 10).unwrap();
        let theta = model.initial_parameters(3, DType::F64).unwrap();
        let buffers = model.initial_buffers(DType::F64).unwrap();
        Self { model, data, buffers, theta }
    }

    fn network(&self, micro_batch: Option<usize>, batch_norm: BatchNorm) -> Network<'_> {
        let options = NetworkOptions { dtype: DType::F64, micro_batch, batch_norm, ..NetworkOptions::default() };
        Network::new(&self.model, &self.buffers, LossSpec::cross_entropy(), &self.data, options).unwrap()
    }
}

fn matrix(rows: &Tensor) -> DMatrix<f64> {
    let (n, m) = rows.dims2().unwrap();
    DMatrix::from_row_slice(n, m, &rows.flatten_all().unwrap().to_vec1::<f64>().unwrap())
}

/// All columns, multiplied as rows of one matrix.
fn dense(operator: &dyn SymmetricOperator) -> DMatrix<f64> {
    let identity = Tensor::eye(operator.dimension(), DType::F64, &Device::Cpu).unwrap();
    matrix(&operator.apply(&identity).unwrap())
}

fn dense_of(network: &Network, theta: &Tensor, which: CurvatureMatrix) -> DMatrix<f64> {
    dense(&Curvature::new(network as &dyn Objective, theta, which).unwrap())
}

fn gradient(network: &Network, theta: &Tensor) -> DMatrix<f64> {
    matrix(&network.gradient(theta).unwrap().1.unsqueeze(0).unwrap())
}

/// The Hessian by central differences of the gradient.
fn differences(network: &Network, theta: &Tensor) -> DMatrix<f64> {
    let p = theta.elem_count();
    let mut hessian = DMatrix::zeros(p, p);
    for i in 0..p {
        let mut step = vec![0.0; p];
        step[i] = STEP;
        let step = Tensor::new(step, &Device::Cpu).unwrap();
        let above = gradient(network, &(theta + &step).unwrap());
        let below = gradient(network, &(theta - &step).unwrap());
        hessian.set_row(i, &((above - below) / (2.0 * STEP)).row(0));
    }
    hessian
}

fn assert_close(a: &DMatrix<f64>, b: &DMatrix<f64>, tolerance: f64, what: &str) {
    let error = (a - b).norm() / b.norm().max(1e-300);
    assert!(error <= tolerance, "{what}: relative difference {error}");
}

const FISHER: CurvatureMatrix = CurvatureMatrix::Fisher(DrawnLabels { seed: 1, draws: 3 });

/// Also the regression of a product at the vector instead of the weights (HessFormer), and of an uneven last batch that
/// counts as much as a whole one (hessian-eigenthings): 23 samples in micro-batches of 5.
#[test]
fn matrices_are_what_their_definitions_say() {
    let small = Small::new("mlp:5-4-10:tanh", 23);
    let (whole, uneven) = (small.network(None, BatchNorm::Stored), small.network(Some(5), BatchNorm::Stored));
    let theta = &small.theta;
    for which in [
        CurvatureMatrix::Hessian,
        CurvatureMatrix::GaussNewton,
        FISHER,
        CurvatureMatrix::EmpiricalFisher,
        CurvatureMatrix::GradientCovariance,
        CurvatureMatrix::Residual,
    ] {
        let of_all = dense_of(&whole, theta, which);
        assert_close(&of_all.transpose(), &of_all, ROUNDING, &format!("{which:?} is symmetric"));
        assert_close(&dense_of(&uneven, theta, which), &of_all, ROUNDING, &format!("{which:?} in uneven batches"));
    }
    let hessian = dense_of(&whole, theta, CurvatureMatrix::Hessian);
    assert_close(&hessian, &differences(&whole, theta), DIFFERENCES, "Hessian");
    let gauss_newton = dense_of(&whole, theta, CurvatureMatrix::GaussNewton);
    let residual = dense_of(&whole, theta, CurvatureMatrix::Residual);
    assert_close(&residual, &(&hessian - &gauss_newton), ROUNDING, "residual");

    let gradients: Vec<DMatrix<f64>> = (0..23)
        .map(|i| {
            let one = Small { data: small.data.select(&[i]).unwrap(), ..Small::new("mlp:5-4-10:tanh", 1) };
            gradient(&one.network(None, BatchNorm::Stored), theta)
        })
        .collect();
    let p = theta.elem_count();
    let second = gradients.iter().fold(DMatrix::zeros(p, p), |sum, g| sum + g.transpose() * g) / 23.0;
    assert_close(&dense_of(&whole, theta, CurvatureMatrix::EmpiricalFisher), &second, ROUNDING, "empirical Fisher");
    let mean = gradient(&whole, theta);
    let covariance = second - mean.transpose() * &mean;
    assert_close(&dense_of(&whole, theta, CurvatureMatrix::GradientCovariance), &covariance, ROUNDING, "covariance");
}

/// The Fisher matrix of drawn labels is the Gauss-Newton matrix in expectation: its error falls as 1/√draws.
#[test]
fn drawn_labels_estimate_the_gauss_newton_matrix() {
    let small = Small::new("mlp:5-4-10:tanh", 20);
    let network = small.network(None, BatchNorm::Stored);
    let gauss_newton = dense_of(&network, &small.theta, CurvatureMatrix::GaussNewton);
    let error = |draws| {
        let fisher = dense_of(&network, &small.theta, CurvatureMatrix::Fisher(DrawnLabels { seed: 0, draws }));
        (fisher - &gauss_newton).norm() / gauss_newton.norm()
    };
    let (few, many) = (error(4), error(400));
    assert!(many < few / 5.0 && many < 0.1, "{few} {many}");
}

#[test]
fn blocks_and_weight_decay() {
    let small = Small::new("mlp:5-4-10:tanh", 20);
    let network = small.network(None, BatchNorm::Stored);
    let curvature = Curvature::new(&network as &dyn Objective, &small.theta, CurvatureMatrix::Hessian).unwrap();
    let whole = dense(&curvature);
    let layout = small.model.parameters();
    let weights = ParameterGroup::matching(layout, &["fc1.bias", "fc2.w*"]).unwrap();
    for group in ParameterGroup::layers(layout).iter().chain([&weights]) {
        let positions: Vec<usize> = group.ranges.iter().cloned().flatten().collect();
        let expected = whole.select_rows(&positions).select_columns(&positions);
        let block = Block::new(&curvature, group).unwrap();
        assert_close(&dense(&block), &expected, ROUNDING, &group.name);
        // Not all ones: adding one number to all logits changes no loss, so that rounding alone would be left.
        let ramp = DMatrix::from_fn(1, group.len(), |_, i| 1.0 + i as f64);
        let product = block.apply(&Tensor::new(ramp.as_slice(), &Device::Cpu).unwrap()).unwrap();
        assert_close(&matrix(&product.unsqueeze(0).unwrap()), &(ramp * &expected), 1e-10, "a single vector");
    }
    let decayed = dense(&Shifted { operator: &curvature, shift: 0.3 });
    assert_close(&decayed, &(&whole + DMatrix::identity(whole.nrows(), whole.nrows()) * 0.3), ROUNDING, "decay");
    assert!(ParameterGroup::matching(layout, &["conv*"]).unwrap_err().is_bad_input());
    let beyond = ParameterGroup { name: "beyond".into(), ranges: vec![0..5, 5_000..10_000] };
    assert!(Block::new(&curvature, &beyond).is_err());
}

/// Batch norm with the statistics of the batch couples the samples, and its Hessian is another one.
#[test]
fn spectra_of_batch_norm_networks_in_both_modes() {
    let small = Small::new("mlp:5-4-10:tanh:bn", 30);
    for mode in [BatchNorm::Stored, BatchNorm::Batch] {
        let network = small.network(None, mode);
        let curvature = Curvature::new(&network as &dyn Objective, &small.theta, CurvatureMatrix::Hessian).unwrap();
        let reference = differences(&network, &small.theta);
        assert_close(&dense(&curvature), &reference, DIFFERENCES, "Hessian");
        let mut eigenvalues: Vec<f64> = reference.clone().symmetric_eigenvalues().iter().copied().collect();
        eigenvalues.sort_by(|a, b| b.total_cmp(a));
        let lanczos = Lanczos { top: 3, bottom: 2, tolerance: 1e-8, max_basis: 20, ..Lanczos::default() };
        let found = lanczos.extremes(&curvature, |_| Ok(())).unwrap();
        let last = eigenvalues.len() - 1;
        for (eigenvalue, index) in found.eigenvalues.iter().zip([0, 1, 2, last - 1, last]) {
            let allowed = DIFFERENCES * eigenvalues[0];
            assert!((eigenvalue.value - eigenvalues[index]).abs() < allowed, "{mode:?} {eigenvalue:?}");
        }
        let precision = Precision { standard_error: 1e-3, ..Precision::default() };
        let found = trace(&curvature, TraceMethod::XTrace, precision, |_| Ok(())).unwrap();
        // Five standard errors: the seed is fixed, so that this can only change with the estimator.
        assert!((found.value - reference.trace()).abs() <= 5.0 * found.stderr + 1e-6, "{mode:?} {found:?}");
        let found = frobenius_norm(&curvature, precision, |_| Ok(())).unwrap();
        assert!((found.value - reference.norm()).abs() <= 5.0 * found.stderr + 1e-6, "{mode:?} {found:?}");
        let found = diagonal(&curvature, precision, |_| Ok(())).unwrap();
        let values = found.value.to_vec1::<f64>().unwrap();
        let error = (nalgebra::DVector::from_vec(values) - reference.diagonal()).norm() / reference.diagonal().norm();
        assert!(error < 5e-3, "{mode:?} {error}");
    }
}

#[test]
fn subsets_are_disjoint() {
    let subsets = disjoint_subsets(100, 7, 3).unwrap();
    let mut all = subsets.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!((subsets.len(), all.len()), (7, 98));
    assert!(disjoint_subsets(100, 1, 3).unwrap_err().is_bad_input());
}
