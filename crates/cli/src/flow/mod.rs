//! What `run` and `approve` share: making a pipeline's surroundings, following an execution, answering its approvals,
//! and telling what came of it. Everything goes through `Host`; nothing here decides what a pipeline does.

pub mod ask;
pub mod follow;
pub mod git;
pub mod logs;
pub mod prepare;
pub mod source;
pub mod summary;
pub mod trees;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc::Receiver;

use self::ask::Asker;
use crate::commands::validate::Validate;
use crate::config::Config;
use crate::errors::ExpectedError;
use crate::host::Host;

/// What a system is opened with.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub data_dir: PathBuf,
    pub account: String,
    pub region: String,
    pub config: Config,
    /// Source actions that directories stand in for.
    pub trees: BTreeSet<String>,
    /// What relative paths of the configuration start at.
    pub config_dir: PathBuf,
}

/// Opens the system over a data directory: `assemble` for real, a script in tests.
#[async_trait]
pub trait Opener: Send + Sync {
    async fn open(&self, options: &OpenOptions) -> Result<Arc<dyn Host>, ExpectedError>;
}

/// What a command is given beside its arguments.
pub struct Surroundings<'a> {
    pub validate: Validate<'a>,
    pub opener: &'a dyn Opener,
    pub asker: &'a dyn Asker,
    /// One message for every Ctrl-C.
    pub interrupts: Receiver<()>,
}

/// The data directory: the one named, else `.towpath` beside the pipeline. Made where it is missing, out of git's sight.
pub fn data_directory(named: Option<&Path>, pipeline_directory: &Path) -> Result<PathBuf, ExpectedError> {
    let path = named.map_or_else(|| pipeline_directory.join(".towpath"), Path::to_owned);
    let error = |source| ExpectedError::DataDirectory { path: path.clone(), source };
    if !path.is_dir() {
        std::fs::create_dir_all(&path).map_err(error)?;
        if named.is_none() {
            std::fs::write(path.join(".gitignore"), "*\n").map_err(error)?;
        }
    }
    Ok(path)
}
