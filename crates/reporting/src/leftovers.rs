//! What an earlier drawing left in `figures/`: figures that are numbered otherwise now, or that the records give no more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands before the name of a figure's file in a page.
const REFERENCE: &str = "href=\"figures/";

/// The files in `figures/` that the page in a directory refers to; those alone were surely drawn here.
pub(crate) fn of_earlier_page(directory: &Path) -> BTreeSet<PathBuf> {
    let page = fs::read_to_string(directory.join("index.html")).unwrap_or_default();
    let names = page.split(REFERENCE).skip(1).filter_map(|rest| rest.split('"').next());
    names.filter(|name| is_drawing(name)).map(|name| directory.join("figures").join(name)).collect()
}

/// Removes those that were not drawn again.
pub(crate) fn remove(earlier: BTreeSet<PathBuf>, written: &[PathBuf]) {
    for path in earlier.into_iter().filter(|path| !written.contains(path)) {
        // A file too much does no harm, and the page no longer names it.
        let _ = fs::remove_file(path);
    }
}

/// A plain name with one of our endings, which leads nowhere else.
fn is_drawing(name: &str) -> bool {
    let plain = |stem: &str| stem.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && plain(stem) && matches!(ending, "svg" | "png" | "pdf" | "csv")
    })
}

#[cfg(test)]
mod tests {
    use super::is_drawing;

    #[test]
    fn only_plain_names_of_drawings_are_ours() {
        assert!(
            ["line-1.svg", "table-accuracy.csv", "eigenvalues-empirical-fisher.png", "surface.pdf"]
                .into_iter()
                .all(is_drawing)
        );
        assert!(!["", ".svg", "line.txt", "../study.csv", "a/b.csv", "a.b.csv", "line"].into_iter().any(is_drawing));
    }
}
