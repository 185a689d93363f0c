//! How paths inside a sandbox correspond to paths on the host. Must not touch the file system beyond resolving and
//! making the directories it maps.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{NO_SANDBOX, StartError, fingerprint};
use crate::files::BuildDir;
use crate::request::BuildRequest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub inside: PathBuf,
    /// Absolute and free of symbolic links.
    pub host: PathBuf,
    pub read_only: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// CODEBUILD_SRC_DIR.
    pub source: PathBuf,
    /// Identifier and CODEBUILD_SRC_DIR_identifier.
    pub secondary: Vec<(String, PathBuf)>,
    /// Where scripts and carried state lie: `/codebuild/output/tmp`.
    pub scratch: PathBuf,
    /// Outer directories before inner ones; empty on the host, where every path is itself.
    pub mounts: Vec<Mount>,
    /// Host side of the sources.
    pub source_host: PathBuf,
    pub secondary_hosts: Vec<PathBuf>,
}

impl Layout {
    /// Everything where it is.
    pub fn host(request: &BuildRequest, dir: &BuildDir) -> Result<Self, StartError> {
        let source = canonical(&request.primary_source)?;
        let secondary = secondary_hosts(request)?;
        Ok(Self {
            source: source.clone(),
            secondary: request.secondary_sources.iter().map(|s| s.identifier.clone()).zip(secondary.clone()).collect(),
            scratch: made(&dir.scratch())?,
            mounts: Vec::new(),
            source_host: source,
            secondary_hosts: secondary,
        })
    }

    /// The directories as a build on AWS sees them.
    pub fn codebuild(request: &BuildRequest, dir: &BuildDir) -> Result<Self, StartError> {
        let output =
            PathBuf::from(format!("/codebuild/output/src{}/src", fingerprint(&request.build_id) % 4_000_000_000));
        let several = !request.secondary_sources.is_empty();
        let source = if several { output.join("s3/00") } else { output.clone() };
        let source_host = canonical(&request.primary_source)?;
        let secondary_hosts = secondary_hosts(request)?;
        let mut secondary = Vec::new();
        let mut mounts = vec![
            Mount { inside: source.clone(), host: source_host.clone(), read_only: false },
            Mount { inside: "/codebuild/output/tmp".into(), host: made(&dir.scratch())?, read_only: false },
            Mount { inside: "/codebuild/readonly".into(), host: made(&dir.readonly())?, read_only: true },
        ];
        for (index, (wanted, host)) in request.secondary_sources.iter().zip(&secondary_hosts).enumerate() {
            let inside = output.join(format!("s3/{:02}", index + 1));
            mounts.push(Mount { inside: inside.clone(), host: host.clone(), read_only: false });
            secondary.push((wanted.identifier.clone(), inside));
        }
        Ok(Self { source, secondary, scratch: "/codebuild/output/tmp".into(), mounts, source_host, secondary_hosts })
    }

    /// Maps another directory of the host into the sandbox.
    pub fn mount(&mut self, inside: &str, host: &Path) -> Result<(), StartError> {
        self.mounts.push(Mount { inside: inside.into(), host: made(host)?, read_only: false });
        self.mounts.sort_by_key(|mount| mount.inside.components().count());
        Ok(())
    }

    /// The host's path of an absolute path inside; none where the sandbox does not share it.
    pub fn to_host(&self, inside: &Path) -> Option<PathBuf> {
        if self.mounts.is_empty() {
            return normal(inside);
        }
        let (root, rest) = self.split(inside)?;
        Some(if rest.as_os_str().is_empty() { root } else { root.join(rest) })
    }

    /// The shared directory on the host that holds an absolute path inside, and the rest of the path.
    pub fn split(&self, inside: &Path) -> Option<(PathBuf, PathBuf)> {
        let inside = normal(inside)?;
        if self.mounts.is_empty() {
            let mut sources = std::iter::once(&self.source_host).chain(&self.secondary_hosts);
            return sources.find_map(|source| Some((source.clone(), inside.strip_prefix(source).ok()?.to_owned())));
        }
        let mount = self.mounts.iter().rev().find(|mount| inside.starts_with(&mount.inside))?;
        Some((mount.host.clone(), inside.strip_prefix(&mount.inside).ok()?.to_owned()))
    }
}

/// An absolute path without `.` and `..`; none for a relative one.
pub(crate) fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir => out.push("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(name) if out.has_root() => out.push(name),
            Component::Normal(_) | Component::Prefix(_) => return None,
        }
    }
    out.has_root().then_some(out)
}

fn secondary_hosts(request: &BuildRequest) -> Result<Vec<PathBuf>, StartError> {
    request.secondary_sources.iter().map(|source| canonical(&source.dir)).collect()
}

fn canonical(path: &Path) -> Result<PathBuf, StartError> {
    path.canonicalize()
        .map_err(|error| StartError::new(NO_SANDBOX, format!("source directory {}: {error}", path.display())))
}

fn made(path: &Path) -> Result<PathBuf, StartError> {
    fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .map_err(|error| StartError::new(NO_SANDBOX, format!("cannot make {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_the_innermost_mount_and_resists_dots() {
        let mount = |inside: &str, host: &str| Mount { inside: inside.into(), host: host.into(), read_only: false };
        let layout = Layout {
            source: "/codebuild/output/src1/src".into(),
            secondary: Vec::new(),
            scratch: "/codebuild/output/tmp".into(),
            mounts: vec![mount("/root", "/h/home"), mount("/root/.m2", "/h/m2")],
            source_host: "/h/src".into(),
            secondary_hosts: Vec::new(),
        };
        assert_eq!(layout.to_host(Path::new("/root/.m2/a")), Some("/h/m2/a".into()));
        assert_eq!(layout.to_host(Path::new("/root/./x/../y")), Some("/h/home/y".into()));
        assert_eq!(layout.to_host(Path::new("/root/../etc/passwd")), None);
        assert_eq!(layout.to_host(Path::new("relative")), None);
    }
}
