//! A learning rate and a momentum that training chooses itself.

use crate::basin::{Basin, field};

const AUTO: [&str; 8] = ["train", "--learning-rate", "auto", "--batch-size", "480", "--epochs", "3", "--json"];

#[test]
fn is_recorded_with_its_cost_and_does_not_depend_on_threads() {
    let basin = Basin::new();
    let run = |threads: &str| {
        let out = format!("threads-{threads}");
        let ended = basin.done(&[&AUTO[..], &["--out", &out, "--threads", threads]].concat());
        (ended.json(), basin.read(&format!("{out}/checkpoints/last.safetensors")))
    };
    let (record, weights) = run("1");
    assert!(run("2").1 == weights, "the weights depend on the number of threads");
    let settings = field(&record, "result.settings");
    assert_eq!(settings["optimizer_settings"]["learning_rate"], "auto");
    let first = &field(&record, "result.epochs")[0];
    let number = |name: &str| first["observed"][name].as_f64().unwrap();
    let (largest, momentum) = (number("ritz_largest"), number("momentum"));
    assert!(largest >= number("ritz_bulk") && number("ritz_bulk") > 0.0 && (0.0..=0.99).contains(&momentum));
    let learning_rate = first["learning_rate"].as_f64().unwrap();
    assert!(learning_rate > 0.0 && learning_rate < 2.0 * (1.0 + momentum) / largest, "{learning_rate}");
    assert!((number("controller_gradient_equivalents") - 40.0 / 3.0).abs() < 1e-9);
}

/// A study of two batch sizes that takes a moment.
pub(crate) const STUDY: &str = r#"
batch_sizes = [50, 200]
seeds = 1

[training]
model = "mlp:64-16-10:relu"
samples = 200
epochs = 3

[training.optimizer]
name = "sgd"
learning_rate = "auto"

[keskar]
epsilon = [1e-3]
dimension = 5
draws = 2
iterations = 4

[line]
points = 5
"#;

#[test]
fn is_chosen_anew_in_each_run_of_a_study_and_named_in_its_report() {
    let basin = Basin::new();
    basin.write("auto.toml", STUDY);
    let ended = basin.run(&["study", "auto.toml", "--out", "study"]);
    // Eigenvalues need not converge.
    assert!(matches!(ended.code, 0 | 3) && ended.stdout == "study/index.html\n", "{ended:?}");
    let rates = ["b50-s0", "b200-s0"].map(|run| {
        let record = basin.json(&format!("study/records/training-{run}.json"));
        assert_eq!(field(&record, "result.settings.learning_rate"), "NaN");
        assert_eq!(field(&record, "result.settings.optimizer_settings.learning_rate"), "auto");
        let epochs = field(&record, "result.epochs").as_array().unwrap();
        assert_eq!(epochs.len(), 3);
        assert!(epochs[2]["train_loss"].as_f64().unwrap() < epochs[0]["train_loss"].as_f64().unwrap());
        epochs[2]["learning_rate"].as_f64().unwrap()
    });
    assert!(rates[0] > 0.0 && rates[1] > 0.0 && rates[0] != rates[1], "{rates:?}");
    let page = basin.text("study/index.html");
    assert!(page.contains("sgd, learning rate and momentum auto, weight decay 0") && !page.contains("NaN"));
    basin.done(&["report", "study"]);
    assert_eq!(basin.text("study/index.html"), page);
}
