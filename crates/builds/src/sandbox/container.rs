//! A container of a Docker or Podman engine. The driver is its main process; a helper thread, the only place in a
//! runner with an async runtime, copies between its attached streams and the runner's pipes. Must not outlive the build:
//! the container is removed at its end, by name even when the runner that made it is gone.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error as EngineError;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    RemoveContainerOptionsBuilder,
};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::layout::Layout;
use super::{
    Ending, NO_IMAGE, NO_SANDBOX, Pipes, STANDARD_PATH, Sandbox, StartError, container_name, engine, processes,
};
use crate::files::BuildDir;
use crate::limits::KILL_WAIT;
use crate::request::{BuildRequest, ContainerSpec, SandboxSpec};

/// Printed by the driver behind each command's output: the two streams of a container may overtake each other.
const MARK: &[u8] = b"\x1etowpath-end\x1e";

pub(super) struct Container {
    layout: Layout,
    plan: Plan,
    host: String,
    shared: Arc<Shared>,
}

const IDLE: u8 = 0;
const CANCELLED: u8 = 1;
const MAKING: u8 = 2;
const MADE: u8 = 3;

/// What the helper thread needs to know.
#[derive(Clone)]
struct Plan {
    spec: ContainerSpec,
    name: String,
    build_id: String,
    binds: Vec<String>,
}

#[derive(Default)]
struct Shared {
    /// Whoever moves it away from IDLE first decides whether a container is made.
    making: AtomicU8,
    /// Root inside is an ordinary user outside.
    rootless: AtomicBool,
}

impl Container {
    pub fn new(
        request: &BuildRequest,
        dir: &BuildDir,
        spec: ContainerSpec,
        extra_mounts: &[String],
    ) -> Result<Self, StartError> {
        let mut layout = Layout::codebuild(request, dir)?;
        for (index, inside) in extra_mounts.iter().enumerate() {
            layout.mount(inside, &dir.mounts().join(index.to_string()))?;
        }
        let host = engine::find(spec.engine.as_deref()).map_err(|reason| {
            StartError::new(
                NO_IMAGE,
                format!(
                    "Unable to pull customer's container image. The image {} needs a container engine: {reason}",
                    spec.image
                ),
            )
        })?;
        let binds = layout
            .mounts
            .iter()
            .map(|mount| {
                format!(
                    "{}:{}:{}",
                    mount.host.display(),
                    mount.inside.display(),
                    if mount.read_only { "ro" } else { "rw" }
                )
            })
            .collect();
        let plan = Plan { spec, name: container_name(&dir.root), build_id: request.build_id.clone(), binds };
        Ok(Self { layout, plan, host, shared: Arc::default() })
    }
}

impl Sandbox for Container {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn base_environment(&self) -> BTreeMap<String, String> {
        [("PATH", STANDARD_PATH), ("HOME", "/root")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn run_as_problem(&self) -> Option<String> {
        None
    }

    fn start(&mut self) -> Result<Pipes, StartError> {
        let scratch = self.layout.to_host(&self.layout.scratch).unwrap_or_default();
        processes::write_driver(&scratch)?;
        let failed =
            |error: io::Error| StartError::new(NO_SANDBOX, format!("cannot talk to the container engine: {error}"));
        let (commands_out, commands) = io::pipe().map_err(failed)?;
        let (control, control_in) = io::pipe().map_err(failed)?;
        let (output, output_in) = io::pipe().map_err(failed)?;
        let (plan, host, shared) = (self.plan.clone(), self.host.clone(), Arc::clone(&self.shared));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        thread::Builder::new()
            .name("container".to_owned())
            .spawn(move || {
                let mut control = control_in;
                if let Err(error) =
                    runtime.block_on(serve(&plan, &host, &shared, commands_out, &mut control, output_in))
                {
                    // Nobody listens any more if this cannot be said.
                    let _ = writeln!(control, "failed {} {}", error.code, error.message.replace('\n', " "));
                }
            })
            .map_err(failed)?;
        Ok(Pipes { commands: Some(commands), control, output })
    }

    fn farewell(&self) -> Option<String> {
        let user = nix::unistd::geteuid();
        // A rootful engine leaves files that a server of another user could neither read nor remove.
        if user.is_root() || self.shared.rootless.load(Ordering::Relaxed) {
            return None;
        }
        let owner = format!("{user}:{}", nix::unistd::getegid());
        let paths = self.layout.mounts.iter().filter(|mount| !mount.read_only);
        Some(paths.fold(format!("chown -R {owner}"), |command, mount| {
            command + " " + &super::quote(&mount.inside.to_string_lossy())
        }))
    }

    fn end(&mut self, _how: Ending) {
        if self.shared.making.compare_exchange(IDLE, CANCELLED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return;
        }
        let deadline = Instant::now() + KILL_WAIT;
        while self.shared.making.load(Ordering::SeqCst) == MAKING && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(remove(&self.host, &self.plan.name));
        }
    }
}

/// Removes the container of a build whose runner is gone.
pub(crate) async fn remove_leftover(request: &BuildRequest) {
    if let SandboxSpec::Container(spec) = &request.sandbox
        && let Ok(host) = engine::find(spec.engine.as_deref())
    {
        let dir = request.dir.canonicalize().unwrap_or_else(|_| request.dir.clone());
        remove(&host, &container_name(&dir)).await;
    }
}

async fn remove(host: &str, name: &str) {
    if let Ok(docker) = engine::connect(host) {
        // It may never have been made; there is nobody to tell if it cannot be removed.
        let _ = docker
            .remove_container(name, Some(RemoveContainerOptionsBuilder::default().force(true).v(true).build()))
            .await;
    }
}

fn no_sandbox(error: &EngineError) -> StartError {
    StartError::new(NO_SANDBOX, format!("the container engine refused: {error}"))
}

fn lost(error: &io::Error) -> StartError {
    StartError::new(NO_SANDBOX, format!("lost the connection to the container: {error}"))
}

/// Pulls, makes and attaches the container, then copies until one side ends.
async fn serve(
    plan: &Plan,
    host: &str,
    shared: &Shared,
    commands: PipeReader,
    control: &mut PipeWriter,
    mut output: PipeWriter,
) -> Result<(), StartError> {
    let docker = engine::connect(host).map_err(|error| no_sandbox(&error))?;
    let image_environment = image(&docker, plan, &mut output).await?;
    if let Ok(info) = docker.info().await {
        let rootless = info.security_options.unwrap_or_default().iter().any(|option| option.contains("rootless"));
        shared.rootless.store(rootless, Ordering::Relaxed);
    }
    let attached = make(&docker, plan, shared, &image_environment).await?;
    let mut streams = attached.output;
    let mut input = attached.input;
    let mut commands =
        tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(nonblocking(commands).map_err(|error| lost(&error))?)
            .map_err(|error| lost(&error))?;
    let mut sorter = Sorter::default();
    let mut buffer = [0u8; 1024];
    let mut ready = false;
    loop {
        tokio::select! {
            read = commands.read(&mut buffer) => {
                let count = read.map_err(|error| lost(&error))?;
                if count == 0 {
                    // The runner is done; the driver ends with its input, and the container with the driver.
                    let _ = input.shutdown().await;
                    return Ok(());
                }
                input.write_all(&buffer[..count]).await.map_err(|error| lost(&error))?;
                input.flush().await.map_err(|error| lost(&error))?;
            }
            frame = streams.next() => {
                match frame {
                    None => return Ok(()),
                    Some(Err(error)) => return Err(no_sandbox(&error)),
                    Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => sorter.control(&message),
                    Some(Ok(LogOutput::StdErr { message })) => sorter.output(&message),
                    Some(Ok(LogOutput::StdIn { .. })) => {}
                }
                let (bytes, lines) = sorter.take();
                if !bytes.is_empty() {
                    output.write_all(&bytes).map_err(|error| lost(&error))?;
                }
                for line in lines {
                    let line = if ready { line } else { format!("{line} {}", serde_json::to_string(&image_environment).unwrap_or_default()) };
                    ready = true;
                    writeln!(control, "{line}").map_err(|error| lost(&error))?;
                }
            }
        }
    }
}

fn nonblocking(pipe: PipeReader) -> io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
    Ok(pipe.into())
}

/// Makes sure the image is there; its environment.
async fn image(docker: &Docker, plan: &Plan, output: &mut PipeWriter) -> Result<Vec<String>, StartError> {
    let name = &plan.spec.image;
    let unable = |error: &EngineError| {
        let message = match error {
            EngineError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
            other => other.to_string(),
        };
        StartError::new(
            NO_IMAGE,
            format!("Unable to pull customer's container image. CannotPullContainerError: {message}"),
        )
    };
    match docker.inspect_image(name).await {
        Ok(found) => return Ok(found.config.and_then(|config| config.env).unwrap_or_default()),
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(no_sandbox(&error)),
    }
    // Without a tag an engine pulls them all.
    let last = name.rsplit('/').next().unwrap_or(name);
    let from = if last.contains(':') || last.contains('@') { name.clone() } else { format!("{name}:latest") };
    let credentials = plan.spec.registry_credential.as_ref().map(|credential| DockerCredentials {
        username: Some(credential.username.clone()),
        password: Some(credential.password.0.clone()),
        ..DockerCredentials::default()
    });
    let options = CreateImageOptionsBuilder::default().from_image(&from).build();
    let mut progress = std::pin::pin!(docker.create_image(Some(options), None, credentials));
    // Progress within a layer comes many times a second; a change of its state is what a log wants.
    let mut told = std::collections::HashSet::new();
    while let Some(step) = progress.next().await {
        let step = step.map_err(|error| unable(&error))?;
        if let Some(detail) = step.error_detail.and_then(|detail| detail.message) {
            return Err(StartError::new(
                NO_IMAGE,
                format!("Unable to pull customer's container image. CannotPullContainerError: {detail}"),
            ));
        }
        let line = format!("{} {}", step.id.unwrap_or_default(), step.status.unwrap_or_default());
        if told.len() < 10_000 && told.insert(line.clone()) {
            writeln!(output, "{}", line.trim()).map_err(|error| lost(&error))?;
        }
    }
    let found = docker.inspect_image(name).await.map_err(|error| unable(&error))?;
    Ok(found.config.and_then(|config| config.env).unwrap_or_default())
}

async fn make(
    docker: &Docker,
    plan: &Plan,
    shared: &Shared,
    image_environment: &[String],
) -> Result<AttachContainerResults, StartError> {
    let path = image_environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(STANDARD_PATH);
    let driver = ["env", "-i", "/bin/sh", "/codebuild/output/tmp/driver.sh", "/codebuild/output/tmp"];
    let mark = String::from_utf8_lossy(MARK);
    let body = ContainerCreateBody {
        image: Some(plan.spec.image.clone()),
        entrypoint: Some(driver.into_iter().chain([mark.as_ref(), path]).map(str::to_owned).collect()),
        cmd: Some(Vec::new()),
        user: Some("0:0".to_owned()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        tty: Some(false),
        labels: Some([("towpath.build".to_owned(), plan.build_id.clone())].into()),
        host_config: Some(HostConfig {
            binds: Some(plan.binds.clone()),
            privileged: Some(plan.spec.privileged),
            network_mode: Some(plan.spec.network.clone().unwrap_or_else(|| "host".to_owned())),
            // The directories are the build's own; relabelling them would touch the host.
            security_opt: Some(vec!["label=disable".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    if shared.making.compare_exchange(IDLE, MAKING, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return Err(StartError::new(NO_SANDBOX, "the build ended before its container was made"));
    }
    let attached = run(docker, plan, body).await;
    shared.making.store(MADE, Ordering::SeqCst);
    attached.map_err(|error| no_sandbox(&error))
}

async fn run(docker: &Docker, plan: &Plan, body: ContainerCreateBody) -> Result<AttachContainerResults, EngineError> {
    // One of an earlier try that was killed between making and running it.
    let _ =
        docker.remove_container(&plan.name, Some(RemoveContainerOptionsBuilder::default().force(true).build())).await;
    let docker_options = CreateContainerOptionsBuilder::default().name(&plan.name).build();
    docker.create_container(Some(docker_options), body).await?;
    let attach = AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true).stream(true).build();
    let attached = docker.attach_container(&plan.name, Some(attach)).await?;
    docker.start_container(&plan.name, None).await?;
    Ok(attached)
}

/// Puts the two streams back in order: an exit code is passed on only after the mark behind its output.
#[derive(Default)]
struct Sorter {
    /// Output not passed on yet: it may hold the beginning of a mark.
    pending: Vec<u8>,
    passed: Vec<u8>,
    line: Vec<u8>,
    lines: Vec<String>,
    /// Exit codes waiting for their mark. `ready` has none.
    marks: usize,
    greeted: bool,
}

impl Sorter {
    fn control(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.lines.push(String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned()),
                byte => self.line.push(*byte),
            }
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(at) = self.pending.windows(MARK.len()).position(|window| window == MARK) {
            self.passed.extend(self.pending.drain(..at));
            self.pending.drain(..MARK.len());
            self.marks += 1;
        }
        let keep = (1..MARK.len()).rev().find(|keep| self.pending.ends_with(&MARK[..*keep])).unwrap_or(0);
        let done = self.pending.len() - keep;
        self.passed.extend(self.pending.drain(..done));
    }

    fn take(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut out = Vec::new();
        if !self.greeted && !self.lines.is_empty() {
            self.greeted = true;
            out.push(self.lines.remove(0));
        }
        while self.marks > 0 && !self.lines.is_empty() {
            self.marks -= 1;
            out.push(self.lines.remove(0));
        }
        (std::mem::take(&mut self.passed), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_wait_for_their_output() {
        let mut sorter = Sorter::default();
        sorter.control(b"ready\n");
        assert_eq!(sorter.take(), (Vec::new(), vec!["ready".to_owned()]));
        sorter.control(b"1\n");
        assert_eq!(sorter.take(), (Vec::new(), Vec::new()));
        sorter.output(b"failed: \x1etow");
        assert_eq!(sorter.take(), (b"failed: ".to_vec(), Vec::new()));
        sorter.output(b"els\x1etowpath-end\x1enext");
        assert_eq!(sorter.take(), (b"\x1etowelsnext".to_vec(), vec!["1".to_owned()]));
    }
}
