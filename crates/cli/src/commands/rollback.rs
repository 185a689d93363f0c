//! `towpath rollback`: brings a stage back to what an earlier execution brought it to.

use clap::Args as ClapArgs;
use serde_json::{Value as Json, json};

use crate::errors::{ExpectedError, exit};
use crate::remote::shape::text;
use crate::remote::{Remote, RemoteArgs, read, watch};

/// Roll a stage back to an earlier execution that succeeded in it
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath rollback demo Deploy                   to the last other execution that succeeded there
  towpath rollback demo Deploy --to 1a2b3c4d --watch

Exit codes: 0 the rollback has started; with --watch 0 succeeded, 1 failed, 3 stopped or waiting; 130 Ctrl-C

JSON: {\"pipelineName\", \"stageName\", \"targetPipelineExecutionId\", \"pipelineExecutionId\"}")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// The stage
    pub stage: String,
    /// The execution to go back to, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// Follow the rollback to its end
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let (pipeline, stage) = (&args.pipeline, &args.stage);
    let state = read::state(&remote, pipeline).await?;
    let found = remote.stage(pipeline, &state, stage)?;
    let target = match &args.to {
        Some(given) => remote.execution(pipeline, given).await?,
        None => target(&remote, pipeline, stage, found).await?,
    };
    let mut input = json!({"pipelineName": pipeline, "stageName": stage, "targetPipelineExecutionId": target});
    let doing = format!("roll the stage {stage} of `{pipeline}` back to {target}");
    let answer = remote.call(&doing, Some(pipeline), "RollbackStage", input.clone()).await?;
    let id = text(&answer, "pipelineExecutionId").unwrap_or_default().to_owned();
    if args.watch {
        return watch::watch(&mut remote, pipeline, Some(&id)).await;
    }
    let sentence = format!(
        "Rolling {stage} of {pipeline} back to execution {}, as execution {}.",
        remote.shown(&target),
        remote.shown(&id)
    );
    input["pipelineExecutionId"] = json!(id);
    remote.done(&sentence, &input);
    Ok(exit::SUCCEEDED)
}

/// The newest execution that succeeded in the stage and is not what the stage has now. A rollback is no target (AWS takes
/// none), and what the last rollback went back to is what the stage has.
async fn target(remote: &Remote<'_>, pipeline: &str, stage: &str, state: &Json) -> Result<String, ExpectedError> {
    let succeeded = read::succeeded_in(remote, pipeline, stage).await?;
    let latest = text(&state["latestExecution"], "pipelineExecutionId");
    let has = match latest {
        Some(id) if text(&state["latestExecution"], "type") == Some("ROLLBACK") => {
            let rollback = read::execution(remote, pipeline, id).await?;
            text(&rollback["rollbackMetadata"], "rollbackTargetPipelineExecutionId").map(str::to_owned)
        }
        other => other.map(str::to_owned),
    };
    let fits = |e: &&Json| {
        text(e, "executionType") != Some("ROLLBACK") && text(e, "pipelineExecutionId").map(str::to_owned) != has
    };
    let target = succeeded.iter().find(fits).and_then(|e| text(e, "pipelineExecutionId"));
    target.map(str::to_owned).ok_or_else(|| ExpectedError::Unclear {
        message: format!("no other execution has succeeded in the stage {stage} of `{pipeline}`"),
        hint: "there is nothing to go back to yet".to_owned(),
    })
}
