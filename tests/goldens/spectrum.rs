//! Both ends of the spectra of a small trained net, against all eigenvalues of PyTorch's dense matrices.

use basin_objective::data::{Dataset, Targets};
use basin_objective::models::Model;
use basin_objective::{LossSpec, Network, NetworkOptions};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::golden::{Golden, numbers};

/// Error of an eigenvalue allowed relative to the largest one: both sides round in f64, where Lanczos stops at residuals
/// of 1e-10, whose square is the error.
const TOLERANCE: f64 = 1e-11;
/// Eigenvalues asked for at each end.
const ENDS: usize = 6;

#[derive(Deserialize)]
struct Notes {
    model: String,
    samples: usize,
    shape: Vec<usize>,
    classes: usize,
}

#[test]
fn lanczos_finds_the_eigenvalues_of_pytorchs_dense_matrices() {
    let golden = Golden::read("spectrum.safetensors");
    let notes: Notes = golden.notes();
    let inputs = (numbers(400, &[&[notes.samples], notes.shape.as_slice()].concat()) * 1.5).unwrap();
    let labels: Vec<i64> = (0..notes.samples).map(|sample| (sample * 2 % notes.classes) as i64).collect();
    let targets = Targets::classes(Tensor::new(labels, &Device::Cpu).unwrap(), notes.classes);
    let data = Dataset::from_tensors("golden", inputs, targets).unwrap();
    let model = Model::new(&notes.model.parse().unwrap(), &notes.shape, notes.classes).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, options).unwrap();

    for (name, matrix) in [
        ("hessian", CurvatureMatrix::Hessian),
        ("gauss_newton", CurvatureMatrix::GaussNewton),
        ("empirical_fisher", CurvatureMatrix::EmpiricalFisher),
    ] {
        let all = golden.tensor(name).to_vec1::<f64>().unwrap();
        let expected = [&all[..ENDS], &all[all.len() - ENDS..]].concat();
        let curvature = Curvature::new(&network, golden.tensor("theta"), matrix).unwrap();
        let lanczos = Lanczos { top: ENDS, bottom: ENDS, tolerance: 1e-10, ..Lanczos::default() };
        let found = lanczos.extremes(&curvature, |_| Ok(())).unwrap();
        assert_eq!(found.eigenvalues.len(), expected.len());
        for (eigenvalue, expected) in found.eigenvalues.iter().zip(expected) {
            let error = (eigenvalue.value - expected).abs() / all[0];
            assert!(error <= TOLERANCE, "{name}: {eigenvalue:?} for {expected}");
        }
    }
}
