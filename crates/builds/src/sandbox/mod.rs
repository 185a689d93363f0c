//! Where a build's commands run: on the host, in bubblewrap, in a container. Whatever it is, one long-lived driver
//! shell runs inside it and obeys the runner over pipes. Must not know phases or buildspecs.

mod bubblewrap;
pub(crate) mod container;
mod detect;
mod enclosure;
mod engine;
mod host;
pub(crate) mod layout;
pub(crate) mod processes;

use std::collections::BTreeMap;
use std::io::{PipeReader, PipeWriter};
use std::path::Path;

pub use detect::{Availability, Detected, detect};
pub use enclosure::{Enclosure, is_system};

use crate::files::BuildDir;
use crate::request::{BubblewrapSpec, BuildRequest, HostSpec, SandboxSpec};
use layout::Layout;

/// The runner's ends of the pipes to the driver.
pub(crate) struct Pipes {
    /// `SHELL USER` lines; the driver runs `script.sh` for each. Closing it ends the driver.
    pub commands: Option<PipeWriter>,
    /// `ready`, then one exit code a line; end of file once the driver is gone.
    pub control: PipeReader,
    /// Everything commands print.
    pub output: PipeReader,
}

/// Why a sandbox cannot be had: a phase context of PROVISIONING.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StartError {
    pub code: &'static str,
    pub message: String,
}

impl StartError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The status code of a sandbox that could not be made for a reason that is not its image.
pub(crate) const NO_SANDBOX: &str = "BUILD_CONTAINER_UNABLE_TO_START";
pub(crate) const NO_IMAGE: &str = "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The driver has been dismissed and is about to end; what commands left in the background is killed.
    Done,
    /// In the middle of a command, which is asked to end before it is killed.
    Interrupted,
    /// At once.
    Abandoned,
}

/// One way to run a build's commands.
pub(crate) trait Sandbox {
    fn layout(&self) -> &Layout;

    /// Variables that are there before the build adds its own. A container adds its image's when it says `ready`.
    fn base_environment(&self) -> BTreeMap<String, String>;

    /// Why commands cannot run as another user than the sandbox's own, if so.
    fn run_as_problem(&self) -> Option<String>;

    /// Starts the driver and returns at once; `ready` on the control pipe tells that it is up. A container first
    /// sends its problem, if it has one, as `failed CODE MESSAGE`.
    fn start(&mut self) -> Result<Pipes, StartError>;

    /// A command to run inside when everything else is done, so that the host may read and remove what was written.
    fn farewell(&self) -> Option<String> {
        None
    }

    /// Ends whatever still runs inside.
    fn end(&mut self, how: Ending);
}

/// Lays out the sandbox a request asks for. `extra_mounts` are absolute directories inside it whose contents must be
/// reachable from the host (caches).
pub(crate) fn prepare(
    request: &BuildRequest,
    dir: &BuildDir,
    extra_mounts: &[String],
) -> Result<Box<dyn Sandbox>, StartError> {
    Ok(match &request.sandbox {
        SandboxSpec::Host(spec) => Box::new(host::Host::new(request, dir, spec.clone())?),
        SandboxSpec::Bubblewrap(spec) => Box::new(bubblewrap::Bubblewrap::new(request, dir, spec.clone())?),
        SandboxSpec::Container(spec) => Box::new(container::Container::new(request, dir, spec.clone(), extra_mounts)?),
    })
}

impl SandboxSpec {
    /// Bubblewrap where it works, else the host: what runs projects that name one of AWS's managed images.
    pub fn default_for(detected: &Detected) -> Self {
        if detected.bubblewrap.available {
            Self::Bubblewrap(BubblewrapSpec::default())
        } else {
            Self::Host(HostSpec::default())
        }
    }
}

/// The driver. It runs in a directory of its own with an empty environment, so that what a command unsets stays unset;
/// `$1` is that directory, `$2` a mark to print behind each command's output where pipes may overtake each other,
/// `$3` the PATH to find shells and helpers on. Standard output is the control pipe: commands never see it.
pub(crate) const DRIVER: &str = r#"cd "$1" || exit 125
unset PATH
PATH=$3
script=$1/script.sh
as() {
  user=$1
  shift
  if ! id -u "$user" >/dev/null 2>&1; then
    echo "run-as: user $user does not exist in the build environment" >&2
    return 126
  fi
  if [ "$(id -u)" = "$(id -u "$user")" ]; then
    "$@"
    return
  fi
  case $(setpriv --help 2>&1) in
    *--init-groups*) setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@" ;;
    *) su -s /bin/sh "$user" -c "$(command -v "$1") $2" ;;
  esac
}
echo ready
while read -r shell user; do
  case $user in
    -) "$shell" "$script" </dev/null >&2 ;;
    *) as "$user" "$shell" "$script" </dev/null >&2 ;;
  esac
  code=$?
  if [ -n "$2" ]; then printf '%s' "$2" >&2; fi
  echo "$code"
done
"#;

pub(crate) const STANDARD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stable number from a text: for names that must be the same in every process.
pub(crate) fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The container of a build directory.
pub(crate) fn container_name(dir: &Path) -> String {
    format!("towpath-build-{:016x}", fingerprint(&dir.to_string_lossy()))
}

/// A word the shell takes literally.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
