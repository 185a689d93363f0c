//! What the live tree and the plain lines look like, state by state. Times are given, so nothing moves.

use towpath_cli::display::model::Model;
use towpath_cli::display::{style, tree};
use towpath_cli::document::Text;
use towpath_cli::file::PipelineFile;
use towpath_model::action::{ErrorDetails, Progress};
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ExecutionId, PipelineId, Scope};
use towpath_model::time::Timestamp;

const EXECUTION: &str = "11111111-2222-4333-8444-555555555555";

const PIPELINE: &str = "
name: ferry
roleArn: arn:aws:iam::123456789012:role/ferry
artifactStore: {type: S3, location: ferry-artifacts}
stages:
  - name: Source
    actions:
      - {name: Fetch, actionTypeId: {category: Source, owner: AWS, provider: S3, version: 1}}
  - name: Build
    actions:
      - {name: Compile, actionTypeId: {category: Build, owner: AWS, provider: CodeBuild, version: 1}}
      - {name: A-rather-long-action-name, actionTypeId: {category: Build, owner: AWS, provider: CodeBuild, version: 1}}
  - name: Gate
    actions:
      - {name: Review, actionTypeId: {category: Approval, owner: AWS, provider: Manual, version: 1}}
  - name: Ship
    actions:
      - {name: Publish, actionTypeId: {category: Deploy, owner: AWS, provider: S3, version: 1}}
";

struct Scene {
    declaration: PipelineDeclaration,
    model: Model,
    now: i64,
}

impl Scene {
    fn new() -> Self {
        let declaration = PipelineFile::parse(Text::new("p.yaml", PIPELINE)).unwrap().declaration;
        let model = Model::new(&declaration, EXECUTION);
        Self { declaration, model, now: 0 }
    }

    fn at(mut self, seconds: i64) -> Self {
        self.now = seconds * 1000;
        self
    }

    fn add(mut self, event: HistoryEvent) -> Self {
        self.model.apply(&HistoryEntry {
            sequence: 1,
            time: Timestamp(self.now),
            pipeline: PipelineId::new("p"),
            scope: Scope::new("123456789012", "us-east-1"),
            pipeline_name: self.declaration.name.clone(),
            pipeline_version: 1,
            execution: ExecutionId::new(EXECUTION),
            attempt: 1,
            event,
        });
        self
    }

    fn execution(self, state: EventState) -> Self {
        self.add(HistoryEvent::Execution { state, summary: None })
    }

    fn stage(self, stage: &str, state: EventState) -> Self {
        self.add(HistoryEvent::Stage { stage: stage.into(), state })
    }

    fn action(self, stage: &str, action: &str, state: EventState, error: Option<&str>) -> Self {
        let declared = self.declaration.stage(stage).unwrap().action(action).unwrap().clone();
        self.add(HistoryEvent::Action {
            stage: stage.into(),
            action: action.into(),
            action_execution: format!("{stage}-{action}").into(),
            action_type: declared.action_type_id,
            region: "us-east-1".into(),
            state,
            progress: Progress::default(),
            error: error.map(|message| ErrorDetails::new("JobFailed", message)),
        })
    }

    fn log(mut self, stage: &str, action: &str, lines: usize) -> Self {
        for line in 1..=lines {
            self.model.log(stage, action, &format!("\u{1b}[32mline {line}\u{1b}[0m of {action}"));
        }
        self
    }

    fn building() -> Self {
        use EventState::{Started, Succeeded};
        Self::new()
            .execution(Started)
            .stage("Source", Started)
            .action("Source", "Fetch", Started, None)
            .at(1)
            .action("Source", "Fetch", Succeeded, None)
            .stage("Source", Succeeded)
            .stage("Build", Started)
            .action("Build", "Compile", Started, None)
            .action("Build", "A-rather-long-action-name", Started, None)
            .log("Build", "Compile", 9)
            .log("Build", "A-rather-long-action-name", 2)
            .at(75)
    }

    fn fitted(&self, width: usize, height: usize) -> String {
        let lines = tree::fitted(&self.model, Timestamp(self.now), 3, width, height);
        assert!(lines.len() <= height);
        style::paint(&lines, width, false).join("\n")
    }

    fn whole(&self) -> String {
        style::paint(&tree::whole(&self.model, Timestamp(self.now), 0), 100, false).join("\n")
    }
}

#[test]
fn before_anything_happened() {
    insta::assert_snapshot!(Scene::new().fitted(80, 30));
}

#[test]
fn builds_run_with_their_logs() {
    insta::assert_snapshot!(Scene::building().fitted(80, 30));
}

#[test]
fn a_low_terminal_shows_less_and_a_narrow_one_cuts() {
    let scene = Scene::building();
    insta::assert_snapshot!("low", scene.fitted(80, 14));
    insta::assert_snapshot!("lower", scene.fitted(80, 9));
    insta::assert_snapshot!("lowest", scene.fitted(80, 4));
    insta::assert_snapshot!("narrow", scene.fitted(24, 30));
    for height in 1..30 {
        scene.fitted(40, height);
    }
}

#[test]
fn a_failure_keeps_its_log_and_reason() {
    use EventState::{Failed, Succeeded};
    let reason = "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error \
                  while executing command: make. Reason: exit status 2";
    let scene = Scene::building()
        .action("Build", "Compile", Failed, Some(reason))
        .at(80)
        .action("Build", "A-rather-long-action-name", Succeeded, None)
        .stage("Build", Failed)
        .execution(Failed);
    insta::assert_snapshot!(scene.whole());
}

#[test]
fn waiting_approving_and_stopping() {
    use EventState::{Abandoned, Started, Stopped, Stopping, Succeeded};
    let built = Scene::building()
        .action("Build", "Compile", Succeeded, None)
        .action("Build", "A-rather-long-action-name", Succeeded, None)
        .stage("Build", Succeeded);
    let waiting = built.add(HistoryEvent::Waiting { stage: "Gate".into() });
    insta::assert_snapshot!("waiting", waiting.fitted(80, 30));
    let gate = waiting.stage("Gate", Started).action("Gate", "Review", Started, None).at(4000);
    insta::assert_snapshot!("gate", gate.fitted(80, 30));
    let stopped =
        gate.execution(Stopping).action("Gate", "Review", Abandoned, None).stage("Gate", Stopped).execution(Stopped);
    insta::assert_snapshot!("stopped", stopped.whole());
}

#[test]
fn a_retry_starts_the_action_anew() {
    use EventState::{Failed, Resumed, Started};
    let scene = Scene::building()
        .action("Build", "Compile", Failed, Some("no"))
        .stage("Build", Failed)
        .execution(Failed)
        .at(100)
        .execution(Resumed)
        .stage("Build", Resumed)
        .action("Build", "Compile", Started, None)
        .at(103);
    insta::assert_snapshot!(scene.fitted(80, 30));
}

#[test]
fn redacted_output_keeps_its_columns() {
    let mut scene = Scene::building();
    let open = scene.whole();
    scene.model.redacted = true;
    let redacted = scene.whole();
    let widths = |text: &str| text.lines().map(|l| l.chars().count()).collect::<Vec<_>>();
    assert_eq!(widths(&open), widths(&redacted));
    assert!(open.contains("1m14s") && !redacted.contains("1m14s"), "{redacted}");
    assert!(!redacted.contains(EXECUTION), "{redacted}");
}
