//! One file per command. A command reads its files, speaks to a `Host`, and answers with an exit code.

pub mod approve;
pub mod run;
pub mod simulate;
pub mod validate;
