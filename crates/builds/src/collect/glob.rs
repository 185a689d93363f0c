//! CodeBuild's globs over a tree: `*` within a segment, `**` across, files only. A symbolic link is followed only to
//! places inside the allowed directories. Must not read file contents.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use crate::limits::{WALK_DEPTH_MAX, WALK_ENTRIES_MAX};
use crate::sandbox::layout::Layout;

const LINKS_MAX: usize = 40;

/// A search that had to be given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    #[error("more than {WALK_ENTRIES_MAX} files and directories below {0}")]
    TooMany(String),
    #[error("cannot read {0}: {1}")]
    Read(String, String),
}

/// One file that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Real file on the host, free of symbolic links.
    pub source: PathBuf,
    /// It is a link, and links are kept: where it points.
    pub symlink: Option<String>,
}

/// A directory that is searched.
pub(crate) struct Tree<'a> {
    layout: &'a Layout,
    /// Real directories nothing may lead out of.
    allowed: Vec<PathBuf>,
    /// Report links as links, where they point to a place inside by a relative path.
    pub keep_links: bool,
    /// Follow links to directories.
    pub follow_dirs: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    File(PathBuf),
    Dir(PathBuf),
    /// It leads outside, to nothing, or to something that is neither file nor directory.
    Nothing,
}

impl<'a> Tree<'a> {
    pub fn new(layout: &'a Layout) -> Self {
        let allowed = std::iter::once(&layout.source_host).chain(&layout.secondary_hosts).cloned().collect();
        Self { layout, allowed, keep_links: false, follow_dirs: true }
    }

    /// Lets links lead to one more directory.
    pub fn allow(&mut self, dir: &Path) {
        self.allowed.push(dir.to_owned());
    }

    /// The files below `root`, a real directory, that `pattern` matches and `exclude` does not.
    pub fn files(&self, root: &Path, pattern: &Pattern, exclude: &GlobSet) -> Result<Vec<Found>, GlobError> {
        let mut found = Vec::new();
        self.search(root, pattern, &mut |path, target, link| {
            if let Target::File(source) = target
                && !exclude.is_match(&path)
            {
                found.push(Found { path, source, symlink: link });
            }
        })?;
        Ok(found)
    }

    /// The directories below `root` that `pattern` matches, links resolved.
    pub fn dirs(&self, root: &Path, pattern: &Pattern) -> Result<Vec<PathBuf>, GlobError> {
        let mut found = Vec::new();
        self.search(root, pattern, &mut |_, target, _| {
            if let Target::Dir(dir) = target {
                found.push(dir);
            }
        })?;
        found.sort();
        Ok(found)
    }

    /// The real directory a path inside the build leads to, if it is inside the allowed ones.
    pub fn dir(&self, host: &Path) -> Option<PathBuf> {
        match self.resolve(host) {
            Target::Dir(dir) => Some(dir),
            _ => None,
        }
    }

    fn search(
        &self,
        root: &Path,
        pattern: &Pattern,
        each: &mut dyn FnMut(String, Target, Option<String>),
    ) -> Result<(), GlobError> {
        let Some(matcher) = &pattern.matcher else {
            let path = root.join(&pattern.prefix);
            let link = self.kept_link(&path);
            each(pattern.prefix.clone(), if link.is_some() { Target::File(path) } else { self.resolve(&path) }, link);
            return Ok(());
        };
        let Target::Dir(start) = self.resolve(&root.join(&pattern.prefix)) else { return Ok(()) };
        // Each with its real ancestors' count as depth; a link to a directory already on its path is not followed.
        let mut queue = VecDeque::from([(pattern.prefix.clone(), start, 0usize)]);
        let mut seen = 0usize;
        while let Some((prefix, dir, depth)) = queue.pop_front() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if !prefix.is_empty() && error.kind() == std::io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(GlobError::Read(dir.display().to_string(), error.to_string())),
            };
            for entry in entries {
                let entry = entry.map_err(|error| GlobError::Read(dir.display().to_string(), error.to_string()))?;
                seen += 1;
                if seen > WALK_ENTRIES_MAX {
                    return Err(GlobError::TooMany(root.display().to_string()));
                }
                // A name that is not UTF-8 cannot be the name of an artifact's entry.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
                let host = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                let (target, link) = if kind.is_symlink() {
                    match self.kept_link(&host) {
                        Some(link) => (Target::File(host), Some(link)),
                        None => (self.resolve(&host), None),
                    }
                } else if kind.is_dir() {
                    (Target::Dir(host), None)
                } else if kind.is_file() {
                    (Target::File(host), None)
                } else {
                    (Target::Nothing, None)
                };
                if let Target::Dir(real) = &target
                    && depth < WALK_DEPTH_MAX
                    && pattern.may_match_below(depth + 1)
                    && (!kind.is_symlink() || self.follow_dirs && !dir.starts_with(real))
                {
                    queue.push_back((path.clone(), real.clone(), depth + 1));
                }
                if matcher.is_match(&path) {
                    each(path, target, link);
                }
            }
        }
        Ok(())
    }

    /// The target of a link that is stored as one.
    fn kept_link(&self, host: &Path) -> Option<String> {
        let target = if self.keep_links { fs::read_link(host).ok()? } else { return None };
        (target.is_relative() && self.resolve(host) != Target::Nothing)
            .then(|| target.to_str().map(str::to_owned))
            .flatten()
    }

    /// Follows a path as a process inside the sandbox would, and refuses what ends outside the allowed directories.
    fn resolve(&self, host: &Path) -> Target {
        let mut links = 0;
        let mut done = PathBuf::from("/");
        let mut todo: VecDeque<OsString> = parts(host);
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                done.pop();
                continue;
            }
            let next = done.join(&part);
            match fs::read_link(&next) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Target::Nothing;
                    }
                    let mut ahead = if target.is_absolute() {
                        let Some(host) = self.layout.to_host(&target) else { return Target::Nothing };
                        done = PathBuf::from("/");
                        parts(&host)
                    } else {
                        parts(&target)
                    };
                    ahead.append(&mut todo);
                    todo = ahead;
                }
                Err(_) => done = next,
            }
        }
        if !self.allowed.iter().any(|allowed| done.starts_with(allowed)) {
            return Target::Nothing;
        }
        match fs::symlink_metadata(&done) {
            Ok(metadata) if metadata.is_dir() => Target::Dir(done),
            Ok(metadata) if metadata.is_file() => Target::File(done),
            _ => Target::Nothing,
        }
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// A glob split into the directory it surely lies in and the rest.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    prefix: String,
    /// None: no wildcard, `prefix` is the whole path.
    matcher: Option<GlobMatcher>,
    /// Segments below the prefix; none: any number.
    levels: Option<usize>,
}

impl Pattern {
    /// None for a pattern that can match nothing inside a directory: empty, absolute, leading out, not a glob.
    pub fn new(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        for segment in text.split('/') {
            match segment {
                "" | "." if !segments.is_empty() || segment == "." => {}
                "" | ".." => return None,
                other => segments.push(other),
            }
        }
        // `dir/` names a directory, and those are never matched.
        if segments.is_empty() || text.ends_with('/') {
            return None;
        }
        let plain =
            segments.iter().take_while(|segment| !segment.contains(['*', '?', '[', ']', '{', '}', '\\'])).count();
        let matcher =
            if plain == segments.len() { None } else { Some(compile(&segments.join("/"))?.compile_matcher()) };
        let levels = (!segments.iter().any(|segment| segment.contains("**") || segment.contains('{')))
            .then_some(segments.len() - plain);
        Some(Self { prefix: segments[..plain].join("/"), matcher, levels })
    }

    fn may_match_below(&self, depth: usize) -> bool {
        self.levels.is_none_or(|levels| depth < levels)
    }
}

fn compile(text: &str) -> Option<Glob> {
    GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().ok()
}

/// `exclude-paths` as one matcher; globs that are none are ignored.
pub(crate) fn excludes<'a>(patterns: impl Iterator<Item = &'a str>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if let Some(glob) = compile(pattern.trim_start_matches("./")) {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn layout(source: &Path) -> Layout {
        Layout {
            source: source.to_owned(),
            secondary: Vec::new(),
            scratch: source.join(".scratch"),
            mounts: Vec::new(),
            source_host: source.to_owned(),
            secondary_hosts: Vec::new(),
        }
    }

    fn tree(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("src");
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir_all(&root).unwrap();
        (dir, root)
    }

    fn matched(root: &Path, pattern: &str, exclude: &[&str]) -> Vec<String> {
        let layout = layout(root);
        let Some(pattern) = Pattern::new(pattern) else { return Vec::new() };
        let found = Tree::new(&layout).files(root, &pattern, &excludes(exclude.iter().copied())).unwrap();
        let mut paths: Vec<_> = found.into_iter().map(|found| found.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn stars_stay_in_their_segment_and_double_stars_do_not() {
        let (_dir, root) = tree(&["a.txt", ".hidden", "d/b.txt", "d/e/c.txt", "d/.git/x"]);
        assert_eq!(matched(&root, "*", &[]), [".hidden", "a.txt"]);
        assert_eq!(matched(&root, "d/*", &[]), ["d/b.txt"]);
        assert_eq!(matched(&root, "*/*.txt", &[]), ["d/b.txt"]);
        assert_eq!(matched(&root, "**/*", &[]), [".hidden", "a.txt", "d/.git/x", "d/b.txt", "d/e/c.txt"]);
        assert_eq!(matched(&root, "./d/**/*.txt", &[]), ["d/b.txt", "d/e/c.txt"]);
        assert_eq!(matched(&root, "d/{b,e/c}.txt", &[]), ["d/b.txt", "d/e/c.txt"]);
        assert_eq!(matched(&root, "d/b.txt", &[]), ["d/b.txt"]);
        for nothing in ["d", "d/", "missing", "../src/a.txt", "/a.txt", "", ".", "[", "a.txt/x"] {
            assert_eq!(matched(&root, nothing, &[]), Vec::<String>::new(), "{nothing}");
        }
    }

    #[test]
    fn the_guides_excludes() {
        let (_dir, root) = tree(&["a.txt", ".hidden", "d/.git/x", "d/name/y", "name/z"]);
        assert_eq!(matched(&root, "**/*", &["**/.*/**/*", "**/.*"]), ["a.txt", "d/name/y", "name/z"]);
        assert_eq!(matched(&root, "**/*", &["**/name/**/*"]), [".hidden", "a.txt", "d/.git/x"]);
    }

    #[test]
    fn links_are_followed_inside_and_never_outside() {
        let (dir, root) = tree(&["a.txt", "d/b.txt"]);
        fs::write(dir.path().join("secret"), "s").unwrap();
        symlink("a.txt", root.join("to-file")).unwrap();
        symlink("d", root.join("to-dir")).unwrap();
        symlink("..", root.join("d/up")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(dir.path().canonicalize().unwrap().join("secret"), root.join("out-absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("missing", root.join("dangling")).unwrap();
        symlink("..", root.join("out-dir")).unwrap();
        assert_eq!(matched(&root, "**/*", &[]), ["a.txt", "d/b.txt", "to-dir/b.txt", "to-file"]);
        assert_eq!(matched(&root, "out", &[]), Vec::<String>::new());
        assert_eq!(matched(&root, "out-dir/secret", &[]), Vec::<String>::new());

        let layout = layout(&root);
        let mut keeping = Tree::new(&layout);
        keeping.keep_links = true;
        let found = keeping.files(&root, &Pattern::new("**/*").unwrap(), &GlobSet::empty()).unwrap();
        let mut links: Vec<_> = found.into_iter().map(|found| (found.path, found.symlink)).collect();
        links.sort();
        let expected = [
            ("a.txt", None),
            ("d/b.txt", None),
            ("d/up", Some("..")),
            ("to-dir", Some("d")),
            ("to-file", Some("a.txt")),
        ];
        assert_eq!(links, expected.map(|(path, link)| (path.to_owned(), link.map(str::to_owned))));
    }

    #[test]
    fn base_directories_may_hold_wildcards() {
        let (_dir, root) = tree(&["my-build-1/f", "my-build-2/g", "other/h"]);
        let layout = layout(&root);
        let dirs = Tree::new(&layout).dirs(&root, &Pattern::new("my-build*").unwrap()).unwrap();
        assert_eq!(dirs, [root.join("my-build-1"), root.join("my-build-2")]);
    }
}
