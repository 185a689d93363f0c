//! Rules on actions against the entry of their type: the type itself, artifact counts, configuration, secrets.

use towpath_engine::ViolationCode::InvalidActionDeclaration;
use towpath_engine::validation::spell;
use towpath_engine::{merge_masked, validate};
use towpath_model::catalogue::{Category, Owner};
use towpath_model::declaration::EnvironmentVariable;

use crate::declare::{Action, Pipeline, action, approval, codebuild, pipeline, source, work};
use crate::types::types;
use crate::validation_structure::{breaks, violations, with_action};

const ACTION: &str = "pipeline.stages.2.member.actions.1.member";

fn refused(action: Action, at: &str, message: &str) -> Option<String> {
    breaks(with_action(action), &format!("{ACTION}.{at}"), InvalidActionDeclaration, message)
}

#[test]
fn an_unknown_action_type() {
    let table = [
        (
            action("Dep", Category::Deploy, Owner::Aws, "CodeBuild"),
            "ActionType (Category: 'Deploy', Provider: 'CodeBuild', Owner: 'AWS', Version: '1') in action 'Dep' is not available \
             in region 'EU_WEST_1'",
            "CodeBuild exists as Build/AWS/CodeBuild/1",
        ),
        (
            action("B", Category::Build, Owner::Aws, "CodeBiuld"),
            "ActionType (Category: 'Build', Provider: 'CodeBiuld', Owner: 'AWS', Version: '1') in action 'B' is not available \
             in region 'EU_WEST_1'",
            "Did you mean 'CodeBuild'?",
        ),
        (
            action("B", Category::Build, Owner::Custom, "Jenkins"),
            "ActionType (Category: 'Build', Provider: 'Jenkins', Owner: 'Custom', Version: '1') in action 'B' is not available \
             in region 'EU_WEST_1'",
            "The providers of category Build are: CodeBuild.",
        ),
    ];
    for (action, message, expected) in table {
        let hint = refused(action, "actionTypeId", message).unwrap();
        assert!(hint.contains(expected), "{hint}");
    }
}

#[test]
fn artifact_counts() {
    refused(
        codebuild("B"),
        "inputArtifacts",
        "Action B declares 0 input artifacts which is less than the minimum count (1)",
    );
    refused(
        approval("Ok").input("SOut"),
        "inputArtifacts",
        "Action Ok declares 1 input artifacts which is more than the maximum count (0)",
    );
    refused(
        approval("Ok").output("O"),
        "outputArtifacts",
        "Action Ok declares 1 output artifacts which is more than the maximum count (0)",
    );
    breaks(
        pipeline("p").stage("Source", [source("S").without_outputs()]).stage("Work", [work("A")]),
        "pipeline.stages.1.member.actions.1.member.outputArtifacts",
        InvalidActionDeclaration,
        "Action S declares 0 output artifacts which is less than the minimum count (1)",
    );
}

#[test]
fn configuration_keys() {
    let built = || codebuild("B").input("SOut");
    let hint = refused(
        built().without("ProjectName"),
        "configuration",
        "Action configuration for action 'B' is missing required configuration 'ProjectName'",
    );
    assert_eq!(hint.as_deref(), Some("The project that builds."));
    let hint = refused(
        built().config("PrimarySoruce", "SOut"),
        "configuration.PrimarySoruce",
        "Action configuration for action 'B' contains unknown configuration 'PrimarySoruce'",
    );
    assert_eq!(hint.as_deref(), Some("Did you mean 'PrimarySource'?"));
    let hint = refused(
        work("A").config("Bananas", "1"),
        "configuration.Bananas",
        "Action configuration for action 'A' contains unknown configuration 'Bananas'",
    );
    assert_eq!(hint.as_deref(), Some("Rehearsal knows: Text, Other, Kind, Count, Project, Password."));
    let both = violations(&with_action(built().without("ProjectName").config("projectName", "x")));
    assert_eq!(both[0].hint.as_deref(), Some("Is 'projectName' meant to be 'ProjectName'?"));
    assert_eq!(both[1].hint.as_deref(), Some("Did you mean 'ProjectName'?"));
    let hint = refused(
        built().config("BatchEnabled", "true"),
        "configuration.BatchEnabled",
        "BatchEnabled: batch builds are not in this version of Towpath yet",
    );
    assert_eq!(hint.as_deref(), Some("Remove 'BatchEnabled' from action 'B'."));
}

#[test]
fn configuration_values() {
    let table = [
        (work("A").config("Kind", "huge"), "Kind", "it must be one of small, large"),
        (work("A").config("Count", "10"), "Count", "it must be a whole number from 1 to 9"),
        (approval("A").config("IsSummaryRequired", "yes"), "IsSummaryRequired", "it must be true or false"),
    ];
    for (action, key, expected) in table {
        refused(
            action,
            &format!("configuration.{key}"),
            &format!("Action configuration for action 'A' has an invalid value for configuration '{key}': {expected}"),
        );
    }
    let topic = |arn: &str| approval("A").config("NotificationArn", arn);
    for wrong in ["t", "arn:aws:sns:eu-west-1:1:t", "arn:aws:sns::123456789012:t", "arn:aws::eu-west-1:123456789012:t"]
    {
        let format = format!(
            "The ARN {wrong} you specified for sending notifications for the approval action A contains a format error."
        );
        refused(topic(wrong), "configuration.NotificationArn", &format);
    }
    for (wrong, why) in [
        ("arn:aws:sns:eu-north-1:123456789012:t", "the ARN is not in the same region as the pipeline."),
        (
            "arn:aws:sqs:eu-west-1:123456789012:t",
            "the AWS service for this ARN cannot be used to send approval requests.",
        ),
    ] {
        let message = format!(
            "The ARN {wrong} has been specified for sending notifications for the approval action A, but {why}"
        );
        refused(topic(wrong), "configuration.NotificationArn", &message);
    }
    for right in
        ["arn:aws:sns:eu-west-1:123456789012:t", "arn:aws-cn:sns:eu-west-1:123456789012:t.fifo", "#{Src.Topic}"]
    {
        assert_eq!(violations(&with_action(topic(right))), [], "{right}");
    }
    let json = violations(&with_action(codebuild("B").input("SOut").config("EnvironmentVariables", "[{")));
    assert!(json[0].message.contains("'EnvironmentVariables': it must be JSON ("), "{}", json[0].message);
    // What a reference stands for is only known later.
    assert_eq!(violations(&with_action(work("A").config("Kind", "#{Src.Kind}").config("Count", "#{Src.Count}"))), []);
    let queryable = "Action configuration for action 'A' has an invalid value for the queryable configuration 'Project': it must \
                     have at most 20 characters of [a-zA-Z0-9_-]";
    refused(work("A").config("Project", "has space"), "configuration.Project", queryable);
    refused(work("A").config("Project", &"x".repeat(21)), "configuration.Project", queryable);
}

#[test]
fn only_some_types_may_set_a_timeout() {
    let hint = refused(
        work("A").with(|a| a.timeout_in_minutes = Some(5)),
        "timeoutInMinutes",
        "The timeoutInMinutes of action 'A' cannot be set for the action type Rehearsal.",
    );
    assert_eq!(hint.as_deref(), Some("Only manual approval actions may set it."));
}

#[test]
fn fields_of_the_commands_action() {
    let commands = || action("C", Category::Compute, Owner::Aws, "Commands").input("SOut");
    for empty in [None, Some(Vec::new())] {
        refused(commands().with(|a| a.commands = empty), "commands", "Action C must have a non-empty commands field");
    }
    let one = || Some(vec!["make".to_owned()]);
    let files = commands().output("O").with(|a| {
        a.commands = one();
        a.output_variables = one();
        a.output_artifacts[0].files = one();
    });
    assert_eq!(violations(&with_action(files)), []);
    let misplaced =
        |field: &str| format!("Action A uses the field {field}, which is only valid for the Commands action");
    refused(work("A").with(|a| a.commands = one()), "commands", &misplaced("commands"));
    refused(work("A").with(|a| a.output_variables = one()), "outputVariables", &misplaced("outputVariables"));
    refused(
        work("A").output("O").with(|a| a.output_artifacts[0].files = one()),
        "outputArtifacts.1.member.files",
        &misplaced("outputArtifacts.files"),
    );
    let variable = EnvironmentVariable { name: "A".to_owned(), value: "b".to_owned(), kind: None };
    let hint = refused(
        codebuild("A").input("SOut").with(|a| a.environment_variables = Some(vec![variable])),
        "environmentVariables",
        &misplaced("environmentVariables"),
    );
    assert!(hint.unwrap().contains("configuration key EnvironmentVariables"));
}

/// A pipeline whose action in stage `stage` holds this password and this text.
fn with_secret(stage: &str, password: &str, text: &str) -> Pipeline {
    let action = work("A").config("Password", password).config("Text", text);
    pipeline("p").stage("Source", [source("S")]).stage(stage, [action])
}

#[test]
fn a_mask_keeps_the_stored_secret_only_where_nothing_else_changed() {
    let old = with_secret("Work", "hunter2", "t");
    let kept = |new: &Pipeline| {
        let merged = merge_masked(&new.0, &old.0, &types());
        merged.stages[1].actions[0].config("Password").unwrap().to_owned()
    };
    let update = |new: &Pipeline| validate(&new.0, "eu-west-1", &types(), Some(&old.0));
    for mask in ["****", "*****"] {
        let same = with_secret("Work", mask, "t");
        assert_eq!(kept(&same), "hunter2");
        assert_eq!(update(&same), []);
    }
    assert_eq!(kept(&with_secret("Work", "new", "t")), "new");
    assert_eq!(update(&with_secret("Work", "new", "u")), []);

    let changed = with_secret("Work", "****", "u");
    assert_eq!(kept(&changed), "****");
    let found = update(&changed);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.ends_with("keeps the stored value only while nothing else in the action changes."));

    for renamed in [
        with_secret("Other", "****", "t"),
        with_secret("Work", "****", "t").with(|p| p.stages[1].actions[0].name = "B".into()),
    ] {
        let name = renamed.0.stages[1].actions[0].name.clone();
        assert_eq!(kept(&renamed), "****");
        let found = update(&renamed);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            format!(
                "Action configuration for the new action \"{name}\" contains an invalid configuration for the secret property \
                 \"Password\". \"****\" may be used in secret properties only when updating an existing action."
            )
        );
        assert_eq!(spell(&found[0].path), format!("{ACTION}.configuration.Password"));
    }
}

#[test]
fn a_mask_in_a_new_pipeline_is_refused() {
    refused(
        work("A").config("Password", "****"),
        "configuration.Password",
        "Action configuration for the new action \"A\" contains an invalid configuration for the secret property \"Password\". \
         \"****\" may be used in secret properties only when updating an existing action.",
    );
    // Elsewhere four asterisks are a value like any other.
    assert_eq!(violations(&with_action(work("A").config("Text", "****"))), []);
}
