//! No sandbox: commands are plain processes of the runner's user, in the directories as they are. HOME and PATH stay
//! that user's, so that a developer's own tools are found; run-as needs root. Must not pretend to protect anything.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use super::layout::Layout;
use super::{Ending, Pipes, STANDARD_PATH, Sandbox, StartError, processes};
use crate::buildspec::is_variable_name;
use crate::files::BuildDir;
use crate::request::{BuildRequest, HostSpec};

/// What a build sees of the server's environment when it does not inherit all of it.
const KEPT: [&str; 9] = ["HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];
/// Never handed on: a build has the service role's credentials and its own CODEBUILD_*.
const WITHHELD: [&str; 3] = ["AWS_", "CODEBUILD_", "TOWPATH_"];

pub(super) struct Host {
    layout: Layout,
    spec: HostSpec,
    dir: BuildDir,
}

impl Host {
    pub fn new(request: &BuildRequest, dir: &BuildDir, spec: HostSpec) -> Result<Self, StartError> {
        Ok(Self { layout: Layout::host(request, dir)?, spec, dir: dir.clone() })
    }
}

impl Sandbox for Host {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn base_environment(&self) -> BTreeMap<String, String> {
        let mut base: BTreeMap<_, _> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| is_variable_name(name) && !WITHHELD.iter().any(|prefix| name.starts_with(prefix)))
            .filter(|(name, _)| self.spec.inherit_environment || KEPT.contains(&name.as_str()))
            .collect();
        base.entry("PATH".to_owned()).or_insert_with(|| STANDARD_PATH.to_owned());
        base
    }

    fn run_as_problem(&self) -> Option<String> {
        (!nix::unistd::geteuid().is_root()).then(|| {
            "run-as needs Towpath to run as root, or a project whose image runs in a container; remove run-as or run the build in a container".to_owned()
        })
    }

    fn start(&mut self) -> Result<Pipes, StartError> {
        processes::write_driver(&self.dir.scratch())?;
        let path = self.base_environment().remove("PATH").unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        command.arg(self.layout.scratch.join("driver.sh")).arg(&self.layout.scratch).arg("").arg(path);
        processes::start(command, &self.dir.root)
    }

    fn end(&mut self, how: Ending) {
        processes::end_family(how);
    }
}
