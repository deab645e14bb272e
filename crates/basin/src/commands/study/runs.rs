//! The training runs of a study.

use std::path::{Path, PathBuf};

use basin_objective::Error;
use basin_training::{RunDirectory, Settings};

use super::settings::{StudySettings, WarmStartSection};
use super::variants::{self, Variant, file_name};

/// One training run.
#[derive(Clone, Debug)]
pub(super) struct TrainingRun {
    /// The variant's name, where there are several.
    pub(super) variant: Option<String>,
    /// Everything that determines the run.
    pub(super) settings: Settings,
    /// Whether it only gives the weights that others start from.
    pub(super) is_start: bool,
}

impl TrainingRun {
    /// Its name in the study's files.
    pub(super) fn name(&self) -> String {
        let Settings { batch_size, seed, .. } = self.settings;
        match &self.variant {
            Some(variant) => format!("{}-b{batch_size}-s{seed}", file_name(variant)),
            None => format!("b{batch_size}-s{seed}"),
        }
    }

    /// The run's directory inside the study.
    pub(super) fn directory(&self) -> String {
        format!("runs/{}", self.name())
    }

    /// The checkpoints along the way, of a run that lasted for some epochs, in a study's directory.
    pub(super) fn checkpoints_along(&self, study: &Path, epochs: u64) -> Vec<PathBuf> {
        let every = self.settings.checkpoint_every.unwrap_or(u64::MAX);
        let written = (1..epochs).filter(|epoch| epoch.is_multiple_of(every));
        written.map(|epoch| RunDirectory::checkpoint_in(&study.join(self.directory()), epoch)).collect()
    }
}

/// All runs in the order in which they are shown: the starts, then each variant's, the small batch sizes first.
pub(super) fn all(settings: &StudySettings, directory: &Path) -> Result<Vec<TrainingRun>, Error> {
    let mut sizes = settings.batch_sizes.clone();
    sizes.sort_unstable();
    let starts =
        settings.warm_start.iter().flat_map(|start| (0..settings.seeds).map(|seed| start_run(settings, start, seed)));
    let mut runs: Vec<TrainingRun> = starts.collect();
    for variant in variants::all(settings)? {
        for &batch_size in &sizes {
            runs.extend((0..settings.seeds).map(|seed| run(settings, &variant, batch_size, seed, directory)));
        }
    }
    Ok(runs)
}

/// Every n-th of the runs from the i-th on, and the starts that these need.
pub(super) fn of_shard(runs: Vec<TrainingRun>, (part, parts): (usize, usize)) -> Vec<TrainingRun> {
    let (starts, others): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.is_start);
    let own: Vec<TrainingRun> = others.into_iter().skip(part - 1).step_by(parts).collect();
    let needed = |start: &TrainingRun| own.iter().any(|run| run.settings.seed == start.settings.seed);
    starts.into_iter().filter(needed).chain(own.iter().cloned()).collect()
}

fn run(study: &StudySettings, variant: &Variant, batch_size: usize, seed: u64, directory: &Path) -> TrainingRun {
    let every = (variant.training.epochs / study.along.max(1)).max(1);
    let start = study.warm_start.as_ref().zip(variant.warm_epochs.filter(|&epochs| epochs > 0));
    let start = start.map(|(start, epochs)| {
        let run = directory.join(start_run(study, start, seed).directory());
        RunDirectory::checkpoint_in(&run, epochs).display().to_string()
    });
    TrainingRun {
        variant: variant.name.clone(),
        settings: Settings {
            batch_size,
            seed,
            start,
            checkpoint_every: (study.along > 0).then_some(every),
            ..variant.training.settings()
        },
        is_start: false,
    }
}

/// A run with checkpoints at all epochs that others start from.
fn start_run(study: &StudySettings, start: &WarmStartSection, seed: u64) -> TrainingRun {
    let divisor = start.epochs.iter().copied().fold(0, greatest_common_divisor);
    TrainingRun {
        variant: None,
        settings: Settings {
            batch_size: start.batch_size,
            seed,
            epochs: start.epochs.iter().copied().fold(1, u64::max),
            patience: None,
            checkpoint_every: Some(divisor.max(1)),
            ..study.training.settings()
        },
        is_start: true,
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<TrainingRun> {
        let settings = StudySettings::parse(text, Path::new("study.toml")).unwrap();
        all(&settings, Path::new("study")).unwrap()
    }

    fn names(runs: &[TrainingRun]) -> Vec<String> {
        runs.iter().map(TrainingRun::name).collect()
    }

    const WARM: &str = "batch_sizes = [100]\nseeds = 2\n[warm_start]\nbatch_size = 8\nepochs = [0, 4, 6]";

    #[test]
    fn runs_start_from_weights_of_their_seed() {
        let runs = runs(WARM);
        let warm = ["b8-s0", "b8-s1"].into_iter().map(str::to_owned);
        let others = [0, 4, 6].map(|k| [0, 1].map(|seed| format!("after-{k}-epochs-b100-s{seed}")));
        assert_eq!(names(&runs), warm.chain(others.concat()).collect::<Vec<_>>());
        assert_eq!((runs[0].settings.epochs, runs[0].settings.checkpoint_every), (6, Some(2)));
        assert_eq!(runs[2].settings.start, None);
        let start = runs[5].settings.start.as_deref().unwrap();
        assert_eq!(start, "study/runs/b8-s1/checkpoints/epoch-00004.safetensors");
    }

    #[test]
    fn shards_divide_the_runs_and_have_the_starts_they_need() {
        let all = runs(WARM);
        let parts: Vec<_> = (1..=4).map(|part| of_shard(all.clone(), (part, 4))).collect();
        for run in all.iter().filter(|run| !run.is_start) {
            let holding = parts.iter().filter(|part| names(part).contains(&run.name()));
            assert_eq!(holding.count(), 1, "{}", run.name());
        }
        for part in &parts {
            for run in part {
                let Some(start) = &run.settings.start else { continue };
                assert!(part.iter().any(|other| start.contains(&format!("{}/", other.directory()))), "{start}");
            }
        }
    }
}
