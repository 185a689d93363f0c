//! `towpath retry`: runs the failed actions of a stage again, or all of them.

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Value as Json, json};

use crate::errors::{ExpectedError, exit};
use crate::remote::shape::{list, text};
use crate::remote::{Remote, RemoteArgs, read, watch};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// The actions that failed.
    #[default]
    Failed,
    /// Every action of the stage.
    All,
}

/// Retry a stage that failed or was stopped
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath retry demo Deploy
  towpath retry demo                             the stage that failed, where it is the only one
  towpath retry demo Deploy --mode all --watch

Exit codes: 0 retried; with --watch 0 succeeded, 1 failed, 3 stopped or waiting; 130 Ctrl-C

JSON: {\"pipelineName\", \"stageName\", \"pipelineExecutionId\", \"retryMode\"}")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// The stage
    pub stage: Option<String>,
    /// Which actions run again
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// The execution, by its id or the beginning of it; the default is the one that is in the stage
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// Follow the execution to its end
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let pipeline = &args.pipeline;
    let state = read::state(&remote, pipeline).await?;
    let stage = match &args.stage {
        Some(name) => remote.stage(pipeline, &state, name)?,
        None => only_failed(pipeline, &state)?,
    };
    let name = text(stage, "stageName").unwrap_or_default();
    let execution = match &args.execution {
        Some(given) => remote.execution(pipeline, given).await?,
        None => text(&stage["latestExecution"], "pipelineExecutionId").map(str::to_owned).ok_or_else(|| {
            ExpectedError::Unclear {
                message: format!("no execution has reached the stage {name}"),
                hint: format!("`{}` shows where executions are", remote.place.command(&["status", pipeline])),
            }
        })?,
    };
    let mode = match args.mode {
        Mode::Failed => "FAILED_ACTIONS",
        Mode::All => "ALL_ACTIONS",
    };
    let input = json!({
        "pipelineName": pipeline,
        "stageName": name,
        "pipelineExecutionId": execution,
        "retryMode": mode,
    });
    let doing = format!("retry the stage {name} of `{pipeline}`");
    remote.call(&doing, Some(pipeline), "RetryStageExecution", input.clone()).await?;
    if args.watch {
        return watch::watch(&mut remote, pipeline, Some(&execution)).await;
    }
    let sentence = format!("Retried {name} of {pipeline}, execution {}.", remote.shown(&execution));
    remote.done(&sentence, &input);
    Ok(exit::SUCCEEDED)
}

/// The stage that failed, where there is exactly one.
fn only_failed<'a>(pipeline: &str, state: &'a Json) -> Result<&'a Json, ExpectedError> {
    let failed = |stage: &&Json| matches!(text(&stage["latestExecution"], "status"), Some("Failed" | "Stopped"));
    let stages: Vec<&Json> = list(&state["stageStates"]).filter(failed).collect();
    match stages.as_slice() {
        [one] => Ok(one),
        [] => Err(ExpectedError::Unclear {
            message: format!("no stage of `{pipeline}` has failed or was stopped"),
            hint: "only such a stage is retried".to_owned(),
        }),
        several => Err(ExpectedError::Unclear {
            message: format!("several stages of `{pipeline}` have failed or were stopped"),
            hint: format!(
                "name the one that is meant: {}",
                several.iter().filter_map(|s| text(s, "stageName")).collect::<Vec<_>>().join(", ")
            ),
        }),
    }
}
