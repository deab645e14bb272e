//! What runs reached at the end of training: accuracy, loss and sharpness, over the seeds of a group.

use std::collections::BTreeMap;

use basin_records::keskar::{Columns, Subspace, Summary};
use basin_records::training::Epoch;
use basin_records::{Keskar, Training};

use crate::collection::{ByRun, Collection, Measured, RunId};
use crate::figure::distinct;
use crate::groups::Group;
use crate::number;

/// The histories and the sharpness of all runs.
pub(crate) struct Minima<'a> {
    pub(crate) trainings: BTreeMap<RunId, Measured<'a, Training>>,
    pub(crate) keskar: ByRun<'a, Keskar>,
    records: Vec<Measured<'a, Keskar>>,
}

/// One way to measure sharpness, over all seeds of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting {
    pub(crate) subspace: Subspace,
    pub(crate) columns: Option<Columns>,
    pub(crate) dimension: u64,
}

/// The same with the size of the box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Way {
    pub(crate) setting: Setting,
    pub(crate) epsilon: f64,
}

impl<'a> Minima<'a> {
    pub(crate) fn of(collection: &'a Collection) -> Self {
        let records = collection.keskar();
        Self { trainings: collection.trainings(), keskar: collection.by_run(records.clone()), records }
    }

    /// In percent.
    pub(crate) fn train_accuracies(&self, group: Group) -> Vec<f64> {
        self.last(group).filter_map(|epoch| Some(100.0 * epoch.train_accuracy?)).collect()
    }

    /// In percent.
    pub(crate) fn test_accuracies(&self, group: Group) -> Vec<f64> {
        self.last(group).filter_map(|epoch| Some(100.0 * epoch.test_accuracy?)).collect()
    }

    pub(crate) fn train_losses(&self, group: Group) -> Vec<f64> {
        self.last(group).map(|epoch| epoch.train_loss).collect()
    }

    /// Optimizer steps to the end.
    pub(crate) fn optimizer_steps(&self, group: Group) -> Vec<f64> {
        self.last(group).map(|epoch| epoch.step as f64).collect()
    }

    /// Test accuracy in percent on the way.
    pub(crate) fn test_accuracies_at(&self, group: Group, epoch: u64) -> Vec<f64> {
        let of_group = self.trainings.iter().filter(|(run, _)| run.group == group);
        let at = |training: &Training| training.epochs.iter().find(|found| found.epoch == epoch)?.test_accuracy;
        of_group.filter_map(|(_, measured)| Some(100.0 * at(measured.result)?)).collect()
    }

    fn last(&self, group: Group) -> impl Iterator<Item = &Epoch> {
        let of_group = self.trainings.iter().filter(move |(run, _)| run.group == group);
        of_group.filter_map(|(_, measured)| measured.result.epochs.last())
    }

    /// In percent of 1 + L.
    pub(crate) fn sharpness(&self, group: Group, way: Way) -> Vec<f64> {
        let of_group = self.keskar.iter().filter(|(run, _)| run.group == group);
        let values = of_group.filter_map(|(_, along)| {
            let last = along.last()?.provenance.epoch;
            // One checkpoint may have a record per ε or per subspace.
            let at_the_end = along.iter().rev().take_while(|measured| measured.provenance.epoch == last);
            at_the_end
                .flat_map(|measured| &measured.result.summary)
                .find(|summary| Setting::of(summary) == way.setting && same(summary.epsilon, way.epsilon))
                .map(|summary| summary.mean)
        });
        values.collect()
    }

    /// All settings of the records, in their order.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        distinct(self.summaries().map(Setting::of))
    }

    /// The ε of all records, descending.
    pub(crate) fn steps(&self) -> Vec<f64> {
        let mut steps = distinct(self.summaries().map(|summary| summary.epsilon));
        steps.sort_by(|a, b| b.total_cmp(a));
        steps
    }

    /// Each setting with each ε.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let steps = self.steps();
        let of = |setting| steps.iter().map(move |&epsilon| Way { setting, epsilon });
        self.settings().into_iter().flat_map(of).collect()
    }

    /// The first setting with its largest ε, where a figure or a sentence has room for one.
    pub(crate) fn first_way(&self) -> Option<Way> {
        Some(Way { setting: *self.settings().first()?, epsilon: *self.steps().first()? })
    }

    fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.records.iter().flat_map(|measured| &measured.result.summary)
    }
}

impl Setting {
    fn of(summary: &Summary) -> Self {
        Self { subspace: summary.subspace, columns: summary.columns, dimension: summary.dimension }
    }

    /// As in `full space` or `random manifold, dimension 100, gaussian columns`.
    pub(crate) fn words(&self) -> String {
        let columns = match self.columns {
            Some(Columns::Gaussian) => ", gaussian columns",
            Some(Columns::Uniform) => ", uniform columns",
            Some(Columns::Orthonormal) => ", orthonormal columns",
            _ => "",
        };
        match self.subspace {
            Subspace::Full => "full space".into(),
            Subspace::Manifold => format!("random manifold, dimension {}{columns}", self.dimension),
        }
    }
}

impl Way {
    /// As in `full space, ε = 1e−3`.
    pub(crate) fn words(&self) -> String {
        format!("{}, ε = {}", self.setting.words(), number::step(self.epsilon))
    }

    /// Sharpness measured so, in a CSV file.
    pub(crate) fn quantity(&self) -> String {
        format!("sharpness, {}, epsilon {}", self.setting.words(), self.epsilon)
    }
}

/// What a figure of minima shows, for its title and, with the way to measure sharpness, for its caption.
pub(crate) fn shown(accuracy: bool, way: Option<Way>) -> [String; 2] {
    let sharpness = way.map(|way| format!("Keskar sharpness φ ({})", way.words()));
    match (accuracy, sharpness) {
        (true, Some(sharpness)) => ["Test accuracy and sharpness".into(), format!("Test accuracy and {sharpness}")],
        (false, Some(sharpness)) => ["Sharpness".into(), sharpness],
        (_, None) => ["Test accuracy", "Test accuracy"].map(str::to_owned),
    }
}

/// Whether two ε are the same number.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}
