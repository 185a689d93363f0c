//! The commands on whole executions and pipelines, one file each.

pub(crate) mod delete;
pub(crate) mod override_condition;
pub(crate) mod retry;
pub(crate) mod revision;
pub(crate) mod rollback;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod update;
