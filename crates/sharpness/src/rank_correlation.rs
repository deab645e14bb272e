//! Kendall's rank correlation with ties, and how sure it is.

use basin_objective::{Error, Result};

/// Up to so many pairs of numbers every permutation is counted, 9! = 362 880; beyond, the normal distribution serves.
pub const EXACT_UP_TO: usize = 9;

/// How alike two measures rank the same things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankCorrelation {
    /// τ-b, between −1 and 1; NaN where one of the two is the same for all.
    pub tau: f64,
    /// Its jackknife standard error; none up to nine pairs, where it would mislead: it is 0 for a perfect ranking of any
    /// length.
    pub stderr: Option<f64>,
    /// The probability of a |τ-b| at least as large when the second numbers are paired with the first by chance.
    pub p_value: f64,
    /// Whether `p_value` counts all permutations.
    pub exact: bool,
}

/// Kendall's τ-b = (C − D)/√((n₀ − n₁)(n₀ − n₂)), with C concordant and D discordant of the n₀ = n(n − 1)/2 pairs and n₁, n₂ of them
/// tied in x and in y (Kendall, "Rank correlation methods", 1970).
///
/// The probability is two-sided: by all n! permutations of y up to n = 9, ties included, and beyond by the normal
/// distribution with the variance of C − D under ties (Kendall, 1970). The standard error beyond n = 9 is the
/// jackknife's, which is consistent for smooth functions of U-statistics such as τ-b (Arvesen, 1969).
///
/// ```
/// use basin_sharpness::kendall;
///
/// let found = kendall(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0])?;
/// // Five of six pairs agree; of the 24 permutations 8 have |C − D| ≥ 4.
/// assert!((found.tau - 4.0 / 6.0).abs() < 1e-15 && found.exact && found.p_value == 8.0 / 24.0);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the lengths differ, there are fewer than two numbers, or one is NaN.
pub fn kendall(x: &[f64], y: &[f64]) -> Result<RankCorrelation> {
    if x.len() != y.len() || x.len() < 2 || x.iter().chain(y).any(|number| number.is_nan()) {
        let message = format!("{} and {} numbers, or NaN among them, have no rank correlation", x.len(), y.len());
        return Err(Error::input(message, "give two numbers or more of each, none of them NaN"));
    }
    let (ranks_x, ranks_y) = (ranks(x), ranks(y));
    let n = x.len();
    let exact = n <= EXACT_UP_TO;
    let pairs = Pairs::of(&ranks_x, &ranks_y);
    Ok(RankCorrelation {
        tau: pairs.tau(),
        stderr: (!exact).then(|| jackknife(&ranks_x, &ranks_y)),
        p_value: match pairs.tau().is_nan() {
            true => f64::NAN,
            false if exact => permutation_p_value(&ranks_x, ranks_y.clone(), pairs.score),
            false => normal_p_value(&ranks_x, &ranks_y, pairs.score),
        },
        exact,
    })
}

/// Dense ranks: equal numbers have one rank.
fn ranks(numbers: &[f64]) -> Vec<usize> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    numbers.iter().map(|number| sorted.partition_point(|other| other < number)).collect()
}

/// What the pairs of a ranking amount to.
struct Pairs {
    /// C − D.
    score: i64,
    /// n₀ − n₁ and n₀ − n₂.
    untied_x: u64,
    untied_y: u64,
}

impl Pairs {
    fn of(x: &[usize], y: &[usize]) -> Self {
        let mut pairs = Self { score: 0, untied_x: 0, untied_y: 0 };
        for i in 0..x.len() {
            for j in 0..i {
                let (a, b) = (order(x[i], x[j]), order(y[i], y[j]));
                pairs.score += a * b;
                pairs.untied_x += a.unsigned_abs();
                pairs.untied_y += b.unsigned_abs();
            }
        }
        pairs
    }

    fn tau(&self) -> f64 {
        self.score as f64 / (self.untied_x as f64 * self.untied_y as f64).sqrt()
    }
}

fn order(a: usize, b: usize) -> i64 {
    a.cmp(&b) as i64
}

/// The share of the permutations of y with a |C − D| at least as large; ties are the same in all of them.
fn permutation_p_value(x: &[usize], mut y: Vec<usize>, score: i64) -> f64 {
    let (mut as_large, mut all) = (0_u64, 0_u64);
    let mut count = |y: &[usize]| {
        all += 1;
        as_large += u64::from(Pairs::of(x, y).score.abs() >= score.abs());
    };
    // Heap's algorithm.
    let mut swaps = vec![0; y.len()];
    count(&y);
    let mut i = 1;
    while i < y.len() {
        if swaps[i] < i {
            y.swap(if i % 2 == 0 { 0 } else { swaps[i] }, i);
            count(&y);
            swaps[i] += 1;
            i = 1;
        } else {
            swaps[i] = 0;
            i += 1;
        }
    }
    as_large as f64 / all as f64
}

/// Two-sided, by the normal distribution of C − D.
fn normal_p_value(x: &[usize], y: &[usize], score: i64) -> f64 {
    let n = x.len() as f64;
    let (tx, ty) = (ties(x), ties(y));
    let sum = |ties: &[f64], f: &dyn Fn(f64) -> f64| ties.iter().map(|&t| f(t)).sum::<f64>();
    let cubic = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
    let (two, three) = (|t: f64| t * (t - 1.0), |t: f64| t * (t - 1.0) * (t - 2.0));
    let variance = (cubic(n) - sum(&tx, &cubic) - sum(&ty, &cubic)) / 18.0
        + sum(&tx, &two) * sum(&ty, &two) / (2.0 * two(n))
        + sum(&tx, &three) * sum(&ty, &three) / (9.0 * three(n));
    libm::erfc(score.unsigned_abs() as f64 / (2.0 * variance).sqrt())
}

/// How many there are of each rank.
fn ties(ranks: &[usize]) -> Vec<f64> {
    let mut counts = vec![0.0; ranks.len()];
    ranks.iter().for_each(|&rank| counts[rank] += 1.0);
    counts
}

/// √((n − 1)/n Σ (τ₍ᵢ₎ − τ̄)²) over the correlations with one pair left out.
fn jackknife(x: &[usize], y: &[usize]) -> f64 {
    let without = |ranks: &[usize], i: usize| [&ranks[..i], &ranks[i + 1..]].concat();
    let taus: Vec<f64> = (0..x.len()).map(|i| Pairs::of(&without(x, i), &without(y, i)).tau()).collect();
    let n = taus.len() as f64;
    let mean = taus.iter().sum::<f64>() / n;
    ((n - 1.0) / n * taus.iter().map(|tau| (tau - mean).powi(2)).sum::<f64>()).sqrt()
}
