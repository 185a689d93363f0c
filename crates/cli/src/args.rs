//! The command line: names, help and parsing. What a command does is in `commands`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::client::Connection;
use crate::commands::import::args::{ImportArgs, PipelineOfTemplate};
use crate::commands::simulate::args::SimulateArgs;
use crate::commands::validate::Format;
use crate::commands::{completions, connection, history, list, logs, retry, rollback, start, status, stop, transition};
use crate::env;
use crate::file::FindError;
use crate::flow::follow::Approve;
use crate::worker::args::WorkerArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0    the execution succeeded; the files are valid; it is shown, it is done
  1    the execution failed, this machine did, or the server refused
  2    bad usage, definition or configuration; nothing of that name; no credentials
  3    the execution waits for somebody, or somebody else stopped it
  130  Ctrl-C";

#[derive(Debug, Parser)]
#[command(
    name = "towpath",
    version,
    about = "AWS CodePipeline on your own machine: the same pipelines, the same API, no account",
    after_help = EXIT_CODES,
    after_long_help = long_after_help(),
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

fn long_after_help() -> String {
    let variables: Vec<String> = env::VARIABLES.iter().map(|v| format!("  {:<23}{}", v.name, v.meaning)).collect();
    format!("{EXIT_CODES}\n\nEnvironment:\n{}", variables.join("\n"))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(RunArgs),
    Validate(ValidateArgs),
    Simulate(SimulateArgs),
    Serve(ServeArgs),
    List(list::Args),
    Status(status::Args),
    History(history::Args),
    Logs(logs::Args),
    Start(start::Args),
    Approve(ApproveArgs),
    Reject(RejectArgs),
    Retry(retry::Args),
    Stop(stop::Args),
    Rollback(rollback::Args),
    Enable(transition::EnableArgs),
    Disable(transition::DisableArgs),
    Import(ImportArgs),
    Connection(connection::Args),
    Completions(completions::Args),
    Worker(Box<WorkerArgs>),
    /// Runs one build, detached. Started by the system itself.
    #[command(hide = true)]
    BuildRunner {
        /// The build's directory.
        directory: PathBuf,
    },
    /// Runs the process of a Lambda function until the server that started it closes the pipe. Started by the system itself.
    #[command(hide = true)]
    FunctionRunner {
        /// The function's program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

/// Run a pipeline now, on this machine, and show it
///
/// Makes what the pipeline needs (roles, buckets, CodeBuild projects), packs the directory as its source, starts one
/// execution and follows it to the end. State stays in DIR/.towpath, so the next run goes on from there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  towpath run .                                  the pipeline in this directory
  towpath run examples/static-site --approve all
  towpath run pipeline.yaml --var Target=staging --source Fetch=../app
  towpath run . --format json | jq -r 'select(.type == \"log\").message'")]
pub struct RunArgs {
    /// A pipeline file (JSON or YAML), a CloudFormation template, or a directory with pipeline.json or pipeline.yaml
    pub path: PathBuf,
    /// How approvals are answered; on a terminal the default is to ask, else `none`: stop there and exit 3
    #[arg(long, value_enum, value_name = "HOW")]
    pub approve: Option<Approve>,
    /// A value for a variable of the pipeline; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    pub variables: Vec<(String, String)>,
    /// The directory (or file) that a source action takes; may be repeated
    #[arg(long = "source", value_name = "ACTION=DIR", value_parser = pair)]
    pub sources: Vec<(String, String)>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub of_template: PipelineOfTemplate,
}

/// Check a pipeline file and everything it names, without running it
///
/// Shows every violation at once, with line, column and a hint: in the pipeline file, in the towpath.toml beside it, and
/// as warnings in the buildspecs. Exits 0 or 2.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  towpath validate pipeline.json
  towpath validate . --format json")]
pub struct ValidateArgs {
    /// A pipeline file (JSON or YAML), a CloudFormation template, or a directory with pipeline.json or pipeline.yaml
    pub path: PathBuf,
    /// How violations are shown
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The configuration; the default is the towpath.toml beside the pipeline
    #[arg(long, value_name = "FILE", env = env::CONFIG, hide_env_values = true)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub of_template: PipelineOfTemplate,
}

/// Approve what waits for approval: in a pipeline of a server, or where a run was left
///
/// A pipeline of a server is given by its name. What was left by `towpath run` is given by the same path as to it (`.`, a
/// pipeline file, a directory with one, or anything with a `/`), and is followed on to its end. An option that says which
/// server (--endpoint-url, --region, --profile) makes any word a name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  towpath approve demo                           the approval that waits in the pipeline demo
  towpath approve demo Gate/Review --summary \"looks good\"
  towpath approve . --summary \"looks good\"       where `towpath run .` was left
  towpath approve . --action Gate/Review         where several approvals wait

Exit codes:
  0    approved; with a path or --watch: the execution succeeded
  1    refused; with a path or --watch: the execution failed
  2    nothing waits, or several do and none was named
  3    with a path or --watch: it waits again, or was stopped
  130  Ctrl-C

JSON: {\"pipelineName\", \"stageName\", \"actionName\", \"pipelineExecutionId\", \"result\", \"approvedAt\"}
      with a path or --watch: the lines of `towpath run --format json`")]
pub struct ApproveArgs {
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// Reject instead, as `towpath reject` does
    #[arg(long)]
    pub reject: bool,
}

/// Reject what waits for approval: the action, its stage and the execution fail
///
/// The pipeline is named as for `towpath approve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  towpath reject demo --summary \"broken on mobile\"
  towpath reject demo Gate/Review
  towpath reject .                               where `towpath run .` was left

Exit codes: as of `towpath approve`")]
pub struct RejectArgs {
    #[command(flatten)]
    pub answer: AnswerArgs,
}

#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// A pipeline of a server, by its name; or the path that was given to `towpath run`
    #[arg(value_name = "PIPELINE|PATH")]
    pub target: PathBuf,
    /// Which approval, as ACTION or STAGE/ACTION
    #[arg(value_name = "ACTION", conflicts_with = "action")]
    pub approval: Option<String>,
    /// The same
    #[arg(long, value_name = "NAME")]
    pub action: Option<String>,
    /// What the history remembers as the reason, at most 512 characters
    #[arg(long, value_name = "TEXT", value_parser = summary)]
    pub summary: Option<String>,
    /// Which execution, by its id or the beginning of it, where several wait; with a pipeline's name only
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// Follow the execution to its end; with a path this is always so
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub of_template: PipelineOfTemplate,
}

/// Options of every command that opens the data of a pipeline.
#[derive(Debug, Args)]
pub struct Common {
    /// How events are shown: a live tree or plain lines, or one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where state, artifacts and logs are kept; the default is .towpath beside the pipeline
    #[arg(long, value_name = "DIR", env = env::DATA_DIR, hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// The configuration; the default is the towpath.toml beside the pipeline
    #[arg(long, value_name = "FILE", env = env::CONFIG, hide_env_values = true)]
    pub config: Option<PathBuf>,
}

/// Serve the AWS APIs: CodePipeline, CodeBuild, S3, IAM, STS and CloudWatch Logs
///
/// Prints one line on stdout when it is ready; logs go to stderr. The first start writes the root user's key to
/// DIR/credentials, in the form of an AWS shared-credentials file. SIGTERM stops it; running builds go on and are
/// adopted again by the next start.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  towpath serve --data-dir /var/lib/towpath
  AWS_ENDPOINT_URL=http://127.0.0.1:7400 AWS_SHARED_CREDENTIALS_FILE=/var/lib/towpath/credentials \\
    AWS_DEFAULT_REGION=us-east-1 aws codepipeline list-pipelines")]
pub struct ServeArgs {
    /// Address and port; port 0 asks the system for a free one
    #[arg(long, value_name = "ADDRESS:PORT", env = env::LISTEN, default_value = "127.0.0.1:7400", hide_env_values = true)]
    pub listen: SocketAddr,
    /// Where state, artifacts and logs are kept
    #[arg(long, value_name = "DIR", env = env::DATA_DIR, default_value = ".towpath", hide_env_values = true)]
    pub data_dir: PathBuf,
    /// The configuration, in the form of towpath.toml
    #[arg(long, value_name = "FILE", env = env::CONFIG, hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// A PostgreSQL database for the state, `postgresql://USER:PASSWORD@HOST/DATABASE`; several servers may share one, and
    /// then need a data directory that all of them reach. The default is SQLite in the data directory
    #[arg(long, value_name = "URL", env = env::DATABASE_URL, hide_env_values = true)]
    pub database_url: Option<String>,
    /// The AWS account id to play
    #[arg(long, value_name = "ID", env = env::ACCOUNT_ID, default_value = "123456789012", value_parser = account, hide_env_values = true)]
    pub account_id: String,
    /// The URL that others reach this server under; the default is the listening address
    #[arg(long, value_name = "URL", env = env::PUBLIC_URL, hide_env_values = true)]
    pub public_url: Option<String>,
}

/// `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

fn summary(text: &str) -> Result<String, String> {
    if text.chars().count() > crate::limits::APPROVAL_SUMMARY_CHARS_MAX {
        return Err("a summary has at most 512 characters".to_owned());
    }
    Ok(text.to_owned())
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an AWS account id is twelve digits".to_owned())
    }
}

impl RunArgs {
    pub fn options(&self) -> crate::commands::run::Options {
        crate::commands::run::Options {
            path: self.path.clone(),
            approve: self.approve,
            variables: self.variables.iter().cloned().collect(),
            sources: self.sources.iter().map(|(k, v)| (k.clone(), PathBuf::from(v))).collect::<BTreeMap<_, _>>(),
            format: self.common.format,
            data_dir: self.common.data_dir.clone(),
            config: self.common.config.clone(),
            template: self.of_template.options(),
        }
    }
}

/// What stands for a pipeline is a path and no name.
pub(crate) fn is_path(given: &Path) -> bool {
    let text = given.to_string_lossy();
    let file = [".json", ".yaml", ".yml", ".template"].iter().any(|end| text.ends_with(end));
    let directory = given.is_dir() && !matches!(crate::file::find(given), Err(FindError::NoPipeline(_)));
    file || directory || text == "." || text == ".." || text.contains('/')
}

impl AnswerArgs {
    /// The path that was given to `towpath run`, where it is not a pipeline's name.
    pub fn path(&self) -> Option<&Path> {
        (is_path(&self.target) && !self.connection.is_given()).then_some(&*self.target)
    }

    fn approval(&self) -> Option<String> {
        self.approval.clone().or_else(|| self.action.clone())
    }

    /// With a path.
    pub fn run_options(&self, reject: bool) -> crate::commands::approve::Options {
        crate::commands::approve::Options {
            path: self.target.clone(),
            reject,
            summary: self.summary.clone(),
            action: self.approval(),
            format: self.common.format,
            data_dir: self.common.data_dir.clone(),
            config: self.common.config.clone(),
            template: self.of_template.options(),
        }
    }

    /// With a pipeline's name.
    pub fn options(&self, reject: bool) -> crate::commands::approval::Options {
        crate::commands::approval::Options {
            pipeline: self.target.to_string_lossy().into_owned(),
            action: self.approval(),
            execution: self.execution.clone(),
            reject,
            summary: self.summary.clone(),
            watch: self.watch,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_variable_that_an_option_reads_is_in_the_registry() {
        let cli = Cli::command();
        for command in cli.get_subcommands().flat_map(|c| std::iter::once(c).chain(c.get_subcommands())) {
            for argument in command.get_arguments() {
                if let Some(name) = argument.get_env() {
                    let known = env::VARIABLES.iter().any(|v| *v.name == *name);
                    assert!(known, "{} reads {}", argument.get_id(), name.to_string_lossy());
                }
            }
        }
    }

    #[test]
    fn help_is_a_document() {
        let mut command = Cli::command().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help().to_string());
        for name in [
            "run",
            "validate",
            "simulate",
            "approve",
            "serve",
            "list",
            "status",
            "history",
            "logs",
            "start",
            "reject",
            "retry",
            "stop",
            "rollback",
            "enable",
            "disable",
            "import",
            "completions",
        ] {
            let command = command.find_subcommand_mut(name).unwrap();
            insta::assert_snapshot!(format!("help_{name}"), command.clone().term_width(100).render_help().to_string());
        }
        let worker = command.find_subcommand_mut("worker").unwrap();
        for name in ["command", "jenkins"] {
            let command = worker.find_subcommand_mut(name).unwrap();
            let help = command.clone().term_width(100).render_help().to_string();
            insta::assert_snapshot!(format!("help_worker_{name}"), help);
        }
    }

    #[test]
    fn a_name_is_told_from_a_path() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("pipeline.json"), "{}").unwrap();
        let there = directory.path().to_str().unwrap();
        let is_path = |words: &[&str]| {
            let words = ["towpath", "approve"].iter().chain(words);
            let Command::Approve(args) = Cli::try_parse_from(words).unwrap().command else { panic!("not approve") };
            args.answer.path().is_some()
        };
        for path in [".", "..", "./demo", "examples/demo", "pipeline.yaml", "gone.json", there] {
            assert!(is_path(&[path]), "{path}");
        }
        for name in ["demo", "my.pipeline", "src"] {
            assert!(!is_path(&[name]), "{name}");
        }
        assert!(!is_path(&["pipeline.yaml", "--region", "eu-west-1"]), "an option names a server");
    }

    #[test]
    fn bad_values_are_refused() {
        for arguments in [
            vec!["run", ".", "--var", "novalue"],
            vec!["run", ".", "--approve", "maybe"],
            vec!["serve", "--account-id", "12"],
            vec!["run"],
            vec!["history", "demo", "--limit", "0"],
            vec!["enable", "demo", "Deploy", "--inbound", "--outbound"],
            vec!["approve", "demo", "Gate/A", "--action", "Gate/B"],
            vec!["completions", "csh"],
        ] {
            let error = Cli::try_parse_from(std::iter::once("towpath").chain(arguments)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
        }
    }
}
