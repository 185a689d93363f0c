//! The examples that ship, run by the shipped binary from a copy, as a newcomer runs them; and a run that is left, goes
//! on, or is broken off.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::towpath;

fn copy(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    copy_into(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name), directory.path());
    directory
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the example is there") {
        let entry = entry.expect("an entry");
        // State of somebody's own runs stays where it is.
        if entry.file_name() == ".towpath" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).expect("a directory");
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A file of an object's content: bodies are files in the data directory.
fn stored(directory: &Path, content: impl Fn(&[u8]) -> bool) -> bool {
    let mut open = vec![directory.join(".towpath/objects")];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| content(&bytes)) {
                return true;
            }
        }
    }
    false
}

/// The lines of a JSON run, each an object with every member of the contract.
fn events(output: &Output) -> Vec<Value> {
    let lines = String::from_utf8(output.stdout.clone()).expect("text");
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for event in &events {
        let members: Vec<&str> = event.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["time", "type", "executionId", "stage", "action", "state", "message"]);
    }
    events
}

#[test]
fn static_site() {
    let directory = copy("static-site");
    let output =
        towpath().args(["run", ".", "--approve", "all"]).current_dir(directory.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("\nSucceeded in "), "{}", text(&output));
    assert!(text(&output).contains("deployed by Publish: s3://static-site-live/"), "{}", text(&output));
    assert!(stored(directory.path(), |bytes| bytes.starts_with(b"<!doctype html>")), "the site is in the bucket");
    // Again, over the same data: the next version of the source, the next build.
    let again =
        towpath().args(["run", ".", "--format", "json"]).current_dir(directory.path()).output().expect("it runs");
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    let events = events(&again);
    let last = events.last().expect("an end");
    assert_eq!((&last["type"], &last["state"]), (&"end".into(), &"SUCCEEDED".into()), "{last}");
    let kinds: std::collections::BTreeSet<&str> = events.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["action", "end", "execution", "log", "stage"]);
    let execution = &events[0]["executionId"];
    assert!(events.iter().all(|e| &e["executionId"] == execution), "one execution in one run");
}

/// The template's roles, buckets and project are made, and run with the permissions that it gives them.
#[test]
fn cloudformation() {
    let directory = copy("cloudformation");
    let run = |arguments: &[&str]| towpath().args(arguments).current_dir(directory.path()).output().expect("it runs");
    let output = run(&["run", "template.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("deployed by Site: s3://notes-staging-123456789012/"), "{}", text(&output));
    assert!(stored(directory.path(), |bytes| bytes.starts_with(b"<!doctype html><title>Harbour notes")), "the page");
    // A parameter makes it another pipeline, which asks.
    let production = ["--parameter", "Environment=production"];
    let output = run(&[&["run", "template.yaml"][..], &production].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("towpath approve template.yaml --parameter Environment=production"),
        "{}",
        text(&output)
    );
    let output = run(&[&["approve", "template.yaml"][..], &production].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("s3://notes-production-123456789012/"), "{}", text(&output));
}

/// What `cdk synth` wrote, as it is: two stacks, of which one imports what the other exports.
#[test]
fn a_cdk_app() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("source")).expect("a source");
    std::fs::write(directory.path().join("source/readme"), "x").expect("a file");
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/cdk/cdk.out");
    let mut command = towpath();
    command.arg("run").arg(&app).args(["--source", "Fetch=source", "--approve", "all", "--data-dir", ".towpath"]);
    let output =
        command.args(["--parameter", "Greeting=ahoy"]).current_dir(directory.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("deployed by Publish: s3://shopstorage-site"), "{}", text(&output));
    assert!(stored(directory.path(), |bytes| bytes == b"ahoy\n"), "the page");
}

#[test]
fn python_package() {
    let directory = copy("python-package");
    let output =
        towpath().args(["run", ".", "--approve", "all"]).current_dir(directory.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("deployed by Release: s3://python-package-releases/click/"), "{}", text(&output));
    // A wheel is a zip with its metadata; the checksum names it.
    assert!(
        stored(directory.path(), |bytes| bytes.starts_with(b"PK") && contains(bytes, b".dist-info/WHEEL")),
        "the wheel"
    );
    assert!(stored(directory.path(), |bytes| bytes.len() < 300 && contains(bytes, b".whl\n")), "its checksum");
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

const GATED: &str = r#"{
  "name": "gated", "roleArn": "arn:aws:iam::123456789012:role/gated",
  "artifactStore": {"type": "S3", "location": "gated-artifacts"},
  "stages": [
    {"name": "Source", "actions": [{"name": "Fetch",
      "actionTypeId": {"category": "Source", "owner": "Custom", "provider": "Rehearsal", "version": "1"},
      "outputArtifacts": [{"name": "src"}]}]},
    {"name": "Gate", "actions": [{"name": "Review",
      "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}}]},
    {"name": "Ship", "actions": [{"name": "Put",
      "actionTypeId": {"category": "Deploy", "owner": "Custom", "provider": "Rehearsal", "version": "1"}}]}
  ]
}"#;

#[test]
fn a_run_stops_at_the_gate_and_approve_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("pipeline.json"), GATED).expect("the pipeline");
    std::fs::write(directory.path().join("towpath.toml"), "[rehearsal]\nenabled = true\n").expect("the configuration");
    let run = |arguments: &[&str]| towpath().args(arguments).current_dir(directory.path()).output().expect("it runs");
    let left = run(&["run", ".", "--approve", "none"]);
    assert_eq!(left.status.code(), Some(3), "{}", text(&left));
    assert!(text(&left).contains("towpath approve ."), "the command that goes on: {}", text(&left));
    let gone_on = run(&["approve", ".", "--summary", "looks good"]);
    assert_eq!(gone_on.status.code(), Some(0), "{}", text(&gone_on));
    assert!(text(&gone_on).contains("Succeeded"), "{}", text(&gone_on));
    let nothing = run(&["approve", "."]);
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing));
    assert!(text(&nothing).contains("nothing of this pipeline waits for approval"), "{}", text(&nothing));

    // Without a terminal nobody is asked; the last line of a JSON run says how to go on.
    let left = run(&["run", ".", "--format", "json"]);
    assert_eq!(left.status.code(), Some(3), "{}", text(&left));
    let last = events(&left).pop().expect("an end");
    assert_eq!((&last["type"], &last["state"]), (&"end".into(), &"WAITING".into()), "{last}");
    assert!(last["message"].as_str().is_some_and(|m| m.contains("towpath approve .")), "{last}");
    let rejected = run(&["approve", ".", "--reject", "--summary", "broken on mobile"]);
    assert_eq!(rejected.status.code(), Some(1), "{}", text(&rejected));
    assert!(text(&rejected).contains("broken on mobile"), "{}", text(&rejected));
}

const SLOW: &str = r#"{
  "name": "slow", "roleArn": "arn:aws:iam::123456789012:role/slow",
  "artifactStore": {"type": "S3", "location": "slow-artifacts"},
  "stages": [
    {"name": "Source", "actions": [{"name": "Fetch",
      "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
      "configuration": {"S3Bucket": "slow-source", "S3ObjectKey": "a.zip", "PollForSourceChanges": "false"},
      "outputArtifacts": [{"name": "src"}]}]},
    {"name": "Build", "actions": [{"name": "Make",
      "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"},
      "configuration": {"ProjectName": "slow"}, "inputArtifacts": [{"name": "src"}]}]}
  ]
}"#;

/// Looks until it holds; a bound keeps a broken build from holding the run of the tests.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success(), "{name}");
}

#[test]
fn ctrl_c_abandons_the_execution_and_ends_its_build() {
    let directory = tempfile::tempdir().expect("a directory");
    let pid = directory.path().join("pid");
    let spec = format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - sleep 600 & echo $! > '{}' && wait\n",
        pid.display()
    );
    let source = directory.path().join("source");
    std::fs::create_dir(&source).expect("a directory");
    std::fs::write(source.join("pipeline.json"), SLOW).expect("the pipeline");
    std::fs::write(source.join("buildspec.yml"), spec).expect("the buildspec");
    let child = towpath()
        .args(["run", "."])
        .current_dir(&source)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let process = || std::fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<u32>().ok());
    until("the build to run", || process().is_some());
    let sleeper = PathBuf::from(format!("/proc/{}", process().expect("its process")));
    assert!(sleeper.exists(), "the build's command runs");
    signal(&child, "-INT");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("Stopped"), "{}", text(&output));
    until("the build's command to be gone", || !sleeper.exists());
    // The pipeline is as good as before: the same directory runs again.
    std::fs::write(source.join("buildspec.yml"), "version: 0.2\nphases:\n  build:\n    commands:\n      - true\n")
        .expect("written");
    let again = towpath().args(["run", "."]).current_dir(&source).output().expect("it runs");
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
}

#[test]
fn the_static_site_is_served_with_the_aws_cli_alone() {
    let printed = crate::python::shell_against_a_server("examples/with-aws-cli.sh");
    assert!(printed.contains("Deploy\tSucceeded"), "{printed}");
    for page in ["about.html", "index.html", "locks.html", "style.css"] {
        assert!(printed.contains(page), "{page}: {printed}");
    }
}
