//! Models as they are trained: where they drop what, and how their losses depend on the samples.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Targets};
use basin_objective::models::{BatchNorm, Dropout, Model, ModelSpec, TrainingProgram};
use basin_objective::{LossSpec, Network, NetworkOptions, Outputs, Samples, random};
use basin_tape::Linearization;
use candle_core::{DType, Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

const CPU: (DType, &Device) = (DType::F64, &Device::Cpu);
/// Error allowed to a central difference, relative to the gradient's norm: truncation h² and rounding ε/h are both below it.
const DIFFERENCE_TOLERANCE: f64 = 1e-6;
/// Small enough that no relu and no maximum changes sides.
const STEP: f64 = 1e-5;

fn normal(shape: &[usize], name: &str) -> Tensor {
    let mut rng = random::stream(0, "test", name);
    let elements: Vec<f64> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_vec(elements, shape, &Device::Cpu).unwrap()
}

fn sum(x: &Tensor) -> f64 {
    x.sum_all().unwrap().to_scalar().unwrap()
}

/// The masks of one sample, place by place.
fn masks(spec: &str, shape: &[usize], outputs: impl Into<Outputs>, dropout: Dropout) -> Vec<Tensor> {
    let training = TrainingProgram::new(&spec.parse().unwrap(), shape, outputs, dropout).unwrap();
    training.masks(&[0], 1, 0, CPU).unwrap()
}

/// The gradient of the losses' sum in the samples against central differences, with batch statistics and masks.
#[test]
fn gradients_in_the_samples_agree_with_differences() {
    for (spec, shape, dropout) in [
        ("mlp:6-5-4-3:tanh", &[6][..], Dropout::None),
        ("mlp:6-9-8-3:gelu", &[6], Dropout::Rate(0.3)),
        ("mlp:6-5-4-3:silu:bn", &[2, 3], Dropout::Rate(0.3)),
        ("c1", &[2, 9, 8], Dropout::Published),
        ("resnet20", &[1, 8, 8], Dropout::None),
        ("resnet18:imagenet", &[1, 33, 32], Dropout::None),
        ("wrn10-1", &[2, 6, 6], Dropout::Published),
        ("vit:patch=2,width=6,depth=2,heads=2", &[2, 4, 4], Dropout::Published),
    ] {
        let samples = 4;
        let labels = Tensor::new(&[0_i64, 2, 1, 1], &Device::Cpu).unwrap();
        let inputs = normal(&[&[samples], shape].concat(), "inputs");
        let data = Dataset::from_tensors("test", inputs, Targets::classes(labels, 3)).unwrap();
        let model = Model::new(&spec.parse().unwrap(), shape, 3).unwrap();
        let (theta, buffers) =
            (model.initial_parameters(1, DType::F64).unwrap(), model.initial_buffers(DType::F64).unwrap());
        // vit begins with a last layer of zeros, behind which nothing depends on the samples.
        let theta = (&theta + (normal(theta.dims(), "theta") * 0.02).unwrap()).unwrap();
        let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
        let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, options).unwrap();
        let Samples { inputs, targets } = network.select(&[0, 1, 2, 3]).unwrap();
        let inputs = &inputs[0];
        let loss = LossSpec::cross_entropy().build();

        let training = || TrainingProgram::new(&spec.parse().unwrap(), shape, 3, dropout).unwrap();
        let (training, input_gradient) = (training(), training().input_gradient().unwrap());
        let masks = training.masks(&[5, 1, 9, 2], 1, 0, CPU).unwrap();
        let point = training.program().at(&theta, &buffers).unwrap();
        let loss_at = |x: &Tensor| {
            let batch: Vec<&Tensor> = [x].into_iter().chain(&masks).collect();
            let at = Linearization::new(training.program(), loss.as_ref(), &point, &batch, &targets).unwrap();
            sum(&at.losses().unwrap())
        };
        let batch: Vec<&Tensor> = [inputs].into_iter().chain(&masks).collect();
        let gradient = input_gradient.gradient(loss.as_ref(), &point, &batch, &targets).unwrap();
        assert_eq!(gradient.dims(), inputs.dims());
        let norm = |x: &Tensor| sum(&x.sqr().unwrap()).sqrt();
        let length = norm(&gradient);
        assert!(length > 0.0, "{spec}");
        for direction in [gradient.clone(), normal(inputs.dims(), "u"), normal(inputs.dims(), "v")] {
            let u = (&direction / norm(&direction)).unwrap();
            let moved = |t: f64| (inputs + (&u * t).unwrap()).unwrap();
            let slope = (loss_at(&moved(STEP)) - loss_at(&moved(-STEP))) / (2.0 * STEP);
            let error = (slope - sum(&(&gradient * &u).unwrap())).abs() / length;
            assert!(error < DIFFERENCE_TOLERANCE, "{spec}: {error:e}");
        }
    }
}

/// The rates that places of dropout have, as far as the masks show: the value of what is kept is 1/(1 − p).
#[test]
fn published_rates_stand_where_the_papers_have_them() {
    let found = |spec: &str, shape: &[usize]| -> Vec<(f64, usize)> {
        let rate = |mask: &Tensor| {
            let largest = mask.max_all().unwrap().to_scalar::<f64>().unwrap();
            ((1.0 - 1.0 / largest) * 1e6).round() / 1e6
        };
        masks(spec, shape, 10, Dropout::Published).iter().map(|mask| (rate(mask), mask.elem_count())).collect()
    };
    let c1 = [(0.5, 384), (0.5, 192)];
    assert_eq!(found("c1", &[3, 32, 32]), c1);
    assert_eq!(found("c3", &[3, 32, 32]), c1);
    let c2 = [
        (0.3, 64 * 32 * 32),
        (0.4, 128 * 16 * 16),
        (0.4, 256 * 8 * 8),
        (0.4, 256 * 8 * 8),
        (0.4, 512 * 4 * 4),
        (0.4, 512 * 4 * 4),
        (0.4, 512 * 2 * 2),
        (0.4, 512 * 2 * 2),
        (0.5, 512),
        (0.5, 512),
    ];
    assert_eq!(found("c2", &[3, 32, 32]), c2);
    assert_eq!(found("c4", &[3, 32, 32]), c2);
    assert_eq!(found("alexnet", &[3, 32, 32]), [(0.5, 256 * 2 * 2), (0.5, 4096)]);
    assert_eq!(found("vgg11:imagenet", &[3, 32, 32]), [(0.5, 4096); 2]);
    assert_eq!(found("wrn10-2", &[3, 8, 8]), [(0.3, 32 * 64), (0.3, 64 * 16), (0.3, 128 * 4)]);
    // Embeddings, then attention, hidden units and outputs of the perceptron of a block.
    let vit = [(0.1, 5 * 12), (0.1, 5 * 12), (0.1, 5 * 48), (0.1, 5 * 12)];
    assert_eq!(found("vit:patch=2,width=12,depth=1,heads=2", &[1, 4, 4]), vit);
}

#[test]
fn one_rate_stands_at_every_place() {
    let count = |spec: &str, shape: &[usize]| masks(spec, shape, 10, Dropout::Rate(0.25)).len();
    assert_eq!(count("mlp:64-32-16-10:tanh:bn", &[64]), 2);
    assert_eq!((count("f1", &[64]), count("f2", &[64]), count("c2", &[3, 32, 32])), (5, 7, 10));
    let sequences = Outputs::EachPosition { positions: 6, classes: 7 };
    let gpt = masks("gpt:width=8,depth=1,heads=2", &[6], sequences, Dropout::Rate(0.25));
    // Embeddings, the shares of attention of each head, attention and perceptron.
    assert_eq!(
        gpt.iter().map(|mask| mask.dims()[1..].to_vec()).collect::<Vec<_>>(),
        [vec![6, 8], vec![2, 6, 6], vec![6, 8], vec![6, 8]]
    );
    assert!(masks("c1", &[3, 32, 32], 10, Dropout::None).is_empty());
}

#[test]
fn a_model_without_a_place_for_dropout_is_refused() {
    for (spec, dropout, message, hint) in [
        ("resnet20", Dropout::Rate(0.5), "`resnet20` has no place for dropout", "f1, f2"),
        ("vgg11", Dropout::Published, "has no published dropout", "`:imagenet`"),
        ("mlp:3072-10", Dropout::Rate(0.5), "`mlp:3072-10:relu` has no place for dropout", "hidden layers"),
        ("f1", Dropout::Published, "`f1` has no published dropout", "take a rate"),
        ("f1", Dropout::Rate(1.0), "the rate of dropout is 1", "0.5"),
    ] {
        let spec: ModelSpec = spec.parse().unwrap();
        let error = TrainingProgram::new(&spec, &[3, 32, 32], 10, dropout).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
}

#[test]
fn without_dropout_a_training_program_is_the_models_own() {
    let spec: ModelSpec = "c1".parse().unwrap();
    let model = Model::new(&spec, &[1, 8, 8], 3).unwrap();
    let training = TrainingProgram::new(&spec, &[1, 8, 8], 3, Dropout::None).unwrap();
    let (theta, buffers) =
        (model.initial_parameters(1, DType::F64).unwrap(), model.initial_buffers(DType::F64).unwrap());
    let x = normal(&[3, 1, 8, 8], "x");
    let outputs = [model.program(BatchNorm::Batch), training.program()].map(|program| {
        let output = program.evaluate(&program.at(&theta, &buffers).unwrap(), &[&x]).unwrap();
        output.to_vec2::<f64>().unwrap()
    });
    assert_eq!(outputs[0], outputs[1]);
}
