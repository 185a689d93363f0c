//! The command line of the workers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use towpath_model::secret::Secret;

use super::job::TypeId;
use super::jobs::{Door, Polling};
use crate::args::pair;
use crate::client::Connection;
use crate::env;
use crate::limits;

/// Carry out actions of custom types: a ready-made job worker
///
/// A worker polls a server (or AWS) for jobs of an action type, carries them out, and tells the result. It needs no port
/// of its own and may run anywhere that reaches the server; several of one type share the work.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(subcommand)]
    pub kind: WorkerKind,
}

#[derive(Debug, Subcommand)]
pub enum WorkerKind {
    Command(CommandArgs),
    Http(HttpArgs),
    Jenkins(JenkinsArgs),
}

const COMMAND_HELP: &str = "\
The command runs in the directory of its first input artifact, with these variables:
  CODEPIPELINE_CONFIG_<KEY>         a value of the action's configuration
  CODEPIPELINE_CONFIGURATION        a file with all of them, as JSON
  CODEPIPELINE_INPUT_<ARTIFACT>     the directory of an input artifact; all are in _INPUTS
  CODEPIPELINE_OUTPUT_<ARTIFACT>    a directory to fill for an output artifact; all are in _OUTPUTS
  CODEPIPELINE_REVISION_<ARTIFACT>  the revision of an input artifact
  CODEPIPELINE_VARIABLES            a file for output variables, lines of NAME=VALUE
  CODEPIPELINE_REPORT               a file for lines of summary=, percent=, external-id=,
                                    failure-type=, continuation-token=, revision=,
                                    revision-change-id=, revision-summary=
  CODEPIPELINE_PIPELINE_NAME, _PIPELINE_ARN, _EXECUTION_ID, _STAGE_NAME, _ACTION_NAME,
  _ACTION_EXECUTION_ID, _ACCOUNT_ID, _CATEGORY, _PROVIDER, _VERSION, _JOB_ID, _CONTINUATION_TOKEN
In names of artifacts and keys, everything but letters and digits becomes `_`.

Exit code 0 ends the action as Succeeded, any other as Failed with the last lines of the output.

Examples:
  towpath worker command --category Build --provider Farm -- make dist
  towpath worker command --category Test --provider Farm --query Project=ferry -- ./test.sh";

/// Carry each job out with a command
///
/// Input artifacts are fetched and unpacked, the command is run, and what it leaves in its output directories becomes
/// the output artifacts. docs/workers.md has a walk through it.
#[derive(Debug, Args)]
#[command(after_help = COMMAND_HELP)]
pub struct CommandArgs {
    #[command(flatten)]
    pub common: WorkerCommon,
    /// The client token of the partner, for types of owner ThirdParty
    #[arg(long, value_name = "TOKEN", env = env::CLIENT_TOKEN, hide_env_values = true)]
    pub client_token: Option<String>,
    /// Progress that the command reports is shown at most this often
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub report_every: Duration,
    /// Where directories of jobs are made; the default is the system's directory for temporary files
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub argv: Vec<OsString>,
}

const HTTP_HELP: &str = "\
The file says how a run is started, how it is asked for, and what the answers mean; docs/workers.md
explains it, and examples/partners has one for each partner that AWS lists.

Examples:
  export TOWPATH_CLIENT_TOKEN=... RUNSCOPE_TOKEN=...
  towpath worker http --service runscope.toml --owner ThirdParty --category Test --provider Runscope";

/// Carry each job out as a run of an HTTP service that a file describes
///
/// Starts a run, asks for it until it is over, and tells what came of it. A run goes on when the worker ends; the next
/// worker with the same file takes it up.
#[derive(Debug, Args)]
#[command(after_help = HTTP_HELP)]
pub struct HttpArgs {
    /// The file that describes the service
    #[arg(long, value_name = "FILE")]
    pub service: PathBuf,
    /// The client token of the partner, for types of owner ThirdParty
    #[arg(long, value_name = "TOKEN", env = env::CLIENT_TOKEN, hide_env_values = true)]
    pub client_token: Option<String>,
    /// How far a run is, is shown this often
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub report_every: Duration,
    #[command(flatten)]
    pub common: WorkerCommon,
}

const JENKINS_HELP: &str = "\
The action type needs a property ProjectName: the Jenkins project to build, FOLDER/PROJECT for one in
a folder. Parameters that the project declares are filled by name from the action's configuration
and from CODEPIPELINE_PIPELINE_NAME, _EXECUTION_ID, _STAGE_NAME, _ACTION_NAME and _JOB_ID. A file
parameter with the name of an input artifact is given its zip, a text parameter
CODEPIPELINE_INPUT_<ARTIFACT> a link to it. Archived files become the output artifact; of several
output artifacts each takes the archived directory of its name.

Examples:
  export TOWPATH_JENKINS_USER=ci TOWPATH_JENKINS_TOKEN=...
  towpath worker jenkins --url https://jenkins.example --provider MyJenkins --query ProjectName=ferry";

/// Carry each job out as a build of a Jenkins server
///
/// Starts a build of the project that the action names, shows its console output, and brings its archived files back.
/// Jenkins needs no plugin for it. A build goes on when the worker ends; the next worker takes it up.
#[derive(Debug, Args)]
#[command(after_help = JENKINS_HELP)]
pub struct JenkinsArgs {
    /// The Jenkins server
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The user to sign in as; needs a token
    #[arg(long, value_name = "NAME", env = env::JENKINS_USER, hide_env_values = true)]
    pub user: Option<String>,
    /// The user's API token; better given through the environment
    #[arg(long, value_name = "TOKEN", env = env::JENKINS_TOKEN, hide_env_values = true)]
    pub token: Option<String>,
    /// How far a build is, is shown this often
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub report_every: Duration,
    #[command(flatten)]
    pub common: WorkerCommon,
}

#[derive(Debug, Args)]
pub struct WorkerCommon {
    /// The category of the action type
    #[arg(long, value_name = "NAME", default_value = "Build",
          value_parser = ["Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"])]
    pub category: String,
    /// The provider of the action type
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    /// The owner of the action type
    #[arg(long, value_name = "NAME", default_value = "Custom", value_parser = ["Custom", "ThirdParty"])]
    pub owner: String,
    /// The version of the action type
    #[arg(long = "type-version", visible_alias = "version", value_name = "VERSION", default_value = "1")]
    pub type_version: String,
    /// Only jobs whose queryable property has this value; needed where the type has such a property
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub query: Option<(String, String)>,
    /// Jobs worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=limits::WORKER_CONCURRENCY_MAX))]
    pub concurrency: u16,
    /// How long is waited between two questions for jobs
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub poll_every: Duration,
    /// How long running work may go on after SIGTERM; then it is stopped
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub grace: Duration,
    /// End after this many jobs
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
    #[command(flatten)]
    pub connection: Connection,
    /// The data directory of a server on this machine, whose root user's key is used; the default is what AWS's own settings
    /// say
    #[arg(long, value_name = "DIR", env = env::DATA_DIR, hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
}

impl WorkerCommon {
    pub fn polling(&self, door: Door) -> Polling {
        Polling {
            type_id: TypeId {
                category: self.category.clone(),
                owner: self.owner.clone(),
                provider: self.provider.clone(),
                version: self.type_version.clone(),
            },
            query: self.query.iter().cloned().collect::<BTreeMap<_, _>>(),
            door,
        }
    }

    /// Which operations reach the jobs of the type, or what is missing for them.
    pub fn door(&self, client_token: Option<&str>) -> Result<Door, &'static str> {
        match (self.owner.as_str(), client_token) {
            ("ThirdParty", Some(token)) => Ok(Door::Partner(Secret::new(token))),
            ("ThirdParty", None) => Err("`--owner ThirdParty` needs the partner's client token"),
            (_, Some(_)) => Err("a client token belongs to `--owner ThirdParty`"),
            (_, None) => Ok(Door::Custom),
        }
    }
}

/// A number of seconds, with fractions.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write it as a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration < limits::WORKER_PAUSE_MIN || duration > limits::WORKER_PAUSE_MAX {
        let (least, most) = (limits::WORKER_PAUSE_MIN.as_secs_f64(), limits::WORKER_PAUSE_MAX.as_secs());
        return Err(format!("it must be {least} to {most} seconds"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn parse(line: &str) -> Result<WorkerKind, String> {
        let words = std::iter::once("towpath").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.worker.kind).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_is_everything_behind_the_dashes() {
        let line = "command --category Test --provider Farm --version 2 --query P=x --poll-every 0.5 -- make -j 4";
        let Ok(WorkerKind::Command(args)) = parse(line) else { panic!("{:?}", parse(line).err()) };
        assert_eq!(args.argv, ["make", "-j", "4"]);
        assert_eq!(args.common.poll_every, Duration::from_millis(500));
        let polling = args.common.polling(Door::Custom);
        assert_eq!((polling.type_id.category.as_str(), polling.type_id.version.as_str()), ("Test", "2"));
        assert_eq!(polling.query["P"], "x");
    }

    #[test]
    fn what_is_missing_or_odd_is_told() {
        for (line, why) in [
            ("command --provider Farm", "COMMAND"),
            ("command -- make", "--provider"),
            ("command --provider F --category Bild -- make", "Build"),
            ("command --provider F --poll-every 0 -- make", "0.05 to"),
            ("command --provider F --concurrency 0 -- make", "concurrency"),
            ("http --provider F", "--service"),
            ("jenkins --provider F", "--url"),
        ] {
            let error = parse(line).err().unwrap_or_default();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn partners_need_their_token() {
        let door = |line: &str, token: Option<&str>| {
            let Ok(WorkerKind::Command(args)) = parse(line) else { panic!("{line}") };
            args.common.door(token).map(|door| matches!(door, Door::Partner(_)))
        };
        let (custom, partner) = ("command --provider F -- x", "command --provider F --owner ThirdParty -- x");
        assert_eq!(door(custom, None), Ok(false));
        assert_eq!(door(partner, Some("t")), Ok(true));
        assert!(door(custom, Some("t")).is_err() && door(partner, None).is_err());
    }
}
