//! What `towpath validate` prints for files that are wrong, as snapshots. The validation function is a script: the real
//! one has its own tests.

use std::path::Path;
use std::sync::{Arc, Mutex};

use towpath_cli::commands::validate::{self, Format};
use towpath_cli::config::Config;
use towpath_cli::file::template::Options;
use towpath_cli::host::Violation;
use towpath_cli::terminal::{Size, Terminal};
use towpath_model::declaration::PipelineDeclaration;

const GOOD: &str = r#"{"pipeline": {
  "name": "demo",
  "roleArn": "arn:aws:iam::123456789012:role/demo",
  "artifactStore": {"type": "S3", "location": "demo-artifacts"},
  "stages": [
    {"name": "Source", "actions": [
      {"name": "Fetch",
       "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
       "configuration": {"S3Bucket": "demo-source", "S3ObjectKey": "app.zip"},
       "outputArtifacts": [{"name": "App"}]}
    ]},
    {"name": "Build", "actions": [
      {"name": "Compile",
       "actionTypeId": {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"},
       "configuration": {"ProjectName": "demo-build"},
       "inputArtifacts": [{"name": "App"}]}
    ]}
  ]
}}
"#;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn terminal(out: &Captured) -> Terminal {
    Terminal {
        out: Box::new(out.clone()),
        err: Box::new(std::io::sink()),
        live: false,
        can_ask: false,
        colour_out: false,
        colour_err: false,
        size: Size::Fixed { width: 100, height: 40 },
        redacted: false,
    }
}

fn nothing(_: &PipelineDeclaration, _: &str, _: &Config) -> Vec<Violation> {
    Vec::new()
}

struct Case<'a> {
    files: &'a [(&'a str, &'a str)],
    path: &'a str,
    format: Format,
}

/// Runs the command over files and answers its exit code and output, with the directory's name taken out.
fn run(case: &Case<'_>, validate: validate::Validate<'_>) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in case.files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let out = Captured::default();
    let path = if case.path.is_empty() { directory.path().to_owned() } else { directory.path().join(case.path) };
    let result = validate::run(&path, None, &Options::default(), case.format, validate, &mut terminal(&out));
    let printed = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    let ending = match result {
        Ok(code) => format!("exit {code}"),
        Err(error) => format!("{}exit {}", error.render(), error.exit_code()),
    };
    format!("{printed}{ending}\n")
        .replace(&format!("{}/", directory.path().display()), "")
        .replace(&directory.path().display().to_string(), "DIR")
}

fn one(name: &str, text: &str) -> String {
    run(&Case { files: &[(name, text)], path: name, format: Format::Text }, &nothing)
}

#[test]
fn a_valid_file() {
    insta::assert_snapshot!(one("pipeline.json", GOOD));
}

#[test]
fn a_directory_is_searched_for_its_pipeline() {
    let case = Case { files: &[("pipeline.json", GOOD)], path: "", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing), @r"
    pipeline.json: valid: pipeline `demo` with 2 stages and 2 actions
    exit 0
    ");
}

#[test]
fn paths_that_lead_nowhere() {
    let case = Case { files: &[], path: "absent.json", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
    let case = Case { files: &[("readme", "")], path: "", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
    let case = Case { files: &[("pipeline.json", GOOD), ("pipeline.yaml", "")], path: "", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
}

#[test]
fn not_json() {
    insta::assert_snapshot!(one("pipeline.json", "{\n  \"name\": \"demo\",\n  \"stages\": [\n  }\n"));
    insta::assert_snapshot!(one("pipeline.json", "{\n  \"name\": \"demo\",\n}\n"));
    insta::assert_snapshot!(one("pipeline.json", "hello\n"));
    insta::assert_snapshot!(one("pipeline.json", ""));
}

#[test]
fn not_yaml() {
    insta::assert_snapshot!(one("pipeline.yaml", "name: demo\nstages:\n  - name: [Source\n  actions: x\n"));
    insta::assert_snapshot!(one("pipeline.yaml", "name: demo\n\tstages: []\n"));
}

#[test]
fn every_departure_from_the_shape_at_once() {
    let text = GOOD
        .replace("\"S3ObjectKey\": \"app.zip\"", "\"S3ObjectKey\": \"app.zip\", \"PollForSourceChanges\": false")
        .replace("\"inputArtifacts\"", "\"InputArtefacts\"")
        .replace(
            "\"outputArtifacts\": [{\"name\": \"App\"}]",
            "\"runOrder\": \"1\", \"outputArtifacts\": {\"name\": \"App\"}",
        )
        .replace("\"category\": \"Build\"", "\"category\": \"Biuld\"")
        .replace("{\"name\": \"Source\", \"actions\"", "{\"actions\"")
        .replace("\"name\": \"demo\",\n", "\"name\": \"demo\",\n  \"name\": \"demo2\",\n  \"colour\": \"red\",\n");
    insta::assert_snapshot!(one("pipeline.json", &text));
}

#[test]
fn yaml_with_unquoted_scalars_is_read_by_what_is_expected() {
    let yaml = "
name: demo
roleArn: arn:aws:iam::123456789012:role/demo
artifactStore: {type: S3, location: demo-artifacts}
stages:
  - name: Source
    actions:
      - name: Fetch
        runOrder: 1
        actionTypeId: {category: Source, owner: AWS, provider: S3, version: 1}
        configuration:
          S3Bucket: demo-source
          S3ObjectKey: app.zip
          PollForSourceChanges: false
        outputArtifacts: [{name: App}]
";
    let checks = |d: &PipelineDeclaration, region: &str, _: &Config| {
        let action = &d.stages[0].actions[0];
        assert_eq!((action.action_type_id.version.as_str(), action.run_order), ("1", 1));
        assert_eq!(action.config("PollForSourceChanges"), Some("false"));
        assert_eq!(region, "us-east-1");
        Vec::new()
    };
    let case = Case { files: &[("pipeline.yaml", yaml)], path: "pipeline.yaml", format: Format::Text };
    insta::assert_snapshot!(run(&case, &checks), @r"
    pipeline.yaml: valid: pipeline `demo` with 1 stage and 1 action
    exit 0
    ");
}

/// Stands for the real function on the two errors the snapshots need.
fn scripted(d: &PipelineDeclaration, _: &str, _: &Config) -> Vec<Violation> {
    let mut found = Vec::new();
    for (s, stage) in d.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            let at = vec!["stages".into(), s.into(), "actions".into(), a.into()];
            for (i, input) in action.input_artifacts.iter().enumerate() {
                if *input.name == *"Ap" {
                    found.push(Violation {
                        path: [at.clone(), vec!["inputArtifacts".into(), i.into(), "name".into()]].concat(),
                        code: "InvalidActionDeclarationException".into(),
                        message: format!(
                            "Input Artifact Bundle {} in action {} is not declared as Output Artifact Bundle in any of \
                             the preceding actions",
                            input.name, action.name
                        ),
                        hint: Some("did you mean `App`?".into()),
                    });
                }
            }
            if s > 0 && action.action_type_id.category.as_str() == "Source" {
                found.push(Violation {
                    path: at,
                    code: "InvalidStructureException".into(),
                    message: "Source actions can only be included in the first stage of the pipeline".into(),
                    hint: None,
                });
            }
        }
    }
    found
}

#[test]
fn violations_stand_at_their_lines_beside_the_files_own_problems() {
    let text =
        GOOD.replace("\"inputArtifacts\": [{\"name\": \"App\"}]", "\"inputArtifacts\": [{\"name\": \"Ap\"}]").replace(
            "{\"name\": \"Compile\",",
            "{\"name\": \"Again\", \"actionTypeId\": {\"category\": \"Source\", \"owner\": \"AWS\", \
             \"provider\": \"S3\", \"version\": \"1\"}, \"note\": \"x\"},\n      {\"name\": \"Compile\",",
        );
    let case = Case { files: &[("pipeline.json", &text)], path: "pipeline.json", format: Format::Text };
    insta::assert_snapshot!(run(&case, &scripted));
    let case = Case { format: Format::Json, ..case };
    insta::assert_snapshot!(run(&case, &scripted));
}

#[test]
fn a_template_is_read_and_its_violations_stand_at_its_lines() {
    let template = "\
Parameters:
  Bucket: {Type: String, Default: demo-artifacts}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17}}
  Pipe:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: demo
      RoleArn: !GetAtt Role.Arn
      ArtifactStore: {Type: S3, Location: !Ref Bucket}
      Stages:
        - Name: Source
          Actions:
            - Name: Fetch
              ActionTypeId: {Category: Source, Owner: AWS, Provider: S3, Version: 1}
              Configuration: {S3Bucket: !Sub '${Bucket}-source', S3ObjectKey: app.zip}
              OutputArtifacts: [{Name: App}]
        - Name: Gate
          Actions:
            - Name: Ask
              ActionTypeId: {Category: Approval, Owner: AWS, Provider: Manual, Version: '1'}
";
    insta::assert_snapshot!(one("template.yaml", template), @r"
    template.yaml: valid: pipeline `demo` with 2 stages and 2 actions
    exit 0
    ");
    let bucket = |declaration: &PipelineDeclaration, _: &str, _: &Config| -> Vec<Violation> {
        let stage = &declaration.stages[0].actions[0];
        assert_eq!(stage.config("S3Bucket"), Some("demo-artifacts-source"));
        vec![Violation {
            path: vec![
                "stages".into(),
                0.into(),
                "actions".into(),
                0.into(),
                "configuration".into(),
                "S3Bucket".into(),
            ],
            code: "InvalidActionDeclarationException".into(),
            message: "no such bucket".into(),
            hint: None,
        }]
    };
    let case = Case { files: &[("template.yaml", template)], path: "template.yaml", format: Format::Text };
    insta::assert_snapshot!(run(&case, &bucket));
    let broken = template
        .replace("!GetAtt Role.Arn", "!GetAtt Rolle.Arn")
        .replace("OutputArtifacts", "OutputArtefacts")
        .replace("!Sub '${Bucket}-source'", "!Join ['', !Ref Bucket]")
        .replace("Type: S3, ", "");
    insta::assert_snapshot!(one("template.yaml", &broken));
    let case = Case {
        files: &[("template.json", r#"{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}"#)],
        path: "template.json",
        format: Format::Text,
    };
    insta::assert_snapshot!(run(&case, &nothing), @r"
    error: the template has no pipeline
      hint: it needs a resource of the type AWS::CodePipeline::Pipeline
    exit 2
    ");
}

#[test]
fn a_file_on_one_long_line_is_told_without_its_line() {
    let text = format!("{{\"name\": \"{}\", \"colour\": 1, \"roleArn\": \"r\", \"stages\": []}}", "x".repeat(2000));
    insta::assert_snapshot!(one("pipeline.json", &text));
}

#[test]
fn the_configuration_is_read_as_strictly() {
    let toml = r#"
[source.Fetsh]
path = "app"

[codebuild.demo-build]
buildspec = "buildspec.yml"
timeout = 10
environment = { LEVEL = 3 }

[codebuild.other]
image = "x"

[sandbox]
kind = "kubernetes"

[retention]
days = 30
"#;
    let files = [("pipeline.json", GOOD), ("towpath.toml", toml)];
    let case = Case { files: &files, path: "pipeline.json", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
    let files = [
        ("pipeline.json", GOOD),
        ("towpath.toml", "[source.Fetsh]\npath = \"app\"\n[codebuild.other]\nimage = \"x\"\n"),
    ];
    let case = Case { files: &files, path: "pipeline.json", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
    let files = [("pipeline.json", GOOD), ("towpath.toml", "[source\n")];
    let case = Case { files: &files, path: "pipeline.json", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
}

#[test]
fn buildspecs_are_warned_about() {
    let toml = "[source.Fetch]\npath = \"app\"\n";
    let spec = "version: 2\nphases:\n  prebuild:\n    commands: [a]\n  build:\n    commands:\n      - echo: hello\n      - make\n";
    let files = [("pipeline.json", GOOD), ("towpath.toml", toml), ("app/buildspec.yml", spec)];
    let case = Case { files: &files, path: "", format: Format::Text };
    insta::assert_snapshot!(run(&case, &nothing));
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = validate::check(Path::new(&path), None, &nothing).unwrap_err();
        error.render().replace(&format!("{}/", directory.path().display()), "")
    };
    insta::assert_snapshot!(refused("pipeline.json", b"{\"name\": \"\xff\"}"), @r"
    error: pipeline.json is not UTF-8 text: the byte at position 10 fits no character
      hint: save the file as UTF-8
    ");
    insta::assert_snapshot!(refused("big.json", &vec![b' '; 5 << 20]), @"error: big.json is 5242880 bytes long; the limit is 4194304 bytes");
}
