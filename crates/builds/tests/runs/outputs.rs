//! What comes out: exported variables, artifacts, reports, caches.

use std::fs;

use towpath_builds::request::{SecondarySource, VariableKind, WantedArtifacts};
use towpath_builds::status::{CaseStatus, Context, Outcome, PhaseStatus, ReportStatus};

use crate::support::{World, read};

pub fn exported_variables() {
    let mut world = World::new(
        "version: 0.2
env:
  variables: {STATIC: one, CHANGED: before, AWS_MINE: no}
  exported-variables: [STATIC, CHANGED, MADE, NEVER, EMPTY, PROJECT, AWS_MINE, AWKWARD]
phases:
  build:
    commands:
      - MADE=\"made $CODEBUILD_BUILD_ID\"
      - EMPTY=
  post_build:
    commands:
      - CHANGED=after
      - 'AWKWARD=\"line one
        $(printf \"\\nline ''two''\")\"'
",
    );
    world.variable("PROJECT", "p", VariableKind::Plaintext);
    let done = world.run().succeeded();
    let exported: Vec<_> = done.status.exported_variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        exported,
        [
            ("STATIC", "one"),
            ("CHANGED", "after"),
            ("MADE", "made project:0f4b7b1e"),
            ("EMPTY", ""),
            ("PROJECT", "p"),
            ("AWKWARD", "line one \nline 'two'"),
        ]
    );
}

pub fn artifacts_of_every_kind() {
    let mut world = World::new(
        "version: 0.2
phases:
  build:
    commands:
      - mkdir -p dist/sub docs && echo a > dist/a && echo b > dist/sub/b && echo m > dist/a.map
      - ln -s a dist/link && ln -s /etc/hostname dist/out && ln -s nowhere dist/dangling
      - echo d > docs/d && V=7 && BASE=dist
artifacts:
  name: app-$V-$(echo shell)
  base-directory: $BASE
  files: ['**/*']
  exclude-paths: ['**/*.map']
  enable-symlinks: yes
  secondary-artifacts:
    docs:
      files: [docs/**/*, dist/link]
      discard-paths: yes
      name: docs
    unused:
      files: [nothing]
",
    );
    world.request.artifacts = WantedArtifacts::PrimaryAndSecondary(vec!["docs".to_owned()]);
    let done = world.run().succeeded();
    let collected = done.collected();
    assert_eq!(collected.artifacts.len(), 2, "only what is wanted");
    let primary = &collected.artifacts[0];
    assert_eq!((primary.identifier.as_deref(), primary.name.as_deref()), (None, Some("app-7-shell")));
    let files: Vec<_> = primary.files.iter().map(|file| (file.path.as_str(), file.symlink.as_deref())).collect();
    assert_eq!(files, [("a", None), ("link", Some("a")), ("sub/b", None)]);
    assert_eq!(read(&primary.files[2].source), "b\n");
    let docs = &collected.artifacts[1];
    assert_eq!(docs.identifier.as_deref(), Some("docs"));
    let files: Vec<_> = docs.files.iter().map(|file| (file.path.as_str(), read(&file.source))).collect();
    assert_eq!(files, [("d", "d\n".to_owned()), ("link", "a\n".to_owned())], "a link that is not kept is its content");
}

pub fn missing_artifacts_fail_the_build() {
    let text = "version: 0.2\nphases: {}\nartifacts:\n  files: [dist/*]\n";
    let mut world = World::new(text);
    world.request.artifacts = WantedArtifacts::Primary;
    let done = world.run();
    assert_eq!(done.outcome(), Outcome::Failed);
    assert_eq!(done.failed(), ("UPLOAD_ARTIFACTS", Context::new("CLIENT_ERROR", "no matching artifact paths found")));
    assert!(done.own().contains(&"Skipping invalid file path dist/*"));
    assert!(done.status.upload_artifacts);

    let unwanted = World::new(text).run().succeeded();
    assert_eq!(unwanted.collected().artifacts, [], "globs that match nothing do not matter where nothing is uploaded");
    let mut none = World::new("version: 0.2\nphases: {}\n");
    none.request.artifacts = WantedArtifacts::Primary;
    assert_eq!(none.run().succeeded().collected().artifacts, []);
}

pub fn reports_are_made_even_when_the_build_fails() {
    let world = World::new(
        "version: 0.2
env:
  variables: {GROUP: unit}
phases:
  build:
    commands:
      - exit 1
reports:
  $GROUP:
    files: ['*.xml']
    base-directory: out
",
    );
    world.source("out/junit.xml", "<testsuite name='s'><testcase name='a' time='1'/><testcase name='b'><failure>why</failure></testcase></testsuite>");
    world.source("more/junit.xml", "<testsuites><testsuite name='m'><testcase name='c'/></testsuite></testsuites>");
    let done = world.run();
    assert_eq!(done.phases().last(), Some(&("UPLOAD_ARTIFACTS", PhaseStatus::Succeeded)));
    let reports = done.collected().reports;
    assert_eq!(reports.len(), 2);
    assert_eq!((reports[0].group.as_str(), reports[0].status, reports[0].total), ("unit", ReportStatus::Failed, 2));
    assert_eq!((reports[0].cases[0].status, reports[0].cases[0].message.as_str()), (CaseStatus::Failed, "why"));
    assert_eq!(
        (reports[1].auto_discovered, reports[1].status, reports[1].files.as_slice()),
        (true, ReportStatus::Succeeded, ["more/junit.xml".to_owned()].as_slice())
    );

    let mut quiet = World::new("version: 0.2\nphases: {}\n");
    quiet.source("junit.xml", "<testsuite/>");
    quiet.variable("CODEBUILD_CONFIG_AUTO_DISCOVER", "false", VariableKind::Plaintext);
    assert_eq!(quiet.run().succeeded().collected().reports, []);
}

pub fn the_cache_comes_back() {
    let text = "version: 0.2\nphases:\n  install:\n    commands: ['cat deps/state 2>/dev/null || echo cold; mkdir -p deps; echo warm > deps/state']\ncache:\n  paths: ['deps/**/*', '/root/.cache/**/*']\n";
    let first = World::new(text);
    let cache = first.root.join("cache");
    let run = |world: &mut World| {
        world.request.local_cache = Some(cache.clone());
        world.run().succeeded()
    };
    let mut first_world = World::new(text);
    fs::create_dir(&cache).unwrap();
    let cold = run(&mut first_world);
    assert_eq!(cold.output(), ["cold"]);
    assert!(cold.own().contains(&"Saved 1 file(s) to the local cache"), "{:?}", cold.own());
    assert!(cold.own().contains(&"Skipping cache path /root/.cache/**/*: it stays where it is on this machine"));
    let warm = run(&mut World::new(text));
    assert_eq!(warm.output(), ["warm"]);
    assert!(warm.own().contains(&"Restored 1 file(s) from the local cache"));
}

pub fn secondary_sources_have_their_variables() {
    let mut world = World::commands(&["echo $CODEBUILD_SRC_DIR_Tools; cat $CODEBUILD_SRC_DIR_Tools/f"]);
    let dir = world.root.join("tools");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("f"), "from tools\n").unwrap();
    world.request.secondary_sources.push(SecondarySource { identifier: "Tools".to_owned(), dir: dir.clone() });
    let done = world.run().succeeded();
    assert_eq!(done.output(), [dir.to_str().unwrap(), "from tools"]);
    assert!(done.own().contains(&format!("CODEBUILD_SRC_DIR_Tools={}", dir.display()).as_str()));
}
