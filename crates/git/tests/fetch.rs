//! Repositories that somebody else made: what is fetched, mirrored, exported and cloned of them, and what is refused. They
//! are reached as over SSH, with a program in place of ssh that runs the command here, so that git itself speaks on both
//! sides.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use towpath_git::fetch::export;
use towpath_git::{Access, Bounds, FetchError, Reason, Remote};

/// A directory with a bare repository `r.git` that anybody may have written anything into.
struct Theirs {
    root: TempDir,
}

impl Theirs {
    fn new() -> Self {
        let theirs = Self { root: TempDir::new().unwrap() };
        let program = theirs.root.path().join("ssh");
        std::fs::write(&program, "#!/bin/sh\nfor last; do :; done\neval \"$last\"\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        theirs.git(&["init", "--quiet", "--bare", "--initial-branch=trunk", "."], b"");
        theirs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        let repository = self.path("r.git");
        std::fs::create_dir_all(&repository).unwrap();
        let mut child =
            Command::new("git")
                .args(arguments)
                .current_dir(&repository)
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
                    [(format!("GIT_{who}_NAME"), "Eve"), (format!("GIT_{who}_EMAIL"), "eve@example.com")]
                }))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "git {arguments:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn blob(&self, bytes: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], bytes)
    }

    /// A tree of raw entries: git itself would refuse to write some of them.
    fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            raw.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
        }
        self.git(&["hash-object", "-w", "--literally", "-t", "tree", "--stdin"], &raw)
    }

    /// A commit of a tree, on a branch.
    fn commit(&self, tree: &str, branch: &str) -> String {
        let id = self.git(&["commit-tree", tree, "-m", "c"], b"");
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &id], b"");
        id
    }

    fn remote(&self) -> Remote {
        let access = Access::Ssh { command: self.path("ssh").display().to_string() };
        Remote::new(format!("ssh://git@host{}", self.path("r.git").display()), access).unwrap()
    }

    /// What a source action does with the commit.
    async fn exported(&self, id: &str, into: &Path) -> Result<(), FetchError> {
        let ours = into.join("ours.git");
        self.remote().fetch_commit(&ours, id, Some("trunk"), &Bounds::default()).await?;
        export(&ours, id, &into.join("tree"), &Bounds::default()).await
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_mirror_is_what_the_other_is_now() {
    let theirs = Theirs::new();
    let tree = theirs.tree(&[("100644", "a", &theirs.blob(b"one"))]);
    let first = theirs.commit(&tree, "trunk");
    theirs.commit(&tree, "topic");
    theirs.git(&["tag", "v1", &first], b"");
    theirs.git(&["update-ref", "refs/pull/1/head", &first], b"");
    let ours = TempDir::new().unwrap();
    let mirror = ours.path().join("m.git");
    let bounds = Bounds::default();
    theirs.remote().mirror(&mirror, &bounds).await.unwrap();
    assert_eq!(std::fs::read_to_string(mirror.join("HEAD")).unwrap().trim(), "ref: refs/heads/trunk");
    let bare = towpath_git::Bare::at(&mirror);
    let branches = |found: Vec<(String, String)>| found.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(branches(bare.branches().await.unwrap()), ["topic", "trunk"]);
    assert_eq!(bare.object("refs/tags/v1").await.unwrap(), Some(first));
    assert_eq!(bare.object("refs/pull/1/head").await.unwrap(), None);
    // Rewritten, and a branch less.
    let other = theirs.commit(&theirs.tree(&[("100644", "a", &theirs.blob(b"two"))]), "trunk");
    theirs.git(&["update-ref", "-d", "refs/heads/topic"], b"");
    theirs.remote().mirror(&mirror, &bounds).await.unwrap();
    assert_eq!(bare.branches().await.unwrap(), [("trunk".to_owned(), other)]);
}

#[tokio::test]
async fn an_empty_repository_has_a_mirror_and_a_missing_one_has_none() {
    let theirs = Theirs::new();
    let ours = TempDir::new().unwrap();
    let mirror = ours.path().join("m.git");
    theirs.remote().mirror(&mirror, &Bounds::default()).await.unwrap();
    assert!(towpath_git::Bare::at(&mirror).branches().await.unwrap().is_empty());
    let access = Access::Ssh { command: theirs.path("ssh").display().to_string() };
    let nothing = Remote::new("ssh://git@host/nowhere.git", access).unwrap();
    let nowhere = ours.path().join("n.git");
    let error = nothing.mirror(&nowhere, &Bounds::default()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::NoRepository, "{error}");
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let theirs = Theirs::new();
    // Noise, which no packing makes smaller.
    let mut noise = 1_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.to_be_bytes()[0]
    })
    .take(200_000)
    .collect();
    let blob = theirs.blob(&bytes);
    let id = theirs.commit(&theirs.tree(&[("100644", "a", &blob)]), "trunk");
    let ours = TempDir::new().unwrap();
    let small = Bounds { bytes: 100_000, ..Bounds::default() };
    for error in [
        theirs.remote().mirror(&ours.path().join("m.git"), &small).await.unwrap_err(),
        theirs.remote().fetch_commit(&ours.path().join("f.git"), &id, None, &small).await.unwrap_err(),
        theirs.remote().clone_at(&ours.path().join("c"), "http://h/x", &id, &small).await.unwrap_err(),
    ] {
        assert_eq!(error.reason(), Reason::TooLarge, "{error}");
    }
    // One small object may be a large tree: a thousand times the same file, in directories that are the same too.
    let names: Vec<String> = (0..100).map(|n| format!("n{n:03}")).collect();
    let mut tree = theirs.tree(&names.iter().map(|n| ("100644", n.as_str(), blob.as_str())).collect::<Vec<_>>());
    for _ in 0..2 {
        tree = theirs.tree(&names.iter().map(|n| ("40000", n.as_str(), tree.as_str())).collect::<Vec<_>>());
    }
    let bomb = theirs.commit(&tree, "trunk");
    let error = theirs.exported(&bomb, &ours.path().join("b")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::TooLarge, "{error}");
    assert!(!ours.path().join("b/tree").exists());
}

#[tokio::test]
async fn a_tree_writes_nowhere_but_into_its_directory() {
    let theirs = Theirs::new();
    let blob = theirs.blob(b"#!/bin/sh\ntouch /tmp/towpath-was-here\n");
    let dotgit = theirs.tree(&[("100755", "post-checkout", &blob)]);
    let hooks = theirs.tree(&[("40000", "hooks", &dotgit)]);
    let up = theirs.tree(&[("100644", "escaped", &blob)]);
    for (what, tree) in [
        (".git", theirs.tree(&[("40000", ".git", &hooks)])),
        (".GIT", theirs.tree(&[("40000", ".GIT", &hooks)])),
        ("git~1", theirs.tree(&[("40000", "git~1", &hooks)])),
        ("..", theirs.tree(&[("40000", "..", &up)])),
        (".", theirs.tree(&[("40000", ".", &up)])),
        ("a slash", theirs.tree(&[("100644", "../escaped", &blob)])),
        ("a whole path", theirs.tree(&[("100644", "/tmp/towpath-was-here", &blob)])),
    ] {
        let id = theirs.commit(&tree, "trunk");
        let ours = TempDir::new().unwrap();
        let error = theirs.exported(&id, &ours.path().join("x")).await.expect_err(what);
        assert_eq!(error.reason(), Reason::Other, "{what}: {error}");
        let cloned = ours.path().join("c");
        let error = theirs.remote().clone_at(&cloned, "http://h/x", &id, &Bounds::default()).await.expect_err(what);
        assert_eq!(error.reason(), Reason::Other, "{what}: {error}");
        assert!(!ours.path().join("escaped").exists() && !ours.path().join("x/escaped").exists(), "{what}");
        assert!(!cloned.join(".git/hooks/post-checkout").exists(), "{what}");
    }
    assert!(!Path::new("/tmp/towpath-was-here").exists());
}

#[tokio::test]
async fn links_lead_nobody_out() {
    let theirs = Theirs::new();
    let outside = TempDir::new().unwrap();
    let link = theirs.blob(outside.path().display().to_string().as_bytes());
    let file = theirs.blob(b"text");
    let inner = theirs.tree(&[("100644", "b", &file)]);
    // A link and a directory of one name: whoever follows the first writes the second's files elsewhere.
    let tree = theirs.tree(&[("120000", "a", &link), ("40000", "a", &inner), ("120000", "l", &link)]);
    let id = theirs.commit(&tree, "trunk");
    let ours = TempDir::new().unwrap();
    // Whether git takes such a tree apart or refuses it is its own affair.
    let exported = theirs.exported(&id, &ours.path().join("x")).await;
    let cloned = theirs.remote().clone_at(&ours.path().join("c"), "http://h/x", &id, &Bounds::default()).await;
    assert_eq!(names(outside.path()), Vec::<String>::new(), "{exported:?} {cloned:?}");
    // A link alone is a file with its target in a zip, and itself in a clone.
    let id = theirs.commit(&theirs.tree(&[("120000", "l", &link)]), "trunk");
    theirs.exported(&id, &ours.path().join("y")).await.unwrap();
    let written = ours.path().join("y/tree/l");
    assert!(!written.is_symlink());
    assert_eq!(std::fs::read(&written).unwrap(), outside.path().display().to_string().as_bytes());
}

#[tokio::test]
async fn submodules_and_attributes_run_nothing() {
    let theirs = Theirs::new();
    let canary = theirs.path("canary");
    let modules = format!(
        "[submodule \"a\"]\n\tpath = a\n\turl = ext::sh -c 'touch {0}'\n[submodule \"b\"]\n\tpath = b\n\turl = \
         -u./evil\n\tupdate = !touch {0}\n[submodule \"../../x\"]\n\tpath = c\n\turl = ssh://-oProxyCommand=touch/x\n",
        canary.display()
    );
    let evil = format!("#!/bin/sh\ntouch {}\n", canary.display());
    let some_commit = theirs.commit(&theirs.tree(&[("100644", "x", &theirs.blob(b"x"))]), "other");
    let tree = theirs.tree(&[
        ("100644", ".gitattributes", &theirs.blob(b"* filter=evil text eol=crlf ident export-ignore\n")),
        ("100644", ".gitmodules", &theirs.blob(modules.as_bytes())),
        ("160000", "a", &some_commit),
        ("160000", "b", &some_commit),
        ("160000", "c", &some_commit),
        ("100755", "evil", &theirs.blob(evil.as_bytes())),
    ]);
    let id = theirs.commit(&tree, "trunk");
    let ours = TempDir::new().unwrap();
    theirs.exported(&id, &ours.path().join("x")).await.unwrap();
    let tree = ours.path().join("x/tree");
    assert_eq!(names(&tree), [".gitattributes", ".gitmodules", "a", "b", "c", "evil"]);
    assert_eq!(names(&tree.join("a")), Vec::<String>::new());
    assert_eq!(std::fs::read_to_string(tree.join("evil")).unwrap(), evil);
    let cloned = ours.path().join("c");
    let commit = theirs.remote().clone_at(&cloned, "http://h/x", &id, &Bounds::default()).await.unwrap();
    assert_eq!(commit.id, id);
    assert_eq!(names(&cloned.join("a")), Vec::<String>::new());
    assert!(!cloned.join(".git/modules").exists());
    assert!(!canary.exists());
}

#[tokio::test]
async fn names_are_never_options() {
    let theirs = Theirs::new();
    let id = theirs.commit(&theirs.tree(&[("100644", "a", &theirs.blob(b"x"))]), "trunk");
    let canary = theirs.path("canary");
    let option = format!("--upload-pack=touch {}", canary.display());
    let ours = TempDir::new().unwrap();
    assert_eq!(theirs.remote().resolve(&option).await.unwrap(), None);
    let found = theirs.remote().fetch_commit(&ours.path().join("a.git"), &option, None, &Bounds::default()).await;
    assert_eq!(found.unwrap_err().reason(), Reason::NoRevision);
    let found = theirs.remote().fetch_commit(&ours.path().join("b.git"), &id, Some(&option), &Bounds::default()).await;
    assert_eq!(found.unwrap().id, id);
    assert!(!canary.exists());
}
