//! Deploy / CloudFormationStackSet and CloudFormationStackInstances: which operations are asked for, and what comes of them.

use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::cloudformation::bundle_with;
use crate::cloudformation_peer::{CloudsPeer, Form, list, pairs};
use crate::conformance::CONFIGURED_SECRET;
use crate::stage::{Stage, artifact, failure, invocation, pending, success};

const ID: &str = "22222222-2222-4222-8222-222222222222";
const TEMPLATE: &str = r#"{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}"#;
/// Of which the set of `with_set` has all instances.
pub const TARGETS: [(&str, &str); 2] =
    [("DeploymentTargets", "111122223333,444455556666"), ("Regions", "eu-west-1, eu-north-1")];

fn action(provider: &str, more: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Deploy, Owner::Aws, provider, &[("StackSetName", "fleet")]);
    action.configuration.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

/// The action on the set `fleet`.
pub fn set(more: &[(&str, &str)]) -> ActionInvocation {
    let parameters = format!("ParameterKey=Token,ParameterValue={CONFIGURED_SECRET}");
    let own = [("TemplatePath", "bundle::fleet.json"), ("Parameters", parameters.as_str())];
    action("CloudFormationStackSet", &[&own, more].concat())
}

/// One more account of the set `fleet`.
pub fn instances() -> ActionInvocation {
    let parameters = format!("ParameterKey=Token,ParameterValue={CONFIGURED_SECRET}");
    let own =
        [("DeploymentTargets", "777788889999"), ("Regions", "eu-west-1"), ("ParameterOverrides", parameters.as_str())];
    action("CloudFormationStackInstances", &own)
}

fn bundle(stage: &Stage) {
    bundle_with(
        stage,
        &[
            ("fleet.json", TEMPLATE),
            ("targets.json", r#"["111122223333", "444455556666"]"#),
            (
                "parameters.json",
                r#"[{"ParameterKey": "Env", "ParameterValue": "prod"}, {"ParameterKey": "Size", "UsePreviousValue": true}]"#,
            ),
            ("text.json", r#""111122223333""#),
            ("large.json", &format!("{TEMPLATE}{}", " ".repeat(460_800))),
        ],
    );
}

/// The set `fleet`, with four instances.
pub fn with_set(stage: &Stage) {
    peer_with_set(stage, "SELF_MANAGED");
}

fn peer_with_set(stage: &Stage, model: &str) -> CloudsPeer {
    bundle(stage);
    let peer = CloudsPeer::new(stage);
    let instances = [
        ("111122223333", "eu-west-1"),
        ("111122223333", "eu-north-1"),
        ("444455556666", "eu-west-1"),
        ("444455556666", "eu-north-1"),
    ];
    peer.clouds().sets.add("fleet", model, &instances);
    peer
}

fn begun(peer: &CloudsPeer) -> Vec<String> {
    peer.clouds().sets.begun.iter().map(|(what, _)| what.clone()).collect()
}

fn last(peer: &CloudsPeer) -> Form {
    peer.clouds().sets.begun.last().unwrap().1.clone()
}

#[tokio::test]
async fn an_absent_set_is_created_without_instances() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let more = [
        ("Description", "the fleet"),
        ("Capabilities", "CAPABILITY_IAM"),
        ("OrganizationsAutoDeployment", "EnabledWithStackRetention"),
        ("PermissionModel", "SERVICE_MANAGED"),
        ("CallAs", "DELEGATED_ADMIN"),
    ];
    let (progress, variables, _) = success(stage.start(&set(&more)).await);
    assert_eq!(progress.summary.as_deref(), Some("StackSet fleet was created."));
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("StackSetId".to_owned(), "fleet:0a1b2c3d".to_owned())]);
    let asked = last(&peer);
    for (key, value) in [
        ("TemplateBody", TEMPLATE),
        ("Description", "the fleet"),
        ("Capabilities.member.1", "CAPABILITY_IAM"),
        ("PermissionModel", "SERVICE_MANAGED"),
        ("AutoDeployment.Enabled", "true"),
        ("AutoDeployment.RetainStacksOnAccountRemoval", "true"),
        ("CallAs", "DELEGATED_ADMIN"),
    ] {
        assert_eq!(asked.get(key).map(String::as_str), Some(value), "{key}");
    }
    let described = peer.clouds().requests.iter().find(|(name, _)| name == "DescribeStackSet").unwrap().1.clone();
    assert_eq!(described["CallAs"], "DELEGATED_ADMIN", "in every call");
}

#[tokio::test]
async fn an_absent_set_with_targets_gets_instances() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let more = [
        ("DeploymentTargets", "bundle::targets.json"),
        ("Regions", "eu-west-1,eu-north-1"),
        ("FailureTolerancePercentage", "20"),
        ("MaxConcurrentPercentage", "50"),
        ("RegionConcurrencyType", "Parallel"),
        ("ConcurrencyMode", "SOFT_FAILURE_TOLERANCE"),
    ];
    let action = set(&more);
    let progress = pending(stage.start(&action).await);
    assert_eq!(begun(&peer), ["CreateStackSet", "CreateStackInstances"]);
    let asked = last(&peer);
    assert_eq!(list(&asked, "Accounts"), ["111122223333", "444455556666"]);
    assert_eq!(
        (list(&asked, "Regions"), list(&asked, "OperationPreferences.RegionOrder")),
        (vec!["eu-west-1".to_owned(), "eu-north-1".to_owned()], vec!["eu-west-1".to_owned(), "eu-north-1".to_owned()])
    );
    for (key, value) in [
        ("FailureTolerancePercentage", "20"),
        ("MaxConcurrentPercentage", "50"),
        ("RegionConcurrencyType", "PARALLEL"),
        ("ConcurrencyMode", "SOFT_FAILURE_TOLERANCE"),
    ] {
        assert_eq!(asked.get(&format!("OperationPreferences.{key}")).map(String::as_str), Some(value), "{key}");
    }
    let operation = format!("{ID}-create");
    assert_eq!(progress.external_id.as_ref(), Some(&operation));
    assert_eq!(
        progress.external_url,
        Some(format!(
            "https://console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacksets/fleet:0a1b2c3d/operations/{operation}"
        ))
    );
    let progress = pending(stage.poll(&action, &progress).await);
    peer.clouds().sets.operations[0].failed = 1;
    CloudsPeer::finish(&stage);
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(
        progress.summary,
        Some(format!("StackSet fleet operation {operation} SUCCEEDED; 1 failed stack instances are tolerated"))
    );
    assert_eq!((variables["StackSetId"].as_str(), &variables["OperationId"]), ("fleet:0a1b2c3d", &operation));
}

#[tokio::test]
async fn a_set_that_is_there_is_updated_everywhere_or_at_the_targets() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    let mut action = set(&[]);
    action.configuration.insert("Parameters".to_owned(), "bundle::parameters.json".to_owned());
    let progress = pending(stage.start(&action).await);
    let asked = last(&peer);
    assert_eq!((begun(&peer), asked.contains_key("Accounts.member.1")), (vec!["UpdateStackSet".to_owned()], false));
    assert_eq!(pairs(&asked, "Parameters", "ParameterKey", "ParameterValue").unwrap()["Env"], "prod");
    assert_eq!(asked["Parameters.member.2.UsePreviousValue"], "true");
    CloudsPeer::finish(&stage);
    success(stage.poll(&action, &progress).await);

    // A third account: its instances are made first, then all targets are updated.
    let more = [("DeploymentTargets", "111122223333,777788889999"), ("Regions", "eu-west-1,eu-north-1")];
    let action = ActionInvocation { action_execution_id: "33333333-3333-4333-8333-333333333333".into(), ..set(&more) };
    let progress = pending(stage.start(&action).await);
    assert_eq!(list(&last(&peer), "Accounts"), ["777788889999"]);
    CloudsPeer::finish(&stage);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(begun(&peer)[1..], ["CreateStackInstances", "UpdateStackSet"]);
    assert_eq!(list(&last(&peer), "Accounts"), ["111122223333", "777788889999"]);
    assert_eq!(progress.external_id.as_deref(), Some("33333333-3333-4333-8333-333333333333-update"));
    CloudsPeer::finish(&stage);
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(variables["OperationId"], "33333333-3333-4333-8333-333333333333-update");

    // The log has both operations, each instance once.
    let read = async |token: Option<&str>| {
        stage.provider(&action).logs(&stage.call(), &action, &progress, token).await.unwrap()
    };
    let page = read(None).await;
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts.len(), 2 + 4, "{texts:?}");
    assert!(texts.contains(&"SUCCEEDED 777788889999 eu-north-1"), "{texts:?}");
    let nothing = read(page.next.as_deref()).await;
    assert_eq!((nothing.lines.len(), nothing.next), (0, page.next));
}

#[tokio::test]
async fn units_of_an_organization_are_targets_of_service_managed_sets() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SERVICE_MANAGED");
    let more = [("DeploymentTargets", "ou-ab12-cdef3456"), ("Regions", "eu-west-1")];
    let action = set(&more);
    let progress = pending(stage.start(&action).await);
    let asked = last(&peer);
    assert_eq!(list(&asked, "DeploymentTargets.OrganizationalUnitIds"), ["ou-ab12-cdef3456"]);
    assert!(list(&asked, "Accounts").is_empty());
    CloudsPeer::finish(&stage);
    pending(stage.poll(&action, &progress).await);
    assert_eq!(begun(&peer), ["CreateStackInstances", "UpdateStackSet"]);
    assert_eq!(list(&last(&peer), "DeploymentTargets.OrganizationalUnitIds"), ["ou-ab12-cdef3456"]);
}

#[tokio::test]
async fn automatic_deployment_is_said_at_first_and_changed_with_all_stacks() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let units =
        [("DeploymentTargets", "ou-ab12-cdef3456"), ("Regions", "eu-west-1"), ("PermissionModel", "SERVICE_MANAGED")];
    pending(stage.start(&set(&units)).await);
    assert_eq!(begun(&peer), ["CreateStackSet", "CreateStackInstances"]);
    assert_eq!(peer.clouds().sets.begun[0].1["AutoDeployment.Enabled"], "false", "CloudFormation must be told");
    CloudsPeer::finish(&stage);

    // The same as the set has goes along with targets; another one does not.
    let later = |id: &str, more: &[(&str, &str)]| ActionInvocation { action_execution_id: id.into(), ..set(more) };
    let same = [&units[..], &[("OrganizationsAutoDeployment", "Disabled")]].concat();
    pending(stage.start(&later("33333333-3333-4333-8333-333333333333", &same)).await);
    assert!(!last(&peer).contains_key("AutoDeployment.Enabled"));
    CloudsPeer::finish(&stage);
    let other = [&units[..], &[("OrganizationsAutoDeployment", "Enabled")]].concat();
    let (code, message) = failure(stage.start(&later("44444444-4444-4444-8444-444444444444", &other)).await);
    assert!(
        code == "ConfigurationError"
            && message.starts_with("Action Act has another OrganizationsAutoDeployment than the stack set"),
        "{code} {message}"
    );
    let alone = [("OrganizationsAutoDeployment", "Enabled")];
    pending(stage.start(&later("55555555-5555-4555-8555-555555555555", &alone)).await);
    assert_eq!(
        (last(&peer)["AutoDeployment.Enabled"].as_str(), peer.clouds().sets.sets[0].deploys),
        ("true", Some(true))
    );

    // It means nothing to a set whose permissions the user manages.
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    pending(stage.start(&set(&alone)).await);
    assert!(!last(&peer).contains_key("AutoDeployment.Enabled"));
}

#[tokio::test]
async fn how_many_stacks_are_done() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    let more = [("DeploymentTargets", "111122223333,777788889999"), ("Regions", "eu-west-1,eu-north-1")];
    let action = set(&more);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.percent, None);
    peer.clouds().sets.operations[0].results[1][2] = "RUNNING".to_owned();
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(25), "one of two instances, of the first of two operations");
    CloudsPeer::finish(&stage);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(25), "the update begins");
    for result in &mut peer.clouds().sets.operations[1].results {
        result[2] = "PENDING".to_owned();
    }
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(50));
    stage.aws.world().denied.insert("cloudformation:ListStackSetOperationResults".to_owned());
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(50));
    stage.aws.world().denied.clear();
    let asked = || stage.aws.calls("cloudformation:ListStackSetOperationResults");
    let before = asked();
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!((progress.percent, asked()), (Some(50), before), "who may not is not asked again");
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(100));
}

#[tokio::test]
async fn instances_are_made_without_touching_the_set() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    let action = instances();
    let progress = pending(stage.start(&action).await);
    let asked = last(&peer);
    assert_eq!(
        pairs(&asked, "ParameterOverrides", "ParameterKey", "ParameterValue").unwrap()["Token"],
        CONFIGURED_SECRET
    );
    CloudsPeer::finish(&stage);
    let (_, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["OperationId", "StackSetId"]);
    assert_eq!(begun(&peer), ["CreateStackInstances"]);
    let asked =
        peer.clouds().requests.iter().map(|(name, _)| name.clone()).filter(|name| name != "Finish").collect::<Vec<_>>();
    assert_eq!(asked, ["CreateStackInstances", "DescribeStackSetOperation"], "its two documented permissions");

    let absent = ActionInvocation {
        configuration: [("StackSetName", "gone"), TARGETS[0], TARGETS[1]]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        ..action
    };
    let (code, message) = failure(stage.start(&absent).await);
    assert!(
        code == "ConfigurationError" && message.starts_with("StackSet gone does not exist. Create it with"),
        "{code} {message}"
    );
}

#[tokio::test]
async fn another_operation_is_waited_for() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    let first = ActionInvocation { action_execution_id: "33333333-3333-4333-8333-333333333333".into(), ..set(&[]) };
    pending(stage.start(&first).await);
    let action = set(&TARGETS);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("Another operation on StackSet fleet goes on; waiting for its end."));
    assert_eq!(progress.external_id, None);
    let progress = pending(stage.poll(&action, &progress).await);
    CloudsPeer::finish(&stage);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!((progress.external_id, begun(&peer).len()), (Some(format!("{ID}-update")), 2));
}

#[tokio::test]
async fn the_first_instance_that_failed_is_the_reason() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    let action = set(&TARGETS);
    let progress = pending(stage.start(&action).await);
    {
        let mut clouds = peer.clouds();
        let operation = &mut clouds.sets.operations[0];
        "FAILED".clone_into(&mut operation.status);
        "too many".clone_into(&mut operation.reason);
        operation.results[1] = [
            "111122223333",
            "eu-north-1",
            "FAILED",
            "Account 111122223333 should have 'AWSCloudFormationStackSetExecutionRole' role",
        ]
        .map(str::to_owned);
        operation.results[2][2] = "CANCELLED".to_owned();
    }
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        format!(
            "StackSet operation {ID}-update FAILED: 111122223333/eu-north-1: Account 111122223333 should have \
                 'AWSCloudFormationStackSetExecutionRole' role (1 failed)"
        )
    );
    stage.aws.world().denied.insert("cloudformation:ListStackSetOperationResults".to_owned());
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(message, format!("StackSet operation {ID}-update FAILED: too many"));
}

#[tokio::test]
async fn a_stop_ends_the_operation_also_where_its_start_was_never_acknowledged() {
    for known in [true, false] {
        let stage = Stage::new();
        let peer = peer_with_set(&stage, "SELF_MANAGED");
        let action = set(&[]);
        let progress = pending(stage.start(&action).await);
        let progress = if known { progress } else { Progress::default() };
        assert_eq!(stage.stop(&action, &progress).await, Ok(()));
        assert_eq!(peer.clouds().sets.stopped, [format!("{ID}-update")]);
        peer.clouds().sets.operations[0].status = "STOPPED".to_owned();
        let (code, message) = failure(stage.poll(&action, &progress).await);
        assert_eq!((code.as_str(), message), ("JobFailed", format!("StackSet operation {ID}-update STOPPED")));
    }
}

#[tokio::test]
async fn wrong_configurations() {
    let stage = Stage::new();
    let peer = peer_with_set(&stage, "SELF_MANAGED");
    let of = |more: &[(&str, &str)]| set(more);
    for (action, told) in [
        (of(&[("StackSetName", "1fleet")]), "The value of StackSetName is '1fleet'"),
        (of(&[("DeploymentTargets", "111122223333")]), "Action Act has DeploymentTargets without Regions."),
        (of(&[("Regions", "eu-west-1")]), "Action Act has Regions without DeploymentTargets."),
        (
            of(&[("DeploymentTargets", "1111"), ("Regions", "eu-west-1")]),
            "DeploymentTargets names '1111', which is neither",
        ),
        (
            of(&[("DeploymentTargets", "bundle::text.json"), ("Regions", "eu-west-1")]),
            "The file text.json of the artifact bundle must be a JSON array",
        ),
        (
            of(&[("Parameters", "bundle::text.json")]),
            "The file text.json of the artifact bundle must be a JSON array of {\"ParameterKey\"",
        ),
        (of(&[("Parameters", "Env=prod")]), "The value of Parameters must be ParameterKey=NAME"),
        (
            of(&[("FailureTolerancePercentage", "101")]),
            "The value of FailureTolerancePercentage is '101'; it must be a whole number, 0 to 100.",
        ),
        (of(&[("MaxConcurrentPercentage", "0")]), "The value of MaxConcurrentPercentage is '0'"),
        (of(&[("RegionConcurrencyType", "Both")]), "The value of RegionConcurrencyType is 'BOTH'"),
        (of(&[("PermissionModel", "MANAGED")]), "The value of PermissionModel is 'MANAGED'"),
        (
            of(&[("DeploymentTargets", "ou-ab12-cdef3456,111122223333"), TARGETS[1]]),
            "DeploymentTargets names accounts and organizational units.",
        ),
        (
            of(&[TARGETS[0], TARGETS[1], ("PermissionModel", "SERVICE_MANAGED")]),
            "Action Act names accounts in DeploymentTargets.",
        ),
        (
            of(&[("DeploymentTargets", "ou-ab12-cdef3456"), TARGETS[1], ("PermissionModel", "SELF_MANAGED")]),
            "Action Act names organizational units in DeploymentTargets",
        ),
        (
            of(&[("TemplatePath", "bundle::large.json")]),
            "The file large.json of the artifact bundle has more than 460800 bytes.",
        ),
        (of(&[("TemplatePath", "bundle::gone.json")]), "File [gone.json] does not exist in artifact [bundle]"),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(told), "{code} {message}");
    }
    assert!(begun(&peer).is_empty());
}
