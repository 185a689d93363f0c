//! What an action's work wrote, read where it was written: the lines behind [`Provider::logs`](crate::Provider::logs). Only
//! work in a realm elsewhere is read through here; what Towpath's own services log is in its own CloudWatch Logs, which
//! whoever may read it asks directly. A page at a time; nothing is copied or kept.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_sfn::types::HistoryEvent;
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::limits::{HISTORY_PAGES_MAX, LOG_PAGE_EVENTS};
use crate::links;
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

/// The log group of a function, by whatever it is named: name, name and version or alias, ARN.
pub fn group_of_function(function: &str) -> String {
    format!("/aws/lambda/{}", links::function_name(function))
}

/// What a whole group got since the action began: the log of a Lambda function, whose stream its callers are not told.
/// The token is the time of the last event that was told, and how many of that time were.
pub async fn of_group(
    cx: &Call<'_>,
    action: &ActionInvocation,
    group: &str,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    let told = token.and_then(|token| token.split_once('.'));
    let told = told.and_then(|(time, count)| Some((time.parse().ok()?, count.parse().ok()?)));
    let (mut last, mut count): (i64, usize) = told.unwrap_or((action.started.millis(), 0));
    let mut known = count;
    let client: Client = cx.realm.logs(action).await?;
    let mut page = LogPage { lines: Vec::new(), next: token.map(ToOwned::to_owned) };
    let (from, mut place) = (last, None);
    for _ in 0..HISTORY_PAGES_MAX {
        let request = client
            .filter_log_events()
            .log_group_name(group)
            .start_time(from)
            .limit(LOG_PAGE_EVENTS)
            .set_next_token(place.take());
        let answer = match request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
            Ok(answer) => answer,
            // Nobody has logged there yet.
            Err(problem) if problem.code.ends_with("ResourceNotFoundException") => return Ok(page),
            Err(problem) => return Err(problem),
        };
        for event in answer.events.unwrap_or_default() {
            let time = event.timestamp.unwrap_or_default();
            if time == from && known > 0 {
                known -= 1;
                continue;
            }
            count = if time == last { count + 1 } else { 1 };
            last = time;
            page.lines.push(line(event.timestamp, event.message));
            page.next = Some(format!("{last}.{count}"));
        }
        // A page may be empty and not the last.
        match answer.next_token {
            Some(next) if page.lines.is_empty() => place = Some(next),
            _ => break,
        }
    }
    Ok(page)
}

/// The events of a Step Functions execution, a line each. The token is the number of the last event that was told.
pub async fn of_state_machine(
    cx: &Call<'_>,
    action: &ActionInvocation,
    execution_arn: &str,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    const SERVICE: &str = "AWSStepFunctions";
    // An Express execution has no history; what it logs is in a group that its state machine names.
    if execution_arn.contains(":express:") {
        return Ok(LogPage::default());
    }
    let told: i64 = token.and_then(|token| token.parse().ok()).unwrap_or_default();
    let client = cx.realm.sfn(action).await?;
    let mut page = LogPage { lines: Vec::new(), next: token.map(ToOwned::to_owned) };
    let mut place = None;
    for _ in 0..HISTORY_PAGES_MAX {
        let request = client
            .get_execution_history()
            .execution_arn(execution_arn)
            .max_results(LOG_PAGE_EVENTS)
            .include_execution_data(false)
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

/// A page of lines that others keep and may forget, oldest first: those after the ones that were told. The token is the time
/// of the last line that was told, and how many of that time were.
pub fn after(lines: Vec<LogLine>, token: Option<&str>) -> LogPage {
    let told = token.and_then(|token| token.split_once('.'));
    let told: Option<(i64, usize)> = told.and_then(|(time, count)| Some((time.parse().ok()?, count.parse().ok()?)));
    let (last, mut known) = told.unwrap_or((i64::MIN, 0));
    let is_new = |line: &LogLine| {
        let time = line.time.millis();
        if time == last && known > 0 {
            known -= 1;
            return false;
        }
        time >= last
    };
    let count_at = |time: Timestamp| lines.iter().filter(|line| line.time == time).count();
    let next = lines.last().map(|line| (line.time.millis(), count_at(line.time))).filter(|(time, _)| *time >= last);
    let next = next.map(|(time, count)| format!("{time}.{count}")).or_else(|| token.map(ToOwned::to_owned));
    LogPage { lines: lines.into_iter().filter(is_new).collect(), next }
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

    #[test]
    fn lines_of_one_time_are_told_once() {
        let line = |millis: i64, text: &str| LogLine { time: Timestamp::from_millis(millis), text: text.to_owned() };
        let texts = |page: &LogPage| page.lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        let mut all = vec![line(1, "a"), line(2, "b")];
        let page = after(all.clone(), None);
        assert_eq!((texts(&page), page.next.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("2.1")));
        all.push(line(2, "c"));
        let page = after(all.clone(), page.next.as_deref());
        assert_eq!((texts(&page), page.next.as_deref()), (vec!["c".to_owned()], Some("2.2")));
        // The oldest are forgotten.
        let page = after(all.split_off(1), page.next.as_deref());
        assert_eq!((texts(&page), page.next.as_deref()), (Vec::new(), Some("2.2")));
        let page = after(Vec::new(), page.next.as_deref());
        assert_eq!((texts(&page), page.next.as_deref()), (Vec::new(), Some("2.2")));
    }

    #[test]
    fn groups_of_functions() {
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:smoke";
        for name in ["smoke", "smoke:7", arn, &format!("{arn}:live"), "123456789012:function:smoke"] {
            assert_eq!(group_of_function(name), "/aws/lambda/smoke", "{name}");
        }
    }
}
