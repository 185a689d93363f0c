//! What an EC2 deploy action does on each of its targets: from its configuration, or from a spec file in the artifact. And
//! the shell script that does it there.
//!
//! The script keeps what the user's scripts print in a file of the target and prints one line for each step, so that a
//! Systems Manager invocation, of which 2,500 characters are told, says all that matters: `towpath:STEP:STATUS:BEGIN:END:TEXT`,
//! and after a step that failed the end of the log. Must not know how it is sent.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use towpath_model::action::ActionInvocation;

use crate::limits::{EC2_HOOK_SECONDS_MAX, EC2_HOOKS_MAX, EC2_PATH_CHARS_MAX};

/// Files and scripts, as every target has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spec {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Script>,
    pub files: Vec<Copied>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Script>,
}

/// What of the artifact goes where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    pub source: String,
    pub destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    pub location: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runas: Option<String>,
}

/// The spec file as it is written; a CodeDeploy appspec has `hooks` where it has `scripts`.
#[derive(Deserialize)]
struct File {
    version: serde_yaml_ng::Value,
    #[serde(default)]
    files: Vec<Copied>,
    #[serde(default)]
    scripts: Option<Scripts>,
    #[serde(default)]
    hooks: Option<Hooks>,
}

#[derive(Deserialize, Default)]
struct Scripts {
    #[serde(default, rename = "BeforeDeploy")]
    before: Option<Vec<Script>>,
    #[serde(default, rename = "AfterDeploy")]
    after: Option<Vec<Script>>,
}

/// Those of CodeDeploy's hooks that mean something here, in their order.
#[derive(Deserialize, Default)]
struct Hooks {
    #[serde(default, rename = "ApplicationStop")]
    application_stop: Option<Vec<Script>>,
    #[serde(default, rename = "BeforeInstall")]
    before_install: Option<Vec<Script>>,
    #[serde(default, rename = "AfterInstall")]
    after_install: Option<Vec<Script>>,
    #[serde(default, rename = "ApplicationStart")]
    application_start: Option<Vec<Script>>,
    #[serde(default, rename = "ValidateService")]
    validate_service: Option<Vec<Script>>,
}

impl Spec {
    /// Of the keys `TargetDirectory`, `PreScript` and `PostScript`.
    pub fn of_keys(action: &ActionInvocation) -> Result<Self, String> {
        let given = |key: &str| action.config(key).filter(|value| !value.is_empty());
        let directory = given("TargetDirectory").ok_or_else(|| {
            format!("{} needs TargetDirectory, or DeploySpec, the path of a spec file.", action.action_name)
        })?;
        let script = |key: &str| {
            let one = |location: &str| Script { location: location.to_owned(), timeout: None, runas: None };
            given(key).map(one).into_iter().collect()
        };
        let files = vec![Copied { source: "/".to_owned(), destination: directory.to_owned() }];
        Self { before: script("PreScript"), files, after: script("PostScript") }.checked()
    }

    /// Of a spec file, or of a CodeDeploy appspec.
    pub fn of_file(text: &str) -> Result<Self, String> {
        let file: File = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        let version = match &file.version {
            serde_yaml_ng::Value::String(text) => text.clone(),
            serde_yaml_ng::Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let joined = |lists: Vec<Option<Vec<Script>>>| lists.into_iter().flatten().flatten().collect();
        let (before, after) = match version.as_str() {
            "0.1" => {
                let scripts = file.scripts.unwrap_or_default();
                (scripts.before.unwrap_or_default(), scripts.after.unwrap_or_default())
            }
            "0.0" | "0" => {
                let hooks = file.hooks.unwrap_or_default();
                let after = vec![hooks.after_install, hooks.application_start, hooks.validate_service];
                (joined(vec![hooks.application_stop, hooks.before_install]), joined(after))
            }
            other => return Err(format!("its version is {other:?}; it must be 0.1, or 0.0 of a CodeDeploy appspec")),
        };
        Self { before, files: file.files, after }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        for copied in &self.files {
            inside(&copied.source)?;
            if !copied.destination.starts_with('/') {
                return Err(format!("the destination '{}' is no absolute path", copied.destination));
            }
            plain(&copied.destination)?;
        }
        for script in self.before.iter().chain(&self.after) {
            inside(&script.location)?;
            if script.timeout.is_some_and(|seconds| seconds == 0 || seconds > EC2_HOOK_SECONDS_MAX) {
                return Err(format!("the timeout of {} must be 1 to {EC2_HOOK_SECONDS_MAX} seconds", script.location));
            }
            let is_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if let Some(user) = script.runas.as_deref().filter(|user| user.is_empty() || !user.chars().all(is_user)) {
                return Err(format!("'{user}' is no name of a user"));
            }
        }
        let scripts = self.before.len() + self.after.len() + self.files.len();
        if scripts > EC2_HOOKS_MAX {
            return Err(format!("there are {scripts} files and scripts; {EC2_HOOKS_MAX} are the most"));
        }
        Ok(self)
    }

    /// The script that does all of it. `base` is a directory of the target for this action, `mark` what it has there
    /// afterwards, `url` where the artifact can be read.
    pub fn script(&self, base: &str, mark: &str, url: &str) -> String {
        let mut text = String::new();
        for (name, value) in [("base", base), ("mark", mark), ("url", url)] {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{name}={}", quoted(value));
        }
        text.push_str(include_str!("target.sh"));
        let step = |text: &mut String, name: &str, scripts: &[Script]| {
            if scripts.is_empty() {
                return;
            }
            let _ = writeln!(text, "begin {name}");
            for script in scripts {
                let limit = script.timeout.map(|seconds| seconds.to_string()).unwrap_or_default();
                let user = script.runas.as_deref().unwrap_or_default();
                let path = quoted(relative(&script.location));
                let _ = writeln!(text, "run {path} {} {}", quoted(&limit), quoted(user));
            }
            text.push_str("end\n");
        };
        step(&mut text, "BEFORE_DEPLOY", &self.before);
        text.push_str("begin DEPLOY\n");
        for copied in &self.files {
            let _ = writeln!(text, "copy {} {}", quoted(relative(&copied.source)), quoted(copied.destination.as_str()));
        }
        text.push_str("end\n");
        step(&mut text, "AFTER_DEPLOY", &self.after);
        text.push_str("printf '%s' \"$mark\" > \"$base/deployed\"\n");
        text
    }
}

/// A path below the artifact's root, which a `/` in front stands for.
fn relative(path: &str) -> &str {
    let path = path.trim_matches('/');
    if path.is_empty() { "." } else { path }
}

fn inside(path: &str) -> Result<(), String> {
    plain(path)?;
    if path.split('/').any(|part| part == "..") {
        return Err(format!("the path '{path}' leads out of the artifact"));
    }
    Ok(())
}

/// Systems Manager replaces `{{` in parameters by itself.
fn plain(path: &str) -> Result<(), String> {
    let is_odd = path.is_empty() || path.contains("{{") || path.chars().any(char::is_control);
    if is_odd || path.chars().count() > EC2_PATH_CHARS_MAX {
        return Err(format!("'{}' is no path that a target can be given", path.escape_debug()));
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version: 0.1\nfiles:\n  - source: /dist\n    destination: /srv/ferry\nscripts:\n  BeforeDeploy:\n    \
                        - location: hooks/stop.sh\n      timeout: 60\n      runas: ferry\n  AfterDeploy:\n    - location: \
                        hooks/start.sh\n";

    #[test]
    fn a_spec_file_and_an_appspec() {
        let spec = Spec::of_file(FILE).unwrap();
        let stop = Script { location: "hooks/stop.sh".into(), timeout: Some(60), runas: Some("ferry".into()) };
        assert_eq!(spec.before, [stop]);
        assert_eq!(spec.files, [Copied { source: "/dist".into(), destination: "/srv/ferry".into() }]);
        assert_eq!(spec.after.len(), 1);
        let json = r#"{"version":0.1,"files":[{"source":"/","destination":"/srv"}]}"#;
        assert!(Spec::of_file(json).unwrap().before.is_empty());
        let app_spec = "version: 0.0\nos: linux\nfiles:\n  - {source: /, destination: /srv}\nhooks:\n  ApplicationStart:\n    - \
                        location: c\n  BeforeInstall:\n    - location: b\n  ApplicationStop:\n    - location: a\n  \
                        AfterInstall:\n    - location: x\n";
        let spec = Spec::of_file(app_spec).unwrap();
        let names = |scripts: &[Script]| scripts.iter().map(|s| s.location.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&spec.before), names(&spec.after)),
            (vec!["a".into(), "b".into()], vec!["x".into(), "c".into()])
        );
    }

    #[test]
    fn what_no_target_can_be_given() {
        let with = |from: &str, to: &str| Spec::of_file(&FILE.replace(from, to)).unwrap_err();
        assert!(with("hooks/stop.sh", "../stop.sh").contains("leads out of the artifact"));
        assert!(with("/srv/ferry", "srv").contains("no absolute path"));
        assert!(with("/srv/ferry", "\"/srv/{{ssm:x}}\"").contains("no path that a target can be given"));
        assert!(with("runas: ferry", "runas: \"a b\"").contains("no name of a user"));
        assert!(with("timeout: 60", "timeout: 0").contains("must be 1 to"));
        assert!(with("0.1", "2").starts_with("its version is \"2\""));
    }

    #[test]
    fn a_script_quotes_what_it_is_given() {
        let files = vec![Copied { source: "/it's".into(), destination: "/srv/a b".into() }];
        let script = Spec { files, ..Spec::default() }.script("/opt/codepipeline/p/a", "m", "https://x/?a=1&b=2");
        assert!(script.starts_with("base='/opt/codepipeline/p/a'\nmark='m'\nurl='https://x/?a=1&b=2'\n"), "{script}");
        assert!(script.contains("copy 'it'\\''s' '/srv/a b'\n"), "{script}");
        assert!(!script.contains("{{"), "Systems Manager would replace it");
    }
}
