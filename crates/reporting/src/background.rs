//! What stands behind the figures: settings held equal, provenance, and what did not go as it should.

use basin_records::line::Endpoint;
use basin_records::study::Variant;
use basin_records::{Outcome, Provenance};
use serde::Serialize;

use crate::batch_hessian::{extremes, preconditioned};
use crate::collection::{Collection, Measured};
use crate::figure::distinct;
use crate::number;

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What the study kept the same in all runs.
pub(crate) fn held_equal(collection: &Collection) -> Vec<Entry> {
    let settings = collection.study().map(|(_, study)| study.held_equal.as_slice()).unwrap_or_default();
    settings.iter().map(|setting| Entry { name: setting.name.clone(), value: setting.value.clone() }).collect()
}

/// What each variant sets otherwise; of a sweep that sets nothing but its value, the values.
pub(crate) fn variants(collection: &Collection) -> Vec<Entry> {
    let variants = collection.groups.variants();
    let sets_value_alone = |variant: &Variant| variant.value.is_some() && variant.settings.len() < 2;
    if let Some(swept) = collection.groups.swept().filter(|_| variants.iter().all(sets_value_alone)) {
        let values: Vec<String> = variants.iter().filter_map(|variant| Some(variant.value?.to_string())).collect();
        return vec![Entry { name: swept.to_owned(), value: number::enumerate(&values) }];
    }
    let settings = |variant: &Variant| match variant.settings.as_slice() {
        [] => "as held equal".to_owned(),
        settings => {
            let told: Vec<String> =
                settings.iter().map(|setting| format!("{}: {}", setting.name, setting.value)).collect();
            told.join("; ")
        }
    };
    let entry = |variant: &Variant| Entry { name: variant.name.clone(), value: settings(variant) };
    variants.iter().map(entry).collect()
}

/// Where the results come from, without anything that tells of the machine.
pub(crate) fn provenance(collection: &Collection) -> Vec<Entry> {
    let data = |provenance: &Provenance| {
        let data = provenance.data.as_ref()?;
        let hash = data.blake3.as_ref().map_or_else(String::new, |hash| format!(", blake3 {hash}"));
        Some(format!("{}, {} split, {} samples{hash}", data.spec, data.split, number::count(data.samples)))
    };
    let parameters = |provenance: &Provenance| Some(number::count(provenance.checkpoint.as_ref()?.parameters));
    let rows = [
        ("basin", every(collection, |provenance| Some(provenance.basin.clone()))),
        ("data", every(collection, data)),
        ("model", every(collection, |provenance| provenance.model.clone())),
        ("parameters P", every(collection, parameters)),
        ("loss", every(collection, |provenance| provenance.loss.clone())),
        ("optimizer", every(collection, |provenance| provenance.optimizer.clone())),
        ("number format", every(collection, |provenance| provenance.dtype.clone())),
        ("training seeds", every(collection, |provenance| provenance.training_seed.map(|seed| seed.to_string()))),
        ("measurement seeds", every(collection, |provenance| provenance.seed.map(|seed| seed.to_string()))),
    ];
    let filled = rows.into_iter().filter(|(_, values)| !values.is_empty());
    filled
        .map(|(name, values)| Entry { name: name.into(), value: values.join(if name == "data" { "; " } else { ", " }) })
        .collect()
}

fn every(collection: &Collection, value: impl Fn(&Provenance) -> Option<String>) -> Vec<String> {
    let mut values = distinct(collection.records.iter().filter_map(|sourced| value(&sourced.record.provenance)));
    // Numbers in their own order: 2 before 10.
    values.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    values
}

/// What a reader has to know before trusting the figures.
pub(crate) fn cautions(collection: &Collection) -> Vec<String> {
    let mut cautions = Vec::new();
    cautions.extend(unlike_data(collection));
    cautions.extend(unconverged(collection));
    cautions.extend(ends_of_training(collection));
    cautions
}

fn unlike_data(collection: &Collection) -> Option<String> {
    let hashes = every(collection, |provenance| {
        let data = provenance.data.as_ref().filter(|data| data.split == "train")?;
        Some(format!("{} samples of {} {}", data.samples, data.spec, data.blake3.as_deref().unwrap_or_default()))
    });
    (hashes.len() > 1).then(|| {
        format!(
            "The records were measured on {} different sets of training samples; compare them with care.",
            hashes.len()
        )
    })
}

fn unconverged(collection: &Collection) -> Option<String> {
    let spectra = collection.spectra();
    let of_spectra = spectra.iter().flat_map(|measured| &measured.result.eigenvalues);
    let records = collection.batch_hessians();
    let of_batches = records.iter().flat_map(|Measured { result, .. }| extremes(result).chain(preconditioned(result)));
    let found: Vec<bool> = of_spectra.chain(of_batches).map(|eigenvalue| eigenvalue.converged).collect();
    let (missed, total) = (found.iter().filter(|converged| !**converged).count(), found.len());
    (missed > 0)
        .then(|| format!("{missed} of {total} eigenvalues did not reach the tolerance; figures draw them hollow."))
}

fn ends_of_training(collection: &Collection) -> Vec<String> {
    let trainings = collection.trainings();
    let reasons = distinct(trainings.values().map(|measured| measured.result.reason.as_str()));
    let cut_short = |reason: &&str| !matches!(*reason, "epochs" | "loss stopped improving");
    let told = |reason: &str| {
        let runs = trainings.iter().filter(|(_, measured)| measured.result.reason == reason).map(|(run, _)| {
            let seed = run.seed.map_or_else(String::new, |seed| format!(" seed {seed}"));
            format!("{}{seed}", collection.groups.words(run.group))
        });
        format!("Training ended with “{reason}”: {}.", number::enumerate(&runs.collect::<Vec<_>>()))
    };
    reasons.into_iter().filter(cut_short).map(told).collect()
}

/// A record among what the page rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Source {
    file: String,
    /// The same as an address beside the page.
    link: String,
    kind: String,
    created: String,
    of: String,
}

/// One per record, in the order of the files.
pub(crate) fn sources(collection: &Collection) -> Vec<Source> {
    let source = |sourced: &crate::collection::Sourced| {
        let Provenance { created, checkpoint, .. } = &sourced.record.provenance;
        let between = |from: &Endpoint, to: &Endpoint| format!("{} – {}", from.checkpoint.path, to.checkpoint.path);
        let of = match (&sourced.record.outcome, checkpoint) {
            (Outcome::Line(line), _) => between(&line.from, &line.to),
            (Outcome::Connection(found), _) => between(&found.from, &found.to),
            (Outcome::Comparison(comparison), _) => {
                comparison.rows.iter().map(|row| row.file.as_str()).collect::<Vec<_>>().join(", ")
            }
            (_, Some(checkpoint)) => checkpoint.path.clone(),
            (_, None) => String::new(),
        };
        Source {
            file: sourced.file.clone(),
            link: address(&sourced.file),
            kind: sourced.record.outcome.kind().to_owned(),
            created: created.clone(),
            of,
        }
    };
    collection.records.iter().map(source).collect()
}

/// A relative path as an address: bytes with a meaning there are written by their numbers.
pub(crate) fn address(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    let written = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_lead_to_files_whatever_their_names() {
        assert_eq!(address("records/b16-s0.json"), "records/b16-s0.json");
        assert_eq!(address("a b#1?ü:.json"), "a%20b%231%3F%C3%BC%3A.json");
    }
}
