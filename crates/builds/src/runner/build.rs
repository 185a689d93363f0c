//! One build from beginning to end: the phases in order, what a failure means for the next, what is collected at the
//! end. Must not know how a sandbox works or how files are found.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::environment::{environment, unavailable};
use super::log::{BuildLog, Clock};
use super::mask::Masks;
use super::script::Scripts;
use super::session::{Interrupt, Interrupts, Session};
use super::spec;
use crate::buildspec::{Buildspec, OnFailure, Phase, PhaseKind, Version};
use crate::collect::{cache, say};
use crate::files::{BuildDir, write_atomically, write_json};
use crate::request::BuildRequest;
use crate::sandbox::{self, Ending, NO_SANDBOX, Sandbox, StartError};
use crate::status::{Context, Outcome, PhaseRecord, PhaseStatus, PhaseType, Status};

pub(super) struct Build<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) dir: &'a BuildDir,
    pub(super) log: BuildLog,
    pub(super) status: Status,
    pub(super) interrupts: Interrupts,
}

/// Why a build is over before its phases are.
pub(super) enum End {
    Interrupted(Interrupt),
    /// The phase under way fails with this, and no other follows.
    Failed(Context),
    /// The last phase has failed and is closed.
    Closed,
    /// Our own trouble: the status could not be written.
    Io(io::Error),
}

impl From<Interrupt> for End {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StartError> for End {
    fn from(error: StartError) -> Self {
        Self::Failed(Context::new(error.code, error.message))
    }
}

/// A build whose sandbox is up.
pub(super) struct Running {
    pub sandbox: Box<dyn Sandbox>,
    pub session: Session,
    /// Of the image, where there is one.
    pub base: BTreeMap<String, String>,
}

impl<'a> Build<'a> {
    pub fn new(request: &'a BuildRequest, dir: &'a BuildDir, now: Clock, interrupts: Interrupts) -> io::Result<Self> {
        let mut log = BuildLog::create(&dir.log(), now)?;
        log.masks = Masks::new(request.masks.iter().map(|mask| mask.0.as_str()));
        Ok(Self { request, dir, log, status: Status::default(), interrupts })
    }

    pub fn run(mut self) -> io::Result<()> {
        for line in ["Running on CodeBuild On-demand", "Waiting for agent ping"] {
            self.log.line(line);
        }
        self.begin(PhaseType::Provisioning)?;
        let text = spec::text(self.request, &self.shown_source());
        let spec = text.clone().and_then(|text| spec::read(&text));
        let mut running = None;
        let ended = self.work(text.ok().as_deref(), &spec, &mut running);
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(End::Io(error)) => {
                if let Some(running) = &mut running {
                    running.sandbox.end(Ending::Abandoned);
                }
                return Err(error);
            }
            Err(End::Closed) => Outcome::Failed,
            Err(End::Failed(context)) => {
                self.finish(PhaseStatus::Failed, vec![context]);
                Outcome::Failed
            }
            Err(End::Interrupted(interrupt)) => {
                if let Some(running) = &mut running {
                    running.sandbox.end(Ending::Interrupted);
                    running.session.drain(&mut self.log);
                }
                self.interrupted(interrupt)
            }
        };
        if let Some(running) = &mut running {
            running.session.dismiss();
            running.sandbox.end(Ending::Done);
        }
        self.status.outcome = Some(outcome);
        self.write()
    }

    /// Where the log and errors say the source is, before there is a sandbox to ask.
    fn shown_source(&self) -> PathBuf {
        use crate::request::SandboxSpec;
        use crate::sandbox::layout::Layout;
        let layout = match self.request.sandbox {
            SandboxSpec::Host(_) => Layout::host(self.request, self.dir),
            SandboxSpec::Bubblewrap(_) | SandboxSpec::Container(_) => Layout::codebuild(self.request, self.dir),
        };
        layout.map_or_else(|_| self.request.primary_source.clone(), |layout| layout.source)
    }

    fn work(
        &mut self,
        text: Option<&str>,
        spec: &Result<Buildspec, Context>,
        slot: &mut Option<Running>,
    ) -> Result<Outcome, End> {
        let running = slot.insert(self.provision(text, spec)?);
        self.finish(PhaseStatus::Succeeded, vec![Context::default()]);
        self.begin(PhaseType::DownloadSource)?;
        let spec = self.download_source(spec, running)?;
        let (mut scripts, variables) = self.prepare(&spec, running)?;
        self.finish(PhaseStatus::Succeeded, vec![Context::default()]);
        let phases = self.command_phases(&spec, running, &mut scripts);
        let outcome = match phases {
            Ok(outcome) => {
                self.begin(PhaseType::UploadArtifacts)?;
                let collected = self.collect(&spec, running, &scripts, &variables, outcome);
                scripts.remove();
                collected?
            }
            Err(end) => {
                scripts.remove();
                return Err(end);
            }
        };
        Ok(outcome)
    }

    fn provision(&mut self, text: Option<&str>, spec: &Result<Buildspec, Context>) -> Result<Running, End> {
        self.interrupts.check()?;
        let mounts = cache::absolute_directories(spec.as_ref().ok().and_then(|spec| spec.cache.as_ref()));
        let mut sandbox = sandbox::prepare(self.request, self.dir, &mounts)?;
        if let Some(text) = text {
            std::fs::create_dir_all(self.dir.readonly())?;
            write_atomically(&self.dir.readonly().join("buildspec.yml"), text.as_bytes())?;
        }
        let pipes = sandbox.start()?;
        let mut session = Session::new(pipes)?;
        let mut base = sandbox.base_environment();
        let greeting = match session.next_line(&mut self.log, &mut self.interrupts) {
            Ok(greeting) => greeting,
            Err(Interrupt::Died) => {
                let reason = self.log.last_output.trim().to_owned();
                return Err(
                    StartError::new(NO_SANDBOX, format!("the sandbox ended before it was ready: {reason}")).into()
                );
            }
            Err(interrupt) => {
                sandbox.end(Ending::Interrupted);
                return Err(interrupt.into());
            }
        };
        if let Some(failure) = greeting.strip_prefix("failed ") {
            let (code, message) = failure.split_once(' ').unwrap_or((NO_SANDBOX, failure));
            sandbox.end(Ending::Abandoned);
            return Err(End::Failed(Context::new(code, message)));
        }
        if let Some(json) = greeting.strip_prefix("ready ") {
            let image: Vec<String> = serde_json::from_str(json).unwrap_or_default();
            base.extend(
                image
                    .iter()
                    .filter_map(|entry| entry.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        Ok(Running { sandbox, session, base })
    }

    fn download_source(&mut self, spec: &Result<Buildspec, Context>, running: &Running) -> Result<Buildspec, End> {
        let layout = running.sandbox.layout();
        self.log.line("Waiting for DOWNLOAD_SOURCE");
        self.log.line("Phase is DOWNLOAD_SOURCE");
        self.log.line(&format!("CODEBUILD_SRC_DIR={}", layout.source.display()));
        for (identifier, dir) in &layout.secondary {
            self.log.line(&format!("CODEBUILD_SRC_DIR_{identifier}={}", dir.display()));
        }
        let spec = spec.clone().map_err(End::Failed)?;
        self.log.line(&format!("YAML location is {}", spec::location(self.request, &layout.source)));
        if spec.phase(PhaseKind::Install).is_some_and(|phase| phase.commands.is_empty()) {
            self.log.line("No commands found for phase name: install");
        }
        self.log.line("Processing environment variables");
        if let Some(context) = unavailable(self.request, &spec) {
            return Err(End::Failed(context));
        }
        if let Some(shell) = spec.env.shell.as_deref().filter(|shell| matches!(*shell, "powershell.exe" | "cmd.exe")) {
            return Err(End::Failed(Context::new(
                "YAML_FILE_ERROR",
                format!("env.shell {shell} needs a Windows build environment"),
            )));
        }
        for user in spec.run_as.iter().chain(spec.phases.iter().filter_map(|phase| phase.run_as.as_ref())) {
            if !is_user_name(user) {
                return Err(End::Failed(Context::new("YAML_FILE_ERROR", format!("Invalid run-as user name: {user}"))));
            }
        }
        if spec.uses_run_as()
            && let Some(problem) = running.sandbox.run_as_problem()
        {
            return Err(End::Failed(Context::new("CLIENT_ERROR", problem)));
        }
        let wants_runtime = spec.phase(PhaseKind::Install).is_some_and(|phase| !phase.runtime_versions.is_empty());
        self.log.line(if wants_runtime {
            "Skipping install of runtimes. Runtime version selection is not supported by this build image."
        } else {
            "No runtime version selected in buildspec."
        });
        self.log.line(&format!("Moving to directory {}", layout.source.display()));
        Ok(spec)
    }

    fn prepare(&mut self, spec: &Buildspec, running: &Running) -> Result<(Scripts, BTreeMap<String, String>), End> {
        let layout = running.sandbox.layout();
        cache::restore(spec.cache.as_ref(), self.request.local_cache.as_deref(), layout, &mut say(&mut self.log));
        self.log.line("Registering with agent");
        self.log.line(&format!("Phases found in YAML: {}", spec.phases.len()));
        for phase in &spec.phases {
            self.log.line(&format!(" {}: {} commands", phase_type(phase.kind).as_str(), phase.commands.len()));
        }
        let variables = environment(running.base.clone(), self.request, spec, layout);
        let carry = spec.version == Version::V0_2;
        let scripts =
            Scripts::new(&self.dir.scratch(), &layout.scratch, &layout.source, carry, spec.uses_run_as(), &variables)?;
        Ok((scripts, variables))
    }

    /// The table of section "Phases, failures, statuses": what runs after what.
    fn command_phases(
        &mut self,
        spec: &Buildspec,
        running: &mut Running,
        scripts: &mut Scripts,
    ) -> Result<Outcome, End> {
        let mut succeeding = true;
        for kind in PhaseKind::ALL {
            self.begin(phase_type(kind))?;
            self.log.line(&format!("Entering phase {}", phase_type(kind).as_str()));
            let phase = spec.phase(kind);
            let Some(context) = self.attempts(spec, phase, running, scripts, succeeding)? else {
                self.finish(PhaseStatus::Succeeded, vec![Context::default()]);
                continue;
            };
            succeeding = false;
            self.finish(PhaseStatus::Failed, vec![context]);
            match (phase.and_then(|phase| phase.on_failure.as_ref()), kind) {
                (Some(OnFailure::Continue), _)
                | (None | Some(OnFailure::Retry(_)), PhaseKind::Build | PhaseKind::PostBuild) => {}
                (Some(OnFailure::Abort), _)
                | (None | Some(OnFailure::Retry(_)), PhaseKind::Install | PhaseKind::PreBuild) => {
                    return Err(End::Closed);
                }
            }
        }
        Ok(if succeeding { Outcome::Succeeded } else { Outcome::Failed })
    }

    /// Runs a phase, again if it asks for that; why it failed, if it did. AWS says of RETRY that it retries the build;
    /// we retry the phase, which is what its position in the phase suggests.
    fn attempts(
        &mut self,
        spec: &Buildspec,
        phase: Option<&Phase>,
        running: &mut Running,
        scripts: &mut Scripts,
        succeeding: bool,
    ) -> Result<Option<Context>, End> {
        let Some(phase) = phase else { return Ok(None) };
        let mut retries = 0;
        loop {
            let Some(failed) = self.attempt(spec, phase, running, scripts, succeeding)? else { return Ok(None) };
            match &phase.on_failure {
                Some(OnFailure::Retry(retry)) if retries < retry.times && retry.matches(&failed.message) => {
                    retries += 1;
                    let name = phase_type(phase.kind).as_str();
                    self.log.line(&format!("Retrying phase {name} after failure: retry {retries} of {}", retry.times));
                }
                _ => return Ok(Some(failed)),
            }
        }
    }

    fn attempt(
        &mut self,
        spec: &Buildspec,
        phase: &Phase,
        running: &mut Running,
        scripts: &mut Scripts,
        mut succeeding: bool,
    ) -> Result<Option<Context>, End> {
        let shell = spec.env.shell.as_deref().unwrap_or("/bin/sh");
        let user = phase.run_as.as_deref().or(spec.run_as.as_deref()).unwrap_or("-");
        let mut failed: Option<Context> = None;
        for commands in [&phase.commands, &phase.finally] {
            for command in commands {
                self.log.line(&format!("Running command {}", command.trim_end_matches('\n')));
                scripts.command(command, succeeding)?;
                let code = running.session.command(shell, user, &mut self.log, &mut self.interrupts)?;
                scripts.carry_directory();
                self.log.blank();
                if code != 0 {
                    let command = command.trim_end_matches('\n');
                    self.log.line(&format!("Command did not exit successfully {command} exit status {code}"));
                    let message = format!("Error while executing command: {command}. Reason: exit status {code}");
                    failed.get_or_insert(Context::new("COMMAND_EXECUTION_ERROR", message));
                    succeeding = false;
                    break;
                }
            }
        }
        Ok(failed)
    }

    fn interrupted(&mut self, interrupt: Interrupt) -> Outcome {
        let (status, contexts, outcome) = match interrupt {
            Interrupt::Stopped => (PhaseStatus::Stopped, Vec::new(), Outcome::Stopped),
            Interrupt::TimedOut => (
                PhaseStatus::TimedOut,
                vec![Context::new("BUILD_TIMED_OUT", "Build has timed out. ")],
                Outcome::TimedOut,
            ),
            Interrupt::Died => {
                let message = "Build container found dead before completing the build. Build container died because it was out of memory, or the Docker image is not supported.";
                (PhaseStatus::Failed, vec![Context::new("BUILD_CONTAINER_FOUND_DEAD", message)], Outcome::Failed)
            }
        };
        self.finish(status, contexts);
        outcome
    }

    fn begin(&mut self, phase_type: PhaseType) -> io::Result<()> {
        // Each phase starts when the one before it ended.
        let start_ms = self.status.phases.last().and_then(|phase| phase.end_ms).unwrap_or_else(|| self.log.now_ms());
        self.status.phases.push(PhaseRecord {
            phase_type,
            status: PhaseStatus::InProgress,
            start_ms,
            end_ms: None,
            duration_seconds: None,
            contexts: Vec::new(),
        });
        self.write()
    }

    /// Closes the phase under way, which the next write of the status tells, and says so in the log, as CodeBuild does for all but these two: PROVISIONING has no
    /// lines, and those of UPLOAD_ARTIFACTS are the service's, which still has to upload.
    fn finish(&mut self, status: PhaseStatus, contexts: Vec<Context>) {
        let phase = self.status.phases.last().map(|phase| phase.phase_type);
        self.close(status, contexts);
        let quiet = phase == Some(PhaseType::Provisioning) && status == PhaseStatus::Succeeded;
        if let Some(phase) = self.status.phases.last().filter(|_| !quiet) {
            let context = phase.contexts.first().cloned().unwrap_or_default();
            self.log.line(&format!("Phase complete: {} State: {}", phase.phase_type.as_str(), status.as_str()));
            self.log.line(&format!("Phase context status code: {} Message: {}", context.status_code, context.message));
        }
    }

    pub(super) fn close(&mut self, status: PhaseStatus, mut contexts: Vec<Context>) {
        let now = self.log.now_ms();
        for context in &mut contexts {
            context.message = self.log.masks.text(&context.message);
        }
        if let Some(phase) = self.status.phases.last_mut() {
            phase.status = status;
            phase.end_ms = Some(now.max(phase.start_ms));
            phase.duration_seconds = Some(now.saturating_sub(phase.start_ms) / 1000);
            phase.contexts = contexts;
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.log.flush();
        self.status.version += 1;
        write_json(&self.dir.status(), &self.status)
    }
}

fn phase_type(kind: PhaseKind) -> PhaseType {
    match kind {
        PhaseKind::Install => PhaseType::Install,
        PhaseKind::PreBuild => PhaseType::PreBuild,
        PhaseKind::Build => PhaseType::Build,
        PhaseKind::PostBuild => PhaseType::PostBuild,
    }
}

/// A user's name goes to the driver on a line of words.
fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && name != "-"
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
