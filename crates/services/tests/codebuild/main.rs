//! CodeBuild and its logs through the official SDKs, with real builds. The test program is also the build runner:
//! started with `build-runner DIR` it is what `towpath` is in the product.

mod api;
mod commands;
mod failures;
#[path = "../loopback/mod.rs"]
mod loopback;
mod nodes;
mod pipeline;
mod resume;
mod runs;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use libtest_mimic::{Arguments, Failed, Trial};

#[expect(clippy::disallowed_methods, reason = "this is the program that hands the clock in")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// An async test by its function, under the name of its module.
macro_rules! trials {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            runtime().block_on($module::$name());
            Ok::<(), Failed>(())
        })),*]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("build-runner") => return towpath_builds::runner_main(&PathBuf::from(&arguments[2]), now),
        Some("start-and-die") => runtime().block_on(resume::start_and_die(&PathBuf::from(&arguments[2]))),
        _ => {}
    }
    let tests = trials![
        api::projects_are_answered_with_their_defaults,
        api::projects_are_updated_member_by_member,
        api::projects_are_listed_and_deleted,
        api::callers_need_permission,
        api::operations_that_are_not_here_say_so,
        runs::a_build_goes_from_source_to_artifact,
        runs::builds_are_listed_retried_and_deleted,
        runs::tokens_make_one_build,
        runs::a_folder_goes_in_and_a_folder_comes_out,
        runs::secondary_sources_and_artifacts,
        runs::a_build_without_source,
        runs::logs_are_read_while_the_build_runs,
        runs::reports_are_kept,
        runs::builds_wait_for_a_slot,
        runs::a_build_in_a_servers_sandbox,
        pipeline::a_pipelines_build_looks_like_codepipelines,
        pipeline::several_inputs_and_outputs,
        pipeline::an_output_that_the_buildspec_does_not_make,
        commands::codepipeline_runs_a_build_as_the_pipelines_role,
        commands::an_actions_role_is_reached_through_the_pipelines,
        commands::the_role_needs_its_logs_and_nothing_of_codebuild,
        commands::one_sides_projects_are_not_the_others,
        failures::a_failing_command_fails_the_build,
        failures::missing_and_forbidden_sources,
        failures::a_role_without_permissions,
        failures::stopping_a_build,
        failures::stopping_a_queued_build,
        failures::timeouts,
        failures::images_that_need_an_engine,
        failures::starts_that_are_refused,
        resume::a_runner_is_adopted,
        resume::a_killed_process_loses_nothing,
        resume::a_runner_that_is_gone_is_a_fault,
        resume::a_queued_build_is_taken_up,
        resume::every_write_may_be_the_last,
        nodes::a_living_nodes_build_is_its_own,
        nodes::a_dead_nodes_build_is_taken_over_within_its_lease,
        nodes::a_node_that_leaves_hands_over_at_once,
        nodes::any_node_stops_a_build,
        nodes::builds_of_before_are_taken_up,
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
