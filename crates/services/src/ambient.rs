//! What a service takes from outside to be repeatable: the time and fresh random bits. Nothing else of the environment
//! is reached from here.

use std::sync::{Arc, Mutex, PoisonError};

use towpath_model::ids::IdSource;
use towpath_model::time::{Clock, Timestamp};

/// The clock and the id source, shared by all services of a process.
#[derive(Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    ids: Arc<Mutex<dyn IdSource + Send>>,
}

impl Ambient {
    pub fn new(clock: Arc<dyn Clock>, ids: impl IdSource + Send + 'static) -> Self {
        Self { clock, ids: Arc::new(Mutex::new(ids)) }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A lower-case version-4 UUID.
    pub fn uuid(&self) -> String {
        self.draw(|ids| ids.uuid())
    }

    /// `N` unpredictable bytes, 32 at most per 2 draws.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(16) {
            let bits = self.draw(|ids| ids.bits()).to_be_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
        bytes
    }

    /// `length` characters of `alphabet`, each as likely as the other up to one part in 2^120.
    pub fn text(&self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| {
                let bits = self.draw(|ids| ids.bits());
                let index = (bits >> 2) % (alphabet.len() as u128);
                char::from(alphabet[usize::try_from(index).unwrap_or(0)])
            })
            .collect()
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut dyn IdSource) -> T) -> T {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&mut *ids)
    }
}
