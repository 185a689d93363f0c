//! PutActionRevision: a revision that somebody tells of comes to the first door as an execution. Whether it is new is
//! for whoever remembers the revisions told before; here it is taken as new.

use towpath_model::action::Revision;
use towpath_model::catalogue::Category;
use towpath_model::declaration::{ActionDeclaration, PipelineDeclaration};
use towpath_model::event::{Rejection, ReportedRevision};
use towpath_model::ids::{ActionName, StageName};
use towpath_model::state::Trigger;

use crate::execution::start;
use crate::stage::transition::stage_not_found;
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn report(
    turn: &mut Turn,
    stage: &StageName,
    action: &ActionName,
    revision: &ReportedRevision,
    reported_by: &str,
) -> Result<Reply> {
    let definition = turn.current_definition()?;
    let source = check_source(&definition, stage, action)?;
    // The execution shows it from the start; what the action itself finds out takes its place.
    let told = source.output_artifacts.first().map(|artifact| Revision {
        artifact: artifact.name.clone(),
        action: action.clone(),
        id: revision.id.clone(),
        change_id: Some(revision.change_id.clone()),
        summary: None,
        url: None,
        created: Some(revision.created),
    });
    let trigger = Trigger { kind: "PutActionRevision".to_owned(), detail: reported_by.to_owned() };
    start::start_with(turn, &trigger, &[], &[], told.into_iter().collect())
}

/// The source action that a revision may be told for.
pub fn check_source<'d>(
    definition: &'d PipelineDeclaration,
    stage: &str,
    action: &str,
) -> std::result::Result<&'d ActionDeclaration, Rejection> {
    let pipeline = &definition.name;
    let found = definition.stage(stage).ok_or_else(|| stage_not_found(stage, pipeline))?;
    let found = found.action(action).ok_or_else(|| {
        Rejection::ActionNotFound(format!(
            "Action with name '{action}' does not exist in stage '{stage}' of pipeline with name '{pipeline}'"
        ))
    })?;
    if found.action_type_id.category != Category::Source {
        return Err(Rejection::Validation(format!(
            "Action '{action}' in stage '{stage}' is not a source action. A revision can be put for source actions only."
        )));
    }
    Ok(found)
}
