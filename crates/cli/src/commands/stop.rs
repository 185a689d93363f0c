//! `towpath stop`: stops a running execution.

use clap::Args as ClapArgs;
use serde_json::{Value as Json, json};

use crate::errors::{ExpectedError, exit};
use crate::limits;
use crate::remote::shape::text;
use crate::remote::{Remote, RemoteArgs, read};

/// Stop a running execution
///
/// Running actions are waited for, unless they are abandoned.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath stop demo --reason \"wrong branch\"
  towpath stop demo --execution 1a2b3c4d --abandon

Exit codes: 0 the stop was accepted, 1 refused, 2 nothing runs, or several do and none was named

JSON: {\"pipelineName\", \"pipelineExecutionId\", \"abandon\", \"reason\"}")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// The execution, by its id or the beginning of it; the default is the one that runs
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// Do not wait for running actions
    #[arg(long)]
    pub abandon: bool,
    /// What the history remembers as the reason, at most 200 characters
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let pipeline = &args.pipeline;
    let execution = match &args.execution {
        Some(given) => remote.execution(pipeline, given).await?,
        None => running(&remote, pipeline, args.abandon).await?,
    };
    let mut input = json!({"pipelineName": pipeline, "pipelineExecutionId": execution, "abandon": args.abandon});
    if let Some(reason) = &args.reason {
        input["reason"] = json!(reason);
    }
    let doing = format!("stop the execution {execution} of `{pipeline}`");
    remote.call(&doing, Some(pipeline), "StopPipelineExecution", input.clone()).await?;
    let shown = remote.shown(&execution);
    let sentence = if args.abandon {
        format!("Stopped execution {shown} of {pipeline}; its running actions are abandoned.")
    } else {
        format!("Stopping execution {shown} of {pipeline}; its running actions are waited for.")
    };
    remote.done(&sentence, &input);
    Ok(exit::SUCCEEDED)
}

/// The execution that runs, where there is exactly one. One that stops already can still be told to abandon.
async fn running(remote: &Remote<'_>, pipeline: &str, abandon: bool) -> Result<String, ExpectedError> {
    let executions = read::executions(remote, pipeline, limits::EXECUTIONS_SEARCHED).await?;
    let fits = |e: &&Json| match text(e, "status") {
        Some("InProgress") => true,
        Some("Stopping") => abandon,
        _ => false,
    };
    let ids: Vec<&str> = executions.iter().filter(fits).filter_map(|e| text(e, "pipelineExecutionId")).collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(ExpectedError::Unclear {
            message: format!("no execution of `{pipeline}` runs"),
            hint: format!("`{}` lists them", remote.place.command(&["history", pipeline])),
        }),
        several => Err(ExpectedError::Unclear {
            message: format!("{} executions of `{pipeline}` run: {}", several.len(), several.join(", ")),
            hint: "name the one that is meant with `--execution ID`".to_owned(),
        }),
    }
}
