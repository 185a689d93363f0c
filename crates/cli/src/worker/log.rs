//! What a worker prints: the output of what it runs on stdout, each line under the name of its action, and everything
//! about itself on stderr.

use std::sync::{Arc, Mutex, PoisonError};

use crate::display::clean;
use crate::terminal::Terminal;

#[derive(Clone)]
pub struct Log(Arc<Mutex<Terminal>>);

impl Log {
    pub fn new(terminal: Terminal) -> Self {
        Self(Arc::new(Mutex::new(terminal)))
    }

    /// A line of what a job printed.
    pub fn line(&self, title: &str, text: &str) {
        let line = format!("[{title}] {}\n", clean(text));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).result(&line);
    }

    /// What the worker itself has to say.
    pub fn note(&self, text: &str) {
        let line = format!("towpath worker: {text}\n");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(&line);
    }
}
