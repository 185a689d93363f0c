//! What a new process makes of the builds of the one before.

use std::path::Path;
use std::sync::Arc;

use towpath_store::SqliteStore;

use crate::loopback::{ACCOUNT, REGION};
use crate::world::{Gate, World, phases, problem, status};

fn gated(gate: &Gate) -> String {
    format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - echo once >> $HOME_OF_TEST/ran\n      - '{}'\n",
        gate.wait()
    )
}

/// A project whose builds note that they ran.
async fn project(world: &World, gate: &Gate) {
    let buildspec = gated(gate).replace("$HOME_OF_TEST", &world.directory.path().display().to_string());
    world.project("demo", &buildspec).await;
}

async fn again(world: &World) -> World {
    World::open(Arc::clone(&world.directory), Arc::clone(&world.documents), |_| {}).await
}

fn times_ran(world: &World) -> usize {
    std::fs::read_to_string(world.directory.path().join("ran")).map_or(0, |text| text.lines().count())
}

pub async fn a_runner_is_adopted() {
    let world = World::new().await;
    let gate = Gate::new(world.directory.path(), "adopt");
    project(&world, &gate).await;
    let build = world.start("demo").await;
    world.until(build.id().expect("an id"), |build| build.current_phase() == Some("BUILD")).await;
    world.codebuild.shutdown().await;
    gate.open();
    let next = again(&world).await;
    assert_eq!(next.codebuild.resume().await.expect("resumed"), 1);
    let build = next.finished(&build).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    assert_eq!(times_ran(&world), 1);
    next.until_clean(build.id().expect("an id")).await;
    assert_eq!(next.codebuild.resume().await.expect("resumed"), 0, "nothing is left to do");
}

pub async fn a_runner_that_is_gone_is_a_fault() {
    let world = World::new().await;
    let gate = Gate::new(world.directory.path(), "gone");
    project(&world, &gate).await;
    let build = world.start("demo").await;
    let id = build.id().expect("an id").to_owned();
    world.until(&id, |build| build.current_phase() == Some("BUILD")).await;
    world.codebuild.shutdown().await;
    let run = world.directory.path().join(format!("builds/{ACCOUNT}/{REGION}/demo/{}/run", &id[5..]));
    let pid: i32 = std::fs::read_to_string(run.join("started")).expect("a mark").trim().parse().expect("a process id");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("killed");
    let next = again(&world).await;
    next.codebuild.resume().await.expect("resumed");
    let build = next.finished(&build).await;
    assert_eq!(status(&build), "FAULT");
    let (phase, code, message) = problem(&build);
    assert_eq!((phase.as_str(), code.as_str()), ("BUILD", "INTERNAL_SERVICE_ERROR"));
    assert_eq!(message, "The build's runner ended without a result.");
    next.until_clean(&id).await;
    gate.open();
    assert_eq!(times_ran(&world), 1, "never a second run");
}

pub async fn a_queued_build_is_taken_up() {
    let world = World::with(|settings| settings.concurrent_builds = 1).await;
    let gate = Gate::new(world.directory.path(), "queue");
    project(&world, &gate).await;
    let first = world.start("demo").await;
    world.until(first.id().expect("an id"), |build| build.current_phase() == Some("BUILD")).await;
    let second = world.start("demo").await;
    world.codebuild.shutdown().await;
    gate.open();
    let next = again(&world).await;
    assert_eq!(next.codebuild.resume().await.expect("resumed"), 2);
    assert_eq!(status(&next.finished(&first).await), "SUCCEEDED");
    assert_eq!(status(&next.finished(&second).await), "SUCCEEDED");
    assert_eq!(times_ran(&world), 2);
}

/// The part of a test that ends by dying: starts a build on a data directory of its own and aborts once it runs.
pub async fn start_and_die(data: &Path) -> ! {
    let directory = Arc::new(tempfile::tempdir_in(data).expect("a directory"));
    let store = Arc::new(SqliteStore::open(&data.join("store")).expect("a store"));
    let world = World::open_at(directory, Some(data.to_owned()), store, |_| {}).await;
    world.s3.ensure_bucket(ACCOUNT, REGION, "bkt", Default::default()).await.expect("a bucket");
    world
        .role("build", r#"{"Service":"codebuild.amazonaws.com"}"#, r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#)
        .await;
    let gate = Gate::new(data, "kill");
    let buildspec = gated(&gate).replace("$HOME_OF_TEST", &data.display().to_string());
    world.project("demo", &format!("{buildspec}artifacts: {{files: [dir/input.txt]}}\n")).await;
    let build = world.start("demo").await;
    let id = build.id().expect("an id");
    world.until(id, |build| build.current_phase() == Some("BUILD")).await;
    std::fs::write(data.join("id"), id).expect("written");
    std::process::abort();
}

pub async fn a_killed_process_loses_nothing() {
    let directory = Arc::new(tempfile::tempdir().expect("a directory"));
    let program = std::env::current_exe().expect("this program");
    let died =
        tokio::process::Command::new(program).arg("start-and-die").arg(directory.path()).output().await.expect("run");
    let id = std::fs::read_to_string(directory.path().join("id"))
        .unwrap_or_else(|_| panic!("the other process failed: {}", String::from_utf8_lossy(&died.stderr)));
    let store = Arc::new(SqliteStore::open(&directory.path().join("store")).expect("the store opens again"));
    let world = World::open(Arc::clone(&directory), store, |_| {}).await;
    assert_eq!(world.codebuild.resume().await.expect("resumed"), 1);
    Gate::new(directory.path(), "kill").open();
    let build = world.until(&id, aws_sdk_codebuild::types::Build::build_complete).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}\n{}", phases(&build), world.log(&id).await);
    assert_eq!(times_ran(&world), 1);
}
