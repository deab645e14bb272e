//! Short names of checkpoints: the run, or the file.

use crate::figure::distinct;

/// What tells a checkpoint's path from others of its kind: `b16-s0` of `runs/b16-s0/checkpoints/last.safetensors`.
pub(crate) fn short(path: &str) -> String {
    let stem = |file: &str| file.strip_suffix(".safetensors").unwrap_or(file).to_owned();
    let Some((folder, file)) = path.rsplit_once('/') else { return stem(path) };
    let stem = stem(file);
    match folder.strip_suffix("/checkpoints").map(|run| run.rsplit('/').next().unwrap_or(run)) {
        Some(run) if stem == "last" => run.to_owned(),
        Some(run) => format!("{run}, {stem}"),
        None => stem,
    }
}

/// Words of which those that are paths are cut short.
pub(crate) fn short_words(words: &str) -> String {
    let cut = |word: &str| if word.contains('/') { short(word) } else { word.to_owned() };
    words.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

/// Names of several checkpoints, short where that tells all of them apart.
pub(crate) fn apart(paths: &[&str]) -> Vec<String> {
    let names: Vec<String> = paths.iter().map(|path| short(path)).collect();
    let told = distinct(names.iter()).len() == distinct(paths.iter()).len();
    if told { names } else { paths.iter().map(|&path| path.to_owned()).collect() }
}

#[cfg(test)]
mod tests {
    use super::{apart, short_words};

    #[test]
    fn checkpoints_are_named_by_their_runs() {
        assert_eq!(short_words("towards runs/x/runs/b16-s0/checkpoints/last.safetensors"), "towards b16-s0");
        assert_eq!(short_words("runs/mine/checkpoints/epoch-00010.safetensors"), "mine, epoch-00010");
        assert_eq!(short_words("models/resnet.safetensors"), "resnet");
        assert_eq!(short_words("eigenvector 1"), "eigenvector 1");
    }

    #[test]
    fn names_that_would_be_alike_stay_long() {
        let run = |study: &str| format!("{study}/runs/b16-s0/checkpoints/last.safetensors");
        let paths = [run("one"), run("two")];
        assert_eq!(apart(&[&paths[0], &paths[1]]), paths);
        assert_eq!(apart(&["a/b.safetensors", "a/c.safetensors"]), ["b", "c"]);
    }
}
