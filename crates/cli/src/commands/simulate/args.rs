//! The options of `towpath simulate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use towpath_model::declaration::ExecutionMode;
use towpath_model::time::Timestamp;

use super::moment::{self, Length, Planned, Run};
use super::wish::Options;
use crate::commands::validate::Format;
use crate::env;

const EXAMPLES: &str = "\
RUN is Stage/Action, or Stage/gate/Rule where gate is beforeEntry, onSuccess or onFailure. RUN#2 is
its second run, counted over all executions and retries. WHEN is a time like 5m; or Stage or
Stage/Action for \"while that runs\", with #2 for its second run and +30s for half a minute later.

Examples:
  towpath simulate .                                      everything goes well
  towpath simulate . --during Deploy                      a commit arrives during Deploy
  towpath simulate . --start 2m --start 4m --mode QUEUED  three commits, were the mode QUEUED
  towpath simulate . --fail Deploy/Ship#2 --start 1h      what a failed deployment rolls back
  towpath simulate . --fail Test/Unit#1 --retry Test      somebody retries the stage a minute later
  towpath simulate . --reject Approve/Review              the answer is no
  towpath simulate . --hold Approve/Review --during Approve --until 8d
  towpath simulate . --disable Prod --enable Prod@1h --start 10m --start 20m
  towpath simulate . --fail Prod/beforeEntry/Freeze --override Prod/beforeEntry

Exit codes:
  0    every execution succeeded, or waits for somebody, or was ended by a newer one or an option
  1    an execution failed
  2    bad usage, definition or configuration";

/// Show what a pipeline would do, without doing anything
///
/// The real engine runs the definition on a virtual clock: nothing is called, nothing is written, and hours take
/// milliseconds. Every action and rule succeeds after a usual time (a build 5m, an approval 15m) unless an option says
/// otherwise. Shows a timeline, what happened and why, and how everything stands in the end.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// A pipeline file (JSON or YAML), or a directory with pipeline.json or pipeline.yaml
    pub path: PathBuf,

    /// An action or a rule fails, each time or the Nth; may be repeated, like all that follow
    #[arg(long, value_name = "RUN", value_parser = moment::run, help_heading = "How things go")]
    pub fail: Vec<Run>,
    /// An approval is rejected
    #[arg(long, value_name = "RUN", value_parser = moment::run, help_heading = "How things go")]
    pub reject: Vec<Run>,
    /// An approval is never answered, an action never ends; it waits, or times out before --until
    #[arg(long, value_name = "RUN", value_parser = moment::run, help_heading = "How things go")]
    pub hold: Vec<Run>,
    /// How long it takes
    #[arg(long, value_name = "RUN=DURATION", value_parser = moment::length, help_heading = "How things go")]
    pub take: Vec<Length>,
    /// The value of a pipeline's variable; NAMESPACE.KEY=VALUE is what an action gives out
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = crate::args::pair, help_heading = "How things go")]
    pub variables: Vec<(String, String)>,

    /// Another execution starts, as for a new commit
    #[arg(
        long,
        visible_alias = "during",
        value_name = "WHEN",
        value_parser = moment::start,
        help_heading = "What somebody does"
    )]
    pub start: Vec<Planned>,
    /// An execution is stopped: the one that runs then, the newest, or the one of that number
    #[arg(
        long,
        value_name = "[N@]WHEN[,abandon]",
        value_parser = moment::stop,
        help_heading = "What somebody does"
    )]
    pub stop: Vec<Planned>,
    /// What failed in a stage runs again, or all of it; by default a minute after the stage failed
    #[arg(
        long,
        value_name = "STAGE[@WHEN][,all]",
        value_parser = moment::retry,
        help_heading = "What somebody does"
    )]
    pub retry: Vec<Planned>,
    /// A stage is rolled back to the last execution before that succeeded in it
    #[arg(long, value_name = "STAGE@WHEN", value_parser = moment::rollback, help_heading = "What somebody does")]
    pub rollback: Vec<Planned>,
    /// A condition is overridden; by default while its rules run (beforeEntry), or a minute after it was not met
    /// (onSuccess)
    #[arg(
        long = "override",
        value_name = "STAGE/GATE[@WHEN]",
        value_parser = moment::overriding,
        help_heading = "What somebody does"
    )]
    pub overriding: Vec<Planned>,
    /// The transition into a stage is disabled (STAGE/outbound: out of it); by default from the beginning
    #[arg(
        long,
        value_name = "STAGE[@WHEN]",
        value_parser = moment::disable,
        help_heading = "What somebody does"
    )]
    pub disable: Vec<Planned>,
    /// It is enabled again
    #[arg(long, value_name = "STAGE@WHEN", value_parser = moment::enable, help_heading = "What somebody does")]
    pub enable: Vec<Planned>,
    /// The definition is saved again, which cancels what runs
    #[arg(long, value_name = "WHEN", value_parser = moment::update, help_heading = "What somebody does")]
    pub update: Vec<Planned>,

    /// Try another execution mode than the file's
    #[arg(long, value_enum, ignore_case = true)]
    pub mode: Option<Mode>,
    /// Go on until then, though nothing but held work is left; the default is to end there
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    pub until: Option<Duration>,
    /// When the simulation begins, in UTC: deployment windows are then real; else they are open
    #[arg(long, value_name = "TIME", value_parser = moment::instant)]
    pub clock: Option<Timestamp>,
    /// A timeline and sentences, or one JSON object a line as of `run`
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The configuration; the default is the towpath.toml beside the pipeline
    #[arg(long, value_name = "FILE", env = env::CONFIG, hide_env_values = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Mode {
    Superseded,
    Queued,
    Parallel,
}

impl SimulateArgs {
    pub fn options(&self) -> Options {
        // Of one moment: doors first, then who is there, then who comes.
        let deeds = [
            &self.disable,
            &self.enable,
            &self.update,
            &self.stop,
            &self.overriding,
            &self.retry,
            &self.rollback,
            &self.start,
        ];
        Options {
            path: self.path.clone(),
            config: self.config.clone(),
            format: self.format,
            mode: self.mode.map(|mode| match mode {
                Mode::Superseded => ExecutionMode::Superseded,
                Mode::Queued => ExecutionMode::Queued,
                Mode::Parallel => ExecutionMode::Parallel,
            }),
            variables: self.variables.clone(),
            fail: self.fail.clone(),
            reject: self.reject.clone(),
            hold: self.hold.clone(),
            take: self.take.clone(),
            deeds: deeds.into_iter().flatten().cloned().collect(),
            until: self.until,
            clock: self.clock,
        }
    }
}
