//! Learning rates and batch sizes that move, and batches in parts.

use serde_json::Value;

use crate::automatic_learning_rate::STUDY;
use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, MODEL, field};

/// Two hundred samples by plain descent.
const TRAIN: [&str; 10] =
    ["train", "--model", MODEL, "--samples", "200", "--optimizer", "sgd", "--epochs", "3", "--json"];

fn trained(more: &[&str]) -> Value {
    Basin::new().done(&[&TRAIN[..], more, &["--out", "run"]].concat()).json()
}

/// A number of each epoch.
fn along(record: &Value, name: &str) -> Vec<f64> {
    let epochs = field(record, "result.epochs").as_array().unwrap();
    epochs.iter().map(|epoch| epoch[name].as_f64().unwrap()).collect()
}

#[test]
fn a_rate_is_scaled_warmed_up_and_decays() {
    let scaled = ["--batch-size", "100", "--learning-rate", "0.1", "--reference-batch-size", "25", "--scaling"];
    let record = trained(&[&scaled[..], &["linear", "--schedule", "poly:2"]].concat());
    // The last step of an epoch begins at its half.
    let expected = [2.5, 1.5, 0.5].map(|left: f64| 0.4 * (left / 3.0).powi(2));
    let found = along(&record, "learning_rate");
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    assert_eq!(field(&record, "result.settings.schedule.decay"), "poly:2");
    // A warm-up of half an epoch at 25 lasts two at 100.
    let record = trained(&[&scaled[..], &["legw", "--warmup", "0.5"]].concat());
    assert_eq!(along(&record, "learning_rate"), [0.1, 0.2, 0.2]);
}

#[test]
fn a_batch_grows_with_the_epochs_and_by_tests() {
    let record = trained(&["--batch-size", "50", "--batch-schedule", "grow:epochs=1,factor=2,rate=1,largest=100"]);
    assert_eq!(along(&record, "batch_size"), [50.0, 100.0, 100.0]);
    assert_eq!(along(&record, "learning_rate"), [0.1, 0.1, 0.05]);
    assert_eq!(along(&record, "step"), [4.0, 6.0, 8.0]);
    let test = "norm-test:eta=0.2,largest=100";
    let record = trained(&["--batch-size", "10", "--batch-schedule", test]);
    assert_eq!(field(&record, "result.settings.batch_schedule"), "norm-test:eta=0.2,interval=1,largest=100");
    assert!(along(&record, "batch_size")[0] > 10.0);
    assert_eq!(field(&record, "result.epochs.0.observed.batch_test_sample_gradients"), 200.0);
}

#[test]
fn batches_in_parts_do_not_depend_on_threads() {
    let basin = Basin::new();
    let ghosts = ["--model", "mlp:64-16-10:relu:bn", "--ghost-batch", "16", "--micro-batch", "20"];
    let tested = ["--model", MODEL, "--micro-batch", "7", "--batch-schedule", "augmented-test"];
    for (name, more) in [("ghosts", &ghosts[..]), ("tested", &tested)] {
        let weights = ["1", "2"].map(|threads| {
            let out = format!("{name}-{threads}");
            let short = ["train", "--samples", "200", "--epochs", "2", "--threads", threads, "--out", &out];
            basin.done(&[&short[..], more].concat());
            basin.read(&format!("{out}/checkpoints/last.safetensors"))
        });
        assert!(weights[0] == weights[1], "{name}");
    }
}

#[test]
fn a_study_scales_the_rate_of_each_batch_size() {
    let basin = Basin::new();
    let schedules = "batch_schedule = \"grow:epochs=2,rate=1,largest=200\"\nmicro_batch = 64\n\n\
        [training.schedule]\nscaling = \"sqrt\"\nreference_batch_size = 50\n\n[training.optimizer]";
    let study = STUDY.replace("[training.optimizer]", schedules).replace("\"auto\"", "0.1");
    basin.write("scaled.toml", study);
    let ended = basin.run(&["study", "scaled.toml", "--out", "study"]);
    // Eigenvalues need not converge.
    assert!(matches!(ended.code, 0 | 3), "{ended:?}");
    for (run, sizes, rates) in
        [("b50-s0", [50.0, 50.0, 100.0], [0.1, 0.1, 0.1]), ("b200-s0", [200.0; 3], [0.2, 0.2, 0.1])]
    {
        let record = basin.json(&format!("study/records/training-{run}.json"));
        assert_eq!(along(&record, "batch_size"), sizes);
        assert_eq!(along(&record, "learning_rate"), rates);
        assert_eq!(field(&record, "result.settings.micro_batch"), 64);
    }
    let page = basin.text("study/index.html");
    assert!(page.contains("scaling sqrt from batch size 50") && page.contains("grow:epochs=2,factor=2,rate=1"));
}

#[test]
fn nonsense_is_refused() {
    let normalised = "mlp:64-8-10:relu:bn";
    let basin = Basin::new();
    assert_all_refused(
        &basin,
        &[
            (&["train", "--schedule", "poly", "--out", "o"], &["poly", "`poly:2`"]),
            (&["train", "--schedule", "poly:-1", "--out", "o"], &["poly:-1", "positive power"]),
            (&["train", "--scaling", "lineal", "--out", "o"], &["`lineal`", "`linear`"]),
            (&["train", "--scaling", "linear", "--out", "o"], &["--reference-batch-size"]),
            (&["train", "--reference-batch-size", "256", "--out", "o"], &["256", "scaling"]),
            (&["train", "--scaling", "legw", "--reference-batch-size", "8", "--out", "o"], &["legw", "--warmup"]),
            (&["train", "--batch-schedule", "grew", "--out", "o"], &["`grew`", "`grow`"]),
            (&["train", "--batch-schedule", "grow:facto=2", "--out", "o"], &["`facto`", "`factor`"]),
            (&["train", "--batch-schedule", "grow:factor=0.5", "--out", "o"], &["`factor` is 0.5", "above 1"]),
            (&["train", "--batch-schedule", "first:batch-size=2000", "--out", "o"], &["2000", "1437 samples"]),
            (&["train", "--batch-schedule", "norm-test:largest=8", "--out", "o"], &["start with 64", "largest"]),
            (&["train", "--micro-batch", "0", "--out", "o"], &["micro-batch is 0"]),
            (&["train", "--ghost-batch", "8", "--out", "o"], &["no batch norm", "--micro-batch"]),
            (&["train", "--model", normalised, "--micro-batch", "8", "--out", "o"], &["batch norm", "--ghost-batch"]),
        ],
    );
    for (text, expected) in [
        ("[training]\nbatch_schedule = \"norm\"", &["norm"][..]),
        ("[training]\nmicro_batch = 0", &["micro-batch is 0"]),
        ("[training.schedule]\nscaling = \"double\"", &["double", "linear"]),
        ("[training.schedule]\nscaling = \"linear\"", &["batch size for which the rate is given"]),
    ] {
        basin.write("study.toml", text);
        assert_all_refused(&basin, &[(&["study", "study.toml", "--out", "o"], expected)]);
    }
}
