//! Every optimizer from the command line and from a study file.

use crate::basin::{Basin, field};

/// All names, as `basin train --help` lists them.
const NAMES: [&str; 16] = [
    "sgd",
    "adam",
    "adamw",
    "rmsprop",
    "adagrad",
    "adagrad-norm",
    "lars",
    "lamb",
    "percentdelta",
    "mclr",
    "sam",
    "asam",
    "smoothout",
    "proximal",
    "cblr",
    "lbfgs",
];

const SHORT: [&str; 8] = ["train", "--samples", "100", "--batch-size", "100", "--epochs", "2", "--json"];

#[test]
fn each_is_recorded_by_name_and_does_not_depend_on_threads() {
    let basin = Basin::new();
    for name in NAMES {
        let run = |threads: &str| {
            let out = format!("{name}-{threads}");
            let typed = ["--optimizer", name, "--out", &out, "--threads", threads];
            let record = basin.done(&[&SHORT[..], &typed].concat()).json();
            (record, basin.read(&format!("{out}/checkpoints/last.safetensors")))
        };
        let (record, weights) = run("1");
        assert_eq!(field(&record, "result.settings.optimizer_settings.name"), name);
        assert!(run("2").1 == weights, "{name}: the weights depend on the number of threads");
    }
}

#[test]
fn settings_go_to_the_optimizer_or_to_its_base() {
    let basin = Basin::new();
    let settings = |out: &str, typed: &[&str]| {
        let record = basin.done(&[&SHORT[..], &["--out", out], typed].concat()).json();
        field(&record, "result.settings.optimizer_settings").clone()
    };
    let sam = ["--optimizer", "sam", "--base", "lamb", "--rho", "0.1", "--beta1", "0.8", "--learning-rate", "0.01"];
    let sam = settings("sam", &sam);
    assert_eq!((&sam["rho"], &sam["base"]["name"]), (&0.1.into(), &"lamb".into()));
    assert_eq!((&sam["base"]["beta1"], &sam["base"]["learning_rate"]), (&0.8.into(), &0.01.into()));
    let larc = settings("larc", &["--optimizer", "lars", "--clip", "--trust", "0.02", "--momentum", "0.5"]);
    assert_eq!((&larc["clip"], &larc["trust"], &larc["momentum"]), (&true.into(), &0.02.into(), &0.5.into()));
    let cblr = settings("cblr", &["--optimizer", "cblr", "--probes", "2"]);
    assert_eq!(cblr["probes"], 2);
}

#[test]
fn settings_that_an_optimizer_does_not_have_are_refused() {
    let basin = Basin::new();
    for (typed, expected) in [
        (
            &["--optimizer", "mclr", "--momentum", "0.9"][..],
            &["mclr has no momentum", "--optimizer sgd|rmsprop|lars"][..],
        ),
        (&["--trust", "0.1"], &["adam has no trust", "--optimizer lars"]),
        (&["--optimizer", "lars", "--base", "sgd"], &["lars has no base", "sam|asam|smoothout|proximal"]),
        (&["--optimizer", "sam", "--base", "cblr"], &["cblr", "more than a gradient"]),
        (&["--optimizer", "sam", "--learning-rate", "auto"], &["automatic learning rate", "--optimizer sgd"]),
        (&["--optimizer", "sam", "--rho", "0"], &["rho is 0"]),
        (&["--optimizer", "smoothout", "--noise", "nan"], &["noise is NaN"]),
        (&["--optimizer", "proximal", "--inner", "0"], &["0 inner steps"]),
        (&["--optimizer", "proximal", "--penalty", "-1"], &["penalty is -1"]),
        (&["--optimizer", "cblr", "--probes", "0"], &["0 probes"]),
        (&["--optimizer", "lbfgs", "--batch-size", "64"], &["needs all samples", "1437"]),
        (&["--optimizer", "lars", "--trust", "-1"], &["trust coefficient is -1"]),
    ] {
        basin.run(&[&["train", "--out", "o"], typed].concat()).assert_refused(expected);
        assert!(!basin.path("o").exists(), "{typed:?} left a directory behind");
    }
}

const STUDY: &str = r#"
batch_sizes = [50, 200]
seeds = 1

[training]
model = "mlp:64-16-10:relu"
samples = 200
epochs = 2

[training.optimizer]
name = "asam"
rho = 0.3
eta = 0.02

[training.optimizer.base]
name = "rmsprop"
learning_rate = 0.001
alpha = 0.9

[keskar]
epsilon = [1e-3]
dimension = 5
draws = 2
iterations = 4

[line]
points = 5
"#;

#[test]
fn a_study_says_which_one_trained_it() {
    let basin = Basin::new();
    basin.write("study.toml", STUDY);
    let ended = basin.run(&["study", "study.toml", "--out", "study"]);
    // Eigenvalues need not converge.
    assert!(matches!(ended.code, 0 | 3) && ended.stdout == "study/index.html\n", "{ended:?}");
    let study = basin.json("study/study.json");
    let held_equal = field(&study, "result.held_equal").as_array().expect("a list");
    let optimizer = held_equal.iter().find(|setting| setting["name"] == "optimizer").expect("the optimizer");
    let told = optimizer["value"].as_str().expect("text");
    assert!(told.starts_with("asam, ") && told.contains("on rmsprop, ") && told.contains("eta 0.02"), "{told}");
}
