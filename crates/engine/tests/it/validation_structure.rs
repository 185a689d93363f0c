//! Rules on the pipeline as a whole, its stages, its stores and the flow of artifacts and variables through it.

use std::collections::BTreeMap;

use towpath_engine::ViolationCode::{
    self, InvalidActionDeclaration, InvalidBlockerDeclaration, InvalidStageDeclaration, InvalidStructure,
    LimitExceeded, Validation,
};
use towpath_engine::validation::spell;
use towpath_engine::{Violation, validate};
use towpath_model::declaration::{
    Blocker, Condition, Conditions, ExecutionMode, FailureConditions, RuleDeclaration, RuleTypeId, StageDeclaration,
};

use crate::declare::{Action, Pipeline, approval, codebuild, pipeline, source, store, three_stages, work};
use crate::types::types;

pub fn violations(pipeline: &Pipeline) -> Vec<Violation> {
    validate(&pipeline.0, "eu-west-1", &types(), None)
}

/// One row of a table: the pipeline breaks exactly this rule.
#[expect(clippy::needless_pass_by_value, reason = "a test hands over the pipeline it has just built")]
pub fn breaks(pipeline: Pipeline, path: &str, code: ViolationCode, message: &str) -> Option<String> {
    let found = violations(&pipeline);
    assert_eq!(found.len(), 1, "expected one violation at {path}, found {found:#?}");
    let violation = &found[0];
    assert_eq!((spell(&violation.path).as_str(), violation.code, violation.message.as_str()), (path, code, message));
    violation.hint.clone()
}

/// The rest of the pipeline is right.
pub fn with_action(action: Action) -> Pipeline {
    pipeline("p").stage("Source", [source("S").namespace("Src")]).stage("Work", [action])
}

#[test]
fn what_is_right_breaks_nothing() {
    assert_eq!(violations(&three_stages()), []);
    let whole = pipeline("demo.app@home-1_x")
        .stage("Source", [source("S").namespace("Src"), source("T").order(999)])
        .stage(
            "Build",
            [
                codebuild("B")
                    .input("SOut")
                    .input("TOut")
                    .output("Bin")
                    .namespace("Bld")
                    .config("PrimarySource", "SOut"),
                work("Same").order(2).input("Bin").config("Text", "#{Bld.Rev} #{Src.VersionId} #{variables.Target}"),
            ],
        )
        .stage("Gate", [approval("Ok").with(|a| a.timeout_in_minutes = Some(5))])
        .variable("Target", None)
        .mode(ExecutionMode::Queued);
    assert_eq!(violations(&whole), []);
}

#[test]
fn one_stage_and_a_misplaced_action_are_both_told() {
    let found = violations(&pipeline("p").stage("Source", [source("S"), work("W")]));
    let messages: Vec<_> = found.iter().map(|violation| violation.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline",
            "Pipeline should start with a stage that only contains source actions"
        ]
    );
}

#[test]
fn too_many_stages() {
    let many =
        (0..50).fold(pipeline("p").stage("Source", [source("S")]), |p, i| p.stage(&format!("S{i}"), [work("W")]));
    let hint = breaks(
        many,
        "pipeline.stages",
        InvalidStructure,
        "Pipeline has too many stages. There can only be up to 50 stages in a pipeline",
    );
    assert!(hint.unwrap().contains("51"));
}

#[test]
fn where_sources_stand() {
    let starts = "Pipeline should start with a stage that only contains source actions";
    breaks(
        pipeline("p").stage("Source", [source("S"), work("W")]).stage("Work", [work("A")]),
        "pipeline.stages.1.member.actions.2.member",
        InvalidStructure,
        starts,
    );
    breaks(
        pipeline("p").stage("Source", []).stage("Work", [work("A")]),
        "pipeline.stages.1.member.actions",
        InvalidStructure,
        starts,
    );
    breaks(
        pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A"), source("T")]),
        "pipeline.stages.2.member.actions.2.member",
        InvalidStructure,
        "Source actions can only be included in the first stage of the pipeline",
    );
    let only = violations(&pipeline("p").stage("Source", [source("S")]).stage("Work", [source("T")]));
    assert!(only.iter().any(|v| v.message == "Pipeline should contain at least 1 action whose category is not Source"));
}

#[test]
fn names_are_unique() {
    breaks(
        pipeline("p").stage("Source", [source("S")]).stage("X", [work("A")]).stage("X", [work("A")]),
        "pipeline.stages.3.member.name",
        InvalidStageDeclaration,
        "Stage name 'X' is used more than once",
    );
    breaks(
        pipeline("p").stage("Source", [source("S")]).stage("X", [work("A"), work("A")]),
        "pipeline.stages.2.member.actions.2.member.name",
        InvalidActionDeclaration,
        "Action name 'A' is used more than once in stage 'X'",
    );
}

#[test]
fn how_many_actions() {
    breaks(
        three_stages().stage("Empty", []),
        "pipeline.stages.4.member.actions",
        InvalidStageDeclaration,
        "Stage 'Empty' should contain at least 1 action",
    );
    let crowd = |count: usize| {
        move |p: &mut towpath_model::declaration::PipelineDeclaration| {
            p.stages[1].actions = (0..count).map(|i| work(&format!("A{i}")).0).collect();
        }
    };
    assert_eq!(violations(&three_stages().with(crowd(100))), []);
    breaks(
        three_stages().with(crowd(101)),
        "pipeline.stages.2.member.actions",
        InvalidStageDeclaration,
        "Stage 'Build' has too many actions. There can only be up to 100 actions in a stage",
    );
    let mut huge = three_stages();
    for i in 0..11 {
        huge = huge.stage(&format!("Crowd{i}"), [work("A")]);
        huge.0.stages.last_mut().unwrap().actions = (0..100).map(|a| work(&format!("A{a}")).0).collect();
    }
    breaks(
        huge,
        "pipeline.stages",
        LimitExceeded,
        "Pipeline has too many actions. There can only be up to 1000 actions in a pipeline",
    );
}

#[test]
fn what_v1_may_not_have() {
    breaks(
        three_stages().v1().variable("A", None),
        "pipeline.variables",
        InvalidStructure,
        "Pipeline variable can only be used with V2 pipelines",
    );
    for mode in [ExecutionMode::Queued, ExecutionMode::Parallel] {
        breaks(
            three_stages().v1().mode(mode),
            "pipeline.executionMode",
            InvalidStructure,
            "QUEUED or PARALLEL mode can only be used with V2 pipelines",
        );
    }
    assert_eq!(violations(&three_stages().v1().mode(ExecutionMode::Superseded)), []);
    let commands = crate::declare::action(
        "C",
        towpath_model::catalogue::Category::Compute,
        towpath_model::catalogue::Owner::Aws,
        "Commands",
    );
    let commands = commands.input("SOut").with(|a| a.commands = Some(vec!["make".to_owned()]));
    assert_eq!(violations(&with_action(commands.clone())), []);
    breaks(
        with_action(commands).v1(),
        "pipeline.stages.2.member.actions.1.member.actionTypeId",
        InvalidActionDeclaration,
        "Commands Action can only be used with V2 pipelines.",
    );
}

#[test]
fn variables_are_unique() {
    breaks(
        three_stages().variable("A", None).variable("B", None).variable("A", Some("x")),
        "pipeline.variables.3.member.name",
        InvalidStructure,
        "Variable names must be unique. The following variable name is already in use: A",
    );
}

fn trigger(action: &str) -> serde_json::Value {
    serde_json::json!({
        "providerType": "CodeStarSourceConnection",
        "gitConfiguration": {"sourceActionName": action, "push": [{"branches": {"includes": ["main"]}}]}
    })
}

#[test]
fn triggers_are_checked_and_refused_by_name() {
    let not_yet = "Triggers are not in this version of Towpath yet.";
    let connection = crate::declare::action(
        "Git",
        towpath_model::catalogue::Category::Source,
        towpath_model::catalogue::Owner::Aws,
        "CodeStarSourceConnection",
    );
    let connection = connection.config("ConnectionArn", "arn").output("Tree");
    let base = || pipeline("p").stage("Source", [connection.clone(), source("S")]).stage("Work", [work("A")]);
    breaks(base().with(|p| p.triggers = Some(vec![trigger("Git")])), "pipeline.triggers", InvalidStructure, not_yet);
    assert_eq!(violations(&base().with(|p| p.triggers = Some(Vec::new()))), []);
    for triggers in [vec![trigger("S")], vec![trigger("Git"), trigger("Git")], vec![serde_json::json!({})]] {
        let last = triggers.len();
        let found = violations(&base().with(|p| p.triggers = Some(triggers)));
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(
            found[0].message.starts_with("Triggers for connections must reference a CodeStarSourceConnection action.")
        );
        let path = format!("pipeline.triggers.{last}.member.gitConfiguration.sourceActionName");
        assert_eq!(spell(&found[0].path), path);
        assert_eq!(found[1].message, not_yet);
    }
    let v1 = violations(&base().v1().with(|p| p.triggers = Some(vec![trigger("Git")])));
    assert_eq!(v1[0].message, "Triggers on tag can only be used with V2 pipelines");
}

fn condition(result: &str, provider: &str) -> Condition {
    Condition {
        result: Some(result.to_owned()),
        rules: Some(vec![RuleDeclaration {
            name: "Rule".to_owned(),
            rule_type_id: RuleTypeId {
                category: "Rule".to_owned(),
                owner: Some("AWS".to_owned()),
                provider: provider.to_owned(),
                version: Some("1".to_owned()),
            },
            configuration: None,
            commands: None,
            input_artifacts: None,
            role_arn: None,
            region: None,
            timeout_in_minutes: None,
        }]),
    }
}

fn on_failure(result: Option<&str>, conditions: Option<Vec<Condition>>) -> FailureConditions {
    FailureConditions { result: result.map(str::to_owned), retry_configuration: None, conditions }
}

/// The messages about a stage's gates.
fn gate_messages(pipeline: Pipeline, stage: usize, change: impl FnOnce(&mut StageDeclaration)) -> Vec<String> {
    let pipeline = pipeline.with(|p| change(&mut p.stages[stage]));
    let found = violations(&pipeline);
    assert!(found.iter().all(|v| v.code == InvalidStageDeclaration), "{found:#?}");
    found.into_iter().map(|violation| violation.message).collect()
}

#[test]
fn what_a_gate_may_declare() {
    let none: [String; 0] = [];
    let gate = |condition| Some(Conditions { conditions: vec![condition] });
    assert_eq!(
        gate_messages(three_stages(), 1, |s| s.before_entry = gate(condition("FAIL", "DeploymentWindow"))),
        none
    );
    assert_eq!(gate_messages(three_stages(), 1, |s| s.on_failure = Some(on_failure(Some("RETRY"), None))), none);
    assert_eq!(
        gate_messages(three_stages().v1(), 1, |s| s.on_failure = Some(on_failure(Some("RETRY"), None))),
        ["Stage level conditions can only be used with V2 pipelines."]
    );
    assert_eq!(
        gate_messages(three_stages(), 1, |s| s.before_entry = gate(condition("ROLLBACK", "VariableCheck"))),
        ["The result ROLLBACK cannot be used in beforeEntry. Use FAIL or SKIP."]
    );
    assert_eq!(
        gate_messages(three_stages(), 1, |s| s.on_success = gate(condition("SKIP", "VariableCheck"))),
        ["The result SKIP cannot be used in onSuccess. Use ROLLBACK or FAIL."]
    );
    assert_eq!(
        gate_messages(three_stages(), 1, |s| s.before_entry = gate(condition("SKIP", "CloudWatchAlarm"))),
        ["The rule CloudWatchAlarm cannot be used with the result SKIP. Use LambdaInvoke or VariableCheck."]
    );
    assert_eq!(
        gate_messages(three_stages(), 1, |s| {
            s.on_failure = Some(on_failure(Some("RETRY"), Some(vec![condition("ROLLBACK", "LambdaInvoke")])));
        }),
        [
            "The following stage cannot have a failure exit gate configured with both top level result and conditions: 'Build"
        ]
    );
    assert_eq!(
        gate_messages(three_stages().mode(ExecutionMode::Parallel), 1, |s| {
            s.on_failure = Some(on_failure(Some("ROLLBACK"), None));
        }),
        ["Failure conditions with rollback result type cannot be added to a PARALLEL pipeline."]
    );
    assert_eq!(
        gate_messages(three_stages(), 0, |s| s.on_failure = Some(on_failure(Some("ROLLBACK"), None))),
        ["The source stage 'Source' cannot be rolled back."]
    );
}

#[test]
fn blockers_are_refused() {
    let blocker = Blocker { name: "Night".to_owned(), kind: "Schedule".to_owned() };
    breaks(
        three_stages().with(|p| p.stages[1].blockers = Some(vec![blocker])),
        "pipeline.stages.2.member.blockers",
        InvalidBlockerDeclaration,
        "Blockers are reserved by AWS and not in this version of Towpath.",
    );
}

#[test]
fn stores() {
    let both = |p: &mut towpath_model::declaration::PipelineDeclaration| {
        p.artifact_stores = Some(BTreeMap::from([("eu-west-1".to_owned(), store("near"))]));
    };
    breaks(
        three_stages().with(both),
        "pipeline.artifactStores",
        InvalidStructure,
        "Pipeline should have either 'pipeline.artifactStore' or 'pipeline.artifactStores', but not both",
    );
    breaks(
        three_stages().with(|p| p.artifact_store = None),
        "pipeline",
        InvalidStructure,
        "Pipeline should have either 'pipeline.artifactStore' or 'pipeline.artifactStores'",
    );
    let far = || with_action(codebuild("B").input("SOut").region("us-east-1"));
    breaks(
        far(),
        "pipeline.artifactStore",
        Validation,
        "Your pipeline contains actions in more than one region. Use 'pipeline.artifactStores' instead of \
         'pipeline.artifactStore' to declare an artifact store, such as an artifact bucket, for each region where you have an \
         action.",
    );
    assert_eq!(violations(&with_action(codebuild("B").input("SOut").region("eu-west-1"))), []);
    let only = |regions: &[&str]| {
        let stores = regions.iter().map(|region| ((*region).to_owned(), store("bucket"))).collect();
        far().with(|p| {
            p.artifact_store = None;
            p.artifact_stores = Some(stores);
        })
    };
    assert_eq!(violations(&only(&["eu-west-1", "us-east-1"])), []);
    for (has, lacks) in [("eu-west-1", "us-east-1"), ("us-east-1", "eu-west-1")] {
        breaks(
            only(&[has]),
            "pipeline.artifactStores",
            Validation,
            &format!(
                "Your pipeline must have an artifact store, such as an artifact bucket, for each region where you have an \
                 action. The following region is missing in 'pipeline.artifactStores': {lacks}."
            ),
        );
    }
    breaks(
        only(&["eu-west-1", "us-east-1", "the-moon"]),
        "pipeline.artifactStores.the-moon",
        Validation,
        "The region the-moon specified in 'pipeline.artifactStores' is not a valid AWS Region.",
    );
}

#[test]
fn sources_and_custom_actions_stay_in_the_region_of_the_pipeline() {
    let stores = BTreeMap::from([("eu-west-1".to_owned(), store("near")), ("us-east-1".to_owned(), store("far"))]);
    let with_stores = |pipeline: Pipeline| {
        pipeline.with(|p| {
            p.artifact_store = None;
            p.artifact_stores = Some(stores.clone());
        })
    };
    for (pipeline, path, action) in [
        (
            pipeline("p").stage("Source", [source("S").region("us-east-1")]).stage("Work", [work("A")]),
            "pipeline.stages.1.member.actions.1.member.region",
            "S",
        ),
        (with_action(work("A").region("us-east-1")), "pipeline.stages.2.member.actions.1.member.region", "A"),
    ] {
        breaks(
            with_stores(pipeline),
            path,
            InvalidActionDeclaration,
            &format!(
                "Action '{action}' must be in the region of the pipeline (eu-west-1). Source, custom and third-party actions \
                 cannot be cross-region actions."
            ),
        );
    }
}

#[test]
fn artifacts_have_one_producer_that_runs_before() {
    let hint = breaks(
        pipeline("p")
            .stage("Source", [source("S"), source("T").without_outputs().output("SOut")])
            .stage("Work", [work("A")]),
        "pipeline.stages.1.member.actions.2.member.outputArtifacts.1.member.name",
        InvalidActionDeclaration,
        "Output Artifact Bundle name must be unique within the pipeline. SOut has been used more than once.",
    );
    assert!(hint.is_some());
    let undeclared = |artifact: &str, action: &str| {
        format!(
            "Input Artifact Bundle {artifact} in action {action} is not declared as Output Artifact Bundle in any of the \
             preceding actions"
        )
    };
    let path = "pipeline.stages.2.member.actions.1.member.inputArtifacts.1.member.name";
    let table = [
        (with_action(work("A").input("SOot")), "SOot", "Did you mean 'SOut'?"),
        (with_action(work("A").input("Own").output("Own")), "Own", "output of this very action"),
        (
            pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A").input("X"), work("B").output("X")]),
            "X",
            "give 'A' a higher runOrder",
        ),
        (
            pipeline("p")
                .stage("Source", [source("S")])
                .stage("Work", [work("A").input("X")])
                .stage("Later", [work("B").output("X")]),
            "X",
            "action 'B', which runs later",
        ),
    ];
    for (pipeline, artifact, expected) in table {
        let hint = breaks(pipeline, path, InvalidActionDeclaration, &undeclared(artifact, "A")).unwrap();
        assert!(hint.contains(expected), "{hint}");
    }
    let ordered = pipeline("p")
        .stage("Source", [source("S")])
        .stage("Work", [work("A").order(3).input("X"), work("B").output("X")]);
    assert_eq!(violations(&ordered), []);
}

#[test]
fn namespaces() {
    let path = "pipeline.stages.2.member.actions.1.member.namespace";
    breaks(
        with_action(work("A").namespace("Src")),
        path,
        InvalidActionDeclaration,
        "Namespaces must be unique across the pipeline definition. The following occur more than once in the pipeline. \
         StageName=[Work], ActionName=[A], Namespace=[Src]",
    );
    breaks(
        with_action(work("A").namespace("codepipeline")),
        path,
        InvalidStructure,
        "The namespace 'codepipeline' of action 'A' is reserved",
    );
    assert_eq!(violations(&with_action(work("A").namespace("variables"))), []);
    breaks(
        with_action(work("A").namespace("variables")).variable("V", None),
        path,
        InvalidStructure,
        "The namespace 'variables' of action 'A' is reserved",
    );
    breaks(
        with_action(work("A").namespace("SOut")),
        path,
        InvalidActionDeclaration,
        "The namespace 'SOut' of action 'A' is also the name of an artifact",
    );
}

#[test]
fn references() {
    let format =
        "Valid format for a pipeline execution variable reference is a namespace and a key separated by a period (.).";
    let path = "pipeline.stages.2.member.actions.1.member.configuration.Text";
    let tail = |reference: &str| {
        let inner = reference.trim_start_matches("#{").trim_end_matches('}');
        format!("\nStageName=[Work], ActionName=[A], ActionConfigurationKey=[Text], VariableReferenceText=[{inner}]")
    };
    let using = |text: &str| with_action(work("A").namespace("Own").config("Text", text)).variable("Target", None);
    for fine in ["#{Src.X}", "#{codepipeline.PipelineExecutionId}", "#{variables.Target}", "#{Src.a}#{Src.b}", "#{open"]
    {
        assert_eq!(violations(&using(fine)), [], "{fine}");
    }
    let table = [
        (
            "#{Target}",
            InvalidActionDeclaration,
            format!("{format} The following pipeline execution variables do not have that format."),
            "Write #{namespace.key}.",
        ),
        (
            "#{Scr.X}",
            InvalidActionDeclaration,
            format!("{format} The following pipeline execution variables are referencing a namespace that does not exist."),
            "Did you mean 'Src'?",
        ),
        (
            "#{variables.Targte}",
            InvalidStructure,
            "The referenced variables haven't been declared.".to_owned(),
            "Did you mean 'Target'?",
        ),
        (
            "#{Own.X}",
            InvalidActionDeclaration,
            "The following pipeline execution variables are referencing a namespace whose action is not guaranteed to run \
             before the action."
                .to_owned(),
            "lower runOrder",
        ),
    ];
    for (text, code, message, expected) in table {
        let hint = breaks(using(text), path, code, &format!("{message}{}", tail(text))).unwrap();
        assert!(hint.contains(expected), "{hint}");
    }
    breaks(
        pipeline("p")
            .stage("Source", [source("S").config("S3ObjectKey", "#{variables.Target}")])
            .stage("Work", [work("A")])
            .variable("Target", None),
        "pipeline.stages.1.member.actions.1.member.configuration.S3ObjectKey",
        InvalidStructure,
        "Variables at the pipeline level cannot be used in source actions.\nStageName=[Source], ActionName=[S], \
         ActionConfigurationKey=[S3ObjectKey], VariableReferenceText=[variables.Target]",
    );
}

#[test]
fn everything_is_told_at_once() {
    let found = violations(
        &pipeline("bad name")
            .stage("Source", [source("S").without("S3Bucket")])
            .stage("Source", [work("A").input("Nothing").config("Text", "#{No.where}").config("Txet", "x")])
            .with(|p| p.role_arn = "me".to_owned()),
    );
    let codes: Vec<_> = found.iter().map(|violation| violation.code).collect();
    assert_eq!(
        codes,
        [
            Validation,
            Validation,
            InvalidStageDeclaration,
            InvalidActionDeclaration,
            InvalidActionDeclaration,
            InvalidActionDeclaration,
            InvalidActionDeclaration
        ],
        "{found:#?}"
    );
}
