//! A skill package made of the input artifacts of an Alexa deployment: the manifest, interaction models and assets, in the
//! layout that imports have, from the layouts that repositories have. Knows no HTTP.
//!
//! | In the artifact | In the package |
//! |---|---|
//! | `skill.json` | the same, merged by key with the second artifact's |
//! | `interactionModel/`, `interactionModels/` | `interactionModels/` |
//! | `assets/`, `isps/`, `customTasks/` | the same |
//! | `skill-package/`, where the root has no `skill.json` | its contents, like the root's |
//!
//! Files of the second artifact win over those of the first. Whatever else an artifact holds stays out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use towpath_artifacts::{Limits, UnpackError, pack_directory, unpack, walk};

use crate::limits::ALEXA_PACKAGE_BYTES_MAX;

const MANIFEST: &str = "skill.json";
const MODELS: &str = "interactionModels";
/// What the first directory of a file is called, and where it goes.
const DIRECTORIES: [(&str, &str); 5] = [
    ("interactionModel", MODELS),
    (MODELS, MODELS),
    ("assets", "assets"),
    ("isps", "isps"),
    ("customTasks", "customTasks"),
];

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("it cannot be unpacked: {0}")]
    Archive(#[from] UnpackError),
    #[error(
        "it has no {MANIFEST}, the skill's manifest, at its root or in skill-package. Put it there, beside interactionModels"
    )]
    NoManifest,
    #[error("its {MANIFEST} is no JSON object: {0}")]
    Manifest(String),
    #[error("the skill package has {0} bytes; {ALEXA_PACKAGE_BYTES_MAX} are allowed")]
    TooLarge(u64),
    /// Our own disk.
    #[error("{0}")]
    Local(#[from] io::Error),
}

/// The package of fetched artifacts, as a zip: the skill's own, and what overrides it.
pub fn package(skill: &Path, overrides: Option<&Path>, scratch: &Path) -> Result<Vec<u8>, PackageError> {
    let place = TempDir::with_prefix_in("skill-", scratch)?;
    let root = place.path().join("package");
    fs::create_dir(&root)?;
    let own = unpacked(skill, &place.path().join("own"))?;
    add(&own, &root)?;
    if let Some(overrides) = overrides {
        let more = unpacked(overrides, &place.path().join("overrides"))?;
        let before = fs::read(root.join(MANIFEST)).ok();
        add(&more, &root)?;
        if let (Some(before), Ok(over)) = (before, fs::read(more.join(MANIFEST))) {
            let mut merged = manifest(&before)?;
            merge(&mut merged, manifest(&over)?);
            fs::write(root.join(MANIFEST), merged.to_string())?;
        }
    }
    let whole = fs::read(root.join(MANIFEST)).map_err(|_| PackageError::NoManifest)?;
    manifest(&whole)?;
    let zip = place.path().join("package.zip");
    pack_directory(&root, |_, _| true, &zip).map_err(io::Error::other)?;
    let bytes = fs::metadata(&zip)?.len();
    if bytes > ALEXA_PACKAGE_BYTES_MAX {
        return Err(PackageError::TooLarge(bytes));
    }
    Ok(fs::read(&zip)?)
}

/// The directory that holds an artifact's skill.
fn unpacked(zip: &Path, to: &Path) -> Result<PathBuf, PackageError> {
    unpack(zip, to, &Limits::DEFAULT)?;
    let inner = to.join("skill-package");
    Ok(if !to.join(MANIFEST).exists() && inner.is_dir() { inner } else { to.to_owned() })
}

/// Copies what belongs to a package.
fn add(from: &Path, to: &Path) -> Result<(), PackageError> {
    for item in walk(from, |_, _| true).map_err(io::Error::other)? {
        let place = match item.name.split_once('/') {
            None if item.name == MANIFEST => MANIFEST.to_owned(),
            Some((first, rest)) => match DIRECTORIES.iter().find(|(name, _)| *name == first) {
                Some((_, place)) => format!("{place}/{rest}"),
                None => continue,
            },
            None => continue,
        };
        let target = to.join(place);
        if item.path.is_dir() {
            fs::create_dir_all(&target)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&item.path, &target)?;
    }
    Ok(())
}

fn manifest(bytes: &[u8]) -> Result<Value, PackageError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| PackageError::Manifest(error.to_string()))?;
    if value.is_object() { Ok(value) } else { Err(PackageError::Manifest("it is something else".to_owned())) }
}

/// Objects are merged member by member; anything else is replaced.
fn merge(into: &mut Value, over: Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, over) => *into = over,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn zip(directory: &TempDir, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = directory.path().join(format!("{name}-files"));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let zip = directory.path().join(name);
        pack_directory(&root, |_, _| true, &zip).unwrap();
        zip
    }

    fn contents(directory: &TempDir, bytes: &[u8]) -> BTreeMap<String, String> {
        let (zip, to) = (directory.path().join("made.zip"), directory.path().join("made"));
        fs::write(&zip, bytes).unwrap();
        unpack(&zip, &to, &Limits::DEFAULT).unwrap();
        let items = walk(&to, |_, _| true).unwrap().into_iter().filter(|item| item.path.is_file());
        items.map(|item| (item.name, fs::read_to_string(item.path).unwrap())).collect()
    }

    #[test]
    fn the_older_layout_becomes_a_package() {
        let directory = TempDir::new().unwrap();
        let skill = zip(
            &directory,
            "skill",
            &[
                ("skill.json", r#"{"manifest": {"apis": {"custom": {}}, "stage": "dev"}}"#),
                ("interactionModel/custom/en-US.json", "{}"),
                ("interactionModel/custom/de-DE.json", "{}"),
                ("lambda/index.js", "code"),
            ],
        );
        let over = zip(
            &directory,
            "over",
            &[
                ("skill.json", r#"{"manifest": {"stage": "live"}}"#),
                ("interactionModels/custom/de-DE.json", r#"{"interactionModel": {}}"#),
            ],
        );
        let made = contents(&directory, &package(&skill, Some(&over), directory.path()).unwrap());
        let names: Vec<&str> = made.keys().map(String::as_str).collect();
        assert_eq!(names, ["interactionModels/custom/de-DE.json", "interactionModels/custom/en-US.json", "skill.json"]);
        assert_eq!(made["interactionModels/custom/de-DE.json"], r#"{"interactionModel": {}}"#);
        let manifest: Value = serde_json::from_str(&made["skill.json"]).unwrap();
        assert_eq!(manifest, json!({"manifest": {"apis": {"custom": {}}, "stage": "live"}}));
    }

    #[test]
    fn a_package_directory_stands_for_the_root() {
        let directory = TempDir::new().unwrap();
        let skill = zip(
            &directory,
            "skill",
            &[("skill-package/skill.json", "{}"), ("skill-package/assets/a.png", "x"), ("README", "")],
        );
        let made = contents(&directory, &package(&skill, None, directory.path()).unwrap());
        assert_eq!(made.into_keys().collect::<Vec<_>>(), ["assets/a.png", "skill.json"]);
    }

    #[test]
    fn what_is_no_skill() {
        let directory = TempDir::new().unwrap();
        let none = zip(&directory, "none", &[("README", "")]);
        assert!(matches!(package(&none, None, directory.path()), Err(PackageError::NoManifest)));
        let list = zip(&directory, "list", &[("skill.json", "[]")]);
        assert!(matches!(package(&list, None, directory.path()), Err(PackageError::Manifest(_))));
        let broken = directory.path().join("broken");
        fs::write(&broken, "no zip").unwrap();
        assert!(matches!(package(&broken, None, directory.path()), Err(PackageError::Archive(_))));
    }
}
