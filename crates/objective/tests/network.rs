//! The products of every model of the zoo, against differences, dense matrices and each other.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Split, Targets};
use basin_objective::models::{BatchNorm, Model};
use basin_objective::random;
use basin_objective::{DrawnLabels, LossSpec, Network, NetworkOptions, Objective, Outputs};
use candle_core::{DType, Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

/// Relative error allowed to central differences of a gradient: truncation h² and rounding ε/h are both below it.
const DIFFERENCE_TOLERANCE: f64 = 1e-7;
/// Relative error allowed where two ways to the same number differ by rounding alone.
const ROUNDING_TOLERANCE: f64 = 1e-12;

fn normal(len: usize, name: &str) -> Tensor {
    let mut rng = random::stream(0, "test", name);
    let elements: Vec<f64> = (0..len).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::new(elements, &Device::Cpu).unwrap()
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let difference = (a - b).unwrap();
    (dot(&difference, &difference) / dot(b, b).max(f64::MIN_POSITIVE)).sqrt()
}

fn dataset(samples: usize, shape: &[usize], classes: usize) -> Dataset {
    let count = samples * shape.iter().product::<usize>();
    let inputs = normal(count, "inputs").reshape([&[samples], shape].concat()).unwrap();
    let labels: Vec<i64> = (0..samples).map(|i| (i * 7 % classes) as i64).collect();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    Dataset::from_tensors("test", inputs, Targets::classes(labels, classes)).unwrap()
}

struct Case {
    model: Model,
    data: Dataset,
    theta: Tensor,
    buffers: Tensor,
}

impl Case {
    fn new(spec: &str, samples: usize, shape: &[usize], classes: usize) -> Self {
        Self::on(spec, dataset(samples, shape, classes), classes)
    }

    /// A GPT on sequences of 5 tokens out of 7.
    fn gpt(samples: usize) -> Self {
        let data = format!("synthetic:tokens:samples={samples},length=5,vocabulary=7");
        let data = Dataset::load(&data.parse().unwrap(), Split::Train).unwrap();
        Self::on("gpt:context=6,width=6,depth=2,heads=3", data, Outputs::EachPosition { positions: 5, classes: 7 })
    }

    fn on(spec: &str, data: Dataset, outputs: impl Into<Outputs>) -> Self {
        let model = Model::new(&spec.parse().unwrap(), data.sample_shape(), outputs).unwrap();
        let theta = model.initial_parameters(1, DType::F64).unwrap();
        // Running statistics that are not the initial ones: mean ≠ 0, variance ≠ 1, yet positive.
        let buffers = model.initial_buffers(DType::F64).unwrap();
        let buffers = (buffers + (normal(model.buffers().len(), "buffers").sqr().unwrap() * 0.1).unwrap()).unwrap();
        Self { model, data, theta, buffers }
    }

    fn network(&self, loss: LossSpec, options: NetworkOptions) -> Network<'_> {
        Network::new(&self.model, &self.buffers, loss, &self.data, options).unwrap()
    }
}

fn f64_options() -> NetworkOptions {
    NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() }
}

fn zoo() -> Vec<Case> {
    vec![
        Case::new("mlp:5-4-3:tanh", 7, &[5], 3),
        Case::new("mlp:6-5-4-3:gelu:bn", 5, &[2, 3], 3),
        Case::new("mlp:5-6-3:silu", 4, &[5], 3),
        Case::new("mlp:5-6-3:softplus:bn", 4, &[5], 3),
        Case::new("f1", 4, &[6], 3),
        Case::new("f2", 3, &[4], 3),
        Case::new("c1", 3, &[2, 9, 8], 3),
        Case::new("c2", 2, &[1, 32, 32], 2),
        Case::new("resnet20", 2, &[1, 8, 8], 3),
        Case::new("wrn10-1", 2, &[2, 6, 6], 3),
        Case::new("vit:patch=2,width=6,depth=2,heads=2", 3, &[2, 4, 4], 3),
        Case::gpt(4),
    ]
}

#[test]
fn gradients_and_hessian_products_agree_with_differences() {
    for case in zoo() {
        let network = case.network(LossSpec::cross_entropy(), f64_options());
        let v = normal(network.dimension(), "v");
        let v = (&v / dot(&v, &v).sqrt()).unwrap();
        // Small enough that no relu and no maximum changes sides, large enough for the rounding of 14 million weights.
        let h = 1e-5;
        let moved = |t: f64| (&case.theta + (&v * t).unwrap()).unwrap();
        let ((loss_forth, forth), (loss_back, back)) =
            (network.gradient(&moved(h)).unwrap(), network.gradient(&moved(-h)).unwrap());
        let (_, gradient) = network.gradient(&case.theta).unwrap();
        let slope = (loss_forth - loss_back) / (2.0 * h);
        let error = (slope - dot(&gradient, &v)).abs() / (1e-3 + slope.abs());
        assert!(error < 1e-6, "{}: slope {error:e}", case.model.name());

        let product = network.linearize(&case.theta).unwrap().hessian(&v).unwrap();
        let difference = ((forth - back).unwrap() / (2.0 * h)).unwrap();
        let error = distance(&product, &difference);
        assert!(error < DIFFERENCE_TOLERANCE, "{}: Hv {error:e}", case.model.name());
    }
}

#[test]
fn products_are_symmetric() {
    for case in zoo() {
        let network = case.network(LossSpec::cross_entropy(), f64_options());
        let at = network.linearize(&case.theta).unwrap();
        let (u, v) = (normal(network.dimension(), "u"), normal(network.dimension(), "v"));
        for (name, left, right) in [
            ("H", at.hessian(&v).unwrap(), at.hessian(&u).unwrap()),
            ("G", at.gauss_newton(&v).unwrap(), at.gauss_newton(&u).unwrap()),
            ("F", at.empirical_fisher(&v).unwrap(), at.empirical_fisher(&u).unwrap()),
        ] {
            let (left, right) = (dot(&u, &left), dot(&v, &right));
            let scale = left.abs().max(dot(&u, &u));
            assert!((left - right).abs() / scale < ROUNDING_TOLERANCE, "{} {name}: {left} {right}", case.model.name());
        }
    }
}

#[test]
fn gauss_newton_is_the_hessian_of_a_linear_model() {
    for loss in [LossSpec::cross_entropy(), LossSpec::SquaredError, LossSpec::BinaryCrossEntropy] {
        let case = Case::new("mlp:5-3", 6, &[5], 3);
        let network = case.network(loss.clone(), f64_options());
        let at = network.linearize(&case.theta).unwrap();
        let v = normal(network.dimension(), "v");
        let error = distance(&at.gauss_newton(&v).unwrap(), &at.hessian(&v).unwrap());
        assert!(error < ROUNDING_TOLERANCE, "{loss}: {error:e}");
    }
}

#[test]
fn empirical_fisher_is_the_second_moment_of_sample_gradients() {
    let case = Case::new("mlp:5-4-3:tanh", 6, &[5], 3);
    let network = case.network(LossSpec::cross_entropy(), f64_options());
    let v = normal(network.dimension(), "v");
    let mut expected = v.zeros_like().unwrap();
    for i in 0..6 {
        let single = Case { data: case.data.select(&[i]).unwrap(), ..Case::new("mlp:5-4-3:tanh", 6, &[5], 3) };
        let gradient = single.network(LossSpec::cross_entropy(), f64_options()).gradient(&case.theta).unwrap().1;
        expected = (expected + (&gradient * (dot(&gradient, &v) / 6.0)).unwrap()).unwrap();
    }
    let product = network.linearize(&case.theta).unwrap().empirical_fisher(&v).unwrap();
    assert!(distance(&product, &expected) < ROUNDING_TOLERANCE);
}

/// A sample's loss is the mean of its tokens', as PyTorch's mean over all tokens is that of the samples.
#[test]
fn the_empirical_fisher_of_sequences_counts_sequences() {
    let case = Case::gpt(4);
    let network = case.network(LossSpec::cross_entropy(), f64_options());
    let v = normal(network.dimension(), "v");
    let (mut fisher, mut losses) = (v.zeros_like().unwrap(), Vec::new());
    for i in 0..4 {
        let single = Case { data: case.data.select(&[i]).unwrap(), ..Case::gpt(4) };
        let (loss, gradient) = single.network(LossSpec::cross_entropy(), f64_options()).gradient(&case.theta).unwrap();
        fisher = (fisher + (&gradient * (dot(&gradient, &v) / 4.0)).unwrap()).unwrap();
        losses.push(loss);
    }
    let product = network.linearize(&case.theta).unwrap().empirical_fisher(&v).unwrap();
    assert!(distance(&product, &fisher) < ROUNDING_TOLERANCE);
    let found = network.sample_losses(&case.theta).unwrap();
    assert!(found.iter().zip(&losses).all(|(a, b)| (a - b).abs() < ROUNDING_TOLERANCE), "{found:?} {losses:?}");
}

#[test]
fn the_fisher_of_many_drawn_labels_is_near_the_gauss_newton_matrix() {
    for (case, loss) in [
        (Case::new("mlp:5-4-3:tanh", 6, &[5], 3), LossSpec::cross_entropy()),
        (Case::new("mlp:5-4-3:tanh", 6, &[5], 3), LossSpec::SquaredError),
        (Case::gpt(4), LossSpec::cross_entropy()),
    ] {
        let network = case.network(loss, f64_options());
        let v = normal(network.dimension(), "v");
        let at = network.linearize(&case.theta).unwrap();
        let ggn = at.gauss_newton(&v).unwrap();
        let error = |draws| distance(&at.fisher(&v, DrawnLabels { seed: 1, draws }).unwrap(), &ggn);
        // The error falls with 1/√draws, and is a few units at one draw.
        assert!(error(4000) < 0.1, "{}", error(4000));
        assert!(error(1) > 0.1, "one draw is another matrix: {}", error(1));
    }
}

#[test]
fn several_vectors_at_once_have_the_products_of_each() {
    for (case, memory) in [
        (Case::new("mlp:5-4-3:tanh:bn", 7, &[5], 3), None),
        (Case::new("c1", 5, &[1, 8, 8], 3), Some(0)),
        (Case::gpt(5), Some(1 << 16)),
    ] {
        let options = NetworkOptions { micro_batch: Some(2), memory, ..f64_options() };
        let network = case.network(LossSpec::cross_entropy(), options);
        let at = network.linearize(&case.theta).unwrap();
        let p = network.dimension();
        let labels = DrawnLabels { seed: 3, draws: 2 };
        for count in [1, 3] {
            let rows = normal(count * p, "rows").reshape((count, p)).unwrap();
            let all = [
                at.hessian(&rows).unwrap(),
                at.gauss_newton(&rows).unwrap(),
                at.fisher(&rows, labels).unwrap(),
                at.empirical_fisher(&rows).unwrap(),
            ];
            for k in 0..count {
                let v = rows.get(k).unwrap();
                let each = [
                    at.hessian(&v).unwrap(),
                    at.gauss_newton(&v).unwrap(),
                    at.fisher(&v, labels).unwrap(),
                    at.empirical_fisher(&v).unwrap(),
                ];
                for (all, each) in all.iter().zip(&each) {
                    assert_eq!(all.dims(), [count, p]);
                    assert!(distance(&all.get(k).unwrap(), each) < ROUNDING_TOLERANCE);
                }
            }
        }
    }
}

#[test]
fn the_scale_of_normalized_outputs_does_not_matter() {
    for case in [Case::new("mlp:5-4-3:tanh:bn", 7, &[5], 3), Case::gpt(4)] {
        let plain = case.network(LossSpec::cross_entropy(), f64_options()).evaluate(&case.theta).unwrap().loss;
        let case = Case { model: case.model.with_normalized_outputs().unwrap(), ..case };
        let network = case.network(LossSpec::cross_entropy(), f64_options());
        let loss = |theta: &Tensor| network.evaluate(theta).unwrap().loss;
        assert!((loss(&case.theta) - plain).abs() > 1e-3, "it is another loss");
        // A GPT's outputs are no layer of their own: its embedding is tied.
        if case.model.positions().is_none() {
            let last: Vec<f64> = case
                .model
                .parameters()
                .entries()
                .iter()
                .flat_map(|entry| vec![if entry.name.starts_with("fc2") { 3.0 } else { 1.0 }; entry.len()])
                .collect();
            let scaled = (&case.theta * Tensor::new(last, &Device::Cpu).unwrap()).unwrap();
            assert!((loss(&scaled) - loss(&case.theta)).abs() < ROUNDING_TOLERANCE);
        }
        // Of unit length: small outputs bend within a step along a longer one.
        let v = normal(network.dimension(), "v");
        let v = (&v / dot(&v, &v).sqrt()).unwrap();
        let moved = |t: f64| network.gradient(&(&case.theta + (&v * t).unwrap()).unwrap()).unwrap().1;
        let difference = ((moved(1e-5) - moved(-1e-5)).unwrap() / 2e-5).unwrap();
        let product = network.linearize(&case.theta).unwrap().hessian(&v).unwrap();
        assert!(distance(&product, &difference) < DIFFERENCE_TOLERANCE);
    }
}

#[test]
fn a_last_layer_is_given_where_its_samples_count_alike() {
    let case = Case::new("mlp:5-4-3:tanh", 7, &[5], 3);
    let network = case.network(LossSpec::cross_entropy(), NetworkOptions { micro_batch: Some(2), ..f64_options() });
    let last = network.last_layer(&case.theta).unwrap().unwrap();
    assert_eq!(
        (last.name.as_str(), last.features.dims(), last.weights.dims()),
        ("fc2.weight", &[7, 4][..], &[3, 4][..])
    );
    let bias = case.theta.narrow(0, case.theta.elem_count() - 3, 3).unwrap();
    let logits = last.features.matmul(&last.weights.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
    let difference = (&logits - &last.logits).unwrap().flatten_all().unwrap();
    assert!(dot(&difference, &difference).sqrt() < ROUNDING_TOLERANCE);
    let gpt = Case::gpt(4);
    assert!(gpt.network(LossSpec::cross_entropy(), f64_options()).last_layer(&gpt.theta).unwrap().is_none());
}

#[test]
fn whole_hessian_agrees_with_dense_differences() {
    let case = Case::new("mlp:3-4-2:sigmoid", 5, &[3], 2);
    let network = case.network(LossSpec::cross_entropy(), f64_options());
    let (p, h) = (network.dimension(), 1e-5);
    let at = network.linearize(&case.theta).unwrap();
    for j in 0..p {
        let unit: Vec<f64> = (0..p).map(|i| f64::from(u8::from(i == j))).collect();
        let unit = Tensor::new(unit, &Device::Cpu).unwrap();
        let gradient = |t: f64| network.gradient(&(&case.theta + (&unit * t).unwrap()).unwrap()).unwrap().1;
        let column = ((gradient(h) - gradient(-h)).unwrap() / (2.0 * h)).unwrap();
        let error = distance(&at.hessian(&unit).unwrap(), &column);
        assert!(error < DIFFERENCE_TOLERANCE, "column {j}: {error:e}");
    }
}

#[test]
fn no_figure_depends_on_the_micro_batch_or_on_the_memory_budget() {
    for case in [Case::new("mlp:5-4-3:tanh:bn", 7, &[5], 3), Case::new("c1", 5, &[1, 8, 8], 3), Case::gpt(5)] {
        let v = normal(case.theta.elem_count(), "v");
        let figures = |micro_batch, memory| {
            let options = NetworkOptions { micro_batch, memory, ..f64_options() };
            let network = case.network(LossSpec::cross_entropy(), options);
            let evaluation = network.evaluate(&case.theta).unwrap();
            let (loss, gradient) = network.gradient(&case.theta).unwrap();
            let at = network.linearize(&case.theta).unwrap();
            let labels = DrawnLabels { seed: 3, draws: 2 };
            let products = [
                at.hessian(&v).unwrap(),
                at.gauss_newton(&v).unwrap(),
                at.fisher(&v, labels).unwrap(),
                at.empirical_fisher(&v).unwrap(),
            ];
            (evaluation, loss, gradient, products, network.sample_losses(&case.theta).unwrap())
        };
        let whole = figures(Some(7), None);
        for (micro_batch, memory) in [(Some(1), None), (Some(2), Some(0)), (Some(3), Some(1 << 16)), (None, None)] {
            let parts = figures(micro_batch, memory);
            assert!((parts.0.loss - whole.0.loss).abs() < ROUNDING_TOLERANCE);
            assert_eq!(parts.0.accuracy, whole.0.accuracy);
            assert!((parts.1 - whole.1).abs() < ROUNDING_TOLERANCE);
            assert!(distance(&parts.2, &whole.2) < ROUNDING_TOLERANCE);
            for (part, whole) in parts.3.iter().zip(&whole.3) {
                assert!(distance(part, whole) < ROUNDING_TOLERANCE, "micro-batch {micro_batch:?}");
            }
            let close = parts.4.iter().zip(&whole.4).all(|(a, b)| (a - b).abs() < ROUNDING_TOLERANCE);
            assert!(close && parts.4.len() == case.data.samples());
        }
    }
}

#[test]
fn ignored_targets_have_no_weight_in_any_micro_batch() {
    let model = Model::new(&"mlp:5-4-3:tanh".parse().unwrap(), &[5], 3).unwrap();
    let inputs = normal(35, "inputs").reshape((7, 5)).unwrap();
    let labels = Tensor::new(&[0_i64, -100, 2, 1, -100, -100, 0], &Device::Cpu).unwrap();
    let data = Dataset::from_tensors("test", inputs, Targets::classes(labels, 3)).unwrap();
    let theta = model.initial_parameters(1, DType::F64).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let loss = |data: &Dataset, micro_batch| {
        let options = NetworkOptions { micro_batch, ..f64_options() };
        let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), data, options).unwrap();
        (network.evaluate(&theta).unwrap(), network.gradient(&theta).unwrap().1)
    };
    let expected = loss(&data.select(&[0, 2, 3, 6]).unwrap(), None);
    for micro_batch in [None, Some(1), Some(2), Some(5)] {
        let found = loss(&data, micro_batch);
        assert!((found.0.loss - expected.0.loss).abs() < ROUNDING_TOLERANCE);
        assert_eq!(found.0.accuracy, expected.0.accuracy);
        assert!(distance(&found.1, &expected.1) < ROUNDING_TOLERANCE);
    }
}

#[test]
fn batch_statistics_forbid_splitting() {
    let case = Case::new("mlp:5-4-3:tanh:bn", 7, &[5], 3);
    let options = |micro_batch| NetworkOptions { micro_batch, batch_norm: BatchNorm::Batch, ..f64_options() };
    let build = |micro_batch| {
        Network::new(&case.model, &case.buffers, LossSpec::cross_entropy(), &case.data, options(micro_batch))
    };
    let error = build(Some(3)).unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("depends on the 6 others"), "{error}");
    let network = build(None).unwrap();
    let v = normal(network.dimension(), "v");
    let moved = |t: f64| network.gradient(&(&case.theta + (&v * t).unwrap()).unwrap()).unwrap().1;
    let difference = ((moved(1e-5) - moved(-1e-5)).unwrap() / 2e-5).unwrap();
    let product = network.linearize(&case.theta).unwrap().hessian(&v).unwrap();
    assert!(distance(&product, &difference) < DIFFERENCE_TOLERANCE);
}

#[test]
fn the_same_bits_on_one_and_two_threads() {
    for (spec, shape) in [("mlp:64-128-64-10:relu", &[64][..]), ("c1", &[3, 16, 16])] {
        let case = Case::new(spec, 40, shape, 10);
        let theta = case.theta.to_dtype(DType::F32).unwrap();
        let v = normal(theta.elem_count(), "v").to_dtype(DType::F32).unwrap();
        let bits = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let network = case.network(LossSpec::cross_entropy(), NetworkOptions::default());
                let at = network.linearize(&theta).unwrap();
                let vectors = [at.gradient().unwrap(), at.hessian(&v).unwrap(), at.gauss_newton(&v).unwrap()];
                vectors.map(|vector| vector.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>())
            })
        };
        assert_eq!(bits(1), bits(2), "{spec}");
    }
}

#[test]
fn a_candle_model_handed_over_has_candles_gradient() {
    use candle_core::Module;

    let data = dataset(6, &[5], 3);
    let variables = candle_nn::VarMap::new();
    let builder = candle_nn::VarBuilder::from_varmap(&variables, DType::F64, &Device::Cpu);
    let fc1 = candle_nn::linear(5, 4, builder.pp("fc1")).unwrap();
    let fc2 = candle_nn::linear(4, 3, builder.pp("fc2")).unwrap();
    let output = fc2.forward(&fc1.forward(&data.inputs.tensor().unwrap()).unwrap().tanh().unwrap()).unwrap();
    let Targets::Classes { labels, .. } = &data.targets else { unreachable!() };
    let loss = candle_nn::loss::cross_entropy(&output, &labels.tensor().unwrap()).unwrap();
    let gradients = loss.backward().unwrap();

    let model = Model::new(&"mlp:5-4-3:tanh".parse().unwrap(), &[5], 3).unwrap();
    let gathered =
        model.gather(&basin_objective::weights::Weights::from_var_map(&variables).unwrap(), DType::F64).unwrap();
    let network = Network::new(&model, &gathered.buffers, LossSpec::cross_entropy(), &data, f64_options()).unwrap();
    let (value, gradient) = network.gradient(&gathered.parameters).unwrap();
    assert!((value - loss.to_scalar::<f64>().unwrap()).abs() < ROUNDING_TOLERANCE);
    let variables = variables.data().lock().unwrap();
    let theirs: Vec<Tensor> = model
        .parameters()
        .entries()
        .iter()
        .map(|entry| gradients.get(&variables[&entry.name]).unwrap().flatten_all().unwrap())
        .collect();
    assert!(distance(&gradient, &Tensor::cat(&theirs, 0).unwrap()) < ROUNDING_TOLERANCE);
}

/// Pre-activations of the first layer, (N, hidden).
fn first_layer(case: &Case, theta: &Tensor) -> Vec<Vec<f64>> {
    let views = case.model.parameters().views(theta).unwrap();
    let layer =
        case.data.inputs.tensor().unwrap().matmul(&views[0].t().unwrap()).unwrap().broadcast_add(&views[1]).unwrap();
    layer.to_vec2().unwrap()
}

#[test]
fn recomputed_statistics_are_means_of_the_moments_of_batches_of_256() {
    let case = Case::new("mlp:5-4-3:tanh:bn", 600, &[5], 3);
    let network = case.network(LossSpec::cross_entropy(), NetworkOptions { micro_batch: Some(7), ..f64_options() });
    // Far outside of where the stored statistics were taken.
    let theta = (&case.theta * -3.0).unwrap();
    let rows = first_layer(&case, &theta);
    let (mut means, mut variances) = (vec![0.0; 4], vec![0.0; 4]);
    for batch in rows.chunks(256) {
        let n = batch.len() as f64;
        for j in 0..4 {
            let mean = batch.iter().map(|row| row[j]).sum::<f64>() / n;
            let variance = batch.iter().map(|row| (row[j] - mean).powi(2)).sum::<f64>() / (n - 1.0);
            means[j] += mean * n / 600.0;
            variances[j] += variance * n / 600.0;
        }
    }
    let found = network.recomputed_statistics(&theta).unwrap();
    let views = case.model.buffers().views(&found).unwrap();
    for (entry, view) in case.model.buffers().entries().iter().zip(views) {
        let expected = match entry.name.as_str() {
            "bn1.running_mean" => &means,
            "bn1.running_var" => &variances,
            other => unreachable!("{other}"),
        };
        let expected = Tensor::new(expected.as_slice(), &Device::Cpu).unwrap();
        assert!(distance(&view, &expected) < ROUNDING_TOLERANCE, "{}", entry.name);
    }
    assert!(variances.iter().all(|&variance| variance > 0.0));
    let whole = case.network(LossSpec::cross_entropy(), f64_options()).recomputed_statistics(&theta).unwrap();
    assert_eq!(whole.to_vec1::<f64>().unwrap(), found.to_vec1::<f64>().unwrap());
}

#[test]
fn recomputed_variances_stay_positive_at_an_extrapolated_point() {
    let case = Case::new("mlp:6-5-4-3:relu:bn", 40, &[6], 3);
    let other = case.model.initial_parameters(2, DType::F64).unwrap();
    // A point of the line through two minima, outside of them, where extrapolated variances may be negative.
    let theta = ((&case.theta * 2.5).unwrap() - (other * 1.5).unwrap()).unwrap();
    let mut network = case.network(LossSpec::cross_entropy(), f64_options());
    let statistics = network.recomputed_statistics(&theta).unwrap();
    for (entry, view) in case.model.buffers().entries().iter().zip(case.model.buffers().views(&statistics).unwrap()) {
        if entry.name.ends_with("running_var") {
            assert!(view.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().all(|&x| x > 0.0), "{}", entry.name);
        }
    }
    network.set_buffers(&statistics).unwrap();
    assert!(network.evaluate(&theta).unwrap().loss.is_finite());
}

#[test]
fn models_without_batch_norm_keep_their_buffers() {
    let case = Case::new("mlp:5-4-3:tanh", 7, &[5], 3);
    let network = case.network(LossSpec::cross_entropy(), f64_options());
    assert_eq!(network.recomputed_statistics(&case.theta).unwrap().dims(), case.buffers.dims());
}

#[test]
fn one_sample_has_no_variance_and_leaves_the_statistics() {
    let case = Case::new("mlp:5-4-3:tanh:bn", 1, &[5], 3);
    let network = case.network(LossSpec::cross_entropy(), f64_options());
    let found = network.recomputed_statistics(&case.theta).unwrap();
    assert_eq!(found.to_vec1::<f64>().unwrap(), case.buffers.to_vec1::<f64>().unwrap());
}

#[test]
fn where_the_loss_is_nan_the_accuracy_is_nan() {
    let case = Case::new("mlp:5-3", 6, &[5], 3);
    let network = case.network(LossSpec::cross_entropy(), f64_options());
    let evaluation = network.evaluate(&(&case.theta * f64::NAN).unwrap()).unwrap();
    assert!(evaluation.loss.is_nan() && evaluation.accuracy.unwrap().is_nan());
}

#[test]
fn the_kept_share_follows_the_memory_budget() {
    let case = Case::new("mlp:5-4-3:tanh", 7, &[5], 3);
    let kept_share = |memory| {
        let options = NetworkOptions { micro_batch: Some(2), memory: Some(memory), ..f64_options() };
        case.network(LossSpec::cross_entropy(), options).linearize(&case.theta).unwrap().kept_share()
    };
    assert_eq!((kept_share(0), kept_share(u64::MAX)), (0.0, 1.0));
    let shares: Vec<f64> = (0..16).map(|power| kept_share(1 << power)).collect();
    assert!(shares.is_sorted(), "{shares:?}");
    assert!(shares.iter().any(|share| (0.1..0.9).contains(share)), "{shares:?}");
}

/// A dataset whose labels are as given, over classes that may be more than a model's outputs.
fn labelled(labels: &[i64], shape: &[usize], classes: usize) -> Dataset {
    let inputs = normal(shape[0] * 5, "inputs").reshape((shape[0], 5)).unwrap();
    let labels = Tensor::from_vec(labels.to_vec(), shape, &Device::Cpu).unwrap();
    Dataset::from_tensors("test", inputs, Targets::classes(labels, classes)).unwrap()
}

fn refusal(data: &Dataset, loss: LossSpec) -> String {
    let model = Model::new(&"mlp:5-3".parse().unwrap(), &[5], 3).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let error = Network::new(&model, &buffers, loss, data, f64_options()).unwrap_err();
    assert!(error.is_bad_input() && error.hint().is_some(), "{error:?}");
    error.to_string()
}

#[test]
fn data_whose_labels_are_all_ignored_is_refused() {
    let data = labelled(&[-100, -100, 1], &[3], 3).take(2).unwrap();
    assert!(refusal(&data, LossSpec::cross_entropy()).contains("all 2 labels"));
}

#[test]
fn ignored_labels_need_cross_entropy() {
    let data = labelled(&[0, -100, 1], &[3], 3);
    for loss in [LossSpec::SquaredError, LossSpec::BinaryCrossEntropy] {
        assert!(refusal(&data, loss).contains("1 labels of `memory:test` are -100"));
    }
}

#[test]
fn classes_that_are_no_output_of_the_model_are_refused() {
    let data = labelled(&[0, -100, 3], &[3], 4);
    assert!(refusal(&data, LossSpec::cross_entropy()).contains("label 3 at position 2"));
    let mut negative = labelled(&[0, 1, 2], &[3], 3);
    negative.targets = Targets::classes(Tensor::new(&[0_i64, -1, 2], &Device::Cpu).unwrap(), 3);
    assert!(refusal(&negative, LossSpec::SquaredError).contains("label -1 at position 1"));
}

#[test]
fn one_class_per_position_is_refused_with_its_shape() {
    let data = labelled(&[0, 1, 2, 0], &[2, 2], 3);
    for loss in [LossSpec::cross_entropy(), LossSpec::SquaredError] {
        assert!(refusal(&data, loss).contains("have shape [2, 2]"));
    }
}

#[test]
fn targets_of_another_length_than_the_outputs_are_refused() {
    let targets = Targets::Real(normal(8, "targets").reshape((4, 2)).unwrap().into());
    let data = Dataset::from_tensors("test", normal(20, "inputs").reshape((4, 5)).unwrap(), targets).unwrap();
    assert!(refusal(&data, LossSpec::SquaredError).contains("holds 2 numbers, the model has 3 outputs"));
}
