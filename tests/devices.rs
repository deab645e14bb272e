//! The same figures from a GPU as from the CPU, for every family of models; and the same bits from run to run.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Split, Targets};
use basin_objective::models::Model;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective, Outputs};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix};
use candle_core::{DType, Device, Tensor};

/// What may lie between two ways to the same figure, relative to its size. Devices add the same terms in other orders:
/// a few ε for each of the ten to thirty layers that a product passes, forth and back. f32 has ε = 1.2e-7, and deep
/// networks with normalisation amplify it a hundredfold, as f32 against f64 on the CPU shows. An eigenvalue of a
/// symmetric matrix moves by no more than the matrix; Lanczos adds its own tolerance.
const F32: f64 = 1e-3;
const F64: f64 = 1e-10;
const EIGENVALUE: f64 = 1e-5;

struct Case {
    model: Model,
    data: Dataset,
}

impl Case {
    fn images(spec: &str, samples: usize, shape: &[usize]) -> Self {
        let len = samples * shape.iter().product::<usize>();
        let inputs: Vec<f64> = (0..len).map(|i| (0.7 * i as f64).sin() + (0.013 * i as f64).cos()).collect();
        let inputs = Tensor::from_vec(inputs, [&[samples], shape].concat(), &Device::Cpu).unwrap();
        let labels: Vec<i64> = (0..samples as i64).map(|i| i * 7 % 3).collect();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        let data = Dataset::from_tensors("test", inputs, Targets::classes(labels, 3)).unwrap();
        Self::new(spec, data, 3)
    }

    fn tokens(spec: &str) -> Self {
        let data = "synthetic:tokens:samples=4,length=5,vocabulary=7".parse().unwrap();
        let data = Dataset::load(&data, Split::Train).unwrap();
        Self::new(spec, data, Outputs::EachPosition { positions: 5, classes: 7 })
    }

    fn new(spec: &str, data: Dataset, outputs: impl Into<Outputs>) -> Self {
        Self { model: Model::new(&spec.parse().unwrap(), data.sample_shape(), outputs).unwrap(), data }
    }

    /// All figures of a run, by name. Two micro-batches of unequal size, as in a real analysis.
    fn figures(&self, device: &Device, dtype: DType) -> Vec<(&'static str, Vec<f64>)> {
        let buffers = self.model.initial_buffers(dtype).unwrap();
        let micro_batch = Some(self.data.samples().div_ceil(2) + 1);
        let options = NetworkOptions { device: device.clone(), dtype, micro_batch, ..NetworkOptions::default() };
        let network = Network::new(&self.model, &buffers, LossSpec::cross_entropy(), &self.data, options).unwrap();
        let theta = self.model.initial_parameters(1, DType::F64).unwrap();
        let on_device = |x: &Tensor| x.to_dtype(dtype).unwrap().to_device(device).unwrap();
        let theta = on_device(&theta);
        let v: Vec<f64> = (0..network.dimension()).map(|i| (0.3 * i as f64).cos()).collect();
        let v = on_device(&Tensor::new(v, &Device::Cpu).unwrap());
        let (loss, gradient) = network.gradient(&theta).unwrap();
        let at = network.linearize(&theta).unwrap();
        let hessian = Curvature::new(&network, &theta, CurvatureMatrix::Hessian).unwrap();
        let lanczos = Lanczos { top: 1, bottom: 0, tolerance: EIGENVALUE, max_basis: 60, ..Lanczos::default() };
        let extremes = lanczos.extremes(&hessian, |_| Ok(())).unwrap();
        vec![
            ("loss", vec![loss]),
            ("gradient", host(&gradient)),
            ("Hessian product", host(&at.hessian(&v).unwrap())),
            ("Gauss-Newton product", host(&at.gauss_newton(&v).unwrap())),
            ("empirical Fisher product", host(&at.empirical_fisher(&v).unwrap())),
            ("top eigenvalue", extremes.eigenvalues.iter().map(|pair| pair.value).collect()),
        ]
    }
}

fn host(x: &Tensor) -> Vec<f64> {
    x.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn zoo() -> Vec<Case> {
    vec![
        Case::images("mlp:5-6-3:relu", 7, &[5]),
        Case::images("mlp:6-5-4-3:gelu:bn", 5, &[2, 3]),
        Case::images("mlp:5-6-3:silu", 4, &[5]),
        Case::images("mlp:5-6-3:softplus:bn", 4, &[5]),
        Case::images("f1", 4, &[6]),
        Case::images("c1", 3, &[2, 9, 8]),
        Case::images("resnet20", 3, &[1, 8, 8]),
        Case::images("wrn10-1", 3, &[2, 6, 6]),
        Case::images("vit:patch=2,width=6,depth=2,heads=2", 3, &[2, 4, 4]),
        Case::tokens("gpt:context=6,width=6,depth=2,heads=3"),
    ]
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = |terms: &mut dyn Iterator<Item = f64>| terms.map(|x| x * x).sum::<f64>().sqrt();
    squares(&mut a.iter().zip(b).map(|(a, b)| a - b)) / squares(&mut b.iter().copied()).max(f64::MIN_POSITIVE)
}

fn assert_near(case: &Case, found: &[(&str, Vec<f64>)], expected: &[(&str, Vec<f64>)], tolerance: f64) {
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        let allowed = if *name == "top eigenvalue" { tolerance.max(EIGENVALUE) } else { tolerance };
        let error = distance(found, expected);
        assert!(error <= allowed, "{}: {name} is {error:e} off, {allowed:e} is allowed", case.model.name());
    }
}

/// Without a GPU this shows that the comparison compares, and what f32 costs on any device.
#[test]
fn f32_is_near_f64_on_the_cpu() {
    for case in zoo() {
        assert_near(&case, &case.figures(&Device::Cpu, DType::F32), &case.figures(&Device::Cpu, DType::F64), F32);
    }
}

#[test]
fn cuda_agrees_with_the_cpu() {
    let Ok(cuda) = Device::new_cuda(0) else {
        eprintln!("skipped: no CUDA device");
        return;
    };
    for case in zoo().into_iter().chain([Case::images("alexnet", 3, &[3, 32, 32])]) {
        for (dtype, tolerance) in [(DType::F32, F32), (DType::F64, F64)] {
            let figures = case.figures(&cuda, dtype);
            assert_near(&case, &figures, &case.figures(&Device::Cpu, dtype), tolerance);
            assert!(figures == case.figures(&cuda, dtype), "{}: other bits in the second run", case.model.name());
        }
    }
}
