//! The other official client.

use std::io::Write as _;

use tokio::process::Command;

use crate::support::*;

#[tokio::test]
async fn boto3_finds_what_it_expects() {
    let python = Command::new("python3").args(["-c", "import boto3"]).output().await;
    if !python.is_ok_and(|output| output.status.success()) {
        let mut out = std::io::stderr();
        out.write_all(b"SKIPPED: python3 with boto3 is not here; `pip install boto3` brings it\n").unwrap();
        return;
    }
    let server = Server::start().await;
    let scratch = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/boto.py");
    let run = Command::new("python3").arg(script).arg(server.url()).arg(scratch.path()).output().await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!((server.files(), server.drafts()), (0, 0));
}
