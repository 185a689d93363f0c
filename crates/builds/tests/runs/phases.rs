//! Commands and phases: state, failures, what runs after what, and the log.

use std::fs;

use towpath_builds::request::{BuildspecSource, Secret, VariableKind};
use towpath_builds::status::{Context, Outcome, PhaseStatus};

use crate::support::{World, read, runs, spec};

const ALL_SUCCEEDED: [(&str, PhaseStatus); 7] = [
    ("PROVISIONING", PhaseStatus::Succeeded),
    ("DOWNLOAD_SOURCE", PhaseStatus::Succeeded),
    ("INSTALL", PhaseStatus::Succeeded),
    ("PRE_BUILD", PhaseStatus::Succeeded),
    ("BUILD", PhaseStatus::Succeeded),
    ("POST_BUILD", PhaseStatus::Succeeded),
    ("UPLOAD_ARTIFACTS", PhaseStatus::Succeeded),
];

fn context(code: &str, message: &str) -> Context {
    Context::new(code, message)
}

fn carries(shell: &str) {
    let text = spec(&[
        (
            "install",
            &["mkdir -p 'a dir/b' && cd 'a dir/b'", "PLAIN='two words'; export OTHER=\"it's\"", "unset DROPPED; cd .."],
        ),
        ("pre_build", &["false || true", "MULTI='one\ntwo'"]),
        (
            "build",
            &[
                "echo \"cwd ${PWD##*/source/}\"",
                "echo \"$PLAIN|$OTHER|${DROPPED-unset}|$CODEBUILD_LAST_EXIT\"",
                "echo \"$MULTI\"; sh -c 'echo exported $PLAIN'",
                "cd - >/dev/null && pwd | sed 's/.*source//'",
            ],
        ),
    ]);
    let mut world = World::new(&format!("{text}env:\n  shell: {shell}\n"));
    world.variable("DROPPED", "there", VariableKind::Plaintext);
    let done = world.run().succeeded();
    assert_eq!(done.output(), ["cwd a dir", "two words|it's|unset|0", "one", "two", "exported two words", "/a dir/b"]);
    assert_eq!(done.phases(), ALL_SUCCEEDED);
}

pub fn state_carries_from_command_to_command() {
    carries("/bin/sh");
}

pub fn bash_carries_state_too() {
    carries("bash");
    let mut world = World::commands(&["x=(1 2); [[ ${x[1]} == 2 ]] && echo array", "echo ${BASH_VERSION:+bash}"]);
    if let BuildspecSource::Inline(text) = &mut world.request.buildspec {
        text.push_str("env: {shell: bash}\n");
    }
    assert_eq!(world.run().succeeded().output(), ["array", "bash"]);
}

pub fn version_0_1_gives_each_command_a_fresh_shell() {
    let world = World::new(
        "version: 0.1\nenvironment_variables:\n  plaintext: {A: first}\nphases:\n  build:\n    commands:\n      - cd / && A=changed\n      - echo $A in ${PWD##*/}\n",
    );
    assert_eq!(world.run().succeeded().output(), ["first in source"]);
}

pub fn a_command_that_exits_keeps_its_code_and_loses_its_state() {
    let world =
        World::commands(&["A=kept", "A=lost; cd /; exit 0", "echo $A ${PWD##*/}", "set -e; A=lost; false; echo never"]);
    let done = world.run();
    assert_eq!(done.output(), ["kept source"]);
    assert_eq!(
        done.failed().1.message,
        "Error while executing command: set -e; A=lost; false; echo never. Reason: exit status 1"
    );
}

pub fn a_failing_command_runs_finally_and_skips_the_rest() {
    let world = World::new(
        "version: 0.2\nphases:\n  install:\n    commands: [echo before $CODEBUILD_BUILD_SUCCEEDING, exit 3, echo never]\n    finally: [echo finally $CODEBUILD_BUILD_SUCCEEDING]\n",
    );
    let done = world.run();
    assert_eq!(done.output(), ["before 1", "finally 0"]);
    assert_eq!(
        done.failed(),
        ("INSTALL", context("COMMAND_EXECUTION_ERROR", "Error while executing command: exit 3. Reason: exit status 3"))
    );
    assert!(done.own().contains(&"Command did not exit successfully exit 3 exit status 3"));
    assert_eq!(done.outcome(), Outcome::Failed);
}

pub fn a_failed_build_phase_still_runs_post_build_and_artifacts() {
    let text =
        spec(&[("build", &["no-such-program"]), ("post_build", &["echo post $CODEBUILD_BUILD_SUCCEEDING; touch out"])]);
    let mut world = World::new(&format!("{text}artifacts:\n  files: [out]\n"));
    world.request.artifacts = towpath_builds::request::WantedArtifacts::Primary;
    let done = world.run();
    assert!(done.output().contains(&"post 0"), "{:?}", done.output());
    assert!(
        done.output()[0].contains("tmp/script.sh: 4: no-such-program: not found")
            || done.output()[0].contains("line 4: "),
        "{:?}",
        done.output()
    );
    assert_eq!(
        done.failed(),
        (
            "BUILD",
            context(
                "COMMAND_EXECUTION_ERROR",
                "Error while executing command: no-such-program. Reason: exit status 127"
            )
        )
    );
    let last: Vec<_> = done.phases()[4..].to_vec();
    assert_eq!(
        last,
        [
            ("BUILD", PhaseStatus::Failed),
            ("POST_BUILD", PhaseStatus::Succeeded),
            ("UPLOAD_ARTIFACTS", PhaseStatus::Succeeded)
        ]
    );
    assert!(done.status.upload_artifacts);
    assert_eq!(done.collected().artifacts[0].files[0].path, "out");
    assert_eq!(done.outcome(), Outcome::Failed);
}

pub fn a_failed_pre_build_ends_the_build() {
    let done =
        World::new(&spec(&[("pre_build", &["false"]), ("build", &["echo never"]), ("post_build", &["echo never"])]))
            .run();
    assert_eq!(done.phases()[2..], [("INSTALL", PhaseStatus::Succeeded), ("PRE_BUILD", PhaseStatus::Failed)]);
    assert_eq!(done.output(), Vec::<&str>::new());
    assert!(!done.status.upload_artifacts);
    assert_eq!(
        *done.own().last().unwrap(),
        "Phase context status code: COMMAND_EXECUTION_ERROR Message: Error while executing command: false. Reason: exit status 1"
    );
}

pub fn a_failing_finally_fails_its_phase() {
    let done =
        World::new("version: 0.2\nphases:\n  build:\n    commands: [\"true\"]\n    finally: [exit 5, echo never]\n")
            .run();
    assert_eq!(
        done.failed(),
        ("BUILD", context("COMMAND_EXECUTION_ERROR", "Error while executing command: exit 5. Reason: exit status 5"))
    );
    assert_eq!(done.output(), Vec::<&str>::new());
}

pub fn on_failure_continue_goes_on() {
    let world = World::new(
        "version: 0.2\nphases:\n  install:\n    on-failure: CONTINUE\n    commands: [exit 2]\n  build:\n    commands: [echo build $CODEBUILD_BUILD_SUCCEEDING]\n",
    );
    let done = world.run();
    assert_eq!(done.output(), ["build 0"]);
    assert_eq!((done.failed().0, done.outcome()), ("INSTALL", Outcome::Failed));
    assert_eq!(done.phases().len(), 7);
}

pub fn on_failure_abort_ends_everything() {
    let world = World::new(
        "version: 0.2\nphases:\n  build:\n    on-failure: ABORT\n    commands: [exit 2]\n  post_build:\n    commands: [echo never]\n",
    );
    let done = world.run();
    assert_eq!(done.phases().last(), Some(&("BUILD", PhaseStatus::Failed)));
    assert!(!done.status.upload_artifacts);
    assert_eq!(done.output(), Vec::<&str>::new());
}

pub fn on_failure_retry_repeats_the_phase() {
    let flaky = "version: 0.2\nphases:\n  build:\n    on-failure: RETRY-2\n    commands:\n      - echo try $CODEBUILD_BUILD_SUCCEEDING; echo x >> tries; [ $(wc -l < tries) -ge 3 ]\n";
    let world = World::new(flaky);
    let done = world.run().succeeded();
    assert_eq!(done.output(), ["try 1", "try 1", "try 1"]);
    assert!(done.own().contains(&"Retrying phase BUILD after failure: retry 2 of 2"));
    assert_eq!(done.phases(), ALL_SUCCEEDED);

    let done = World::new(&flaky.replace("RETRY-2", "RETRY-1")).run();
    assert_eq!((done.output().len(), done.outcome()), (2, Outcome::Failed));
    assert_eq!(done.phases().len(), 7, "after the last retry a failed BUILD is like any other");
}

pub fn on_failure_retry_minds_its_pattern() {
    let text = "version: 0.2\nphases:\n  install:\n    on-failure: RETRY-3-exit status 4\n    commands:\n      - echo x >> tries; exit $(( 5 - ($(wc -l < tries) < 2) ))\n";
    let world = World::new(text);
    let done = world.run();
    assert_eq!(read(&world.request.primary_source.join("tries")), "x\nx\n", "the second failure does not match");
    assert!(done.failed().1.message.ends_with("exit status 5"));
}

pub fn standard_log_lines() {
    let world = World::new(&spec(&[
        ("pre_build", &["echo one", "printf 'no newline'"]),
        ("build", &["echo a\necho b >&2\n", "exit 1"]),
    ]));
    let done = world.run();
    let source = world.request.primary_source.display().to_string();
    let expected = format!(
        "Running on CodeBuild On-demand
Waiting for agent ping
Waiting for DOWNLOAD_SOURCE
Phase is DOWNLOAD_SOURCE
CODEBUILD_SRC_DIR={source}
YAML location is /codebuild/readonly/buildspec.yml
Processing environment variables
No runtime version selected in buildspec.
Moving to directory {source}
Cache is not defined in the buildspec
Skip cache due to: no paths specified to be cached
Registering with agent
Phases found in YAML: 2
 PRE_BUILD: 2 commands
 BUILD: 2 commands
Phase complete: DOWNLOAD_SOURCE State: SUCCEEDED
Phase context status code:  Message: 
Entering phase INSTALL
Phase complete: INSTALL State: SUCCEEDED
Phase context status code:  Message: 
Entering phase PRE_BUILD
Running command echo one
>one
>
Running command printf 'no newline'
>no newline
>
Phase complete: PRE_BUILD State: SUCCEEDED
Phase context status code:  Message: 
Entering phase BUILD
Running command echo a
echo b >&2
>a
>b
>
Running command exit 1
>
Command did not exit successfully exit 1 exit status 1
Phase complete: BUILD State: FAILED
Phase context status code: COMMAND_EXECUTION_ERROR Message: Error while executing command: exit 1. Reason: exit status 1
Entering phase POST_BUILD
Phase complete: POST_BUILD State: SUCCEEDED
Phase context status code:  Message: 
Set report auto-discover timeout to 5 seconds
Expanding base directory path:  .
No matching auto-discover report paths found
"
    );
    let mut seen = String::new();
    for line in &done.log {
        assert!(line.message.ends_with('\n'), "{line:?}");
        if let Some(rest) = line.message.strip_prefix("[Container] ") {
            seen.push_str(&rest[27..]);
        } else {
            seen.push('>');
            seen.push_str(&line.message);
        }
    }
    let timing = seen.rfind("Report auto-discover file discovery took 0.").expect("the last line");
    assert_eq!(&seen[..timing], expected);
}

pub fn bad_buildspecs_fail_download_source() {
    let fails = |world: &World, code: &str, message: &str| {
        let done = world.run();
        assert_eq!(done.failed(), ("DOWNLOAD_SOURCE", context(code, message)));
        assert_eq!(done.outcome(), Outcome::Failed);
        let last = done.own();
        assert_eq!(
            last[last.len() - 2..],
            [
                "Phase complete: DOWNLOAD_SOURCE State: FAILED".to_owned(),
                format!("Phase context status code: {code} Message: {message}")
            ]
        );
        assert!(!done.status.upload_artifacts);
    };
    let with = |source: BuildspecSource| {
        let mut world = World::new("");
        world.request.buildspec = source;
        world
    };
    fails(&with(BuildspecSource::Default), "YAML_FILE_ERROR", "YAML file does not exist");
    let world = with(BuildspecSource::Path("ci/build.yml".to_owned()));
    let stat = |world: &World, path: &str| {
        format!("stat {}: no such file or directory", world.request.primary_source.join(path).display())
    };
    fails(&world, "YAML_FILE_ERROR", &stat(&world, "ci/build.yml"));
    let world = with(BuildspecSource::Path("../outside.yml".to_owned()));
    fs::write(world.root.join("outside.yml"), "version: 0.2\nphases: {}\n").unwrap();
    fails(&world, "YAML_FILE_ERROR", &stat(&world, "../outside.yml"));
    let world = with(BuildspecSource::Path("link.yml".to_owned()));
    fs::write(world.root.join("outside.yml"), "version: 0.2\nphases: {}\n").unwrap();
    std::os::unix::fs::symlink("../outside.yml", world.request.primary_source.join("link.yml")).unwrap();
    fails(&world, "YAML_FILE_ERROR", &stat(&world, "link.yml"));
    fails(
        &World::new("version: 0.3\nphases: {}"),
        "YAML_FILE_ERROR",
        "Invalid buildspec version: 0.3. Supported versions are 0.1 and 0.2",
    );
    fails(
        &World::new("version: 0.2\nphases:\n  build:\n    commands:\n      - echo \"Hello: world\"\n"),
        "YAML_FILE_ERROR",
        "Expected Commands[0] to be of string type: found subkeys instead at line 5, value of the key tag on line 4 might be empty",
    );
    fails(
        &World::new("version: 0.2\nenv: {shell: cmd.exe}\nphases: {}"),
        "YAML_FILE_ERROR",
        "env.shell cmd.exe needs a Windows build environment",
    );
    fails(&World::new("version: 0.2\nrun-as: a b\nphases: {}"), "YAML_FILE_ERROR", "Invalid run-as user name: a b");

    let world = with(BuildspecSource::Path("ci/build.yml".to_owned()));
    world.source("ci/build.yml", &spec(&[("build", &["echo found in ${PWD##*/}"])]));
    assert_eq!(world.run().succeeded().output(), ["found in source"]);
    let world = with(BuildspecSource::Default);
    world.source("buildspec.yml", "version: 0.2\nphases: {}\n");
    assert!(world.run().succeeded().own().contains(&"Phases found in YAML: 0"));
}

pub fn background_processes_outlive_their_command_and_not_the_build() {
    let done = World::commands(&[
        "sleep 1000 & echo $! > ../pid",
        "kill -0 $(cat ../pid) && echo alive",
        "(setsid sleep 1000 & echo $! > ../daemon)",
    ]);
    let finished = done.run().succeeded();
    assert_eq!(finished.output(), ["alive"]);
    for name in ["pid", "daemon"] {
        let pid = read(&done.root.join(name));
        assert!(!runs(pid.trim()), "{name} {pid} survived the build");
    }
}

pub fn variables_beat_each_other_in_order() {
    let show = "echo $FROM_BASE $FROM_SPEC $FROM_PROJECT $CODEBUILD_BUILD_ID $CODEBUILD_CI $LITERAL";
    let text = spec(&[("build", &[show, "echo $CODEBUILD_SRC_DIR"])]);
    let mut world = World::new(&format!(
        "{text}env:\n  variables:\n    FROM_SPEC: spec\n    FROM_PROJECT: spec\n    CODEBUILD_BUILD_ID: spec\n    LITERAL: $PATH:/x\n"
    ));
    for name in ["FROM_BASE", "FROM_SPEC", "FROM_PROJECT"] {
        world.request.base_environment.insert(name.to_owned(), Secret::from("base"));
    }
    world.variable("FROM_PROJECT", "project", VariableKind::Plaintext);
    let done = world.run().succeeded();
    assert_eq!(
        done.output(),
        ["base spec project project:0f4b7b1e true $PATH:/x", world.request.primary_source.to_str().unwrap()]
    );
}

pub fn stores_that_are_not_embedded_are_named() {
    let fails = |world: &World, code: &str, part: &str| {
        let (phase, context) = world.run().failed();
        assert_eq!((phase, context.status_code.as_str()), ("DOWNLOAD_SOURCE", code));
        assert!(context.message.contains(part), "{}", context.message);
    };
    let mut world = World::commands(&["echo never"]);
    world.variable("TOKEN", "/app/token", VariableKind::ParameterStore);
    fails(
        &world,
        "Decrypted Variables Error",
        "parameter does not exist: /app/token (variable TOKEN: AWS Systems Manager Parameter Store is not embedded in Towpath yet",
    );
    let mut world = World::commands(&["echo never"]);
    world.variable("PASSWORD", "db:password", VariableKind::SecretsManager);
    fails(
        &world,
        "Secrets Manager Error Message",
        "db:password (variable PASSWORD: AWS Secrets Manager is not embedded in Towpath yet",
    );
    let world = World::new("version: 0.2\nenv:\n  parameter-store: {A: name}\nphases: {}\n");
    fails(&world, "Decrypted Variables Error", "parameter does not exist: name (variable A:");
}

pub fn secrets_are_masked_everywhere() {
    let mut world =
        World::commands(&["printf 'the hunt'; sleep 0.05; printf 'er2 is out\\n'", "echo hunter2 >&2; exit 1"]);
    world.request.masks = vec![Secret::from("hunter2")];
    let done = world.run();
    assert_eq!(done.output(), ["the *** is out", "***"]);
    assert_eq!(done.failed().1.message, "Error while executing command: echo *** >&2; exit 1. Reason: exit status 1");
    for file in ["log.jsonl", "status.json"] {
        assert!(!read(&world.request.dir.join(file)).contains("hunter2"), "{file}");
    }
}

pub fn awkward_commands() {
    let world = World::commands(&[
        "set -u; set -x; A=1; set +x",
        "echo \"still ${UNDEFINED-fine} $A\"",
        "echo trailing \\",
        "# only a comment",
        "cat; echo no standard input",
        "cat <<END\nhere $A\nEND",
        "false & true",
        "echo \"q'uote \\\"x\\\"\"; set -C",
        "printf '\\377\\n'",
        "A=$(printf 'x%.0s' $(seq 200000)); echo ${#A}",
        "echo ${#A}",
    ]);
    let done = world.run().succeeded();
    let output: Vec<_> = done.output().into_iter().filter(|line| !line.starts_with('+')).collect();
    assert_eq!(
        output,
        ["still fine 1", "trailing", "no standard input", "here 1", "q'uote \"x\"", "\u{fffd}", "200000", "200000"]
    );
    let failing = World::commands(&["if true; then", "echo never"]).run();
    assert!(
        failing.failed().1.message.starts_with("Error while executing command: if true; then. Reason: exit status 2"),
        "{:?}",
        failing.failed()
    );
}
