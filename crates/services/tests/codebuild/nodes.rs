//! Several processes on the same documents and the same data directory.

use std::sync::Arc;

use towpath_services::s3::NewBucket;
use towpath_store::{MemoryStore, Scan};

use crate::loopback::{ACCOUNT, REGION};
use crate::world::{Gate, World, phases, status};

/// Longer than a node is taken for alive without a sign of it; short enough for signatures to be good.
const LONG_SECONDS: i64 = 300;

async fn node(of: Option<&World>, name: &str) -> World {
    let directory =
        of.map_or_else(|| Arc::new(tempfile::tempdir().expect("a directory")), |of| Arc::clone(&of.directory));
    let documents = of.map_or_else(|| Arc::new(MemoryStore::new()) as _, |of| Arc::clone(&of.documents));
    World::open(directory, documents, |settings| settings.node = Some(name.to_owned())).await
}

/// Two nodes, `a` and `b`, and a project whose builds note that they ran and wait for the gate. The nodes look around when
/// they are told to, and at no other time.
async fn two() -> (World, World, Gate) {
    let a = node(None, "a").await;
    a.s3.ensure_bucket(ACCOUNT, REGION, "bkt", NewBucket::default()).await.expect("a bucket");
    let anything = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    a.role("build", r#"{"Service":"codebuild.amazonaws.com"}"#, anything).await;
    assert_eq!(a.codebuild.take_part().await.expect("joined"), 0);
    let b = node(Some(&a), "b").await;
    assert_eq!(b.codebuild.take_part().await.expect("joined"), 0);
    let gate = Gate::new(a.directory.path(), "nodes");
    let ran = a.directory.path().join("ran");
    let commands = format!("      - echo once >> {}\n      - '{}'\n", ran.display(), gate.wait());
    a.project("demo", &format!("version: 0.2\nphases:\n  build:\n    commands:\n{commands}")).await;
    (a, b, gate)
}

fn times_ran(world: &World) -> usize {
    std::fs::read_to_string(world.directory.path().join("ran")).map_or(0, |text| text.lines().count())
}

async fn building(world: &World) -> String {
    let id = world.start("demo").await.id.expect("an id");
    world.until(&id, |build| build.current_phase() == Some("BUILD")).await;
    id
}

/// What the list of open builds says of the only one.
async fn owner(world: &World) -> String {
    let open = world.documents.scan("codebuild.open", "all", Scan::all()).await.expect("listed");
    assert_eq!(open.len(), 1);
    String::from_utf8(open[0].body.clone()).expect("text")
}

pub async fn a_living_nodes_build_is_its_own() {
    let (a, b, gate) = two().await;
    let id = building(&a).await;
    // However long this test takes.
    b.clock.advance_seconds(-LONG_SECONDS);
    assert_eq!(b.codebuild.take_part().await.expect("looked"), 0);
    assert_eq!(b.get(&id).await.current_phase(), Some("BUILD"), "any node answers for it");
    // A third that starts takes nothing up either.
    let c = node(Some(&a), "c").await;
    c.clock.advance_seconds(-LONG_SECONDS);
    assert_eq!(c.codebuild.resume().await.expect("joined"), 0);
    assert_eq!(owner(&a).await, r#"{"node":"a"}"#);
    gate.open();
    assert_eq!(status(&a.until(&id, aws_sdk_codebuild::types::Build::build_complete).await), "SUCCEEDED");
    a.until_clean(&id).await;
    assert_eq!(times_ran(&a), 1);
}

pub async fn a_dead_nodes_build_is_taken_over_within_its_lease() {
    let (a, b, gate) = two().await;
    let id = building(&a).await;
    // For this node the other has been silent for too long; that one, however, is only slow.
    b.clock.advance_seconds(LONG_SECONDS);
    assert_eq!(b.codebuild.take_part().await.expect("looked"), 1);
    assert_eq!(owner(&b).await, r#"{"node":"b"}"#);
    assert_eq!(b.codebuild.take_part().await.expect("looked"), 0, "once");
    assert_eq!(a.codebuild.take_part().await.expect("looked"), 0, "what is taken over stays so");
    assert_eq!(owner(&b).await, r#"{"node":"b"}"#);
    gate.open();
    let build = b.until(&id, aws_sdk_codebuild::types::Build::build_complete).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    b.until_clean(&id).await;
    assert_eq!(times_ran(&b), 1);
    // The one that let go shares the work again.
    let next = building_done(&a).await;
    assert_eq!(status(&a.get(&next).await), "SUCCEEDED");
    assert_eq!(times_ran(&a), 2);
}

async fn building_done(world: &World) -> String {
    let build = world.start("demo").await;
    world.finished(&build).await.id.expect("an id")
}

pub async fn a_node_that_leaves_hands_over_at_once() {
    let (a, b, gate) = two().await;
    let running = building(&a).await;
    a.codebuild.shutdown().await;
    assert_eq!(b.codebuild.take_part().await.expect("looked"), 1);
    gate.open();
    let build = b.until(&running, aws_sdk_codebuild::types::Build::build_complete).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    b.until_clean(&running).await;
    assert_eq!(times_ran(&b), 1);
    let left = b.documents.scan("codebuild.node", "all", Scan::all()).await.expect("listed");
    assert_eq!(left.iter().map(|node| node.key.as_str()).collect::<Vec<_>>(), ["b"]);
}

pub async fn any_node_stops_a_build() {
    let (a, b, gate) = two().await;
    let id = building(&a).await;
    b.clock.advance_seconds(-LONG_SECONDS);
    let stopped = b.client().stop_build().id(&id).send().await.expect("stopped").build_value.expect("a build");
    assert_eq!(status(&stopped), "STOPPED");
    assert_eq!(owner(&a).await, r#"{"node":"a","look":true}"#);
    assert_eq!(b.codebuild.take_part().await.expect("looked"), 0, "its owner ends what still runs");
    assert_eq!(a.codebuild.take_part().await.expect("looked"), 0);
    a.until_clean(&id).await;
    gate.open();
    assert_eq!(status(&a.get(&id).await), "STOPPED");
    assert_eq!(times_ran(&a), 1);
}

/// What a process that was alone has left open belongs to nobody.
pub async fn builds_of_before_are_taken_up() {
    let world = World::new().await;
    let gate = Gate::new(world.directory.path(), "before");
    let buildspec = format!("version: 0.2\nphases:\n  build:\n    commands:\n      - '{}'\n", gate.wait());
    world.project("demo", &buildspec).await;
    let id = building(&world).await;
    assert_eq!(owner(&world).await, format!("{id:?}"));
    world.codebuild.shutdown().await;
    let (a, b) = (node(Some(&world), "a").await, node(Some(&world), "b").await);
    let taken = tokio::join!(a.codebuild.resume(), b.codebuild.resume());
    let taken = (taken.0.expect("joined"), taken.1.expect("joined"));
    assert!(matches!(taken, (1, 0) | (0, 1)), "by one of the two: {taken:?}");
    let owner = if taken.0 == 1 { &a } else { &b };
    gate.open();
    let build = owner.until(&id, aws_sdk_codebuild::types::Build::build_complete).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
}
