//! Deploy / EC2: whom it deploys to and in which order, what runs there, load balancers, failures and how they are told.

use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypes as _, Category, Owner};
use towpath_providers::ec2::spec::Spec;

use crate::fleet_peer::FleetPeer;
use crate::stage::{Stage, artifact, failure, invocation, pending, success, zip_of};

const GOOD: &str = "towpath:DOWNLOAD_BUNDLE:Succeeded:100:101:\ntowpath:DEPLOY:Succeeded:101:102:\n";

pub fn ec2_deploy(configuration: &[(&str, &str)]) -> ActionInvocation {
    let basic = [("InstanceTagKey", "role"), ("InstanceTagValue", "web"), ("InstanceType", "EC2")];
    let mut action = invocation(Category::Deploy, Owner::Aws, "EC2", &basic);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

/// With the keys of scripts.
pub fn scripted(more: &[(&str, &str)]) -> ActionInvocation {
    let mut action = ec2_deploy(&[("TargetDirectory", "/srv/ferry"), ("PostScript", "hooks/start.sh")]);
    action.configuration.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    action
}

pub fn prepare(stage: &Stage) {
    FleetPeer::install(stage);
    let zip = zip_of(&[("hooks/start.sh", b"#!/bin/sh\n"), ("deploy.yml", SPEC.as_bytes())]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

const SPEC: &str = "version: 0.1\nfiles:\n  - source: /dist\n    destination: /srv/ferry\nscripts:\n  BeforeDeploy:\n    - \
                    location: hooks/stop.sh\n      timeout: 60\n      runas: ferry\n";

fn prepared() -> (Stage, FleetPeer) {
    let stage = Stage::new();
    prepare(&stage);
    let peer = FleetPeer::install(&stage);
    (stage, peer)
}

/// Id, status and events with their status of each target.
fn shown(stage: &Stage, action: &ActionInvocation, progress: &Progress) -> Vec<(String, String, Vec<String>)> {
    let targets = stage.provider(action).targets(action, progress);
    let events = |target: &towpath_providers::DeployTarget| {
        target.events.iter().map(|event| format!("{} {}", event.name, event.status)).collect()
    };
    targets.iter().map(|target| (target.id.clone(), target.status.to_owned(), events(target))).collect()
}

#[tokio::test]
async fn all_instances_with_the_tag_get_one_command() {
    let (stage, peer) = prepared();
    let action = scripted(&[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(peer.batches(), [["i-1", "i-2", "i-3"]]);
    let id = "22222222-2222-4222-8222-222222222222";
    assert_eq!(progress.external_id.as_deref(), Some(id));
    let page = "https://console.aws.amazon.com/systems-manager/run-command/c-1?region=eu-west-1";
    assert_eq!((progress.external_url.as_deref(), progress.summary.as_deref()), (Some(page), Some("0 of 3 targets")));
    {
        let fleet = peer.0.lock().unwrap();
        let lines: Vec<&str> = fleet.sent[0]["Parameters"]["commands"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        assert_eq!(lines[0], "base='/opt/codepipeline/ferry/Stage/Act'");
        assert!(lines[2].starts_with("url='https://") && lines[2].contains("X-Amz-Signature="), "{}", lines[2]);
        assert!(lines.contains(&"copy '.' '/srv/ferry'") && lines.contains(&"run 'hooks/start.sh' '' ''"), "{lines:?}");
        assert_eq!(fleet.sent[0]["Parameters"]["executionTimeout"], json!(["3600"]), "what is left of the hour");
    }
    peer.end(&["i-1", "i-3"], "Success", GOOD);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("2 of 3 targets"), Some(66)));
    peer.end(&["i-2"], "Success", "towpath:DEPLOY:Skipped:100:100:This artifact is deployed here already.");
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("3 of 3 targets"), Some(100)));

    let events = vec!["DOWNLOAD_BUNDLE Succeeded".to_owned(), "DEPLOY Succeeded".to_owned()];
    assert_eq!(
        shown(&stage, &action, &progress),
        [
            ("i-1".to_owned(), "Succeeded".to_owned(), events.clone()),
            ("i-2".to_owned(), "Skipped".to_owned(), vec!["DEPLOY Skipped".to_owned()]),
            ("i-3".to_owned(), "Succeeded".to_owned(), events),
        ]
    );
    let target = stage.provider(&action).targets(&action, &progress).remove(0);
    assert_eq!(
        (target.kind.as_str(), target.started, target.ended),
        ("EC2", Some(crate::world::NOW), Some(crate::world::NOW))
    );
    assert_eq!(target.events[1].command.as_deref(), Some("c-1"));
    assert_eq!(target.events[1].started.unwrap().millis(), 101_000);
    let log = stage.provider(&action).logs(&stage.call(), &action, &progress, None).await.unwrap();
    assert_eq!(log.lines.len(), 5);
    let more = stage.provider(&action).logs(&stage.call(), &action, &progress, log.next.as_deref()).await.unwrap();
    assert!(more.lines.is_empty());
}

#[tokio::test]
async fn batches_go_one_after_the_other_and_stop_when_too_many_fail() {
    let (stage, peer) = prepared();
    let action = scripted(&[("MaxBatch", "34%"), ("MaxError", "1")]);
    let mut progress = pending(stage.start(&action).await);
    assert_eq!(peer.batches(), [["i-1"]]);
    let broken =
        "towpath:DOWNLOAD_BUNDLE:Succeeded:1:2:\ntowpath:AFTER_DEPLOY:Failed:2:3:hooks/start.sh exit 3\nno port\n";
    peer.end(&["i-1"], "Failed", broken);
    progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.batches().len(), 2, "one may fail");
    assert_eq!(progress.summary.as_deref(), Some("0 of 3 targets, 1 failed"));
    peer.end(&["i-2"], "TimedOut", "");
    let outcome = stage.poll(&action, &progress).await;
    let Outcome::Failed { progress, error } = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code, "JobFailed");
    assert_eq!(
        error.message,
        "2 of 3 targets failed, where 1 may (MaxError). i-1 AFTER_DEPLOY hooks/start.sh exit 3: no port; i-2 DEPLOY The \
         command is TimedOut."
    );
    assert_eq!(peer.batches().len(), 2, "the third is left alone");
    let statuses: Vec<String> = shown(&stage, &action, &progress).into_iter().map(|target| target.1).collect();
    assert_eq!(statuses, ["Failed", "Failed", "Skipped"]);

    // The next execution begins with those that failed.
    let next = ActionInvocation { action_execution_id: "55555555-5555-4555-8555-555555555555".into(), ..action };
    peer.0.lock().unwrap().invocations.iter_mut().for_each(|one| {
        if one["InstanceId"] == "i-1" {
            one["Status"] = json!("Success");
        }
    });
    pending(stage.start(&next).await);
    assert_eq!(peer.batches()[2], ["i-2"]);
}

/// Which instances failed last decides over the order once: what this execution has sent keeps its place.
#[tokio::test]
async fn a_start_after_a_crash_finds_its_commands_where_they_were_sent() {
    let (stage, peer) = prepared();
    let action = scripted(&[("MaxBatch", "1")]);
    let earlier =
        ActionInvocation { action_execution_id: "55555555-5555-4555-8555-555555555555".into(), ..action.clone() };
    pending(stage.start(&earlier).await);
    peer.end(&["i-1"], "Success", GOOD);
    for invocation in &mut peer.0.lock().unwrap().invocations {
        invocation["InstanceId"] = json!("i-3");
        invocation["Status"] = json!("Failed");
    }
    pending(stage.start(&action).await);
    assert_eq!(peer.batches()[1..], [["i-3"]], "it failed last");
    peer.end(&["i-3"], "Success", GOOD);
    // The first start's answer was never stored.
    let progress = pending(stage.start(&action).await);
    assert_eq!(peer.batches().len(), 2);
    pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.batches()[2..], [["i-1"]]);
}

#[tokio::test]
async fn a_stop_brings_back_instances_that_got_no_command_yet() {
    let (stage, peer) = prepared();
    peer.0.lock().unwrap().group.insert(("i-1".to_owned(), 8080), "healthy".to_owned());
    let action = scripted(&[("TargetGroupNameList", "web")]);
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.0.lock().unwrap().moves, ["DeregisterTargets i-1:8080"]);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(peer.0.lock().unwrap().moves[1..], ["RegisterTargets i-1:8080"]);
    assert!(peer.0.lock().unwrap().cancelled.is_empty());

    // One with a command stays out, as one on which it failed does.
    peer.0.lock().unwrap().group.clear();
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    let fleet = peer.0.lock().unwrap();
    assert_eq!((fleet.moves.len(), fleet.cancelled.len()), (2, 1));
}

#[tokio::test]
async fn instances_leave_their_target_group_and_come_back_with_their_port() {
    let (stage, peer) = prepared();
    let set = |id: &str, state: &str| {
        peer.0.lock().unwrap().group.insert((id.to_owned(), 8080), state.to_owned());
    };
    set("i-1", "healthy");
    set("i-2", "healthy");
    let action = scripted(&[("TargetGroupNameList", "web"), ("MaxError", "3")]);
    let progress = pending(stage.start(&action).await);
    assert!(peer.0.lock().unwrap().moves.is_empty(), "first it is remembered where they serve");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.0.lock().unwrap().moves, ["DeregisterTargets i-1:8080 i-2:8080"]);
    assert!(peer.batches().is_empty(), "they drain");
    let progress = pending(stage.poll(&action, &progress).await);
    peer.0.lock().unwrap().group.clear();
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.batches(), [["i-1", "i-2", "i-3"]]);
    peer.end(&["i-1", "i-3"], "Success", GOOD);
    peer.end(&["i-2"], "Failed", "towpath:DEPLOY:Failed:1:2:cannot copy a to b\n");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.0.lock().unwrap().moves[1..], ["RegisterTargets i-1:8080"], "one that failed stays out");
    set("i-1", "unhealthy");
    let progress = pending(stage.poll(&action, &progress).await);
    set("i-1", "healthy");
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    let events: Vec<Vec<String>> = shown(&stage, &action, &progress).into_iter().map(|target| target.2).collect();
    assert_eq!(
        events[0],
        ["BLOCK_TRAFFIC Succeeded", "DOWNLOAD_BUNDLE Succeeded", "DEPLOY Succeeded", "ALLOW_TRAFFIC Succeeded"]
    );
    assert_eq!(events[1], ["BLOCK_TRAFFIC Succeeded", "DEPLOY Failed"]);
    assert_eq!(events[2], ["DOWNLOAD_BUNDLE Succeeded", "DEPLOY Succeeded"], "it served nowhere");
    let action = scripted(&[("TargetGroupNameList", "none")]);
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(
        message.starts_with("Error calling describeTargetGroups: One or more target groups not found"),
        "{message}"
    );
}

#[tokio::test]
async fn instances_whose_agent_does_not_answer_count_as_failed() {
    let (stage, peer) = prepared();
    peer.0.lock().unwrap().nodes.remove("i-1");
    let action = scripted(&[("MaxError", "1")]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(peer.batches(), [["i-2", "i-3"]]);
    peer.end(&["i-2", "i-3"], "Success", GOOD);
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("2 of 3 targets, 1 failed"));
    let (_, message) = failure(stage.start(&scripted(&[])).await);
    assert!(
        message.starts_with("1 of 3 targets failed, where 0 may (MaxError). i-1 PREPARE Systems Manager does"),
        "{message}"
    );
}

#[tokio::test]
async fn managed_nodes_are_selected_by_systems_manager() {
    let (stage, peer) = prepared();
    let mut action = scripted(&[("InstanceType", "SSM_MANAGED_NODE")]);
    action.configuration.remove("InstanceTagValue");
    pending(stage.start(&action).await);
    assert_eq!(peer.batches(), [["i-1", "i-2", "i-3"]]);
    assert_eq!(stage.aws.calls("ec2:DescribeInstances"), 0);
}

#[tokio::test]
async fn a_spec_file_says_it_all() {
    let (stage, peer) = prepared();
    pending(stage.start(&ec2_deploy(&[("DeploySpec", "deploy.yml")])).await);
    let fleet = peer.0.lock().unwrap();
    let script = fleet.sent[0]["Parameters"]["commands"].to_string();
    assert!(
        script.contains("run 'hooks/stop.sh' '60' 'ferry'") && script.contains("copy 'dist' '/srv/ferry'"),
        "{script}"
    );
}

#[tokio::test]
async fn a_stop_cancels_the_commands_also_where_their_start_was_never_acknowledged() {
    for known in [true, false] {
        let (stage, peer) = prepared();
        let action = scripted(&[]);
        let progress = pending(stage.start(&action).await);
        let progress = if known { progress } else { Progress::default() };
        assert_eq!(stage.stop(&action, &progress).await, Ok(()));
        assert_eq!(peer.0.lock().unwrap().cancelled, ["c-1"]);
    }
}

#[tokio::test]
async fn a_command_that_nobody_knows_of_is_waited_for_a_moment() {
    let (stage, peer) = prepared();
    let action = scripted(&[]);
    let progress = pending(stage.start(&action).await);
    peer.0.lock().unwrap().invocations.clear();
    let progress = pending(stage.poll(&action, &progress).await);
    stage.clock.advance_minutes(3);
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert!(
        message.contains("i-1 DOWNLOAD_BUNDLE Systems Manager has no invocation of the command for it."),
        "{message}"
    );
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_before_anything_is_asked() {
    let (stage, peer) = prepared();
    for (action, text) in [
        (ec2_deploy(&[]), "Act needs TargetDirectory, or DeploySpec, the path of a spec file."),
        (scripted(&[("DeploySpec", "deploy.yml")]), "Act has DeploySpec and TargetDirectory. Leave one of them out"),
        (
            scripted(&[("MaxBatch", "0")]),
            "The value of MaxBatch is '0'; it must be a number of instances or a percentage.",
        ),
        (
            scripted(&[("InstanceType", "EC3")]),
            "The value of InstanceType is 'EC3'; it must be EC2 or SSM_MANAGED_NODE.",
        ),
        (scripted(&[("InstanceTagKey", "")]), "The configuration of action Act lacks InstanceTagKey."),
        (scripted(&[("TargetDirectory", "srv")]), "the destination 'srv' is no absolute path"),
        (
            ec2_deploy(&[("DeploySpec", "hooks/start.sh")]),
            "The file hooks/start.sh of the artifact bundle is no deploy spec:",
        ),
        (ec2_deploy(&[("DeploySpec", "none.yml")]), "The artifact bundle has no file none.yml."),
        (scripted(&[("InstanceTagValue", "db")]), "There are no running instances with the tag role=db in eu-west-1."),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!(code, "ConfigurationError", "{message}");
        assert!(message.starts_with(text), "{message}");
    }
    assert!(peer.batches().is_empty());
    let types = &stage.catalogue;
    let id = &ec2_deploy(&[]).action_type;
    assert!(types.check_value(id, "MaxError", "5%").is_ok() && types.check_value(id, "MaxError", "many").is_err());
}

/// What a target does with a script, with this machine as the target.
#[test]
fn the_script_deploys_once_and_says_what_failed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let zip = zip_of(&[
        ("dist/index.html", b"<p>"),
        ("hooks/stop.sh", b"echo stopping\n"),
        ("hooks/start.sh", b"echo no port >&2\nexit 3\n"),
    ]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/bundle.zip", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", zip.len());
            let _ = std::io::Write::write_all(&mut stream, &[head.as_bytes(), &zip].concat());
        }
    });
    let run = |text: &str, mark: &str| {
        let script =
            Spec::of_file(&text.replace("/srv/ferry", &path("srv"))).unwrap().script(&path("base"), mark, &url);
        let file = path("script.sh");
        std::fs::write(&file, script).unwrap();
        let ran = Command::new("sh").arg(&file).stdin(Stdio::null()).env_remove("http_proxy").output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let names = |output: &str| -> Vec<String> {
        let parts = output.lines().filter_map(|line| line.strip_prefix("towpath:"));
        parts.map(|line| line.split(':').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let spec = "version: 0.1\nfiles:\n  - {source: /dist, destination: /srv/ferry}\nscripts:\n  BeforeDeploy:\n    - \
                {location: hooks/stop.sh, timeout: 60}\n";
    let (code, output) = run(spec, "one");
    assert_eq!(
        (code, names(&output)),
        (Some(0), ["DOWNLOAD_BUNDLE", "BEFORE_DEPLOY", "DEPLOY"].map(|n| format!("{n} Succeeded")).to_vec()),
        "{output}"
    );
    assert_eq!(std::fs::read_to_string(path("srv/index.html")).unwrap(), "<p>");
    assert_eq!(std::fs::read_to_string(path("base/deploy.log")).unwrap(), "stopping\n");
    let (code, output) = run(spec, "one");
    assert_eq!((code, names(&output)), (Some(0), vec!["DEPLOY Skipped".to_owned()]), "{output}");

    let failing = format!("{spec}  AfterDeploy:\n    - {{location: hooks/start.sh}}\n");
    let (code, output) = run(&failing, "two");
    assert_eq!(code, Some(3));
    let last: Vec<&str> = output.lines().skip_while(|line| !line.contains(":Failed:")).collect();
    assert!(
        last[0].starts_with("towpath:AFTER_DEPLOY:Failed:") && last[0].ends_with(":hooks/start.sh exit 3"),
        "{output}"
    );
    assert_eq!(last[1..], ["stopping", "no port"]);
    let (_, output) = run(&failing.replace("hooks/start.sh", "hooks/none.sh"), "three");
    assert!(output.contains(":hooks/none.sh is not in the artifact"), "{output}");
    let (code, _) = run(spec, "one");
    assert_eq!(code, Some(0), "a failed deployment leaves no mark");
}
