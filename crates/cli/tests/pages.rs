//! The examples of the reference pages (docs/providers) and of the checklist for AWS (docs/try-on-aws.md) are valid: the shipped
//! `towpath validate` takes each of them, with the towpath.toml that the page shows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use towpath_providers::docs::Supplement;

/// Runs `towpath validate` on a pipeline file; what it said, unless all is well.
fn validated(pipeline: &str, config: Option<&str>) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("pipeline.yaml"), pipeline).unwrap();
    if let Some(config) = config {
        std::fs::write(directory.path().join("towpath.toml"), config).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["validate", "pipeline.yaml"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    if output.status.success() && told.contains("pipeline.yaml: valid") { Ok(()) } else { Err(told) }
}

#[test]
fn every_example_of_a_reference_page_is_valid() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/pages");
    let mut tried = 0;
    let mut refused = Vec::new();
    for entry in std::fs::read_dir(pages).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let supplement =
            Supplement::read(&text).unwrap_or_else(|error| panic!("crates/providers/pages/{name}: {error}"));
        if let Err(told) = validated(supplement.pipeline, supplement.config) {
            refused.push(format!("crates/providers/pages/{name}:\n{told}"));
        }
        tried += 1;
    }
    assert!(tried > 0, "there are no pages");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// What a shell makes of the text: the variables that the checklist sets, some with what stands for an answer of AWS.
fn filled(text: &str) -> String {
    let mut text = text.replace("${PROJECT##*:}", "a1b2c3d4-0000-4000-8000-abcdefabcdef");
    let pool = "arn:aws:devicefarm:us-west-2::devicepool:082d10e5-d7d7-48a5-ba5c-b33d66efa1f5";
    for (name, value) in [
        ("ACCOUNT", "123456789012"),
        ("APP", "abc1234"),
        ("AWS_PROFILE", "try"),
        ("AWS_REGION", "eu-west-1"),
        ("CLIENT_ID", "amzn1.application-oa2-client.1"),
        ("CLIENT_SECRET", "secret"),
        ("ENVIRONMENT", "def5678"),
        ("POOL", pool),
        ("PRODUCT", "prod-abcdefgh12345"),
        ("REFRESH_TOKEN", "Atzr|1"),
        ("SETTINGS", "ghi9012"),
        ("SKILL", "amzn1.ask.skill.1"),
        ("STAGING", "towpath-try"),
    ] {
        text = text.replace(&format!("${name}"), value);
    }
    text
}

/// The documents that `command <<END` or `command <<'END'` gives, in the page's blocks for a shell.
fn given_to<'a>(page: &'a str, command: &str) -> Vec<&'a str> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documents = blocks.flat_map(|block| {
        let begins = [format!("{command} <<END\n"), format!("{command} <<'END'\n")];
        begins.into_iter().flat_map(|begin| {
            let found = block.match_indices(&begin).map(|(at, begin)| &block[at + begin.len()..]);
            found.map(|rest| rest.split_once("\nEND\n").expect("the document ends").0).collect::<Vec<_>>()
        })
    });
    documents.collect()
}

#[test]
fn every_pipeline_of_the_checklist_for_aws_is_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/try-on-aws.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (configs, heads) = (given_to(&page, "cat > towpath.toml"), given_to(&page, "cat > head.yaml"));
    let ([config, _], [head]) = (configs.as_slice(), heads.as_slice()) else {
        panic!("towpath.toml for AWS and for partners, and the head of every pipeline")
    };
    let mut tried = BTreeSet::new();
    for actions in given_to(&page, "try") {
        let pipeline = filled(&format!("{head}\n{actions}\n"));
        assert!(!pipeline.contains('$'), "a variable that nothing sets:\n{pipeline}");
        if let Err(told) = validated(&pipeline, Some(&filled(config))) {
            panic!("docs/try-on-aws.md:\n{pipeline}\n{told}");
        }
        let providers = actions.split("provider: ").skip(1).filter_map(|rest| rest.split(',').next());
        tried.extend(providers.map(str::to_owned));
    }
    let of_deployments = [
        "AlexaSkillsKit",
        "AppConfig",
        "CloudFormation",
        "CloudFormationStackInstances",
        "CloudFormationStackSet",
        "CodeDeploy",
        "CodeDeployToECS",
        "DeviceFarm",
        "EC2",
        "ECRBuildAndPublish",
        "ECS",
        "EKS",
        "ElasticBeanstalk",
        "Lambda",
        "S3",
        "ServiceCatalog",
    ];
    assert_eq!(tried.iter().map(String::as_str).collect::<Vec<_>>(), of_deployments);
}
