//! The whole grammar in one file, and every way to get it wrong.

use super::*;
use crate::buildspec::Retry;

const FULL: &str = r#"
version: 0.2
run-as: builder
env:
  shell: bash
  variables:
    PLAIN: text
    NUMBER: 1.0
    EMPTY:
  parameter-store:
    TOKEN: /app/token
  secrets-manager:
    PASSWORD: db:password
  exported-variables: [PLAIN, NUMBER]
  git-credential-helper: yes
proxy:
  upload-artifacts: no
  logs: no
phases:
  install:
    run-as: root
    on-failure: ABORT
    runtime-versions:
      python: 3.11
    commands:
      - npm ci
    finally:
      - echo done
  post_build:
    commands: echo one
  pre_build:
    on-failure: RETRY-2-timeout
    commands:
      - |
        set -e
        true
reports:
  unit:
    files: ["**/*.xml"]
    base-directory: out
  $COVERAGE:
    files: [cov.xml]
    file-format: CoberturaXml
    discard-paths: yes
artifacts:
  files: ['**/*']
  name: app-$(date +%Y)
  discard-paths: true
  base-directory: dist*
  exclude-paths: ["**/.*"]
  enable-symlinks: yes
  s3-prefix: nightly
  secondary-artifacts:
    docs:
      files: [docs/**/*]
      name: docs
cache:
  paths: [/root/.m2/**/*, node_modules/**/*]
  key: npm-$HASH
  fallback-keys: [npm-]
  action: restore
"#;

fn spec(text: &str) -> Buildspec {
    parse(text).unwrap().buildspec
}

fn refused(text: &str) -> (Option<usize>, String) {
    let error = parse(text).unwrap_err();
    (error.line, error.to_string())
}

#[test]
fn reads_the_whole_grammar() {
    let parsed = parse(FULL).unwrap();
    assert_eq!(parsed.warnings, []);
    let spec = parsed.buildspec;
    assert_eq!((spec.version, spec.run_as.as_deref()), (Version::V0_2, Some("builder")));
    assert_eq!(spec.env.shell.as_deref(), Some("bash"));
    let variables: Vec<_> = spec.env.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("PLAIN", "text"), ("NUMBER", "1.0"), ("EMPTY", "")]);
    assert_eq!(spec.env.parameter_store, [("TOKEN".to_owned(), "/app/token".to_owned())]);
    assert_eq!(spec.env.secrets_manager, [("PASSWORD".to_owned(), "db:password".to_owned())]);
    assert_eq!(spec.env.exported_variables, ["PLAIN", "NUMBER"]);
    assert!(spec.env.git_credential_helper);
    let kinds: Vec<_> = spec.phases.iter().map(|phase| phase.kind).collect();
    assert_eq!(kinds, [PhaseKind::Install, PhaseKind::PreBuild, PhaseKind::PostBuild], "in running order");
    let install = &spec.phases[0];
    assert_eq!((install.run_as.as_deref(), &install.on_failure), (Some("root"), &Some(OnFailure::Abort)));
    assert_eq!(install.runtime_versions, [("python".to_owned(), "3.11".to_owned())]);
    assert_eq!(
        (install.commands.as_slice(), install.finally.as_slice()),
        (["npm ci".to_owned()].as_slice(), ["echo done".to_owned()].as_slice())
    );
    assert_eq!(spec.phases[1].on_failure, Some(OnFailure::Retry(Retry { times: 2, pattern: "timeout".to_owned() })));
    assert_eq!(spec.phases[1].commands, ["set -e\ntrue\n"]);
    assert_eq!(spec.phases[2].commands, ["echo one"], "one string is one command");
    assert_eq!(spec.reports.len(), 2);
    assert_eq!(
        (spec.reports[0].file_format.as_str(), spec.reports[0].base_directory.as_deref()),
        ("JUNITXML", Some("out"))
    );
    assert_eq!(
        (spec.reports[1].group.as_str(), spec.reports[1].file_format.as_str(), spec.reports[1].discard_paths),
        ("$COVERAGE", "COBERTURAXML", true)
    );
    let artifacts = spec.artifacts.unwrap();
    assert_eq!(
        artifacts.primary,
        Some(ArtifactSpec {
            files: vec!["**/*".to_owned()],
            name: Some("app-$(date +%Y)".to_owned()),
            discard_paths: true,
            base_directory: Some("dist*".to_owned()),
            exclude_paths: vec!["**/.*".to_owned()],
            enable_symlinks: true,
            s3_prefix: Some("nightly".to_owned()),
        })
    );
    assert_eq!((artifacts.secondary[0].0.as_str(), artifacts.secondary[0].1.files[0].as_str()), ("docs", "docs/**/*"));
    let cache = spec.cache.unwrap();
    assert_eq!((cache.paths.len(), cache.key.as_deref(), cache.action), (2, Some("npm-$HASH"), CacheAction::Restore));
    assert_eq!(cache.fallback_keys, ["npm-"]);
}

#[test]
fn reads_version_0_1() {
    let spec = spec(
        "version: 0.1\nenvironment_variables:\n  plaintext:\n    A: b\nphases:\n  build:\n    commands: [make]\nartifacts:\n  type: zip\n  files: [a]\n",
    );
    assert_eq!(
        (spec.version, spec.env.variables.as_slice()),
        (Version::V0_1, [("A".to_owned(), "b".to_owned())].as_slice())
    );
    assert_eq!(spec.artifacts.unwrap().primary.unwrap().files, ["a"]);
}

#[test]
fn a_buildspec_may_be_json_and_may_have_no_phase() {
    assert_eq!(spec(r#"{"version": "0.2", "phases": {}}"#).phases, []);
    assert_eq!(
        spec(r#"{"version": 0.2, "phases": {"build": {"commands": ["echo a: b", 1]}}}"#).phases[0].commands,
        ["echo a: b", "1"]
    );
}

#[test]
fn secondary_artifacts_need_no_primary() {
    let artifacts = spec("version: 0.2\nphases: {}\nartifacts:\n  secondary-artifacts:\n    a:\n      files: [x]\n")
        .artifacts
        .unwrap();
    assert_eq!((artifacts.primary, artifacts.secondary.len()), (None, 1));
}

#[test]
fn unknown_keys_warn_with_line_and_hint() {
    let parsed =
        parse("version: 0.2\nphases:\n  build:\n    comands: [x]\n    commands: [y]\n    steps: []\nartefacts: {}\n")
            .unwrap();
    let warnings: Vec<_> = parsed.warnings.iter().map(|w| (w.line, w.column, w.message.as_str())).collect();
    assert_eq!(
        warnings,
        [
            (4, 5, "unknown key phases.build.comands is ignored; did you mean commands?"),
            (6, 5, "unknown key phases.build.steps is ignored"),
            (7, 1, "unknown key artefacts is ignored; did you mean artifacts?"),
        ]
    );
}

#[test]
fn codebuilds_own_messages() {
    let colon = "version: 0.2\nphases:\n  build:\n    commands:\n      - echo \"Hello: world\"\n";
    // The plain scalar `echo "Hello` is a key here.
    assert_eq!(
        refused(colon),
        (
            Some(5),
            "Expected Commands[0] to be of string type: found subkeys instead at line 5, value of the key tag on line 4 might be empty".to_owned()
        )
    );
    assert_eq!(
        refused("version: 0.2\nphases: build: x\n"),
        (Some(2), "mapping values are not allowed in this context at line 2".to_owned())
    );
}

#[test]
fn every_other_refusal_names_its_line() {
    for (text, line, message) in [
        ("version: 0.3\nphases: {}", 1, "Invalid buildspec version: 0.3. Supported versions are 0.1 and 0.2"),
        ("phases: {}", 1, "Missing buildspec version. Supported versions are 0.1 and 0.2"),
        ("version: 0.2", 1, "Missing phases. A buildspec needs a phases map"),
        ("just text", 1, "Expected the buildspec to be a map: found a string instead at line 1"),
        ("", 1, "Expected the buildspec to be a map: found an empty value instead at line 1"),
        ("version: 0.2\nphases: [a]", 2, "Expected phases to be a map: found a list instead at line 2"),
        (
            "version: 0.2\nphases:\n  deploy: {}",
            3,
            "Invalid buildspec phase name: deploy. Expecting: install,pre_build,build,post_build",
        ),
        ("version: 0.2\nphases:\n  build:\n    finally: [x]", 3, "No commands found for phase name: build"),
        (
            "version: 0.2\nphases:\n  build:\n    commands:\n      a: b",
            5,
            "Expected commands to be a list: found subkeys instead at line 5",
        ),
        (
            "version: 0.2\nenv:\n  git-credential-helper: maybe\nphases: {}",
            3,
            "Expected env.git-credential-helper to be yes or no: found maybe instead at line 3",
        ),
        (
            "version: 0.2\nenv:\n  variables:\n    A-B: x\nphases: {}",
            3,
            "Invalid environment variable name: A-B. Names hold letters, digits and _ and do not start with a digit",
        ),
        (
            "version: 0.2\nenv:\n  shell: zsh\nphases: {}",
            3,
            "Invalid env.shell: zsh. Expecting bash, /bin/sh, powershell.exe or cmd.exe",
        ),
        ("version: 0.2\nphases: {}\nartifacts:\n  name: x", 4, "No files found for artifacts"),
        (
            "version: 0.2\nphases: {}\ncache:\n  action: keep",
            4,
            "Invalid cache.action: keep. Expecting restore or save",
        ),
        ("version: 0.2\nphases: {}\nreports:\n  a:\n    discard-paths: no", 4, "No files found for report group: a"),
        (
            "version: 0.2\nphases: {}\nreports:\n  a:\n    file-format: junit",
            5,
            "Invalid file-format for report group a: JUNIT. Expecting one of JUNITXML, CUCUMBERJSON, NUNITXML, NUNIT3XML, TESTNGXML, VISUALSTUDIOTRX, CLOVERXML, COBERTURAXML, JACOCOXML, SIMPLECOV",
        ),
    ] {
        let (at, got) = refused(text);
        assert_eq!((at, got.as_str()), (Some(line), message), "{text}");
    }
}

/// Whatever bytes come, the answer is a buildspec or an error: the parser underneath is not ours.
#[test]
fn mangled_text_is_refused_and_never_a_panic() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let pieces = [
        "{", "}", "[", "]", ":", "- ", "*a", "&a ", "!!str ", "|", ">", "\"", "'", "\n", "\t", "---\n", "%TAG", "?",
        "#", "\u{feff}", "é", "<<: ",
    ];
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut text: Vec<char> = FULL.chars().collect();
        for _ in 0..=random(8) {
            let at = random(text.len());
            if random(2) == 0 {
                text.drain(at..(at + random(20)).min(text.len()));
            } else {
                text.splice(at..at, pieces[random(pieces.len())].chars());
            }
        }
        let text: String = text.into_iter().collect();
        refused += usize::from(parse(&text).is_err());
    }
    assert!(refused > 500, "{refused} of 2000 were refused");
}
