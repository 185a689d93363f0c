//! Between AWS's shapes and the model. AWS shapes stop here.

use towpath_model::action::Revision;
use towpath_model::catalogue::{ActionTypeId, ActionTypes, Category, Owner};
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::secret::MASK;
use towpath_model::state::{Execution, ExecutionKind};
use towpath_model::time::Timestamp;
use towpath_wire::codepipeline::{
    self as shape, ArtifactRevision, ErrorDetails, ExecutionTrigger, PipelineRollbackMetadata, SERVICE, SourceRevision,
};
use towpath_wire::{Dialect, WireError};

pub fn time(at: Timestamp) -> towpath_wire::types::Timestamp {
    towpath_wire::types::Timestamp::from_millis(at.millis())
}

/// The declaration of a request. The wire's checks leave nothing that the model cannot hold, but for one thing: numbers
/// and enums it knows more narrowly.
pub fn declaration(wire: &shape::PipelineDeclaration) -> Result<PipelineDeclaration, WireError> {
    serde_json::to_value(wire)
        .and_then(serde_json::from_value)
        .map_err(|error| WireError::validation(&SERVICE, format!("1 validation error detected: {error}")))
}

/// A declaration as it may be shown: secret values masked.
pub fn shown(
    declaration: &PipelineDeclaration,
    types: &dyn ActionTypes,
) -> Result<shape::PipelineDeclaration, WireError> {
    let mut declaration = declaration.clone();
    for action in declaration.stages.iter_mut().flat_map(|s| &mut s.actions) {
        let (Some(entry), Some(configuration)) = (types.described(&action.action_type_id), &mut action.configuration)
        else {
            continue;
        };
        for (key, value) in configuration {
            if entry.is_secret(key) {
                MASK.clone_into(value);
            }
        }
    }
    serde_json::to_value(&declaration).and_then(serde_json::from_value).map_err(|error| {
        tracing::error!(%error, "a stored declaration has no wire form");
        WireError::internal(Dialect::Json)
    })
}

pub fn action_type(id: &ActionTypeId) -> shape::ActionTypeId {
    shape::ActionTypeId {
        category: id.category.as_str().to_owned(),
        owner: id.owner.as_str().to_owned(),
        provider: id.provider.clone(),
        version: id.version.clone(),
    }
}

pub fn rule_type(id: &ActionTypeId) -> shape::RuleTypeId {
    shape::RuleTypeId {
        category: id.category.as_str().to_owned(),
        owner: Some(id.owner.as_str().to_owned()),
        provider: id.provider.clone(),
        version: Some(id.version.clone()),
    }
}

/// A category of actions, which the wire has already checked.
pub fn category(name: &str) -> Result<Category, WireError> {
    let found = Category::OF_ACTIONS.into_iter().find(|category| category.as_str() == name);
    found.ok_or_else(|| WireError::validation(&SERVICE, format!("There is no action category '{name}'.")))
}

pub fn action_type_id(id: &shape::ActionTypeId) -> Result<ActionTypeId, WireError> {
    let owner = Owner::ALL.into_iter().find(|owner| owner.as_str() == id.owner);
    Ok(ActionTypeId {
        category: category(&id.category)?,
        owner: owner
            .ok_or_else(|| WireError::validation(&SERVICE, format!("There is no action owner '{}'.", id.owner)))?,
        provider: id.provider.clone(),
        version: id.version.clone(),
    })
}

pub fn error_details(error: &towpath_model::action::ErrorDetails) -> ErrorDetails {
    ErrorDetails { code: Some(error.code.clone()), message: Some(error.message.clone()) }
}

pub fn trigger(execution: &Execution) -> ExecutionTrigger {
    ExecutionTrigger {
        trigger_type: Some(execution.trigger.kind.clone()),
        trigger_detail: Some(execution.trigger.detail.clone()),
    }
}

/// `executionType` and `rollbackMetadata`, sent for rollbacks only.
pub fn rollback(execution: &Execution) -> (Option<String>, Option<PipelineRollbackMetadata>) {
    match &execution.kind {
        ExecutionKind::Standard => (None, None),
        ExecutionKind::Rollback { target, .. } => (
            Some("ROLLBACK".to_owned()),
            Some(PipelineRollbackMetadata { rollback_target_pipeline_execution_id: Some(target.to_string()) }),
        ),
    }
}

pub fn artifact_revision(revision: &Revision) -> ArtifactRevision {
    ArtifactRevision {
        name: Some(revision.artifact.to_string()),
        revision_id: Some(revision.id.clone()),
        revision_change_identifier: revision.change_id.clone(),
        revision_summary: revision.summary.clone(),
        created: revision.created.map(time),
        revision_url: revision.url.clone(),
    }
}

pub fn source_revision(revision: &Revision) -> SourceRevision {
    SourceRevision {
        action_name: revision.action.to_string(),
        revision_id: Some(revision.id.clone()),
        revision_summary: revision.summary.clone(),
        revision_url: revision.url.clone(),
    }
}

/// A property's description as the model has room for it; the whole is in the provider's page of the documentation.
pub fn brief(description: &str) -> Option<String> {
    const CHARS_MAX: usize = 160;
    if description.chars().count() <= CHARS_MAX {
        return Some(description.to_owned()).filter(|text| !text.is_empty());
    }
    let cut: String = description.chars().take(CHARS_MAX - 1).collect();
    let words = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    Some(format!("{}…", words.trim_end_matches([',', ';', ':'])))
}

/// Counts and versions: far below the wire's 32 bits.
pub fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// `maxResults`, which the wire has already bounded.
pub fn page_size(asked: Option<i32>, default: usize) -> usize {
    asked.and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
}

/// A transition type, which the wire has already checked.
pub fn transition(kind: &str) -> towpath_model::event::TransitionType {
    if kind == "Outbound" {
        towpath_model::event::TransitionType::Outbound
    } else {
        towpath_model::event::TransitionType::Inbound
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn a_description_has_room_for_160_characters() {
        assert_eq!(brief(""), None);
        let fits = "é".repeat(160);
        assert_eq!(brief(&fits), Some(fits));
        let long = "words, ".repeat(30);
        let shown = brief(&long).expect("some of it");
        assert!(shown.chars().count() <= 160 && shown.ends_with("words…"), "{shown}");
    }
}
