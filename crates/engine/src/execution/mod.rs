//! The commands on whole executions and pipelines, one file each.

pub(crate) mod delete;
pub(crate) mod retry;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod update;
