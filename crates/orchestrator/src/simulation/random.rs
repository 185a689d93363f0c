//! Numbers that look random and are not: everything drawn from one seed.

use std::sync::{Arc, Mutex, PoisonError};

use towpath_model::ids::IdSource;

/// SplitMix64: small, fast, and good enough to choose among schedules.
#[derive(Debug, Clone)]
pub struct Random(u64);

/// Spreads a number over all bits.
pub const fn mixed(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// Below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index into something with so many elements, at least one.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length.max(1) as u64)).unwrap_or(0)
    }

    /// True so many times out of a hundred.
    pub const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(self.index(from.len()))
    }
}

/// Ids drawn from a seed, shared by every process that ever runs in a world, so that none comes twice.
#[derive(Clone)]
pub(super) struct SeededIds(Arc<Mutex<Random>>);

impl SeededIds {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Random::new(seed))))
    }
}

impl IdSource for SeededIds {
    fn bits(&mut self) -> u128 {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        u128::from(random.next()) << 64 | u128::from(random.next())
    }
}
