//! What a stack tells of itself: which resource failed first and why, whose operation goes on, and the lines of the
//! action's log. Only this reads stack events.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::{DetailedStatus, HookStatus, StackEvent};
use serde::{Deserialize, Serialize};
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use super::SERVICE;
use crate::limits::{NESTED_STACKS_DEPTH_MAX, NESTED_STACKS_TOLD_MAX, STACK_EVENT_MARGIN_MS, STACK_EVENT_PAGES_MAX};
use crate::logs::{LogLine, LogPage};
use crate::problem::{Kind, Problem};
use crate::provider::Call;

const NESTED: &str = "AWS::CloudFormation::Stack";
/// Reasons of resources that failed because another one had.
const FOLLOWERS: [&str; 3] =
    ["Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled"];
const FAILED: [&str; 4] = ["CREATE_FAILED", "DELETE_FAILED", "IMPORT_FAILED", "UPDATE_FAILED"];

/// Every token of an action's operations begins like this.
pub fn token_prefix(action: &ActionInvocation) -> String {
    format!("{}-", action.action_execution_id)
}

fn status(event: &StackEvent) -> &str {
    event.resource_status().map_or("", |status| status.as_str())
}

fn time(event: &StackEvent) -> Timestamp {
    let millis = event.timestamp().and_then(|at| at.to_millis().ok()).unwrap_or_default();
    Timestamp::from_millis(millis)
}

/// The stack's own event, not one of a resource.
fn is_own(event: &StackEvent) -> bool {
    event.resource_type() == Some(NESTED) && event.physical_resource_id() == event.stack_id()
}

/// The first event of an operation.
fn begins(event: &StackEvent) -> bool {
    let status = status(event);
    is_own(event)
        && status.ends_with("_IN_PROGRESS")
        && !status.contains("ROLLBACK")
        && event.resource_status_reason() == Some("User Initiated")
}

/// The ARN of the nested stack that a resource's event is about.
fn nested(event: &StackEvent) -> Option<&str> {
    let id = event.physical_resource_id().filter(|id| id.starts_with("arn:"))?;
    (event.resource_type() == Some(NESTED) && !is_own(event)).then_some(id)
}

/// The events of one stack, newest first, down to the first of which `last` holds, which is among them.
async fn read(
    cx: &Call<'_>,
    action: &ActionInvocation,
    stack: &str,
    last: impl Fn(&StackEvent) -> bool + Send,
) -> Result<Vec<StackEvent>, Problem> {
    let client = cx.realm.cloudformation(action).await?;
    let mut events = Vec::new();
    let mut place = None;
    for _ in 0..STACK_EVENT_PAGES_MAX {
        let request = client.describe_stack_events().stack_name(stack).set_next_token(place.take());
        let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        for event in answer.stack_events.unwrap_or_default() {
            let ends = last(&event);
            events.push(event);
            if ends {
                return Ok(events);
            }
        }
        match answer.next_token {
            Some(next) => place = Some(next),
            None => break,
        }
    }
    Ok(events)
}

/// The part of the token behind the action's own prefix, where the stack's latest operation is the action's.
pub async fn own_operation(cx: &Call<'_>, action: &ActionInvocation, stack: &str) -> Result<Option<String>, Problem> {
    let prefix = token_prefix(action);
    let events = read(cx, action, stack, begins).await?;
    let mut tokens = events.iter().filter_map(StackEvent::client_request_token);
    Ok(tokens.find_map(|token| token.strip_prefix(&prefix)).map(str::to_owned))
}

/// Which resource of the latest operation failed first, and why. Down into nested stacks, whose own failure only says that
/// something in them failed.
pub async fn first_failure(cx: &Call<'_>, action: &ActionInvocation, stack: &str) -> Result<Option<String>, Problem> {
    let prefix = token_prefix(action);
    let (mut stack, mut within) = (stack.to_owned(), Vec::new());
    let mut told = None;
    for depth in 0..NESTED_STACKS_DEPTH_MAX {
        let mut events = match read(cx, action, &stack, begins).await {
            Ok(events) => events,
            // What cannot be read inside leaves what was seen from outside.
            Err(problem) if told.is_some() && !matches!(problem.kind, Kind::Transient | Kind::Session) => {
                return Ok(told);
            }
            Err(problem) => return Err(problem),
        };
        let is_ours = |event: &StackEvent| event.client_request_token().is_some_and(|token| token.starts_with(&prefix));
        if depth == 0 && events.iter().any(is_ours) {
            events.retain(|event| event.client_request_token().is_none() || is_ours(event));
        }
        let Some(failed) = events.iter().rev().find(|event| is_cause(event)) else {
            return Ok(told.or_else(|| otherwise(&events)));
        };
        told = Some(shown(failed, &within));
        let Some(inner) = nested(failed) else { return Ok(told) };
        within.push(failed.logical_resource_id().unwrap_or_default().to_owned());
        inner.clone_into(&mut stack);
    }
    Ok(told)
}

/// How many resources the latest operation is done with, None once it is rolled back. Only the newest event of each counts.
pub async fn done(cx: &Call<'_>, action: &ActionInvocation, stack: &str) -> Result<Option<usize>, Problem> {
    let events = read(cx, action, stack, begins).await?;
    if events.iter().any(|event| is_own(event) && status(event).contains("ROLLBACK")) {
        return Ok(None);
    }
    let mut seen = BTreeSet::new();
    let newest = events.iter().filter(|event| !is_own(event) && seen.insert(event.logical_resource_id()));
    Ok(Some(newest.filter(|event| status(event).ends_with("_COMPLETE")).count()))
}

fn is_cause(event: &StackEvent) -> bool {
    let reason = event.resource_status_reason().unwrap_or_default();
    FAILED.contains(&status(event)) && !is_own(event) && !FOLLOWERS.iter().any(|text| reason.starts_with(text))
}

/// Hooks and validations fail a stack without failing a resource.
fn otherwise(events: &[StackEvent]) -> Option<String> {
    let hook = events.iter().rev().find(|event| event.hook_status() == Some(&HookStatus::HookCompleteFailed));
    let hook = hook.and_then(|event| {
        let name = event.hook_type().unwrap_or("a hook");
        event.hook_status_reason().map(|reason| format!("{name}: {reason}"))
    });
    hook.or_else(|| {
        let event = events.iter().rev().find(|e| e.detailed_status() == Some(&DetailedStatus::ValidationFailed))?;
        event.resource_status_reason().map(str::to_owned)
    })
}

/// `Queue (AWS::SQS::Queue): reason`; in nested stacks `Messages/Queue (AWS::SQS::Queue): reason`.
fn shown(event: &StackEvent, within: &[String]) -> String {
    let id = event.logical_resource_id().unwrap_or_default();
    let path: Vec<&str> = within.iter().map(String::as_str).chain([id]).collect();
    let what = format!("{} ({})", path.join("/"), event.resource_type().unwrap_or_default());
    match event.resource_status_reason() {
        Some(reason) => format!("{what}: {reason}"),
        None => what,
    }
}

/// How far one stack's events have been told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    stack: String,
    /// Logical ids of the resources that lead to it.
    within: Vec<String>,
    /// The newest event that was told.
    last: Option<String>,
    /// Events that carry a token of the action's were there: others are somebody else's.
    #[serde(default)]
    ours: bool,
}

impl Place {
    fn new(stack: &str, within: Vec<String>) -> Self {
        Self { stack: stack.to_owned(), within, last: None, ours: false }
    }
}

/// The lines that are new since `token`: the events of the action's operations on these stacks, with those of nested ones,
/// by time. Where the events carry the operation's token, only those of the action; else everything since its start.
pub async fn log(
    cx: &Call<'_>,
    action: &ActionInvocation,
    stacks: &[&str],
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    let known = token.and_then(|token| serde_json::from_str::<Vec<Place>>(token).ok());
    let mut places = known.unwrap_or_default();
    // One that has been replaced meanwhile has a successor.
    for stack in stacks {
        if places.iter().all(|place| place.stack != *stack) {
            places.push(Place::new(stack, Vec::new()));
        }
    }
    let mut lines = Vec::new();
    let mut at = 0;
    while at < places.len() {
        let events = new_events(cx, action, &mut places[at]).await?;
        let within = places[at].within.clone();
        for event in &events {
            lines.push(LogLine { time: time(event), text: line(event, &within) });
            let Some(inner) = nested(event) else { continue };
            if places.len() < NESTED_STACKS_TOLD_MAX && places.iter().all(|place| place.stack != inner) {
                let id = event.logical_resource_id().unwrap_or_default().to_owned();
                places.push(Place::new(inner, within.iter().cloned().chain([id]).collect()));
            }
        }
        at += 1;
    }
    lines.sort_by_key(|line| line.time);
    // The same token again where nothing is new.
    let next = serde_json::to_string(&places).ok().filter(|_| token.is_some() || !lines.is_empty());
    Ok(LogPage { lines, next })
}

/// Oldest first; the place is moved behind them.
async fn new_events(cx: &Call<'_>, action: &ActionInvocation, place: &mut Place) -> Result<Vec<StackEvent>, Problem> {
    let since = action.started.plus_millis(-STACK_EVENT_MARGIN_MS);
    let last = place.last.clone();
    let is_old = |event: &StackEvent| (last.is_some() && event.event_id() == last.as_deref()) || time(event) < since;
    let mut events = read(cx, action, &place.stack, is_old).await?;
    events.retain(|event| !is_old(event));
    if let Some(newest) = events.first() {
        place.last = newest.event_id().map(str::to_owned);
    }
    // Nested stacks' operations need not carry the token of their parent's.
    if place.within.is_empty() {
        let prefix = token_prefix(action);
        let is_ours = |event: &StackEvent| event.client_request_token().is_some_and(|token| token.starts_with(&prefix));
        place.ours |= events.iter().any(is_ours);
        events.retain(|event| !place.ours || is_ours(event));
    }
    // One event may be on two pages where another came between.
    let mut seen = BTreeSet::new();
    events.retain(|event| event.event_id().is_none_or(|id| seen.insert(id.to_owned())));
    events.reverse();
    Ok(events)
}

/// `CREATE_FAILED Queue (AWS::SQS::Queue): reason`.
fn line(event: &StackEvent, within: &[String]) -> String {
    let status = match (event.hook_status(), event.detailed_status()) {
        (Some(hook), _) => hook.as_str(),
        (None, Some(detailed)) => detailed.as_str(),
        (None, None) => status(event),
    };
    let hook = event.hook_status_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    format!("{status} {}{hook}", shown(event, within))
}
