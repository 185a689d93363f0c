//! What every provider of the catalogue keeps, whatever it does: a repeated start has the declared effect, nothing but
//! what was stored is needed after a crash, stop works at each point, throttling is repeated, a missing permission is the
//! user's failure in AWS's words, and no outcome shows a secret. A provider that is not listed in `cases` fails a test.

use std::collections::BTreeSet;

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypes as _, Category, Owner, Repeat};
use towpath_providers::{Catalogue, RealmKind, Settings};

use crate::alexa::{alexa, with_a_skill};
use crate::alexa_peer::AlexaPeer;
use crate::appconfig::{appconfig, with_flags};
use crate::appconfig_peer::AppConfigPeer;
use crate::approval_and_rehearsal::{noticed, with_a_topic};
use crate::beanstalk_peer::BeanstalkPeer;
use crate::cloudformation::{self, change_set};
use crate::cloudformation_peer::CloudsPeer;
use crate::codecommit_source::{codecommit_source, with_a_repository};
use crate::codedeploy_peer::CodeDeployPeer;
use crate::codepipeline_peer::CodePipelinePeer;
use crate::device_farm::{device_farm, with_an_app};
use crate::device_farm_peer::DeviceFarmPeer;
use crate::ecr_build::{ecr_build, with_a_registry};
use crate::ecr_source::{ecr_source, with_an_image};
use crate::ecs_peer::EcsPeer;
use crate::elastic_beanstalk::elastic_beanstalk;
use crate::fleet_peer::FleetPeer;
use crate::git_host::{connection_source, github_source};
use crate::lambda_deploy::lambda_deploy;
use crate::lambda_deploy_peer::LambdaDeployPeer;
use crate::lambda_peer::LambdaPeer;
use crate::opsworks::opsworks;
use crate::opsworks_peer::OpsWorksPeer;
use crate::service_catalog::{service_catalog, with_a_template};
use crate::service_catalog_peer::ServiceCatalogPeer;
use crate::stack_sets;
use crate::stage::{
    Stage, build, commands, invocation, lambda, pipeline_invoke, rule, s3_deploy, s3_source, step_functions, zip_of,
};
use crate::states_peer::StatesPeer;
use crate::world::SECRET;
use crate::{codedeploy, ec2, ecs, eks, inspector_scan};

/// A value in the configuration of every action that no outcome may repeat.
pub const CONFIGURED_SECRET: &str = "hunter2-in-the-configuration";

/// Operations that CodePipeline's own policies do not allow, and that only a start after a crash misses.
const DISPENSABLE: [&str; 1] = ["codedeploy:ListDeployments"];

struct Case {
    name: &'static str,
    action: ActionInvocation,
    /// Makes what the action needs.
    prepare: fn(&Stage),
    /// Lets work outside come to a good end.
    finish: fn(&Stage),
}

fn nothing(_: &Stage) {}

fn cases() -> Vec<Case> {
    let mut list = vec![
        Case {
            name: "S3 source",
            action: s3_source(),
            prepare: |stage| {
                stage.aws.world().s3.put("sources", "web/app.zip", b"zip", [].into());
            },
            finish: nothing,
        },
        Case { name: "CodeCommit", action: codecommit_source(&[]), prepare: with_a_repository, finish: nothing },
        Case {
            name: "CodeCommit, clone reference",
            action: codecommit_source(&[("OutputArtifactFormat", "CODEBUILD_CLONE_REF")]),
            prepare: with_a_repository,
            finish: nothing,
        },
        Case { name: "CodeStarSourceConnection", action: connection_source(&[]), prepare: nothing, finish: nothing },
        Case {
            name: "CodeStarSourceConnection, clone reference",
            action: connection_source(&[("OutputArtifactFormat", "CODEBUILD_CLONE_REF")]),
            prepare: nothing,
            finish: nothing,
        },
        Case { name: "GitHub", action: github_source(), prepare: nothing, finish: nothing },
        Case {
            name: "S3 deploy, extracted",
            action: s3_deploy(&[("Extract", "true")]),
            prepare: bundle,
            finish: nothing,
        },
        Case {
            name: "S3 deploy, whole",
            action: s3_deploy(&[("Extract", "false"), ("ObjectKey", "{datetime}/{uuid}.zip")]),
            prepare: bundle,
            finish: nothing,
        },
        Case {
            name: "manual approval",
            action: invocation(Category::Approval, Owner::Aws, "Manual", &[("CustomData", CONFIGURED_SECRET)]),
            prepare: nothing,
            finish: nothing,
        },
        Case {
            name: "manual approval with a notice",
            action: noticed(&[("CustomData", CONFIGURED_SECRET)]),
            prepare: with_a_topic,
            finish: nothing,
        },
        Case { name: "ECS", action: ecs::ecs_deploy(&[]), prepare: ecs::prepare, finish: EcsPeer::finish },
        Case {
            name: "CodeDeploy",
            action: codedeploy::codedeploy(),
            prepare: codedeploy::prepare_instances,
            finish: CodeDeployPeer::finish,
        },
        Case {
            name: "CodeDeployToECS",
            action: codedeploy::blue_green(&[]),
            prepare: codedeploy::prepare_service,
            finish: CodeDeployPeer::finish,
        },
        Case { name: "EC2", action: ec2::scripted(&[]), prepare: ec2::prepare, finish: FleetPeer::finish },
        // Its tool ends by itself, and every look waits for it.
        Case { name: "EKS", action: eks::manifests(), prepare: eks::prepare, finish: nothing },
        Case { name: "ECR source", action: ecr_source(), prepare: with_an_image, finish: nothing },
        Case {
            name: "InspectorScan of a source",
            action: inspector_scan::source_scan(&[]),
            prepare: inspector_scan::prepare,
            finish: inspector_scan::finish,
        },
        Case {
            name: "InspectorScan of an image",
            action: inspector_scan::image_scan(),
            prepare: inspector_scan::prepare,
            finish: inspector_scan::finish,
        },
        Case {
            name: "CloudWatchAlarm",
            action: rule("CloudWatchAlarm", &[("AlarmName", "ferry-5xx"), ("WaitTime", "10")]),
            prepare: |stage| set_alarm(stage, "ALARM"),
            finish: |stage| set_alarm(stage, "OK"),
        },
        Case {
            name: "VariableCheck",
            action: rule("VariableCheck", &[("Variable", "main"), ("Operator", "MATCHES"), ("Value", "ma.*")]),
            prepare: nothing,
            finish: nothing,
        },
        Case {
            name: "DeploymentWindow",
            // It opens two minutes after the start.
            action: rule("DeploymentWindow", &[("Cron", "* 44-50 13 * * ?")]),
            prepare: nothing,
            finish: |stage| stage.clock.advance_minutes(2),
        },
    ];
    for category in [Category::Invoke, Category::Rule] {
        list.push(Case {
            name: "Lambda",
            action: lambda(category),
            prepare: |stage| LambdaPeer::install(stage),
            finish: nothing,
        });
    }
    list.push(Case {
        name: "AppConfig",
        action: appconfig(),
        prepare: |stage| {
            with_flags(stage);
            AppConfigPeer::install(stage);
        },
        finish: |stage| end_work(stage, "appconfig"),
    });
    list.push(Case {
        name: "ElasticBeanstalk",
        action: elastic_beanstalk(),
        prepare: |stage| {
            bundle(stage);
            BeanstalkPeer::install(stage);
        },
        finish: |stage| end_work(stage, "elasticbeanstalk"),
    });
    list.push(Case {
        name: "ServiceCatalog",
        action: service_catalog(),
        prepare: |stage| {
            with_a_template(stage);
            ServiceCatalogPeer::install(stage);
        },
        finish: |stage| end_work(stage, "servicecatalog"),
    });
    list.push(Case {
        name: "DeviceFarm",
        action: device_farm(),
        prepare: |stage| {
            with_an_app(stage);
            DeviceFarmPeer::install(stage);
        },
        finish: |stage| end_work(stage, "devicefarm"),
    });
    list.push(Case {
        name: "ECRBuildAndPublish",
        action: ecr_build(&[]),
        prepare: with_a_registry,
        finish: |stage| stage.aws.world().codebuild.finish("SUCCEEDED", &json!({})),
    });
    list.push(Case {
        name: "ECRBuildAndPublish, public",
        action: ecr_build(&[("RegistryType", "public")]),
        prepare: with_a_registry,
        finish: |stage| stage.aws.world().codebuild.finish("SUCCEEDED", &json!({})),
    });
    list.push(Case {
        name: "AlexaSkillsKit",
        action: alexa(),
        prepare: |stage| {
            with_a_skill(stage);
            AlexaPeer::install(stage);
        },
        finish: |stage| end_work(stage, "api.amazonalexa.com"),
    });
    list.push(Case {
        name: "OpsWorks",
        action: opsworks(&[]),
        prepare: |stage| {
            bundle(stage);
            OpsWorksPeer::install(stage);
        },
        finish: |stage| end_work(stage, "opsworks"),
    });
    list.push(Case {
        name: "Lambda deploy",
        action: lambda_deploy(&[("FunctionAlias", "live")]),
        prepare: |stage| {
            LambdaDeployPeer::install(stage);
        },
        finish: nothing,
    });
    list.push(Case {
        name: "CodePipeline",
        action: pipeline_invoke(&[("Variables", &json!([{"name": "TOKEN", "value": CONFIGURED_SECRET}]).to_string())]),
        prepare: |stage| CodePipelinePeer::install(stage),
        finish: nothing,
    });
    list.push(Case {
        name: "Step Functions",
        action: step_functions(),
        prepare: |stage| {
            let input = json!({"token": CONFIGURED_SECRET}).to_string();
            let zip = zip_of(&[("flows/start.json", input.as_bytes())]);
            stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
            StatesPeer::install(stage, "STANDARD");
        },
        finish: |stage| StatesPeer::finish(stage, "SUCCEEDED", &json!({"output": "{\"ok\":true}"})),
    });
    list.extend(stacks());
    for category in [Category::Build, Category::Test, Category::Rule] {
        let mut action = build();
        action.action_type.category = category;
        let variables = json!([{"name": "TOKEN", "value": CONFIGURED_SECRET}]).to_string();
        action.configuration.insert("EnvironmentVariables".to_owned(), variables);
        let finish = |stage: &Stage| stage.aws.world().codebuild.finish("SUCCEEDED", &json!({}));
        list.push(Case { name: "CodeBuild", action, prepare: nothing, finish });
    }
    for category in [Category::Compute, Category::Rule] {
        let finish = |stage: &Stage| stage.aws.world().codebuild.finish("SUCCEEDED", &json!({}));
        list.push(Case { name: "Commands", action: commands(category), prepare: nothing, finish });
    }
    let rehearsed =
        [Category::Source, Category::Build, Category::Deploy, Category::Test, Category::Invoke, Category::Rule];
    for category in rehearsed {
        let variables = json!({"TOKEN": "x"}).to_string();
        let configuration = [("Variables", variables.as_str()), ("Seconds", "5")];
        let owner = if category == Category::Rule { Owner::Aws } else { Owner::Custom };
        let action = invocation(category, owner, "Rehearsal", &configuration);
        let finish = |stage: &Stage| stage.clock.advance_minutes(1);
        list.push(Case { name: "Rehearsal", action, prepare: nothing, finish });
    }
    list
}

fn stacks() -> Vec<Case> {
    let with_stack = |stage: &Stage| {
        cloudformation::bundle(stage);
        CloudsPeer::with_stack(stage, "UPDATE_COMPLETE");
    };
    let without = |stage: &Stage| {
        cloudformation::bundle(stage);
        CloudsPeer::new(stage);
    };
    let case = |name: &'static str, action: ActionInvocation, prepare: fn(&Stage)| Case {
        name,
        action,
        prepare,
        finish: CloudsPeer::finish,
    };
    vec![
        case("CloudFormation, create", cloudformation::create_or_update(), without),
        case("CloudFormation, update", cloudformation::create_or_update(), with_stack),
        case("CloudFormation, delete", cloudformation::stack("DELETE_ONLY", &[]), with_stack),
        case("CloudFormation, change set", change_set("CHANGE_SET_REPLACE", &[]), without),
        case("CloudFormation, execution", change_set("CHANGE_SET_EXECUTE", &[]), cloudformation::made),
        case("CloudFormationStackSet", stack_sets::set(&[]), stack_sets::with_set),
        case("CloudFormationStackSet, targets", stack_sets::set(&stack_sets::TARGETS), stack_sets::with_set),
        case("CloudFormationStackInstances", stack_sets::instances(), stack_sets::with_set),
    ]
}

fn end_work(stage: &Stage, peer: &str) {
    stage.aws.world().peers.get_mut(peer).unwrap().finish();
}

fn set_alarm(stage: &Stage, state: &str) {
    stage.aws.world().cloudwatch.metric.insert("ferry-5xx".to_owned(), state.to_owned());
}

fn bundle(stage: &Stage) {
    let zip = zip_of(&[("index.html", b"<p>"), ("js/app.js", b"1")]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

fn prepared(case: &Case) -> Stage {
    let stage = Stage::new();
    (case.prepare)(&stage);
    stage
}

/// A new process over the same world, at the same time.
fn restarted(stage: &Stage) -> Stage {
    let next = Stage::over(&stage.aws, RealmKind::Embedded);
    next.clock.set(towpath_model::time::Clock::now(stage.clock.as_ref()));
    next
}

/// What is left of progress once it has been stored.
fn stored(progress: &Progress) -> Progress {
    serde_json::from_str(&serde_json::to_string(progress).unwrap()).unwrap()
}

/// Starts, lets the work end and polls until there is an answer.
async fn run(stage: &Stage, case: &Case) -> Outcome {
    let mut outcome = stage.start(&case.action).await;
    for _ in 0..3 {
        let Outcome::Pending { progress } = &outcome else { return outcome };
        let progress = stored(progress);
        (case.finish)(stage);
        outcome = stage.poll(&case.action, &progress).await;
    }
    outcome
}

fn is_good_end(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded { .. } | Outcome::AwaitingCallback { .. })
}

fn assert_no_secret(case: &Case, outcome: &Outcome) {
    let text = format!("{outcome:?}");
    assert!(!text.contains(SECRET), "{}: {text}", case.name);
    assert!(!text.contains(CONFIGURED_SECRET), "{}: {text}", case.name);
}

#[test]
fn every_provider_of_the_catalogue_is_held_to_this() {
    let catalogue = Catalogue::new(Settings { rehearsal: true });
    let listed: BTreeSet<_> = catalogue.entries().map(|entry| entry.id.clone()).collect();
    let tried: BTreeSet<_> = cases().into_iter().map(|case| case.action.action_type).collect();
    assert_eq!(listed, tried);
}

#[test]
fn rehearsal_is_in_the_catalogue_only_when_it_is_switched_on() {
    let catalogue = Catalogue::new(Settings::default());
    assert!(catalogue.all().iter().all(|entry| entry.id.provider != "Rehearsal"));
    let switched_on = Catalogue::new(Settings { rehearsal: true });
    assert_eq!(switched_on.all().len() - catalogue.all().len(), 6);
}

#[tokio::test]
async fn a_repeated_start_has_the_declared_effect() {
    for case in cases() {
        let stage = prepared(&case);
        let first = stage.start(&case.action).await;
        let (objects, effects) = {
            let world = stage.aws.world();
            (world.s3.contents(), world.codebuild.started.len() + world.effects())
        };
        let next = restarted(&stage);
        let second = next.start(&case.action).await;
        let world = stage.aws.world();
        match next.provider(&case.action).entry().repeat {
            Repeat::SameWrite => assert_eq!(world.s3.contents(), objects, "{}", case.name),
            Repeat::Token | Repeat::Name | Repeat::Lookup => {
                assert_eq!((world.codebuild.started.len() + world.effects(), effects), (1, 1), "{}", case.name);
            }
            Repeat::Internal => {
                let reads = world.requests.iter().all(|r| r.service != "s3" && r.service != "codebuild");
                assert!(reads && world.effects() == 0, "{}: nothing is changed outside", case.name);
            }
            Repeat::AtLeastOnce => {}
        }
        assert_eq!(first, second, "{}", case.name);
    }
}

#[tokio::test]
async fn nothing_but_what_was_stored_is_needed_after_a_crash() {
    for case in cases() {
        let stage = prepared(&case);
        let outcome = stage.start(&case.action).await;
        let Outcome::Pending { progress } = outcome else {
            assert!(is_good_end(&outcome), "{}: {outcome:?}", case.name);
            continue;
        };
        (case.finish)(&stage);
        let ended = restarted(&stage).poll(&case.action, &stored(&progress)).await;
        assert!(is_good_end(&ended), "{}: {ended:?}", case.name);
        // The crash may have come before the progress was stored.
        let ended = restarted(&stage).poll(&case.action, &Progress::default()).await;
        assert!(is_good_end(&ended), "{}: {ended:?}", case.name);
        let world = stage.aws.world();
        assert!(world.codebuild.started.len() + world.effects() <= 1, "{}", case.name);
    }
}

#[tokio::test]
async fn stop_works_at_each_point() {
    for case in cases() {
        let stage = prepared(&case);
        assert_eq!(stage.stop(&case.action, &Progress::default()).await, Ok(()), "{} before its start", case.name);
        let progress = match stage.start(&case.action).await {
            Outcome::Pending { progress }
            | Outcome::AwaitingCallback { progress }
            | Outcome::Succeeded { progress, .. } => progress,
            other => panic!("{}: {other:?}", case.name),
        };
        for point in ["while it runs", "again", "after its end"] {
            let next = restarted(&stage);
            assert_eq!(next.stop(&case.action, &stored(&progress)).await, Ok(()), "{} {point}", case.name);
        }
        let world = stage.aws.world();
        assert_eq!(world.codebuild.stopped.len(), world.codebuild.started.len(), "{}", case.name);
    }
}

#[tokio::test]
async fn throttling_and_broken_connections_are_repeated() {
    for case in cases() {
        let stage = prepared(&case);
        run(&stage, &case).await;
        for operation in stage.aws.operations() {
            let stage = prepared(&case);
            stage.aws.world().throttled.insert(operation.clone(), 2);
            stage.aws.world().unreachable.insert(operation.clone(), 1);
            let outcome = run(&stage, &case).await;
            assert!(is_good_end(&outcome), "{} with {operation} throttled: {outcome:?}", case.name);
        }
    }
}

#[tokio::test]
async fn throttling_without_end_is_nobodys_failure() {
    for case in cases() {
        let stage = prepared(&case);
        run(&stage, &case).await;
        for operation in stage.aws.operations() {
            let stage = prepared(&case);
            stage.aws.world().throttled.insert(operation.clone(), u32::MAX);
            let outcome = run(&stage, &case).await;
            assert!(matches!(outcome, Outcome::Unavailable { .. }), "{} without {operation}: {outcome:?}", case.name);
            assert_no_secret(&case, &outcome);
        }
    }
}

#[tokio::test]
async fn a_missing_permission_is_reported_in_awss_words() {
    for case in cases() {
        let stage = prepared(&case);
        run(&stage, &case).await;
        for operation in stage.aws.operations() {
            let stage = prepared(&case);
            stage.aws.world().denied.insert(operation.clone());
            if operation == "s3:HeadObject" {
                // One permission covers both.
                stage.aws.world().denied.insert("s3:GetObject".to_owned());
            }
            let outcome = run(&stage, &case).await;
            assert_no_secret(&case, &outcome);
            if DISPENSABLE.contains(&operation.as_str()) {
                assert!(is_good_end(&outcome), "{} without {operation}: {outcome:?}", case.name);
                continue;
            }
            let Outcome::Failed { error, .. } = outcome else {
                panic!("{} without {operation}: {outcome:?}", case.name);
            };
            let expected =
                if operation.starts_with("codebuild:") { error_code::JOB_FAILED } else { error_code::PERMISSION_ERROR };
            assert_eq!(error.code, expected, "{} without {operation}: {}", case.name, error.message);
            assert!(
                error.message.contains("is not authorized to perform"),
                "{} {operation}: {}",
                case.name,
                error.message
            );
            assert!(error.message.contains("Request ID: R-1"), "{} {operation}: {}", case.name, error.message);
        }
    }
}

#[tokio::test]
async fn no_outcome_shows_a_secret() {
    for case in cases() {
        let stage = prepared(&case);
        let outcome = run(&stage, &case).await;
        assert!(is_good_end(&outcome), "{}: {outcome:?}", case.name);
        assert_no_secret(&case, &outcome);
        let realm = format!("{:?}", stage.realm);
        assert!(!realm.contains(SECRET), "{realm}");
    }
}

/// Who looks at an action is led to what it did outside, and told of it in a sentence.
#[tokio::test]
async fn what_was_done_outside_has_an_id_and_a_link() {
    // An import of a skill has no page of its own: its entry links to the console of skills. The others do nothing outside.
    let without =
        ["AlexaSkillsKit", "manual approval", "CloudWatchAlarm", "VariableCheck", "DeploymentWindow", "Rehearsal"];
    for case in cases() {
        let stage = prepared(&case);
        let (Outcome::Succeeded { progress, .. } | Outcome::AwaitingCallback { progress }) = run(&stage, &case).await
        else {
            panic!("{}", case.name);
        };
        let linked = progress.external_url.as_deref().is_some_and(|link| link.starts_with("http"));
        let wanted = !without.iter().any(|name| case.name.starts_with(name));
        assert_eq!(linked, wanted, "{}: {progress:?}", case.name);
        assert!(!linked || progress.external_id.is_some(), "{}: {progress:?}", case.name);
    }
}

#[tokio::test]
async fn a_session_that_is_not_accepted_any_more_is_opened_again() {
    for case in cases() {
        let stage = prepared(&case);
        let first = run(&stage, &case).await;
        assert!(is_good_end(&first));
        {
            let mut world = stage.aws.world();
            let held: Vec<String> = world.sessions.keys().cloned().collect();
            world.revoked.extend(held);
        }
        let refused = stage.start(&case.action).await;
        if !stage.aws.world().requests.iter().any(|r| r.service != "sts" && r.access_key.starts_with("ASIA")) {
            // It asks nothing, or as CodePipeline itself.
            continue;
        }
        assert!(matches!(refused, Outcome::Unavailable { .. }), "{}: {refused:?}", case.name);
        let outcome = run(&stage, &case).await;
        assert!(is_good_end(&outcome), "{}: {outcome:?}", case.name);
    }
}
