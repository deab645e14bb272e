//! The measures of a trained checkpoint, as a table and as JSON.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use basin_objective::weights::{self, Weights};
use candle_core::{DType, Tensor};
use serde_json::Value;

use crate::basin::{Basin, Ended, MODEL, SHORT, field, without_time};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";

/// The measuring commands, each on the checkpoint alone.
fn commands() -> [Vec<&'static str>; 5] {
    [
        [&["keskar", CHECKPOINT][..], &SHORT].concat(),
        vec!["spectrum", CHECKPOINT],
        [&["compare", CHECKPOINT][..], &SHORT].concat(),
        vec!["landscape", "line", CHECKPOINT, CHECKPOINT, "--points", "3"],
        vec!["sharpness", CHECKPOINT, "--measure", "asam,adaptive-average,relative-flatness,critical", "--draws", "4"],
    ]
}

fn with<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, more].concat()
}

#[test]
fn a_checkpoint_of_basin_needs_no_option() {
    let basin = Basin::trained();
    for command in commands() {
        let ended = basin.done(&command);
        assert!(ended.stdout.contains(CHECKPOINT) && ended.stdout.lines().count() > 2, "{ended:?}");
        // These two say beforehand what they may cost.
        let costs = usize::from(["spectrum", "sharpness"].contains(&command[0]));
        assert_eq!(ended.stderr.matches("cost: ").count(), costs, "{command:?}");
        assert_eq!(ended.told().len(), costs, "{command:?}");
        assert!(ended.stderr.contains(&format!("{CHECKPOINT}: loss 2.142, accuracy 33.47 %")), "{ended:?}");
    }
    let ended = basin.done(&["inspect", CHECKPOINT]);
    for part in ["fc1.weight", "[16, 64]", "model: mlp:64-16-10:relu", "batch_size: 64", "fits mlp:64-16-10:relu"] {
        assert!(ended.stdout.contains(part), "{part}: {ended:?}");
    }
    for subject in ["run/training.json", "digits", "run/history.jsonl"] {
        let ended = basin.run(&["inspect", subject]);
        assert!(matches!(ended.code, 0 | 2), "{ended:?}");
    }
}

#[test]
fn networks_of_the_zoo_are_trained_and_measured() {
    let basin = Basin::new();
    for (model, data) in [
        ("resnet20", "synthetic:images:samples=16,size=8,classes=3"),
        ("vit:width=16,depth=1", "synthetic:images:samples=16,size=8,classes=3"),
        ("gpt:width=16,depth=1,heads=2", "synthetic:tokens:samples=16,length=6,vocabulary=5"),
    ] {
        let out = format!("runs/{}", model.split(':').next().unwrap());
        basin.done(&[
            "train",
            "--model",
            model,
            "--data",
            data,
            "--batch-size",
            "8",
            "--epochs",
            "2",
            "--out",
            &out,
            "-q",
        ]);
        let checkpoint = format!("{out}/checkpoints/last.safetensors");
        let record = basin.done(&["spectrum", &checkpoint, "--top", "1", "--tolerance", "1e-2", "--json"]).json();
        assert_eq!(field(&record, "result.eigenvalues.0.converged"), true, "{model}: {record}");
        assert!(basin.done(&["inspect", &checkpoint]).stdout.contains("fits "), "{model}");
    }
    let mismatched = ["train", "--model", "gpt", "--data", "digits", "--out", "no"];
    basin.run(&mismatched).assert_refused(&["needs sequences of tokens", "synthetic:tokens"]);
}

#[test]
fn json_is_one_line_per_checkpoint_and_nothing_else() {
    let basin = Basin::trained();
    for command in commands() {
        let record = basin.done(&with(&command, &["--json"])).json();
        assert_eq!(record["schema"], "basin/1", "{command:?}");
    }
    let both = basin.done(&with(&["keskar", CHECKPOINT, CHECKPOINT, "--json"], &SHORT));
    let records = both.json_lines();
    assert_eq!(records.len(), 2);
    assert_eq!(without_time(records[0].clone()), without_time(records[1].clone()));
    let trained = basin.done(&["train", "--model", MODEL, "--epochs", "1", "--out", "other", "--json"]);
    assert_eq!(trained.json()["kind"], "training");
}

#[test]
fn out_appends_what_json_prints() {
    let basin = Basin::trained();
    let printed: Vec<Value> = commands()
        .iter()
        .map(|command| basin.done(&with(command, &["--json", "--out", "records.jsonl"])).json())
        .collect();
    let text = basin.text("records.jsonl");
    let written: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written, printed);
    assert_eq!(basin.done(&["inspect", "records.jsonl"]).stdout.lines().count(), 6);
    // A torn line, as a kill leaves it, is dropped with the next record.
    basin.write("records.jsonl", &text.as_bytes()[..text.len() - 20]);
    basin.done(&with(&commands()[1], &["--out", "records.jsonl"]));
    assert_eq!(basin.text("records.jsonl").lines().count(), 5);
}

/// Regression: appending cut everything behind the last line end of any file, a checkpoint's whole content included.
#[test]
fn appending_records_to_a_checkpoint_would_destroy_it() {
    let basin = Basin::trained();
    basin.write("notes.txt", "no line end");
    for file in [CHECKPOINT, "notes.txt"] {
        let before = basin.read(file);
        for command in commands() {
            basin.run(&with(&command, &["--out", file])).assert_refused(&[file, "not a JSON object"]);
        }
        assert_eq!(basin.read(file), before);
    }
}

#[test]
fn quiet_says_nothing_and_verbose_says_more() {
    let basin = Basin::trained();
    for command in commands() {
        assert_eq!(basin.done(&with(&command, &["-q"])).stderr, "");
        assert!(
            basin.done(&with(&command, &["-v"])).stderr.contains("1210 parameters, 1437 samples of digits (train)")
        );
    }
    basin.run(&with(&commands()[1], &["-q", "-v"])).assert_refused(&["--quiet", "--verbose"]);
}

#[test]
fn results_do_not_depend_on_threads_or_micro_batches() {
    let basin = Basin::trained();
    let result = |command: &[&str], more: &[&str]| {
        let record = without_time(basin.done(&[command, &["--json"], more].concat()).json());
        record["result"].clone()
    };
    for command in commands() {
        let one = result(&command, &["--threads", "1"]);
        assert_eq!(one, result(&command, &["--threads", "2"]), "{command:?}");
        assert_close(&one, &result(&command, &["--memory", "1MB"]), &format!("{command:?}"));
        assert_close(&one, &result(&command, &["--micro-batch", "100"]), &format!("{command:?}"));
        assert_close(&one, &result(&command, &["--micro-batch", "1437"]), &format!("{command:?}"));
    }
    let weights = |threads: &str| basin.read(&basin.train(&format!("threads-{threads}"), &["--threads", threads]));
    assert_eq!(weights("1"), weights("2"));
}

/// Equal but for rounding: sums over other micro-batches run in another order, and so may a search that follows them.
fn assert_close(a: &Value, b: &Value, what: &str) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
            for key in
                a.keys().filter(|&key| !["residual", "iterations", "evaluations", "reason"].contains(&key.as_str()))
            {
                assert_close(&a[key], &b[key], &format!("{what} {key}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{what}");
            a.iter().zip(b).for_each(|(a, b)| assert_close(a, b, what));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-3 * a.abs().max(1e-3), "{what}: {a} and {b}");
        }
        _ => assert_eq!(a, b, "{what}"),
    }
}

#[test]
fn the_data_and_the_numbers_are_those_asked_for() {
    let basin = Basin::trained();
    let spectrum = |more: &[&str]| basin.done(&with(&with(&["spectrum", CHECKPOINT, "--json"], more), &[])).json();
    let whole = spectrum(&[]);
    let value = |record: &Value| field(record, "result.eigenvalues.0.value").as_f64().unwrap();
    for (options, path, expected) in [
        (&["--samples", "100"][..], "data.samples", Value::from(100)),
        (&["--split", "test"], "data.samples", Value::from(360)),
        (&["--split", "test"], "data.split", Value::from("test")),
        (&["--loss", "mse"], "loss", Value::from("mse")),
        (&["--dtype", "f64"], "dtype", Value::from("f64")),
        (&["--seed", "3"], "seed", Value::from(3)),
    ] {
        let record = spectrum(options);
        assert_eq!(field(&record, path), &expected, "{options:?}");
        let other_data = options[0] == "--samples" || options[0] == "--split";
        assert_eq!(field(&record, "data.blake3") != field(&whole, "data.blake3"), other_data, "{options:?}");
        if options[0] == "--dtype" || options[0] == "--seed" {
            // The same eigenvalue, by other means.
            assert!((value(&record) - value(&whole)).abs() < 1e-3 * value(&whole), "{options:?}");
        }
        assert_ne!(value(&record), value(&whole), "{options:?}");
    }
    let matrices = ["hessian", "ggn", "empirical-fisher"].map(|matrix| value(&spectrum(&["--matrix", matrix])));
    assert!(matrices[0] != matrices[1] && matrices[1] != matrices[2]);
}

/// Regression: with `--split test`, `compare` and `landscape line` called the test loss the train loss.
#[test]
fn the_train_loss_is_that_of_the_train_split() {
    let basin = Basin::trained();
    let row = |split: &str| {
        let command = with(&["compare", CHECKPOINT, "--json", "--split", split], &SHORT);
        field(&basin.done(&command).json(), "result.rows.0").clone()
    };
    let (train, test) = (row("train"), row("test"));
    for name in ["loss", "test_loss", "train_accuracy", "test_accuracy"] {
        assert_eq!(train[name], test[name], "{name}");
    }
    assert_ne!(train["keskar"], test["keskar"]);
    basin.run(&with(&commands()[3], &["--split", "test"])).assert_refused(&["--split test"]);
}

#[test]
fn eigenvectors_are_unit_vectors_with_the_residual_they_claim() {
    let basin = Basin::trained();
    let command = ["spectrum", CHECKPOINT, "--dtype", "f64", "--top", "2", "--bottom", "1", "--json"];
    let record = basin.done(&with(&command, &["--eigenvectors", "v.safetensors"])).json();
    let file = Weights::read(basin.path("v.safetensors")).unwrap();
    let checkpoint = Weights::read(basin.path(CHECKPOINT)).unwrap();
    let vectors = ["top1", "top2", "bottom1"];
    assert_eq!(file.tensors.len(), vectors.len() * checkpoint.tensors.len());
    for (index, vector) in vectors.into_iter().enumerate() {
        let mut square = 0.0;
        for (name, parameter) in &checkpoint.tensors {
            let part = &file.tensors[&format!("{vector}.{name}")];
            assert_eq!(part.dims(), parameter.dims());
            square += part.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        }
        assert!((square - 1.0).abs() < 1e-6, "{vector} has norm² {square}");
        let found = field(&record, &format!("result.eigenvalues.{index}")).clone();
        let (value, residual) = (found["value"].as_f64().unwrap(), found["residual"].as_f64().unwrap());
        assert_eq!(file.metadata[&format!("{vector}.eigenvalue")].parse::<f64>().unwrap(), value);
        // Differences of the gradient stand in for the Hessian: ‖(g(θ + hv) − g(θ − hv)) / 2h − λv‖.
        let measured = residual_by_differences(&checkpoint, &file, vector, value);
        assert!(measured <= residual + 1e-4 * value.abs(), "{vector}: {measured} but {residual} is claimed");
    }
}

fn residual_by_differences(checkpoint: &Weights, file: &Weights, vector: &str, value: f64) -> f64 {
    use basin_objective::data::{Dataset, Split};
    use basin_objective::models::Model;
    use basin_objective::{LossSpec, Network, NetworkOptions, Objective};

    let data = Dataset::load(&"digits".parse().unwrap(), Split::Train).unwrap();
    let model = Model::new(&MODEL.parse().unwrap(), data.sample_shape(), 10).unwrap();
    let wanted = |prefix: &str| -> Vec<(String, Vec<usize>)> {
        let entries = model.parameters().entries();
        entries.iter().map(|entry| (format!("{prefix}{}", entry.name), entry.shape.clone())).collect()
    };
    let theta = checkpoint.gather(&wanted(""), &[], DType::F64).unwrap();
    let of_this_vector = file.tensors.iter().filter(|(name, _)| name.starts_with(vector));
    let tensors = of_this_vector.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    let alone = Weights { tensors, ..file.clone() };
    let v = alone.gather(&wanted(&format!("{vector}.")), &[], DType::F64).unwrap().parameters;
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network = Network::new(&model, &theta.buffers, LossSpec::default_for(&data), &data, options).unwrap();
    let h = 1e-6;
    let gradient = |step: f64| {
        let moved = (&theta.parameters + (&v * step).unwrap()).unwrap();
        network.linearize(&moved).unwrap().gradient().unwrap()
    };
    let product = ((gradient(h) - gradient(-h)).unwrap() / (2.0 * h)).unwrap();
    let residual = (product - (v * value).unwrap()).unwrap();
    residual.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
}

#[test]
fn a_foreign_checkpoint_is_measured_with_model_and_data() {
    let basin = Basin::trained();
    let own = Weights::read(basin.path(CHECKPOINT)).unwrap();
    let tensors: Vec<(String, Tensor)> =
        own.tensors.iter().map(|(name, tensor)| (format!("module.{name}"), tensor.clone())).collect();
    weights::write(basin.path("foreign.safetensors"), &tensors, &BTreeMap::new()).unwrap();

    basin.run(&["keskar", "foreign.safetensors"]).assert_refused(&["foreign.safetensors", "model", "--model"]);
    basin.run(&["keskar", "foreign.safetensors", "--model", MODEL]).assert_refused(&["data", "--data"]);
    let named = ["--model", MODEL, "--data", "digits", "--json"];
    for (command, options) in [("keskar", &SHORT[..]), ("spectrum", &[])] {
        let foreign = basin.done(&[&[command, "foreign.safetensors"], &named[..], options].concat());
        assert!(foreign.stderr.starts_with("note: foreign.safetensors: left out `module.`"), "{foreign:?}");
        let own = basin.done(&[&[command, CHECKPOINT, "--json"], options].concat());
        assert_eq!(foreign.json()["result"], own.json()["result"]);
    }
    let quiet = basin.done(&[&["spectrum", "foreign.safetensors", "-q"], &named[..]].concat());
    assert_eq!(quiet.stderr, "");
}

#[test]
fn not_converged_is_data_and_exit_code_3() {
    let basin = Basin::trained();
    let ended = basin.run(&["spectrum", CHECKPOINT, "--max-products", "9", "--top", "2", "--json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(field(&ended.json(), "result.eigenvalues.0.converged"), false);
    let diverged = ["train", "--model", MODEL, "--optimizer", "sgd", "--learning-rate", "1e30", "--out", "diverged"];
    let ended = basin.run(&with(&diverged, &["--json"]));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(field(&ended.json(), "result.reason"), "diverged");
    assert!(ended.stderr.contains("learning rate"), "{ended:?}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let basin = Basin::trained();
    let many: Vec<&str> =
        std::iter::once("keskar").chain([CHECKPOINT; 8]).chain(SHORT).chain(["--json", "--quiet"]).collect();
    for arguments in [&many[..], &["inspect", CHECKPOINT], &["--help"], &["keskar", "--help"]] {
        let mut child = basin.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::with_capacity(1, child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        drop(stdout);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(child.wait().unwrap().success() && stderr.is_empty(), "{arguments:?}: {stderr}");
    }
}

/// Regression: a note to a closed stderr ended the program with a panic.
#[test]
fn nobody_reading_stderr_is_no_error() {
    let basin = Basin::trained();
    let mut child = basin.command(&["spectrum", CHECKPOINT, "-v", "--json"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn help_and_version_are_data() {
    let basin = Basin::new();
    for arguments in [&["--help"][..], &["study", "--help"], &["landscape", "line", "--help"], &["--version"]] {
        let ended = basin.done(arguments);
        assert!(!ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:?}");
    }
    assert!(basin.done(&["--version"]).stdout.starts_with("basin 0."));
}

#[test]
fn a_line_between_networks_with_batch_norm_is_finite_beyond_its_ends() {
    // Interpolated variances would turn negative there.
    let folder = tempfile::tempdir().unwrap();
    let train = |batch: &str, out: &str| {
        let out = folder.path().join(out);
        let arguments =
            ["train", "--model", "mlp:64-16-10:relu:bn", "--epochs", "4", "--batch-size", batch, "-q", "--out"];
        let status =
            std::process::Command::new(env!("CARGO_BIN_EXE_basin")).args(arguments).arg(&out).output().unwrap();
        assert!(status.status.success(), "{status:?}");
        out.join("checkpoints/last.safetensors")
    };
    let (small, large) = (train("16", "small"), train("256", "large"));
    let line = std::process::Command::new(env!("CARGO_BIN_EXE_basin"))
        .args(["landscape", "line", "--points", "13", "--json", "-q"])
        .args([small, large])
        .output()
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&line.stdout).unwrap();
    assert!(record["result"]["batch_norm"].is_string());
    for key in ["train_loss", "train_accuracy", "test_loss", "test_accuracy"] {
        let values = record["result"][key].as_array().unwrap();
        assert!(values.len() == 13 && values.iter().all(serde_json::Value::is_f64), "{key}: {values:?}");
    }
}

/// The number before ` MB` behind `words` in a text.
fn megabytes(text: &str, words: &str) -> f64 {
    let behind = text.split(words).nth(1).unwrap_or_else(|| panic!("`{words}` is missing: {text}"));
    behind.trim_start().split(' ').next().unwrap().parse().unwrap()
}

/// Sweeps of two threads at a time: of many, not all are at their largest at once.
#[cfg(target_os = "linux")]
const MEASURED: [&str; 5] = ["--dtype", "f32", "--threads", "2", "-v"];

#[cfg(target_os = "linux")]
#[test]
fn the_predicted_memory_is_what_is_taken() {
    let basin = Basin::new();
    let data = "synthetic:images:samples=320,size=32,classes=10";
    basin.done(&["train", "--model", "resnet20", "--data", data, "--epochs", "1", "--out", "run"]);
    let spectrum = [&["spectrum", CHECKPOINT, "--bottom", "0", "--tolerance", "0.5"][..], &MEASURED].concat();
    // What is predicted is what is in use; the allocator keeps as much more as chance leaves between, unless it is told not to.
    let mut command = basin.command(&with(&spectrum, &["--max-products", "3"]));
    let output = command.env("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0").output().unwrap();
    let stderr = Ended::of(&output, &command).stderr;
    let (predicted, taken) = (megabytes(&stderr, "memory: about"), megabytes(&stderr, "peak memory"));
    let error = (taken - predicted).abs() / taken;
    assert!(error <= 0.05, "predicted {predicted} MB, taken {taken} MB");
    // With less than all linearizations take, some are made anew.
    let stderr = basin.done(&with(&spectrum, &["--memory", "600MB"])).stderr;
    assert!(stderr.contains("the rest made anew"), "{stderr}");
}

#[test]
fn paths_end_at_the_minima_and_tell_the_barrier_between_them() {
    let basin = Basin::trained();
    let other = basin.train("other", &["--seed", "1"]);
    let line = |path: &str| {
        let line =
            ["landscape", "line", CHECKPOINT, &other, "--range=0,1", "--points", "5", "--path", path, "--json", "-q"];
        basin.done(&line).json()
    };
    let (straight, curved) = (line("linear"), line("curved"));
    let losses = |record: &serde_json::Value| -> Vec<f64> {
        let losses = field(record, "result.train_loss").as_array().unwrap();
        losses.iter().map(|loss| loss.as_f64().unwrap()).collect()
    };
    let (on_line, on_curve) = (losses(&straight), losses(&curved));
    assert_eq!([on_line[0], on_line[4]], [on_curve[0], on_curve[4]]);
    assert!((1..4).all(|i| on_line[i] != on_curve[i]), "{on_line:?} {on_curve:?}");
    // Independent minima are parted by a barrier, and it is that of the points.
    let height = field(&straight, "result.barriers.0.height").as_f64().unwrap();
    let rise = |i: usize| on_line[i] - (1.0 - i as f64 / 4.0) * on_line[0] - i as f64 / 4.0 * on_line[4];
    let largest = (1..4).map(rise).fold(0.0, f64::max);
    assert!(height > 0.0 && (height - largest).abs() < 1e-9 * height, "{height} {largest}");
    assert!(field(&straight, "result.barriers.1.instability").is_number());
    assert_eq!(field(&curved, "result.path"), "curved");
}
