//! Pages in a real browser: what they say, how their tables sort, and that they ask for nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use basin_records::comparison::Row;
use basin_records::sharpness::{Measure, Measurement};
use basin_records::spectrum::{Density, Eigenvalue, End, Matrix};
use basin_records::surface::{Axis, Mark, Normalization};
use basin_records::{Checkpoint, Comparison, Outcome, Provenance, Record, Spectrum, Surface};
use basin_reporting::draw;
use serde_json::json;
use tempfile::TempDir;

#[path = "browser/chromium.rs"]
mod chromium;
#[path = "../examples/synthetic_study/records.rs"]
mod records;

use chromium::Page;

/// λ_max of the minima in the order of the record; one has none.
const SHARPNESS: [Option<f64>; 4] = [Some(9.0), None, Some(0.5), Some(120.0)];

fn checkpoint(index: usize) -> String {
    format!("runs/m{index}/checkpoints/last.safetensors")
}

fn top(value: f64) -> Eigenvalue {
    Eigenvalue { value, residual: 1e-6, converged: true, end: End::Top }
}

fn comparison() -> Comparison {
    let row = |(index, lambda): (usize, &Option<f64>)| Row {
        file: checkpoint(index),
        loss: Some(0.01 * (index + 1) as f64),
        lambda_max: lambda.map(top),
        sharpness: vec![Measurement { stderr: Some(0.05), ..Measurement::new(Measure::FisherRao, 1.0 + index as f64) }],
        ..Row::default()
    };
    Comparison::new(SHARPNESS.iter().enumerate().map(row).collect())
}

fn surface(index: usize) -> Surface {
    let coordinates: Vec<f64> = (0..21).map(|at| -1.0 + 0.1 * f64::from(at)).collect();
    let axis = Axis {
        name: "random".into(),
        coordinates: coordinates.clone(),
        norm: 2.0,
        normalized: true,
        curvature: 4.0,
        curvature_difference: None,
        eigenvalue: None,
    };
    let steep = (index + 1) as f64;
    Surface {
        train_loss: coordinates
            .iter()
            .map(|y| coordinates.iter().map(|x| 0.25 + steep * (x * x + 0.5 * y * y)).collect())
            .collect(),
        x: axis.clone(),
        y: axis,
        cosine: 0.0,
        normalization: Normalization::Filter,
        ignored: Vec::new(),
        directions: None,
        batch_norm: None,
        train_accuracy: Vec::new(),
        test_loss: Vec::new(),
        test_accuracy: Vec::new(),
        marks: vec![Mark { name: checkpoint(index), x: 0.0, y: 0.0, distance: 0.0 }],
        not_finite: 0,
        shard: None,
    }
}

fn spectrum(scale: f64) -> Spectrum {
    let grid: Vec<f64> = (0..400).map(|at| scale * (f64::from(at) / 40.0 - 1.0)).collect();
    let density = Density {
        nodes: vec![8.0 * scale, 0.0, scale],
        weights: vec![0.001, 0.5, 0.499],
        values: grid.iter().map(|x| (-(x / scale).powi(2)).exp() / scale).collect(),
        stderr: Vec::new(),
        grid,
        sigma: 0.1 * scale,
        atoms: 1,
        probes: 1,
        steps: 2,
    };
    Spectrum { density: Some(Box::new(density)), ..Spectrum::new(Matrix::Hessian, vec![top(8.0 * scale)]) }
}

/// The page of a comparison with surfaces and densities of its minima.
fn compared() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let provenance = |index: Option<usize>| Provenance {
        checkpoint: index.map(|index| Checkpoint { path: checkpoint(index), blake3: None, parameters: 1000 }),
        loss: Some("cross-entropy".into()),
        ..Provenance::now()
    };
    let write = |name: &str, index, outcome| {
        Record::new(provenance(index), outcome).write(&directory.path().join(name)).unwrap();
    };
    write("comparison.json", None, Outcome::Comparison(comparison()));
    for index in 0..2 {
        write(&format!("plane-{index}.json"), Some(index), Outcome::Surface(Box::new(surface(index))));
        write(&format!("spectrum-{index}.json"), Some(index), Outcome::Spectrum(spectrum(1.0 + index as f64)));
    }
    let page = draw(directory.path()).unwrap()[0].clone();
    (directory, page)
}

/// The page of a study.
fn studied() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    records::write_records(directory.path()).unwrap();
    let page = draw(directory.path()).unwrap()[0].clone();
    (directory, page)
}

fn size(page: &Path) -> u64 {
    fs::metadata(page).unwrap().len()
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn pages_open_without_an_error_and_ask_for_nothing_but_themselves() {
    for (_directory, file) in [compared(), studied()] {
        assert!(size(&file) < 5_000_000);
        let mut page = Page::open(&file, 1280);
        assert_eq!(page.complaints(), [""; 0]);
        assert_eq!(page.requests(), 1, "the page itself");
    }
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn a_comparison_says_which_minimum_is_the_flattest() {
    let (_directory, file) = compared();
    let mut page = Page::open(&file, 1280);
    assert_eq!(page.text("document.querySelector('h1').textContent"), "Minima side by side");
    let summary = page.text("document.querySelector('#content section').innerText");
    for told in
        ["m2 is the flattest. λ_max: 0.500 for m2, 120 for m3", "m0 is the flattest. fisher-rao: 1.000 ± 0.050 for m0"]
    {
        assert!(summary.contains(&told.replace(" ± ", "\u{a0}±\u{a0}")), "{told}: {summary}");
    }
    let missing = page.value(
        "[...document.querySelectorAll('.files a')].map((link) => link.getAttribute('href')).filter((link) => \
         link.startsWith('#') && !document.querySelector(link))",
    );
    assert_eq!(missing, json!([]));
}

/// The names and values of a table of the comparison's page, from top to bottom.
fn column(page: &mut Page) -> serde_json::Value {
    page.value(
        "[...document.querySelectorAll('#comparison-scale-dependent tbody tr')].map((row) => row.cells[0].textContent)",
    )
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn tables_sort_by_value_with_mouse_and_keys() {
    let (_directory, file) = compared();
    let mut page = Page::open(&file, 1280);
    let head = "#comparison-scale-dependent th:nth-child(2)";
    assert_eq!(column(&mut page), json!(["m0", "m1", "m2", "m3"]));
    page.click(&format!("{head} button"));
    // As words 120 would come before 9; what is unknown stays last.
    assert_eq!(column(&mut page), json!(["m2", "m0", "m3", "m1"]));
    let sorted = format!("document.querySelector({head:?}).getAttribute('aria-sort')");
    assert_eq!(page.text(&sorted), "ascending");
    page.value(&format!("document.querySelector({:?}).focus()", format!("{head} button")));
    page.press("Enter");
    assert_eq!(column(&mut page), json!(["m3", "m0", "m2", "m1"]));
    assert_eq!(page.text(&sorted), "descending");
    page.click("#comparison-scale-dependent th:first-child button");
    assert_eq!(column(&mut page), json!(["m0", "m1", "m2", "m3"]));
    assert_eq!(page.value(&sorted), json!(null), "one column at a time");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn the_look_follows_the_system_until_it_is_switched() {
    let (_directory, file) = compared();
    let mut page = Page::open(&file, 1280);
    let paper = "getComputedStyle(document.body).backgroundColor";
    let drawn = "getComputedStyle(document.querySelector('svg [fill=\"#FFFFFF\"]')).fill";
    let [light, dark] = ["rgb(255, 255, 255)", "rgb(22, 24, 27)"];
    for (asked, expected) in [("light", light), ("dark", dark)] {
        page.emulate("screen", asked);
        assert_eq!([page.text(paper), page.text(drawn)], [expected, expected]);
    }
    page.click("button.look");
    assert_eq!([page.text(paper), page.text(drawn)], [light, light]);
    page.emulate("print", "dark");
    assert_eq!(page.text(paper), light);
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn figures_tell_their_values_to_pointer_and_keys() {
    let (_directory, file) = compared();
    let mut page = Page::open(&file, 1280);
    let shown = |stem: &str| {
        format!(
            "(() => {{ const tip = document.querySelector('#{stem} .tip'); return tip.hidden ? '' : tip.textContent; }})()"
        )
    };
    let spots = "JSON.parse(document.querySelector('#measures-scale-dependent script').textContent)";
    let at = page.value(&format!("(({{spots: [[x, y]], width, height}}) => [x / width, y / height])({spots})"));
    page.point("#measures-scale-dependent svg", at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
    assert_eq!(page.text(&shown("measures-scale-dependent")), "m0\nλ_max = 9");
    page.point("h1", 0.5, 0.5);
    assert_eq!(page.text(&shown("measures-scale-dependent")), "");
    page.value("document.querySelector('#sharpness-against-loss .picture').focus()");
    page.press("ArrowRight");
    assert_eq!(page.text(&shown("sharpness-against-loss")), "m0\ntraining cross-entropy = 0.01\nλ_max = 9");
    page.press("ArrowLeft");
    assert!(page.text(&shown("sharpness-against-loss")).starts_with("m3"));
    page.press("Escape");
    assert_eq!(page.text(&shown("sharpness-against-loss")), "");
    page.value("document.querySelector('#surface-1 .picture').focus()");
    for key in ["ArrowRight", "ArrowLeft"] {
        page.press(key);
    }
    assert!(page.text(&shown("surface-1")).contains("x: random = 0"));
    // A place on the map away from the mark: the nearest point of the grid.
    page.point("#surface-1 svg", 0.2, 0.2);
    let told = page.text(&shown("surface-1"));
    assert!(told.contains("x: random = −") && told.contains("training cross-entropy = "), "{told}");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn surfaces_turn_on_the_screen_and_stand_still_on_paper() {
    let (_directory, file) = compared();
    let mut page = Page::open(&file, 1280);
    let picture = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => \
                   done(document.querySelector('#surface-1-3d canvas').toDataURL()))))";
    let first = page.text(picture);
    assert!(first.len() > 5000, "something is drawn");
    page.value("document.querySelector('#surface-1-3d canvas').focus()");
    page.press("ArrowLeft");
    let turned = page.text(picture);
    assert!(first != turned, "an arrow key turns it");
    page.press("+");
    assert!(turned != page.text(picture), "a plus enlarges it");
    page.press("0");
    assert!(first == page.text(picture), "0 begins again");
    page.drag("#surface-1-3d canvas", 60.0, 10.0);
    assert!(first != page.text(picture), "dragging turns it");
    page.point("#surface-1-3d canvas", 0.5, 0.45);
    let told = page.text("document.querySelector('#surface-1-3d .tip').textContent");
    assert!(told.contains("x: random = ") && told.contains("training cross-entropy = "), "{told}");
    let displayed = |part: &str| format!("getComputedStyle(document.querySelector('#surface-1-3d {part}')).display");
    assert_eq!([page.text(&displayed("svg")), page.text(&displayed("canvas"))], ["none", "block"]);
    page.emulate("print", "light");
    assert_eq!([page.text(&displayed("svg")), page.text(&displayed("canvas"))], ["block", "none"]);
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn nothing_runs_off_a_phone_or_off_paper() {
    for (_directory, file) in [compared(), studied()] {
        let mut page = Page::open(&file, 360);
        assert_eq!(page.value("document.documentElement.scrollWidth <= 360"), json!(true));
        page.resize(700);
        page.emulate("print", "light");
        let clipped = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1)\
                       .map((box) => box.getAttribute('aria-label'))";
        assert_eq!(page.value(clipped), json!([]));
        assert_eq!(
            page.value("[...document.querySelectorAll('.look, nav, .files')].some((part) => part.offsetParent)"),
            json!(false)
        );
    }
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn pages_can_be_read_by_ear_and_walked_through_by_keys() {
    for (_directory, file) in [compared(), studied()] {
        let mut page = Page::open(&file, 1280);
        let levels = page.value("[...document.querySelectorAll('h1, h2, h3')].map((head) => Number(head.tagName[1]))");
        let levels: Vec<i64> = serde_json::from_value(levels).unwrap();
        assert!(levels[0] == 1 && levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        let nameless = "[...document.querySelectorAll('svg[role=img]')].filter((picture) => \
                        !document.getElementById(picture.getAttribute('aria-labelledby'))?.textContent).length \
                        + document.querySelectorAll('svg:not([role=img])').length";
        assert_eq!(page.value(nameless), json!(0));
        assert_eq!(
            page.value("['main', 'nav', 'header'].map((part) => document.querySelectorAll(part).length)"),
            json!([1, 1, 1])
        );
        let twice = "(() => { const names = [...document.querySelectorAll('[id]')].map((part) => part.id); \
                     return names.filter((name, at) => names.indexOf(name) !== at); })()";
        assert_eq!(page.value(twice), json!([]));
        page.press("Tab");
        assert_eq!(page.text("document.activeElement.textContent"), "Skip to the content");
        page.press("Enter");
        assert_eq!(page.text("document.activeElement.tagName"), "MAIN");
    }
}
