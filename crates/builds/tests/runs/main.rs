//! Builds run for real. The test program is also the runner: started with `build-runner DIR` it is what `towpath` is in
//! the product, so parent and runner are separate processes here too.

mod lifecycle;
mod outputs;
mod phases;
mod sandboxes;
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use libtest_mimic::{Arguments, Failed, Trial};

/// The wall clock, which the runner takes as an argument.
#[expect(clippy::disallowed_methods, reason = "this is the program that hands the clock in")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A test by its function, under the name of its module.
macro_rules! trials {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok::<(), Failed>(())
        })),*]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("build-runner") => return towpath_builds::runner_main(&PathBuf::from(&arguments[2]), now),
        Some("spawn-and-die") => return lifecycle::spawn_and_die(&arguments[2]),
        _ => {}
    }
    let mut tests = trials![
        lifecycle::a_build_says_everything_in_files,
        lifecycle::a_second_runner_is_refused,
        lifecycle::racing_runners_run_the_build_once,
        lifecycle::a_request_without_a_runner_may_be_spawned,
        lifecycle::a_build_outlives_the_process_that_spawned_it,
        lifecycle::a_killed_runner_is_gone_and_its_processes_are_swept,
        lifecycle::a_stop_ends_the_command_and_its_children,
        lifecycle::a_stop_before_the_start_is_seen,
        lifecycle::a_stop_file_alone_is_enough,
        lifecycle::a_stubborn_command_is_killed,
        lifecycle::timeouts_end_the_phase,
        lifecycle::an_unreadable_request_is_a_fault,
        lifecycle::a_missing_source_fails_provisioning,
        lifecycle::the_log_can_be_read_in_pieces_while_it_grows,
        phases::state_carries_from_command_to_command,
        phases::bash_carries_state_too,
        phases::version_0_1_gives_each_command_a_fresh_shell,
        phases::a_command_that_exits_keeps_its_code_and_loses_its_state,
        phases::a_failing_command_runs_finally_and_skips_the_rest,
        phases::a_failed_build_phase_still_runs_post_build_and_artifacts,
        phases::a_failed_pre_build_ends_the_build,
        phases::a_failing_finally_fails_its_phase,
        phases::on_failure_continue_goes_on,
        phases::on_failure_abort_ends_everything,
        phases::on_failure_retry_repeats_the_phase,
        phases::on_failure_retry_minds_its_pattern,
        phases::standard_log_lines,
        phases::bad_buildspecs_fail_download_source,
        phases::background_processes_outlive_their_command_and_not_the_build,
        phases::variables_beat_each_other_in_order,
        phases::stores_that_are_not_embedded_are_named,
        phases::secrets_are_masked_everywhere,
        phases::awkward_commands,
        outputs::exported_variables,
        outputs::artifacts_of_every_kind,
        outputs::missing_artifacts_fail_the_build,
        outputs::reports_are_made_even_when_the_build_fails,
        outputs::the_cache_comes_back,
        outputs::secondary_sources_have_their_variables,
        sandboxes::the_host_keeps_home_and_path_and_nothing_of_aws,
        sandboxes::run_as_on_the_host,
    ];
    tests.extend(sandboxes::trials());
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, tests).exit_code()
}
