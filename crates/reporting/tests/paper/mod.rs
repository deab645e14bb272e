//! Whether a figure keeps to its paper.

use std::fs;
use std::path::Path;

/// Every point of an SVG file lies on it, and all of them are numbers.
pub(crate) fn assert_on(path: &Path) {
    let svg = &fs::read_to_string(path).unwrap();
    let after = |text: &str, name: &str| -> Vec<String> {
        let attribute = format!(" {name}=\"");
        let starts = text.match_indices(&attribute).map(|(at, found)| at + found.len());
        starts.map(|at| text[at..].split('"').next().unwrap().to_owned()).collect()
    };
    let size = |name| after(svg, name)[0].parse::<f64>().unwrap();
    let points: Vec<(f64, f64)> = after(svg, "points")
        .iter()
        .flat_map(|points| points.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .map(|point| point.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap())
        .collect();
    assert!(!points.is_empty(), "{}", path.display());
    let inside = |(x, y): &(f64, f64)| (0.0..=size("width")).contains(x) && (0.0..=size("height")).contains(y);
    assert!(points.iter().all(inside), "{}", path.display());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", path.display());
}
