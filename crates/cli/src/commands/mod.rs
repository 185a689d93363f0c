//! One file per command. A command reads its files, speaks to a `Host` (this machine) or a
//! `Remote` (a server), and answers with an exit code.

pub mod approval;
pub mod approve;
pub mod completions;
pub mod connection;
pub mod history;
pub mod import;
pub mod list;
pub mod logs;
pub mod retry;
pub mod rollback;
pub mod run;
pub mod simulate;
pub mod start;
pub mod status;
pub mod stop;
pub mod transition;
pub mod validate;
pub mod worker;
