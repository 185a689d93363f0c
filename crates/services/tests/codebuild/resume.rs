//! What a new process makes of the builds of the one before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use towpath_services::s3::NewBucket;
use towpath_store::{Document, Documents, Scan, SqliteStore, StoreError, Write};

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
    world.s3.ensure_bucket(ACCOUNT, REGION, "bkt", NewBucket::default()).await.expect("a bucket");
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

/// Documents of a process that dies at its n-th write: from then on nothing answers. The write itself is made or not.
struct Dying {
    inner: Arc<dyn Documents>,
    left: AtomicI64,
    last_write_is_made: bool,
    died: tokio::sync::Notify,
}

impl Dying {
    fn dead(&self) -> Result<(), StoreError> {
        if self.left.load(Ordering::SeqCst) <= 0 { Err(StoreError::Closed) } else { Ok(()) }
    }
}

#[async_trait]
impl Documents for Dying {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError> {
        self.dead()?;
        self.inner.get(collection, partition, key).await
    }

    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError> {
        self.dead()?;
        self.inner.scan(collection, partition, scan).await
    }

    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError> {
        self.dead()?;
        self.inner.partitions(collection).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        self.dead()?;
        if self.left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return self.inner.write(writes).await;
        }
        if self.last_write_is_made {
            // What is made is durable, but nobody learns of it.
            let _ = self.inner.write(writes).await;
        }
        self.died.notify_one();
        Err(StoreError::Closed)
    }
}

/// Dies at every write of a build in turn, before and after it is made; the next process must end the build, which must
/// have run exactly once.
pub async fn every_write_may_be_the_last() {
    let world = World::new().await;
    let gate = Gate::new(world.directory.path(), "open");
    gate.open();
    let ran = world.directory.path().join("ran");
    let buildspec = gated(&gate).replace("$HOME_OF_TEST", &world.directory.path().display().to_string());
    let artifacts = aws_sdk_codebuild::types::ProjectArtifacts::builder()
        .r#type(aws_sdk_codebuild::types::ArtifactsType::S3)
        .location("bkt")
        .name("o.zip")
        .packaging(aws_sdk_codebuild::types::ArtifactPackaging::Zip)
        .build()
        .expect("artifacts");
    let source = format!("{buildspec}artifacts: {{files: [dir/input.txt]}}\n");
    world.put_zip("src.zip", &[("buildspec.yml", &source), ("dir/input.txt", "hello\n")], &[]).await;
    world.create("demo", crate::world::s3_source("bkt/src.zip"), artifacts).await;
    world.codebuild.shutdown().await;
    let (mut died, mut survived) = (0, 0);
    for last_write_is_made in [false, true] {
        for writes in 1.. {
            let _ = std::fs::remove_file(&ran);
            let left = AtomicI64::new(writes);
            let inner = Arc::clone(&world.documents);
            let dying = Arc::new(Dying { inner, left, last_write_is_made, died: tokio::sync::Notify::new() });
            let first = World::open_with(
                Arc::clone(&world.directory),
                Arc::clone(&world.documents),
                Arc::clone(&dying) as Arc<dyn Documents>,
            )
            .await;
            let started = first.client().start_build().project_name("demo").send().await;
            let known = started.ok().and_then(|output| output.build_value).and_then(|build| build.id);
            let over = async {
                let Some(id) = &known else { return };
                let mut changes = first.codebuild.on_change();
                // The last change of a build is the one after which nothing is left to do.
                let done = first.documents.clone();
                loop {
                    let open = done.scan("codebuild.open", "all", Scan::all()).await.expect("read");
                    if open.is_empty() {
                        assert!(first.get(id).await.build_complete());
                        return;
                    }
                    let _ = tokio::time::timeout(std::time::Duration::from_millis(20), changes.recv()).await;
                }
            };
            let lived = tokio::select! {
                () = dying.died.notified() => false,
                () = over, if known.is_some() => true,
            };
            first.codebuild.shutdown().await;
            if lived {
                survived += 1;
                break;
            }
            died += 1;
            let next = again(&world).await;
            let open = next.codebuild.resume().await.expect("resumed");
            let ids = next.client().list_builds().send().await.expect("listed").ids.unwrap_or_default();
            if writes == 1 && !last_write_is_made {
                assert_eq!(open, 0, "what was not committed was not begun");
                continue;
            }
            let build = next.until(&ids[0], aws_sdk_codebuild::types::Build::build_complete).await;
            assert_eq!(
                status(&build),
                "SUCCEEDED",
                "write {writes}: {:?}\n{}",
                phases(&build),
                next.log(&ids[0]).await
            );
            next.until_clean(&ids[0]).await;
            assert_eq!(times_ran(&world), 1, "write {writes} of {:?}", phases(&build));
            assert!(world.object("o.zip").await.is_some());
            next.codebuild.shutdown().await;
        }
    }
    assert_eq!(survived, 2);
    // Start, preparation, launch, upload, end and clearing away, each before and after its write. A fast runner's phases
    // share a write, so how many more there are is the machine's business.
    assert!(died >= 12, "a build makes more writes than that: {died}");
}
