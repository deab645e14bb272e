//! Groups side by side along a horizontal axis without a scale: a block for each batch size with its variants, or, of a sweep, a
//! block for each value with its batch sizes.

use crate::chart::axes::Axis;
use crate::chart::palette::Look;
use crate::chart::scale::{Scale, Tick};
use crate::figure::distinct;
use crate::groups::{Group, Groups};

/// The share of a block that is left free between it and the next one.
const FREE: f64 = 0.2;
/// About the width of a plot, in pixels.
const WIDTH: f64 = 800.0;

/// Where each group stands.
pub(super) struct Places<'a> {
    groups: &'a Groups,
    blocks: Vec<Member>,
    slots: Vec<Member>,
}

/// What the groups of a block, or of a slot in all blocks, have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Member {
    Variant(Option<usize>),
    BatchSize(u64),
}

impl Member {
    fn holds(self, group: Group) -> bool {
        match self {
            Self::Variant(variant) => group.variant == variant,
            Self::BatchSize(size) => group.batch_size == size,
        }
    }
}

impl<'a> Places<'a> {
    /// Of the groups in their order.
    pub(super) fn of(groups: &'a Groups, shown: &[Group]) -> Self {
        let variants = distinct(shown.iter().map(|group| group.variant)).into_iter().map(Member::Variant).collect();
        let mut sizes = distinct(shown.iter().map(|group| group.batch_size));
        sizes.sort_unstable();
        let sizes = sizes.into_iter().map(Member::BatchSize).collect();
        let (blocks, slots) = if groups.swept().is_some() { (variants, sizes) } else { (sizes, variants) };
        Self { groups, blocks, slots }
    }

    pub(super) fn axis(&self) -> Axis {
        let label = |block: &Member| match *block {
            Member::BatchSize(size) => size.to_string(),
            Member::Variant(None) => "start".into(),
            Member::Variant(Some(index)) => {
                let value = self.groups.variants().get(index).and_then(|variant| variant.value);
                value.map_or_else(|| self.groups.name(Some(index)), |value| value.to_string())
            }
        };
        let tick = |(index, block): (usize, &Member)| Tick { value: index as f64 + 0.5, label: Some(label(block)) };
        let name = self.groups.swept().unwrap_or("batch size");
        let ticks = self.blocks.iter().enumerate().map(tick).collect();
        Axis::new(name, Scale::between(0.0, self.blocks.len() as f64)).with_ticks(ticks)
    }

    /// The middle of a group's place.
    pub(super) fn middle(&self, group: Group) -> Option<f64> {
        let slot = self.slots.iter().position(|slot| slot.holds(group))? as f64 + 0.5;
        Some(self.block(group)? + FREE / 2.0 + (1.0 - FREE) * slot / self.slots.len() as f64)
    }

    /// The ends of the block that a group stands in.
    pub(super) fn ends(&self, group: Group) -> Option<[f64; 2]> {
        let block = self.block(group)?;
        Some([block + FREE / 2.0, block + 1.0 - FREE / 2.0])
    }

    fn block(&self, group: Group) -> Option<f64> {
        self.blocks.iter().position(|block| block.holds(group)).map(|block| block as f64)
    }

    /// The width of a place in pixels.
    pub(super) fn width(&self) -> f64 {
        WIDTH * (1.0 - FREE) / (self.blocks.len() * self.slots.len()) as f64
    }

    /// The look of a group's slot: the axis tells the blocks apart.
    pub(super) fn look(&self, group: Group) -> Look {
        if self.groups.swept().is_some() {
            self.groups.batch_size_look(group.batch_size)
        } else {
            self.groups.variant_look(group.variant)
        }
    }

    /// The slots' words with their looks.
    pub(super) fn keys(&self, shown: &[Group]) -> Vec<(String, Look)> {
        let of_slot = |slot: &Member| {
            let group = shown.iter().copied().find(|group| slot.holds(*group))?;
            let words = match *slot {
                Member::BatchSize(size) => format!("batch {size}"),
                Member::Variant(variant) => self.groups.name(variant),
            };
            Some((words, self.look(group)))
        };
        self.slots.iter().filter_map(of_slot).collect()
    }
}
