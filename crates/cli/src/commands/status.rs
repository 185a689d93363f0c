//! `towpath status`: where a pipeline stands, stage by stage; once, or watched.

use clap::Args as ClapArgs;
use serde_json::{Value as Json, json};

use crate::errors::{ExpectedError, exit};
use crate::remote::board::{Answers, boards};
use crate::remote::{Remote, RemoteArgs, read, screen, watch};

/// Show where a pipeline stands: stages, actions, approvals, disabled transitions, conditions
///
/// With --watch the picture is kept up to date until nothing runs any more: redrawn on a terminal, a line for each
/// change without one. Without a terminal it also ends where only a person can go on (exit 3).
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath status demo
  towpath status demo --watch
  towpath status demo --execution 1a2b3c4d       one execution, whoever overtook it
  towpath status demo --watch --format json      one object a line, as `towpath run` prints them

Exit codes:
  0    shown; with --watch: the execution succeeded
  1    with --watch: the execution failed; or the server did not answer
  2    bad usage, no such pipeline, no credentials
  3    with --watch: stopped, superseded, cancelled, or waiting for a person
  130  Ctrl-C; the execution goes on

JSON: GetPipelineState, and \"executionMode\", \"pipelineType\", \"pipelineExecutionSummaries\"
      with --execution: {\"pipelineExecution\", \"actionExecutionDetails\", \"ruleExecutionDetails\"}")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// One execution, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// Keep looking until nothing runs any more
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let only = match &args.execution {
        Some(given) => Some(remote.execution(&args.pipeline, given).await?),
        None => None,
    };
    let only = only.as_deref();
    if args.watch {
        return watch::watch(&mut remote, &args.pipeline, only).await;
    }
    let answers = watch::look(&remote, &args.pipeline, only, None).await?;
    if remote.json {
        remote.show_json(&document(answers, only));
    } else {
        let boards = boards(&answers, only);
        let lines = screen::whole(&boards, watch::view(&remote, None));
        remote.show(&lines);
    }
    Ok(exit::SUCCEEDED)
}

fn document(answers: Answers, only: Option<&str>) -> Json {
    let Answers { declaration, mut state, mut executions, actions, rules } = answers;
    if only.is_some() {
        let execution = executions.into_iter().next().unwrap_or_default();
        return json!({
            "pipelineExecution": execution,
            "actionExecutionDetails": actions,
            "ruleExecutionDetails": rules,
        });
    }
    if executions.iter().any(read::is_active) {
        executions.retain(read::is_active);
    } else {
        executions.truncate(1);
    }
    for member in ["executionMode", "pipelineType"] {
        state[member] = declaration[member].clone();
    }
    state["pipelineExecutionSummaries"] = Json::Array(executions);
    state
}
