//! `towpath approve`: answers the approval that a run was left at, and goes on with the execution in front of the user.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::run::{approve_command, approve_mode, conclude, open_options, place, stored_declaration, warn};
use super::validate::{Format, check_as};
use crate::display::Display;
use crate::errors::ExpectedError;
use crate::file::template;
use crate::flow::follow::{Follow, token};
use crate::flow::{Surroundings, data_directory};
use crate::host::Host;
use crate::terminal::Terminal;

#[derive(Debug, Clone)]
pub struct Options {
    pub path: PathBuf,
    pub reject: bool,
    pub summary: Option<String>,
    /// `ACTION` or `STAGE/ACTION`, where several approvals wait.
    pub action: Option<String>,
    pub format: Format,
    pub data_dir: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub template: template::Options,
}

/// An approval that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    stage: String,
    action: String,
    action_execution: String,
    execution: String,
}

pub async fn run(
    options: &Options,
    mut surroundings: Surroundings<'_>,
    mut terminal: Terminal,
) -> Result<u8, ExpectedError> {
    let checked = check_as(&options.path, options.config.as_deref(), &options.template, surroundings.validate)?;
    warn(&checked, &mut terminal);
    let approve = approve_mode(None, &terminal)?;
    let data = data_directory(options.data_dir.as_deref(), &checked.location.directory)?;
    let host = surroundings.opener.open(&open_options(&checked, &data, &BTreeMap::new())).await?;
    let name = checked.file.declaration.name.to_string();
    let nothing = || ExpectedError::NothingToApprove { pipeline: name.clone(), data: data.clone() };
    let waiting = choose(waiting(&*host, &name).await?, options.action.as_deref(), nothing)?;
    // The file may have changed since; the execution runs what was stored.
    let declaration = stored_declaration(&*host, &name).await?;
    let json = options.format == Format::Json;
    let display = Display::new(&declaration, &waiting.execution, json, terminal);
    let command = approve_command(&options.path, options.data_dir.as_deref(), &options.template);
    let (asker, interrupts) = (surroundings.asker, &mut surroundings.interrupts);
    let mut follow = Follow::new(&*host, &name, display, approve, asker, interrupts, command);
    // What happened before was watched already; the answer and what follows are told.
    follow.replay().await?;
    put(&*host, &name, &waiting, options).await?;
    let code = conclude(follow, &declaration, place(&checked, &data)).await;
    host.shutdown().await;
    code
}

/// All open approvals of a pipeline, the oldest first. Works in every execution mode.
async fn waiting(host: &dyn Host, pipeline: &str) -> Result<Vec<Waiting>, ExpectedError> {
    let answer = host.call("codepipeline", "ListActionExecutions", json!({"pipelineName": pipeline})).await;
    let answer = match answer {
        Ok(answer) => answer,
        // No pipeline: nothing was ever run here.
        Err(e) if e.code == "PipelineNotFoundException" => return Ok(Vec::new()),
        Err(e) => return Err(ExpectedError::api("list the open approvals")(e)),
    };
    let text = |record: &Json, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let records = answer["actionExecutionDetails"].as_array().into_iter().flatten();
    let mut open: Vec<Waiting> = records
        .filter(|r| r["status"] == "InProgress" && r["input"]["actionTypeId"]["category"] == "Approval")
        .map(|r| Waiting {
            stage: text(r, "stageName"),
            action: text(r, "actionName"),
            action_execution: text(r, "actionExecutionId"),
            execution: text(r, "pipelineExecutionId"),
        })
        .collect();
    open.reverse();
    Ok(open)
}

fn choose(
    open: Vec<Waiting>,
    wanted: Option<&str>,
    nothing: impl Fn() -> ExpectedError,
) -> Result<Waiting, ExpectedError> {
    let fits = |w: &Waiting| wanted.is_none_or(|name| name == w.action || name == format!("{}/{}", w.stage, w.action));
    let mut fitting: Vec<Waiting> = open.into_iter().filter(fits).collect();
    let same_action = fitting.iter().all(|w| (&w.stage, &w.action) == (&fitting[0].stage, &fitting[0].action));
    match fitting.len() {
        0 => Err(nothing()),
        // Several executions at one gate: the oldest first.
        _ if same_action => Ok(fitting.remove(0)),
        _ => Err(ExpectedError::SeveralApprovals {
            waiting: fitting.iter().map(|w| format!("{}/{}", w.stage, w.action)).collect(),
        }),
    }
}

async fn put(host: &dyn Host, pipeline: &str, waiting: &Waiting, options: &Options) -> Result<(), ExpectedError> {
    let token = token(host, pipeline, &waiting.stage, &waiting.action, &waiting.action_execution).await;
    let verb = if options.reject { "rejected" } else { "approved" };
    let summary = options.summary.clone().unwrap_or_else(|| format!("{verb} by towpath approve"));
    let input = json!({
        "pipelineName": pipeline,
        "stageName": waiting.stage,
        "actionName": waiting.action,
        "token": token,
        "result": {"status": if options.reject { "Rejected" } else { "Approved" }, "summary": summary},
    });
    let put = host.call("codepipeline", "PutApprovalResult", input).await;
    put.map_err(ExpectedError::api(format!("answer the approval {}/{}", waiting.stage, waiting.action)))?;
    Ok(())
}
