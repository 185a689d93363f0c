//! `towpath simulate` as a user sees it: the real engine on definitions of the examples, with the whole output as
//! snapshots. Virtual time makes every run the same.

#[path = "simulate/pages.rs"]
mod pages;
#[path = "simulate/stage.rs"]
mod stage;

use stage::{Shown, simulate, simulate_text};

const DELIVERY: &str = "examples/progressive-delivery";

/// Every line of the output is one that a terminal of that width shows.
fn shown(shown: &Shown) -> String {
    for line in shown.out.lines().filter(|line| !line.starts_with('{')) {
        assert!(console::measure_text_width(line) <= 80, "too wide: {line}");
        assert_eq!(line.trim_end(), line, "blanks at the end");
    }
    format!("{}{}exit {}\n", shown.out, shown.err, shown.exit)
}

macro_rules! situations {
    ($($name:ident: $path:expr, $($argument:literal)*;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(shown(&simulate($path, &[$($argument),*])));
        }
    )*};
}

situations! {
    everything_goes_well: DELIVERY,;
    a_newer_commit_supersedes: DELIVERY, "--start" "5m" "--start" "10m";
    queued_executions_keep_their_order: DELIVERY, "--mode" "queued" "--during" "Build" "--start" "8m" "--hold" "Production/Release#1";
    parallel_executions_do_not_wait: "examples/rehearsal", "--mode" "parallel" "--start" "2m" "--fail" "Deploy/Ship#2";
    a_failed_deployment_is_rolled_back: DELIVERY, "--start" "1h" "--fail" "Production/Publish#2";
    an_alarm_rolls_back: DELIVERY, "--start" "1h" "--fail" "Production/onSuccess/NoErrors#2";
    nothing_to_roll_back_to: DELIVERY, "--fail" "Production/Publish";
    a_stage_is_skipped: DELIVERY, "--var" "Staging=no";
    a_closed_window_fails: DELIVERY, "--fail" "Production/beforeEntry/OfficeHours";
    an_entry_condition_is_overridden: DELIVERY, "--take" "Production/beforeEntry/OfficeHours=10m" "--override" "Production/beforeEntry@Production+2m";
    a_success_condition_is_overridden: DELIVERY, "--fail" "Production/onSuccess/NoErrors#1" "--override" "Production/onSuccess";
    an_automatic_retry: DELIVERY, "--fail" "Test/Unit#1";
    stopped_and_retried: DELIVERY, "--stop" "Test/Unit+1m,abandon" "--retry" "Test@20m";
    a_retry_that_is_refused: DELIVERY, "--fail" "Test/Unit" "--retry" "Build@30m" "--retry" "Test";
    an_approval_is_rejected: DELIVERY, "--reject" "Production/Release";
    an_approval_that_nobody_answers: DELIVERY, "--hold" "Production/Release" "--start" "Production/Release";
    an_approval_that_times_out: DELIVERY, "--hold" "Production/Release" "--until" "8d";
    a_transition_is_disabled: DELIVERY, "--disable" "Production" "--start" "10m" "--enable" "Production@40m" "--fail" "Staging/Publish#3";
    a_transition_stays_disabled: "examples/rehearsal", "--disable" "Build/outbound" "--start" "2m";
    the_definition_is_saved_again: DELIVERY, "--update" "Build+2m" "--start" "20m";
    a_manual_rollback: "examples/rehearsal", "--start" "20m" "--rollback" "Deploy@40m";
    json_is_a_line_for_everything: "examples/rehearsal", "--format" "json" "--start" "2m" "--fail" "Deploy/Ship#1" "--retry" "Source@5m";
}

#[test]
fn a_wide_terminal_shows_more_of_the_chart() {
    insta::assert_snapshot!(simulate_text(DELIVERY, &["--start", "1h", "--fail", "Production/Publish#2"], 120, false));
}

#[test]
fn colours_change_no_word() {
    let arguments = ["--start", "1h", "--fail", "Production/Publish#2"];
    let coloured = simulate_text(DELIVERY, &arguments, 80, true);
    assert!(coloured.contains("\u{1b}[31m✗"), "what failed is red");
    let plain = simulate_text(DELIVERY, &arguments, 80, false);
    let stripped: Vec<String> = coloured.lines().map(|l| console::strip_ansi_codes(l).trim_end().to_owned()).collect();
    assert_eq!(stripped, plain.lines().collect::<Vec<_>>());
}

#[test]
fn a_deployment_window_is_real_when_the_clock_is() {
    let friday_evening = simulate(DELIVERY, &["--clock", "2030-02-01T16:30:00Z"]);
    let weekday = simulate(DELIVERY, &["--clock", "2030-02-01T10:00:00Z"]);
    assert_eq!(weekday.exit, 0);
    assert!(weekday.out.contains("Execution 1 succeeds"), "{}", weekday.out);
    assert_ne!(friday_evening.out, weekday.out, "{}", friday_evening.out);
}

#[test]
fn bad_usage_is_told_with_a_way_out() {
    let cases: &[&[&str]] = &[
        &["--fail", "Produktion/Publish"],
        &["--fail", "Production/Release"],
        &["--start", "5min"],
        &["--override", "Staging/onSuccess"],
        &["--var", "Stagin=no"],
        &["--mode", "parallel"],
    ];
    let told = cases.iter().map(|arguments| {
        let shown = simulate(DELIVERY, arguments);
        assert_eq!((shown.exit, shown.out.as_str()), (2, ""), "{arguments:?}");
        format!("$ towpath simulate . {}\n{}", arguments.join(" "), shown.err)
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
}

#[test]
fn nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let from = stage::root().join("examples/rehearsal");
    for name in ["pipeline.json", "towpath.toml"] {
        std::fs::copy(from.join(name), directory.path().join(name)).unwrap();
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["simulate", ".", "--fail", "Deploy/Ship"])
        .current_dir(directory.path())
        .env_remove("TOWPATH_CONFIG")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("Execution 1 fails in Deploy."));
    let mut left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["pipeline.json", "towpath.toml"]);
}
