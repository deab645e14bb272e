//! The known name that a mistyped one was probably meant to be.

/// The known name nearest to `name`, if one is near enough to be a likely slip.
///
/// ```
/// # use basin_objective::nearest;
/// assert_eq!(nearest("cifar-10", &["mnist", "cifar10", "cifar100"]), Some("cifar10"));
/// assert_eq!(nearest("imagenet", &["mnist", "cifar10", "cifar100"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let tolerance = (name.chars().count() / 3).max(1);
    known
        .iter()
        .map(|&candidate| (edit_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, _)| distance <= tolerance)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// “did you mean …?” where a known name is near, else the list of them all.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known: {}", known.join(", ")),
    }
}

/// The Levenshtein distance: how many characters to insert, delete or replace.
fn edit_distance(a: &str, b: &str) -> usize {
    // `row` holds the distances from the characters of `a` read so far to every beginning of `b`.
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let distance = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, distance);
            left = distance;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_known_pairs() {
        for (a, b, distance) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("ä", "a", 1)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a:?} to {b:?}");
        }
    }

    #[test]
    fn the_nearest_wins_and_the_far_is_left_out() {
        assert_eq!(nearest("clustrs", &["spirals", "clusters"]), Some("clusters"));
        assert_eq!(nearest("MNIST", &["mnist"]), Some("mnist"));
        assert_eq!(nearest("x", &["spirals"]), None);
        assert_eq!(nearest("anything", &[]), None);
    }
}
