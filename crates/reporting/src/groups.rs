//! Which runs belong together: those that differ in their seeds alone, over which figures and tables take means.

use std::collections::BTreeSet;

use basin_records::study::Variant;
use basin_records::{Provenance, Study};

use crate::chart::palette::{self, INK, Look};
use crate::figure::{Cell, distinct};
use crate::number;

/// More curves along training than this cannot be told apart.
const MOST: usize = 8;
/// Ratio of the largest to the smallest value above which equal steps crowd the small ones.
const DECADE: f64 = 10.0;

/// The runs of one variant and batch size. In order starting runs come first, then the variants as the study has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    /// Its number among the variants; none in a study without variants, and of runs that only serve the others as a start.
    pub(crate) variant: Option<usize>,
    pub(crate) batch_size: u64,
}

/// Every group that a record names, and how it is called and drawn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    variants: Vec<Variant>,
    swept: Option<String>,
    all: Vec<Group>,
}

/// Groups that a figure shows, and the sentence on which and why, where these are not all.
#[derive(Debug, PartialEq)]
pub(crate) struct Selection {
    pub(crate) groups: Vec<Group>,
    pub(crate) statement: String,
}

impl Groups {
    /// Of the runs that records name by provenance, and trainings by their batch size besides.
    pub(crate) fn of<'a>(
        study: Option<&Study>,
        named: impl Iterator<Item = (&'a Provenance, Option<u64>)> + Clone,
    ) -> Self {
        let mut variants = study.map(|study| study.variants.clone()).unwrap_or_default();
        // Without the study's own record the order is that of the files.
        for name in named.clone().filter_map(|(provenance, _)| provenance.variant.as_ref()) {
            if variants.iter().all(|variant| variant.name != *name) {
                variants.push(Variant { name: name.clone(), value: None, settings: Vec::new() });
            }
        }
        let swept = study.and_then(|study| study.swept.clone());
        let mut groups = Self { variants, swept, all: Vec::new() };
        let found = named.filter_map(|(provenance, trained)| {
            Some(groups.member(provenance.variant.as_deref(), trained.or(provenance.batch_size)?))
        });
        groups.all = found.collect::<BTreeSet<_>>().into_iter().collect();
        groups
    }

    /// The group of runs of a variant, by its name, at a batch size.
    pub(crate) fn member(&self, variant: Option<&str>, batch_size: u64) -> Group {
        let variant = variant.and_then(|name| self.variants.iter().position(|variant| variant.name == name));
        Group { variant, batch_size }
    }

    /// None where the record does not say at which batch size its checkpoint was trained.
    pub(crate) fn of_record(&self, provenance: &Provenance) -> Option<Group> {
        Some(self.member(provenance.variant.as_deref(), provenance.batch_size?))
    }

    pub(crate) fn all(&self) -> &[Group] {
        &self.all
    }

    /// In the study's order; empty where runs differ in batch size and seed alone.
    pub(crate) fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// What the variants' values are of.
    pub(crate) fn swept(&self) -> Option<&str> {
        self.swept.as_deref()
    }

    /// The variant's value of what is swept.
    pub(crate) fn value(&self, group: Group) -> Option<f64> {
        self.variants.get(group.variant?)?.value.filter(|value| value.is_finite())
    }

    /// All values of what is swept, ascending.
    pub(crate) fn values(&self) -> Vec<f64> {
        let mut values = distinct(self.all.iter().filter_map(|&group| self.value(group)));
        values.sort_by(f64::total_cmp);
        values
    }

    /// Whether the values are positive and would crowd on an axis of equal steps; epochs that runs started from are never read so.
    pub(crate) fn values_differ_by_factors(&self) -> bool {
        let values = self.values();
        let ends = values.first().zip(values.last());
        self.batch_sizes_of(None).is_empty() && ends.is_some_and(|(&low, &high)| low > 0.0 && high / low > DECADE)
    }

    /// Every batch size, ascending.
    pub(crate) fn batch_sizes(&self) -> Vec<u64> {
        self.all.iter().map(|group| group.batch_size).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The batch sizes of a variant, ascending.
    pub(crate) fn batch_sizes_of(&self, variant: Option<usize>) -> Vec<u64> {
        self.all.iter().filter(|group| group.variant == variant).map(|group| group.batch_size).collect()
    }

    /// As legends have it: `batch 144`, `augmented, batch 144`, or `augmented` where there is one batch size alone.
    pub(crate) fn words(&self, group: Group) -> String {
        let size = format!("batch {}", group.batch_size);
        match group.variant {
            None => size,
            Some(_) if self.batch_sizes().len() == 1 => self.name(group.variant),
            Some(_) => format!("{}, {size}", self.name(group.variant)),
        }
    }

    /// As sentences have it: `batch size 144`, `augmented, batch size 144`.
    pub(crate) fn long_words(&self, group: Group) -> String {
        let size = format!("batch size {}", group.batch_size);
        if group.variant.is_none() { size } else { format!("{}, {size}", self.name(group.variant)) }
    }

    /// The variant's name.
    pub(crate) fn name(&self, variant: Option<usize>) -> String {
        variant
            .and_then(|index| self.variants.get(index))
            .map_or_else(|| "starting runs".into(), |variant| variant.name.clone())
    }

    /// One look per group, the same in all figures along training: a colour per variant, none for starting runs, a marker and a
    /// dash per batch size.
    pub(crate) fn look(&self, group: Group) -> Look {
        // Starting runs have batch sizes of their own.
        let alike = self.all.iter().filter(|other| other.variant.is_some() == group.variant.is_some());
        let sizes: BTreeSet<u64> = alike.map(|group| group.batch_size).collect();
        let place = sizes.iter().position(|&size| size == group.batch_size).unwrap_or(0);
        match (self.variants.is_empty(), group.variant, sizes.len()) {
            (true, _, _) => palette::look(place),
            (false, None, _) => Look { color: INK, ..palette::look(place) },
            (false, _, 1) => self.variant_look(group.variant),
            (false, _, _) => palette::paired(self.place(group.variant), place),
        }
    }

    /// One look per variant, where an axis tells the batch sizes apart.
    pub(crate) fn variant_look(&self, variant: Option<usize>) -> Look {
        palette::look(self.place(variant))
    }

    /// One look per batch size, where an axis tells the variants apart.
    pub(crate) fn batch_size_look(&self, batch_size: u64) -> Look {
        palette::look(self.batch_sizes().iter().position(|&size| size == batch_size).unwrap_or(0))
    }

    /// The variants that curves are shown of have the first colours.
    fn place(&self, variant: Option<usize>) -> usize {
        let shown = self.selection(&self.all).groups.into_iter().map(|group| group.variant);
        let order = distinct(shown.chain(self.all.iter().map(|group| group.variant)).filter(Option::is_some));
        order.iter().position(|&other| other == variant).unwrap_or(order.len())
    }

    /// Those of the groups that a figure along training can show: of a sweep the first, the middle and the last value; of batch
    /// sizes the smallest and the largest; of other variants the first.
    pub(crate) fn selection(&self, groups: &[Group]) -> Selection {
        let all = Selection { groups: groups.to_vec(), statement: String::new() };
        if self.variants.is_empty() || groups.len() <= MOST {
            return all;
        }
        let (starts, others): (Vec<Group>, Vec<Group>) = groups.iter().partition(|group| group.variant.is_none());
        let mut variants = distinct(others.iter().map(|group| group.variant));
        let mut sizes: Vec<u64> =
            others.iter().map(|group| group.batch_size).collect::<BTreeSet<_>>().into_iter().collect();
        let mut told = Vec::new();
        if let (Some(swept), true) = (&self.swept, variants.len() > 3) {
            variants = vec![variants[0], variants[variants.len() / 2], variants[variants.len() - 1]];
            told.push(format!("{swept} at its first, middle and last value"));
        }
        if starts.len() + variants.len() * sizes.len() > MOST && sizes.len() > 2 {
            sizes = vec![sizes[0], sizes[sizes.len() - 1]];
            told.push("the smallest and the largest batch size".into());
        }
        let room = (MOST.saturating_sub(starts.len()) / sizes.len().max(1)).max(1);
        if variants.len() > room {
            variants.truncate(room);
            told.push(format!("the first {room} variants"));
        }
        if told.is_empty() {
            return all;
        }
        let shown = |group: &Group| {
            group.variant.is_none() || variants.contains(&group.variant) && sizes.contains(&group.batch_size)
        };
        let kept: Vec<Group> = groups.iter().copied().filter(shown).collect();
        let statement = format!(
            " Of {} curves {} are shown ({}), for more than {MOST} could not be told apart; the CSV has all.",
            groups.len(),
            kept.len(),
            number::enumerate(&told),
        );
        Selection { groups: kept, statement }
    }

    /// The columns of a CSV file by run, after one for the variant where there are variants.
    pub(crate) fn columns<'a>(&self, columns: &[&'a str]) -> Vec<&'a str> {
        let variant = (!self.variants.is_empty()).then_some("variant");
        variant.into_iter().chain(columns.iter().copied()).collect()
    }

    /// A row of a table with such columns, for people to read.
    pub(crate) fn row(&self, variant: Option<usize>, cells: Vec<Cell>) -> Vec<Cell> {
        let variant = (!self.variants.is_empty()).then(|| Cell::from(self.name(variant)));
        variant.into_iter().chain(cells).collect()
    }

    /// A row of such a file; starting runs have no variant.
    pub(crate) fn cells(&self, variant: Option<usize>, cells: Vec<String>) -> Vec<String> {
        let name = variant.map_or_else(String::new, |_| self.name(variant));
        let variant = (!self.variants.is_empty()).then_some(name);
        variant.into_iter().chain(cells).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(swept: Option<&str>, variants: usize, sizes: &[u64], start: Option<u64>) -> Groups {
        let variant = |index: usize| Variant {
            name: format!("v{index}"),
            value: swept.map(|_| index as f64),
            settings: Vec::new(),
        };
        let study = Study {
            variants: (0..variants).map(variant).collect(),
            swept: swept.map(str::to_owned),
            ..Study::default()
        };
        let record =
            |variant: Option<String>, size| Provenance { variant, batch_size: Some(size), ..Provenance::default() };
        let names = (0..variants.max(1)).map(|index| (variants > 0).then(|| format!("v{index}")));
        let mut records: Vec<Provenance> =
            names.flat_map(|name| sizes.iter().map(move |&size| record(name.clone(), size))).collect();
        records.extend(start.map(|size| record(None, size)));
        Groups::of(Some(&study), records.iter().map(|provenance| (provenance, None)))
    }

    fn all_words(groups: &Groups) -> Vec<String> {
        groups.all().iter().map(|&group| groups.words(group)).collect()
    }

    #[test]
    fn legends_name_what_differs_and_no_more() {
        assert_eq!(all_words(&groups(None, 0, &[144, 16], None)), ["batch 16", "batch 144"]);
        assert_eq!(all_words(&groups(None, 2, &[144], None)), ["v0", "v1"]);
        assert_eq!(
            all_words(&groups(None, 2, &[16, 144], None)),
            ["v0, batch 16", "v0, batch 144", "v1, batch 16", "v1, batch 144"]
        );
        assert_eq!(all_words(&groups(Some("epochs"), 1, &[144], Some(16))), ["batch 16", "v0, batch 144"]);
    }

    #[test]
    fn variants_that_the_study_does_not_list_come_after_those_that_it_does() {
        let study = Study {
            variants: vec![Variant { name: "b".into(), value: None, settings: Vec::new() }],
            ..Study::default()
        };
        let record =
            |name: &str| Provenance { variant: Some(name.into()), batch_size: Some(8), ..Provenance::default() };
        let records = [record("a"), record("b")];
        let groups = Groups::of(Some(&study), records.iter().map(|provenance| (provenance, None)));
        assert_eq!(all_words(&groups), ["b", "a"]);
    }

    #[test]
    fn no_two_of_eight_groups_look_alike() {
        for (variants, sizes, start) in
            [(8, 1, None), (4, 2, None), (2, 4, None), (3, 2, Some(8)), (7, 1, Some(8)), (0, 8, None)]
        {
            let sizes: Vec<u64> = (0..sizes).map(|power| 16 << power).collect();
            let groups = groups(None, variants, &sizes, start);
            let looks: Vec<_> = groups.all().iter().map(|&group| groups.look(group)).collect();
            let pairs = distinct(looks.iter().map(|look| (look.color, look.marker)));
            assert_eq!(pairs.len(), looks.len(), "{variants} variants at {sizes:?}");
        }
    }

    #[test]
    fn a_study_without_variants_looks_as_its_batch_sizes_do() {
        let groups = groups(None, 0, &[8, 16, 32], None);
        for (index, &group) in groups.all().iter().enumerate() {
            assert_eq!(groups.look(group), palette::look(index));
        }
    }

    #[test]
    fn of_many_values_the_ends_and_the_middle_are_shown_and_the_reader_is_told() {
        let groups = groups(Some("share"), 11, &[16, 144], Some(8));
        let Selection { groups: shown, statement } = groups.selection(groups.all());
        let shown: Vec<String> = shown.into_iter().map(|group| groups.words(group)).collect();
        assert_eq!(
            shown,
            [
                "batch 8",
                "v0, batch 16",
                "v0, batch 144",
                "v5, batch 16",
                "v5, batch 144",
                "v10, batch 16",
                "v10, batch 144"
            ]
        );
        assert_eq!(
            statement,
            " Of 23 curves 7 are shown (share at its first, middle and last value), for more than 8 could not be told \
             apart; the CSV has all."
        );
    }

    #[test]
    fn of_many_batch_sizes_and_variants_the_ends_of_the_first_are_shown() {
        let groups = groups(None, 5, &[16, 32, 64], None);
        let Selection { groups: shown, statement } = groups.selection(groups.all());
        assert_eq!(shown.len(), 8);
        assert!(shown.iter().all(|group| group.batch_size != 32 && group.variant != Some(4)));
        assert!(
            statement.contains("(the smallest and the largest batch size and the first 4 variants)"),
            "{statement}"
        );
    }

    #[test]
    fn starting_runs_alone_are_shown_whole() {
        let study = Study {
            variants: vec![Variant { name: "not trained yet".into(), value: None, settings: Vec::new() }],
            ..Study::default()
        };
        let records: Vec<Provenance> =
            (1..20).map(|size| Provenance { batch_size: Some(size), ..Provenance::default() }).collect();
        let groups = Groups::of(Some(&study), records.iter().map(|provenance| (provenance, None)));
        assert_eq!(groups.selection(groups.all()).groups.len(), 19);
    }

    #[test]
    fn what_can_be_told_apart_and_what_has_no_variants_is_shown_whole() {
        for groups in [groups(Some("share"), 4, &[16, 144], None), groups(None, 0, &(1..20).collect::<Vec<_>>(), None)]
        {
            let all = Selection { groups: groups.all().to_vec(), statement: String::new() };
            assert_eq!(groups.selection(groups.all()), all);
        }
    }
}
