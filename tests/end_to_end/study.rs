//! `basin study` and `basin report`.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::basin::{Basin, field};

/// A study of four runs that takes a second.
pub(crate) const SMALL: &str = r#"
title = "Small & large batches"
batch_sizes = [16, 100]
seeds = 2
along = 2

[training]
model = "mlp:64-16-10:relu"
samples = 200
epochs = 4

[keskar]
epsilon = [1e-3]
dimension = 5
draws = 2
iterations = 4

[line]
points = 5
"#;

fn studied() -> Basin {
    let basin = Basin::new();
    basin.write("small.toml", SMALL);
    let ended = basin.run(&["study", "small.toml", "--out", "study"]);
    assert_eq!(ended.stdout, "study/index.html\n", "{ended:?}");
    assert_eq!(ended.code, if unconverged(&basin) { 3 } else { 0 }, "{ended:?}");
    basin
}

fn records(basin: &Basin) -> BTreeMap<String, Value> {
    let files = basin.files("study/records");
    files.iter().map(|(name, bytes)| (name.clone(), serde_json::from_slice(bytes).unwrap())).collect()
}

/// Whether a record says that an eigenvalue did not converge.
fn unconverged(basin: &Basin) -> bool {
    let records = records(basin);
    let eigenvalues = records.values().filter_map(|record| field(record, "result.eigenvalues").as_array()).flatten();
    eigenvalues.into_iter().any(|eigenvalue| eigenvalue["converged"] == false)
}

/// The rows of a CSV file by the names of its columns; no cell of these files holds a comma.
fn csv(basin: &Basin, name: &str) -> Vec<BTreeMap<String, String>> {
    let text = basin.text(&format!("study/figures/{name}.csv"));
    let mut lines = text.lines();
    let head: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
    let row = |line: &str| head.iter().cloned().zip(line.split(',').map(str::to_owned)).collect();
    lines.map(row).collect()
}

fn numbers(rows: &[BTreeMap<String, String>], column: &str) -> Vec<f64> {
    rows.iter().map(|row| row[column].parse().unwrap()).collect()
}

#[test]
fn a_study_leaves_checkpoints_records_figures_and_a_page() {
    let basin = studied();
    let files = basin.files("study");
    for run in ["b16-s0", "b16-s1", "b100-s0", "b100-s1"] {
        for name in [
            format!("runs/{run}/checkpoints/last.safetensors"),
            format!("runs/{run}/checkpoints/epoch-00002.safetensors"),
            format!("runs/{run}/history.jsonl"),
            format!("records/training-{run}.json"),
            format!("records/keskar-{run}.json"),
            format!("records/keskar-{run}-epoch-00002.json"),
            format!("records/spectrum-{run}.json"),
        ] {
            assert!(files.contains_key(&name), "{name} is missing of {:?}", files.keys());
        }
    }
    assert!(!files.keys().any(|name| name.contains(".tmp")), "{:?}", files.keys());

    let page = basin.text("study/index.html");
    assert!(page.contains("Small &amp; large batches"));
    let figures: Vec<&str> =
        files.keys().filter_map(|name| name.strip_prefix("figures/")?.strip_suffix(".svg")).collect();
    for expected in ["accuracy-curves", "eigenvalues-hessian", "line", "sharpness-along-training"] {
        assert!(figures.contains(&expected), "{figures:?}");
    }
    for figure in figures {
        for ending in ["png", "csv"] {
            assert!(!files[&format!("figures/{figure}.{ending}")].is_empty());
        }
        let svg = basin.text(&format!("study/figures/{figure}.svg"));
        assert!(svg.contains("</svg>") && svg.matches("<text").count() > 3, "{figure}");
        assert!(page.contains(&format!("figures/{figure}.csv")), "{figure}");
        assert!(files[&format!("figures/{figure}.png")].starts_with(b"\x89PNG"), "{figure}");
    }
    assert!(page.matches("<svg").count() >= 4 && page.matches("<table").count() >= 3);
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = studied().text("study/index.html");
    for loads in
        ["src=", "@import", "url(", "fetch(", "import(", "<iframe", "<link rel=\"stylesheet\"", "<object", "<embed"]
    {
        assert!(!page.contains(loads), "the page has `{loads}`");
    }
    // Links to papers are fine; whatever else is named lies beside the page.
    let page = page.replace("&#x2f;", "/");
    for target in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let known = ["https://", "figures/", "data:,", "#", "records/", "runs/", "study.json"];
        assert!(known.iter().any(|start| target.starts_with(start)), "{target}");
    }
}

#[test]
fn the_figures_name_their_axes() {
    let basin = studied();
    for (figure, axes) in [
        ("accuracy-curves", &["epoch", "accuracy"][..]),
        ("line", &["α", "loss", "accuracy"]),
        ("sharpness-along-training", &["cross-entropy", "sharpness"]),
        ("eigenvalues-hessian", &["batch size", "λ"]),
    ] {
        let svg = basin.text(&format!("study/figures/{figure}.svg")).to_lowercase();
        for axis in axes {
            assert!(svg.contains(axis), "{figure} does not name {axis}");
        }
    }
}

#[test]
fn records_carry_their_provenance() {
    let basin = studied();
    let all = ["schema", "kind", "created", "basin", "data.spec", "data.split", "seed", "device", "dtype", "seconds"];
    let measured = ["checkpoint.path", "checkpoint.blake3", "checkpoint.parameters", "data.blake3", "loss", "products"];
    for (name, record) in records(&basin) {
        let wanted: Vec<&str> = match record["kind"].as_str().unwrap() {
            "keskar" | "spectrum" => [&all[..], &measured, &["gradient_equivalents"]].concat(),
            _ => all.to_vec(),
        };
        for path in wanted {
            assert!(!field(&record, path).is_null(), "{name} lacks {path}");
        }
        assert_eq!(record["schema"], "basin/1");
        assert_eq!(record["dtype"], "f32");
        assert_eq!(field(&record, "data.spec"), "digits");
        if measured.iter().all(|path| !field(&record, path).is_null()) {
            assert_eq!(field(&record, "data.samples"), 200, "{name}");
            assert_eq!(field(&record, "checkpoint.parameters"), 1210, "{name}");
            assert_eq!(field(&record, "data.blake3").as_str().unwrap().len(), 64);
            // The hash is that of the file, so that a record can be matched with it.
            let path = field(&record, "checkpoint.path").as_str().unwrap();
            let inspected = basin.done(&["inspect", path]);
            let hash = field(&record, "checkpoint.blake3").as_str().unwrap().to_owned();
            assert!(inspected.stdout.contains(&hash), "{name}: {inspected:?}");
        }
    }
}

#[test]
fn results_use_the_names_of_the_contract() {
    let basin = studied();
    let records = records(&basin);
    let wanted: [(&str, &[&str]); 5] = [
        (
            "keskar-b16-s0.json",
            &[
                "measurements.0.epsilon",
                "measurements.0.subspace",
                "measurements.0.dimension",
                "measurements.1.columns",
                "measurements.0.draw",
                "measurements.0.value",
                "measurements.0.loss",
                "measurements.0.max_loss",
                "measurements.0.iterations",
                "measurements.0.evaluations",
                "measurements.0.reason",
                "summary.0.mean",
                "summary.1.std",
                "summary.0.draws",
            ],
        ),
        (
            "spectrum-b16-s0.json",
            &[
                "matrix",
                "eigenvalues.0.value",
                "eigenvalues.0.residual",
                "eigenvalues.0.converged",
                "eigenvalues.0.end",
            ],
        ),
        ("line-b16-s0-b100-s0.json", &["alpha.4", "train_loss.4", "test_loss.4", "train_accuracy.4", "distance"]),
        (
            "training-b16-s0.json",
            &["epochs.3.train_loss", "epochs.3.test_loss", "epochs.3.learning_rate", "epochs.3.batch_size", "reason"],
        ),
        ("comparison.json", &["columns.0.name", "columns.0.scale", "rows.3.file", "rows.3.lambda_max.value"]),
    ];
    for (name, paths) in wanted {
        for path in paths {
            assert!(!field(&records[name]["result"], path).is_null(), "{name} lacks {path}");
        }
    }
    let values = |name: &str| -> Vec<f64> {
        let eigenvalues = field(&records[name], "result.eigenvalues").as_array().unwrap();
        eigenvalues.iter().map(|eigenvalue| eigenvalue["value"].as_f64().unwrap()).collect()
    };
    assert!(values("spectrum-b100-s1.json").is_sorted_by(|a, b| a >= b));
}

#[test]
fn csv_files_hold_the_numbers_of_the_records() {
    let basin = studied();
    let records = records(&basin);
    let result = |name: &str, path: &str| field(&records[name]["result"], path).clone();
    let list = |value: Value| -> Vec<f64> { value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };

    let line = csv(&basin, "line");
    for column in ["alpha", "train_loss", "test_loss"] {
        assert_eq!(numbers(&line, column), list(result("line-b16-s0-b100-s0.json", column)), "{column}");
    }
    let curves = csv(&basin, "accuracy-curves");
    let run: Vec<_> = curves.into_iter().filter(|row| row["batch_size"] == "100" && row["seed"] == "1").collect();
    let epochs = result("training-b100-s1.json", "epochs");
    for column in ["train_loss", "train_accuracy", "test_loss", "test_accuracy"] {
        let recorded: Vec<f64> =
            epochs.as_array().unwrap().iter().map(|epoch| epoch[column].as_f64().unwrap()).collect();
        assert_eq!(numbers(&run, column), recorded, "{column}");
    }
    let largest: Vec<_> = csv(&basin, "eigenvalues-hessian").into_iter().filter(|row| row["end"] == "λ_max").collect();
    let recorded: Vec<f64> = ["b16-s0", "b16-s1", "b100-s0", "b100-s1"]
        .map(|run| result(&format!("spectrum-{run}.json"), "eigenvalues.0.value").as_f64().unwrap())
        .to_vec();
    assert_eq!(numbers(&largest, "value"), recorded);
    let sharpness = csv(&basin, "table-sharpness-full");
    let mean = |batch_size: usize| {
        let value = |seed: usize| {
            let name = format!("keskar-b{batch_size}-s{seed}.json");
            result(&name, "summary.0.mean").as_f64().unwrap()
        };
        0.5 * (value(0) + value(1))
    };
    for (found, batch_size) in numbers(&sharpness, "mean").into_iter().zip([16, 100]) {
        assert!((found - mean(batch_size)).abs() < 1e-12);
    }
}

#[test]
fn a_report_is_drawn_again_from_the_records_alone() {
    let basin = studied();
    let drawn = |files: BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        files.into_iter().filter(|(name, _)| name.starts_with("figures/") || name == "index.html").collect()
    };
    let before = drawn(basin.files("study"));
    for directory in ["study/figures", "study/runs"] {
        fs::remove_dir_all(basin.path(directory)).unwrap();
    }
    fs::remove_file(basin.path("study/index.html")).unwrap();
    let ended = basin.done(&["report", "study"]);
    let after = drawn(basin.files("study"));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        assert!(&after[name] == bytes, "{name} differs");
    }
    let mut printed: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(printed[0], "study/index.html");
    printed.sort_unstable();
    let mut files: Vec<String> =
        after.keys().filter(|name| !name.ends_with('/')).map(|name| format!("study/{name}")).collect();
    files.sort_unstable();
    assert_eq!(printed, files);
}

#[test]
fn a_study_that_is_done_is_not_done_again() {
    let basin = studied();
    let stamps = || -> BTreeMap<String, std::time::SystemTime> {
        let names = basin.files("study/records").into_keys();
        names
            .map(|name| {
                (name.clone(), fs::metadata(basin.path("study/records").join(name)).unwrap().modified().unwrap())
            })
            .collect()
    };
    let (before, stamped) = (basin.files("study"), stamps());
    let ended = basin.run(&["study", "small.toml", "--out", "study"]);
    assert_eq!(ended.stdout, "study/index.html\n", "{ended:?}");
    assert_eq!(stamped, stamps());
    let after = basin.files("study");
    for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with("records/") || name.starts_with("runs/")) {
        assert!(&after[name] == bytes, "{name} differs");
    }
}

#[test]
fn another_study_is_refused_with_the_difference() {
    let basin = studied();
    let before = basin.files("study");
    basin.run(&["study", "small.toml", "--out", "study", "--epochs", "5"]).assert_refused(&[
        "`study` holds",
        "training.epochs is 4 there and 5 now",
        "another directory",
    ]);
    basin
        .run(&["study", "small.toml", "--out", "study", "--seeds", "3", "--batch-sizes", "16"])
        .assert_refused(&["batch_sizes is [16,100] there and [16] now", "seeds is 2 there and 3 now"]);
    assert_eq!(before, basin.files("study"));
}

#[test]
fn typed_options_win_over_the_study_file() {
    let basin = Basin::new();
    basin.write("small.toml", SMALL);
    let ended =
        basin.run(&["study", "small.toml", "--batch-sizes", "50", "--seeds", "1", "--epochs", "2", "--out", "o"]);
    assert!(matches!(ended.code, 0 | 3), "{ended:?}");
    let runs: Vec<String> =
        basin.files("o/runs").into_keys().filter(|name| name.ends_with("last.safetensors")).collect();
    assert_eq!(runs, ["b50-s0/checkpoints/last.safetensors"]);
    let training = basin.json("o/records/training-b50-s0.json");
    assert_eq!(field(&training, "result.epochs").as_array().unwrap().len(), 2);
}

/// Each study that ships runs to its page, at a size that takes a moment.
#[test]
fn the_studies_that_ship_run_to_their_pages() {
    let studies = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/studies");
    let mut files: Vec<_> = std::fs::read_dir(studies).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    assert!(files.len() >= 15, "{files:?}");
    for file in files {
        let basin = Basin::new();
        let small = [
            "--samples",
            "48",
            "--batch-sizes",
            "12,24,48",
            "--seeds",
            "1",
            "--epochs",
            "2",
            "--model",
            "mlp:64-8-10:relu",
        ];
        let study = ["study", file.to_str().unwrap(), "--out", "study", "-q"];
        let ended = basin.run(&[&study[..], &small].concat());
        assert!([0, 3].contains(&ended.code), "{ended:?}");
        assert!(basin.path("study/index.html").exists(), "{ended:?}");
        // Three batch sizes with accuracies and sharpness, of each variant.
        let study = basin.json("study/study.json");
        let variants = field(&study, "result.variants").as_array().map_or(1, Vec::len);
        let numbers = basin.text("study/figures/minima-by-batch-size.csv");
        assert_eq!(numbers.lines().count(), 1 + 6 * variants, "{numbers}");
    }
}
