//! What flows from action to action: artifacts with their revisions, and variables.

use std::collections::BTreeMap;

use towpath_model::action::error_code;
use towpath_model::declaration::{EncryptionKey, EnvironmentVariable};
use towpath_model::state::ExecutionStatus;

use crate::bench::bench;
use crate::declare::{codebuild, pipeline, source, store, work};

#[test]
fn keys_are_cut_as_aws_cuts_them_and_sources_keep_their_suffix() {
    let mut b = bench(pipeline("a-pipeline-with-a-long-name").stage("Source", [source("TheSource")]).stage(
        "Build",
        [codebuild("B").input("TheSourceOut").output("Binaries.of.it"), work("W").input("TheSourceOut")],
    ));
    let e1 = b.start();
    let output = b.invocation(&e1, "TheSource").output_artifacts[0].clone();
    let (prefix, random) = output.key.rsplit_once('/').unwrap();
    assert_eq!(prefix, "a-pipeline-with-a-lo/TheSourceO");
    let random = random.strip_suffix(".zip").unwrap();
    assert!(random.len() == 7 && random.bytes().all(|c| c.is_ascii_alphanumeric()), "{random}");
    assert_eq!((output.bucket.as_str(), output.region.as_str()), ("artifacts", "eu-west-1"));

    b.done_at(&e1, "TheSource", "TheSourceOut", "v7");
    let build = b.invocation(&e1, "B");
    assert_eq!(build.input_artifacts[0].key, output.key);
    assert_eq!(build.input_artifacts[0].revision_id.as_deref(), Some("v7"));
    let binaries = &build.output_artifacts[0];
    assert!(binaries.key.starts_with("a-pipeline-with-a-lo/Binaries.o/"), "{}", binaries.key);
    assert!(!binaries.key.contains(".zip"));
    assert_ne!(binaries.key, output.key);
    assert_eq!(b.executions[&e1].revisions[0].id, "v7");
}

#[test]
fn what_is_built_carries_the_revision_of_its_primary_or_first_input() {
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("One"), source("Two")])
            .stage(
                "Build",
                [
                    codebuild("First").input("OneOut").input("TwoOut").output("F"),
                    codebuild("Primary").input("OneOut").input("TwoOut").output("P").config("PrimarySource", "TwoOut"),
                ],
            )
            .stage("Use", [work("U").input("F").input("P")]),
    );
    let e1 = b.start();
    b.done_at(&e1, "One", "OneOut", "r1");
    b.done_at(&e1, "Two", "TwoOut", "r2");
    b.done(&e1, "First");
    b.done(&e1, "Primary");
    let inputs = &b.invocation(&e1, "U").input_artifacts;
    assert_eq!(inputs[0].revision_id.as_deref(), Some("r1"));
    assert_eq!(inputs[1].revision_id.as_deref(), Some("r2"));
}

#[test]
fn an_input_nobody_produced_fails_the_action_before_it_starts() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A").input("Nothing")]));
    let e1 = b.start();
    b.hush();
    b.done(&e1, "S");
    assert_eq!(
        b.happened(),
        [
            "e1 Source/S SUCCEEDED",
            "e1 Source SUCCEEDED",
            "e1 Work STARTED",
            "e1 Work/A STARTED",
            "e1 Work/A FAILED",
            "e1 Work FAILED",
            "e1 FAILED"
        ]
    );
    assert_eq!(b.error(&e1, "A").code, error_code::CONFIGURATION_ERROR);
    assert_eq!(b.attempt(&e1, "A").invocation, None);
}

#[test]
fn an_action_elsewhere_writes_to_the_store_of_its_region() {
    let mut far = store("far");
    far.encryption_key = Some(EncryptionKey { id: "alias/far".to_owned(), kind: "KMS".to_owned() });
    let stores = BTreeMap::from([("eu-west-1".to_owned(), store("near")), ("us-east-1".to_owned(), far)]);
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("S")])
            .stage("Build", [codebuild("B").input("SOut").output("O").region("us-east-1")])
            .with(|p| {
                p.artifact_store = None;
                p.artifact_stores = Some(stores);
            }),
    );
    let e1 = b.start();
    assert_eq!(b.invocation(&e1, "S").encryption_key, None);
    b.done(&e1, "S");
    let build = b.invocation(&e1, "B");
    assert_eq!((build.region.as_str(), build.encryption_key.as_deref()), ("us-east-1", Some("alias/far")));
    let [copy] = build.copies.as_slice() else { panic!("one copy: {:?}", build.copies) };
    assert_eq!((copy.from.bucket.as_str(), copy.from.region.as_str()), ("near", "eu-west-1"));
    assert_eq!((copy.to.bucket.as_str(), copy.to.region.as_str()), ("far", "us-east-1"));
    assert_eq!((copy.from.key.as_str(), &build.input_artifacts), (copy.to.key.as_str(), &vec![copy.to.clone()]));
    assert_eq!(
        (build.output_artifacts[0].bucket.as_str(), build.output_artifacts[0].region.as_str()),
        ("far", "us-east-1")
    );
    assert!(build.is_cross_region());
}

/// One stage that uses what the source told.
fn using(text: &str) -> crate::declare::Pipeline {
    pipeline("p")
        .stage("Source", [source("S").namespace("Src")])
        .stage("Work", [work("A").config("Text", text)])
        .variable("Target", Some("live"))
}

#[test]
fn references_are_resolved_just_before_the_action_starts() {
    let table = [
        ("plain", "plain"),
        ("#{Src.Branch}", "main"),
        ("#{Src.Branch}/#{Src.Commit}-#{variables.Target}", "main/#{Src.Branch}-live"),
        ("#{Src.Branch", "#{Src.Branch"),
        ("$Src.Branch #Src {Src.Branch}", "$Src.Branch #Src {Src.Branch}"),
        ("ä#{Src.Branch}ö", "ämainö"),
    ];
    for (raw, resolved) in table {
        let mut b = bench(using(raw));
        let e1 = b.start();
        // A substituted value is not read again.
        b.done_telling(&e1, "S", &[("Branch", "main"), ("Commit", "#{Src.Branch}")]);
        assert_eq!(b.invocation(&e1, "A").config("Text"), Some(resolved));
        let record = &b.records[&b.running(&e1, "A")];
        assert_eq!(
            (record.configuration["Text"].as_str(), record.resolved_configuration["Text"].as_str()),
            (raw, resolved)
        );
    }
}

#[test]
fn the_execution_id_is_a_variable() {
    let mut b = bench(using("run #{codepipeline.PipelineExecutionId}"));
    let e1 = b.start();
    b.done(&e1, "S");
    assert_eq!(b.invocation(&e1, "A").config("Text"), Some(format!("run {e1}").as_str()));
}

#[test]
fn commands_and_environment_variables_are_resolved_too() {
    let mut b = bench(pipeline("p").stage("Source", [source("S").namespace("Src")]).stage(
        "Work",
        [work("A").with(|a| {
            a.commands = Some(vec!["echo #{Src.Branch}".to_owned()]);
            a.environment_variables = Some(vec![EnvironmentVariable {
                name: "B".to_owned(),
                value: "#{Src.Branch}!".to_owned(),
                kind: None,
            }]);
        })],
    ));
    let e1 = b.start();
    b.done_telling(&e1, "S", &[("Branch", "main")]);
    let invocation = b.invocation(&e1, "A");
    assert_eq!(invocation.commands, ["echo main"]);
    assert_eq!(invocation.environment_variables[0].value, "main!");
}

#[test]
fn an_unknown_key_fails_the_action_in_aws_words() {
    for raw in ["#{Src.Nothing}", "#{codepipeline.Nothing}", "#{variables.Nothing}", "#{nonsense}"] {
        let mut b = bench(using(raw));
        let e1 = b.start();
        b.done_telling(&e1, "S", &[("Branch", "main")]);
        assert_eq!(b.status(&e1), ExecutionStatus::Failed, "{raw}");
        assert_eq!(
            b.error(&e1, "A").message,
            format!(
                "An action in this pipeline failed because one or more variables could not be resolved: Action name=A. This \
                 can result when a variable is referenced that does not exist. Validate the configuration for this action. \
                 Variable: {raw}"
            )
        );
        assert_eq!(b.error(&e1, "A").code, error_code::INVALID_VARIABLES);
    }
}

#[test]
fn outputs_without_a_namespace_are_kept_but_not_referable() {
    let mut b =
        bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A").config("Text", "#{S.Branch}")]));
    let e1 = b.start();
    b.done_telling(&e1, "S", &[("Branch", "main")]);
    assert_eq!(b.attempt(&e1, "S").variables["Branch"], "main");
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
}

#[test]
fn a_resolved_configuration_has_a_limit() {
    for (length, status) in [(102_396, ExecutionStatus::InProgress), (102_397, ExecutionStatus::Failed)] {
        let mut b = bench(using("#{Src.Long}"));
        let e1 = b.start();
        b.done_telling(&e1, "S", &[("Long", &"x".repeat(length))]);
        assert_eq!(b.status(&e1), status, "{length}");
    }
}

#[test]
fn a_value_is_checked_again_once_it_is_resolved() {
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("S").namespace("Src")])
            .stage("Work", [work("A").config("Kind", "#{Src.Kind}")]),
    );
    let e1 = b.start();
    b.done_telling(&e1, "S", &[("Kind", "huge")]);
    assert_eq!(b.status(&e1), ExecutionStatus::Failed);
    assert!(b.error(&e1, "A").message.ends_with("it must be one of small, large."), "{}", b.error(&e1, "A").message);
}
