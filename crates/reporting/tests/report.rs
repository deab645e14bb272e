//! From a directory of records to the files of a report.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use basin_records::batch_hessian::{Row as BatchRow, Spread};
use basin_records::comparison::{Correlation, Row, Scale};
use basin_records::line::Endpoint;
use basin_records::sharpness::{Measure, Measurement};
use basin_records::spectrum::Matrix;
use basin_records::{BatchHessian, Checkpoint, Comparison, Line, Outcome, Provenance, Record, Study};
use basin_reporting::{Error, draw};
use serde_json::json;
use tempfile::{TempDir, tempdir};

mod paper;
#[path = "../examples/synthetic_study/records.rs"]
mod records;

fn read(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap()
}

#[test]
fn a_study_gives_every_figure_with_its_numbers() {
    let directory = tempdir().unwrap();
    records::write_records(directory.path()).unwrap();
    let written = draw(directory.path()).unwrap();
    for stem in [
        "accuracy-curves",
        "sharpness-along-training",
        "line",
        "eigenvalues-hessian",
        "spectrum-1",
        "spectrum-2",
        "batch-eigenvalues",
        "batch-learning-rates",
        "batch-mean-square-limits",
        "batch-adam-learning-rates",
        "batch-densities",
    ] {
        let svg = read(directory.path(), &format!("figures/{stem}.svg"));
        assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{stem}");
        let png = fs::read(directory.path().join(format!("figures/{stem}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xaeB`\x82"), "{stem}");
        let pdf = fs::read(directory.path().join(format!("figures/{stem}.pdf"))).unwrap();
        assert!(pdf.starts_with(b"%PDF-") && pdf.trim_ascii_end().ends_with(b"%%EOF"), "{stem}");
        assert!(read(directory.path(), &format!("figures/{stem}.csv")).lines().count() > 5, "{stem}");
    }
    for path in &written {
        assert!(path.exists(), "{}", path.display());
    }
    let files = fs::read_dir(directory.path().join("figures")).unwrap().count();
    assert_eq!(files + 1, written.len(), "no temporary file may stay behind");
}

/// Mean gradients that go with the batch size to the power −1/2 exactly.
fn write_observed(directory: &Path, sizes: &[u64], epochs: u64) {
    for (index, &batch_size) in sizes.iter().enumerate() {
        let epoch = |epoch: u64| {
            let gradient = 3.0 / (batch_size as f64).sqrt() / epoch as f64;
            json!({"epoch": epoch, "step": epoch, "train_loss": 1.0, "learning_rate": 0.1, "batch_size": batch_size,
                "observed": {"gradient.fc1": gradient, "gradient.fc2": 7.0, "lambda_max": 5.0,
                    "radius.fc2": 4.0, "radius.fc10": 9.0, "two_over_rate": 20.0,
                    "keskar": "NaN", "unknown": 1.0}})
        };
        let epochs: Vec<_> = (1..=epochs).map(epoch).collect();
        let settings = json!({"model": "m", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": batch_size,
            "epochs": 2, "seed": 0});
        let record = json!({"schema": "basin/1", "kind": "training", "created": "", "basin": "",
            "result": {"settings": settings, "epochs": epochs, "reason": "epochs"}});
        fs::write(directory.join(format!("training-{index}.json")), record.to_string()).unwrap();
    }
}

#[test]
fn what_was_observed_is_drawn_along_training_and_by_batch_size() {
    let directory = tempdir().unwrap();
    write_observed(directory.path(), &[8, 32, 128, 512], 3);
    draw(directory.path()).unwrap();
    let page = read(directory.path(), "index.html");
    assert!(page.contains("power −0.500") && page.contains("layer fc1"), "the exponent is told");
    let numbers = read(directory.path(), "figures/observed-gradient.csv");
    assert!(numbers.contains("gradient.fc2") && numbers.lines().count() == 1 + 4 * 3 * 2);
    assert!(read(directory.path(), "figures/observed-lambda-max.svg").contains("2/η"));
    assert_eq!(read(directory.path(), "figures/observed-gradient-by-batch-size.csv").lines().count(), 5);
    let told = [
        "Largest eigenvalue in the last quarter of the epochs: 0.250 times 2/η (batch size 8)",
        "Radius of curvature in the last epoch that has it: from 4.00 (fc2) to 9.00 (fc10) at batch size 8",
    ];
    let text = page.replace('\u{a0}', " ").replace("&#x2f;", "/");
    told.into_iter().for_each(|told| assert!(text.contains(told), "{told}"));
    // The gradient of fc1 falls with the epochs: what is drawn by layer is the last one.
    let by_layer = read(directory.path(), "figures/observed-gradient-by-layer.csv");
    let first: Vec<&str> = by_layer.lines().take(3).collect();
    assert_eq!(first, ["batch_size,seed,layer,value", "8,0,fc1,0.35355339059327373", "8,0,fc2,7"]);
}

#[test]
fn little_that_was_observed_gives_no_figure_that_says_too_much() {
    let directory = tempdir().unwrap();
    write_observed(directory.path(), &[8, 32], 1);
    draw(directory.path()).unwrap();
    let figures = fs::read_dir(directory.path().join("figures")).unwrap();
    let names = figures.map(|file| file.unwrap().file_name().into_string().unwrap());
    let observed: Vec<String> =
        names.filter(|name| name.starts_with("observed") && !name.contains("-by-layer")).collect();
    assert_eq!(observed, [""; 0], "two batch sizes are no law, one epoch is no curve");
}

#[test]
fn the_page_needs_nothing_but_itself_and_says_what_it_rests_on() {
    let directory = tempdir().unwrap();
    records::write_records(directory.path()).unwrap();
    draw(directory.path()).unwrap();
    let page = read(directory.path(), "index.html");
    for foreign in ["src=", "url(", "@import", "https://", "href=\"http", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for told in [
        "times sharper than those of 16",
        "2 of 12 eigenvalues did not reach the tolerance",
        "digits, train split, 1,437 samples, blake3 9f86d0",
        "the same for the same seed at every batch size",
    ] {
        assert!(page.contains(told), "{told}");
    }
    let home = directory.path().to_string_lossy().into_owned();
    assert!(!page.contains(&home), "the page must not tell of the machine");
}

#[test]
fn the_same_records_give_the_same_files() {
    let directory = tempdir().unwrap();
    records::write_records(directory.path()).unwrap();
    let read_all = |paths: &[std::path::PathBuf]| paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let first = read_all(&draw(directory.path()).unwrap());
    let second = read_all(&draw(directory.path()).unwrap());
    assert!(first == second);
}

#[test]
fn one_record_alone_gives_its_figure_and_words_in_it_are_escaped() {
    let directory = tempdir().unwrap();
    let end = |path: &str| Endpoint {
        checkpoint: Checkpoint { path: path.into(), blake3: None, parameters: 2 },
        batch_size: None,
        training_seed: None,
    };
    let line = Line {
        from: end("<b>&.safetensors"),
        to: end("b.safetensors"),
        distance: 1.0,
        path: Default::default(),
        alignment: None,
        barriers: Vec::new(),
        batch_norm: None,
        alpha: vec![0.0, 0.25, 0.5, 0.75, 1.0],
        train_loss: vec![1.0, 2.0, f64::NAN, 3.0, f64::INFINITY],
        train_accuracy: vec![],
        test_loss: vec![],
        test_accuracy: vec![],
    };
    Record::new(Provenance::now(), Outcome::Line(line)).write(&directory.path().join("line.json")).unwrap();
    draw(directory.path()).unwrap();
    let page = read(directory.path(), "index.html");
    assert!(page.contains("&lt;b&gt;&amp;.safetensors") && !page.contains("<b>"));
    assert!(page.contains("2 values are not finite and left out"));
    // Of five points two are lost and one stands alone, so that one stretch of two is all there is of the line.
    let svg = read(directory.path(), "figures/line.svg");
    assert_eq!(svg.matches("stroke=\"#0072B2\" stroke-width=\"4\"").count(), 1);
    let numbers = read(directory.path(), "figures/line.csv");
    assert_eq!(numbers.lines().nth(3), Some("0.5,0.5,NaN"));
}

#[test]
fn an_empty_directory_is_an_error_with_a_hint() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("settings.json"), "{\"epochs\": 3}").unwrap();
    let error = draw(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Empty { .. }), "{error}");
    assert!(error.hint().contains("records/"));
    assert!(!directory.path().join("index.html").exists());
    let error = draw(&directory.path().join("nowhere")).unwrap_err();
    assert!(error.hint().contains("check the path"), "{}", error.hint());
}

#[test]
fn a_damaged_record_is_named() {
    let directory = tempdir().unwrap();
    fs::create_dir(directory.path().join("records")).unwrap();
    fs::write(directory.path().join("records/bad.json"), b"{\"schema\": \"basin/1\", \xff").unwrap();
    let error = draw(directory.path()).unwrap_err();
    assert!(error.to_string().contains("bad.json"), "{error}");
    let study = Study { records: vec!["records/gone.json".into()], ..Study::default() };
    fs::remove_file(directory.path().join("records/bad.json")).unwrap();
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.path().join("study.json")).unwrap();
    let error = draw(directory.path()).unwrap_err();
    assert!(error.to_string().contains("gone.json"), "{error}");
}

#[test]
fn further_measures_and_their_correlations_stand_in_tables() {
    let directory = tempdir().unwrap();
    let measured = |file: &str, value| Row {
        file: file.into(),
        generalization_gap: Some(0.1 * value),
        sharpness: vec![Measurement::new(Measure::FisherRao, value)],
        ..Row::default()
    };
    let mut comparison = Comparison::new(vec![measured("a", 1.0), measured("b", 2.0), measured("c", 3.0)]);
    comparison.correlations.push(Correlation {
        measure: "fisher-rao".into(),
        scale: Scale::ScaleInvariant,
        checkpoints: 3,
        tau: 1.0,
        stderr: None,
        p_value: 0.25,
        exact: true,
    });
    let record = Record::new(Provenance::now(), Outcome::Comparison(comparison));
    record.write(&directory.path().join("comparison.json")).unwrap();
    draw(directory.path()).unwrap();
    let minima = read(directory.path(), "figures/comparison.csv");
    assert_eq!(
        minima.lines().collect::<Vec<_>>(),
        ["file,gap,fisher-rao", "a,0.1,1", "b,0.2,2", "c,0.30000000000000004,3"]
    );
    let flattest = read(directory.path(), "figures/flattest.csv");
    assert_eq!(flattest.lines().nth(1), Some("fisher-rao,scale-invariant,a,1,,c,3,"));
    let correlations = read(directory.path(), "figures/correlations.csv");
    assert_eq!(correlations.lines().nth(1), Some("fisher-rao,scale-invariant,1,,0.25,true,3"));
    assert!(read(directory.path(), "index.html").contains("Rank correlation with the generalization gap"));
}

/// The report of these records, of which every figure must lie on its paper.
fn report(results: &[BatchHessian]) -> TempDir {
    let directory = tempdir().unwrap();
    for (index, result) in results.iter().enumerate() {
        let record = Record::new(Provenance::now(), Outcome::BatchHessian(Box::new(result.clone())));
        record.write(&directory.path().join(format!("batch-hessian-{index}.json"))).unwrap();
    }
    for path in draw(directory.path()).unwrap() {
        if path.extension().is_some_and(|ending| ending == "svg") {
            paper::assert_on(&path);
        }
    }
    directory
}

fn stems(directory: &TempDir) -> Vec<String> {
    let files = fs::read_dir(directory.path().join("figures")).unwrap().map(|file| file.unwrap().path());
    let figures = files.filter(|path| path.extension().is_some_and(|ending| ending == "svg"));
    let mut stems: Vec<String> = figures.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    stems.sort();
    stems
}

/// A batch size with what a record must say of it, and the limits that follow.
fn bare_row(batch_size: u64, measured: Spread, predicted: f64) -> BatchRow {
    let limit = |lambda: f64| (lambda > 0.0).then_some(2.0 / lambda);
    let row = json!({
        "batch_size": batch_size, "draws": 5, "lambda_max": {"mean": 0.0}, "predicted_lambda_max": 0.0,
        "overlap": {"mean": 0.5}, "predicted_overlap": 0.5, "values": [],
        "max_learning_rate_sgd": limit(predicted), "max_learning_rate_measured": limit(measured.mean),
    });
    BatchRow { lambda_max: measured, predicted_lambda_max: predicted, ..serde_json::from_value(row).unwrap() }
}

/// Of 64 samples, with λ = 2 and without anything optional.
fn bare(crossover: Option<f64>, mut rows: Vec<BatchRow>) -> BatchHessian {
    rows.push(bare_row(64, Spread::exact(2.0), 2.0));
    let result = json!({
        "matrix": "ggn", "theory": "marchenko-pastur", "samples": 64, "momentum": 0.0, "crossover": crossover, "rows": [],
        "empirical": {"lambda_max": 2.0, "eigenvalues": []},
        "noise": {"total": {"value": 0.5}, "batch_size": 8, "groups": 64, "probes": 7},
    });
    BatchHessian { rows, ..serde_json::from_value(result).unwrap() }
}

fn around(mean: f64, stderr: f64) -> Spread {
    Spread { mean, std: Some(2.0 * stderr), stderr: Some(stderr) }
}

#[test]
fn the_report_tells_where_measured_and_predicted_eigenvalues_part() {
    let rows = |predicted_stderr| {
        let rows = [(8, around(3.0, 0.1), 2.0), (16, around(2.6, 0.3), 2.0), (32, around(2.1, 0.001), 2.0)];
        let row = |(size, measured, predicted)| BatchRow {
            predicted_lambda_max_stderr: predicted_stderr,
            ..bare_row(size, measured, predicted)
        };
        rows.map(row).to_vec()
    };
    let told = |rows| read(report(&[bare(None, rows)]).path(), "index.html");
    let part = "Measured and predicted λ_max of mini-batches part, by more than three standard errors and a tenth,";
    let at_8 = format!("{part} at batch size 8: the measured one is 1.50 times the predicted.");
    // Once among what the numbers say and once below the figure.
    assert_eq!(told(rows(None)).matches(&at_8).count(), 2);
    assert!(told(rows(Some(0.1))).contains(&at_8), "3 · √(0.1² + 0.1²) < 1");
    assert!(told(rows(Some(0.4))).contains(&format!("{part} nowhere.")), "3 · √(0.1² + 0.4²) > 1");
    let mut one_draw = rows(None);
    one_draw[1].lambda_max.stderr = None;
    assert!(told(one_draw).contains(&format!("{at_8} It stays open at batch size 16 (a single draw, or no number).")));
    let single = rows(None).into_iter().map(|row| {
        let lambda_max = Spread { std: None, stderr: None, ..row.lambda_max };
        BatchRow { lambda_max, ..row }
    });
    let single = told(single.collect());
    assert!(single.contains("Single draws leave open whether measured and predicted λ_max of mini-batches agree."));
}

#[test]
fn the_report_tells_how_the_learning_rate_grows_and_where_runs_diverge() {
    let rows = [2, 4, 8, 16, 32].map(|size| {
        let lambda = 2.0 + 30.0 / f64::from(size as u32);
        let runs = json!([{"optimizer": "sgd", "stable": 1.0 / lambda, "diverging": if size == 2 { None } else { Some(4.0 / lambda) }}]);
        let measured = if size <= 8 { 20.0 / f64::from(size as u32) } else { 2.0 };
        let divergence = serde_json::from_value(runs).unwrap();
        BatchRow { divergence, ..bare_row(size, around(measured, 0.1), lambda) }
    });
    let directory = report(&[bare(Some(10.0), rows.to_vec())]);
    let page = read(directory.path(), "index.html");
    for told in [
        "The measured limit of SGD grows with the batch size B to the power 1.00 (predicted 0.78) below B* and 0.00",
        "Short runs with SGD: the largest rate at which none diverged is 0.500 times the predicted limit; the smallest \
         from which all diverged 2.00 times the predicted limit; at batch size 2 some never diverged at the rates tried.",
    ] {
        assert!(page.contains(told), "{told}");
    }
    let numbers = read(directory.path(), "figures/batch-learning-rates.csv");
    assert!(numbers.contains("2,runs_sgd,,0.058823529411764705,\n"), "{numbers}");
}

#[test]
fn batch_hessians_without_what_is_optional_give_the_figures_that_are_left() {
    let full = records::batch_hessian();
    let only = |keep: fn(&BatchRow) -> bool| {
        let rows = full.rows.iter().filter(|row| keep(row)).cloned().collect();
        BatchHessian { rows, ..full.clone() }
    };
    let bare = bare(None, vec![bare_row(8, around(3.0, 0.1), 2.0)]);
    assert_eq!(stems(&report(std::slice::from_ref(&bare))), ["batch-eigenvalues", "batch-learning-rates"]);
    let eigenvalues_alone = bare.rows.iter().cloned().map(|row| BatchRow {
        max_learning_rate_sgd: None,
        max_learning_rate_measured: None,
        ..row
    });
    let eigenvalues_alone = BatchHessian { rows: eigenvalues_alone.collect(), ..bare.clone() };
    assert_eq!(stems(&report(&[eigenvalues_alone])), ["batch-eigenvalues"]);
    assert!(report(&[BatchHessian { rows: Vec::new(), ..bare }]).path().join("index.html").exists());
    // The whole has no batch of its own, and its density is that of all samples.
    assert_eq!(stems(&report(&[only(|row| row.batch_size == 1437)])).len(), 4);
    assert_eq!(stems(&report(&[only(|row| row.batch_size == 32)])).len(), 5);
    let mut without_whole = full.clone();
    without_whole.empirical.density = None;
    without_whole.crossover = Some(1e9);
    assert_eq!(stems(&report(&[without_whole])).len(), 5);
}

#[test]
fn values_without_a_place_on_a_logarithmic_axis_are_counted_and_left_out() {
    let mut result = records::batch_hessian();
    result.rows[0].lambda_min = Some(around(0.5, 0.1));
    result.rows[1].lambda_max = around(f64::NAN, f64::NAN);
    result.rows[2].predicted_lambda_max = f64::INFINITY;
    result.rows[3].predicted_lambda_max_along_top = Some(-1.0);
    result.rows[4].max_learning_rate_sgd = Some(f64::NAN);
    result.rows[5].max_learning_rate_mean_square.as_mut().unwrap().stderr = Some(f64::INFINITY);
    result.rows[6].density.as_mut().unwrap().values[3] = f64::NAN;
    for row in &mut result.rows[..3] {
        row.lambda_max.stderr = Some(2.0 * row.lambda_max.mean);
    }
    let directory = report(&[result]);
    let page = read(directory.path(), "index.html");
    assert!(page.contains("4 values without a place on a logarithmic axis are left out."));
    assert!(page.contains("It stays open at batch sizes 8 and 16"), "{page}");
    let all_lost =
        bare(Some(f64::NAN), vec![bare_row(8, around(-1.0, 0.1), f64::NAN), bare_row(16, around(0.0, 0.0), 0.0)]);
    let page = read(report(&[all_lost]).path(), "index.html");
    assert!(page.contains("4 values without a place on a logarithmic axis are left out."));
}

#[test]
fn several_batch_hessians_are_numbered_and_told_apart() {
    let hessian = records::batch_hessian();
    let ggn = BatchHessian { matrix: Matrix::Ggn, ..hessian.clone() };
    let directory = report(&[hessian, ggn]);
    assert_eq!(stems(&directory).len(), 10);
    let page = read(directory.path(), "index.html");
    for told in [
        "id=\"batch-densities-2\"",
        "Hessian, one checkpoint: Measured",
        "Gauss-Newton matrix, one checkpoint: Measured",
    ] {
        assert!(page.contains(told), "{told}");
    }
}
