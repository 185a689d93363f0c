//! What an action's work wrote, read where it was written: the lines behind [`Provider::logs`](crate::Provider::logs). Only
//! work in a realm elsewhere is read through here; what Towpath's own services log is in its own CloudWatch Logs, which
//! whoever may read it asks directly. A page at a time; nothing is copied or kept.

use aws_sdk_cloudwatchlogs::Client;
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::limits::LOG_PAGE_EVENTS;
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
