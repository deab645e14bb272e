//! Disjoint random parts of the data, which show how much of it a figure needs.

use basin_objective::{Error, Result, random};
use rand::seq::SliceRandom as _;

/// Positions of `count` disjoint random subsets of the samples, all of the size ⌊samples/count⌋, each ascending.
///
/// A figure's spread over them is that of one computed on as many samples.
///
/// ```
/// let subsets = basin_sharpness::disjoint_subsets(10, 3, 0)?;
/// assert_eq!(subsets.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
/// assert!(basin_sharpness::disjoint_subsets(10, 11, 0).is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When there are fewer than 2 subsets, or fewer samples than subsets.
pub fn disjoint_subsets(samples: usize, count: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    if count < 2 || count > samples {
        return Err(Error::input(
            format!("{samples} samples cannot be parted into {count} subsets that are compared"),
            format!("give a number from 2 to {samples}"),
        ));
    }
    let mut positions: Vec<usize> = (0..samples).collect();
    positions.shuffle(&mut random::stream(seed, "disjoint subsets", ""));
    let subset = |part: &[usize]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part
    };
    Ok(positions.chunks_exact(samples / count).take(count).map(subset).collect())
}
