//! Each sandbox for what is its own. Tests whose sandbox this machine does not have are shown as ignored. Those of
//! containers want an engine and an image with a POSIX shell, which they never pull: a static busybox imported as
//! `localhost/towpath-test:latest` will do, or whatever TOWPATH_TEST_IMAGE names.

use std::fs;

use libtest_mimic::{Failed, Trial};
use towpath_builds::request::{
    BubblewrapSpec, ContainerSpec, HostSpec, SandboxSpec, SecondarySource, VariableKind, WantedArtifacts,
};
use towpath_builds::status::{Outcome, PhaseStatus};
use towpath_builds::{Handle, detect};

use crate::support::{World, eventually, finish, printed, read, runs};

/// An image with a POSIX shell for the container tests; it is not pulled.
const TEST_IMAGE_VARIABLE: &str = "TOWPATH_TEST_IMAGE";
const TEST_IMAGE: &str = "localhost/towpath-test:latest";

pub fn trials() -> Vec<Trial> {
    let detected = detect();
    let on = |name: &str, available: bool, test: fn()| {
        let trial = Trial::test(format!("sandboxes::{name}"), move || {
            test();
            Ok::<(), Failed>(())
        });
        trial.with_ignored_flag(!available)
    };
    let (bubblewrap, engine) = (detected.bubblewrap.available, detected.engine.available && image_is_there());
    vec![
        on("bubblewrap_looks_like_codebuild", bubblewrap, bubblewrap_looks_like_codebuild),
        on("bubblewrap_hides_the_host", bubblewrap, bubblewrap_hides_the_host),
        on("bubblewrap_stops_and_dies_with_its_runner", bubblewrap, bubblewrap_stops_and_dies_with_its_runner),
        on("bubblewrap_artifacts_and_cache", bubblewrap, bubblewrap_artifacts_and_cache),
        on("bubblewrap_runs_as_another_user", bubblewrap && root(), bubblewrap_runs_as_another_user),
        on("container_looks_like_codebuild", engine, container_looks_like_codebuild),
        on("container_has_its_images_environment", engine, container_has_its_images_environment),
        on("container_artifacts_and_cache", engine, container_artifacts_and_cache),
        on("container_stops_and_is_swept", engine, container_stops_and_is_swept),
        on("container_without_its_image", engine, container_without_its_image),
        on("container_without_an_engine", true, container_without_an_engine),
    ]
}

fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn image() -> String {
    std::env::var(TEST_IMAGE_VARIABLE).unwrap_or_else(|_| TEST_IMAGE.to_owned())
}

fn image_is_there() -> bool {
    let engine = detect().engine.detail;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match bollard::Docker::connect_with_host(&engine) {
            Ok(docker) => docker.inspect_image(&image()).await.is_ok(),
            Err(_) => false,
        }
    })
}

fn in_sandbox(mut world: World, sandbox: SandboxSpec) -> World {
    world.request.sandbox = sandbox;
    world
}

fn bubblewrap(world: World) -> World {
    in_sandbox(world, SandboxSpec::Bubblewrap(BubblewrapSpec::default()))
}

fn container(world: World) -> World {
    in_sandbox(world, SandboxSpec::Container(ContainerSpec { image: image(), ..ContainerSpec::default() }))
}

/// Runs in every real sandbox alike.
fn looks_like_codebuild(sandbox: fn(World) -> World) {
    let mut world = sandbox(World::new(
        "version: 0.2
phases:
  install:
    commands:
      - echo $CODEBUILD_SRC_DIR | sed 's/src[0-9]*/srcN/'
      - echo $CODEBUILD_SRC_DIR_Tools | sed 's/src[0-9]*/srcN/'; cat $CODEBUILD_SRC_DIR_Tools/f
      - cat given; pwd | sed 's/src[0-9]*/srcN/'
      - echo $HOME; cd /tmp && echo x > y; STATE=carried
  build:
    commands:
      - pwd; cat y; echo $STATE; echo to standard error >&2
      - sleep 1000 & echo background
      - kill -0 $! 2>/dev/null || echo another shell
      - nosuchprogram
",
    ));
    world.source("given", "source\n");
    let tools = world.root.join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("f"), "tools\n").unwrap();
    world.request.secondary_sources.push(SecondarySource { identifier: "Tools".to_owned(), dir: tools });
    let done = world.run();
    let mut output = done.output();
    let problem = output.pop().unwrap();
    assert_eq!(
        output,
        [
            "/codebuild/output/srcN/src/s3/00",
            "/codebuild/output/srcN/src/s3/01",
            "tools",
            "source",
            "/codebuild/output/srcN/src/s3/00",
            "/root",
            "/tmp",
            "x",
            "carried",
            "to standard error",
            "background",
            "another shell",
        ],
        "{:#?}",
        done.log
    );
    assert!(problem.starts_with("/codebuild/output/tmp/script.sh: ") && problem.contains("nosuchprogram"), "{problem}");
    assert_eq!(done.failed().0, "BUILD");
    assert_eq!(done.phases().len(), 7);
}

fn artifacts_and_cache(sandbox: fn(World) -> World, outside: &str) {
    let text = format!(
        "version: 0.2
env:
  exported-variables: [MADE]
phases:
  build:
    commands:
      - cat /root/.depot/state 2>/dev/null || echo cold
      - mkdir -p /root/.depot dist {outside} && echo warm > /root/.depot/state
      - echo one > dist/one && ln -s /etc/passwd dist/passwd && echo two > {outside}/two; MADE=yes
artifacts:
  base-directory: dist
  files: ['**/*']
  secondary-artifacts:
    elsewhere:
      base-directory: {outside}
      files: ['*']
cache:
  paths: [/root/.depot/**/*]
"
    );
    let home = tempfile::tempdir().unwrap();
    for expected in ["cold", "warm"] {
        let mut world = sandbox(World::new(&text));
        world.request.local_cache = Some(home.path().to_owned());
        world.request.artifacts = WantedArtifacts::PrimaryAndSecondary(vec!["elsewhere".to_owned()]);
        let done = world.run().succeeded();
        assert_eq!(done.output(), [expected]);
        assert_eq!(done.status.exported_variables, [("MADE".to_owned(), "yes".to_owned())]);
        let artifacts = done.collected().artifacts;
        let files: Vec<_> = artifacts
            .iter()
            .flat_map(|artifact| &artifact.files)
            .map(|file| (file.path.as_str(), read(&file.source)))
            .collect();
        assert_eq!(files, [("one", "one\n".to_owned()), ("two", "two\n".to_owned())]);
    }
}

fn bubblewrap_looks_like_codebuild() {
    looks_like_codebuild(bubblewrap);
}

fn bubblewrap_artifacts_and_cache() {
    artifacts_and_cache(bubblewrap, "/tmp/elsewhere");
    artifacts_and_cache(bubblewrap, "/var/tmp/elsewhere");
}

fn bubblewrap_hides_the_host() {
    let world = bubblewrap(World::commands(&[]));
    fs::write(world.root.join("secret"), "s").unwrap();
    let secret = world.root.join("secret").display().to_string();
    let commands = [
        format!("cat {secret} 2>/dev/null || echo hidden"),
        "touch /usr/x 2>/dev/null || echo read-only".to_owned(),
        "cat /etc/shadow 2>/dev/null | wc -c".to_owned(),
        "ls /codebuild/readonly; touch /codebuild/readonly/x 2>/dev/null || echo read-only".to_owned(),
        "echo \"[$(ls -A /root; ls -A /tmp)]\"; ls -d /proc/[0-9]* | wc -l".to_owned(),
        "env | grep -c TOWPATH_SECRET".to_owned(),
    ];
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let mut full = World::commands(&commands);
    full.request.sandbox = world.request.sandbox.clone();
    let done = full.run();
    let output = done.output();
    assert_eq!(output[..5], ["hidden", "read-only", "0", "buildspec.yml", "read-only"]);
    assert_eq!(output[5], "[]", "home and /tmp are its own");
    assert!(output[6].parse::<u32>().unwrap() < 10, "its own process table: {output:?}");
    assert_eq!(output[7], "0");

    let with = in_sandbox(
        World::commands(&[&format!("cat {secret}")]),
        SandboxSpec::Bubblewrap(BubblewrapSpec { read_only: vec![world.root.clone()] }),
    );
    assert_eq!(with.run().succeeded().output(), ["s"]);
}

fn bubblewrap_stops_and_dies_with_its_runner() {
    let begin = || {
        let world = bubblewrap(World::commands(&["echo begun; setsid sleep 987654"]));
        let handle = world.spawn();
        printed(&handle, "begun");
        (world, handle)
    };
    let inside = |world: &World| {
        let tag = format!("TOWPATH_BUILD_DIR={}", world.request.dir.display());
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| {
                fs::read(process.path().join("environ"))
                    .is_ok_and(|environment| environment.split(|b| *b == 0).any(|entry| entry == tag.as_bytes()))
            })
            .count()
    };
    let (world, handle) = begin();
    assert!(inside(&world) > 0);
    handle.stop().unwrap();
    let done = finish(&handle);
    assert_eq!((done.outcome(), done.status.current_phase().unwrap().status), (Outcome::Stopped, PhaseStatus::Stopped));
    assert_eq!(inside(&world), 0);

    let (world, handle) = begin();
    let pid = read(&handle.dir().join("started"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    eventually("the sandbox dies with its runner", || inside(&world) == 0);
    assert!(!runs(pid.trim()));
}

fn runs_as(sandbox: fn(World) -> World) {
    let world = sandbox(World::new(
        "version: 0.2
run-as: nobody
phases:
  install:
    run-as: root
    commands: [id -un, 'STATE=kept']
  pre_build:
    commands: [id -un, 'echo $STATE; STATE=changed; cd /']
  build:
    run-as: root
    commands: ['echo $STATE; pwd']
",
    ));
    // The source belongs to root; the user only has to get there.
    let mut dir = world.request.primary_source.clone();
    while dir.pop() && dir.parent().is_some() && dir.starts_with(std::env::temp_dir()) && dir != std::env::temp_dir() {
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    assert_eq!(world.run().succeeded().output(), ["root", "nobody", "kept", "changed", "/"]);
    let unknown =
        sandbox(World::new("version: 0.2\nrun-as: no-such-user\nphases:\n  build:\n    commands: [\"true\"]\n"));
    let done = unknown.run();
    assert_eq!(done.output(), ["run-as: user no-such-user does not exist in the build environment"]);
    assert!(done.failed().1.message.ends_with("exit status 126"));
}

fn bubblewrap_runs_as_another_user() {
    runs_as(bubblewrap);
}

pub fn run_as_on_the_host() {
    if root() {
        runs_as(|world| world);
    } else {
        let (phase, context) = World::new("version: 0.2\nrun-as: nobody\nphases: {}\n").run().failed();
        assert_eq!((phase, context.status_code.as_str()), ("DOWNLOAD_SOURCE", "CLIENT_ERROR"));
        assert!(context.message.starts_with("run-as needs Towpath to run as root"), "{}", context.message);
    }
}

pub fn the_host_keeps_home_and_path_and_nothing_of_aws() {
    let show = "echo \"$HOME|${PATH:+path}|${AWS_PROFILE-none}|${TOWPATH_X-none}|${CARGO_PKG_NAME-none}|$MINE\"";
    let run = |inherit_environment: bool| {
        let mut world = World::commands(&[show]);
        world.request.sandbox = SandboxSpec::Host(HostSpec { inherit_environment });
        world.variable("MINE", "mine", VariableKind::Plaintext);
        world.request.codebuild.insert("CODEBUILD_X".to_owned(), "x".to_owned());
        // The runner's environment is the server's.
        fs::create_dir(&world.request.dir).unwrap();
        fs::write(world.request.dir.join("request.json"), serde_json::to_vec(&world.request).unwrap()).unwrap();
        let exit = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("build-runner")
            .arg(&world.request.dir)
            .envs([("HOME", "/home/dev"), ("AWS_PROFILE", "prod"), ("TOWPATH_X", "x"), ("CARGO_PKG_NAME", "inherited")])
            .status()
            .unwrap();
        assert!(exit.success());
        finish(&Handle::adopt(&world.request.dir).unwrap()).output().join("\n")
    };
    assert_eq!(run(false), "/home/dev|path|none|none|none|mine");
    assert_eq!(run(true), "/home/dev|path|none|none|inherited|mine");
}

fn container_looks_like_codebuild() {
    looks_like_codebuild(container);
}

fn container_artifacts_and_cache() {
    artifacts_and_cache(container, "/opt/elsewhere");
}

fn container_has_its_images_environment() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inspected = runtime.block_on(async {
        bollard::Docker::connect_with_host(&detect().engine.detail).unwrap().inspect_image(&image()).await.unwrap()
    });
    let declared = inspected.config.unwrap().env.unwrap_or_default();
    assert!(!declared.is_empty(), "an image that declares PATH at least");
    let done = container(World::commands(&["env"])).run().succeeded();
    for entry in declared {
        assert!(done.output().contains(&entry.as_str()), "{entry} is missing in {:?}", done.output());
    }
}

fn container_stops_and_is_swept() {
    let containers = |handle: &Handle| {
        let engine = detect().engine.detail;
        let label = handle.request().unwrap().build_id;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let docker = bollard::Docker::connect_with_host(&engine).unwrap();
            // Only ours: another test's container may be in a state that has no name in the API's model.
            let ours = std::collections::HashMap::from([("label", vec![format!("towpath.build={label}")])]);
            let options =
                bollard::query_parameters::ListContainersOptionsBuilder::default().all(true).filters(&ours).build();
            docker.list_containers(Some(options)).await.unwrap().len()
        })
    };
    let begin = |id: &str| {
        let mut world = container(World::commands(&["echo begun; sleep 1000"]));
        world.request.build_id = format!("{id}:{}", world.root.display());
        let handle = world.spawn();
        printed(&handle, "begun");
        (world, handle)
    };
    let (_world, handle) = begin("stopped");
    assert_eq!(containers(&handle), 1);
    handle.stop().unwrap();
    assert_eq!(finish(&handle).outcome(), Outcome::Stopped);
    assert_eq!(containers(&handle), 0);

    let (_world, handle) = begin("killed");
    let pid = read(&handle.dir().join("started"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    eventually("the runner is gone", || !handle.is_alive().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(handle.sweep()).unwrap();
    assert_eq!(containers(&handle), 0);
}

fn container_without_its_image() {
    let image = "localhost:1/towpath/no-such-image:1".to_owned();
    let world = in_sandbox(
        World::commands(&["echo never"]),
        SandboxSpec::Container(ContainerSpec { image, ..ContainerSpec::default() }),
    );
    let (phase, context) = world.run().failed();
    assert_eq!((phase, context.status_code.as_str()), ("PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"));
    assert!(
        context.message.starts_with("Unable to pull customer's container image. CannotPullContainerError: "),
        "{}",
        context.message
    );
}

fn container_without_an_engine() {
    let spec = ContainerSpec {
        image: "alpine:3".to_owned(),
        engine: Some("unix:///no/such.sock".to_owned()),
        ..ContainerSpec::default()
    };
    let (phase, context) = in_sandbox(World::commands(&["echo never"]), SandboxSpec::Container(spec)).run().failed();
    assert_eq!((phase, context.status_code.as_str()), ("PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"));
    assert!(context.message.contains("The image alpine:3 needs a container engine: no container engine answers (unix:///no/such.sock: no such socket); install Docker or Podman"), "{}", context.message);
}
