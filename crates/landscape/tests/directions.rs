//! Directions: what is drawn, how it is scaled to the weights, what is left of angles.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_landscape::{Direction, Rank, eigenvectors, ignored, normalized, without_ignored};
use basin_objective::Quadratic;
use basin_records::spectrum::End;
use basin_records::surface::Normalization;
use basin_sharpness::lanczos::Lanczos;
use basin_tape::Layout;
use candle_core::{Device, Tensor};
use proptest::prelude::*;

fn vector(elements: &[f64]) -> Tensor {
    Tensor::new(elements, &Device::Cpu).unwrap()
}

fn direction(elements: &[f64]) -> Direction {
    Direction { name: "test".into(), vector: vector(elements) }
}

fn values(vector: &Tensor) -> Vec<f64> {
    vector.to_vec1().unwrap()
}

/// A convolution of two filters, a bias, a linear layer of three neurons.
fn layout() -> Layout {
    let mut layout = Layout::default();
    layout.push("conv.weight", &[2, 1, 1, 2]);
    layout.push("conv.bias", &[2]);
    layout.push("fc.weight", &[3, 1]);
    layout
}

const WEIGHTS: [f64; 9] = [3.0, 4.0, 0.0, 2.0, 0.6, 0.8, -1.0, 0.0, 5.0];
const DRAWN: [f64; 9] = [1.0, 0.0, 0.0, -4.0, 2.0, 0.0, 0.5, 7.0, 0.0];

fn scaled(normalization: Normalization) -> Vec<f64> {
    values(&normalized(&vector(&DRAWN), &vector(&WEIGHTS), &layout(), normalization).unwrap())
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-14 * b.abs(), "{found:?} for {expected:?}");
    }
}

#[test]
fn each_normalisation_by_hand() {
    assert_eq!(scaled(Normalization::None), DRAWN);
    // Filters (1, 0) of weights (3, 4), (0, −4) of (0, 2); the bias whole; neurons 0.5 of −1, 7 of 0, 0 of 5.
    assert_close(&scaled(Normalization::Filter), &[5.0, 0.0, 0.0, -2.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let (conv, fc) = ((29.0_f64 / 17.0).sqrt(), (26.0_f64 / 49.25).sqrt());
    let layers = [conv, 0.0, 0.0, -4.0 * conv, 1.0, 0.0, 0.5 * fc, 7.0 * fc, 0.0];
    assert_close(&scaled(Normalization::Layer), &layers);
    assert_close(&scaled(Normalization::Weight), &[3.0, 0.0, 0.0, -8.0, 1.2, 0.0, 0.5, 0.0, 0.0]);
}

#[test]
fn tensors_of_one_axis_are_left_out_by_name() {
    assert_eq!(ignored(&layout()), ["conv.bias"]);
    let kept = values(&without_ignored(&vector(&DRAWN), &layout()).unwrap());
    assert_eq!(kept, [1.0, 0.0, 0.0, -4.0, 0.0, 0.0, 0.5, 7.0, 0.0]);
    assert!(without_ignored(&vector(&DRAWN[1..]), &layout()).is_err());
}

#[test]
fn what_is_drawn_depends_on_seed_and_number_alone() {
    let drawn = |seed, index| values(&Direction::random(2000, seed, index).unwrap().vector);
    assert_eq!(drawn(3, 1), drawn(3, 1));
    assert_ne!(drawn(3, 1), drawn(3, 0));
    assert_ne!(drawn(3, 1), drawn(4, 1));
    let (mean, square) = drawn(0, 0).iter().fold((0.0, 0.0), |(m, s), x| (m + x / 2000.0, s + x * x / 2000.0));
    // Both have standard deviations of 0.022 and 0.032.
    assert!(mean.abs() < 0.1 && (square - 1.0).abs() < 0.15, "mean {mean}, mean square {square}");
}

#[test]
fn what_is_left_is_orthogonal_even_of_nearly_parallel_directions() {
    let x = Direction::random(500, 0, 0).unwrap();
    let noise = Direction::random(500, 0, 1).unwrap();
    let near = Direction {
        name: "near".into(),
        vector: ((&x.vector * 3.0).unwrap() + (&noise.vector * 1e-4).unwrap()).unwrap(),
    };
    assert!(near.cosine(&x).unwrap() > 0.999_999);
    let left = near.orthogonal_to(&x).unwrap();
    assert!(left.cosine(&x).unwrap().abs() < 1e-14, "{}", left.cosine(&x).unwrap());
    // It is the same part of the noise.
    assert!(left.cosine(&noise.orthogonal_to(&x).unwrap()).unwrap() > 1.0 - 1e-9);
}

#[test]
fn parallel_directions_and_no_direction_are_refused() {
    let parallel = direction(&[2.0, -4.0]).orthogonal_to(&direction(&[-1.0, 2.0])).unwrap_err();
    assert!(parallel.is_bad_input() && parallel.to_string().contains("parallel"), "{parallel}");
    let same = Direction::between(&vector(&[1.0]), &vector(&[1.0]), "towards itself").unwrap_err();
    assert!(same.is_bad_input() && same.to_string().contains("towards itself"), "{same}");
    let there = Direction::between(&vector(&[1.0, 5.0]), &vector(&[4.0, 1.0]), "there").unwrap();
    assert_eq!((values(&there.vector), there.norm().unwrap()), (vec![3.0, -4.0], 5.0));
}

#[test]
fn eigenvectors_are_counted_from_either_end() {
    let eigenvalues = [-4.0, 7.0, 1.0, 3.0];
    let mut matrix = [[0.0; 4]; 4];
    (0..4).for_each(|i| matrix[i][i] = eigenvalues[i]);
    let quadratic = Quadratic::new(Tensor::new(&matrix, &Device::Cpu).unwrap(), vector(&[0.0; 4])).unwrap();
    let rank = |end, place| Rank { end, place };
    let asked = [rank(End::Top, 2), rank(End::Bottom, 1), rank(End::Top, 1)];
    let find = |asked: &[Rank]| eigenvectors(&quadratic, &vector(&[1.0; 4]), asked, &Lanczos::default(), |_| Ok(()));
    let found = find(&asked).unwrap();
    for ((direction, eigenvalue), (index, name)) in
        found.found.iter().zip([(3, "eigenvector 2"), (0, "eigenvector -1"), (1, "eigenvector 1")])
    {
        assert_eq!(direction.name, name);
        assert!((eigenvalue.value - eigenvalues[index]).abs() < 1e-10, "{eigenvalue:?}");
        assert!((values(&direction.vector)[index].abs() - 1.0).abs() < 1e-8, "{direction:?}");
    }
    assert!(find(&[rank(End::Top, 5)]).unwrap_err().is_bad_input());
    assert!(find(&[rank(End::Top, 0)]).unwrap_err().is_bad_input());
}

fn elements(count: usize) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-10.0..10.0_f64, count)
}

proptest! {
    /// A filter's direction has the filter's norm, points where it pointed, and does not depend on how long it was.
    #[test]
    fn a_normalised_direction_forgets_its_scale(drawn in elements(9), weights in elements(9), scale in 0.01..100.0_f64) {
        let scale_of = |drawn: &[f64]| {
            values(&normalized(&vector(drawn), &vector(&weights), &layout(), Normalization::Filter).unwrap())
        };
        let found = scale_of(&drawn);
        let longer: Vec<f64> = drawn.iter().map(|x| x * scale).collect();
        for (a, b) in found.iter().zip(scale_of(&longer)) {
            prop_assert!((a - b).abs() <= 1e-13 * b.abs());
        }
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        for filter in [0..2, 2..4, 4..6, 6..7, 7..8, 8..9] {
            if norm(&drawn[filter.clone()]) > 0.0 {
                let expected = norm(&weights[filter.clone()]);
                prop_assert!((norm(&found[filter]) - expected).abs() <= 1e-13 * expected);
            }
        }
    }

    /// It grows with the weights.
    #[test]
    fn a_normalised_direction_scales_with_the_weights(drawn in elements(9), weights in elements(9), scale in 0.01..100.0_f64) {
        for normalization in [Normalization::Filter, Normalization::Layer, Normalization::Weight] {
            let scale_of = |weights: &[f64]| {
                values(&normalized(&vector(&drawn), &vector(weights), &layout(), normalization).unwrap())
            };
            let larger: Vec<f64> = weights.iter().map(|x| x * scale).collect();
            for (a, b) in scale_of(&weights).iter().zip(scale_of(&larger)) {
                prop_assert!((a * scale - b).abs() <= 1e-13 * b.abs());
            }
        }
    }
}
