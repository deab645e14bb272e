//! Hidden units that may change places without changing the function of a network: which axes of which tensors are theirs.
//!
//! A channel of an activation is a unit: row u of the layer that makes it, and of its biases and statistics, and column u of
//! every layer that reads it. Flattening repeats a unit, padding puts zeros beside it, and a sum makes one unit of two. Units
//! that come out of the same layers can be exchanged: a permutation π of them on all of their axes leaves the outputs as they
//! are. Those of the samples and of the outputs stay where they are.

use std::collections::{BTreeMap, BTreeSet};

/// Hidden units that may be exchanged with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeableUnits {
    /// How many there are, two at least.
    pub count: usize,
    /// Where their weights are.
    pub axes: Vec<UnitAxis>,
}

/// An axis along which each of some units has its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitAxis {
    /// The tensor.
    pub tensor: UnitTensor,
    /// The axis of the tensor.
    pub axis: usize,
    /// The positions on the axis, those of the first unit in front; each unit has as many. Positions that are not listed are
    /// other units'.
    pub positions: Vec<usize>,
}

/// A tensor by its place in the layout of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitTensor {
    /// The i-th parameter.
    Parameter(usize),
    /// The i-th buffer.
    Buffer(usize),
}

/// The unit of each channel of an activation; none where it is zero whatever the units are.
pub(super) type Units = Vec<Option<usize>>;

/// The units of a model as its layers are written.
#[derive(Debug, Default)]
pub(super) struct Wiring {
    /// Another unit that is the same one; itself where there is none.
    same: Vec<usize>,
    /// The layer that makes the unit.
    maker: Vec<usize>,
    makers: usize,
    axes: Vec<(UnitTensor, usize, Units)>,
    fixed: Vec<usize>,
    /// Whether an operation mixes positions, so that it is not known which are whose.
    mixed: bool,
}

impl Wiring {
    /// The units that a new layer makes.
    pub(super) fn make(&mut self, count: usize) -> Units {
        let first = self.same.len();
        self.same.extend(first..first + count);
        self.maker.extend(std::iter::repeat_n(self.makers, count));
        self.makers += 1;
        (first..first + count).map(Some).collect()
    }

    /// An axis of a tensor belongs to these units, position by position.
    pub(super) fn tie(&mut self, tensor: UnitTensor, axis: usize, units: &Units) {
        self.axes.push((tensor, axis, units.clone()));
    }

    /// The units of a sum.
    pub(super) fn add(&mut self, a: &Units, b: &Units) -> Units {
        let pairs = a.iter().zip(b).map(|pair| match pair {
            (&Some(a), &Some(b)) => {
                let (a, b) = (self.root(a), self.root(b));
                self.same[a.max(b)] = a.min(b);
                Some(a.min(b))
            }
            (a, b) => a.or(*b),
        });
        pairs.collect()
    }

    /// Units that stay where they are.
    pub(super) fn fix(&mut self, units: &Units) {
        self.fixed.extend(units.iter().flatten());
    }

    /// The units of what mixes positions: they are not known, here and in all that follows.
    pub(super) fn mix(&mut self) -> Units {
        self.mixed = true;
        Units::new()
    }

    /// All sets of exchangeable units, by the layers they come out of; absent where an operation mixes them.
    pub(super) fn finish(self) -> Option<Vec<ExchangeableUnits>> {
        if self.mixed {
            return None;
        }
        let mut makers: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for unit in 0..self.same.len() {
            makers.entry(self.root(unit)).or_default().insert(self.maker[unit]);
        }
        for unit in &self.fixed {
            makers.remove(&self.root(*unit));
        }
        let mut sets: BTreeMap<BTreeSet<usize>, Vec<usize>> = BTreeMap::new();
        for (root, makers) in makers {
            sets.entry(makers).or_default().push(root);
        }
        Some(sets.into_values().filter(|roots| roots.len() > 1).map(|roots| self.exchangeable(&roots)).collect())
    }

    fn exchangeable(&self, roots: &[usize]) -> ExchangeableUnits {
        let index: BTreeMap<usize, usize> = roots.iter().enumerate().map(|(index, &root)| (root, index)).collect();
        let axes = self.axes.iter().filter_map(|(tensor, axis, units)| {
            let mut positions = vec![Vec::new(); roots.len()];
            for (position, unit) in units.iter().enumerate() {
                if let Some(&index) = unit.and_then(|unit| index.get(&self.root(unit))) {
                    positions[index].push(position);
                }
            }
            let positions = positions.concat();
            (!positions.is_empty()).then_some(UnitAxis { tensor: *tensor, axis: *axis, positions })
        });
        ExchangeableUnits { count: roots.len(), axes: axes.collect() }
    }

    fn root(&self, unit: usize) -> usize {
        let mut root = unit;
        while self.same[root] != root {
            root = self.same[root];
        }
        root
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::super::Model;
    use super::{ExchangeableUnits, UnitTensor};

    fn model(spec: &str, shape: &[usize]) -> Model {
        Model::new(&spec.parse().unwrap(), shape, 10).unwrap()
    }

    /// The names of the tensors with the axis and the first unit's positions.
    fn axes(model: &Model, units: &ExchangeableUnits) -> Vec<(String, usize, Vec<usize>)> {
        let name = |tensor| match tensor {
            UnitTensor::Parameter(i) => model.parameters().entries()[i].name.clone(),
            UnitTensor::Buffer(i) => model.buffers().entries()[i].name.clone(),
        };
        let of_first = |positions: &[usize]| positions[..positions.len() / units.count].to_vec();
        units.axes.iter().map(|axis| (name(axis.tensor), axis.axis, of_first(&axis.positions))).collect()
    }

    #[test]
    fn a_hidden_layer_has_its_rows_its_norm_and_the_columns_behind_it() {
        let model = model("mlp:6-4-3-10:tanh:bn", &[6]);
        let units = model.exchangeable_units().unwrap();
        assert_eq!(units.iter().map(|units| units.count).collect::<Vec<_>>(), [4, 3]);
        let row = |name: &str| (name.to_owned(), 0, vec![0]);
        let expected = [
            row("fc1.weight"),
            row("fc1.bias"),
            row("bn1.running_mean"),
            row("bn1.running_var"),
            row("bn1.weight"),
            row("bn1.bias"),
            ("fc2.weight".to_owned(), 1, vec![0]),
        ];
        assert_eq!(axes(&model, &units[0]), expected);
    }

    #[test]
    fn flattening_gives_a_channel_a_block_of_columns() {
        let model = model("c1", &[3, 8, 8]);
        let second = &model.exchangeable_units().unwrap()[1];
        assert_eq!(second.count, 64);
        assert_eq!(axes(&model, second).last().unwrap(), &("fc1.weight".to_owned(), 1, vec![0, 1, 2, 3]));
    }

    #[test]
    fn every_hidden_layer_of_a_stack_is_a_set() {
        for (spec, counts) in [
            ("f2", &[512; 7][..]),
            ("c2", &[64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512]),
            ("vgg11", &[64, 128, 256, 256, 512, 512, 512, 512]),
            ("alexnet", &[64, 192, 384, 256, 256, 4096, 4096]),
        ] {
            let model = model(spec, &[3, 32, 32]);
            let units = model.exchangeable_units().unwrap();
            assert_eq!(units.iter().map(|units| units.count).collect::<Vec<_>>(), counts, "{spec}");
        }
    }

    #[test]
    fn a_stage_shares_its_channels_and_padding_splits_them() {
        let counts = |spec: &str| {
            let model = model(spec, &[3, 8, 8]);
            let units = model.exchangeable_units().unwrap();
            units.iter().map(|units| (units.count, units.axes.len())).collect::<Vec<_>>()
        };
        // Three blocks in each stage have channels of their own between their convolutions: a row and five vectors of it, and
        // a column. With shortcuts of parameters the three stages are three sets besides.
        let b = counts("resnet20:b");
        assert_eq!(
            b.iter().filter(|(_, axes)| *axes == 6).map(|(count, _)| *count).collect::<Vec<_>>(),
            [16, 16, 16, 32, 32, 32, 64, 64, 64]
        );
        assert_eq!(b.iter().filter(|(_, axes)| *axes != 6).map(|(count, _)| *count).collect::<Vec<_>>(), [16, 32, 64]);
        // Without, the channels of the first stage go through all, between those that the second and the third add.
        let a = counts("resnet20");
        assert_eq!(a.iter().filter(|(_, axes)| *axes != 6).map(|(count, _)| *count).collect::<Vec<_>>(), [16, 16, 32]);
    }

    #[test]
    fn models_of_tokens_and_patches_have_none() {
        assert!(model("vit:patch=2,width=4,depth=1,heads=1,mlp=4", &[3, 8, 8]).exchangeable_units().is_none());
        assert_eq!(model("mlp:6-10", &[6]).exchangeable_units(), Some(&[][..]));
    }
}
