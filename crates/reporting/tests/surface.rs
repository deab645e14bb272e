//! A record of the loss over a plane as a map and as a surface.

#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::fs;

use basin_records::surface::{Axis, Mark, Normalization};
use basin_records::{Outcome, Provenance, Record, Surface};
use basin_reporting::draw;

fn axis(name: &str, coordinates: Vec<f64>, norm: f64) -> Axis {
    Axis {
        name: name.into(),
        coordinates,
        norm,
        normalized: true,
        curvature: 4.0,
        curvature_difference: Some(4.1),
        eigenvalue: None,
    }
}

/// Three columns, two rows, and one point without a number.
fn surface() -> Surface {
    Surface {
        x: axis("random", vec![-1.0, 0.0, 1.0], 2.0),
        y: axis("towards runs/b144-s1/checkpoints/last.safetensors", vec![0.0, 1.0], 5.0),
        cosine: 0.5,
        normalization: Normalization::Filter,
        ignored: vec!["fc1.bias".into()],
        directions: None,
        batch_norm: None,
        train_loss: vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, f64::NAN]],
        train_accuracy: Vec::new(),
        test_loss: vec![vec![1.5, 2.5, 3.5], vec![4.5, 5.5, 6.5]],
        test_accuracy: Vec::new(),
        marks: vec![Mark { name: "runs/b16-s0/checkpoints/last.safetensors".into(), x: 0.0, y: 0.0, distance: 0.0 }],
        not_finite: 1,
        shard: None,
    }
}

fn drawn(surface: Surface) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let provenance = Provenance { loss: Some("cross-entropy".into()), ..Provenance::now() };
    let record = Record::new(provenance, Outcome::Surface(Box::new(surface)));
    record.write(&directory.path().join("surface.json")).unwrap();
    draw(directory.path()).unwrap();
    directory
}

#[test]
fn a_plane_is_drawn_from_above_and_as_a_surface() {
    let directory = drawn(surface());
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let numbers = read("figures/surface.csv");
    let lines: Vec<&str> = numbers.lines().collect();
    assert_eq!(lines[0], "x,y,x_displacement,y_displacement,train_loss,test_loss");
    // Rows are those of y: a picture that exchanged the axes would have other neighbours.
    assert_eq!(lines[1..=4], ["-1,0,-2,0,1,1.5", "0,0,0,0,2,2.5", "1,0,2,0,3,3.5", "-1,1,-2,5,4,4.5"]);
    let map = read("figures/surface.svg");
    for words in ["x: random", "y: towards b144-s1", "training cross-entropy", "b16-s0", "no number at 1 of 6 points"] {
        assert!(map.contains(words), "{words}");
    }
    assert!(directory.path().join("figures/surface-3d.png").exists());
    let page = read("index.html").replace('\u{a0}', " ");
    for told in [
        "One unit of x is 2.00 in parameter space, of y 5.00.",
        "normalised by filter, without 1 tensor of biases and norms; the angle between the axes is 60.0°",
        "4.00 along random (by the differences of the surface 4.10)",
    ] {
        assert!(page.contains(told), "{told}");
    }
}

/// The labels of all axes and of the colours.
fn labels(svg: &str) -> Vec<String> {
    let texts = svg.split("<text").skip(1).filter_map(|text| text.split('>').nth(1)?.split('<').next());
    texts
        .map(|text| text.trim().to_owned())
        .filter(|text| text.parse::<f64>().is_ok() || text.starts_with('−'))
        .collect()
}

#[test]
fn surfaces_of_one_kind_share_axes_and_levels_and_others_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let of = |steep: f64, reach: f64, normalization| {
        let coordinates: Vec<f64> = (-4..=4).map(|at| reach * f64::from(at) / 4.0).collect();
        let row = |y: &f64| coordinates.iter().map(|x| 1.0 + steep * (x * x + y * y)).collect();
        Surface {
            train_loss: coordinates.iter().map(row).collect(),
            x: axis("random", coordinates.clone(), 1.0),
            y: axis("random", coordinates.clone(), 1.0),
            test_loss: Vec::new(),
            normalization,
            ..surface()
        }
    };
    let kinds =
        [(1.0, 1.0, Normalization::Filter), (9.0, 2.0, Normalization::Filter), (1.0, 1.0, Normalization::Layer)];
    for (index, (steep, reach, normalization)) in kinds.into_iter().enumerate() {
        let record = Record::new(Provenance::now(), Outcome::Surface(Box::new(of(steep, reach, normalization))));
        record.write(&directory.path().join(format!("surface-{index}.json"))).unwrap();
    }
    draw(directory.path()).unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    for ending in ["", "-3d"] {
        let [one, other, apart] = [1, 2, 3].map(|index| labels(&read(&format!("figures/surface-{index}{ending}.svg"))));
        assert!(one.len() > 8 && one == other, "{one:?} {other:?}");
        assert_ne!(one, apart);
    }
    let page = read("index.html");
    assert_eq!(page.matches("Axes, levels and colours are the same in all 2 surfaces of this kind.").count(), 4);
    let maps: Vec<usize> = ["surface-1", "surface-2", "surface-3", "surface-1-3d"]
        .map(|stem| page.find(&format!("<figure id=\"{stem}\"")).unwrap())
        .to_vec();
    assert!(maps.is_sorted(), "all from above stand side by side");
}

#[test]
fn a_part_of_a_surface_is_no_picture() {
    let part = Surface { train_loss: vec![vec![1.0, 2.0, 3.0], Vec::new()], shard: Some("1/2".into()), ..surface() };
    let directory = drawn(part);
    assert!(directory.path().join("index.html").exists());
    assert!(!directory.path().join("figures/surface.svg").exists());
}

#[test]
fn a_large_grid_is_thinned_as_a_surface_and_whole_from_above() {
    let coordinates: Vec<f64> = (0..161).map(f64::from).collect();
    let row = |y: &f64| coordinates.iter().map(|x| x + 2.0 * y + 1.0).collect::<Vec<f64>>();
    let large = Surface {
        x: axis("random", coordinates.clone(), 1.0),
        y: axis("random", coordinates.clone(), 1.0),
        train_loss: coordinates.iter().map(row).collect(),
        test_loss: Vec::new(),
        not_finite: 0,
        ..surface()
    };
    let directory = drawn(large);
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(read("index.html").contains("Drawn of one point in 3 along each axis."));
    let quadrilaterals = read("figures/surface-3d.svg").matches("<polygon").count();
    assert!((53 * 53..54 * 54 + 50).contains(&quadrilaterals), "{quadrilaterals}");
    assert_eq!(read("figures/surface.csv").lines().count(), 1 + 161 * 161);
}
