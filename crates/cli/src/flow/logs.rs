//! Follows the logs of running actions: through CloudWatch Logs' own API, as any tailer does, where the endpoint has the
//! stream; else through Towpath's GetActionLog, which reads it in the realm that the action runs in. A Lambda function's
//! log is its group's, from the action's start on.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use towpath_model::time::Timestamp;

use crate::host::Api;
use crate::limits;

/// Providers whose actions are builds of a CodeBuild: Towpath's own, or another one's.
pub const BUILDS: [&str; 3] = ["CodeBuild", "Commands", "ECRBuildAndPublish"];

/// One build whose log is followed.
#[derive(Debug, Clone)]
pub struct Tail {
    pub stage: String,
    pub action: String,
    pub action_execution: String,
    pub build: Option<String>,
    /// Log group and stream, once they exist.
    pub stream: Option<(String, String)>,
    token: Option<String>,
    /// The log group of a function, and since when it matters.
    group: Option<(String, Timestamp)>,
    /// Events of the group that were told, by their ids.
    told: BTreeSet<String>,
    /// Pipeline and execution, where the server may be asked for what lies in another realm.
    elsewhere: Option<(String, String)>,
    elsewhere_token: Option<String>,
    /// Why the log in another realm cannot be read.
    pub unreadable: Option<String>,
}

/// A line with the time it was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub time: Timestamp,
    pub text: String,
}

impl Tail {
    pub fn new(stage: &str, action: &str, action_execution: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            action: action.to_owned(),
            action_execution: action_execution.to_owned(),
            build: None,
            stream: None,
            token: None,
            group: None,
            told: BTreeSet::new(),
            elsewhere: None,
            elsewhere_token: None,
            unreadable: None,
        }
    }

    /// The server may be asked for it.
    pub fn may_be_elsewhere(&mut self, pipeline: &str, execution: &str) {
        if self.elsewhere.is_none() {
            self.elsewhere = Some((pipeline.to_owned(), execution.to_owned()));
        }
    }

    /// A function's log.
    pub fn of_function(&mut self, name: &str, since: Timestamp) {
        // ARNs and qualified names are names too.
        let mut parts = name.rsplit(':');
        let name = match name.split_once(":function:") {
            Some((_, rest)) => rest.split(':').next(),
            None => parts.next_back(),
        };
        self.group = name.map(|name| (format!("/aws/lambda/{name}"), since));
    }

    /// Whether any log of it was found.
    pub fn has_lines(&self) -> bool {
        self.stream.is_some() || !self.told.is_empty() || self.elsewhere_token.is_some()
    }

    /// Takes what history or ListActionExecutions tells of the build.
    pub fn learn(&mut self, build: Option<&str>, log_stream_arn: Option<&str>) {
        if self.build.is_none() {
            self.build = build.map(str::to_owned);
        }
        if self.stream.is_none() {
            self.stream = log_stream_arn.and_then(parse_stream_arn);
        }
    }

    /// Asks CodeBuild where the log is.
    pub async fn find_stream(&mut self, api: &dyn Api) {
        let (None, Some(build)) = (&self.stream, &self.build) else { return };
        let Ok(answer) = api.call("codebuild", "BatchGetBuilds", json!({"ids": [build]})).await else { return };
        let logs = &answer["builds"][0]["logs"];
        if let (Some(group), Some(stream)) = (logs["groupName"].as_str(), logs["streamName"].as_str()) {
            self.stream = Some((group.to_owned(), stream.to_owned()));
        }
    }

    /// The lines logged since the last call: one page while the build runs, all when it is over. A log that is not there
    /// (yet) has no lines.
    pub async fn read(&mut self, api: &dyn Api, all: bool) -> Vec<Line> {
        if let Some((group, since)) = self.group.clone() {
            let lines = self.read_group(api, &group, since).await;
            return if lines.is_empty() { self.read_elsewhere(api).await } else { lines };
        }
        let Some((group, stream)) = self.stream.clone() else { return self.read_elsewhere(api).await };
        let mut lines = Vec::new();
        for _ in 0..if all { limits::LOG_DRAIN_PAGES_MAX } else { 1 } {
            let mut input = json!({
                "logGroupName": group,
                "logStreamName": stream,
                "startFromHead": true,
                "limit": limits::LOG_PAGE_EVENTS,
            });
            if let Some(token) = &self.token {
                input["nextToken"] = json!(token);
            }
            let answer = match api.call("logs", "GetLogEvents", input).await {
                Ok(answer) => answer,
                Err(error) if error.code.starts_with("ResourceNotFound") => return self.read_elsewhere(api).await,
                Err(_) => break,
            };
            let next = answer["nextForwardToken"].as_str().map(str::to_owned);
            for event in answer["events"].as_array().into_iter().flatten() {
                lines.extend(split(event));
            }
            // The same token again: that was the end, for now.
            let end = next.is_none() || next == self.token;
            self.token = next.or_else(|| self.token.take());
            if end {
                break;
            }
        }
        lines
    }

    /// What is new in a function's group.
    async fn read_group(&mut self, api: &dyn Api, group: &str, since: Timestamp) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..limits::LOG_DRAIN_PAGES_MAX {
            let mut input =
                json!({"logGroupName": group, "startTime": since.millis(), "limit": limits::LOG_PAGE_EVENTS});
            if let Some(token) = &token {
                input["nextToken"] = json!(token);
            }
            let Ok(answer) = api.call("logs", "FilterLogEvents", input).await else { break };
            for event in answer["events"].as_array().into_iter().flatten() {
                if self.told.insert(event["eventId"].as_str().unwrap_or_default().to_owned()) {
                    lines.extend(split(event));
                }
            }
            token = answer["nextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        lines
    }

    /// What the server reads in the action's own realm. AWS knows no such operation; then there is nothing.
    async fn read_elsewhere(&mut self, api: &dyn Api) -> Vec<Line> {
        let Some((pipeline, execution)) = self.elsewhere.clone() else { return Vec::new() };
        let mut lines = Vec::new();
        for _ in 0..limits::LOG_DRAIN_PAGES_MAX {
            let mut input = json!({
                "pipelineName": pipeline,
                "pipelineExecutionId": execution,
                "actionExecutionId": self.action_execution,
            });
            if let Some(token) = &self.elsewhere_token {
                input["nextToken"] = json!(token);
            }
            let Ok(answer) = api.call("codepipeline", "GetActionLog", input).await else { break };
            self.unreadable = answer["message"].as_str().map(str::to_owned);
            lines.extend(answer["events"].as_array().into_iter().flatten().flat_map(split));
            let next = answer["nextToken"].as_str().map(str::to_owned);
            let end = next.is_none() || next == self.elsewhere_token;
            self.elsewhere_token = next.or_else(|| self.elsewhere_token.take());
            if end {
                break;
            }
        }
        lines
    }

    /// Whether the build is over, as CodeBuild says.
    pub async fn has_stopped(&self, api: &dyn Api) -> bool {
        let Some(build) = &self.build else { return true };
        match api.call("codebuild", "BatchGetBuilds", json!({"ids": [build]})).await {
            Ok(answer) => answer["builds"][0]["buildStatus"] != "IN_PROGRESS",
            Err(_) => true,
        }
    }
}

/// An event may hold several lines.
fn split(event: &Json) -> Vec<Line> {
    let time = Timestamp::from_millis(event["timestamp"].as_i64().unwrap_or_default());
    let message = event["message"].as_str().unwrap_or_default();
    message.trim_end_matches('\n').split('\n').map(|text| Line { time, text: text.to_owned() }).collect()
}

/// `arn:aws:logs:R:A:log-group:GROUP:log-stream:STREAM`.
fn parse_stream_arn(arn: &str) -> Option<(String, String)> {
    let (_, rest) = arn.split_once(":log-group:")?;
    let (group, stream) = rest.split_once(":log-stream:")?;
    // Before the stream exists, CodeBuild writes `null` for both.
    (group != "null" && stream != "null").then(|| (group.to_owned(), stream.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_arns_are_read() {
        let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/codebuild/demo:log-stream:ab-1";
        assert_eq!(parse_stream_arn(arn), Some(("/aws/codebuild/demo".into(), "ab-1".into())));
        assert_eq!(parse_stream_arn("arn:aws:logs:r:a:log-group:null:log-stream:null"), None);
    }

    #[test]
    fn events_split_into_lines() {
        let event = json!({"timestamp": 5, "message": "one\ntwo\n"});
        let texts: Vec<String> = split(&event).into_iter().map(|l| l.text).collect();
        assert_eq!(texts, ["one", "two"]);
    }
}
