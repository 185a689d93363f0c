//! `towpath start`: starts an execution at a server.

use clap::Args as ClapArgs;
use serde_json::{Value as Json, json};

use crate::args::pair;
use crate::errors::{ExpectedError, exit};
use crate::remote::{Remote, RemoteArgs, watch};

/// Start an execution of a pipeline at a server
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath start demo
  towpath start demo --var Target=staging --watch

Exit codes: 0 started; with --watch 0 succeeded, 1 failed, 3 stopped or waiting; 130 Ctrl-C

JSON: {\"pipelineName\", \"pipelineExecutionId\"}; with --watch the lines of `status --watch`")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// A value for a variable of the pipeline; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    pub variables: Vec<(String, String)>,
    /// Follow the execution to its end
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let pipeline = &args.pipeline;
    let variables: Vec<Json> =
        args.variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut input = json!({"name": pipeline});
    if !variables.is_empty() {
        input["variables"] = Json::Array(variables);
    }
    let answer = remote.call(&format!("start `{pipeline}`"), Some(pipeline), "StartPipelineExecution", input).await?;
    let id = answer["pipelineExecutionId"].as_str().unwrap_or_default().to_owned();
    if args.watch {
        return watch::watch(&mut remote, pipeline, Some(&id)).await;
    }
    let shown = if remote.terminal.redacted { remote.shown(&id) } else { id.clone() };
    remote.done(
        &format!("Started execution {shown} of {pipeline}."),
        &json!({"pipelineName": pipeline, "pipelineExecutionId": id}),
    );
    Ok(exit::SUCCEEDED)
}
