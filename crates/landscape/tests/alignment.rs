//! Aligned networks: planted orders are found, functions stay what they are.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_landscape::{Permutation, align};
use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::Model;
use basin_objective::random::stream;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective};
use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// Small images with classes.
fn data() -> Dataset {
    let spec: DataSpec = "synthetic:images:samples=12,size=8,classes=10".parse().unwrap();
    Dataset::load(&spec, Split::Train).unwrap()
}

fn model(spec: &str) -> Model {
    Model::new(&spec.parse().unwrap(), &[3, 8, 8], 10).unwrap()
}

/// Numbers of which no two are alike, so that a unit is told from every other; variances are positive.
fn drawn(length: usize, seed: u64) -> Tensor {
    let numbers: Vec<f64> = StandardNormal.sample_iter(stream(seed, "test", "weights")).take(length).collect();
    Tensor::new(numbers, &Device::Cpu).unwrap()
}

/// Orders of all hidden units.
fn shuffled(model: &Model, seed: u64) -> Permutation {
    let mut stream = stream(seed, "test", "order");
    let orders = model.exchangeable_units().unwrap().iter().map(|set| {
        let mut order: Vec<usize> = (0..set.count).collect();
        order.shuffle(&mut stream);
        order
    });
    Permutation::new(model, orders.collect()).unwrap()
}

/// Parameters of about the size of trained ones, norms and biases included.
fn parameters(model: &Model, seed: u64) -> Tensor {
    let initial = model.initial_parameters(seed, DType::F64).unwrap();
    (initial + (drawn(model.parameters().len(), seed) * 0.05).unwrap()).unwrap()
}

fn values(vector: &Tensor) -> Vec<f64> {
    vector.to_vec1().unwrap()
}

const MODELS: [&str; 9] = [
    "mlp:192-13-11-7-10:gelu",
    "f1",
    "mlp:192-13-11-10:tanh:bn",
    "c1",
    "vgg9-bn",
    "vgg9",
    "resnet20",
    "resnet20:b",
    "wrn10-1",
];

#[test]
fn another_order_is_the_same_function() {
    let data = data();
    for spec in MODELS {
        let model = model(spec);
        let theta = parameters(&model, 1);
        let buffers = (model.initial_buffers(DType::F64).unwrap()
            + (drawn(model.buffers().len(), 2).abs().unwrap() * 0.3).unwrap())
        .unwrap();
        let order = shuffled(&model, 3);
        let moved = order.parameters(&model, &theta).unwrap();
        assert_ne!(values(&moved), values(&theta), "{spec}");
        let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
        let mut network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, options).unwrap();
        let losses = |network: &Network<'_>, theta: &Tensor| {
            (network.sample_losses(theta).unwrap(), network.evaluate(theta).unwrap())
        };
        let (expected, evaluation) = losses(&network, &theta);
        network.set_buffers(&order.buffers(&model, &buffers).unwrap()).unwrap();
        let (found, again) = losses(&network, &moved);
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{spec}: {found:?} for {expected:?}");
        }
        assert!((again.loss - evaluation.loss).abs() <= 1e-9 * (1.0 + evaluation.loss), "{spec}");
        assert_eq!(again.accuracy, evaluation.accuracy, "{spec}");
        // The statistics belong to the units: those of the old order make another function.
        if !model.buffers().is_empty() {
            network.set_buffers(&buffers).unwrap();
            assert_ne!(losses(&network, &moved).1.loss, evaluation.loss, "{spec}");
        }
    }
}

#[test]
fn planted_orders_are_found() {
    for spec in ["mlp:192-13-11-7-10:gelu", "mlp:192-40-40-10:relu:bn", "c1", "vgg9-bn", "resnet20", "resnet20:b"] {
        let model = model(spec);
        for seed in 0..3 {
            let a = parameters(&model, seed);
            let b = shuffled(&model, seed).parameters(&model, &a).unwrap();
            let found = align(&model, &a, &b, seed, |_, _| Ok(())).unwrap();
            assert!(found.alignment.distance_before > 1.0, "{spec}");
            assert_eq!(found.alignment.distance_after, 0.0, "{spec}, seed {seed}: {:?}", found.alignment);
            assert_eq!(values(&found.permutation.parameters(&model, &b).unwrap()), values(&a), "{spec}");
        }
    }
}

#[test]
fn the_distance_never_grows_and_the_same_seed_finds_the_same() {
    let model = model("mlp:192-24-24-10:relu:bn");
    let (a, b) = (parameters(&model, 1), parameters(&model, 2));
    let mut distances = Vec::new();
    let found = align(&model, &a, &b, 5, |sweep, distance| {
        assert_eq!(sweep, distances.len());
        distances.push(distance);
        Ok(())
    })
    .unwrap();
    let alignment = &found.alignment;
    assert_eq!((alignment.distance_before, alignment.sweeps), (distances[0], distances.len() as u64));
    assert!(distances.is_sorted_by(|a, b| a >= b) && alignment.distance_after < distances[0], "{distances:?}");
    // It is the distance of the vectors.
    let apart = (found.permutation.parameters(&model, &b).unwrap() - &a).unwrap().sqr().unwrap().sum_all().unwrap();
    let apart = apart.to_scalar::<f64>().unwrap().sqrt();
    assert!((alignment.distance_after - apart).abs() <= 1e-12 * apart);
    assert_eq!(align(&model, &a, &b, 5, |_, _| Ok(())).unwrap(), found);
}

/// With one hidden layer there is nothing but one assignment: all orders of five units are tried.
#[test]
fn of_one_layer_no_order_is_nearer() {
    let model = Model::new(&"mlp:3-5-2:tanh".parse().unwrap(), &[3], 2).unwrap();
    let (a, b) = (parameters(&model, 7), parameters(&model, 8));
    let distance = |order: Vec<usize>| {
        let b = Permutation::new(&model, vec![order]).unwrap().parameters(&model, &b).unwrap();
        values(&(b - &a).unwrap().sqr().unwrap().sum_all().unwrap().reshape(1).unwrap())[0].sqrt()
    };
    let orders = (0..5_usize.pow(5)).map(|code| (0..5).map(|i| code / 5_usize.pow(i) % 5).collect::<Vec<_>>());
    let permutations = orders.filter(|order| (0..5).all(|unit| order.contains(&unit)));
    let least = permutations.map(distance).fold(f64::INFINITY, f64::min);
    let found = align(&model, &a, &b, 0, |_, _| Ok(())).unwrap().alignment;
    assert!((found.distance_after - least).abs() < 1e-12, "{found:?} for {least}");
}

#[test]
fn what_cannot_be_aligned_is_refused() {
    let vit = model("vit:patch=4,width=4,depth=1,heads=1,mlp=4");
    let theta = parameters(&vit, 0);
    let refused = align(&vit, &theta, &theta, 0, |_, _| Ok(())).unwrap_err();
    assert!(refused.is_bad_input() && refused.hint().unwrap().contains("`resnet…`"), "{refused}");
    let mlp = model("mlp:192-3-10:relu");
    let theta = parameters(&mlp, 0);
    assert!(align(&mlp, &theta, &drawn(4, 0), 0, |_, _| Ok(())).is_err());
    let lost = (&theta * f64::NAN).unwrap();
    assert!(align(&mlp, &theta, &lost, 0, |_, _| Ok(())).unwrap_err().is_bad_input());
    for orders in [vec![], vec![vec![0, 1]], vec![vec![0, 1, 1]], vec![vec![0, 1, 3]]] {
        assert!(Permutation::new(&mlp, orders).unwrap_err().is_bad_input());
    }
}
