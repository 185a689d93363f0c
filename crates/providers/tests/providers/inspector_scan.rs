//! InspectorScan: what its build is, what is asked about its list, and what the answer means.

use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::ecr_peer::{Ecr, PASSWORD};
use crate::inspector_peer::Inspector;
use crate::stage::{Stage, artifact, failure, invocation, pending, success, unzipped, zip_of};

const OUTPUT: &str = "ferry/sbom/a1B2c3D";

pub fn source_scan(thresholds: &[(&str, &str)]) -> ActionInvocation {
    let mut action =
        invocation(Category::Invoke, Owner::Aws, "InspectorScan", &[("InspectorRunMode", "SourceCodeScan")]);
    action.configuration.extend(thresholds.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    action.input_artifacts = vec![artifact("src", "ferry/src/Qm4TzX1.zip")];
    ActionInvocation { output_artifacts: vec![artifact("sbom", OUTPUT)], ..action }
}

pub fn image_scan() -> ActionInvocation {
    let configuration =
        [("InspectorRunMode", "ECRImageScan"), ("ECRRepositoryName", "towline/web"), ("ImageTag", "stable")];
    let action = invocation(Category::Invoke, Owner::Aws, "InspectorScan", &configuration);
    ActionInvocation { output_artifacts: vec![artifact("sbom", OUTPUT)], ..action }
}

pub fn prepare(stage: &Stage) {
    let mut world = stage.aws.world();
    world.peers.insert("inspector-scan".to_owned(), Box::new(Inspector));
    world.peers.insert("ecr".to_owned(), Box::new(Ecr::default()));
}

/// The build ends well and has listed these components.
pub fn listed(stage: &Stage, names: &[&str]) {
    let components: Vec<Value> = names.iter().map(|name| json!({"type": "library", "name": name})).collect();
    let sbom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components}).to_string();
    let mut world = stage.aws.world();
    world.s3.put("artifacts", OUTPUT, &zip_of(&[("sbom.json", sbom.as_bytes())]), [].into());
    world.codebuild.finish("SUCCEEDED", &json!({}));
}

pub fn finish(stage: &Stage) {
    listed(stage, &["high-one", "fine"]);
}

fn prepared() -> Stage {
    let stage = Stage::new();
    prepare(&stage);
    stage
}

async fn scanned(stage: &Stage, action: &ActionInvocation, names: &[&str]) -> Outcome {
    let progress = pending(stage.start(action).await);
    listed(stage, names);
    stage.poll(action, &progress).await
}

#[tokio::test]
async fn a_source_is_listed_by_a_build_of_codepipeline_itself() {
    let stage = prepared();
    let action = source_scan(&[("CriticalThreshold", "0"), ("HighThreshold", "2")]);
    let outcome = scanned(&stage, &action, &["high-a", "low-b", "high-c", "fine"]).await;
    let (progress, variables, _) = success(outcome);
    assert_eq!(progress.summary.as_deref(), Some("Vulnerabilities: 0 critical, 2 high, 0 medium, 1 low"));
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("HighestScannedSeverity".to_owned(), "high".to_owned())]);

    let world = stage.aws.world();
    let build = &world.codebuild.started[0];
    assert_eq!(build["sourceLocationOverride"], "artifacts/ferry/src/Qm4TzX1.zip");
    let spec: Value = serde_json::from_str(build["buildspecOverride"].as_str().unwrap()).unwrap();
    let commands = spec["phases"]["build"]["commands"].as_array().unwrap();
    assert_eq!(commands[1], "inspector-sbomgen directory --path . -o sbom.json");
    let files = unzipped(&world.s3.newest("artifacts", OUTPUT).unwrap().bytes);
    assert_eq!(files.len(), 1);
    let result: Value = serde_json::from_slice(&files["sbom.json"]).unwrap();
    assert_eq!(result["components"].as_array().unwrap().len(), 4);
    assert_eq!(result["vulnerabilities"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn more_findings_than_allowed_fail_the_action_and_are_in_its_artifact() {
    let stage = prepared();
    let action = source_scan(&[("CriticalThreshold", "0"), ("HighThreshold", "5"), ("LowThreshold", "1")]);
    let outcome = scanned(&stage, &action, &["critical-a", "low-b", "low-c", "high-d", "medium-e"]).await;
    assert_eq!(
        failure(outcome),
        (
            "JobFailed".to_owned(),
            "The scan found more vulnerabilities than allowed: 1 of severity critical, where 0 are allowed; 2 of severity \
             low, where 1 are allowed."
                .to_owned()
        )
    );
    let files = unzipped(&stage.aws.world().s3.newest("artifacts", OUTPUT).unwrap().bytes);
    assert!(String::from_utf8_lossy(&files["sbom.json"]).contains("vulnerabilities"));
}

#[tokio::test]
async fn nothing_found_leaves_the_variable_unset() {
    let stage = prepared();
    let (_, variables, _) = success(scanned(&stage, &source_scan(&[]), &["fine"]).await);
    assert!(variables.is_empty());
}

#[tokio::test]
async fn the_answer_in_the_lists_place_is_asked_about_again_after_a_crash() {
    let stage = prepared();
    let action = source_scan(&[]);
    let progress = pending(stage.start(&action).await);
    listed(&stage, &["medium-a"]);
    let first = stage.poll(&action, &progress).await;
    let before = stage.aws.world().s3.contents();
    assert_eq!(stage.poll(&action, &progress).await, first);
    assert_eq!(stage.aws.world().s3.contents(), before);
}

#[tokio::test]
async fn a_long_list_is_asked_about_in_parts() {
    let stage = prepared();
    let names: Vec<String> = (0..2001).map(|i| format!("low-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (progress, ..) = success(scanned(&stage, &source_scan(&[]), &names).await);
    assert_eq!(progress.summary.as_deref(), Some("Vulnerabilities: 0 critical, 0 high, 0 medium, 2001 low"));
    assert_eq!(stage.aws.calls("inspector-scan:ScanSbom"), 2);
}

#[tokio::test]
async fn the_password_of_a_registry_is_where_the_build_finds_it_and_nowhere_else() {
    let stage = prepared();
    let action = image_scan();
    let progress = pending(stage.start(&action).await);
    {
        let world = stage.aws.world();
        let build = &world.codebuild.started[0];
        assert!(!build.to_string().contains(PASSWORD), "{build}");
        assert_eq!(build["sourceLocationOverride"], format!("artifacts/{OUTPUT}"));
        let files = unzipped(&world.s3.newest("artifacts", OUTPUT).unwrap().bytes);
        let image = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/towline/web:stable";
        assert_eq!(
            String::from_utf8_lossy(&files["registry.env"]),
            format!(
                "export SCANNED_IMAGE='{image}'\nexport INSPECTOR_SBOMGEN_USERNAME='AWS'\nexport \
                 INSPECTOR_SBOMGEN_PASSWORD='{PASSWORD}'\n"
            )
        );
    }
    finish(&stage);
    success(stage.poll(&action, &progress).await);
    // A start that is repeated after the end leaves the list where it is.
    success(stage.start(&action).await);
    assert_eq!(stage.aws.world().codebuild.started.len(), 1);
}

#[tokio::test]
async fn a_build_that_fails_leaves_no_password() {
    let stage = prepared();
    let action = image_scan();
    let progress = pending(stage.start(&action).await);
    stage.aws.world().codebuild.finish("FAILED", &json!({}));
    failure(stage.poll(&action, &progress).await);
    let files = unzipped(&stage.aws.world().s3.newest("artifacts", OUTPUT).unwrap().bytes);
    assert!(!files.contains_key("registry.env"));
}

#[tokio::test]
async fn a_missing_generator_is_the_users_to_install() {
    let stage = prepared();
    let action = source_scan(&[]);
    let progress = pending(stage.start(&action).await);
    let context = json!({"statusCode": "COMMAND_EXECUTION_ERROR",
        "message": "Error while executing command: sh -c 'command -v inspector-sbomgen'. Reason: exit status 86"});
    let phases = json!({"phases": [{"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [context]}]});
    stage.aws.world().codebuild.finish("FAILED", &phases);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("inspector-sbomgen is not installed where builds run."), "{message}");
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_before_anything_is_built() {
    let stage = prepared();
    let with = |action: ActionInvocation, key: &str, value: &str| {
        let mut action = action;
        action.configuration.insert(key.to_owned(), value.to_owned());
        action
    };
    let without_input = ActionInvocation { input_artifacts: Vec::new(), ..source_scan(&[]) };
    let with_input = ActionInvocation { input_artifacts: source_scan(&[]).input_artifacts, ..image_scan() };
    for (action, words) in [
        (without_input, "needs one input artifact"),
        (with_input, "takes no input artifact"),
        (with(image_scan(), "ECRRepositoryName", ""), "needs ECRRepositoryName"),
        (with(image_scan(), "ImageTag", "a'; rm -rf b"), "has characters that no image has"),
        (with(source_scan(&[]), "HighThreshold", "many"), "The value of HighThreshold is 'many'"),
        (with(source_scan(&[]), "InspectorRunMode", "Guess"), "it must be SourceCodeScan or ECRImageScan"),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!(code, "ConfigurationError");
        assert!(message.contains(words), "{message}");
    }
    assert!(stage.aws.world().codebuild.started.is_empty());
    assert_eq!(stage.stop(&source_scan(&[]), &Progress::default()).await, Ok(()));
}
