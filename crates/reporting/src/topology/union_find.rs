//! Disjoint sets of numbers.

/// Sets that are joined one by one, each known by one of its members.
pub(super) struct UnionFind {
    /// For each number another one of its set; itself for the one that the set is known by.
    parent: Vec<usize>,
}

impl UnionFind {
    /// Every number below `count` in a set of its own.
    pub(super) fn new(count: usize) -> Self {
        Self { parent: (0..count).collect() }
    }

    /// The number that a set is known by. Halves the way there, which keeps m steps on n numbers at O(m log n).
    pub(super) fn find(&mut self, mut member: usize) -> usize {
        while self.parent[member] != member {
            self.parent[member] = self.parent[self.parent[member]];
            member = self.parent[member];
        }
        member
    }

    /// Puts a set into another; both are given by what they are known by, and the other keeps its own.
    pub(super) fn join(&mut self, set: usize, into: usize) {
        self.parent[set] = into;
    }
}
