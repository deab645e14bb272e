//! Principal components against a dense singular value decomposition, and what they must do with damaged or few points.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_landscape::{Direction, PrincipalComponents, principal_components};
use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, SVD};
use proptest::prelude::*;

/// Rows of a random matrix whose columns have other scales, so that no two components vary alike.
fn points(n: usize, parameters: usize, numbers: &[f64]) -> Vec<Vec<f64>> {
    let at = |i: usize, j: usize| numbers[(i * parameters + j) % numbers.len()] * (1.0 + j as f64);
    (0..n).map(|i| (0..parameters).map(|j| at(i, j)).collect()).collect()
}

fn tensors(points: &[Vec<f64>]) -> Vec<Tensor> {
    points.iter().map(|point| Tensor::new(&point[..], &Device::Cpu).unwrap()).collect()
}

fn vectors(found: &PrincipalComponents) -> Vec<Vec<f64>> {
    found.directions.iter().map(|direction| direction.vector.to_vec1::<f64>().unwrap()).collect()
}

/// Helmert's orthonormal rows, each orthogonal to a vector of ones.
fn contrasts(n: usize) -> DMatrix<f64> {
    DMatrix::from_fn(n - 1, n, |i, j| {
        let scale = (((i + 1) * (i + 2)) as f64).sqrt();
        match j {
            _ if j <= i => 1.0 / scale,
            _ if j == i + 1 => -((i + 1) as f64) / scale,
            _ => 0.0,
        }
    })
}

proptest! {
    #[test]
    fn those_of_a_dense_singular_value_decomposition(
        n in 4_usize..9,
        parameters in 4_usize..30,
        numbers in prop::collection::vec(-1.0_f64..1.0, 240),
    ) {
        let points = points(n, parameters, &numbers);
        // Contrasts leave the mean away and nothing else: n - 1 rows with the singular values and right vectors of the n centred
        // ones. Of matrices of less than full rank, or with many zeros, nalgebra's decomposition is wrong now and then: where it
        // does not give the matrix back it is no reference.
        let rows = contrasts(n) * DMatrix::from_fn(n, parameters, |i, j| points[i][j]);
        let dense = SVD::new(rows.clone(), true, true);
        let back = dense.clone().recompose().unwrap();
        prop_assume!((back - &rows).norm() < 1e-12 * rows.norm());
        let (values, v_t) = (dense.singular_values, dense.v_t.unwrap());
        // Where two components vary alike, either may come first.
        prop_assume!(values[2] / values[1] < 0.95 && values[1] / values[0] < 0.95 && values[2] / values[0] > 1e-3);
        let found = principal_components(&tensors(&points), 2).unwrap();
        let total: f64 = values.iter().map(|value| value * value).sum();
        for (k, vector) in vectors(&found).iter().enumerate() {
            prop_assert!((found.shares[k] - values[k] * values[k] / total).abs() < 1e-12);
            let cosine: f64 = vector.iter().enumerate().map(|(j, x)| x * v_t[(k, j)]).sum();
            prop_assert!((cosine.abs() - 1.0).abs() < 1e-10, "component {k}: cosine {cosine}");
            let along: f64 = (0..parameters).map(|j| (points[n - 1][j] - points[0][j]) * vector[j]).sum();
            prop_assert!(along >= -1e-12, "component {k} points backwards: {along}");
        }
        prop_assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(found.directions[0].cosine(&found.directions[1]).unwrap().abs() < 1e-14);
    }
}

#[test]
fn more_parameters_than_are_multiplied_at_a_time() {
    // Two unit vectors far apart, in f32 as checkpoints are.
    let parameters = 150_000;
    let point = |first: f32, last: f32| {
        let mut elements = vec![1.0_f32; parameters];
        (elements[3], elements[parameters - 2]) = (first, last);
        Tensor::from_vec(elements, parameters, &Device::Cpu).unwrap()
    };
    let found = principal_components(&[point(0.0, 0.0), point(3.0, 1.0), point(6.0, 0.0)], 2).unwrap();
    for (direction, place) in vectors(&found).iter().zip([3, parameters - 2]) {
        assert!((direction[place].abs() - 1.0).abs() < 1e-12, "{}", direction[place]);
    }
    // Variances 18 and 2/3.
    assert!((found.shares[0] - 27.0 / 28.0).abs() < 1e-12, "{:?}", found.shares);
    assert_eq!(found.directions[0].vector.dtype(), DType::F64);
}

#[test]
fn points_on_a_line_have_one_component() {
    let on_line = tensors(&[vec![1.0, 2.0], vec![2.0, 4.0], vec![4.0, 8.0]]);
    let error = principal_components(&on_line, 2).unwrap_err().to_string();
    assert!(error.contains("vary along 1 directions, 2 are needed"), "{error}");
    assert!(principal_components(&on_line, 1).is_ok());
    for (points, expected) in [
        (vec![], "0 checkpoints vary along 0 directions"),
        (tensors(&[vec![1.0, 2.0], vec![1.0, 2.0]]), "vary along 0 directions"),
        (tensors(&[vec![1.0, 2.0], vec![1.0]]), "one point has 2 parameters"),
        (tensors(&[vec![1.0, f64::NAN], vec![1.0, 0.0]]), "not finite"),
    ] {
        let error = principal_components(&points, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// The k-th component of a long random walk in many dimensions explains 6/(π²k²) of its variance (Antognini and Sohl-Dickstein,
/// 2018), whatever the walk.
#[test]
fn a_random_walk_looks_low_dimensional() {
    let (steps, parameters) = (200, 4000);
    let mut at = Tensor::zeros(parameters, DType::F64, &Device::Cpu).unwrap();
    let mut points = Vec::with_capacity(steps);
    for step in 0..steps {
        at = (at + Direction::random(parameters, 0, step).unwrap().vector).unwrap();
        points.push(at.clone());
    }
    let found = principal_components(&points, 2).unwrap();
    for (k, share) in found.shares.iter().take(4).enumerate() {
        let expected = 6.0 / (std::f64::consts::PI * (k + 1) as f64).powi(2);
        // Variances over P dimensions spread by √(2/P), 2 % of their size.
        assert!((share - expected).abs() < 0.05 * expected, "{k}: {share} for {expected}");
    }
}
