//! What a build leaves: artifacts, reports, caches, found by CodeBuild's globs. Runs after every process of the build
//! has ended, so nothing moves under it; still trusts no symbolic link. Must not run commands or upload anything.

pub(crate) mod artifacts;
pub(crate) mod cache;
pub(crate) mod glob;
pub(crate) mod junit;
pub(crate) mod reports;

use std::collections::BTreeMap;

use crate::runner::log::BuildLog;

/// Texts of the buildspec that the shell expanded at the end of the build; all others stand as written.
#[derive(Debug, Default)]
pub(crate) struct Expanded(pub BTreeMap<String, String>);

impl Expanded {
    pub fn of<'a>(&'a self, text: &'a str) -> &'a str {
        self.0.get(text).map_or(text, String::as_str)
    }
}

/// Whether a text of the buildspec needs the shell.
pub(crate) fn needs_shell(text: &str) -> bool {
    text.contains(['$', '`'])
}

/// Where lines about the search go; none: nowhere.
pub(crate) type Say<'a> = &'a mut dyn FnMut(&str);

pub(crate) fn say(log: &mut BuildLog) -> impl FnMut(&str) {
    |line: &str| log.line(line)
}
