//! A bubblewrap sandbox: the system's own directories read-only, a private /tmp, /root and process table, the sources
//! where CodeBuild has them, the host's network. Nothing else of the host is visible. Must not need a daemon or an image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::layout::Layout;
use super::{Ending, NO_SANDBOX, Pipes, STANDARD_PATH, Sandbox, StartError, processes};
use crate::files::BuildDir;
use crate::request::{BubblewrapSpec, BuildRequest};

/// Top-level directories that belong to the system and hold no user's data.
pub(super) const SYSTEM: [&str; 12] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu", "/snap"];
/// Files of the system that no build needs.
const HIDDEN: [&str; 4] = ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"];
/// What root keeps inside: about what a container leaves it, so that package managers and run-as work.
const CAPABILITIES: [&str; 8] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
];

pub(super) struct Bubblewrap {
    layout: Layout,
    spec: BubblewrapSpec,
    dir: BuildDir,
}

impl Bubblewrap {
    pub fn new(request: &BuildRequest, dir: &BuildDir, spec: BubblewrapSpec) -> Result<Self, StartError> {
        let mut layout = Layout::codebuild(request, dir)?;
        layout.mount("/tmp", &dir.private_tmp())?;
        layout.mount("/root", &dir.home())?;
        let mode = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(|error| StartError::new(NO_SANDBOX, format!("cannot prepare {}: {error}", path.display())))
        };
        mode(&dir.private_tmp(), 0o1777)?;
        mode(&dir.home(), 0o700)?;
        Ok(Self { layout, spec, dir: dir.clone() })
    }

    fn command(&self) -> Command {
        let mut bwrap = Command::new(super::detect::find_program("bwrap").unwrap_or_else(|| "bwrap".into()));
        bwrap.args(["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "build"]);
        bwrap.args(system_arguments());
        // Directories that bubblewrap makes by itself on the way to a mount are for root only.
        let ways: BTreeSet<&Path> =
            self.layout.mounts.iter().flat_map(|mount| mount.inside.ancestors().skip(1)).collect();
        for way in ways.into_iter().filter(|way| way.parent().is_some()) {
            bwrap.arg("--dir").arg(way);
        }
        for mount in &self.layout.mounts {
            bwrap.arg(if mount.read_only { "--ro-bind" } else { "--bind" }).arg(&mount.host).arg(&mount.inside);
        }
        for path in &self.spec.read_only {
            bwrap.arg("--ro-bind-try").arg(path).arg(path);
        }
        if nix::unistd::geteuid().is_root() {
            for capability in CAPABILITIES {
                bwrap.args(["--cap-add", capability]);
            }
        }
        bwrap.args(["--chdir", "/codebuild/output/tmp", "--", "/bin/sh", "/codebuild/output/tmp/driver.sh"]);
        bwrap.args(["/codebuild/output/tmp", "", STANDARD_PATH]);
        bwrap
    }
}

/// The part that is the same for every build, and for the trial run that `detect` makes.
pub(super) fn system_arguments() -> Vec<PathBuf> {
    let mut arguments: Vec<PathBuf> = Vec::new();
    let mut add = |words: [&Path; 3]| arguments.extend(words.map(Path::to_owned));
    for path in SYSTEM.map(Path::new) {
        match fs::read_link(path) {
            Ok(target) => add([Path::new("--symlink"), &target, path]),
            Err(_) if path.is_dir() => add([Path::new("--ro-bind"), path, path]),
            Err(_) => {}
        }
    }
    for path in HIDDEN.map(Path::new).into_iter().filter(|path| path.exists()) {
        add([Path::new("--ro-bind"), Path::new("/dev/null"), path]);
    }
    // Where a resolver manages it, /etc/resolv.conf points out of /etc.
    if let Ok(target) = fs::canonicalize("/etc/resolv.conf")
        && !SYSTEM.iter().any(|system| target.starts_with(system))
    {
        add([Path::new("--ro-bind"), &target, &target]);
    }
    for words in [["--proc", "/proc"], ["--dev", "/dev"], ["--dir", "/var/tmp"], ["--dir", "/run/lock"]] {
        arguments.extend(words.map(PathBuf::from));
    }
    arguments
}

impl Sandbox for Bubblewrap {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn base_environment(&self) -> BTreeMap<String, String> {
        [("PATH", STANDARD_PATH), ("HOME", "/root")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn run_as_problem(&self) -> Option<String> {
        (!nix::unistd::geteuid().is_root()).then(|| {
            "run-as in a bubblewrap sandbox needs Towpath to run as root; remove run-as or run the build in a container".to_owned()
        })
    }

    fn start(&mut self) -> Result<Pipes, StartError> {
        processes::write_driver(&self.dir.scratch())?;
        processes::start(self.command(), &self.dir.root)
    }

    fn end(&mut self, how: Ending) {
        processes::end_family(how);
    }
}
