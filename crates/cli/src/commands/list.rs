//! `towpath list`: the pipelines of a server, each with its latest execution.

use clap::Args as ClapArgs;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value as Json, json};

use crate::display::elapsed;
use crate::errors::{ExpectedError, exit};
use crate::limits;
use crate::remote::board::{self, Execution};
use crate::remote::screen::glyph;
use crate::remote::shape::text;
use crate::remote::table::{Cell, Column, draw};
use crate::remote::times::ago;
use crate::remote::{Remote, RemoteArgs, read};

/// List the pipelines of a server, with the latest execution of each
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath list
  towpath list web                               those with `web` in their name
  towpath list --endpoint-url aws --profile prod
  towpath list --format json | jq -r '.pipelines[] | [.name, .latestExecution.status] | @tsv'

Exit codes: 0 listed, 1 the server did not answer or refused, 2 no credentials

JSON: {\"pipelines\": [each as ListPipelines has it, and \"latestExecution\": a summary or null]}")]
pub struct Args {
    /// Only pipelines with this in their name
    #[arg(value_name = "TEXT")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

struct Row {
    pipeline: Json,
    execution: Option<Json>,
    /// An approval that waits in it.
    asks: Option<String>,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let mut pipelines = read::pipelines(&remote).await?;
    if let Some(filter) = &args.filter {
        pipelines.retain(|p| text(p, "name").is_some_and(|name| name.to_lowercase().contains(&filter.to_lowercase())));
    }
    let rows: Vec<Row> = futures::stream::iter(pipelines)
        .map(|pipeline| row(&remote, pipeline))
        .buffered(limits::CALLS_AT_ONCE)
        .try_collect()
        .await?;
    if remote.json {
        let pipelines: Vec<Json> = rows.into_iter().map(document).collect();
        remote.show_json(&json!({"pipelines": pipelines}));
        return Ok(exit::SUCCEEDED);
    }
    if rows.is_empty() {
        let region = &remote.place.region;
        let text = match &args.filter {
            Some(filter) => format!("No pipeline in {region} has `{filter}` in its name.\n"),
            None => format!("There are no pipelines in {region}. CreatePipeline makes one, with any AWS client.\n"),
        };
        remote.terminal.note(&text);
        return Ok(exit::SUCCEEDED);
    }
    let columns = [
        Column::shrinking("PIPELINE", 16),
        Column::whole("STATUS"),
        Column::whole("STARTED"),
        Column::whole("TOOK").leaving(2),
        Column::whole("EXECUTION").leaving(1),
        Column::shrinking("TRIGGER", 12).leaving(3),
    ];
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| cells(&remote, row)).collect();
    let lines = draw(&columns, &rows, remote.width());
    remote.show(&lines);
    Ok(exit::SUCCEEDED)
}

async fn row(remote: &Remote<'_>, pipeline: Json) -> Result<Row, ExpectedError> {
    let name = text(&pipeline, "name").unwrap_or_default().to_owned();
    let execution = match read::executions(remote, &name, 1).await {
        Ok(executions) => executions.into_iter().next(),
        // Deleted since it was listed.
        Err(ExpectedError::Refused { source, .. }) if source.0.code == "PipelineNotFoundException" => None,
        Err(error) => return Err(error),
    };
    let asks = match &execution {
        Some(execution) if !remote.json && read::is_active(execution) => asking(remote, &name).await?,
        _ => None,
    };
    Ok(Row { pipeline, execution, asks })
}

/// An approval that waits, which is what a list of running pipelines is looked through for.
async fn asking(remote: &Remote<'_>, pipeline: &str) -> Result<Option<String>, ExpectedError> {
    let records = read::actions(remote, pipeline, None).await?;
    let open = |r: &&Json| r["status"] == "InProgress" && r["input"]["actionTypeId"]["category"] == "Approval";
    let oldest = records.iter().rev().find(open);
    Ok(oldest.and_then(|r| Some(format!("{}/{}", text(r, "stageName")?, text(r, "actionName")?))))
}

fn cells(remote: &Remote<'_>, row: &Row) -> Vec<Cell> {
    let name = Cell::plain(text(&row.pipeline, "name").unwrap_or_default());
    let Some(execution) = row.execution.as_ref().map(Execution::of) else {
        return vec![name, Cell::dim("· never run")];
    };
    let (mark, style) = glyph(Some(if row.asks.is_some() { "Needs approval" } else { &execution.status }), None);
    let status = match &row.asks {
        Some(asks) => format!("{mark} Needs approval {asks}"),
        None => format!("{mark} {}", execution.status),
    };
    let now = remote.now();
    let redacted = remote.terminal.redacted;
    let started = execution.started.map(|at| if redacted { "-".to_owned() } else { ago(at, now) });
    let end = if execution.is_active() { Some(now) } else { execution.changed };
    let took =
        execution.started.zip(end).map(|(from, to)| if redacted { "-.--s".to_owned() } else { elapsed(from, to) });
    vec![
        name,
        Cell::new(style, status),
        Cell::plain(started.unwrap_or_default()),
        Cell::plain(took.unwrap_or_default()),
        Cell::dim(remote.shown(&execution.id)),
        Cell::dim(
            board::trigger(&row.execution.as_ref().map_or(Json::Null, |e| e["trigger"].clone())).unwrap_or_default(),
        ),
    ]
}

fn document(row: Row) -> Json {
    let mut pipeline = row.pipeline;
    pipeline["latestExecution"] = row.execution.unwrap_or(Json::Null);
    pipeline
}
