//! Bad input to `towpath run` and `towpath validate`: each has its message, its exit code, and loses nothing.

use std::path::Path;

use crate::server::towpath;

struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Writes the files, and runs the command on the directory.
fn told(files: &[(&str, &str)], arguments: &[&str]) -> Told {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), files);
    run(directory.path(), arguments)
}

fn write(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(directory.join(name), text).expect("the file is written");
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Told {
    let output = towpath().args(arguments).current_dir(directory).output().expect("towpath runs");
    Told {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Told {
    fn is(&self, code: i32, words: &[&str]) {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{all}");
        // Messages are wrapped to the width of the terminal, with a line down their side.
        let flat = all.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "{word:?} is not in:\n{all}");
        }
    }
}

/// A pipeline of a source, and the stages given.
fn pipeline(stages: &str) -> String {
    format!(
        r#"{{
  "name": "bad",
  "roleArn": "arn:aws:iam::123456789012:role/bad",
  "artifactStore": {{"type": "S3", "location": "bad-artifacts"}},
  "stages": [
    {{"name": "Source", "actions": [{SOURCE}]}},
    {stages}
  ]
}}"#
    )
}

const SOURCE: &str = r#"{"name": "Fetch",
      "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
      "configuration": {"S3Bucket": "bad-source", "S3ObjectKey": "a.zip", "PollForSourceChanges": "false"},
      "outputArtifacts": [{"name": "src"}]}"#;

fn build(input: &str) -> String {
    format!(
        r#"{{"name": "Build", "actions": [{{"name": "Make",
      "actionTypeId": {{"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}},
      "configuration": {{"ProjectName": "bad"}}, "inputArtifacts": [{{"name": "{input}"}}]}}]}}"#
    )
}

fn deploy(bucket: &str) -> String {
    format!(
        r#"{{"name": "Deploy", "actions": [{{"name": "Put",
      "actionTypeId": {{"category": "Deploy", "owner": "AWS", "provider": "S3", "version": "1"}},
      "configuration": {{"BucketName": "{bucket}", "Extract": "true"}}, "inputArtifacts": [{{"name": "src"}}]}}]}}"#
    )
}

/// Both commands refuse the same files with the same words and code.
fn both_refuse(files: &[(&str, &str)], words: &[&str]) {
    for arguments in [["validate", "."], ["run", "."]] {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), files);
        run(directory.path(), &arguments).is(2, words);
        assert!(!directory.path().join(".towpath").exists(), "{arguments:?} leaves nothing behind");
    }
}

#[test]
fn a_file_that_is_neither_json_nor_yaml() {
    both_refuse(&[("pipeline.json", "{\"name\": \"bad\",,}")], &["not JSON: unexpected token", "pipeline.json:1:16"]);
    both_refuse(&[("pipeline.yaml", "name: bad\n\tstages: [\n")], &["not YAML:", "found a tab", "pipeline.yaml:1:7"]);
    both_refuse(&[("pipeline.json", "just words")], &["not JSON: unexpected word", "pipeline.json:1:1"]);
}

#[test]
fn no_file_at_all() {
    told(&[], &["run", "."]).is(2, &["pipeline.json or pipeline.yaml"]);
    told(&[], &["run", "nowhere.json"]).is(2, &["nowhere.json"]);
}

#[test]
fn an_unknown_field_with_a_suggestion() {
    let text = pipeline(&deploy("bad-site")).replace("\"outputArtifacts\"", "\"outputArtifact\"");
    both_refuse(&[("pipeline.json", &text)], &["outputArtifact", "`outputArtifacts`", "pipeline.json:9:7"]);
}

#[test]
fn a_missing_input_artifact() {
    let message =
        "Input Artifact Bundle nothing in action Make is not declared as Output Artifact Bundle in any of the";
    both_refuse(&[("pipeline.json", &pipeline(&build("nothing")))], &[message, "pipeline.json:12:"]);
}

#[test]
fn a_second_source_in_stage_two() {
    let second = SOURCE.replace("Fetch", "Again").replace("\"src\"", "\"more\"");
    let text = pipeline(&format!(r#"{{"name": "Second", "actions": [{second}]}}, {}"#, deploy("bad-site")));
    let message = "Source actions can only be included in the first stage of the pipeline";
    both_refuse(&[("pipeline.json", &text)], &[message, "pipeline.json:10:"]);
}

#[test]
fn every_violation_is_told_at_once() {
    let text = pipeline(&build("nothing")).replace("S3ObjectKey", "S3ObjektKey").replace("\"bad\"", "\"very bad\"");
    let told = told(&[("pipeline.json", &text)], &["validate", "."]);
    told.is(
        2,
        &[
            "Member must satisfy regular expression pattern: [A-Za-z0-9.@\\-_]+",
            "is missing required configuration 'S3ObjectKey'",
            "contains unknown configuration 'S3ObjektKey'",
            "Input Artifact Bundle nothing",
        ],
    );
}

#[test]
fn a_buildspec_of_a_wrong_version_fails_the_build() {
    let files =
        [("pipeline.json", pipeline(&build("src"))), ("buildspec.yml", "version: 0.3\nphases: {}\n".to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    told(&files, &["run", "."]).is(1, &["YAML_FILE_ERROR", "0.3"]);
    told(&files, &["validate", "."]).is(0, &["buildspec.yml", "0.3"]);
}

#[test]
fn a_command_that_fails_is_named_with_its_exit_code() {
    let spec = "version: 0.2\nphases:\n  build:\n    commands:\n      - echo going to fail\n      - exit 9\n";
    let text = pipeline(&build("src"));
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), &[("pipeline.json", &text), ("buildspec.yml", spec)]);
    run(directory.path(), &["run", "."])
        .is(1, &["going to fail", "Error while executing command: exit 9. Reason: exit status 9", "Failed"]);
    // Nothing is lost: the same directory runs again, and succeeds when the command does.
    write(directory.path(), &[("buildspec.yml", &spec.replace("exit 9", "exit 0"))]);
    run(directory.path(), &["run", "."]).is(0, &["Succeeded"]);
}

#[test]
fn a_source_that_is_not_there() {
    let text = pipeline(&deploy("bad-site"));
    told(&[("pipeline.json", &text)], &["run", ".", "--source", "Fetch=nowhere"]).is(
        2,
        &["the source of action `Fetch` is not there: nowhere", "hint: give its directory with `--source Fetch=DIR`"],
    );
    told(&[("pipeline.json", &text)], &["run", ".", "--source", "Nobody=."])
        .is(2, &["the pipeline has no source action of that name", "hint: the pipeline has Fetch"]);
}

#[test]
fn a_variable_nobody_declared_and_one_without_a_value() {
    let text = pipeline(&deploy("bad-site"));
    told(&[("pipeline.json", &text)], &["run", ".", "--var", "Target=x"])
        .is(2, &["the pipeline declares no variable of that name", "hint: the pipeline has no variables"]);
    let text = text.replacen("\"stages\"", "\"variables\": [{\"name\": \"Target\"}], \"stages\"", 1);
    told(&[("pipeline.json", &text)], &["run", "."]).is(
        2,
        &["the pipeline's variable `Target` has no default and no value", "hint: give one with `--var Target=VALUE`"],
    );
}

#[test]
fn bad_usage() {
    told(&[], &["run"]).is(2, &["Usage: towpath run"]);
    told(&[], &["run", ".", "--approve", "perhaps"]).is(2, &["perhaps", "all", "ask", "none"]);
    told(&[("pipeline.json", &pipeline(&deploy("bad-site")))], &["run", ".", "--approve", "ask"])
        .is(2, &["`--approve ask` needs a terminal to ask on", "hint: use `--approve all` or `--approve none`"]);
}
