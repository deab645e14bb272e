//! Whole models: names, logits, loss, gradient, and the products of Hessian, GGN and empirical Fisher.

use basin_objective::data::{Dataset, Targets};
use basin_objective::models::{BatchNorm, Model};
use basin_objective::weights::Weights;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective};
use basin_tape::Layout;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::golden::{self, Golden, numbers};
use super::{TOLERANCES, assert_close};

/// A part of a vector with less than this share of its norm is compared relative to this share: the gradient in a bias
/// before a batch norm of batch statistics is 0 up to rounding.
const SMALLEST_SHARE: f64 = 1e-3;

#[derive(Deserialize)]
struct Notes {
    cases: Vec<Case>,
}

type NamesAndShapes = Vec<(String, Vec<usize>)>;

#[derive(Deserialize)]
struct Case {
    model: String,
    samples: usize,
    shape: Vec<usize>,
    classes: usize,
    loss: String,
    training: bool,
    /// In the order of PyTorch's `parameters()`.
    parameters: NamesAndShapes,
    buffers: NamesAndShapes,
}

fn names_and_shapes(layout: &Layout) -> NamesAndShapes {
    layout.entries().iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect()
}

/// The vector that `fill` of `pytorch.py` sets.
fn formula(layout: &Layout, first_stream: u64) -> Tensor {
    let parts = layout.entries().iter().zip(first_stream..).map(|(entry, stream)| {
        let values = numbers(stream, &[entry.len()]);
        match entry.shape.as_slice() {
            [_, inputs @ ..] if !inputs.is_empty() => values * (6.0 / inputs.iter().product::<usize>() as f64).sqrt(),
            _ if entry.name.ends_with("weight") || entry.name.ends_with("running_var") => {
                (values * 0.4).and_then(|values| values + 1.0)
            }
            _ => values * 0.2,
        }
        .unwrap()
    });
    let none = Tensor::zeros(0, DType::F64, &Device::Cpu).unwrap();
    Tensor::cat(&[none].into_iter().chain(parts).collect::<Vec<_>>(), 0).unwrap()
}

fn inputs(samples: usize, shape: &[usize]) -> Tensor {
    (numbers(400, &[&[samples], shape].concat()) * 1.5).unwrap()
}

/// For each parameter, the norm of its part of a vector and two projections.
fn outline(layout: &Layout, vector: &Tensor) -> Vec<[f64; 3]> {
    let parts = layout.views(&vector.to_dtype(DType::F64).unwrap()).unwrap();
    let parts = parts.iter().map(|part| part.flatten_all().unwrap());
    parts
        .zip(0..)
        .map(|(part, i)| {
            let onto = |stream| (&part * numbers(stream, part.dims())).unwrap().sum_all().unwrap().to_scalar().unwrap();
            [golden::norm(&part), onto(600 + i), onto(800 + i)]
        })
        .collect()
}

fn assert_outlines_close(what: &str, layout: &Layout, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let expected = expected.to_vec2::<f64>().unwrap();
    let whole = expected.iter().map(|row| row[0] * row[0]).sum::<f64>().sqrt();
    let found = outline(layout, found);
    assert_eq!(found.len(), expected.len());
    for ((found, expected), entry) in found.iter().zip(&expected).zip(layout.entries()) {
        let scale = expected[0].max(SMALLEST_SHARE * whole);
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() / scale;
            assert!(error <= tolerance, "{what}, `{}`: off by {error:e}, {found} for {expected}", entry.name);
        }
    }
}

#[test]
fn models_agree_with_pytorch() {
    let golden = Golden::read("models.safetensors");
    let notes: Notes = golden.notes();
    for (i, case) in notes.cases.iter().enumerate() {
        let model = Model::new(&case.model.parse().unwrap(), &case.shape, case.classes).unwrap();
        assert_eq!(names_and_shapes(model.parameters()), case.parameters);
        assert_eq!(names_and_shapes(model.buffers()), case.buffers);

        let batch_norm = if case.training { BatchNorm::Batch } else { BatchNorm::Stored };
        let labels: Vec<i64> = (0..case.samples).map(|sample| (sample * 2 % case.classes) as i64).collect();
        let targets = Targets::Classes { labels: Tensor::new(labels, &Device::Cpu).unwrap(), classes: case.classes };
        let data = Dataset::from_tensors("golden", inputs(case.samples, &case.shape), targets).unwrap();
        let (theta, buffers) = (formula(model.parameters(), 0), formula(model.buffers(), 200));
        let vectors = model.parameters().entries().iter().zip(500..).map(|(entry, j)| numbers(j, &[entry.len()]));
        let v = Tensor::cat(&vectors.collect::<Vec<_>>(), 0).unwrap();

        for (dtype, tolerance) in TOLERANCES {
            let cast = |x: &Tensor| x.to_dtype(dtype).unwrap();
            let (theta, v) = (cast(&theta), cast(&v));
            let expected = |what: &str| golden.tensor(&format!("{i}.{what}"));
            let name = |what: &str| {
                format!("{what} of `{}`, {}, training {}, {dtype:?}", case.model, case.loss, case.training)
            };

            let program = model.program(batch_norm);
            let logits = program.evaluate(&program.at(&theta, &cast(&buffers)).unwrap(), &[&cast(&data.inputs)]);
            assert_close(&name("logits"), &logits.unwrap(), expected("logits"), tolerance);

            let options = NetworkOptions { dtype, batch_norm, ..NetworkOptions::default() };
            let loss: LossSpec = case.loss.parse().unwrap();
            let network = Network::new(&model, &buffers, loss, &data, options).unwrap();
            let loss = Tensor::new(network.evaluate(&theta).unwrap().loss, &Device::Cpu).unwrap();
            assert_close(&name("loss"), &loss, expected("loss"), tolerance);

            let at = network.linearize(&theta).unwrap();
            for (what, found) in [
                ("gradient", at.gradient()),
                ("hessian", at.hessian(&v)),
                ("gauss_newton", at.gauss_newton(&v)),
                ("empirical_fisher", at.empirical_fisher(&v)),
            ] {
                let found = found.unwrap();
                assert_outlines_close(&name(what), model.parameters(), &found, expected(what), tolerance);
            }
        }
    }
}

#[test]
fn a_state_dict_saved_by_pytorch_is_loaded() {
    let weights =
        Weights::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/state_dict.safetensors")).unwrap();
    assert!(weights.skipped.contains_key("bn1.num_batches_tracked"));
    let model = Model::new(&"mlp:6-8-3:gelu:bn".parse().unwrap(), &[6], 3).unwrap();
    let (parameters, buffers) = (names_and_shapes(model.parameters()), names_and_shapes(model.buffers()));
    let golden = Golden::read("models.safetensors");
    for (dtype, tolerance) in TOLERANCES {
        let gathered = weights.gather(&parameters, &buffers, dtype).unwrap();
        let program = model.program(BatchNorm::Stored);
        let point = program.at(&gathered.parameters, &gathered.buffers).unwrap();
        let logits = program.evaluate(&point, &[&inputs(5, &[6]).to_dtype(dtype).unwrap()]).unwrap();
        assert_close(&format!("logits in {dtype:?}"), &logits, golden.tensor("state_dict.logits"), tolerance);
    }
}
