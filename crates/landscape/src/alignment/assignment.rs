//! Linear assignment.

use ordered_float::OrderedFloat;
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// The permutation σ that maximises Σᵢ gain(i, σ(i)) for a square matrix of finite gains, row by row, by the algorithm of Kuhn and
/// Munkres in O(n³).
pub(super) fn assignment(gains: &[Vec<f64>]) -> Vec<usize> {
    kuhn_munkres(&Matrix::from_fn(gains.len(), gains.len(), |(row, column)| OrderedFloat(gains[row][column]))).1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::assignment;

    fn total(gains: &[Vec<f64>], order: &[usize]) -> f64 {
        order.iter().enumerate().map(|(row, &column)| gains[row][column]).sum()
    }

    /// The largest total over all permutations of the columns behind the first `row`s.
    fn best(gains: &[Vec<f64>], columns: &mut Vec<usize>, row: usize) -> f64 {
        if row == columns.len() {
            return total(gains, columns);
        }
        let mut largest = f64::NEG_INFINITY;
        for other in row..columns.len() {
            columns.swap(row, other);
            largest = largest.max(best(gains, columns, row + 1));
            columns.swap(row, other);
        }
        largest
    }

    fn matrix(entry: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Vec<Vec<f64>>> {
        (1..=7_usize).prop_flat_map(move |n| proptest::collection::vec(proptest::collection::vec(entry.clone(), n), n))
    }

    fn assert_best(gains: &[Vec<f64>]) {
        let found = assignment(gains);
        let mut columns: Vec<usize> = (0..gains.len()).collect();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, columns, "{found:?} is no permutation");
        let best = best(gains, &mut columns, 0);
        assert!((total(gains, &found) - best).abs() <= 1e-12 * (1.0 + best.abs()), "{found:?} of {gains:?}");
        assert_eq!(assignment(gains), found);
    }

    proptest! {
        #[test]
        fn no_permutation_gains_more(gains in matrix(-1.0..1.0_f64)) {
            assert_best(&gains);
        }

        /// Few values, so that many permutations are as good.
        #[test]
        fn ties_do_not_harm(gains in matrix((-1..=1_i32).prop_map(f64::from))) {
            assert_best(&gains);
        }
    }
}
