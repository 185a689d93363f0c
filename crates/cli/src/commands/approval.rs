//! `towpath approve PIPELINE` and `towpath reject`: answers an approval that waits at a server. The token that the API
//! wants is found here; `approve.rs` does the same for the data of `towpath run`.

use serde_json::json;

use crate::errors::{ExpectedError, exit};
use crate::limits;
use crate::remote::board::{Answers, Board, Execution, is_parallel};
use crate::remote::shape::list;
use crate::remote::{Remote, read, watch};

#[derive(Debug, Clone)]
pub struct Options {
    pub pipeline: String,
    /// `ACTION` or `STAGE/ACTION`, where several approvals wait.
    pub action: Option<String>,
    /// One execution, where several wait at the same approval.
    pub execution: Option<String>,
    pub reject: bool,
    pub summary: Option<String>,
    pub watch: bool,
}

/// An approval that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    stage: String,
    action: String,
    execution: String,
    token: String,
}

impl Waiting {
    fn name(&self) -> String {
        format!("{}/{}", self.stage, self.action)
    }
}

pub async fn run(options: &Options, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let pipeline = &options.pipeline;
    let wanted = match &options.execution {
        Some(given) => Some(remote.execution(pipeline, given).await?),
        None => None,
    };
    let open = waiting(&remote, pipeline, wanted.as_deref()).await?;
    let waiting = choose(open, options, &remote)?;
    let (status, said) = if options.reject {
        ("Rejected", "rejected by towpath reject")
    } else {
        ("Approved", "approved by towpath approve")
    };
    let summary = options.summary.as_deref().unwrap_or(said);
    let input = json!({
        "pipelineName": pipeline,
        "stageName": waiting.stage,
        "actionName": waiting.action,
        "token": waiting.token,
        "result": {"status": status, "summary": summary},
    });
    let doing = format!("answer the approval {} of `{pipeline}`", waiting.name());
    let answer = remote.call(&doing, Some(pipeline), "PutApprovalResult", input).await?;
    if options.watch {
        return watch::watch(&mut remote, pipeline, Some(&waiting.execution)).await;
    }
    let sentence =
        format!("{status} {} of {pipeline}, execution {}.", waiting.name(), remote.shown(&waiting.execution));
    let document = json!({
        "pipelineName": pipeline,
        "stageName": waiting.stage,
        "actionName": waiting.action,
        "pipelineExecutionId": waiting.execution,
        "result": {"status": status, "summary": summary},
        "approvedAt": answer["approvedAt"],
    });
    remote.done(&sentence, &document);
    Ok(exit::SUCCEEDED)
}

/// All approvals that wait, the oldest execution first. In PARALLEL mode each running execution has its own.
async fn waiting(remote: &Remote<'_>, pipeline: &str, only: Option<&str>) -> Result<Vec<Waiting>, ExpectedError> {
    let state = read::state(remote, pipeline).await?;
    let declaration = read::declaration(remote, pipeline).await?;
    let ids: Vec<String> = if let Some(id) = only {
        vec![id.to_owned()]
    } else {
        let executions = read::executions(remote, pipeline, limits::EXECUTIONS_SEARCHED).await?;
        executions.iter().map(Execution::of).filter(Execution::is_active).map(|e| e.id).collect()
    };
    let mut open = Vec::new();
    for id in ids.into_iter().rev() {
        // Outside PARALLEL mode the state tells of every execution that holds a stage.
        let told = list(&state["stageStates"]).any(|s| s["latestExecution"]["pipelineExecutionId"] == *id);
        if !told && !is_parallel(&declaration) {
            continue;
        }
        let actions = read::actions(remote, pipeline, Some(&id)).await?;
        let answers = Answers { declaration: declaration.clone(), state: state.clone(), actions, ..Answers::default() };
        let board = Board::new(&answers, Some(&id));
        open.extend(board.asking().filter_map(|(stage, action)| {
            Some(Waiting {
                stage: stage.name.clone(),
                action: action.name.clone(),
                execution: id.clone(),
                token: action.asks.as_ref()?.token.clone(),
            })
        }));
    }
    Ok(open)
}

fn choose(open: Vec<Waiting>, options: &Options, remote: &Remote<'_>) -> Result<Waiting, ExpectedError> {
    let pipeline = &options.pipeline;
    let names: Vec<String> = open.iter().map(Waiting::name).collect();
    let fits = |w: &Waiting| options.action.as_deref().is_none_or(|name| name == w.action || name == w.name());
    let mut fitting: Vec<Waiting> = open.into_iter().filter(fits).collect();
    let verb = if options.reject { "reject" } else { "approve" };
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => Err(ExpectedError::Unclear {
            message: match &options.action {
                Some(action) if !names.is_empty() => format!("no approval `{action}` waits in `{pipeline}`"),
                _ => format!("nothing of `{pipeline}` waits for approval"),
            },
            hint: match names.as_slice() {
                [] => format!("`{}` shows where it stands", remote.place.command(&["status", pipeline])),
                names => format!("these wait: {}", names.join(", ")),
            },
        }),
        _ if fitting.iter().all(|w| w.name() == fitting[0].name()) => Err(ExpectedError::Unclear {
            message: format!("{} executions of `{pipeline}` wait at {}", fitting.len(), fitting[0].name()),
            hint: format!(
                "name the one that is meant with `--execution ID`: {}",
                fitting.iter().map(|w| w.execution.as_str()).collect::<Vec<_>>().join(", ")
            ),
        }),
        _ => Err(ExpectedError::Unclear {
            message: format!("several approvals of `{pipeline}` wait: {}", names.join(", ")),
            hint: format!(
                "name the one that is meant: `{}`",
                remote.place.command(&[verb, pipeline, &fitting[0].name()])
            ),
        }),
    }
}
