//! An artifact of many megabytes through source, build and deployment, bytes intact.

use crate::support::{World, codebuild, pipeline, s3_deploy, s3_source, stage, zip};

const MEGABYTES: usize = 64;

/// Bytes that no compression shortens and no two blocks share.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(MEGABYTES << 20);
    while bytes.len() < MEGABYTES << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

#[tokio::test]
async fn a_large_artifact_arrives_whole() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    let blob = noise();
    world.put("sources", "large.zip", zip(&[("data/blob.bin", &blob), ("note.txt", b"beside it")])).await;
    let spec = "{version: 0.2, phases: {build: {commands: ['wc -c < data/blob.bin > size.txt']}}, \
                artifacts: {files: ['**/*']}}";
    world.project("measure", spec).await;
    let id = world
        .create(pipeline(
            "large",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "large.zip").output("Large")]),
                stage("Build", vec![codebuild("Measure", "measure").input("Large").output("Measured")]),
                stage("Deploy", vec![s3_deploy("Publish", "live").input("Measured").set("Extract", "true")]),
            ],
        ))
        .await;
    world.succeeds("large", &id).await;
    assert_eq!(world.text("live", "size.txt").await.trim(), blob.len().to_string());
    assert!(world.read("live", "data/blob.bin").await == blob, "the bytes changed on the way");
    assert_eq!(world.text("live", "note.txt").await, "beside it");
}
