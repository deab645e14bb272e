//! Whole models: names, logits, loss, gradient, and the products of Hessian, GGN and empirical Fisher.

use basin_objective::data::{Dataset, Targets};
use basin_objective::models::{BatchNorm, Model, ModelSpec};
use basin_objective::weights::Weights;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective, Outputs};
use basin_tape::{Entry, Layout};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::golden::{Golden, numbers};
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
    /// Whether f32 is left out.
    #[serde(default)]
    f64_alone: bool,
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

/// Token t of sample s is (first + t)(s + 2) modulo the number of classes.
fn tokens(first: usize, samples: usize, length: usize, classes: usize) -> Tensor {
    let of_sample = |s| (0..length).map(move |t| ((first + t) * (s + 2) % classes) as i64);
    Tensor::from_vec((0..samples).flat_map(of_sample).collect(), (samples, length), &Device::Cpu).unwrap()
}

impl Case {
    fn data(&self) -> Dataset {
        let (x, labels) = if self.model.contains("gpt") {
            let tokens = |first| tokens(first, self.samples, self.shape[0], self.classes);
            (tokens(0), tokens(1))
        } else {
            let labels: Vec<i64> = (0..self.samples).map(|sample| (sample * 2 % self.classes) as i64).collect();
            (inputs(self.samples, &self.shape), Tensor::new(labels, &Device::Cpu).unwrap())
        };
        Dataset::from_tensors("golden", x, Targets::classes(labels, self.classes)).unwrap()
    }

    /// As many outputs as the targets ask for, and no more.
    fn outputs(&self, loss: &LossSpec, data: &Dataset) -> Outputs {
        match loss.outputs(data).unwrap() {
            Outputs::AtLeast(_) => Outputs::Exactly(self.classes),
            outputs => outputs,
        }
    }
}

/// For each parameter, the two vectors that its part of a vector is projected on.
fn projections(layout: &Layout) -> Vec<[Vec<f64>; 2]> {
    let onto = |(entry, i): (&Entry, u64)| {
        [600, 800].map(|first| numbers(first + i, &[entry.len()]).to_vec1::<f64>().unwrap())
    };
    layout.entries().iter().zip(0..).map(onto).collect()
}

/// For each parameter, the norm of its part of a vector and two projections.
fn outline(layout: &Layout, vector: &Tensor, projections: &[[Vec<f64>; 2]]) -> Vec<[f64; 3]> {
    let vector = vector.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    let parts = layout.entries().iter().map(|entry| &vector[entry.offset..][..entry.len()]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    parts.zip(projections).map(|(part, [a, b])| [dot(part, part).sqrt(), dot(part, a), dot(part, b)]).collect()
}

fn assert_outlines_close(what: &str, layout: &Layout, found: &[[f64; 3]], expected: &Tensor, tolerance: f64) {
    let expected = expected.to_vec2::<f64>().unwrap();
    let whole = expected.iter().map(|row| row[0] * row[0]).sum::<f64>().sqrt();
    assert_eq!(found.len(), expected.len());
    for ((found, expected), entry) in found.iter().zip(&expected).zip(layout.entries()) {
        let scale = expected[0].max(SMALLEST_SHARE * whole);
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() / scale;
            assert!(error <= tolerance, "{what}, `{}`: off by {error:e}, {found} for {expected}", entry.name);
        }
    }
}

fn agree_with_pytorch(file: &str) {
    let golden = Golden::read(file);
    let notes: Notes = golden.notes();
    for (i, case) in notes.cases.iter().enumerate() {
        let (data, loss) = (case.data(), case.loss.parse::<LossSpec>().unwrap());
        let model = Model::new(&case.model.parse().unwrap(), &case.shape, case.outputs(&loss, &data)).unwrap();
        assert_eq!(names_and_shapes(model.parameters()), case.parameters);
        assert_eq!(names_and_shapes(model.buffers()), case.buffers);

        let batch_norm = if case.training { BatchNorm::Batch } else { BatchNorm::Stored };
        let (theta, buffers) = (formula(model.parameters(), 0), formula(model.buffers(), 200));
        let vectors = model.parameters().entries().iter().zip(500..).map(|(entry, j)| numbers(j, &[entry.len()]));
        let v = Tensor::cat(&vectors.collect::<Vec<_>>(), 0).unwrap();
        let projections = projections(model.parameters());

        for (dtype, tolerance) in TOLERANCES {
            if case.f64_alone && dtype != DType::F64 {
                continue;
            }
            let cast = |x: &Tensor| x.to_dtype(dtype).unwrap();
            let (theta, v) = (cast(&theta), cast(&v));
            let expected = |what: &str| golden.tensor(&format!("{i}.{what}"));
            let name = |what: &str| {
                format!("{what} of `{}`, {}, training {}, {dtype:?}", case.model, case.loss, case.training)
            };

            let program = model.program(batch_norm);
            let inputs = model.inputs(&data, dtype, &Device::Cpu).unwrap().remove(0);
            let logits = program.evaluate(&program.at(&theta, &cast(&buffers)).unwrap(), &[&inputs]);
            assert_close(&name("logits"), &logits.unwrap(), expected("logits"), tolerance);

            let options = NetworkOptions { dtype, batch_norm, ..NetworkOptions::default() };
            let network = Network::new(&model, &buffers, loss.clone(), &data, options).unwrap();
            let mean = Tensor::new(network.evaluate(&theta).unwrap().loss, &Device::Cpu).unwrap();
            assert_close(&name("loss"), &mean, expected("loss"), tolerance);
            let each = Tensor::new(network.sample_losses(&theta).unwrap(), &Device::Cpu).unwrap();
            assert_close(&name("mean of samples"), &each.mean_all().unwrap(), expected("loss"), tolerance);

            let at = network.linearize(&theta).unwrap();
            for (what, found) in [
                ("gradient", at.gradient()),
                ("hessian", at.hessian(&v)),
                ("gauss_newton", at.gauss_newton(&v)),
                ("empirical_fisher", at.empirical_fisher(&v)),
            ] {
                let found = outline(model.parameters(), &found.unwrap(), &projections);
                assert_outlines_close(&name(what), model.parameters(), &found, expected(what), tolerance);
            }
        }
    }
}

#[test]
fn models_agree_with_pytorch() {
    agree_with_pytorch("models.safetensors");
}

#[test]
fn the_zoo_agrees_with_pytorch() {
    agree_with_pytorch("zoo.safetensors");
}

#[derive(Deserialize)]
struct Layouts {
    layouts: Vec<NamedLayout>,
}

#[derive(Deserialize)]
struct NamedLayout {
    model: String,
    shape: Vec<usize>,
    outputs: usize,
    parameters: NamesAndShapes,
}

#[test]
fn networks_of_full_size_have_pytorchs_parameters() {
    let layouts = Golden::read("zoo.safetensors").notes::<Layouts>().layouts;
    let counts: Vec<(String, usize)> = layouts
        .into_iter()
        .map(|NamedLayout { model: spec, shape, outputs: classes, parameters }| {
            let outputs = match shape.as_slice() {
                &[positions] => Outputs::EachPosition { positions, classes },
                _ => Outputs::Exactly(classes),
            };
            let model = Model::new(&spec.parse().unwrap(), &shape, outputs).unwrap();
            assert_eq!(names_and_shapes(model.parameters()), parameters, "{spec}");
            (spec, model.parameters().len())
        })
        .collect();
    // As torchvision counts them, and as the papers and their best known implementations do.
    for (spec, count) in [
        ("resnet18:imagenet", 11_689_512),
        ("resnet50:imagenet", 25_557_032),
        ("resnet101:imagenet", 44_549_160),
        ("resnet20", 269_722),
        ("resnet56", 853_018),
        ("vgg16:imagenet", 138_357_544),
        ("vgg16-bn:imagenet", 138_365_992),
        ("alexnet:imagenet", 61_100_840),
        ("wrn28-10", 36_479_194),
        ("vit:patch=16,width=768,depth=12,heads=12,mlp=3072", 86_567_656),
        ("gpt:vocabulary=50257,context=1024,width=768,depth=12,heads=12,bias=true", 124_439_808),
        ("hf-gpt2:vocabulary=50257,context=1024,width=768,depth=12,heads=12", 124_439_808),
    ] {
        assert!(counts.contains(&(spec.to_owned(), count)), "{spec}: {counts:?}");
    }
}

fn tokens_as_taken_by(model: &Model) -> Tensor {
    let labels = Targets::classes(Tensor::zeros((3, 6), DType::I64, &Device::Cpu).unwrap(), 7);
    let data = Dataset::from_tensors("tokens", tokens(0, 3, 6, 7), labels).unwrap();
    model.inputs(&data, DType::F64, &Device::Cpu).unwrap().remove(0)
}

#[test]
fn a_gpt_saved_by_pytorch_is_loaded() {
    let weights = Weights::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/gpt.safetensors")).unwrap();
    let spec = "gpt:vocabulary=7,context=6,width=8,depth=2,heads=2".parse().unwrap();
    let model = Model::new(&spec, &[6], Outputs::EachPosition { positions: 6, classes: 7 }).unwrap();
    assert!(!weights.tensors.contains_key("transformer.wte.weight"), "the file has the other name");
    let gathered = model.gather(&weights, DType::F64).unwrap();
    let program = model.program(BatchNorm::Stored);
    let point = program.at(&gathered.parameters, &gathered.buffers).unwrap();
    let logits = program.evaluate(&point, &[&tokens_as_taken_by(&model)]).unwrap();
    assert_close("logits", &logits, Golden::read("zoo.safetensors").tensor("gpt.logits"), TOLERANCES[0].1);
}

#[test]
fn hugging_faces_files_say_their_sizes() {
    for file in ["hf-gpt2.bin", "hf-gpt2-bare.safetensors"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens").join(file);
        let weights = Weights::read(path).unwrap();
        let spec = "hf-gpt2:heads=2".parse::<ModelSpec>().unwrap().sized(&weights);
        assert_eq!(spec.to_string(), "hf-gpt2:vocabulary=7,context=6,width=8,depth=2,heads=2");
        let model = Model::new(&spec, &[6], Outputs::EachPosition { positions: 6, classes: 7 }).unwrap();
        let gathered = model.gather(&weights, DType::F64).unwrap();
        let program = model.program(BatchNorm::Stored);
        let point = program.at(&gathered.parameters, &gathered.buffers).unwrap();
        let logits = program.evaluate(&point, &[&tokens_as_taken_by(&model)]).unwrap();
        let expected = Golden::read("zoo.safetensors");
        assert_close("logits", &logits, expected.tensor("hf-gpt2.logits"), TOLERANCES[0].1);
    }
    // Heads of 64 do not fill a width of 8, and no tensor says how many there are.
    let weights = Weights::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/hf-gpt2.bin")).unwrap();
    let spec = "hf-gpt2".parse::<ModelSpec>().unwrap().sized(&weights);
    let error = Model::new(&spec, &[6], Outputs::EachPosition { positions: 6, classes: 7 }).unwrap_err();
    assert!(error.hint().unwrap().contains("`hf-gpt2:heads=N`"), "{error:?}");
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
