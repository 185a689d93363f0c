//! Finding the files of the artifacts, with CodeBuild's log lines and errors of UPLOAD_ARTIFACTS. Must not pack or
//! upload them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::glob::{GlobError, Pattern, Tree, excludes};
use super::{Expanded, Say};
use crate::buildspec::{ArtifactSpec, Artifacts};
use crate::limits::ARTIFACT_FILES_MAX;
use crate::request::WantedArtifacts;
use crate::sandbox::layout::Layout;
use crate::status::{ArtifactFile, CollectedArtifact};

/// The message of a CLIENT_ERROR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("no matching artifact paths found")]
    NoFiles,
    #[error("no matching base directory path found for {0}")]
    NoBaseDirectory(String),
    #[error("no definition for primary artifacts in buildspec")]
    NoPrimary,
    #[error("no definition for secondary artifact {0} in buildspec")]
    NoSecondary(String),
    #[error("artifact has more than {ARTIFACT_FILES_MAX} files")]
    TooMany,
    #[error("{0}")]
    Glob(#[from] GlobError),
}

/// What to look in.
pub(crate) struct Source<'a> {
    pub layout: &'a Layout,
    pub expanded: &'a Expanded,
    /// Absolute base directories the host cannot see, and where their contents were copied to.
    pub copies: &'a BTreeMap<String, PathBuf>,
}

/// Every wanted artifact that the buildspec declares. A buildspec without `artifacts` yields none, and that is no error.
pub(crate) fn collect(
    declared: Option<&Artifacts>,
    wanted: &WantedArtifacts,
    source: &Source,
    say: Say,
) -> Result<Vec<CollectedArtifact>, CollectError> {
    let Some(declared) = declared else { return Ok(Vec::new()) };
    let mut collected = Vec::new();
    if wanted.primary() {
        let spec = declared.primary.as_ref().ok_or(CollectError::NoPrimary)?;
        collected.push(one(None, spec, source, say)?);
    }
    for wanted in wanted.secondary() {
        let (id, spec) = declared
            .secondary
            .iter()
            .find(|(id, _)| id == wanted)
            .ok_or_else(|| CollectError::NoSecondary(wanted.clone()))?;
        say(&format!("Preparing to copy secondary artifacts {id}"));
        collected.push(one(Some(id), spec, source, say)?);
    }
    Ok(collected)
}

fn one(
    identifier: Option<&String>,
    spec: &ArtifactSpec,
    source: &Source,
    say: Say,
) -> Result<CollectedArtifact, CollectError> {
    let mut tree = Tree::new(source.layout);
    // A link that is moved out of its directory points nowhere.
    tree.keep_links = spec.enable_symlinks && !spec.discard_paths;
    let base = source.expanded.of(spec.base_directory.as_deref().unwrap_or("."));
    say(&format!("Expanding base directory path:  {base}"));
    let roots = base_directories(base, source, &mut tree, say)?;
    say(&format!("Expanding file paths for base directory {base}"));
    say("Assembling file list");
    let exclude = excludes(spec.exclude_paths.iter().map(|pattern| source.expanded.of(pattern)));
    let mut files = BTreeMap::new();
    for written in &spec.files {
        let pattern = source.expanded.of(written);
        say(&format!("Expanding {pattern}"));
        let mut found = 0usize;
        for (root, inside) in &roots {
            let relative = Path::new(pattern).strip_prefix(inside).ok().and_then(Path::to_str).unwrap_or(pattern);
            let Some(pattern) = Pattern::new(relative) else { continue };
            for file in tree.files(root, &pattern, &exclude)? {
                found += 1;
                let path = if spec.discard_paths { base_name(&file.path).to_owned() } else { file.path };
                files.insert(path, (file.source, file.symlink));
                if files.len() > ARTIFACT_FILES_MAX {
                    return Err(CollectError::TooMany);
                }
            }
        }
        say(&if found > 0 {
            format!("Found {found} file(s)")
        } else {
            format!("Skipping invalid file path {pattern}")
        });
    }
    if files.is_empty() {
        return Err(CollectError::NoFiles);
    }
    Ok(CollectedArtifact {
        identifier: identifier.cloned(),
        name: spec.name.as_ref().map(|name| source.expanded.of(name).to_owned()),
        s3_prefix: spec.s3_prefix.as_ref().map(|prefix| source.expanded.of(prefix).to_owned()),
        files: files.into_iter().map(|(path, (source, symlink))| ArtifactFile { path, source, symlink }).collect(),
    })
}

pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The directories a base directory stands for, on the host and inside.
pub(crate) fn base_directories(
    base: &str,
    source: &Source,
    tree: &mut Tree,
    say: Say,
) -> Result<Vec<(PathBuf, PathBuf)>, CollectError> {
    let missing = || CollectError::NoBaseDirectory(base.to_owned());
    let layout = source.layout;
    say("Assembling file list");
    say(&format!("Expanding {base}"));
    let trimmed = base.trim_end_matches('/');
    if let Some(copy) = source.copies.get(base) {
        tree.allow(copy);
        return Ok(vec![(tree.dir(copy).ok_or_else(missing)?, trimmed.into())]);
    }
    if matches!(trimmed, "" | "." | "./.") {
        return if base.starts_with('/') {
            Err(missing())
        } else {
            Ok(vec![(layout.source_host.clone(), layout.source.clone())])
        };
    }
    if base.starts_with('/') && !base.contains(['*', '?', '[', '{']) {
        let inside = PathBuf::from(trimmed);
        let host = layout.to_host(&inside).ok_or_else(missing)?;
        // An absolute directory is where the build's author wants it to be; links must not lead out of what is shared.
        let shared = |real: &Path| {
            layout.mounts.is_empty()
                || layout.mounts.iter().any(|mount| host.starts_with(&mount.host) && real.starts_with(&mount.host))
        };
        if let Ok(real) = host.canonicalize()
            && shared(&real)
        {
            tree.allow(&real);
        }
        return Ok(vec![(tree.dir(&host).ok_or_else(missing)?, inside)]);
    }
    let relative = Path::new(trimmed).strip_prefix(&layout.source).ok().and_then(Path::to_str).unwrap_or(trimmed);
    let pattern = Pattern::new(relative).ok_or_else(missing)?;
    let dirs = tree.dirs(&layout.source_host, &pattern)?;
    if dirs.is_empty() {
        return Err(missing());
    }
    Ok(dirs
        .into_iter()
        .map(|dir| {
            let inside =
                dir.strip_prefix(&layout.source_host).map_or_else(|_| dir.clone(), |rest| layout.source.join(rest));
            (dir, inside)
        })
        .collect())
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;
