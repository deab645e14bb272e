//! Kendall's τ-b against values by hand, every permutation, and the calibration of its errors.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::random::stream;
use basin_sharpness::kendall;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn ties_are_counted_as_by_hand() {
    // Pairs (2,1) tied in x; (3,2) tied in y; the other four concordant: 4/√(5·5).
    let found = kendall(&[1.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 2.0, 3.0]).unwrap();
    assert!((found.tau - 0.8).abs() < 1e-15, "{found:?}");
    // The numbers in between do not matter, and an infinity is only the largest.
    let found = kendall(&[1.0, 1.0, 2.0, f64::INFINITY], &[-9.0, 0.0, 0.0, 1e9]).unwrap();
    assert!((found.tau - 0.8).abs() < 1e-15, "{found:?}");
    let found = kendall(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap();
    assert_eq!((found.tau, found.p_value), (-1.0, 2.0 / 6.0));
    let constant = kendall(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0]).unwrap();
    assert!(constant.tau.is_nan() && constant.p_value.is_nan());
    assert!(kendall(&[1.0], &[1.0]).is_err() && kendall(&[1.0, f64::NAN], &[1.0, 2.0]).is_err());
    assert!(kendall(&[1.0, 2.0], &[1.0, 2.0, 3.0]).is_err());
}

/// All permutations of 0 … n − 1, one after the other in lexicographic order: another way than the one under test.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(n - 1);
    let with_last_at = |p: &Vec<usize>, at: usize| [&p[..at], &[n - 1], &p[at..]].concat();
    shorter.iter().flat_map(|p| (0..n).map(|at| with_last_at(p, at)).collect::<Vec<_>>()).collect()
}

#[test]
fn the_probability_is_the_share_of_all_permutations() {
    let cases: [(&[f64], &[f64]); 4] = [
        (&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 3.0, 5.0, 4.0]),
        (&[1.0, 1.0, 2.0, 3.0, 3.0, 3.0], &[1.0, 2.0, 2.0, 1.0, 5.0, 6.0]),
        (&[3.0, 1.0, 2.0], &[1.0, 1.0, 2.0]),
        (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 6.0]),
    ];
    for (x, y) in cases {
        let found = kendall(x, y).unwrap();
        let all = permutations(x.len());
        let permuted = |p: &Vec<usize>| p.iter().map(|&i| y[i]).collect::<Vec<_>>();
        // τ-b of two permutations differ by more than rounding or not at all.
        let as_large = all.iter().filter(|p| {
            let tau = kendall_by_definition(x, &permuted(p));
            tau.abs() > found.tau.abs() - 1e-9
        });
        assert!((found.tau - kendall_by_definition(x, y)).abs() < 1e-14);
        assert_eq!(found.p_value, as_large.count() as f64 / all.len() as f64, "{x:?} {y:?}");
        assert!(found.exact && found.stderr.is_none());
    }
}

fn kendall_by_definition(x: &[f64], y: &[f64]) -> f64 {
    let sign = |a: f64| if a == 0.0 { 0.0 } else { a.signum() };
    let over_pairs = |f: &dyn Fn(usize, usize) -> f64| -> f64 {
        (0..x.len()).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| f(i, j)).sum()
    };
    let (a, b) = (|i: usize, j: usize| sign(x[i] - x[j]), |i: usize, j: usize| sign(y[i] - y[j]));
    over_pairs(&|i, j| a(i, j) * b(i, j))
        / (over_pairs(&|i, j| a(i, j).abs()) * over_pairs(&|i, j| b(i, j).abs())).sqrt()
}

/// n pairs of normal numbers with the correlation r, whose τ is 2/π asin r.
fn normal_pairs(n: usize, r: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = stream(seed, "test", "pairs");
    let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
    (0..n)
        .map(|_| {
            let (a, b) = (draw(), draw());
            (a, r * a + (1.0 - r * r).sqrt() * b)
        })
        .unzip()
}

#[test]
fn the_standard_error_is_calibrated() {
    for (n, r) in [(12, 0.0), (30, 0.0), (30, 0.7)] {
        let truth = 2.0 / std::f64::consts::PI * f64::asin(r);
        let scores: Vec<f64> = (0..200)
            .map(|seed| {
                let (x, y) = normal_pairs(n, r, seed);
                let found = kendall(&x, &y).unwrap();
                (found.tau - truth) / found.stderr.unwrap()
            })
            .collect();
        let mean = scores.iter().sum::<f64>() / 200.0;
        let std = (scores.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
        // Four standard errors of a standard deviation over 200 numbers are 0.2; the seeds are fixed.
        assert!((std - 1.0).abs() < 0.2 && mean.abs() < 0.3, "{n} {r}: {mean} ± {std}");
    }
}

#[test]
fn probabilities_without_correlation_are_uniform() {
    for n in [8, 20] {
        let small = (0..200).filter(|&seed| {
            let (x, y) = normal_pairs(n, 0.0, seed);
            kendall(&x, &y).unwrap().p_value <= 0.1
        });
        // 20 are expected, with a standard deviation of 4.2; for n = 8 fewer, for the distribution has steps.
        let small = small.count();
        assert!((6..34).contains(&small), "{n}: {small}");
    }
}

#[test]
fn the_normal_probability_meets_the_exact_one() {
    // Kendall's own variance without ties, 2(2n + 5)/(9n(n − 1)), for τ = 0.2 at n = 10.
    let x: Vec<f64> = (0..10).map(f64::from).collect();
    let y = [2.0, 0.0, 5.0, 1.0, 8.0, 4.0, 9.0, 3.0, 7.0, 6.0];
    let found = kendall(&x, &y).unwrap();
    let z = found.tau / (2.0 * 25.0 / (9.0 * 10.0 * 9.0_f64)).sqrt();
    let expected = libm::erfc(z / 2_f64.sqrt());
    assert!(!found.exact && (found.p_value - expected).abs() < 1e-12, "{found:?} {expected}");
}
