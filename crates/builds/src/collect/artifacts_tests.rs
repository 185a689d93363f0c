//! The guide's examples, CodeBuild's errors, and the log lines around them.

use std::fs;

use super::*;
use crate::sandbox::layout::Mount;

struct World {
    dir: tempfile::TempDir,
    layout: Layout,
}

impl World {
    /// A sandbox whose source is `/codebuild/output/src1/src` and whose `/tmp` is shared.
    fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (source, tmp) = (root.join("source"), root.join("tmp"));
        fs::create_dir_all(&source).unwrap();
        fs::create_dir_all(&tmp).unwrap();
        for file in files {
            let path = file.strip_prefix("/tmp/").map_or_else(|| source.join(file), |rest| tmp.join(rest));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let mount =
            |inside: &str, host: &Path| Mount { inside: inside.into(), host: host.to_owned(), read_only: false };
        let layout = Layout {
            source: "/codebuild/output/src1/src".into(),
            secondary: Vec::new(),
            scratch: "/codebuild/output/tmp".into(),
            mounts: vec![mount("/tmp", &tmp), mount("/codebuild/output/src1/src", &source)],
            source_host: source,
            secondary_hosts: Vec::new(),
        };
        Self { dir, layout }
    }

    fn collect(
        &self,
        artifacts: &Artifacts,
        wanted: &WantedArtifacts,
        expanded: &[(&str, &str)],
    ) -> (Result<Vec<CollectedArtifact>, String>, Vec<String>) {
        let expanded = Expanded(expanded.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect());
        let copies = BTreeMap::new();
        let source = Source { layout: &self.layout, expanded: &expanded, copies: &copies };
        let mut said = Vec::new();
        let result = collect(Some(artifacts), wanted, &source, &mut |line| said.push(line.to_owned()));
        (result.map_err(|error| error.to_string()), said)
    }

    fn paths(&self, spec: ArtifactSpec) -> Result<Vec<String>, String> {
        let artifacts = Artifacts { primary: Some(spec), secondary: Vec::new() };
        let (result, _) = self.collect(&artifacts, &WantedArtifacts::Primary, &[]);
        result.map(|collected| collected[0].files.iter().map(|file| file.path.clone()).collect())
    }
}

fn spec(files: &[&str], base: Option<&str>) -> ArtifactSpec {
    ArtifactSpec {
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        base_directory: base.map(str::to_owned),
        ..ArtifactSpec::default()
    }
}

#[test]
fn the_guides_examples() {
    let world = World::new(&[
        "my-build-2/my-subdirectory/my-file-3.txt",
        "my-build-2/my-file-2.txt",
        "my-build-1/my-file-1.txt",
        "target/app.jar",
    ]);
    assert_eq!(world.paths(spec(&["*/my-file-3.txt"], Some("my-build-2"))).unwrap(), ["my-subdirectory/my-file-3.txt"]);
    let flat = ArtifactSpec { discard_paths: true, ..spec(&["**/*"], Some("my-build*")) };
    assert_eq!(world.paths(flat).unwrap(), ["my-file-1.txt", "my-file-2.txt", "my-file-3.txt"]);
    assert_eq!(world.paths(spec(&["target/app.jar"], None)).unwrap(), ["target/app.jar"]);
    let flat = ArtifactSpec { discard_paths: true, ..spec(&["target/app.jar"], None) };
    assert_eq!(world.paths(flat).unwrap(), ["app.jar"]);
    let without = ArtifactSpec { exclude_paths: vec!["my-build-*/**/*".to_owned()], ..spec(&["**/*"], None) };
    assert_eq!(world.paths(without).unwrap(), ["target/app.jar"]);
}

#[test]
fn codebuilds_errors() {
    let world = World::new(&["a"]);
    assert_eq!(world.paths(spec(&["b", "c/*"], None)).unwrap_err(), "no matching artifact paths found");
    for base in ["missing", "mis*", "/", "/nowhere", "..", "a"] {
        assert_eq!(
            world.paths(spec(&["**/*"], Some(base))).unwrap_err(),
            format!("no matching base directory path found for {base}")
        );
    }
    let artifacts = Artifacts { primary: None, secondary: vec![("one".to_owned(), spec(&["a"], None))] };
    let ask = |wanted: WantedArtifacts| world.collect(&artifacts, &wanted, &[]).0;
    assert_eq!(ask(WantedArtifacts::Primary).unwrap_err(), "no definition for primary artifacts in buildspec");
    let two = WantedArtifacts::Secondary(vec!["one".to_owned(), "two".to_owned()]);
    assert_eq!(ask(two).unwrap_err(), "no definition for secondary artifact two in buildspec");
    let one = ask(WantedArtifacts::Secondary(vec!["one".to_owned()])).unwrap();
    assert_eq!((one.len(), one[0].identifier.as_deref()), (1, Some("one")));
    assert_eq!(ask(WantedArtifacts::None).unwrap(), []);
}

#[test]
fn no_artifacts_section_means_no_artifact() {
    let world = World::new(&["a"]);
    let (expanded, copies) = (Expanded::default(), BTreeMap::new());
    let source = Source { layout: &world.layout, expanded: &expanded, copies: &copies };
    assert_eq!(collect(None, &WantedArtifacts::Primary, &source, &mut |_| {}), Ok(Vec::new()));
}

#[test]
fn absolute_base_directories_are_those_of_the_sandbox() {
    let world = World::new(&["/tmp/out/x", "sub/y"]);
    assert_eq!(world.paths(spec(&["**/*"], Some("/tmp/out"))).unwrap(), ["x"]);
    assert_eq!(world.paths(spec(&["**/*"], Some("/codebuild/output/src1/src/sub"))).unwrap(), ["y"]);
    assert_eq!(world.paths(spec(&["/codebuild/output/src1/src/sub/*"], None)).unwrap(), ["sub/y"]);
    // Not the host's /etc, through a link that means the sandbox's.
    std::os::unix::fs::symlink("/etc", world.layout.source_host.join("link")).unwrap();
    for base in ["/codebuild/output/src1/src/link", "link"] {
        assert_eq!(
            world.paths(spec(&["**/*"], Some(base))).unwrap_err(),
            format!("no matching base directory path found for {base}")
        );
    }
    assert_eq!(world.paths(spec(&["link/hostname", "sub/y"], None)).unwrap(), ["sub/y"]);
    drop(world.dir);
}

#[test]
fn expanded_texts_and_the_log() {
    let world = World::new(&["dist/a", "dist/b", "other"]);
    let artifacts = Artifacts {
        primary: Some(ArtifactSpec { name: Some("app-$V".to_owned()), ..spec(&["$F", "missing.json"], Some("$BASE")) }),
        secondary: vec![("docs".to_owned(), spec(&["other"], None))],
    };
    let wanted = WantedArtifacts::PrimaryAndSecondary(vec!["docs".to_owned()]);
    let (result, said) = world.collect(&artifacts, &wanted, &[("app-$V", "app-7"), ("$F", "*"), ("$BASE", "dist")]);
    let collected = result.unwrap();
    assert_eq!(collected[0].name.as_deref(), Some("app-7"));
    let files: Vec<_> = collected[0].files.iter().map(|file| (file.path.as_str(), file.source.clone())).collect();
    assert_eq!(files, [("a", world.layout.source_host.join("dist/a")), ("b", world.layout.source_host.join("dist/b"))]);
    assert_eq!(
        said,
        [
            "Expanding base directory path:  dist",
            "Assembling file list",
            "Expanding dist",
            "Expanding file paths for base directory dist",
            "Assembling file list",
            "Expanding *",
            "Found 2 file(s)",
            "Expanding missing.json",
            "Skipping invalid file path missing.json",
            "Preparing to copy secondary artifacts docs",
            "Expanding base directory path:  .",
            "Assembling file list",
            "Expanding .",
            "Expanding file paths for base directory .",
            "Assembling file list",
            "Expanding other",
            "Found 1 file(s)",
        ]
    );
}
