//! `towpath enable` and `towpath disable`: opens and closes the transition into or out of a stage.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::errors::{ExpectedError, exit};
use crate::remote::{Remote, RemoteArgs, read};

/// What the API is given where no reason is: it insists on one.
const NO_REASON: &str = "Disabled with towpath";

#[derive(Debug, Clone, ClapArgs)]
pub struct Which {
    /// The pipeline's name
    pub pipeline: String,
    /// The stage
    pub stage: String,
    /// The transition into the stage; this is the default
    #[arg(long, conflicts_with = "outbound")]
    pub inbound: bool,
    /// The transition out of the stage
    #[arg(long)]
    pub outbound: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Enable the transition into a stage
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath enable demo Deploy
  towpath enable demo Build --outbound

Exit codes: 0 enabled (also when it was), 1 refused, 2 no such stage

JSON: {\"pipelineName\", \"stageName\", \"transitionType\", \"enabled\": true}")]
pub struct EnableArgs {
    #[command(flatten)]
    pub which: Which,
}

/// Disable the transition into a stage: executions wait in front of it
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath disable demo Deploy --reason \"freeze until Monday\"
  towpath disable demo Build --outbound

Exit codes: 0 disabled (also when it was), 1 refused, 2 no such stage

JSON: {\"pipelineName\", \"stageName\", \"transitionType\", \"enabled\": false, \"reason\"}")]
pub struct DisableArgs {
    #[command(flatten)]
    pub which: Which,
    /// What others are told, at most 300 characters
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

pub async fn enable(args: &EnableArgs, remote: Remote<'_>) -> Result<u8, ExpectedError> {
    change(&args.which, None, remote).await
}

pub async fn disable(args: &DisableArgs, remote: Remote<'_>) -> Result<u8, ExpectedError> {
    change(&args.which, Some(args.reason.as_deref().unwrap_or(NO_REASON)), remote).await
}

/// With a reason it is disabled, without one enabled.
async fn change(which: &Which, reason: Option<&str>, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let Which { pipeline, stage, outbound, .. } = which;
    // The API takes any name; a wrong one would only be noticed when the stage is not held.
    let state = read::state(&remote, pipeline).await?;
    remote.stage(pipeline, &state, stage)?;
    let kind = if *outbound { "Outbound" } else { "Inbound" };
    let mut input = json!({"pipelineName": pipeline, "stageName": stage, "transitionType": kind});
    let (operation, verb, past) = match reason {
        Some(reason) => {
            input["reason"] = json!(reason);
            ("DisableStageTransition", "disable", "Disabled")
        }
        None => ("EnableStageTransition", "enable", "Enabled"),
    };
    let place = if *outbound { "out of" } else { "into" };
    let doing = format!("{verb} the transition {place} {stage} of `{pipeline}`");
    remote.call(&doing, Some(pipeline), operation, input.clone()).await?;
    input["enabled"] = json!(reason.is_none());
    remote.done(&format!("{past} the transition {place} {stage} of {pipeline}."), &input);
    Ok(exit::SUCCEEDED)
}
