//! The log of a stack set action: a line for every stack instance that an operation of the action is done with.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::{StackSetOperationResultStatus, StackSetOperationResultSummary};
use towpath_model::action::Progress;
use towpath_model::time::Timestamp;

use super::work::{Memory, Work};
use crate::limits::STACK_INSTANCE_PAGES_MAX;
use crate::logs::{LogLine, LogPage};
use crate::problem::{Kind, Problem};

impl Work<'_> {
    /// What is new since `token`, which names the instances that were told. CloudFormation gives results no time: it is when
    /// they were seen, or their operation's end.
    pub async fn log(&self, progress: &Progress, token: Option<&str>) -> Result<LogPage, Problem> {
        let known = token.and_then(|token| serde_json::from_str::<BTreeSet<String>>(token).ok());
        let mut told = known.unwrap_or_default();
        let memory = Memory::of(progress).unwrap_or_default();
        let mut lines = Vec::new();
        for operation in memory.done.into_iter().chain(memory.operation) {
            let found = match self.operation(&operation).await {
                Ok(found) => found,
                Err(problem) if problem.kind == Kind::NotFound => continue,
                Err(problem) => return Err(problem),
            };
            let ended = found.end_timestamp().and_then(|at| at.to_millis().ok()).map(Timestamp::from_millis);
            let now = self.cx.clock.now();
            // An end in the future is a peer's that makes one up.
            let time = ended.filter(|ended| *ended <= now).unwrap_or(now);
            for result in self.results(&operation, false, STACK_INSTANCE_PAGES_MAX).await?.0 {
                if is_over(&result) && told.insert(place(&operation, &result)) {
                    lines.push(LogLine { time, text: line(&result) });
                }
            }
        }
        let next = serde_json::to_string(&told).ok().filter(|_| token.is_some() || !lines.is_empty());
        Ok(LogPage { lines, next })
    }
}

pub(super) fn is_over(result: &StackSetOperationResultSummary) -> bool {
    use StackSetOperationResultStatus as S;
    matches!(result.status(), Some(S::Succeeded | S::Failed | S::Cancelled))
}

fn place(operation: &str, result: &StackSetOperationResultSummary) -> String {
    format!("{operation} {} {}", result.account().unwrap_or_default(), result.region().unwrap_or_default())
}

/// `FAILED 111122223333 eu-west-1: reason`.
fn line(result: &StackSetOperationResultSummary) -> String {
    let status = result.status().map_or("", StackSetOperationResultStatus::as_str);
    let reason = result.status_reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    let unit = result.organizational_unit_id().map(|unit| format!(" of {unit}")).unwrap_or_default();
    format!("{status} {}{unit} {}{reason}", result.account().unwrap_or_default(), result.region().unwrap_or_default())
}
