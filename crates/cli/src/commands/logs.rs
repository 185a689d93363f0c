//! `towpath logs`: what the actions of an execution wrote: builds their log, deployments their events, others what their
//! provider says.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Value as Json, json};
use towpath_model::time::Timestamp;

use crate::display::clean;
use crate::display::style::{Line, Style};
use crate::errors::{ExpectedError, exit};
use crate::flow::logs::{BUILDS, Line as Logged, Tail};
use crate::remote::board;
use crate::remote::screen::glyph;
use crate::remote::shape::{text, time};
use crate::remote::{Remote, RemoteArgs, read};

/// Show the logs of an execution's builds, functions and deployments
///
/// Logs are read from CloudWatch Logs, where CodeBuild, Commands and Lambda actions write them. Of an action that ran in
/// another realm (AWS, say) the server reads the log there: of a deployment the events of its stack, service, instances or
/// environment.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath logs demo                              the latest execution
  towpath logs demo --action Build/Compile --follow
  towpath logs demo --execution 1a2b3c4d --format json | jq -r .message

Exit codes: 0 shown; with --follow 0 succeeded, 1 failed, 3 stopped or superseded; 130 Ctrl-C

JSON: one object a line, as `towpath run` prints them:
      {time, type: \"log\", executionId, stage, action, state: null, message}")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// One action, as ACTION or STAGE/ACTION
    #[arg(long, value_name = "NAME")]
    pub action: Option<String>,
    /// One execution, by its id or the beginning of it; the default is the latest
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// Go on until the execution has ended
    #[arg(long, short)]
    pub follow: bool,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// One action execution whose output is shown.
struct Source {
    tail: Tail,
    status: String,
    /// It was told that it has ended.
    closed: bool,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let pipeline = &args.pipeline;
    let id = match &args.execution {
        Some(given) => remote.execution(pipeline, given).await?,
        None => latest(&remote, pipeline).await?,
    };
    let mut shown = Shown { several: args.action.is_none(), ..Shown::default() };
    let mut sources: Vec<Source> = Vec::new();
    loop {
        // The status first: what is logged before an execution ends is read after that was seen.
        let execution = read::execution(&remote, pipeline, &id).await?;
        let over = !read::is_active(&execution) || !args.follow;
        let mut records = read::actions(&remote, pipeline, Some(&id)).await?;
        records.reverse();
        records.sort_by_key(|record| time(&record["startTime"]));
        records.retain(|record| fits(record, args.action.as_deref()));
        if records.is_empty() && over {
            return nothing(args, &id, &remote).await;
        }
        for record in &records {
            let at = note(&mut sources, record, pipeline, &id);
            one(&mut remote, &mut shown, &mut sources[at], record, &id).await;
        }
        if over {
            return Ok(if args.follow { outcome(&execution) } else { exit::SUCCEEDED });
        }
        let pace: Duration = remote.pace;
        tokio::select! {
            biased;
            interrupt = remote.interrupts.recv() => if interrupt.is_some() { return Ok(exit::INTERRUPTED) },
            () = tokio::time::sleep(pace) => {}
        }
    }
}

async fn latest(remote: &Remote<'_>, pipeline: &str) -> Result<String, ExpectedError> {
    let executions = read::executions(remote, pipeline, 1).await?;
    let id = executions.first().and_then(|e| text(e, "pipelineExecutionId"));
    id.map(str::to_owned).ok_or_else(|| ExpectedError::Unclear {
        message: format!("the pipeline `{pipeline}` was never run"),
        hint: format!("`{}` runs it", remote.place.command(&["start", pipeline])),
    })
}

fn fits(record: &Json, wanted: Option<&str>) -> bool {
    let stage = text(record, "stageName").unwrap_or_default();
    let action = text(record, "actionName").unwrap_or_default();
    wanted.is_none_or(|wanted| wanted == action || wanted == format!("{stage}/{action}"))
}

/// Nothing fits: because the name is wrong, or because nothing has run.
async fn nothing(args: &Args, id: &str, remote: &Remote<'_>) -> Result<u8, ExpectedError> {
    let all = read::actions(remote, &args.pipeline, Some(id)).await?;
    let name = |record: &Json| Some(format!("{}/{}", text(record, "stageName")?, text(record, "actionName")?));
    let mut names: Vec<String> = all.iter().rev().filter_map(name).collect();
    names.dedup();
    let wanted = args.action.as_deref().unwrap_or_default();
    Err(ExpectedError::Unclear {
        message: match wanted {
            "" => format!("no action has run yet in execution {id}"),
            wanted => format!("no action `{wanted}` has run in execution {id}"),
        },
        hint: match names.as_slice() {
            [] => "`--follow` waits for it".to_owned(),
            names => format!("it ran {}", names.join(", ")),
        },
    })
}

/// Keeps a source for each action execution; answers its place.
fn note(sources: &mut Vec<Source>, record: &Json, pipeline: &str, execution: &str) -> usize {
    let word = |name: &str| text(record, name).unwrap_or_default();
    let id = word("actionExecutionId");
    let result = &record["output"]["executionResult"];
    let input = &record["input"];
    let of_type = |name: &str| text(&input["actionTypeId"], name).unwrap_or_default();
    let provider = of_type("provider");
    let is_build = text(result, "logStreamARN").is_some() || BUILDS.contains(&provider);
    let at = sources.iter().position(|source| source.tail.action_execution == id).unwrap_or_else(|| {
        let tail = Tail::new(word("stageName"), word("actionName"), id);
        sources.push(Source { tail, status: String::new(), closed: false });
        sources.len() - 1
    });
    let source = &mut sources[at];
    word("status").clone_into(&mut source.status);
    if is_build {
        source.tail.learn(text(result, "externalExecutionId"), text(result, "logStreamARN"));
    } else if provider == "Lambda"
        // A deployment does not call the function.
        && of_type("category") == "Invoke"
        && let (Some(function), Some(since)) =
            (text(&input["resolvedConfiguration"], "FunctionName"), time(&record["startTime"]))
    {
        source.tail.of_function(function, since);
    }
    // What only waits or copies writes nothing anywhere.
    if !["Source", "Approval"].contains(&of_type("category")) && text(result, "externalExecutionId").is_some() {
        source.tail.may_be_elsewhere(pipeline, execution);
    }
    at
}

/// What has been written so far.
#[derive(Default)]
struct Shown {
    /// Several actions may write: each block says whose it is.
    several: bool,
    /// The action execution whose lines were written last.
    last: Option<String>,
}

async fn one(remote: &mut Remote<'_>, shown: &mut Shown, source: &mut Source, record: &Json, execution: &str) {
    if source.closed {
        return;
    }
    source.tail.find_stream(remote.api).await;
    let lines = source.tail.read(remote.api, true).await;
    write(remote, shown, source, &lines, execution);
    if source.status == "InProgress" {
        return;
    }
    source.closed = true;
    if let Some(why) = source.tail.unreadable.take() {
        let action = format!("{}/{}", source.tail.stage, source.tail.action);
        remote.terminal.note(&format!("the log of {action} cannot be read in its realm: {}\n", clean(&why)));
    }
    let result = &record["output"]["executionResult"];
    let message = board::message(result, "externalExecutionSummary");
    // A build's own log has said it; of the others this is all there is.
    let told = !source.tail.has_lines() || source.status == "Failed";
    if remote.json {
        if let Some(message) = message.filter(|_| told) {
            let at = time(&record["lastUpdateTime"]).unwrap_or_else(|| remote.now());
            write(remote, shown, source, &[Logged { time: at, text: message }], execution);
        }
        return;
    }
    let (mark, style) = glyph(Some(&source.status), None);
    let message = message.filter(|_| told).map(|m| clean(&m.replace('\n', " "))).unwrap_or_default();
    let line = Line::new()
        .with(style, format!("{mark} {}/{} {}", source.tail.stage, source.tail.action, source.status))
        .with(Style::Dim, if message.is_empty() { message } else { format!("  {message}") });
    // Of a single action, only the log is the result.
    if shown.several || !source.tail.has_lines() {
        remote.show(&[line]);
        shown.last = None;
    }
}

fn write(remote: &mut Remote<'_>, shown: &mut Shown, source: &Source, lines: &[Logged], execution: &str) {
    if lines.is_empty() {
        return;
    }
    let tail = &source.tail;
    if remote.json {
        let text: String = lines.iter().map(|line| object(line.time, tail, &line.text, execution)).collect();
        remote.terminal.result(&text);
        return;
    }
    if shown.several && shown.last.as_deref() != Some(&tail.action_execution) {
        remote.show(&[Line::new().with(Style::Bold, format!("── {}/{} ──", tail.stage, tail.action))]);
        shown.last = Some(tail.action_execution.clone());
    }
    // Whole lines, and nothing in them that moves the cursor; a terminal wraps them itself.
    let text: String = lines.iter().map(|line| clean(&line.text) + "\n").collect();
    remote.terminal.result(&text);
}

fn object(time: Timestamp, tail: &Tail, message: &str, execution: &str) -> String {
    let object = json!({
        "time": time.iso8601(),
        "type": "log",
        "executionId": execution,
        "stage": tail.stage,
        "action": tail.action,
        "state": null,
        "message": message,
    });
    format!("{object}\n")
}

fn outcome(execution: &Json) -> u8 {
    match text(execution, "status") {
        Some("Succeeded") => exit::SUCCEEDED,
        Some("Failed") => exit::FAILED,
        _ => exit::WAITING,
    }
}
