//! From a directory of records to the files of a report.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use basin_records::comparison::{Correlation, Row, Scale};
use basin_records::line::Endpoint;
use basin_records::sharpness::{Measure, Measurement};
use basin_records::{Checkpoint, Comparison, Line, Outcome, Provenance, Record, Study};
use basin_reporting::{Error, draw};
use tempfile::tempdir;

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
    for stem in
        ["accuracy-curves", "sharpness-along-training", "line", "eigenvalues-hessian", "spectrum-1", "spectrum-2"]
    {
        let svg = read(directory.path(), &format!("figures/{stem}.svg"));
        assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{stem}");
        let png = fs::read(directory.path().join(format!("figures/{stem}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xaeB`\x82"), "{stem}");
        assert!(read(directory.path(), &format!("figures/{stem}.csv")).lines().count() > 5, "{stem}");
    }
    for path in &written {
        assert!(path.exists(), "{}", path.display());
    }
    let files = fs::read_dir(directory.path().join("figures")).unwrap().count();
    assert_eq!(files + 1, written.len(), "no temporary file may stay behind");
}

#[test]
fn the_page_needs_nothing_but_itself_and_says_what_it_rests_on() {
    let directory = tempdir().unwrap();
    records::write_records(directory.path()).unwrap();
    draw(directory.path()).unwrap();
    let page = read(directory.path(), "index.html");
    for foreign in ["<script", "src=", "url(", "@import", "https://", "href=\"http"] {
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
    let correlations = read(directory.path(), "figures/correlations.csv");
    assert_eq!(correlations.lines().nth(1), Some("fisher-rao,scale-invariant,1,,0.25,true,3"));
    assert!(read(directory.path(), "index.html").contains("Rank correlation with the generalization gap"));
}
