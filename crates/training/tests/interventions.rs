//! What is done to the batches of a run.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Split, Targets};
use basin_objective::models::{Dropout, Model};
use basin_objective::weights::Weights;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective, SampledNetwork, SampledObjective, random};
use basin_tape::vector;
use basin_training::{
    Adversarial, Discard, LearningRate, OptimizerSettings, Run, SamSettings, Settings, SgdSettings, train,
};
use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom as _;

const RATE: f64 = 0.05;
/// Rounding of a few steps in f64.
const ROUNDING: f64 = 1e-10;

fn settings(model: &str, data: &str) -> Settings {
    let sgd = SgdSettings { learning_rate: LearningRate::Fixed(RATE), ..SgdSettings::default() };
    Settings {
        model: model.into(),
        data: data.into(),
        samples: Some(60),
        batch_size: 20,
        epochs: 2,
        optimizer: OptimizerSettings::Sgd(sgd),
        dtype: "f64".into(),
        ..Settings::default()
    }
}

/// A run and the bytes of its last checkpoint.
fn run(settings: &Settings) -> (Run, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let run = train(settings, directory.path(), &mut |_| Ok(())).unwrap();
    let bytes = std::fs::read(&run.checkpoint).unwrap();
    (run, bytes)
}

/// Three of ten are left out of each batch in the first epoch: plain descent on the others.
#[test]
fn steps_are_taken_on_the_samples_with_the_largest_losses() {
    let settings =
        Settings { discard: Discard { share: 0.3, epochs: Some(1) }, ..settings("mlp:64-4-10:tanh", "digits") };
    let data = Dataset::load(&settings.data.parse().unwrap(), Split::Train).unwrap().take(60).unwrap();
    let model = Model::new(&settings.model.parse().unwrap(), data.sample_shape(), 10).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network =
        SampledNetwork { model: &model, buffers: &buffers, loss: LossSpec::cross_entropy(), data: &data, options };
    let batches: &dyn SampledObjective = &network;
    let mut theta = model.initial_parameters(settings.seed, DType::F64).unwrap();
    for epoch in 0..2 {
        let mut order: Vec<usize> = (0..60).collect();
        order.shuffle(&mut random::stream(settings.seed, "shuffle", &epoch.to_string()));
        for batch in order.chunks(20) {
            let mut ranked: Vec<(f64, usize)> = batch
                .iter()
                .map(|&sample| (batches.with_batch(&[sample], |one| Ok(one.evaluate(&theta)?.loss)).unwrap(), sample))
                .collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
            let left_out = if epoch == 0 { 6 } else { 0 };
            let mut kept: Vec<usize> = ranked[left_out..].iter().map(|(_, sample)| *sample).collect();
            kept.sort_unstable();
            let gradient = batches.with_batch(&kept, |batch| Ok(batch.gradient(&theta)?.1)).unwrap();
            theta = (theta - (gradient * RATE).unwrap()).unwrap();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let found = model.gather(&Weights::read(&run.checkpoint).unwrap(), DType::F64).unwrap().parameters;
    let apart = (found - &theta).unwrap();
    assert!(vector::dot(&apart, &apart).unwrap().sqrt() < ROUNDING);
}

#[test]
fn images_are_changed_in_training_and_nowhere_else() {
    let data = "synthetic:images:samples=80,channels=2,size=6";
    let plain = settings("resnet20", data);
    let plain = Settings { samples: None, epochs: 1, ..plain };
    let augmented = Settings { augmentation: "flip,rotate:10,translate:0.2".parse().unwrap(), ..plain.clone() };
    let (plain, augmented) = (run(&plain).0, run(&augmented).0);
    assert_ne!(plain.history.epochs[0].train_loss, augmented.history.epochs[0].train_loss);
    assert_eq!(plain.fingerprint, augmented.fingerprint, "the data are the same");
}

/// A step of logistic regression on x + ε sign(Wᵀ(p − y)), written out.
#[test]
fn a_step_is_taken_on_samples_moved_along_the_sign_of_their_gradient() {
    let radius = 0.7;
    let settings = Settings {
        samples: Some(20),
        epochs: 1,
        adversarial: Adversarial { radius, steps: 1 },
        ..settings("mlp:64-10", "digits")
    };
    let data = Dataset::load(&settings.data.parse().unwrap(), Split::Train).unwrap().take(20).unwrap();
    let model = Model::new(&settings.model.parse().unwrap(), data.sample_shape(), 10).unwrap();
    let theta: Vec<f64> = model.initial_parameters(settings.seed, DType::F64).unwrap().to_vec1().unwrap();
    let inputs = model.inputs(&data, DType::F64, &Device::Cpu).unwrap()[0].to_vec2::<f64>().unwrap();
    let Targets::Classes { labels, .. } = &data.targets else { panic!("the digits have classes") };
    let labels = labels.tensor().unwrap().to_vec1::<i64>().unwrap();
    let (weights, biases) = theta.split_at(640);
    // p − y of a sample.
    let residual = |x: &[f64], label: i64| -> Vec<f64> {
        let logit = |k: usize| biases[k] + weights[64 * k..][..64].iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let exponentials: Vec<f64> = (0..10).map(|k| logit(k).exp()).collect();
        let total: f64 = exponentials.iter().sum();
        (0..10).map(|k| exponentials[k] / total - f64::from(k as i64 == label)).collect()
    };
    let mut expected = theta.clone();
    for (x, &label) in inputs.iter().zip(&labels) {
        let at_x = residual(x, label);
        let slope = |j: usize| (0..10).map(|k| weights[64 * k + j] * at_x[k]).sum::<f64>();
        let moved: Vec<f64> = (0..64).map(|j| x[j] + radius * slope(j).signum()).collect();
        for (k, residual) in residual(&moved, label).into_iter().enumerate() {
            (0..64).for_each(|j| expected[64 * k + j] -= RATE / 20.0 * residual * moved[j]);
            expected[640 + k] -= RATE / 20.0 * residual;
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let found = model.gather(&Weights::read(&run.checkpoint).unwrap(), DType::F64).unwrap().parameters;
    let apart = (found - Tensor::new(expected, &Device::Cpu).unwrap()).unwrap();
    assert!(vector::dot(&apart, &apart).unwrap().sqrt() < ROUNDING);
}

#[test]
fn what_is_dropped_in_training_stands_when_losses_are_measured() {
    let plain = settings("mlp:64-12-10:tanh:bn", "digits");
    let dropped = run(&Settings { dropout: Dropout::Rate(0.5), ..plain.clone() });
    assert_ne!(dropped.1, run(&plain).1);
    let data = Dataset::load(&plain.data.parse().unwrap(), Split::Train).unwrap().take(60).unwrap();
    let model = Model::new(&plain.model.parse().unwrap(), data.sample_shape(), 10).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("last.safetensors");
    std::fs::write(&file, dropped.1).unwrap();
    let gathered = model.gather(&Weights::read(&file).unwrap(), DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network = Network::new(&model, &gathered.buffers, LossSpec::cross_entropy(), &data, options).unwrap();
    let measured = network.evaluate(&gathered.parameters).unwrap().loss;
    assert_eq!(dropped.0.history.epochs[1].train_loss, measured);
}

#[test]
fn dropout_of_nothing_and_an_adversary_without_room_change_no_bit() {
    for model in ["mlp:64-12-10:relu", "mlp:64-12-10:tanh:bn"] {
        let plain = settings(model, "digits");
        let expected = run(&plain).1;
        let adversarial = Adversarial { radius: 0.0, steps: 5 };
        assert!(run(&Settings { adversarial, ..plain.clone() }).1 == expected, "{model}");
        assert!(run(&Settings { dropout: Dropout::Rate(0.0), ..plain }).1 == expected, "{model}");
    }
}

#[test]
fn an_adversary_of_tokens_is_refused() {
    let settings = Settings {
        adversarial: Adversarial { radius: 0.1, steps: 1 },
        ..settings("gpt:width=8,depth=1,heads=2", "synthetic:tokens:samples=60,length=6,vocabulary=5")
    };
    let directory = tempfile::tempdir().unwrap();
    let error = train(&settings, &directory.path().join("run"), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("are tokens"), "{error}");
    assert!(error.hint().unwrap().contains("`--adversarial`") && !directory.path().join("run").exists());
}

/// Runs that are stopped after every second step.
#[test]
fn a_run_with_interventions_goes_on_to_the_same_bits() {
    let images = "synthetic:images:samples=60,channels=1,size=6";
    let older = Settings {
        samples: None,
        augmentation: "flip,translate:0.2".parse().unwrap(),
        discard: Discard { share: 0.5, epochs: Some(1) },
        label_noise: 0.3,
        ..settings("resnet20", images)
    };
    let dropout = Settings { dropout: Dropout::Rate(0.5), ..settings("mlp:64-12-10:tanh:bn", "digits") };
    let adversarial =
        Settings { adversarial: Adversarial { radius: 0.1, steps: 2 }, ..settings("mlp:64-12-10:tanh:bn", "digits") };
    let all = Settings {
        model: "wrn10-1".into(),
        dropout: Dropout::Published,
        adversarial: Adversarial { radius: 0.05, steps: 1 },
        optimizer: OptimizerSettings::Sam(SamSettings::default()),
        ..older.clone()
    };
    for settings in [older, dropout, adversarial, all] {
        let expected = run(&settings).1;
        let directory = tempfile::tempdir().unwrap();
        let found = loop {
            let mut steps = 0;
            let stopped = train(&settings, directory.path(), &mut |_| {
                steps += 1;
                if steps == 2 { Err(basin_objective::Error::Interrupted) } else { Ok(()) }
            });
            if let Ok(run) = stopped {
                break std::fs::read(run.checkpoint).unwrap();
            }
        };
        assert!(found == expected, "{}", settings.model);
    }
}
