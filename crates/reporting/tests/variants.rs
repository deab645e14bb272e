//! Pages of studies whose runs differ in more than batch size and seed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use basin_records::line::Endpoint;
use basin_records::study::{Run, Setting, Variant};
use basin_records::{Checkpoint, Line, Outcome, Provenance, Record, Study};
use basin_reporting::draw;
use serde_json::json;
use tempfile::{TempDir, tempdir};

mod paper;
#[path = "../examples/synthetic_study/variants.rs"]
mod synthetic;

fn read(directory: &TempDir, file: &str) -> String {
    fs::read_to_string(directory.path().join(file)).unwrap()
}

/// Lines of a CSV file without its header.
fn rows(directory: &TempDir, stem: &str) -> Vec<String> {
    read(directory, &format!("figures/{stem}.csv")).lines().skip(1).map(str::to_owned).collect()
}

fn header(directory: &TempDir, stem: &str) -> String {
    read(directory, &format!("figures/{stem}.csv")).lines().next().unwrap().to_owned()
}

fn of_variants(names: &[&str], values: &[f64], swept: Option<&str>) -> Study {
    let variant = |(index, name): (usize, &&str)| Variant {
        name: (*name).into(),
        value: values.get(index).copied(),
        settings: vec![Setting { name: "shifts".into(), value: format!("{index} pixels") }],
    };
    Study {
        variants: names.iter().enumerate().map(variant).collect(),
        swept: swept.map(str::to_owned),
        published: vec!["Theirs was flatter (A and B, table 1).".into()],
        ..Study::default()
    }
}

/// Writes a study of runs that end at these test accuracies, one seed each, and at sharpness an eighth of them.
fn write(directory: &Path, study: &Study, runs: &[(Option<&str>, u64, &[f64])]) {
    let seeds = runs.iter().flat_map(|(variant, size, found)| (0..found.len()).map(move |seed| (variant, *size, seed)));
    let run = |(variant, batch_size, seed): (&Option<&str>, u64, usize)| Run {
        variant: variant.map(str::to_owned),
        batch_size,
        seed: seed as u64,
        checkpoint: String::new(),
        directory: String::new(),
    };
    let study = Study { runs: seeds.map(run).collect(), ..study.clone() };
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.join("study.json")).unwrap();
    let mut lines = String::new();
    for &(variant, batch_size, accuracies) in runs {
        for (seed, accuracy) in accuracies.iter().enumerate() {
            let pace = if variant == Some("brief") { 3 } else { 4 };
            let epoch = |epoch: u64| {
                let reached = accuracy * epoch as f64 / 2.0;
                json!({"epoch": epoch, "step": pace * epoch, "train_loss": 0.1, "train_accuracy": 1.0, "test_accuracy": reached / 100.0,
                    "learning_rate": 0.1, "batch_size": batch_size, "observed": {"gradient.fc1": accuracy, "gradient.fc2": 1.0}})
            };
            let settings = json!({"model": "m", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": batch_size,
                "epochs": 2, "seed": seed});
            let common = json!({"schema": "basin/1", "created": "", "basin": "", "variant": variant,
                "batch_size": batch_size, "training_seed": seed, "epoch": 2});
            let mut record = |kind: &str, result: serde_json::Value| {
                let mut whole = common.as_object().unwrap().clone();
                whole.extend([("kind".to_owned(), kind.into()), ("result".to_owned(), result)]);
                lines += &format!("{}\n", serde_json::Value::Object(whole));
            };
            record("training", json!({"settings": settings, "epochs": [epoch(1), epoch(2)], "reason": "epochs"}));
            let summary =
                json!({"epsilon": 1e-3, "subspace": "full", "dimension": 5, "mean": accuracy / 8.0, "draws": 1});
            record("keskar", json!({"measurements": [], "summary": [summary]}));
        }
    }
    fs::write(directory.join("records.jsonl"), lines).unwrap();
}

fn page(study: &Study, runs: &[(Option<&str>, u64, &[f64])]) -> (TempDir, String) {
    let directory = tempdir().unwrap();
    write(directory.path(), study, runs);
    draw(directory.path()).unwrap();
    let page = read(&directory, "index.html").replace('\u{a0}', " ");
    (directory, page)
}

const BASELINE: &[f64] = &[90.0, 91.0, 92.0];
/// The mean is 6 above, the variances are 4 and 1: Welch's interval is 6 ± 3.2187586 √(5/3), from 1.8446 to 10.155. The logarithms
/// are 0.06374999 above, ± 3.1524599 · 0.01349111: factors from 1.0214466 to 1.1121334.
const HIGHER: &[f64] = &[95.0, 97.0, 99.0];
/// The mean is 4 above, and the interval from −0.1554 to 8.155.
const UNSURE: &[f64] = &[93.0, 95.0, 97.0];

#[test]
fn each_variant_is_compared_with_the_first_by_an_interval() {
    let study = of_variants(&["baseline", "shifted", "turned"], &[], None);
    let (_directory, page) =
        page(&study, &[(Some("turned"), 8, UNSURE), (Some("baseline"), 8, BASELINE), (Some("shifted"), 8, HIGHER)]);
    for told in [
        "Test accuracy, shifted minus baseline: +6.00 percentage points (1.84 to 10.2; 97.0 ± 2.0 against 91.0 ± 1.0).",
        "Test accuracy, turned minus baseline: no difference can be told (−0.155 to 8.16; 95.0 ± 2.0 against 91.0 ± 1.0).",
        "Sharpness, shifted over baseline: 1.07 times (1.02 to 1.11; 12.12 ± 0.25 against 11.38 ± 0.12).",
        "95 % confidence intervals of the difference of the means by Welch",
        "What others found",
        "Theirs was flatter (A and B, table 1).",
        "What the variants change",
        "<dt>shifted</dt><dd>shifts: 1 pixels</dd>",
        "9 training runs, 3 variants, batch size 8.",
    ] {
        assert!(page.contains(told), "{told}");
    }
    assert!(!page.contains("smallest batch size"), "there is one batch size only");
}

#[test]
fn one_seed_gives_no_spread_and_no_difference() {
    let study = of_variants(&["baseline", "shifted"], &[], None);
    let (_directory, page) = page(&study, &[(Some("baseline"), 8, &[90.0]), (Some("shifted"), 8, &[95.0])]);
    let told = "Test accuracy, shifted minus baseline: without a spread over seeds no difference can be told (95.0 against 90.0).";
    assert!(page.contains(told), "{page}");
}

#[test]
fn batch_sizes_of_all_variants_are_compared_in_one_sentence() {
    let runs = [
        (Some("baseline"), 8, HIGHER),
        (Some("baseline"), 64, BASELINE),
        (Some("shifted"), 8, BASELINE),
        (Some("shifted"), 64, BASELINE),
    ];
    let (_directory, two) = page(&of_variants(&["baseline", "shifted"], &[], None), &runs);
    for told in [
        "Test accuracy at the largest against the smallest batch size: lower for baseline (batch 64: 91.0 ± 1.0, batch 8: 97.0 ± 2.0); \
         no difference can be told for shifted (batch 64: 91.0 ± 1.0, batch 8: 91.0 ± 1.0).",
        "Test accuracy, shifted minus baseline: −6.00 percentage points at batch size 8 (−10.2 to −1.84); no difference can be told \
         at batch size 64 (−2.27 to 2.27).",
    ] {
        assert!(two.contains(told), "{told}");
    }
    let third = [(Some("turned"), 8, BASELINE), (Some("turned"), 64, HIGHER)];
    let (_directory, three) =
        page(&of_variants(&["baseline", "shifted", "turned"], &[], None), &[&runs[..], &third].concat());
    let told = "Test accuracy at the largest against the smallest batch size: higher for turned (batch 64: 97.0 ± 2.0, batch 8: 91.0 ± \
                1.0); lower for baseline (batch 64: 91.0 ± 1.0, batch 8: 97.0 ± 2.0); no difference can be told for shifted (batch 64: \
                91.0 ± 1.0, batch 8: 91.0 ± 1.0).";
    assert!(three.contains(told), "{three}");
}

#[test]
fn variants_stand_side_by_side_with_the_first_marked() {
    let study = of_variants(&["baseline", "shifted"], &[], None);
    let (directory, page) = page(&study, &[(Some("shifted"), 8, HIGHER), (Some("baseline"), 8, BASELINE)]);
    assert_eq!(header(&directory, "minima-by-variant"), "variant,batch_size,quantity,seeds,mean,std");
    assert_eq!(
        rows(&directory, "minima-by-variant"),
        [
            "baseline,8,test accuracy / %,3,91,1",
            "shifted,8,test accuracy / %,3,97,2",
            "baseline,8,\"sharpness, full space, epsilon 0.001\",3,11.375,0.125",
            "shifted,8,\"sharpness, full space, epsilon 0.001\",3,12.125,0.25",
        ]
    );
    assert!(read(&directory, "figures/minima-by-variant.svg").contains("mean of baseline"));
    assert!(page.contains("The dotted lines are the means of baseline"));
    assert_eq!(
        header(&directory, "table-accuracy"),
        "variant,batch_size,seeds,train_mean,train_std,test_mean,test_std"
    );
    assert_eq!(rows(&directory, "table-accuracy")[1], "shifted,8,3,100,0,97,2");
    assert_eq!(header(&directory, "accuracy-curves").split(',').next(), Some("variant"));
}

#[test]
fn a_sweep_is_drawn_against_its_value() {
    let study = of_variants(&["none", "half", "all"], &[0.0, 0.5, 1.0], Some("shifts"));
    let runs = [
        (Some("none"), 8, &[90.0, 92.0][..]),
        (Some("half"), 8, &[93.0, 95.0][..]),
        (Some("all"), 8, &[96.0, 98.0][..]),
    ];
    let (directory, page) = page(&study, &runs);
    assert_eq!(header(&directory, "minima-by-swept-value"), "variant,value,batch_size,quantity,seeds,mean,std");
    assert_eq!(
        rows(&directory, "minima-by-swept-value")[..3],
        [
            "none,0,8,test accuracy / %,2,91,1.4142135623730951",
            "half,0.5,8,test accuracy / %,2,94,1.4142135623730951",
            "all,1,8,test accuracy / %,2,97,1.4142135623730951",
        ]
    );
    let observed = rows(&directory, "observed-gradient-by-swept-value");
    assert_eq!(observed.len(), 6, "both layers at three values");
    assert_eq!(observed[1], "half,0.5,8,gradient.fc1,2,94,1.4142135623730951");
    // Residuals ±1 at each value: slope 6 with standard error √(6/4 / (4 · 0.25)).
    assert!(
        page.contains("Test accuracy rises as shifts grows: slope 6.0 ± 1.2 percentage points per unit, from 91.0 ± 1.4 at 0 to 97.0 ± 1.4 at 1."),
        "{page}"
    );
    assert!(
        page.contains("Mean gradient of layer fc1 in the first epoch rises as shifts grows: slope 6.0 ± 1.2 per unit")
    );
    assert!(page.contains("<dt>shifts</dt><dd>0, 0.5 and 1</dd>"));
    assert!(page.contains("6 training runs, 3 values of shifts, batch size 8."));
    assert!(!directory.path().join("figures/minima-by-variant.csv").exists());
}

#[test]
fn warm_starts_show_the_accuracy_that_they_started_from() {
    let study = of_variants(&["after 1", "after 2"], &[1.0, 2.0], Some("epochs before"));
    let runs = [(None, 8, &[90.0, 92.0][..]), (Some("after 1"), 64, &[80.0][..]), (Some("after 2"), 64, &[88.0][..])];
    let (directory, page) = page(&study, &runs);
    let starting: Vec<String> =
        rows(&directory, "minima-by-swept-value").into_iter().filter(|row| row.starts_with(',')).collect();
    // Accuracy grows evenly over two epochs.
    assert_eq!(
        starting,
        [",1,8,test accuracy / %,2,45.5,0.7071067811865476", ",2,8,test accuracy / %,2,91,1.4142135623730951"]
    );
    let legend = read(&directory, "figures/minima-by-swept-value.svg");
    assert!(legend.contains("batch 8 before") && legend.contains("batch 64 after"));
    let curves = read(&directory, "figures/accuracy-curves.svg");
    assert!(curves.contains("\nbatch 8\n") && curves.contains("after 1, batch 64"), "{curves}");
    assert!(page.contains("<td>starting runs</td>"));
}

#[test]
fn a_single_run_at_each_value_has_a_slope_only_where_three_show_one() {
    let runs = [(Some("a"), 8, &[90.0][..]), (Some("b"), 8, &[95.0][..])];
    let (_directory, page) = page(&of_variants(&["a", "b"], &[0.0, 1.0], Some("shifts")), &runs);
    assert!(page.contains("Test accuracy shows no change that can be told as shifts grows: slope 5.00"), "{page}");
}

#[test]
fn values_that_differ_by_factors_have_a_slope_per_factor_of_ten() {
    let runs = [(Some("a"), 8, &[90.0][..]), (Some("b"), 8, &[92.0][..]), (Some("c"), 8, &[95.0][..])];
    let (_directory, page) = page(&of_variants(&["a", "b", "c"], &[0.001, 0.01, 0.1], Some("learning_rate")), &runs);
    // Residuals 1/6, −1/3, 1/6: standard error √(1/6 / 2).
    let told = "Test accuracy rises as learning_rate grows: slope 2.50 ± 0.29 percentage points per factor of ten, from 90.0 at 0.001 \
                to 95.0 at 0.1.";
    assert!(page.contains(told), "{page}");
}

#[test]
fn sharpness_alone_is_drawn_alone_and_what_is_no_number_is_told() {
    let directory = tempdir().unwrap();
    let study = of_variants(&["a", "b", "c"], &[0.0, 1.0, 2.0], Some("shifts"));
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.path().join("study.json")).unwrap();
    for (variant, mean) in [("a", json!(1.0)), ("b", json!("NaN")), ("c", json!(3.0))] {
        let summary = json!({"epsilon": 1e-3, "subspace": "full", "dimension": 5, "mean": mean, "draws": 1});
        let record = json!({"schema": "basin/1", "kind": "keskar", "created": "", "basin": "", "variant": variant,
            "batch_size": 8, "training_seed": 0, "result": {"measurements": [], "summary": [summary]}});
        fs::write(directory.path().join(format!("{variant}.json")), record.to_string()).unwrap();
    }
    draw(directory.path()).unwrap();
    let page = read(&directory, "index.html");
    assert!(page.contains(">Sharpness against shifts</h3>") && page.contains("1 value is not finite and left out."));
    assert_eq!(rows(&directory, "minima-by-swept-value").len(), 3);
}

#[test]
fn fewer_steps_than_the_first_variant_took_are_told() {
    let study = of_variants(&["baseline", "brief", "other"], &[], None);
    let (_directory, page) =
        page(&study, &[(Some("baseline"), 8, BASELINE), (Some("brief"), 8, BASELINE), (Some("other"), 8, BASELINE)]);
    assert!(page.contains("Optimizer steps, brief over baseline: 0.750 times at batch size 8."));
    assert!(!page.contains("Optimizer steps, other"));
}

#[test]
fn what_curves_leave_out_is_told_and_stands_in_the_tables() {
    let names: Vec<String> = (0..10).map(|index| format!("v{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let values: Vec<f64> = (0..10).map(f64::from).collect();
    let runs: Vec<_> = names.iter().map(|&name| (Some(name), 8, BASELINE)).collect();
    let (directory, page) = page(&of_variants(&names, &values, Some("shifts")), &runs);
    let statement = "Of 10 curves 3 are shown (shifts at its first, middle and last value), for more than 8 could not be told apart";
    assert_eq!(page.matches(statement).count(), 3, "accuracy and gradient along training, and gradient by layer");
    let shown = read(&directory, "figures/accuracy-curves.svg");
    assert!(shown.contains("v0") && shown.contains("v5") && shown.contains("v9") && !shown.contains("v1"));
    assert_eq!(rows(&directory, "accuracy-curves").len(), 10 * 3 * 2);
    assert_eq!(rows(&directory, "table-accuracy").len(), 10);
}

#[test]
fn minima_and_exponents_have_a_line_per_variant() {
    let directory = tempdir().unwrap();
    synthetic::write_variants(directory.path()).unwrap();
    draw(directory.path()).unwrap();
    assert_eq!(rows(&directory, "minima-by-batch-size").len(), 4 * 4 * 2);
    assert_eq!(rows(&directory, "observed-gradient-by-batch-size").len(), 4 * 4);
    let page = read(&directory, "index.html").replace('\u{a0}', " ");
    let told = "Mean gradient of layer fc1 in the first epoch goes with the batch size to the power −0.4";
    assert!(page.contains(told) && page.contains("(augmented)"));
    let svg = read(&directory, "figures/minima-by-batch-size.svg");
    assert!(svg.contains("without the easiest 30 %") && svg.contains("LARS"));
}

#[test]
fn everything_of_the_synthetic_studies_lies_on_the_paper() {
    for write in [synthetic::write_variants, synthetic::write_warm_starts] {
        let directory = tempdir().unwrap();
        write(directory.path()).unwrap();
        for path in draw(directory.path()).unwrap() {
            if path.extension().is_some_and(|ending| ending == "svg") {
                paper::assert_on(&path);
            }
        }
    }
}

#[test]
fn a_line_names_the_variants_of_its_ends() {
    let directory = tempdir().unwrap();
    let run = |variant: &str| Run {
        variant: Some(variant.into()),
        batch_size: 8,
        seed: 0,
        checkpoint: format!("{variant}.safetensors"),
        directory: variant.into(),
    };
    let study = Study { runs: vec![run("plain"), run("shifted")], ..of_variants(&["plain", "shifted"], &[], None) };
    let end = |variant: &str| Endpoint {
        checkpoint: Checkpoint { path: format!("elsewhere/{variant}.safetensors"), blake3: None, parameters: 2 },
        batch_size: Some(8),
        training_seed: None,
    };
    let line = Line {
        from: end("plain"),
        to: end("shifted"),
        distance: 1.0,
        batch_norm: None,
        path: Default::default(),
        alignment: None,
        barriers: Vec::new(),
        alpha: vec![0.0, 1.0],
        train_loss: vec![1.0, 2.0],
        train_accuracy: vec![],
        test_loss: vec![],
        test_accuracy: vec![],
    };
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.path().join("study.json")).unwrap();
    Record::new(Provenance::now(), Outcome::Line(line)).write(&directory.path().join("line.json")).unwrap();
    draw(directory.path()).unwrap();
    let page = read(&directory, "index.html");
    assert!(page.contains("The line between plain, batch size 8 and shifted, batch size 8"));
    assert!(read(&directory, "figures/line.svg").contains("first minimum"));
}

#[test]
fn a_study_without_variants_says_nothing_of_them() {
    let (directory, page) = page(&Study::default(), &[(None, 8, BASELINE), (None, 64, HIGHER), (None, 16, UNSURE)]);
    for foreign in
        ["What the variants change", "class=\"variants\"", "What others found", "minus", "swept-value", "by-variant"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for path in fs::read_dir(directory.path().join("figures")).unwrap().map(|file| file.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "csv") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("batch_size,"), "{}", path.display());
        }
    }
    assert!(read(&directory, "figures/accuracy-curves.svg").contains("batch 64"));
    assert!(page.contains("Test accuracy at batch size 64 is 6.00 percentage points higher than at 8"));
}

#[test]
fn figures_that_are_no_more_are_removed_and_other_files_are_not() {
    let directory = tempdir().unwrap();
    let study = of_variants(&["baseline", "shifted"], &[], None);
    write(directory.path(), &study, &[(Some("baseline"), 8, BASELINE), (Some("shifted"), 8, HIGHER)]);
    draw(directory.path()).unwrap();
    let exists = |name: &str| directory.path().join("figures").join(name).exists();
    fs::write(directory.path().join("figures/mine.svg"), "<svg/>").unwrap();
    assert!(exists("minima-by-variant.svg") && exists("accuracy-curves.png"));
    write(directory.path(), &Study::default(), &[(None, 8, BASELINE)]);
    draw(directory.path()).unwrap();
    for ending in ["svg", "png", "csv"] {
        assert!(!exists(&format!("minima-by-variant.{ending}")), "{ending}");
    }
    assert!(exists("mine.svg") && exists("accuracy-curves.png") && exists("table-accuracy.csv"));
}
