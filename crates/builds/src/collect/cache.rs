//! The local cache: what `cache.paths` matches is kept in a directory of the project and put back before the next
//! build. Best effort: a cache that cannot be read or written is a log line, never a failed build. Must not hold
//! anything but regular files, directories and relative links.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};

use globset::GlobSet;

use super::glob::{Found, Pattern, Tree};
use super::{Expanded, Say};
use crate::buildspec::{Cache, CacheAction};
use crate::limits::{CACHE_BYTES_MAX, CACHE_FILES_MAX, WALK_DEPTH_MAX};
use crate::sandbox::layout::Layout;

/// Names inside the cache directory.
const FILES: &str = "files";
const LOCK: &str = "lock";
/// Below `files`: relative to the source, and absolute paths inside the sandbox.
const SOURCE: &str = "source";
const ABSOLUTE: &str = "absolute";

/// The directories of absolute cache paths, for sandboxes that do not share them with the host unless told.
pub(crate) fn absolute_directories(cache: Option<&Cache>) -> Vec<String> {
    let mut found: Vec<String> = cache
        .into_iter()
        .flat_map(|cache| &cache.paths)
        .filter_map(|path| split(path))
        .filter(|(dir, _)| dir != "/" && !dir.starts_with("/codebuild"))
        .map(|(dir, _)| dir)
        .collect();
    found.sort();
    // One inside another is shared with it.
    found.dedup_by(|inner, outer| Path::new(inner).starts_with(Path::new(outer)));
    found
}

/// An absolute glob as the directory before its first wildcard and the pattern below it.
fn split(path: &str) -> Option<(String, String)> {
    let segments: Vec<&str> =
        path.strip_prefix('/')?.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    if segments.contains(&"..") {
        return None;
    }
    let plain = segments.iter().take_while(|segment| !segment.contains(['*', '?', '[', '{', '$', '`'])).count();
    let below = if plain == segments.len() { "**/*".to_owned() } else { segments[plain..].join("/") };
    Some((format!("/{}", segments[..plain].join("/")), below))
}

/// Puts the cached files where the build will look for them.
pub(crate) fn restore(cache: Option<&Cache>, dir: Option<&Path>, layout: &Layout, say: Say) {
    let Some(cache) = cache.filter(|cache| !cache.paths.is_empty()) else {
        say("Cache is not defined in the buildspec");
        say("Skip cache due to: no paths specified to be cached");
        return;
    };
    for path in &cache.paths {
        say(&format!("Expanded cache path {path}"));
    }
    let Some(dir) = dir.filter(|_| cache.action != CacheAction::Save) else { return };
    let files = dir.join(FILES);
    if !files.is_dir() {
        say("Skip cache due to: nothing is cached yet");
        return;
    }
    let mut copied = Copied::default();
    let done = lock(dir, false).and_then(|_lock| {
        put_back(&files.join(SOURCE), &layout.source_host, &mut copied)?;
        walk_absolute(&files.join(ABSOLUTE), layout, &mut copied)
    });
    match done {
        Ok(()) => say(&format!("Restored {} file(s) from the local cache", copied.files)),
        Err(error) => say(&format!("Unable to restore the local cache: {error}")),
    }
}

/// Keeps what the paths match now, replacing what was kept before.
pub(crate) fn save(cache: Option<&Cache>, dir: Option<&Path>, layout: &Layout, expanded: &Expanded, say: Say) {
    let (Some(cache), Some(dir)) = (cache, dir) else { return };
    if cache.paths.is_empty() || cache.action == CacheAction::Restore {
        return;
    }
    let fresh = dir.join(format!("{FILES}.{}", std::process::id()));
    let mut copied = Copied::default();
    let done = fs::create_dir_all(&fresh).and_then(|()| {
        for path in &cache.paths {
            keep(expanded.of(path), layout, &fresh, &mut copied, say)?;
        }
        let _lock = lock(dir, true)?;
        let old = dir.join(format!("{FILES}.old.{}", std::process::id()));
        if let Err(error) = fs::rename(dir.join(FILES), &old)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        fs::rename(&fresh, dir.join(FILES))?;
        // Nobody can be reading it: readers hold the lock.
        let _ = fs::remove_dir_all(old);
        Ok(())
    });
    match done {
        Ok(()) => say(&format!("Saved {} file(s) to the local cache", copied.files)),
        Err(error) => {
            let _ = fs::remove_dir_all(&fresh);
            say(&format!("Unable to save the local cache: {error}"));
        }
    }
}

fn keep(path: &str, layout: &Layout, fresh: &Path, copied: &mut Copied, say: Say) -> io::Result<()> {
    let (root, pattern, to) = match split(path) {
        Some((dir, below)) => {
            let Some((mount, rest)) = layout.split(Path::new(&dir)) else {
                say(&format!("Skipping cache path {path}: it stays where it is on this machine"));
                return Ok(());
            };
            (mount.join(rest), below, fresh.join(ABSOLUTE).join(dir.trim_start_matches('/')))
        }
        None => (layout.source_host.clone(), path.to_owned(), fresh.join(SOURCE)),
    };
    // A bare directory means all of it.
    let pattern =
        if root.join(&pattern).is_dir() { format!("{}/**/*", pattern.trim_end_matches('/')) } else { pattern };
    let (Some(pattern), Ok(real)) = (Pattern::new(&pattern), root.canonicalize()) else {
        say(&format!("Skipping invalid cache path {path}"));
        return Ok(());
    };
    let mut tree = Tree::new(layout);
    tree.keep_links = true;
    tree.follow_dirs = false;
    if layout.split(Path::new(path)).is_some_and(|(mount, _)| real.starts_with(mount)) {
        tree.allow(&real);
    }
    let found = tree.files(&real, &pattern, &GlobSet::empty()).map_err(io::Error::other)?;
    for file in found {
        let Found { path, source, symlink } = file;
        let target = to.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        if target.symlink_metadata().is_ok() {
            continue;
        }
        if let Some(link) = symlink {
            self::symlink(link, &target)?;
            continue;
        }
        copied.count(source.metadata()?.len())?;
        // The build is over and its files with it, so its own may become the cache's.
        if fs::hard_link(&source, &target).is_err() {
            copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Absolute paths go to the shared directory that holds them.
fn walk_absolute(from: &Path, layout: &Layout, copied: &mut Copied) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    each(from, Path::new(""), 0, &mut |rest| {
        let Some((root, rest_inside)) = layout.split(&Path::new("/").join(rest)) else { return Ok(()) };
        place(&from.join(rest), &root, &rest_inside, copied)
    })
}

fn put_back(from: &Path, root: &Path, copied: &mut Copied) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    each(from, Path::new(""), 0, &mut |rest| place(&from.join(rest), root, rest, copied))
}

/// Calls for each file and link below a directory, by its relative path.
fn each(root: &Path, rest: &Path, depth: usize, call: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if depth > WALK_DEPTH_MAX {
        return Ok(());
    }
    for entry in fs::read_dir(root.join(rest))? {
        let entry = entry?;
        let rest = rest.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            each(root, &rest, depth + 1, call)?;
        } else {
            call(&rest)?;
        }
    }
    Ok(())
}

/// Copies one cached file below a root. Whatever stands in the way gives way; no link is followed, as a source may
/// hold links to anywhere.
fn place(cached: &Path, root: &Path, rest: &Path, copied: &mut Copied) -> io::Result<()> {
    let mut target = root.to_owned();
    let parts: Vec<&OsStr> = rest
        .components()
        .filter_map(|component| if let Component::Normal(name) = component { Some(name) } else { None })
        .collect();
    let Some((name, parents)) = parts.split_last() else { return Ok(()) };
    for part in parents {
        target.push(part);
        match target.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => continue,
            Ok(_) => fs::remove_file(&target)?,
            Err(_) => {}
        }
        fs::create_dir(&target)?;
    }
    target.push(name);
    match target.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&target)?,
        Ok(_) => fs::remove_file(&target)?,
        Err(_) => {}
    }
    if let Ok(link) = fs::read_link(cached) {
        return symlink(link, &target);
    }
    copied.count(cached.metadata()?.len())?;
    copy(cached, &target)
}

/// With its mode and time: build tools compare both.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    // A read-only file cannot be opened for writing; its time is then the copy's.
    if let Ok(file) = OpenOptions::new().write(true).open(to) {
        file.set_times(FileTimes::new().set_modified(modified))?;
    }
    Ok(())
}

fn lock(dir: &Path, exclusive: bool) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(LOCK))?;
    let locked = if exclusive { file.lock() } else { file.lock_shared() };
    locked.map(|()| file)
}

#[derive(Default)]
struct Copied {
    files: usize,
    bytes: u64,
}

impl Copied {
    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.files > CACHE_FILES_MAX || self.bytes > CACHE_BYTES_MAX {
            return Err(io::Error::other(format!("more than {CACHE_FILES_MAX} files or {CACHE_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn kept(dir: &Path) -> PathBuf {
        dir.join(FILES)
    }

    struct World {
        _dir: tempfile::TempDir,
        root: PathBuf,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            fs::create_dir(root.join("cache")).unwrap();
            Self { _dir: dir, root }
        }
        fn layout(&self, name: &str) -> Layout {
            let mount = |inside: &str, host: PathBuf| {
                fs::create_dir_all(&host).unwrap();
                crate::sandbox::layout::Mount { inside: inside.into(), host, read_only: false }
            };
            let source = self.root.join(name);
            Layout {
                source: "/codebuild/output/src1/src".into(),
                secondary: Vec::new(),
                scratch: "/codebuild/output/tmp".into(),
                mounts: vec![
                    mount("/codebuild/output/src1/src", source.join("src")),
                    mount("/root", source.join("home")),
                ],
                source_host: source.join("src"),
                secondary_hosts: Vec::new(),
            }
        }
    }

    fn spec(paths: &[&str]) -> Cache {
        Cache { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Cache::default() }
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn keeps_and_puts_back_with_links_and_times() {
        let world = World::new();
        let cache = world.root.join("cache");
        let first = world.layout("first");
        write(&first.source_host.join("node_modules/a/index.js"), "a");
        write(&first.source_host.join("other"), "not cached");
        symlink("a/index.js", first.source_host.join("node_modules/link")).unwrap();
        write(&world.root.join("first/home/.m2/repo/x.jar"), "jar");
        let spec = spec(&["node_modules/**/*", "/root/.m2/**/*", "/etc/**/*", "missing/**/*"]);
        let mut said = Vec::new();
        save(Some(&spec), Some(&cache), &first, &Expanded::default(), &mut |line| said.push(line.to_owned()));
        assert_eq!(
            said,
            [
                "Skipping cache path /etc/**/*: it stays where it is on this machine",
                "Saved 2 file(s) to the local cache"
            ]
        );
        let time = fs::metadata(kept(&cache).join("source/node_modules/a/index.js")).unwrap().modified().unwrap();

        let second = world.layout("second");
        write(&second.source_host.join("node_modules/a"), "a file in the way");
        fs::create_dir_all(world.root.join("elsewhere")).unwrap();
        fs::create_dir_all(world.root.join("second/home")).unwrap();
        symlink(world.root.join("elsewhere"), world.root.join("second/home/.m2")).unwrap();
        let mut said = Vec::new();
        restore(Some(&spec), Some(&cache), &second, &mut |line| said.push(line.to_owned()));
        assert_eq!(said.last().unwrap(), "Restored 2 file(s) from the local cache");
        let back = second.source_host.join("node_modules/a/index.js");
        assert_eq!(fs::read_to_string(&back).unwrap(), "a");
        assert_eq!(fs::metadata(&back).unwrap().modified().unwrap(), time);
        assert_eq!(fs::read_link(second.source_host.join("node_modules/link")).unwrap(), Path::new("a/index.js"));
        assert_eq!(fs::read_to_string(world.root.join("second/home/.m2/repo/x.jar")).unwrap(), "jar");
        assert!(
            fs::read_dir(world.root.join("elsewhere")).unwrap().next().is_none(),
            "nothing is written through a link"
        );
        fs::write(&back, "changed").unwrap();
        assert_eq!(
            fs::read_to_string(kept(&cache).join("source/node_modules/a/index.js")).unwrap(),
            "a",
            "the cache has its own copy"
        );
    }

    #[test]
    fn action_and_missing_paths_are_honoured() {
        let world = World::new();
        let cache = world.root.join("cache");
        let layout = world.layout("one");
        write(&layout.source_host.join("d/f"), "f");
        let mut said = Vec::new();
        restore(None, Some(&cache), &layout, &mut |line| said.push(line.to_owned()));
        assert_eq!(
            said,
            ["Cache is not defined in the buildspec", "Skip cache due to: no paths specified to be cached"]
        );
        let only_restore = Cache { action: CacheAction::Restore, ..spec(&["d"]) };
        save(Some(&only_restore), Some(&cache), &layout, &Expanded::default(), &mut |_| {});
        assert!(!kept(&cache).exists());
        save(Some(&spec(&["d"])), Some(&cache), &layout, &Expanded::default(), &mut |_| {});
        assert!(kept(&cache).join("source/d/f").exists(), "a bare directory means all of it");
    }

    #[test]
    fn absolute_directories_are_found_once() {
        let spec = spec(&["/root/.m2/**/*", "/root/.m2/repo/*", "rel/**", "/root/.npm", "/../x/*", "/*"]);
        assert_eq!(absolute_directories(Some(&spec)), ["/root/.m2", "/root/.npm"]);
    }
}
