//! What an action's work wrote, read where it was written: the lines behind [`Provider::logs`](crate::Provider::logs). Only
//! work in a realm elsewhere is read through here; what Towpath's own services log is in its own CloudWatch Logs, which
//! whoever may read it asks directly. A page at a time; nothing is copied or kept.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_sfn::types::HistoryEvent;
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::limits::{HISTORY_PAGES_MAX, LOG_PAGE_EVENTS};
use crate::problem::Problem;
use crate::provider::Call;

pub const SERVICE: &str = "AWSLogs";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub time: Timestamp,
    pub text: String,
}

/// Some lines, and where to go on. The token that was given comes back when there is nothing more for now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    pub lines: Vec<LogLine>,
    pub next: Option<String>,
}

/// Group and stream of `arn:aws:logs:REGION:ACCOUNT:log-group:GROUP:log-stream:STREAM`.
pub fn group_and_stream(arn: &str) -> Option<(&str, &str)> {
    let (_, rest) = arn.split_once(":log-group:")?;
    rest.split_once(":log-stream:").filter(|(group, stream)| *group != "null" && *stream != "null")
}

/// A page of one stream, oldest lines first. A stream that is not there (yet) has none.
pub async fn of_stream(
    cx: &Call<'_>,
    action: &ActionInvocation,
    arn: &str,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    let Some((group, stream)) = group_and_stream(arn) else { return Ok(LogPage::default()) };
    let client = cx.realm.logs(action).await?;
    let request = client
        .get_log_events()
        .log_group_name(group)
        .log_stream_name(stream)
        .start_from_head(true)
        .limit(LOG_PAGE_EVENTS)
        .set_next_token(token.map(ToOwned::to_owned));
    match request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
        Ok(answer) => {
            let events = answer.events.unwrap_or_default();
            let lines = events.into_iter().map(|e| line(e.timestamp, e.message)).collect();
            Ok(LogPage { lines, next: answer.next_forward_token })
        }
        Err(problem) if problem.code.ends_with("ResourceNotFoundException") => Ok(LogPage::default()),
        Err(problem) => Err(problem),
    }
}

/// What a whole group got while the action ran: the log of a Lambda function, whose stream its callers are not told.
pub async fn of_group(
    cx: &Call<'_>,
    action: &ActionInvocation,
    group: &str,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    let client: Client = cx.realm.logs(action).await?;
    let request = client
        .filter_log_events()
        .log_group_name(group)
        .start_time(action.started.millis())
        .limit(LOG_PAGE_EVENTS)
        .set_next_token(token.map(ToOwned::to_owned));
    match request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
        Ok(answer) => {
            let events = answer.events.unwrap_or_default();
            let lines = events.into_iter().map(|e| line(e.timestamp, e.message)).collect();
            Ok(LogPage { lines, next: answer.next_token })
        }
        Err(problem) if problem.code.ends_with("ResourceNotFoundException") => Ok(LogPage::default()),
        Err(problem) => Err(problem),
    }
}

/// The events of a Step Functions execution, a line each. The token is the number of the last event that was told.
pub async fn of_state_machine(
    cx: &Call<'_>,
    action: &ActionInvocation,
    execution_arn: &str,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    const SERVICE: &str = "AWSStepFunctions";
    let told: i64 = token.and_then(|token| token.parse().ok()).unwrap_or_default();
    let client = cx.realm.sfn(action).await?;
    let mut page = LogPage { lines: Vec::new(), next: token.map(ToOwned::to_owned) };
    let mut place = None;
    for _ in 0..HISTORY_PAGES_MAX {
        let request = client
            .get_execution_history()
            .execution_arn(execution_arn)
            .max_results(LOG_PAGE_EVENTS)
            .set_next_token(place.take());
        let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        for event in answer.events.iter().filter(|event| event.id > told) {
            let time = event.timestamp.to_millis().unwrap_or_default();
            page.lines.push(LogLine { time: Timestamp::from_millis(time), text: told_by(event) });
            page.next = Some(event.id.to_string());
        }
        match answer.next_token {
            Some(next) => place = Some(next),
            None => break,
        }
    }
    Ok(page)
}

/// `TaskStateEntered Deploy`, `ExecutionFailed States.TaskFailed: no such bucket`.
fn told_by(event: &HistoryEvent) -> String {
    let entered = event.state_entered_event_details().map(|details| details.name().to_owned());
    let exited = event.state_exited_event_details().map(|details| details.name().to_owned());
    let failed =
        |error: Option<&str>, cause: Option<&str>| [error, cause].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let task = event.task_failed_event_details().map(|details| failed(details.error(), details.cause()));
    let function = event.lambda_function_failed_event_details().map(|details| failed(details.error(), details.cause()));
    let execution = event.execution_failed_event_details().map(|details| failed(details.error(), details.cause()));
    let aborted = event.execution_aborted_event_details().map(|details| failed(details.error(), details.cause()));
    let more =
        [entered, exited, task, function, execution, aborted].into_iter().flatten().find(|text| !text.is_empty());
    let kind = event.r#type().as_str();
    more.map_or_else(|| kind.to_owned(), |more| format!("{kind} {more}"))
}

/// A page of a list that is told whole each time, oldest first. The token is how much of it was told.
pub fn rest_of(lines: Vec<LogLine>, token: Option<&str>) -> LogPage {
    let told = token.and_then(|token| token.parse().ok()).unwrap_or(0);
    let all = lines.len().max(told);
    LogPage { lines: lines.into_iter().skip(told).collect(), next: Some(all.to_string()) }
}

fn line(time: Option<i64>, text: Option<String>) -> LogLine {
    LogLine { time: Timestamp::from_millis(time.unwrap_or_default()), text: text.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_streams() {
        let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/codebuild/demo:log-stream:a/b";
        assert_eq!(group_and_stream(arn), Some(("/aws/codebuild/demo", "a/b")));
        assert_eq!(group_and_stream("arn:aws:logs:r:a:log-group:null:log-stream:null"), None);
        assert_eq!(group_and_stream("x"), None);
    }
}
