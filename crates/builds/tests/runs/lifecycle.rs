//! The runner's life: begun once, found again, stopped, killed, timed out.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath_builds::request::BuildRequest;
use towpath_builds::status::{Context, Outcome, PhaseStatus};
use towpath_builds::{BuildsError, Handle, Liveness, spawn};

use crate::support::{World, eventually, finish, printed, read, runner, runs, wait};

/// The runner's process. It has its lock a moment before its mark is there, and the mark before its number is in it.
fn pid_of(handle: &Handle) -> Pid {
    let number = || fs::read_to_string(handle.dir().join("started")).ok()?.trim().parse().ok();
    eventually("the runner's number", || number().is_some());
    Pid::from_raw(number().expect("it was there"))
}

pub fn a_build_says_everything_in_files() {
    let world = World::commands(&["echo hello"]);
    let done = world.run().succeeded();
    assert_eq!(done.output(), ["hello"]);
    let adopted = Handle::adopt(&world.request.dir).unwrap();
    assert_eq!(adopted.status().unwrap(), done.status);
    assert_eq!(adopted.request().unwrap(), world.request);
    assert!(!adopted.is_alive().unwrap() || adopted.observe().unwrap().liveness == Liveness::Finished);
    let phases = &done.status.phases;
    for pair in phases.windows(2) {
        assert_eq!(pair[0].end_ms, Some(pair[1].start_ms), "a phase starts when the one before it ends");
    }
    assert!(phases.iter().all(|phase| phase.contexts == [Context::default()] && phase.duration_seconds == Some(0)));
    assert_eq!(read(&world.request.dir.join("runner.out")), "");
    assert!(!world.request.dir.join("tmp/env.sh").exists(), "the carried environment holds credentials");
}

pub fn a_second_runner_is_refused() {
    let world = World::commands(&["echo once >> ../count"]);
    world.run().succeeded();
    let error = spawn(&world.request, &runner()).unwrap_err();
    assert!(matches!(&error, BuildsError::AlreadyStarted { dir } if *dir == world.request.dir), "{error}");
    // Even a runner started behind spawn's back leaves it alone.
    let status = read(&world.request.dir.join("status.json"));
    let exit = Command::new(&runner()[0]).arg("build-runner").arg(&world.request.dir).status().unwrap();
    assert!(exit.success());
    assert_eq!(read(&world.root.join("count")), "once\n");
    assert_eq!(read(&world.request.dir.join("status.json")), status);
}

pub fn racing_runners_run_the_build_once() {
    let world = World::commands(&["echo once >> ../count"]);
    let handles: Vec<_> = (0..4).map(|_| spawn(&world.request, &runner())).collect();
    let handle = handles.into_iter().find_map(Result::ok).unwrap();
    let done = finish(&handle).succeeded();
    assert_eq!(done.output(), Vec::<&str>::new());
    // The losers are gone too before this is counted.
    eventually("the lock is free", || !handle.is_alive().unwrap());
    assert_eq!(read(&world.root.join("count")), "once\n");
}

pub fn a_request_without_a_runner_may_be_spawned() {
    let world = World::commands(&["echo hello"]);
    assert!(matches!(Handle::adopt(&world.request.dir), Err(BuildsError::NoRequest { .. })));
    // What a server leaves that dies between the request and the runner.
    fs::create_dir(&world.request.dir).unwrap();
    fs::write(world.request.dir.join("request.json"), serde_json::to_vec(&world.request).unwrap()).unwrap();
    let handle = Handle::adopt(&world.request.dir).unwrap();
    assert_eq!(handle.observe().unwrap().liveness, Liveness::NotStarted);
    let request = handle.request().unwrap();
    assert_eq!(finish(&spawn(&request, &runner()).unwrap()).outcome(), Outcome::Succeeded);
}

/// The other half of the next test: a server that dies right after it has spawned a build.
pub fn spawn_and_die(request: &str) -> ExitCode {
    let request: BuildRequest = serde_json::from_str(&read(&PathBuf::from(request))).unwrap();
    spawn(&request, &runner()).unwrap();
    let _ = kill(Pid::this(), Signal::SIGKILL);
    ExitCode::FAILURE
}

pub fn a_build_outlives_the_process_that_spawned_it() {
    let world = World::commands(&["while [ ! -e ../go ]; do sleep 0.01; done; echo went on"]);
    let path = world.root.join("handed-over.json");
    fs::write(&path, serde_json::to_vec(&world.request).unwrap()).unwrap();
    let exit = Command::new(&runner()[0]).arg("spawn-and-die").arg(path).status().unwrap();
    assert!(!exit.success());
    let handle = Handle::adopt(&world.request.dir).unwrap();
    eventually("the runner takes the build", || handle.observe().unwrap().liveness == Liveness::Running);
    let session = nix::unistd::getsid(Some(pid_of(&handle))).unwrap();
    assert_eq!(session, pid_of(&handle), "a session of its own");
    fs::write(world.root.join("go"), "").unwrap();
    assert_eq!(finish(&handle).succeeded().output(), ["went on"]);
}

pub fn a_killed_runner_is_gone_and_its_processes_are_swept() {
    let world = World::commands(&["setsid sh -c 'echo $$ > ../pid; echo begun; sleep 1000'"]);
    let handle = world.spawn();
    printed(&handle, "begun");
    kill(pid_of(&handle), Signal::SIGKILL).unwrap();
    let adopted = Handle::adopt(&world.request.dir).unwrap();
    let status = wait_gone(&adopted);
    assert_eq!(status.outcome, None);
    assert_eq!(status.current_phase().unwrap().status, PhaseStatus::InProgress);
    assert!(matches!(spawn(&world.request, &runner()), Err(BuildsError::AlreadyStarted { .. })), "never a second run");
    let pid = read(&world.root.join("pid"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(adopted.sweep()).unwrap();
    eventually("the orphan is swept", || !runs(pid.trim()));
}

fn wait_gone(handle: &Handle) -> towpath_builds::Status {
    eventually("the runner is gone", || handle.observe().unwrap().liveness == Liveness::Gone);
    handle.status().unwrap()
}

pub fn a_stop_ends_the_command_and_its_children() {
    let world = World::commands(&["sh -c 'echo $$ > ../pid; echo begun; sleep 1000'; echo never", "echo never"]);
    let handle = world.spawn();
    printed(&handle, "begun");
    Handle::adopt(&world.request.dir).unwrap().stop().unwrap();
    let done = finish(&handle);
    assert_eq!(done.outcome(), Outcome::Stopped);
    let phase = done.status.current_phase().unwrap();
    assert_eq!((phase.phase_type.as_str(), phase.status, phase.contexts.len()), ("BUILD", PhaseStatus::Stopped, 0));
    assert_eq!(done.output(), ["begun"]);
    assert!(!runs(read(&world.root.join("pid")).trim()));
    handle.stop().unwrap();
    assert_eq!(handle.status().unwrap(), done.status, "a late stop changes nothing");
}

pub fn a_stop_before_the_start_is_seen() {
    let world = World::commands(&["echo never"]);
    fs::create_dir(&world.request.dir).unwrap();
    fs::write(world.request.dir.join("stop"), "").unwrap();
    let done = world.run();
    assert_eq!(
        (done.outcome(), done.phases().as_slice()),
        (Outcome::Stopped, [("PROVISIONING", PhaseStatus::Stopped)].as_slice())
    );
}

pub fn a_stop_file_alone_is_enough() {
    let world = World::commands(&["echo begun; sleep 1000"]);
    let handle = world.spawn();
    printed(&handle, "begun");
    fs::write(world.request.dir.join("stop"), "").unwrap();
    assert_eq!(finish(&handle).outcome(), Outcome::Stopped);
}

pub fn a_stubborn_command_is_killed() {
    let world =
        World::commands(&["trap 'echo asked' TERM; echo $$ > ../pid; echo begun; while :; do sleep 0.01; done"]);
    let handle = world.spawn();
    printed(&handle, "begun");
    handle.stop().unwrap();
    let done = finish(&handle);
    assert_eq!(done.outcome(), Outcome::Stopped);
    assert!(done.output().contains(&"asked"), "it was asked first: {:?}", done.output());
    assert!(!runs(read(&world.root.join("pid")).trim()));
}

pub fn timeouts_end_the_phase() {
    let mut world = World::new(
        "version: 0.2\nphases:\n  build:\n    commands: [echo begun; sleep 1000]\n    finally: [echo never]\n  post_build:\n    commands: [echo never]\n",
    );
    world.request.timeout_seconds = 1;
    let done = world.run();
    assert_eq!(done.outcome(), Outcome::TimedOut);
    let phase = done.status.current_phase().unwrap();
    assert_eq!((phase.phase_type.as_str(), phase.status), ("BUILD", PhaseStatus::TimedOut));
    assert_eq!(phase.contexts, [Context::new("BUILD_TIMED_OUT", "Build has timed out. ")]);
    assert_eq!(done.output(), ["begun"]);
}

pub fn an_unreadable_request_is_a_fault() {
    let world = World::commands(&["echo never"]);
    fs::create_dir(&world.request.dir).unwrap();
    let mut request = serde_json::to_value(&world.request).unwrap();
    request["format"] = 99.into();
    fs::write(world.request.dir.join("request.json"), request.to_string()).unwrap();
    let exit = Command::new(&runner()[0]).arg("build-runner").arg(&world.request.dir).status().unwrap();
    assert!(exit.success());
    let status = Handle::adopt(&world.request.dir).unwrap().status().unwrap();
    assert_eq!(status.outcome, Some(Outcome::Fault));
    assert_eq!(status.phases[0].contexts[0].message, "the build request has format 99 and this runner knows 1");
}

pub fn a_missing_source_fails_provisioning() {
    let world = World::commands(&["echo never"]);
    fs::remove_dir(&world.request.primary_source).unwrap();
    let (phase, context) = world.run().failed();
    assert_eq!(phase, "PROVISIONING");
    assert!(
        context.message.starts_with("source directory ") && context.message.contains("No such file"),
        "{}",
        context.message
    );
}

pub fn the_log_can_be_read_in_pieces_while_it_grows() {
    let world = World::commands(&["for n in $(seq 2000); do echo line $n; done"]);
    let handle = world.spawn();
    let mut lines = Vec::new();
    let mut at = 0;
    let mut read_some = |handle: &Handle| {
        loop {
            let chunk = handle.read_log(at, 500).unwrap();
            if chunk.lines.is_empty() {
                break;
            }
            assert!(chunk.lines.len() < 20);
            at = chunk.next;
            lines.extend(chunk.lines);
        }
    };
    wait(&handle, |liveness, _| liveness == Liveness::Finished);
    read_some(&handle);
    let numbered: Vec<_> = lines.iter().filter(|line| line.message.starts_with("line ")).collect();
    assert_eq!((numbered.len(), numbered[1999].message.as_str()), (2000, "line 2000\n"));
    assert_eq!(at, fs::metadata(world.request.dir.join("log.jsonl")).unwrap().len());
}
