//! The Systems Manager commands of an EC2 deployment. SendCommand has no client token: a command's comment carries the
//! action execution's id and the place of its batch, and is looked for before one is sent.

use std::collections::HashMap;

use aws_sdk_ssm::types::{CommandFilter, CommandFilterKey, CommandInvocation, CommandInvocationStatus};
use sha2::{Digest as _, Sha256};
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::ec2::SSM;
use crate::ec2::state::{Event, State, Status, Step, Target};
use crate::limits::{
    CLOCKS_DIFFER_MS, EC2_HISTORY_MS, EC2_MESSAGE_CHARS_MAX, EC2_PAGES_MAX, EC2_SETTLE_MS, SSM_DELIVERY_SECONDS,
    SSM_INSTANCES_AT_ONCE, SSM_SECONDS_MAX,
};
use crate::problem::Problem;
use crate::provider::Call;

const DOCUMENT: &str = "AWS-RunShellScript";

/// The same for every execution of one action of one pipeline, and for no other.
fn place(action: &ActionInvocation) -> String {
    let scope = &action.scope;
    let mut hash = Sha256::new();
    for part in [&*scope.account, &*scope.region, &*action.pipeline_name, &*action.stage_name, &*action.action_name] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..4])
}

/// At most 100 characters, which is what SendCommand takes.
fn comment(action: &ActionInvocation, at: usize) -> String {
    format!("towpath {} {} {at}", place(action), action.action_execution_id)
}

/// Invocations of shell commands since `since`, in no order.
async fn since(cx: &Call<'_>, action: &ActionInvocation, since: i64) -> Result<Vec<CommandInvocation>, Problem> {
    let after = Timestamp::from_millis(since).iso8601();
    // Systems Manager takes whole seconds.
    let after = format!("{}Z", after.split('.').next().unwrap_or(&after).trim_end_matches('Z'));
    let filter = |key: CommandFilterKey, value: &str| {
        let filter = CommandFilter::builder().key(key).value(value).build();
        filter.map_err(|error| Problem::refused(error.to_string()))
    };
    let filters =
        vec![filter(CommandFilterKey::InvokedAfter, &after)?, filter(CommandFilterKey::DocumentName, DOCUMENT)?];
    let (mut found, mut token) = (Vec::new(), None);
    for _ in 0..EC2_PAGES_MAX {
        let request = cx.realm.ssm(action).await?.list_command_invocations().set_filters(Some(filters.clone()));
        let request = request.max_results(50).set_next_token(token.take());
        let page = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SSM, &error)))?;
        found.extend(page.command_invocations.unwrap_or_default());
        match page.next_token.filter(|next| !next.is_empty()) {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    Ok(found)
}

/// What this action has sent before, in this execution and in others.
#[derive(Debug, Default)]
pub struct Before {
    /// Places of instances to which this execution has sent commands: a start before this one has put them there.
    own: HashMap<String, usize>,
    /// Whether the latest command of another execution failed on an instance.
    failed: HashMap<String, (i64, bool)>,
}

impl Before {
    /// Sorts those that failed last to the front, behind those that have their place already.
    pub fn rank(&self, id: &str) -> (usize, bool) {
        let failed = self.failed.get(id).is_some_and(|(_, failed)| *failed);
        (self.own.get(id).copied().unwrap_or(usize::MAX), !failed)
    }

    fn note(&mut self, action: &ActionInvocation, invocation: &CommandInvocation) {
        let rest =
            invocation.comment().and_then(|comment| comment.strip_prefix(&format!("towpath {} ", place(action))));
        let Some((execution, at)) = rest.and_then(|rest| rest.split_once(' ')) else { return };
        let id = invocation.instance_id().unwrap_or_default().to_owned();
        if execution == action.action_execution_id.as_str() {
            self.own.insert(id, at.parse().unwrap_or(usize::MAX));
            return;
        }
        let at = invocation.requested_date_time().and_then(|time| time.to_millis().ok()).unwrap_or_default();
        let failed = invocation.status().is_some_and(is_bad);
        let known = self.failed.entry(id).or_insert((at, failed));
        if at >= known.0 {
            *known = (at, failed);
        }
    }
}

/// As far back as Systems Manager tells.
pub async fn before(cx: &Call<'_>, action: &ActionInvocation) -> Result<Before, Problem> {
    let mut before = Before::default();
    for invocation in since(cx, action, cx.clock.now().millis().saturating_sub(EC2_HISTORY_MS)).await? {
        before.note(action, &invocation);
    }
    Ok(before)
}

fn is_bad(status: &CommandInvocationStatus) -> bool {
    matches!(
        status,
        CommandInvocationStatus::Failed | CommandInvocationStatus::TimedOut | CommandInvocationStatus::Cancelled
    )
}

/// Commands that this action execution has sent, by the place of their batch.
async fn sent(cx: &Call<'_>, action: &ActionInvocation) -> Result<HashMap<usize, String>, Problem> {
    let beginning = format!("towpath {} {} ", place(action), action.action_execution_id);
    let begun = action.started.millis().saturating_sub(CLOCKS_DIFFER_MS);
    let all = since(cx, action, begun).await?.into_iter().filter_map(|invocation| {
        let at = invocation.comment()?.strip_prefix(&beginning)?.parse().ok()?;
        Some((at, invocation.command_id?))
    });
    Ok(all.collect())
}

/// Sends the current batch its commands, those that were not sent before.
pub async fn send(cx: &Call<'_>, action: &ActionInvocation, state: &mut State, script: &str) -> Result<(), Problem> {
    let known = sent(cx, action).await?;
    let now = cx.clock.now();
    let left = action.deadline.millis().saturating_sub(now.millis()) / 1000;
    let seconds = left.clamp(60, SSM_SECONDS_MAX).to_string();
    let range = state.range();
    let places: Vec<usize> = range.clone().step_by(SSM_INSTANCES_AT_ONCE).collect();
    for at in places {
        let end = (at + SSM_INSTANCES_AT_ONCE).min(range.end);
        let ids: Vec<String> = state.targets[at..end].iter().map(|target| target.id.clone()).collect();
        let id = if let Some(id) = known.get(&at) {
            id.clone()
        } else {
            let client = cx.realm.ssm(action).await?;
            let request = client
                .send_command()
                .document_name(DOCUMENT)
                .set_instance_ids(Some(ids))
                .comment(comment(action, at))
                .timeout_seconds(SSM_DELIVERY_SECONDS)
                .parameters("commands", script.lines().map(ToOwned::to_owned).collect())
                .parameters("executionTimeout", vec![seconds.clone()]);
            let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SSM, &error)))?;
            let id = answer.command.and_then(|command| command.command_id);
            id.ok_or_else(|| Problem::broken(SSM, "SendCommand answered without a command"))?
        };
        state.sent.push(id);
        let number = state.sent.len() - 1;
        for target in &mut state.targets[at..end] {
            target.command = Some(number);
            target.begin(now);
        }
    }
    Ok(())
}

/// Looks at the commands of the current batch; whether all of its targets have ended.
pub async fn look(cx: &Call<'_>, action: &ActionInvocation, state: &mut State) -> Result<bool, Problem> {
    let now = cx.clock.now();
    let mut seen: HashMap<String, CommandInvocation> = HashMap::new();
    for command in state.commands() {
        let mut token = None;
        for _ in 0..EC2_PAGES_MAX {
            let request = cx.realm.ssm(action).await?.list_command_invocations().command_id(&command).details(true);
            let request = request.max_results(50).set_next_token(token.take());
            let page = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SSM, &error)))?;
            let all = page.command_invocations.unwrap_or_default();
            seen.extend(all.into_iter().map(|one| (one.instance_id().unwrap_or_default().to_owned(), one)));
            match page.next_token.filter(|next| !next.is_empty()) {
                Some(next) => token = Some(next),
                None => break,
            }
        }
    }
    let is_late = now.millis().saturating_sub(state.since) > EC2_SETTLE_MS;
    for target in state.current().iter_mut().filter(|target| !target.status.has_ended()) {
        match seen.get(&target.id) {
            Some(invocation) => apply(target, invocation, now),
            None if is_late => {
                let text = "Systems Manager has no invocation of the command for it.".to_owned();
                target.events.push(Event(Step::Download, Status::Failed, now.millis(), now.millis(), text));
                target.end(Status::Failed, now);
            }
            None => {}
        }
    }
    Ok(state.current().iter().all(|target| target.status.has_ended()))
}

/// What an invocation says of its target.
fn apply(target: &mut Target, invocation: &CommandInvocation, now: Timestamp) {
    let Some(status) = invocation.status() else { return };
    let good = *status == CommandInvocationStatus::Success;
    if !good && !is_bad(status) {
        return;
    }
    let output: String =
        invocation.command_plugins().iter().filter_map(|plugin| plugin.output()).collect::<Vec<_>>().join("\n");
    let (events, rest) = told(&output);
    let skipped = events.iter().any(|event| event.1 == Status::Skipped);
    let failed = events.iter().any(|event| event.1 == Status::Failed);
    target.events.extend(events);
    if good {
        target.end(if skipped { Status::Skipped } else { Status::Succeeded }, now);
        return;
    }
    if failed {
        if let Some(event) = target.events.iter_mut().find(|event| event.1 == Status::Failed) {
            let more: Vec<&str> = rest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            if !more.is_empty() {
                event.4 = format!("{}: {}", event.4, more.join(" | "));
            }
            event.4 = event.4.chars().take(EC2_MESSAGE_CHARS_MAX).collect();
        }
    } else {
        // It was not delivered, or ended from outside.
        let details = invocation.status_details().unwrap_or(status.as_str());
        let text = format!("The command is {details}. {}", output.trim());
        let text = text.trim_end().chars().take(EC2_MESSAGE_CHARS_MAX).collect();
        target.events.push(Event(Step::Deploy, Status::Failed, now.millis(), now.millis(), text));
    }
    target.end(Status::Failed, now);
}

/// The steps that the script on the target told of, and what it printed after one that failed.
fn told(output: &str) -> (Vec<Event>, String) {
    let mut events = Vec::new();
    let mut lines = output.lines();
    for line in lines.by_ref() {
        let Some(event) = line.strip_prefix("towpath:").and_then(step) else { continue };
        let failed = event.1 == Status::Failed;
        events.push(event);
        if failed {
            break;
        }
    }
    // Behind this stands what the agent says of the script as a whole.
    let rest = lines.take_while(|line| !line.starts_with("----------ERROR-------"));
    (events, rest.collect::<Vec<_>>().join("\n"))
}

fn step(line: &str) -> Option<Event> {
    let mut parts = line.splitn(5, ':');
    let step = Step::named(parts.next()?)?;
    let status = match parts.next()? {
        "Succeeded" => Status::Succeeded,
        "Failed" => Status::Failed,
        "Skipped" => Status::Skipped,
        _ => return None,
    };
    let mut millis = || parts.next()?.parse::<i64>().ok()?.checked_mul(1000);
    let (begun, done) = (millis()?, millis()?);
    Some(Event(step, status, begun, done, parts.next().unwrap_or_default().to_owned()))
}

/// Ends what this action execution has sent and what has not ended.
pub async fn cancel(cx: &Call<'_>, action: &ActionInvocation, state: Option<&State>) -> Result<(), String> {
    let commands = match state {
        Some(state) => state.commands(),
        // A start whose answer was lost may have sent one.
        None => match sent(cx, action).await {
            Ok(sent) => sent.into_values().collect(),
            Err(problem) => return Err(format!("Error calling listCommandInvocations: {}", problem.detail())),
        },
    };
    for command in commands {
        let asked = async {
            let request = cx.realm.ssm(action).await?.cancel_command().command_id(&command);
            request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SSM, &error)))
        };
        match asked.await {
            Ok(_) => {}
            Err(problem) if problem.code.ends_with("InvalidCommandId") => {}
            Err(problem) => return Err(format!("Error calling cancelCommand: {}", problem.detail())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_tells() {
        let output = "towpath:DOWNLOAD_BUNDLE:Succeeded:100:101:\nnoise\ntowpath:DEPLOY:Failed:101:102:cannot copy a: b to \
                      c\ncp: no such file\n\n----------ERROR-------\nfailed to run commands: exit status 1";
        let (events, rest) = told(output);
        assert_eq!(events[0], Event(Step::Download, Status::Succeeded, 100_000, 101_000, String::new()));
        let failed = Event(Step::Deploy, Status::Failed, 101_000, 102_000, "cannot copy a: b to c".to_owned());
        assert_eq!(events[1..], [failed]);
        assert_eq!(rest.trim(), "cp: no such file");
        for line in ["DEPLOY:Odd:1:2:", "NOWHERE:Failed:1:2:", "DEPLOY:Failed:x:2:", "DEPLOY"] {
            assert_eq!(step(line), None, "{line}");
        }
    }

    #[test]
    fn a_target_that_failed_says_where_and_why() {
        let invocation = |status: CommandInvocationStatus, details: &str, output: &str| {
            let plugin = aws_sdk_ssm::types::CommandPlugin::builder().output(output).build();
            let made = CommandInvocation::builder().status(status).status_details(details);
            let mut target = Target::new("i-1".to_owned());
            apply(&mut target, &made.command_plugins(plugin).build(), Timestamp::from_millis(9_000));
            target
        };
        let failed = CommandInvocationStatus::Failed;
        let output = "towpath:AFTER_DEPLOY:Failed:1:2:hooks/start.sh exit 3\nno such port\n";
        let target = invocation(failed.clone(), "Failed", output);
        assert_eq!(target.failure(), "i-1 AFTER_DEPLOY hooks/start.sh exit 3: no such port");
        let target = invocation(CommandInvocationStatus::TimedOut, "Delivery Timed Out", "");
        assert_eq!(target.failure(), "i-1 DEPLOY The command is Delivery Timed Out.");
        let output = "towpath:DEPLOY:Skipped:1:2:This artifact is deployed here already.";
        let target = invocation(CommandInvocationStatus::Success, "Success", output);
        assert_eq!((target.status, target.done), (Status::Skipped, 9_000));
        let target = invocation(CommandInvocationStatus::InProgress, "InProgress", "");
        assert_eq!(target.status, Status::Pending);
    }
}
