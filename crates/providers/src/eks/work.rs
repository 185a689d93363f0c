//! What is done to a cluster: the commands, from the action's configuration and the unpacked artifact, whose manifests and
//! values files get the action's environment variables first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use towpath_model::action::ActionInvocation;

use crate::deploys::needed;
use crate::limits::EKS_FILES_MAX;

/// The two ways to deploy; an action has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Helm { release: String, chart: String, values: Vec<String> },
    Manifests(Vec<String>),
}

/// What the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub cluster: String,
    pub namespace: String,
    pub mode: Mode,
    /// Put into manifests and values files.
    pub variables: BTreeMap<String, String>,
}

/// One command; the tool is the first word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub tool: &'static str,
    pub arguments: Vec<String>,
    /// As people are shown it: paths as in the artifact.
    pub shown: String,
}

impl Wanted {
    pub fn read(action: &ActionInvocation) -> Result<Self, String> {
        let name = &action.action_name;
        let given = |key: &str| action.config(key).map(str::trim).filter(|value| !value.is_empty());
        let cluster = needed(action, "ClusterName")?.trim();
        let namespace = given("Namespace").unwrap_or("default");
        label("Namespace", namespace)?;
        let list = |key: &str| -> Result<Vec<String>, String> {
            let items = given(key).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty());
            let items: Vec<String> = items.map(|item| inside(key, item)).collect::<Result<_, _>>()?;
            if items.len() > EKS_FILES_MAX {
                return Err(format!("{key} has {} files; {EKS_FILES_MAX} are the most.", items.len()));
            }
            Ok(items)
        };
        let (manifests, values) = (list("ManifestFiles")?, list("HelmValuesFiles")?);
        let mode = match (given("HelmReleaseName"), given("HelmChartLocation"), manifests.is_empty()) {
            (Some(release), Some(chart), true) => {
                label("HelmReleaseName", release)?;
                let chart = inside("HelmChartLocation", chart)?;
                Mode::Helm { release: release.to_owned(), chart, values }
            }
            (None, None, false) if values.is_empty() => Mode::Manifests(manifests),
            (None, None, true) => {
                return Err(format!(
                    "{name} needs HelmReleaseName and HelmChartLocation, or ManifestFiles: one way to deploy."
                ));
            }
            (Some(_), Some(_), false) | (None, None, false) => {
                return Err(format!("{name} has ManifestFiles and keys of Helm. Leave one way to deploy out."));
            }
            _ => {
                return Err(format!(
                    "{name} needs both HelmReleaseName and HelmChartLocation, or ManifestFiles alone."
                ));
            }
        };
        let mut variables = BTreeMap::new();
        for variable in &action.environment_variables {
            if variable.kind.as_deref().is_some_and(|kind| kind != "PLAINTEXT") {
                return Err(format!(
                    "The environment variable {} is not of the type PLAINTEXT, which is the only one that this action \
                     takes.",
                    variable.name
                ));
            }
            variables.insert(variable.name.clone(), variable.value.clone());
        }
        Ok(Self { cluster: cluster.to_owned(), namespace: namespace.to_owned(), mode, variables })
    }

    /// Which program it takes.
    pub fn tool(&self) -> &'static str {
        match self.mode {
            Mode::Helm { .. } => "helm",
            Mode::Manifests(_) => "kubectl",
        }
    }

    /// Fills the files in and says what to run. `root` is the unpacked artifact.
    pub fn prepare(&self, root: &Path) -> Result<Vec<Step>, String> {
        let path = |relative: &str| root.join(relative).to_string_lossy().into_owned();
        match &self.mode {
            Mode::Helm { release, chart, values } => {
                if !root.join(chart).join("Chart.yaml").is_file() {
                    return Err(format!("The artifact has no chart at {chart}: there is no {chart}/Chart.yaml."));
                }
                let mut arguments: Vec<String> =
                    ["upgrade", "--install", release].map(ToOwned::to_owned).into_iter().collect();
                arguments.extend([path(chart), "--namespace".to_owned(), self.namespace.clone(), "--wait".to_owned()]);
                let mut shown =
                    format!("helm upgrade --install {release} {chart} --namespace {} --wait", self.namespace);
                for file in values {
                    self.fill(root, file)?;
                    arguments.extend(["--values".to_owned(), path(file)]);
                    shown = format!("{shown} --values {file}");
                }
                Ok(vec![Step { tool: "helm", arguments, shown }])
            }
            Mode::Manifests(files) => {
                let one = |file: &String| {
                    self.fill(root, file)?;
                    let arguments = ["apply", "--namespace", &self.namespace, "--filename", &path(file)];
                    Ok(Step {
                        tool: "kubectl",
                        arguments: arguments.map(ToOwned::to_owned).to_vec(),
                        shown: format!("kubectl apply --namespace {} --filename {file}", self.namespace),
                    })
                };
                files.iter().map(one).collect()
            }
        }
    }

    fn fill(&self, root: &Path, file: &str) -> Result<(), String> {
        let path: PathBuf = root.join(file);
        if !path.is_file() {
            return Err(format!("The artifact has no file {file}."));
        }
        if self.variables.is_empty() {
            return Ok(());
        }
        let read = std::fs::read(&path).map_err(|error| format!("cannot read {file}: {error}"))?;
        let Ok(text) = String::from_utf8(read) else { return Ok(()) };
        std::fs::write(&path, filled(&text, &self.variables)).map_err(|error| format!("cannot write {file}: {error}"))
    }
}

/// `$NAME` and `${NAME}` by their values; what is no variable of the action stays as it is.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, used) = if let Some(braced) = after.strip_prefix('{') {
            braced.find('}').map_or(("", 0), |end| (&braced[..end], end + 2))
        } else {
            let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
            (&after[..end], end)
        };
        if let Some(value) = variables.get(name).filter(|_| !name.is_empty()) {
            out.push_str(value);
            rest = &after[used..];
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// A name as Kubernetes has them; none begins like an option.
fn label(key: &str, text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edges = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.len() <= 63 && text.chars().all(legal) && text.starts_with(edges) && text.ends_with(edges) {
        return Ok(());
    }
    Err(format!("The value of {key} is '{text}'; it must be a name of Kubernetes: small letters, digits, '-' and '.'."))
}

/// A path below the artifact's root.
fn inside(key: &str, path: &str) -> Result<String, String> {
    let relative = path.trim_start_matches("./").trim_end_matches('/');
    let parts: Vec<&str> = relative.split('/').collect();
    if relative.starts_with('/') || relative.is_empty() || parts.contains(&"..") || relative.contains('\0') {
        return Err(format!("The value of {key} is not valid: '{path}' is no path in the artifact."));
    }
    Ok(relative.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests(files: &[&str]) -> Wanted {
        Wanted {
            cluster: "harbour".to_owned(),
            namespace: "ferry".to_owned(),
            mode: Mode::Manifests(files.iter().map(|file| (*file).to_owned()).collect()),
            variables: BTreeMap::from([("TAG".to_owned(), "v2".to_owned()), ("T".to_owned(), "x".to_owned())]),
        }
    }

    #[test]
    fn variables_in_both_forms_and_what_stays() {
        let wanted = manifests(&[]);
        let text = "image: web:$TAG\nother: ${TAG}-${T} $TAGS ${NONE} $ ${open $";
        assert_eq!(filled(text, &wanted.variables), "image: web:v2\nother: v2-x $TAGS ${NONE} $ ${open $");
    }

    #[test]
    fn each_manifest_is_filled_and_applied() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("web.yaml"), "image: web:$TAG").unwrap();
        let steps = manifests(&["web.yaml"]).prepare(root.path()).unwrap();
        assert_eq!(steps[0].shown, "kubectl apply --namespace ferry --filename web.yaml");
        assert_eq!(steps[0].arguments[..4], ["apply", "--namespace", "ferry", "--filename"]);
        assert_eq!(std::fs::read_to_string(root.path().join("web.yaml")).unwrap(), "image: web:v2");
        assert_eq!(
            manifests(&["gone.yaml"]).prepare(root.path()),
            Err("The artifact has no file gone.yaml.".to_owned())
        );
    }

    #[test]
    fn names_and_paths() {
        assert!(label("Namespace", "ferry-1").is_ok());
        for bad in ["", "-n", "Ferry", "a b", "a-"] {
            assert!(label("Namespace", bad).is_err(), "{bad}");
        }
        assert_eq!(inside("ManifestFiles", "./k8s/web.yaml"), Ok("k8s/web.yaml".to_owned()));
        for bad in ["/etc/x", "../x", "a/../../x", "./"] {
            assert!(inside("ManifestFiles", bad).is_err(), "{bad}");
        }
    }
}
