//! The system clock and the system's random source: the only place that touches either.

use rand::TryRngCore as _;
use rand::rngs::OsRng;
use towpath_model::ids::IdSource;
use towpath_model::time::{Clock, Timestamp};

pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock that everything else is handed")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Draws from the operating system, a block at a time.
pub struct SystemIds {
    block: [u8; 512],
    used: usize,
}

impl Default for SystemIds {
    fn default() -> Self {
        Self { block: [0; 512], used: 512 }
    }
}

impl IdSource for SystemIds {
    fn bits(&mut self) -> u128 {
        if self.used + 16 > self.block.len() {
            // A system without randomness cannot make secrets; there is nothing sensible left to do.
            OsRng.try_fill_bytes(&mut self.block).expect("the operating system gives random bytes");
            self.used = 0;
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.block[self.used..self.used + 16]);
        // What was given out stays nowhere.
        self.block[self.used..self.used + 16].fill(0);
        self.used += 16;
        u128::from_ne_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_across_blocks() {
        let mut ids = SystemIds::default();
        let drawn: std::collections::BTreeSet<u128> = (0..200).map(|_| ids.bits()).collect();
        assert_eq!(drawn.len(), 200);
    }
}
