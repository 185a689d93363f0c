//! How builds run on this machine: where their files are, which sandbox they get, how many at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use towpath_builds::Detected;
use towpath_builds::request::{BubblewrapSpec, ContainerSpec, HostSpec, SandboxSpec};

/// What `CodeBuild` needs to know about its machine.
#[derive(Debug, Clone)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// Program and arguments that end in a call of `towpath_builds::runner_main`; the build's directory is appended.
    pub runner_command: Vec<String>,
    pub sandbox: Sandboxes,
    /// Builds that run at once; the others wait in QUEUED.
    pub concurrent_builds: usize,
    /// Builds that may wait.
    pub queued_builds_max: usize,
    /// `AWS_ENDPOINT_URL` of builds; `None` while nothing listens.
    pub endpoint: Option<String>,
    /// Where this process itself reaches the server for git; `endpoint` without it.
    pub git_url: Option<String>,
    /// The name of this process where several share the documents and the data directory: each works on the builds that
    /// are its own.
    pub node: Option<String>,
    /// Base of links into Towpath's console; AWS's form of links without it.
    pub console_url: Option<String>,
}

impl Settings {
    /// As many builds at once as there are cores.
    pub fn new(data_dir: PathBuf, runner_command: Vec<String>, sandbox: impl Into<Sandboxes>) -> Self {
        let concurrent_builds = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            data_dir,
            runner_command,
            sandbox: sandbox.into(),
            concurrent_builds,
            queued_builds_max: 300,
            endpoint: None,
            git_url: None,
            node: None,
            console_url: None,
        }
    }
}

/// A policy that is found out when the first build asks for it: looking for sandboxes starts programs and knocks on
/// sockets, which a server without builds need not wait for.
#[derive(Debug, Clone)]
pub struct Sandboxes(Arc<LazyLock<SandboxPolicy, Finder>>);

type Finder = Box<dyn FnOnce() -> SandboxPolicy + Send + Sync>;

impl Sandboxes {
    pub fn found_by(find: impl FnOnce() -> SandboxPolicy + Send + Sync + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(find))))
    }

    /// The policy. Takes some milliseconds the first time.
    pub fn policy(&self) -> &SandboxPolicy {
        &self.0
    }
}

impl From<SandboxPolicy> for Sandboxes {
    fn from(policy: SandboxPolicy) -> Self {
        Self::found_by(move || policy)
    }
}

/// Where a project's commands run.
#[derive(Debug, Clone)]
pub struct SandboxPolicy {
    /// For AWS's managed images that `images` does not map.
    pub default: DefaultSandbox,
    /// `[images]`: names that projects use, to images a container engine can pull.
    pub images: BTreeMap<String, String>,
    /// The container engine's address, or why there is none.
    pub engine: Result<String, String>,
    pub bubblewrap: BubblewrapSpec,
    /// Why functions, which no container runs, cannot be enclosed by bubblewrap.
    pub no_bubblewrap: Option<String>,
    pub host: HostSpec,
    /// Network mode of containers; the host's unless told otherwise.
    pub network: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultSandbox {
    Host,
    Bubblewrap,
    /// Managed images run as this image.
    Container(String),
    /// Nothing here may run builds; the text says what to do about it.
    Nothing(String),
}

impl SandboxPolicy {
    /// A developer's own machine: plain processes, for those who ask for no more.
    pub fn host(detected: &Detected) -> Self {
        Self::with(DefaultSandbox::Host, detected)
    }

    /// A server: bubblewrap where it works; else plain processes only where that was allowed.
    pub fn server(detected: &Detected, allow_host: bool) -> Self {
        let default = if detected.bubblewrap.available {
            DefaultSandbox::Bubblewrap
        } else if allow_host {
            DefaultSandbox::Host
        } else {
            DefaultSandbox::Nothing(format!(
                "no sandbox for builds: {}. Or map the project's image to a container image under [images] in \
                 towpath.toml, or set [sandbox] to host where every user of this server may run commands on it",
                detected.bubblewrap.detail
            ))
        };
        Self::with(default, detected)
    }

    fn with(default: DefaultSandbox, detected: &Detected) -> Self {
        let engine = &detected.engine;
        Self {
            default,
            images: BTreeMap::new(),
            engine: if engine.available { Ok(engine.detail.clone()) } else { Err(engine.detail.clone()) },
            bubblewrap: BubblewrapSpec::default(),
            no_bubblewrap: (!detected.bubblewrap.available).then(|| detected.bubblewrap.detail.clone()),
            host: HostSpec::default(),
            network: None,
        }
    }

    /// Whether Lambda functions are enclosed; an error says why they cannot run here.
    pub fn encloses_functions(&self) -> Result<bool, String> {
        match (&self.default, &self.no_bubblewrap) {
            (DefaultSandbox::Host, _) => Ok(false),
            (_, None) => Ok(true),
            (_, Some(why)) => Err(format!(
                "no sandbox for functions: {why}. Or set kind = \"host\" under [sandbox] in towpath.toml where every user of \
                 this server may run programs on it"
            )),
        }
    }

    /// The sandbox of a project's image, or why it cannot be had.
    pub fn choose(&self, image: &str, privileged: bool) -> Result<SandboxSpec, String> {
        if let Some(mapped) = self.images.get(image) {
            return self.container(mapped, privileged);
        }
        let managed = ["aws/codebuild/", "public.ecr.aws/codebuild/"].iter().any(|prefix| image.starts_with(prefix));
        if !managed {
            return self.container(image, privileged);
        }
        match &self.default {
            DefaultSandbox::Host => Ok(SandboxSpec::Host(self.host.clone())),
            DefaultSandbox::Bubblewrap => Ok(SandboxSpec::Bubblewrap(self.bubblewrap.clone())),
            DefaultSandbox::Container(image) => self.container(image, privileged),
            DefaultSandbox::Nothing(reason) => Err(reason.clone()),
        }
    }

    fn container(&self, image: &str, privileged: bool) -> Result<SandboxSpec, String> {
        match &self.engine {
            Ok(address) => Ok(SandboxSpec::Container(ContainerSpec {
                image: image.to_owned(),
                engine: Some(address.clone()),
                privileged,
                network: self.network.clone(),
                registry_credential: None,
            })),
            Err(reason) => Err(format!(
                "image {image} needs a container engine: {reason}. Install and start Docker or Podman, or use one of \
                 AWS's managed images (aws/codebuild/...), which run without one"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use towpath_builds::Availability;

    use super::*;

    fn detected(bubblewrap: bool, engine: bool) -> Detected {
        let of = |available, yes: &str, no: &str| Availability {
            available,
            detail: if available { yes.to_owned() } else { no.to_owned() },
        };
        Detected {
            bubblewrap: of(bubblewrap, "bubblewrap 0.8", "bwrap is not installed"),
            engine: of(engine, "unix:///run/docker.sock", "nothing answers at /run/docker.sock"),
        }
    }

    #[test]
    fn managed_images_run_in_the_default_sandbox() {
        let image = "aws/codebuild/standard:7.0";
        let server = SandboxPolicy::server(&detected(true, false), false);
        assert!(matches!(server.choose(image, false), Ok(SandboxSpec::Bubblewrap(_))));
        assert!(matches!(SandboxPolicy::host(&detected(true, true)).choose(image, false), Ok(SandboxSpec::Host(_))));
        assert!(matches!(
            SandboxPolicy::server(&detected(false, false), true).choose(image, false),
            Ok(SandboxSpec::Host(_))
        ));
        let refused = SandboxPolicy::server(&detected(false, true), false).choose(image, false).unwrap_err();
        assert!(refused.contains("bwrap is not installed") && refused.contains("[images]"), "{refused}");
    }

    #[test]
    fn functions_are_enclosed_unless_the_host_is_theirs() {
        assert_eq!(SandboxPolicy::server(&detected(true, false), false).encloses_functions(), Ok(true));
        assert_eq!(SandboxPolicy::host(&detected(true, false)).encloses_functions(), Ok(false));
        let mut containers = SandboxPolicy::server(&detected(true, true), false);
        containers.default = DefaultSandbox::Container("ubuntu:24.04".to_owned());
        assert_eq!(containers.encloses_functions(), Ok(true), "no container runs functions");
        let refused = SandboxPolicy::server(&detected(false, true), false).encloses_functions().unwrap_err();
        assert!(refused.contains("bwrap is not installed") && refused.contains("[sandbox]"), "{refused}");
    }

    #[test]
    fn other_images_need_an_engine() {
        let server = SandboxPolicy::server(&detected(true, true), false);
        match server.choose("python:3.13", true) {
            Ok(SandboxSpec::Container(spec)) => {
                assert_eq!((spec.image.as_str(), spec.privileged), ("python:3.13", true));
            }
            other => panic!("{other:?}"),
        }
        let refused = SandboxPolicy::server(&detected(true, false), false).choose("python:3.13", false).unwrap_err();
        assert!(
            refused.contains("image python:3.13 needs a container engine") && refused.contains("Docker or Podman"),
            "{refused}"
        );
        let mut mapped = SandboxPolicy::host(&detected(true, true));
        mapped.images.insert("aws/codebuild/standard:7.0".into(), "ubuntu:24.04".into());
        match mapped.choose("aws/codebuild/standard:7.0", false) {
            Ok(SandboxSpec::Container(spec)) => assert_eq!(spec.image, "ubuntu:24.04"),
            other => panic!("{other:?}"),
        }
    }
}
