//! One test per scenario of each script, so that a failure has a name and the runner runs them side by side.

/// A module of tests for a script, and one that holds the list to what the script has.
macro_rules! scenarios {
    ($module:ident, $script:literal, $how:path: $($scenario:ident),+ $(,)?) => {
        mod $module {
            $(#[test]
            fn $scenario() {
                $how($script, stringify!($scenario));
            })+

            #[test]
            fn none_is_left_out() {
                assert_eq!(crate::python::scenarios($script), [$(stringify!($scenario)),+]);
            }
        }
    };
}

scenarios!(operations, "operations.py", crate::python::against_a_server:
    create_pipeline, create_pipeline_refusals, pipeline_limit, get_pipeline, update_pipeline, delete_pipeline,
    list_pipelines, start_pipeline_execution, execution_cap, get_pipeline_execution, list_pipeline_executions,
    list_action_executions, list_action_types);

scenarios!(resources, "resources.py", crate::python::against_a_server:
    tagging, tag_rules, tags_of_the_deleted, tags_at_once, permissions, webhooks, webhook_rules,
    webhooks_of_third_parties, put_action_revision, deploy_targets);

scenarios!(wire, "wire.py", crate::python::against_a_server: answers, refusals, body_limit, other_services, secrets);

scenarios!(negative, "negative.py", crate::python::against_a_server:
    required_members, constraints, all_at_once, types, limits);

scenarios!(lifecycle, "lifecycle.py", crate::python::against_a_server:
    put_approval_result, retry_stage_execution, retry_while_others_run, stop_pipeline_execution, stage_transitions,
    superseding, queued_mode, variables, get_pipeline_state, run_order, bad_configuration_at_run_time);

scenarios!(custom_actions, "custom_actions.py", crate::python::against_a_server:
    custom_action_types, a_job, failures, late_results, custom_source, one_of_many, results_survive_a_kill, permissions);

scenarios!(third_party, "third_party.py", crate::python::alone:
    action_types, a_job, who_may_poll, lambda_executor, ready_made_worker);

scenarios!(invoke_actions, "invoke_actions.py", crate::python::alone:
    artifacts, continuation, answers, by_id, condition, another_pipeline, step_functions);

scenarios!(command_worker, "command_worker.py", crate::python::against_a_server:
    a_job, failures, progress, continuation, stopping, several, documentation);

scenarios!(http_worker, "http_worker.py", crate::python::alone:
    partners, as_printed, failures, goes_on, abandoned, own_service, descriptions);

scenarios!(jenkins, "jenkins.py", crate::python::alone: a_build, failures, signing_in, handed_on);

scenarios!(jenkins_plugin, "jenkins_plugin.py", crate::python::against_a_server: aws_plugin);

scenarios!(engine_rules, "engine_rules.py", crate::python::against_a_server:
    superseding, queued_order, parallel, execution_cap, disabled_transitions, stop_and_wait, stop_and_abandon, retry_modes,
    automatic_retry, update_in_mid_run, mode_change, source_revision_override, approvals_among_jobs);

scenarios!(conditions, "conditions.py", crate::python::against_a_server:
    manual_rollback, automatic_rollback, entry_conditions, skipped_stage, success_conditions, running_condition,
    failure_conditions, rule_types);

scenarios!(lambda_functions, "lambda_functions.py", crate::python::alone:
    life, failures, wrong_input, versions, runtimes, calling_aws, events, aws_cli, sandbox, declared);

scenarios!(lambda_actions, "lambda_actions.py", crate::python::alone:
    python, python_unanswered, node, node_unanswered, permissions, condition, public_url, killed);

scenarios!(main_job, "main_job.py", crate::python::against_a_server: boto3, failures, stopping);

scenarios!(aws_cli, "aws_cli.py", crate::python::against_a_server: main_job, refusals, job_worker);

scenarios!(cli_client, "cli_client.py", crate::python::against_a_server:
    life, transitions_and_stops, parallel, connections, on_a_terminal, interrupted, shells);

scenarios!(life, "life.py", crate::python::against_a_server: boto3, aws_cli);

scenarios!(load, "load.py", crate::python::alone: two_hundred_clients);

scenarios!(security, "security.py", crate::python::against_a_server:
    signatures, sessions, presigned_urls, permissions, secrets);

scenarios!(identity, "identity.py", crate::python::against_a_server:
    people, start_but_not_approve, tags_decide, passing_roles, boundaries_and_sessions, signatures, bucket_policies,
    service_roles);

scenarios!(kill, "kill.py", crate::python::alone: random_moments, terminate, every_kind_of_wait);

scenarios!(realms, "realms.py", crate::python::alone:
    a_build, a_batch, without_a_bucket, encrypted, motos_codebuild, working_tree, function_in_a_run);

scenarios!(rules, "rules.py", crate::python::alone: alarm, commands, another_region);

scenarios!(scripted_aws, "scripted_aws_test.py", crate::python::alone:
    protocols, refusals, unknown, faults, identities, forwarding, through_towpath);

scenarios!(scripted_services, "scripted_services.py", crate::python::alone:
    codedeploy, ecs, appconfig, elasticbeanstalk, servicecatalog, devicefarm, opsworks, lambda_deploy, eks);

scenarios!(scripted_stacks, "scripted_stacks.py", crate::python::alone: cloudformation, cloudformation_requests, stacksets);

scenarios!(compute_deploys, "compute_deploys.py", crate::python::alone:
    ecs_rollout, ecs_strategies, ecs_stops, ecs_refusals, codedeploy_instances, codedeploy_stops, codedeploy_to_ecs,
    another_account);

scenarios!(host_deploys, "host_deploys.py", crate::python::alone: ec2_instances, ec2_failures, eks, eks_failures);

scenarios!(deploy_services, "deploy_services.py", crate::python::alone:
    functions, functions_elsewhere, appconfig, elastic_beanstalk, parallel_copy, opsworks, service_catalog, device_farm,
    image);

scenarios!(deploy_logs, "deploy_logs.py", crate::python::alone: events, followed, unreadable);

scenarios!(alexa, "alexa.py", crate::python::alone: a_skill, failures);

scenarios!(ecr_source, "ecr_source.py", crate::python::alone: images, missing);

scenarios!(inspector, "inspector.py", crate::python::alone: scans);
scenarios!(cloudformation, "cloudformation.py", crate::python::alone:
    change_sets, stacks, failures, refusals, states, live, deletions, disturbances, another_account);
scenarios!(stack_sets, "stack_sets.py", crate::python::alone: stack_sets, organizations, stack_set_failures);

scenarios!(approvals, "approvals.py", crate::python::alone: notice, refusals);

scenarios!(s3_elsewhere, "s3_elsewhere.py", crate::python::alone: overrides, encrypted);

scenarios!(two_nodes, "two_nodes.py", crate::python::with_a_database: 
    one_state, takeover, a_node_that_was_only_slow, random_kills);

scenarios!(server_input, "server_input.py", crate::python::alone:
    newer_data_directory, full_disk);

scenarios!(git_sources, "git_sources.py", crate::python::alone:
    api, permissions, through_connection, refusals, gitlab_subgroups, over_ssh, github_version_1, git_clients, statuses);

scenarios!(codecommit, "codecommit.py", crate::python::alone:
    repositories, branches, commits, wrong_input, aws_cli, git_clients, access);

scenarios!(codecommit_pipelines, "codecommit_pipelines.py", crate::python::alone:
    zip_of_a_commit, full_clone, refusals, tutorial);

scenarios!(git_builds, "git_builds.py", crate::python::alone:
    whole_pipeline, submodules, a_run, refused_builds);

scenarios!(git_trouble, "git_trouble.py", crate::python::alone:
    own_hosts, passing_trouble, github_down, ssh_down, ill_will, hostile_repository, tokens_that_only_read,
    statuses_outlive_a_kill);

scenarios!(import_templates, "import_templates.py", crate::python::against_a_server: cdk_app, template_in_place, refusals);
