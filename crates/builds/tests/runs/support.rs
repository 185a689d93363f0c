//! A build in a temporary directory: set up in a line or two, run to its end, looked at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use towpath_builds::request::{
    BuildRequest, BuildspecSource, EnvironmentVariable, HostSpec, REQUEST_FORMAT, SandboxSpec, Secret, VariableKind,
    WantedArtifacts,
};
use towpath_builds::status::{Collected, Context, Outcome, PhaseStatus, Status};
use towpath_builds::{Handle, Liveness, LogLine, Seen, spawn};

/// Far beyond what any test takes: only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(1);

pub fn runner() -> Vec<String> {
    vec![std::env::current_exe().unwrap().to_string_lossy().into_owned(), "build-runner".to_owned()]
}

pub struct World {
    pub root: PathBuf,
    pub request: BuildRequest,
    _dir: tempfile::TempDir,
}

/// A test that fails half-way leaves no build running.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(handle) = Handle::adopt(&self.request.dir)
            && handle.stop().is_ok()
        {
            let begun = Instant::now();
            while handle.is_alive().unwrap_or(false) && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl World {
    pub fn new(buildspec: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let source = root.join("source");
        fs::create_dir(&source).unwrap();
        let request = BuildRequest {
            format: REQUEST_FORMAT,
            build_id: "project:0f4b7b1e".to_owned(),
            dir: root.join("build"),
            primary_source: source,
            secondary_sources: Vec::new(),
            buildspec: BuildspecSource::Inline(buildspec.to_owned()),
            environment: Vec::new(),
            codebuild: BTreeMap::from([("CODEBUILD_BUILD_ID".to_owned(), "project:0f4b7b1e".to_owned())]),
            base_environment: BTreeMap::new(),
            sandbox: SandboxSpec::Host(HostSpec::default()),
            timeout_seconds: 300,
            artifacts: WantedArtifacts::None,
            local_cache: None,
            masks: Vec::new(),
        };
        Self { root, request, _dir: dir }
    }

    /// A buildspec whose build phase has these commands.
    pub fn commands(commands: &[&str]) -> Self {
        Self::new(&spec(&[("build", commands)]))
    }

    pub fn source(&self, path: &str, text: &str) -> &Self {
        let path = self.request.primary_source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn variable(&mut self, name: &str, value: &str, kind: VariableKind) -> &mut Self {
        self.request.environment.push(EnvironmentVariable { name: name.to_owned(), value: Secret::from(value), kind });
        self
    }

    pub fn spawn(&self) -> Handle {
        spawn(&self.request, &runner()).unwrap()
    }

    pub fn run(&self) -> Done {
        finish(&self.spawn())
    }
}

/// A buildspec of phases and their commands, each written as a JSON string.
pub fn spec(phases: &[(&str, &[&str])]) -> String {
    let mut text = "version: 0.2\nphases:\n".to_owned();
    for (phase, commands) in phases {
        let commands: Vec<_> = commands.iter().map(|command| format!("{command:?}")).collect();
        text = format!("{text}  {phase}:\n    commands: [{}]\n", commands.join(", "));
    }
    text
}

/// A build that has ended.
pub struct Done {
    pub handle: Handle,
    pub status: Status,
    pub log: Vec<LogLine>,
}

/// Follows a build to its end, as the service does.
pub fn finish(handle: &Handle) -> Done {
    let status = wait(handle, |liveness, _| liveness == Liveness::Finished);
    let log = handle.read_log(0, usize::MAX).unwrap().lines;
    Done { handle: handle.clone(), status, log }
}

/// Follows a build until something is so.
pub fn wait(handle: &Handle, until: impl Fn(Liveness, &Status) -> bool) -> Status {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut seen = Seen::default();
        loop {
            let observation =
                tokio::time::timeout(PATIENCE, handle.wait_change(seen)).await.expect("the build hangs").unwrap();
            if until(observation.liveness, &observation.status) {
                return observation.status;
            }
            assert!(
                !matches!(observation.liveness, Liveness::Gone | Liveness::NotStarted),
                "{:?}: {}",
                observation.liveness,
                fs::read_to_string(handle.dir().join("runner.out")).unwrap_or_default()
            );
            seen = observation.seen;
        }
    })
}

/// Waits for something that files do not tell.
pub fn eventually(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a build to have printed this line.
pub fn printed(handle: &Handle, text: &str) {
    eventually(text, || {
        handle.read_log(0, usize::MAX).unwrap().lines.iter().any(|line| line.message.trim_end() == text)
    });
}

impl Done {
    /// What the commands printed, without CodeBuild's own lines and the blank ones.
    pub fn output(&self) -> Vec<&str> {
        let lines = self.log.iter().map(|line| line.message.trim_end_matches('\n'));
        lines.filter(|line| !line.is_empty() && !line.starts_with("[Container]")).collect()
    }

    /// CodeBuild's own lines, without the time.
    pub fn own(&self) -> Vec<&str> {
        let own = self.log.iter().filter_map(|line| line.message.strip_prefix("[Container] "));
        own.map(|line| line[27..].trim_end_matches('\n')).collect()
    }

    pub fn phases(&self) -> Vec<(&'static str, PhaseStatus)> {
        self.status.phases.iter().map(|phase| (phase.phase_type.as_str(), phase.status)).collect()
    }

    pub fn failed(&self) -> (&'static str, Context) {
        let phase = self.status.failed_phase().expect("a phase failed");
        (phase.phase_type.as_str(), phase.contexts.first().cloned().unwrap_or_default())
    }

    pub fn collected(&self) -> Collected {
        self.handle.collected().unwrap()
    }

    pub fn outcome(&self) -> Outcome {
        self.status.outcome.unwrap()
    }

    /// Asserts success, showing the log otherwise.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.outcome(), Outcome::Succeeded, "{:#?}", self.log);
        self
    }
}

/// Whether a process exists and is no zombie.
pub fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
