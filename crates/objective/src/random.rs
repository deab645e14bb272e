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
        let mut normal = stream(1, "purpose", "name");
        let mut uniform = stream(2, "purpose", "name");
        let mut order: Vec<usize> = (0..8).collect();
        order.shuffle(&mut stream(3, "purpose", "name"));
        let found = format!(
            "{:?} {:?} {:?} {} {order:?}",
            [bits.random::<u64>(), bits.random::<u64>()],
            [(); 3].map(|()| -> f64 { StandardNormal.sample(&mut normal) }),
            uniform.random::<f64>(),
            uniform.random_range(0..1000_u32),
        );
        assert_eq!(
            found,
            "[17677652939549284930, 9069057887147822709] [-0.8649799846694498, 1.0026020126823405, 1.0579347622095487] 0.7887391173948602 551 [5, 1, 3, 2, 7, 0, 6, 4]"
        );
    }

    #[test]
    fn where_purpose_ends_and_name_begins_matters() {
        let draw = |purpose, name| stream(0, purpose, name).random::<u64>();
        assert_ne!(draw("ab", "c"), draw("a", "bc"));
        assert_ne!(draw("", "abc"), draw("abc", ""));
    }
}
