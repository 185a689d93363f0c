//! What `towpath import` shows of templates, against a server that has nothing yet. What it makes on a real server is
//! shown by `tests/clients/import_templates.py`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::{Value as Json, json};
use towpath_cli::commands::import::{Place, Request, run};
use towpath_cli::commands::validate::Format;
use towpath_cli::file::template::Options;
use towpath_cli::host::{Api, ApiError, Target};
use towpath_cli::terminal::{Size, Terminal};

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

/// Knows who is calling, has nothing, takes everything.
#[derive(Default)]
struct Empty(Mutex<Vec<String>>);

#[async_trait]
impl Api for Empty {
    async fn call(&self, _: &str, operation: &str, _: Json) -> Result<Json, ApiError> {
        match operation {
            "GetCallerIdentity" => Ok(json!({"Account": "123456789012"})),
            "GetRole" | "GetRolePolicy" => Err(ApiError::new("NoSuchEntity", "not there")),
            "GetPipeline" => Err(ApiError::new("PipelineNotFoundException", "not there")),
            read if ["Get", "List", "Batch"].iter().any(|verb| read.starts_with(verb)) => Ok(json!({})),
            write => {
                self.0.lock().unwrap().push(write.to_owned());
                Ok(json!({}))
            }
        }
    }
}

#[async_trait]
impl Target for Empty {
    async fn bucket(
        &self,
        method: Method,
        bucket: &str,
        sub: &str,
        _: String,
    ) -> Result<(StatusCode, String), ApiError> {
        if method == Method::PUT {
            self.0.lock().unwrap().push(format!("PUT {bucket}?{sub}"));
            return Ok((StatusCode::OK, String::new()));
        }
        Ok((StatusCode::NOT_FOUND, String::new()))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What is printed, the exit code, and what was written to the server.
fn import(path: &str, change: impl FnOnce(&mut Request)) -> (String, Vec<String>) {
    let mut request = Request {
        path: root().join(path),
        yes: false,
        dry_run: true,
        format: Format::Text,
        template: Options::default(),
    };
    change(&mut request);
    let (out, server) = (Captured::default(), Empty::default());
    let mut terminal = Terminal {
        out: Box::new(out.clone()),
        err: Box::new(out.clone()),
        live: false,
        can_ask: false,
        colour_out: false,
        colour_err: false,
        size: Size::Fixed { width: 100, height: 40 },
        redacted: false,
    };
    let place = Place { target: &server, url: "http://127.0.0.1:7400", region: "us-east-1" };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ending = match runtime.block_on(run(&request, &place, &mut terminal)) {
        Ok(code) => format!("exit {code}"),
        Err(error) => {
            let drawn: String = error.reports().iter().map(|r| r.draw(terminal.drawing_err())).collect();
            format!("{drawn}{}exit {}", error.render(), error.exit_code())
        }
    };
    let printed = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    let written = server.0.lock().unwrap().clone();
    (format!("{printed}{ending}\n").replace(&format!("{}/", root().display()), ""), written)
}

const CDK: &str = "crates/cli/tests/import/cdk/cdk.out";

#[test]
fn a_cdk_app_is_shown_stack_by_stack() {
    let (printed, written) = import(CDK, |_| ());
    insta::assert_snapshot!(printed);
    assert!(written.is_empty(), "a dry run writes nothing: {written:?}");
}

#[test]
fn one_template_is_shown_and_made_in_order() {
    let (printed, written) = import("examples/cloudformation/template.yaml", |request| {
        request.dry_run = false;
        request.yes = true;
        request.template.parameters.push(("Environment".into(), "production".into()));
    });
    insta::assert_snapshot!(printed);
    insta::assert_snapshot!(written.join("\n"));
}

#[test]
fn json_has_every_call() {
    let (printed, _) = import("examples/cloudformation/template.yaml", |request| request.format = Format::Json);
    let (document, _) = printed.rsplit_once("exit 0").unwrap();
    let document: Json = serde_json::from_str(document).unwrap();
    assert_eq!(document["done"], false);
    let kinds = document["resources"].as_array().unwrap().iter().map(|r| r["type"].as_str().unwrap().to_owned());
    let kinds: Vec<String> = kinds.collect();
    let wanted =
        ["S3::Bucket", "S3::Bucket", "S3::Bucket", "IAM::Role", "IAM::Role", "CodeBuild::Project", "IAM::Policy"];
    assert_eq!(kinds[..7], wanted.map(|kind| format!("AWS::{kind}")));
    let pipeline = &document["resources"][7]["calls"][0];
    assert_eq!(pipeline["operation"], "CreatePipeline");
    assert_eq!(pipeline["input"]["pipeline"]["name"], "notes-staging");
    let location = &pipeline["input"]["pipeline"]["artifactStore"]["location"];
    assert_eq!(location, &document["resources"][0]["name"]);
}

#[test]
fn problems_stand_at_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.yaml");
    let text = "\
Parameters:
  Branch:
    Type: String
    AllowedPattern: '[a-z]+'
Resources:
  Build:
    Type: AWS::CodeBuild::Project
    Properties:
      ServiceRole: !GetAtt Rolle.Arn
      Source: {Type: CODEPIPELINE, BuildSpec: !Sub 'echo ${Brunch}'}
      Artifacts: {Type: CODEPIPELINE, Pakaging: ZIP}
      Environment: {Type: LINUX_CONTAINER, Image: i, ComputeType: !Select [3, [a, b]]}
  Role:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {}}
";
    std::fs::write(&file, text).unwrap();
    let (printed, _) = import("", |request| {
        request.path.clone_from(&file);
        request.template.parameters.push(("Branch".into(), "Main".into()));
    });
    insta::assert_snapshot!(printed.replace(&format!("{}/", directory.path().display()), ""));
}

#[test]
fn what_cannot_be_imported_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = String::new();
    for (name, text) in [
        ("pipeline.json", "{\"name\": \"x\"}"),
        ("only.yaml", "Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n"),
        ("bomb.yaml", "Resources: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        told.push_str(&import("", |request| request.path = file).0);
    }
    let (unasked, written) = import(CDK, |request| request.dry_run = false);
    told.push_str(unasked.split_once("17 to create\n").unwrap().1);
    assert!(written.is_empty(), "nobody said yes: {written:?}");
    insta::assert_snapshot!(told.replace(&format!("{}/", directory.path().display()), ""));
}
