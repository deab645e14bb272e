//! What runs observed on the way, by the names in their records.

use std::collections::BTreeMap;

use basin_records::Training;
use basin_records::training::Epoch;

use crate::collection::{Measured, RunId};
use crate::groups::Group;

/// A figure that runs may have observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Observable {
    /// Its name in a record, before the layer's where it has one for each layer.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) axis: &'static str,
    pub(crate) of_layers: bool,
    /// The power of the batch size that a paper predicts for it, and which one does.
    pub(crate) predicted_power: Option<(f64, &'static str)>,
    /// Whether it is the mean size of elements that are nearly normal.
    pub(crate) is_mean_size: bool,
    /// Whether 2/η, where it stands beside, is what it is compared with.
    pub(crate) against_rate: bool,
}

const GAO: &str = "Gao and Zhong";

/// Those that figures are drawn of.
pub(crate) const ALL: [Observable; 14] = [
    Observable {
        predicted_power: Some((-0.5, GAO)),
        is_mean_size: true,
        of_layers: true,
        ..plain("gradient", "Mean gradient", "mean |g|")
    },
    plain("stride", "Parameter stride", "mean |Δθ|"),
    Observable {
        predicted_power: Some((-0.5, GAO)),
        is_mean_size: true,
        ..plain("stride_over_rate", "Parameter stride over rate", "mean |Δθ| / η")
    },
    plain("loss_stride", "Loss stride", "−gᵀΔθ"),
    Observable {
        predicted_power: Some((-1.0, GAO)),
        ..plain("loss_stride_over_rate", "Loss stride over rate", "−gᵀΔθ / η")
    },
    plain("distance", "Distance from the start", "‖θ − θ₀‖"),
    Observable {
        of_layers: true,
        ..plain("radius_estimate", "Estimated radius of curvature", "median |θ| / median |g|")
    },
    Observable { of_layers: true, ..plain("radius", "Radius of curvature", "median radius") },
    plain("noise_scale_simple", "Simple gradient noise scale", "tr Σ / ‖G‖²"),
    plain("noise_scale", "Gradient noise scale", "tr(HΣ) / GᵀHG"),
    Observable { against_rate: true, ..plain("lambda_max", "Largest eigenvalue", "λ_max") },
    Observable { against_rate: true, ..plain("batch_sharpness", "Batch sharpness", "gᵀHg / ‖g‖²") },
    plain("alignment.1", "Alignment of the gradient with the top eigenvector", "squared cosine"),
    plain("keskar", "Keskar sharpness", "φ at ε = 1e−3"),
];

const fn plain(name: &'static str, title: &'static str, axis: &'static str) -> Observable {
    Observable { name, title, axis, of_layers: false, predicted_power: None, is_mean_size: false, against_rate: false }
}

impl Observable {
    /// The name under which an epoch has it; of several layers the first one's.
    pub(crate) fn key(&self, epoch: &Epoch) -> Option<String> {
        match self.of_layers {
            false => epoch.observed.contains_key(self.name).then(|| self.name.to_owned()),
            true => epoch.observed.keys().find(|key| self.layer(key).is_some()).cloned(),
        }
    }

    /// The first such name of all runs.
    pub(crate) fn first_key(&self, runs: &BTreeMap<RunId, Measured<'_, Training>>) -> Option<String> {
        runs.values().flat_map(|run| &run.result.epochs).find_map(|epoch| self.key(epoch))
    }

    /// The layer that a name in a record is of.
    pub(crate) fn layer<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.name)?.strip_prefix('.').filter(|_| self.of_layers)
    }

    /// Its file name and the words for it in a sentence.
    pub(crate) fn stem(&self) -> String {
        format!("observed-{}", self.name.replace(['_', '.'], "-"))
    }
}

/// Values by epoch of each run that observed a name.
pub(crate) fn by_run(runs: &BTreeMap<RunId, Measured<'_, Training>>, key: &str) -> BTreeMap<RunId, Vec<(f64, f64)>> {
    let curve = |run: &Measured<'_, Training>| -> Vec<(f64, f64)> {
        let epochs = run.result.epochs.iter();
        epochs.filter_map(|epoch| Some((epoch.epoch as f64, *epoch.observed.get(key)?))).collect()
    };
    runs.iter().map(|(id, run)| (*id, curve(run))).filter(|(_, curve)| !curve.is_empty()).collect()
}

/// The values of a name in the first epoch of each run of a group.
pub(crate) fn in_first_epoch(runs: &BTreeMap<RunId, Measured<'_, Training>>, group: Group, key: &str) -> Vec<f64> {
    let of_group = runs.iter().filter(|(run, _)| run.group == group);
    // Before it, at epoch 0, stand the initial weights.
    let first = |training: &Training| {
        let mut trained = training.epochs.iter().filter(|epoch| epoch.epoch > 0);
        trained.find_map(|epoch| epoch.observed.get(key).copied())
    };
    of_group.filter_map(|(_, run)| first(run.result)).collect()
}
