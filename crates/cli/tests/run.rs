//! `towpath run` and `towpath approve` against a scripted host: what they call, what they print, how they exit.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use support::{Captured, EXECUTION, Ending, Script, Scripted, VALIDATE, terminal};
use tempfile::TempDir;
use tokio::sync::mpsc;
use towpath_cli::commands::validate::Format;
use towpath_cli::commands::{approve, run};
use towpath_cli::errors::ExpectedError;
use towpath_cli::flow::Surroundings;
use towpath_cli::flow::ask::Answer;
use towpath_cli::flow::follow::Approve;

const PIPELINE: &str = r#"
name: demo
roleArn: arn:aws:iam::111122223333:role/service-role/demo
artifactStore: {type: S3, location: demo-artifacts}
variables:
  - {name: Target, defaultValue: staging}
stages:
  - name: Source
    actions:
      - name: Fetch
        actionTypeId: {category: Source, owner: AWS, provider: S3, version: 1}
        configuration: {S3Bucket: demo-source, S3ObjectKey: app.zip}
        outputArtifacts: [{name: App}]
  - name: Build
    actions:
      - name: Compile
        actionTypeId: {category: Build, owner: AWS, provider: CodeBuild, version: 1}
        configuration: {ProjectName: demo-build}
        inputArtifacts: [{name: App}]
        outputArtifacts: [{name: Built}]
  - name: Gate
    actions:
      - name: Review
        actionTypeId: {category: Approval, owner: AWS, provider: Manual, version: 1}
        configuration: {CustomData: "Ship it?", ExternalEntityLink: "https://example.com/review"}
  - name: Ship
    actions:
      - name: Publish
        actionTypeId: {category: Deploy, owner: AWS, provider: S3, version: 1}
        configuration: {BucketName: demo-site, Extract: true, ObjectKey: releases/1}
        inputArtifacts: [{name: Built}]
"#;

const CONFIG: &str = r#"
[source.Fetch]
path = "app"

[codebuild.demo-build]
buildspec = "ci.yml"
environment = { LEVEL = "3" }
"#;

struct Case {
    directory: TempDir,
    script: Script,
    out: Captured,
    live: bool,
    answer: Option<Answer>,
    /// A Ctrl-C that comes at once.
    interrupted: bool,
}

impl Case {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in
            [("pipeline.yaml", PIPELINE), ("towpath.toml", CONFIG), ("app/ci.yml", "version: 0.2\nphases: {}\n")]
        {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let script = Script::default();
        script
            .lock()
            .logs
            .insert("Compile", vec!["[Container] 2026/10/01 13:40:00.600000 Running command make", "", "ok"]);
        Self { directory, script, out: Captured::default(), live: false, answer: None, interrupted: false }
    }

    fn options(&self, approve: Option<Approve>) -> run::Options {
        run::Options {
            template: towpath_cli::file::template::Options::default(),
            path: self.directory.path().to_owned(),
            approve,
            variables: BTreeMap::new(),
            sources: BTreeMap::new(),
            format: Format::Text,
            data_dir: None,
            config: None,
        }
    }

    async fn run(&self, options: &run::Options) -> Result<u8, ExpectedError> {
        self.with(async |surroundings, terminal| run::run(options, surroundings, terminal).await).await
    }

    async fn approve(&self, reject: bool) -> Result<u8, ExpectedError> {
        let options = approve::Options {
            template: towpath_cli::file::template::Options::default(),
            path: self.directory.path().to_owned(),
            reject,
            summary: None,
            action: None,
            format: Format::Text,
            data_dir: None,
            config: None,
        };
        self.with(async |surroundings, terminal| approve::run(&options, surroundings, terminal).await).await
    }

    async fn with(
        &self,
        command: impl AsyncFnOnce(Surroundings<'_>, towpath_cli::terminal::Terminal) -> Result<u8, ExpectedError>,
    ) -> Result<u8, ExpectedError> {
        let (send, interrupts) = mpsc::channel(1);
        if self.interrupted {
            send.try_send(()).unwrap();
        }
        let asker = Scripted(self.answer.clone());
        let surroundings = Surroundings { validate: VALIDATE, opener: &self.script, asker: &asker, interrupts };
        let result = command(surroundings, terminal(&self.out, self.live)).await;
        drop(send);
        result
    }

    /// What was printed, with the directory's name taken out.
    fn printed(&self) -> String {
        self.clean(&self.out.text())
    }

    fn clean(&self, text: &str) -> String {
        let text = text.replace(&self.directory.path().display().to_string(), "DIR");
        // The size of the zip belongs to the zip library.
        match text.split_once("(1 file, ").map(|(before, after)| (before, after.split_once(')').unwrap().1)) {
            Some((before, after)) => format!("{before}(1 file, N bytes){after}"),
            None => text,
        }
    }
}

#[tokio::test]
async fn a_run_to_the_end() {
    let case = Case::new();
    assert_eq!(case.run(&case.options(Some(Approve::All))).await.unwrap(), 0);
    insta::assert_snapshot!("end_printed", case.printed());
    insta::assert_snapshot!("end_calls", case.script.calls());
    let ignored = std::fs::read_to_string(case.directory.path().join(".towpath/.gitignore")).unwrap();
    assert_eq!(ignored, "*\n");
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_starts_once() {
    let case = Case::new();
    case.run(&case.options(Some(Approve::All))).await.unwrap();
    case.script.lock().calls.clear();
    assert_eq!(case.run(&case.options(Some(Approve::All))).await.unwrap(), 0);
    insta::assert_snapshot!(case.script.calls(), @r#"
    open account=111122223333 region=us-east-1
    bucket demo-artifacts versioned=false
    bucket demo-site versioned=false
    bucket demo-source versioned=true
    put s3://demo-source/app.zip with ci.yml
    codepipeline StartPipelineExecution {"name":"demo"}
    codepipeline PutApprovalResult {"pipelineName":"demo","stageName":"Gate","actionName":"Review","token":"the-token","result":{"status":"Approved","summary":"approved by towpath run --approve all"}}
    shutdown
    "#);
}

#[tokio::test]
async fn a_changed_file_or_project_is_updated_first() {
    let case = Case::new();
    case.run(&case.options(Some(Approve::All))).await.unwrap();
    case.script.lock().calls.clear();
    std::fs::write(case.directory.path().join("pipeline.yaml"), PIPELINE.replace("releases/1", "releases/2")).unwrap();
    std::fs::write(case.directory.path().join("towpath.toml"), CONFIG.replace("\"3\"", "\"4\"")).unwrap();
    case.run(&case.options(Some(Approve::All))).await.unwrap();
    let calls = case.script.calls();
    assert!(calls.contains("codebuild UpdateProject"), "{calls}");
    let update = calls.find("codepipeline UpdatePipeline").expect("an update");
    assert!(update < calls.find("codepipeline StartPipelineExecution").unwrap(), "{calls}");
}

#[tokio::test]
async fn variables_reach_the_first_execution_and_the_next() {
    let case = Case::new();
    let mut options = case.options(Some(Approve::All));
    options.variables.insert("Target".into(), "production".into());
    case.run(&options).await.unwrap();
    let created = case.script.calls().lines().find(|l| l.contains("CreatePipeline")).unwrap().to_owned();
    assert!(created.contains(r#""defaultValue":"production""#), "{created}");
    case.run(&options).await.unwrap();
    let started = case.script.calls().lines().find(|l| l.contains("StartPipelineExecution")).unwrap().to_owned();
    assert!(started.contains(r#""variables":[{"name":"Target","value":"production"}]"#), "{started}");
}

#[tokio::test]
async fn bad_arguments_are_told_before_anything_is_opened() {
    let case = Case::new();
    let mut told = String::new();
    let mut check = async |change: &dyn Fn(&mut run::Options)| {
        let mut options = case.options(Some(Approve::All));
        change(&mut options);
        let error = case.run(&options).await.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        told += &case.clean(&error.render());
    };
    check(&|o| o.variables = BTreeMap::from([("Tagret".into(), "x".into())])).await;
    check(&|o| o.sources = BTreeMap::from([("Fetsh".into(), PathBuf::from("."))])).await;
    check(&|o| o.approve = Some(Approve::Ask)).await;
    check(&|o| o.path = PathBuf::from("/nowhere")).await;
    insta::assert_snapshot!(told);
    assert_eq!(case.script.calls(), "");
}

#[tokio::test]
async fn a_source_that_is_missing() {
    let case = Case::new();
    let mut options = case.options(Some(Approve::All));
    options.sources.insert("Fetch".into(), Path::new("/nowhere").to_owned());
    let error = case.run(&options).await.unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: the source of action `Fetch` is not there: /nowhere
      hint: give its directory with `--source Fetch=DIR`, or as `path` of [source.Fetch] in towpath.toml
    ");
}

#[tokio::test]
async fn a_gate_without_anybody_to_ask_exits_3_and_approve_goes_on() {
    let case = Case::new();
    assert_eq!(case.run(&case.options(None)).await.unwrap(), 3);
    insta::assert_snapshot!("gate_printed", case.printed());
    let again = Case { out: Captured::default(), ..case };
    assert_eq!(again.approve(false).await.unwrap(), 0);
    insta::assert_snapshot!("approved_printed", again.printed());
    assert!(again.script.calls().contains("approved by towpath approve"));
    let error = again.approve(false).await.unwrap_err();
    insta::assert_snapshot!(again.clean(&error.render()), @r"
    error: nothing of this pipeline waits for approval
      hint: `towpath run` with the same path starts an execution
    ");
}

#[tokio::test]
async fn a_rejection_fails_the_execution() {
    let case = Case::new();
    case.run(&case.options(None)).await.unwrap();
    let again = Case { out: Captured::default(), ..case };
    assert_eq!(again.approve(true).await.unwrap(), 1);
    insta::assert_snapshot!("rejected_printed", again.printed());
}

#[tokio::test]
async fn a_failed_build_shows_its_log_and_reason() {
    let case = Case::new();
    let message = "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error \
                   while executing command: make. Reason: exit status 2";
    case.script.lock().endings.insert("Compile", Ending::Fails { code: "JobFailed", message });
    assert_eq!(case.run(&case.options(Some(Approve::All))).await.unwrap(), 1);
    insta::assert_snapshot!("failed_printed", case.printed());
    let live = Case { live: true, out: Captured::default(), ..case };
    assert_eq!(live.run(&live.options(Some(Approve::All))).await.unwrap(), 1);
    let printed = live.printed();
    let last = printed.rsplit("\u{1b}[?2026h").next().unwrap();
    insta::assert_snapshot!("failed_live", last.replace("\u{1b}[K", "").replace('\u{1b}', "ESC"));
}

#[tokio::test]
async fn json_lines_are_whole_objects() {
    let case = Case::new();
    let options = run::Options { format: Format::Json, ..case.options(None) };
    assert_eq!(case.run(&options).await.unwrap(), 3);
    insta::assert_snapshot!(case.printed());
    let keys = ["time", "type", "executionId", "stage", "action", "state", "message"];
    for line in case.out.text().lines() {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), keys);
        assert_eq!(object["executionId"], EXECUTION);
    }
}

#[tokio::test]
async fn asking_answers_the_approval() {
    let answer = Some(Answer { approved: true, summary: "fine".into() });
    let case = Case { live: true, answer, ..Case::new() };
    assert_eq!(case.run(&case.options(None)).await.unwrap(), 0);
    assert!(case.script.calls().contains(r#""result":{"status":"Approved","summary":"fine"}"#));
}

#[tokio::test]
async fn ctrl_c_abandons_and_exits_130() {
    let case = Case { interrupted: true, ..Case::new() };
    case.script.lock().endings.insert("Compile", Ending::Hangs);
    assert_eq!(case.run(&case.options(Some(Approve::All))).await.unwrap(), 130);
    let calls = case.script.calls();
    assert!(calls.contains(r#""abandon":true"#), "{calls}");
    insta::assert_snapshot!("interrupted_printed", case.printed());
}

#[tokio::test]
async fn ctrl_c_at_the_question_stops_too() {
    let case = Case { live: true, interrupted: true, ..Case::new() };
    assert_eq!(case.run(&case.options(None)).await.unwrap(), 130);
    assert!(!case.script.calls().contains("PutApprovalResult"));
}

#[tokio::test]
async fn stopped_by_somebody_else_exits_3() {
    let case = Case::new();
    case.script.lock().endings.insert("Compile", Ending::Hangs);
    let script = case.script.clone();
    let options = case.options(Some(Approve::All));
    let (code, ()) = tokio::join!(case.run(&options), async {
        use towpath_cli::host::Api;
        while script.lock().history.is_empty() {
            tokio::task::yield_now().await;
        }
        let input = serde_json::json!({"reason": "maintenance"});
        script.call("codepipeline", "StopPipelineExecution", input).await.unwrap();
    });
    assert_eq!(code.unwrap(), 3);
    let printed = case.printed();
    assert!(printed.contains("Stopped in"), "{printed}");
    assert!(printed.contains("maintenance"), "{printed}");
}

#[tokio::test]
async fn a_closed_transition_is_named() {
    let case = Case::new();
    case.script.lock().closed = Some("Ship");
    assert_eq!(case.run(&case.options(Some(Approve::All))).await.unwrap(), 3);
    let printed = case.printed();
    assert!(printed.contains("Waiting: the transition into stage Ship is disabled: freeze"), "{printed}");
}

#[tokio::test]
async fn a_directory_stands_in_for_any_source() {
    let case = Case::new();
    let s3 = "provider: S3, version: 1}\n        configuration: {S3Bucket: demo-source, S3ObjectKey: app.zip}";
    let codecommit =
        "provider: CodeCommit, version: 1}\n        configuration: {RepositoryName: demo, BranchName: main}";
    let file = case.directory.path().join("pipeline.yaml");
    std::fs::write(&file, PIPELINE.replace(s3, codecommit)).unwrap();
    assert_eq!(case.run(&case.options(Some(Approve::All))).await.unwrap(), 0);
    let calls = case.script.calls();
    let told = calls.lines().find(|line| line.starts_with("stand in")).unwrap();
    assert!(told.starts_with("stand in demo-artifacts Fetch: the files of "), "{told}");
    assert!(told.contains("\"BranchName\": \"main\"") && told.contains("\"RepositoryName\": \"demo\""), "{told}");
    assert!(case.printed().contains("source Fetch: DIR/app"), "{}", case.printed());
    assert!(case.printed().contains("in place of CodeCommit"), "{}", case.printed());
    // Nobody has an image here.
    std::fs::write(case.directory.path().join("towpath.toml"), "").unwrap();
    let ecr = "provider: ECR, version: 1}\n        configuration: {RepositoryName: demo}";
    std::fs::write(&file, PIPELINE.replace(s3, ecr)).unwrap();
    let error = case.run(&case.options(None)).await.unwrap_err();
    assert_eq!(
        case.clean(&error.render()),
        "error: action `Fetch` takes its source from ECR, and nothing here can be asked for it\n  hint: let a directory \
         stand in for it with `--source Fetch=DIR`, or with `path` (or `url` and `branch`) of [source.Fetch] in \
         towpath.toml; or name where ECR is: `[realm.aws]` and `profile = \"...\"`\n"
    );
    let mut options = case.options(Some(Approve::All));
    options.sources.insert("Fetch".to_owned(), case.directory.path().join("app"));
    assert_eq!(case.run(&options).await.unwrap(), 0);
}
