//! Starting an action: variables are resolved, artifacts looked up and reserved, and the provider's words written
//! down, all just before it starts. What cannot be prepared fails the action at once, before anything outside happens.

use std::collections::BTreeMap;

use towpath_model::action::{ActionInvocation, ErrorDetails, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, Category, Executor};
use towpath_model::declaration::{ActionDeclaration, EnvironmentVariable, ExecutionMode, PipelineDeclaration};
use towpath_model::effect::Effect;
use towpath_model::history::EventState;
use towpath_model::ids::{ActionExecutionId, ExecutionId, StageName};
use towpath_model::limits;
use towpath_model::state::{ActionAttempt, ActionStatus, RuleRun, StageRun, Work};
use towpath_model::time::Timestamp;

use crate::artifacts;
use crate::turn::{Result, Turn, declaration_of, internal};
use crate::validation::{config, region_enum};
use crate::variables::{Scope, Unresolved};

/// Where an approval's request is published.
pub(crate) const NOTIFICATION: &str = "NotificationArn";

pub(crate) fn start(turn: &mut Turn, id: &ExecutionId, stage: &StageName, work: Work) -> Result {
    let definition = turn.definition_of(id)?;
    let declaration = &*declaration_of(&definition, stage, work)?;
    let action = ActionExecutionId::new(turn.ids.uuid());
    let entry = turn.action_types.find(&declaration.action_type_id);
    let deadline = turn.now.plus_minutes(timeout(declaration, entry));
    let prepared = match entry {
        Some(entry) => {
            let preparation = Preparation { definition: &definition, stage, work, declaration, entry };
            preparation.prepare(turn, id, &action, deadline)?
        }
        None => Err(ErrorDetails::new(error_code::CONFIGURATION_ERROR, unavailable(declaration, turn))),
    };
    let executor = entry.map_or(Executor::Provider, |entry| entry.executor);
    let approval = executor == Executor::Approval;
    let mut attempt = ActionAttempt {
        id: action.clone(),
        status: ActionStatus::InProgress,
        started: turn.now,
        last_change: turn.now,
        deadline,
        token: approval.then(|| action.to_string()),
        progress: Progress::default(),
        error: None,
        updated_by: None,
        variables: BTreeMap::new(),
        invocation: prepared.as_ref().ok().cloned(),
    };
    // With no state view in PARALLEL mode, the token is read from ListActionExecutions.
    if approval && turn.execution(id)?.mode == ExecutionMode::Parallel {
        attempt.progress.external_id = Some(action.to_string());
    }
    put(turn.stage_run_mut(id, stage)?, work, attempt)?;
    turn.attempt_mut(id, &action)?;
    turn.tell_action(id, &action, EventState::Started, None)?;
    match prepared {
        Ok(invocation) => {
            let invocation = Box::new(invocation);
            turn.effects.push(match executor {
                // Somebody is told of it before it waits.
                Executor::Approval if invocation.config(NOTIFICATION).is_some_and(|topic| !topic.is_empty()) => {
                    Effect::StartAction { invocation }
                }
                // A function does not ask for its job: a provider hands it over.
                Executor::Provider | Executor::Lambda => Effect::StartAction { invocation },
                Executor::Approval => Effect::AwaitAction { invocation },
                Executor::JobWorker => Effect::OfferJob { invocation },
            });
            Ok(())
        }
        Err(error) => {
            turn.attempt_mut(id, &action)?.error = Some(error.clone());
            turn.end_action(id, &action, ActionStatus::Failed, EventState::Failed, Some(error))
        }
    }
}

fn put(run: &mut StageRun, work: Work, attempt: ActionAttempt) -> Result {
    let missing = internal(format!("stage {} does not run {work:?}", run.name));
    match work {
        Work::Action(name) => {
            run.actions.iter_mut().find(|action| action.name == *name).ok_or(missing)?.latest = Some(attempt);
        }
        Work::Rule(gate, name) => {
            let condition = run.conditions.iter_mut().find(|condition| condition.gate == gate).ok_or(missing)?;
            condition.rules.push(RuleRun { name: name.clone(), attempt });
        }
    }
    Ok(())
}

/// `timeoutInMinutes` where the type allows it, else the type's own.
pub(crate) fn timeout(declaration: &ActionDeclaration, entry: Option<&ActionTypeEntry>) -> u32 {
    let configured = declaration.timeout_in_minutes.filter(|_| entry.is_some_and(|entry| entry.timeout_configurable));
    configured.unwrap_or_else(|| entry.map_or(limits::TIMEOUT_DEFAULT_MINUTES, |entry| entry.default_timeout_minutes))
}

/// The type was there when the pipeline was saved and is gone now.
fn unavailable(declaration: &ActionDeclaration, turn: &Turn) -> String {
    let id = &declaration.action_type_id;
    format!(
        "ActionType (Category: '{}', Provider: '{}', Owner: '{}', Version: '{}') in action '{}' is not available in \
         region '{}'",
        id.category.as_str(),
        id.provider,
        id.owner.as_str(),
        id.version,
        declaration.name,
        region_enum(declaration.region.as_deref().unwrap_or(&turn.gate.scope.region))
    )
}

struct Preparation<'d> {
    definition: &'d PipelineDeclaration,
    stage: &'d StageName,
    work: Work<'d>,
    declaration: &'d ActionDeclaration,
    entry: &'d ActionTypeEntry,
}

type Prepared<T> = std::result::Result<T, ErrorDetails>;

/// Configuration, commands and environment variables without references.
type Resolved = (BTreeMap<String, String>, Vec<String>, Vec<EnvironmentVariable>);

impl Preparation<'_> {
    /// The outer error is ours, the inner one fails the action.
    fn prepare(
        &self,
        turn: &mut Turn,
        id: &ExecutionId,
        action: &ActionExecutionId,
        deadline: Timestamp,
    ) -> Result<Prepared<ActionInvocation>> {
        let execution = turn.execution(id)?.clone();
        let Self { definition, stage, work, declaration, entry } = *self;
        let region = declaration.region.clone().unwrap_or_else(|| execution.scope.region.clone());
        let scope = Scope::of(&execution);
        let resolved = self.resolve(&scope).and_then(|resolved| {
            let inputs = artifacts::inputs(declaration, &execution)?;
            let store = definition.store_for(&region).ok_or_else(|| {
                ErrorDetails::new(
                    error_code::CONFIGURATION_ERROR,
                    format!(
                        "The pipeline has no artifact store for the region {region} of action '{}'.",
                        declaration.name
                    ),
                )
            })?;
            Ok((resolved, inputs, store))
        });
        let ((configuration, commands, environment_variables), mut input_artifacts, store) = match resolved {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error)),
        };
        let output_artifacts =
            artifacts::reserve(declaration, entry, &definition.name, store, &region, &input_artifacts, turn.ids);
        let copies = artifacts::bring(&mut input_artifacts, &store.location, &region);
        let is_source = declaration.action_type_id.category == Category::Source;
        Ok(Ok(ActionInvocation {
            scope: execution.scope,
            pipeline_name: execution.pipeline_name,
            pipeline_version: execution.pipeline_version,
            execution_id: execution.id,
            stage_name: stage.clone(),
            action_name: declaration.name.clone(),
            action_execution_id: action.clone(),
            action_type: declaration.action_type_id.clone(),
            condition: work.gate(),
            configuration,
            region,
            pipeline_role_arn: definition.role_arn.clone(),
            role_arn: declaration.role_arn.clone(),
            input_artifacts,
            copies,
            output_artifacts,
            encryption_key: store.encryption_key.as_ref().map(|key| key.id.clone()),
            source_overrides: execution
                .source_overrides
                .into_iter()
                .filter(|one| is_source && one.action_name == declaration.name)
                .collect(),
            commands,
            environment_variables,
            output_variables: declaration.output_variables.clone().unwrap_or_default(),
            output_files: declaration.output_artifacts.iter().flat_map(|o| o.files.iter().flatten()).cloned().collect(),
            started: turn.now,
            deadline,
        }))
    }

    fn resolve(&self, scope: &Scope) -> Prepared<Resolved> {
        let name = &self.declaration.name;
        let resolve = |text: &String| {
            scope.resolve(text).map_err(|Unresolved(reference)| {
                ErrorDetails::new(
                    error_code::INVALID_VARIABLES,
                    format!(
                        "An action in this pipeline failed because one or more variables could not be resolved: Action \
                         name={name}. This can result when a variable is referenced that does not exist. Validate the \
                         configuration for this action. Variable: {reference}"
                    ),
                )
            })
        };
        let mut configuration = BTreeMap::new();
        for (key, raw) in self.declaration.configuration.iter().flatten() {
            let value = resolve(raw)?;
            // What validation could not see because of a reference in it.
            if let Some(property) = self.entry.property(key)
                && value != *raw
                && let Err(expected) = config::fits(&property.valid, &value)
            {
                return Err(ErrorDetails::new(
                    error_code::CONFIGURATION_ERROR,
                    format!(
                        "The configuration '{key}' of action '{name}' is not valid once its variables are resolved: {expected}."
                    ),
                ));
            }
            configuration.insert(key.clone(), value);
        }
        let bytes: usize = configuration.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > limits::RESOLVED_CONFIGURATION_BYTES_MAX {
            return Err(ErrorDetails::new(
                error_code::CONFIGURATION_ERROR,
                format!(
                    "The resolved configuration of action '{name}' is {bytes} bytes long, which is more than the limit of {} \
                     bytes.",
                    limits::RESOLVED_CONFIGURATION_BYTES_MAX
                ),
            ));
        }
        let commands = self.declaration.commands.iter().flatten().map(resolve).collect::<Prepared<_>>()?;
        let environment_variables = self
            .declaration
            .environment_variables
            .iter()
            .flatten()
            .map(|variable| Ok(EnvironmentVariable { value: resolve(&variable.value)?, ..variable.clone() }))
            .collect::<Prepared<_>>()?;
        Ok((configuration, commands, environment_variables))
    }
}
