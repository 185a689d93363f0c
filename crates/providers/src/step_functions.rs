//! Invoke / AWS / StepFunctions: StartExecution, then DescribeExecution until the execution has ended. The execution's
//! name is made of the action execution id, so that a repeated start is the same execution.
//!
//! | | Standard | Express |
//! |---|---|---|
//! | Done | when the execution has ended | when it has started |
//! | Repeated start | the same execution | another one: Step Functions offers nothing better |
//! | Output artifact | `output.json`, the execution's output | none |
//! | Variables | `StateMachineArn`, `ExecutionArn` | `StateMachineArn` |

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionStatus, StateMachineType};
use towpath_model::action::{ActionInvocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::{ERROR_MESSAGE_CHARS_MAX, TIMEOUT_STEP_FUNCTIONS_MINUTES};

use crate::artifact_files::{self, Trouble};
use crate::limits::{STEP_FUNCTIONS_INPUT_BYTES_MAX, STEP_FUNCTIONS_SETTLE_MS};
use crate::logs::LogPage;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::{links, logs};

const SERVICE: &str = "AWSStepFunctions";
const LITERAL: &str = "Literal";
const FILE_PATH: &str = "FilePath";
/// The one file of the output artifact.
const OUTPUT_FILE: &str = "output.json";

pub struct StepFunctions {
    entry: ActionTypeEntry,
}

impl Default for StepFunctions {
    fn default() -> Self {
        Self::new()
    }
}

impl StepFunctions {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Invoke, Owner::Aws, "StepFunctions", "1"),
        description: "Starts an execution of an AWS Step Functions state machine. A Standard one is waited for and its \
                      output becomes the file `output.json` of the output artifact; an Express one is started and not \
                      waited for, and a start repeated after a crash starts it twice."
            .to_owned(),
        properties: vec![
            Property::required("StateMachineArn", "State machine to run, Standard or Express."),
            Property::optional(
                "ExecutionNamePrefix",
                "The execution is named `PREFIX-ID` after the action execution id; without a prefix, after the id alone.",
            ),
            Property::optional(
                "InputType",
                "Whether Input is the execution's input itself (`Literal`, when absent) or the path of a file in the input \
                 artifact.",
            )
            .one_of(&[FILE_PATH, LITERAL]),
            Property::optional("Input", "JSON text, `{}` when absent; or a path in the input artifact."),
        ],
        inputs: Bounds::new(0, 1),
        outputs: Bounds::new(0, 1),
        output_variables: ["ExecutionArn", "StateMachineArn"].map(ToOwned::to_owned).to_vec(),
        default_timeout_minutes: TIMEOUT_STEP_FUNCTIONS_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Name,
        entity_url_template: Some(
            "https://console.aws.amazon.com/states/home?#/statemachines/view/{Config:StateMachineArn}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-StepFunctions.html"
            .to_owned(),
    }
}

fn machine(action: &ActionInvocation) -> Result<&str, String> {
    let arn = action.config("StateMachineArn").filter(|arn| !arn.is_empty());
    arn.ok_or_else(|| format!("The configuration of {} lacks StateMachineArn.", action.action_name))
}

/// The same for every start of the same action.
fn execution_name(action: &ActionInvocation) -> String {
    let id = &action.action_execution_id;
    match action.config("ExecutionNamePrefix").filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{prefix}-{id}"),
        None => id.to_string(),
    }
}

/// The ARN that Step Functions gives a Standard execution of this name. A version's or an alias's executions are the
/// state machine's.
fn execution_arn(machine: &str, name: &str) -> Option<String> {
    let (prefix, rest) = machine.split_once(":stateMachine:")?;
    let machine = rest.split(':').next()?;
    Some(format!("{prefix}:execution:{machine}:{name}"))
}

/// The text the execution starts with, or what fails the action.
async fn input(cx: &Call<'_>, action: &ActionInvocation) -> Result<String, Outcome> {
    let wrong = |message: String| Outcome::failed(error_code::CONFIGURATION_ERROR, message);
    let given = action.config("Input").filter(|input| !input.trim().is_empty());
    match action.config("InputType").filter(|kind| !kind.is_empty()).unwrap_or(LITERAL) {
        LITERAL => Ok(given.unwrap_or("{}").to_owned()),
        FILE_PATH => {
            let path = given.ok_or_else(|| {
                wrong(format!("{} has the InputType FilePath and no Input. Set Input to the path.", action.action_name))
            })?;
            let [artifact] = action.input_artifacts.as_slice() else {
                return Err(wrong(format!(
                    "{} has the InputType FilePath, so it must have exactly one input artifact.",
                    action.action_name
                )));
            };
            let read = artifact_files::read(cx, action, artifact, path, STEP_FUNCTIONS_INPUT_BYTES_MAX).await;
            let bytes = read.map_err(|trouble: Trouble| trouble.outcome(artifact))?;
            String::from_utf8(bytes).map_err(|_| {
                wrong(format!("The file {path} of the artifact {} is no UTF-8 text, so no JSON.", artifact.name))
            })
        }
        other => Err(wrong(format!("The value of InputType is '{other}'; it must be {LITERAL} or {FILE_PATH}."))),
    }
}

fn failed(call: &str, problem: &Problem, progress: Progress) -> Outcome {
    let message = format!("Error calling {call}: {}", problem.detail());
    match problem.kind {
        // Executions end, and then there is room again.
        Kind::Rejected if problem.code.ends_with("ExecutionLimitExceeded") => Outcome::Unavailable { message },
        Kind::AccessDenied => problem.outcome_with(progress, error_code::PERMISSION_ERROR, message),
        Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => {
            problem.outcome_with(progress, error_code::CONFIGURATION_ERROR, message)
        }
    }
}

async fn is_express(cx: &Call<'_>, action: &ActionInvocation, machine: &str) -> Result<bool, Problem> {
    let request = cx.realm.sfn(action).await?.describe_state_machine().state_machine_arn(machine);
    let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
    Ok(answer.r#type() == &StateMachineType::Express)
}

/// The ARN of the started execution, or of the one that a start before this one has begun.
async fn begin(
    cx: &Call<'_>,
    action: &ActionInvocation,
    machine: &str,
    input: String,
    express: bool,
) -> Result<String, Problem> {
    let name = execution_name(action);
    let request = cx.realm.sfn(action).await?.start_execution();
    let answer = request.state_machine_arn(machine).name(&name).input(input).send().await;
    match answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
        Ok(started) => Ok(started.execution_arn),
        Err(problem) if !express && problem.code.ends_with("ExecutionAlreadyExists") => {
            execution_arn(machine, &name).ok_or(problem)
        }
        Err(problem) => Err(problem),
    }
}

fn told(action: &ActionInvocation, arn: &str, status: &str) -> Progress {
    // Its own Region, whatever the action's is.
    let region = arn.split(':').nth(3).unwrap_or(&action.region);
    Progress {
        external_id: Some(arn.to_owned()),
        external_url: Some(links::state_machine_execution(region, arn)),
        summary: Some(format!("The execution {} is {status}.", arn.rsplit(':').next().unwrap_or(arn))),
        ..Progress::default()
    }
}

fn variables(machine: &str, execution: Option<&str>) -> BTreeMap<String, String> {
    let execution = execution.map(|arn| ("ExecutionArn".to_owned(), arn.to_owned()));
    execution.into_iter().chain([("StateMachineArn".to_owned(), machine.to_owned())]).collect()
}

async fn ended(cx: &Call<'_>, action: &ActionInvocation, arn: &str, found: &DescribeExecutionOutput) -> Outcome {
    let status = found.status().as_str();
    let progress = told(action, arn, status);
    if found.status() != &ExecutionStatus::Succeeded {
        let detail = |label: &str, text: Option<&str>| text.map_or_else(String::new, |t| format!(" {label}: {t}."));
        let message = format!(
            "The execution {arn} is {status}.{}{}",
            detail("Error", found.error()),
            detail("Cause", found.cause())
        );
        let message: String = message.chars().take(ERROR_MESSAGE_CHARS_MAX).collect();
        let progress = Progress { summary: Some(message.clone()), ..progress };
        return Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) };
    }
    if let [output] = action.output_artifacts.as_slice() {
        let text = found.output().unwrap_or("null").to_owned();
        if let Err(trouble) = artifact_files::write_one(cx, action, output, OUTPUT_FILE, text.into_bytes()).await {
            return trouble.outcome(output);
        }
    }
    let variables = variables(action.config("StateMachineArn").unwrap_or_default(), Some(arn));
    Outcome::Succeeded { progress, variables, revisions: Vec::new() }
}

#[async_trait]
impl Provider for StepFunctions {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::StepFunctions)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let machine = match machine(action) {
            Ok(machine) => machine,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let input = match input(cx, action).await {
            Ok(input) => input,
            Err(outcome) => return outcome,
        };
        let express = match is_express(cx, action, machine).await {
            Ok(express) => express,
            Err(problem) => return failed("describeStateMachine", &problem, Progress::default()),
        };
        let arn = match begin(cx, action, machine, input, express).await {
            Ok(arn) => arn,
            Err(problem) => return failed("startExecution", &problem, Progress::default()),
        };
        if express {
            let progress = told(action, &arn, "started");
            return Outcome::Succeeded { progress, variables: variables(machine, None), revisions: Vec::new() };
        }
        let started = cx.clock.now().millis().to_string();
        Outcome::Pending { progress: Progress { continuation: Some(started), ..told(action, &arn, "RUNNING") } }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let Some(arn) = progress.external_id.as_deref() else {
            // Nothing is known of the start; the name makes starting again the same execution, which may have ended.
            return match self.start(cx, action).await {
                Outcome::Pending { progress } if progress.external_id.is_some() => {
                    self.poll(cx, action, &progress).await
                }
                other => other,
            };
        };
        let asked = async {
            let request = cx.realm.sfn(action).await?.describe_execution().execution_arn(arn);
            request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        };
        match asked.await {
            Ok(found) if matches!(found.status(), ExecutionStatus::Running | ExecutionStatus::PendingRedrive) => {
                let known = progress.continuation.clone();
                Outcome::Pending {
                    progress: Progress { continuation: known, ..told(action, arn, found.status().as_str()) },
                }
            }
            Ok(found) => ended(cx, action, arn, &found).await,
            Err(problem) if problem.code.ends_with("ExecutionDoesNotExist") && is_young(cx, action, progress) => {
                Outcome::Pending { progress: progress.clone() }
            }
            Err(problem) => failed("describeExecution", &problem, Progress::default()),
        }
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        // A start whose answer was lost has begun an execution of the same name.
        let begun = || execution_arn(action.config("StateMachineArn")?, &execution_name(action));
        let Some(arn) = progress.external_id.clone().or_else(begun) else { return Ok(()) };
        let asked = async {
            let request = cx.realm.sfn(action).await?.stop_execution().execution_arn(&arn);
            let request = request.error("Stopped").cause("The action of the pipeline was stopped.");
            request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        };
        match asked.await {
            Ok(_) => Ok(()),
            // Never begun, or an Express one, which nobody can stop.
            Err(problem)
                if ["ExecutionDoesNotExist", "InvalidArn", "StateMachineTypeNotSupported"]
                    .iter()
                    .any(|code| problem.code.ends_with(code)) =>
            {
                Ok(())
            }
            Err(problem) => Err(problem.detail()),
        }
    }

    /// The execution's events.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        match progress.external_id.as_deref() {
            // Step Functions keeps nothing of an Express execution.
            Some(arn) if !arn.contains(":express:") => logs::of_state_machine(cx, action, arn, token).await,
            _ => Ok(LogPage::default()),
        }
    }
}

/// Whether DescribeExecution may not know the execution yet.
fn is_young(cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> bool {
    let started = progress.continuation.as_deref().and_then(|millis| millis.parse().ok());
    let started: i64 = started.unwrap_or_else(|| action.started.millis());
    cx.clock.now().millis().saturating_sub(started) < STEP_FUNCTIONS_SETTLE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_of_versions_and_aliases_are_the_state_machines() {
        let machine = "arn:aws:states:eu-west-1:111122223333:stateMachine:ferry";
        let execution = "arn:aws:states:eu-west-1:111122223333:execution:ferry:n";
        for arn in [machine.to_owned(), format!("{machine}:10"), format!("{machine}:PROD")] {
            assert_eq!(execution_arn(&arn, "n").as_deref(), Some(execution), "{arn}");
        }
        assert_eq!(execution_arn("ferry", "n"), None);
    }
}
