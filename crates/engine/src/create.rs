//! The first gate of a pipeline and the form in which a declaration is stored. Decides nothing about running.

use towpath_model::catalogue::ActionTypes;
use towpath_model::declaration::{PipelineDeclaration, PipelineType};
use towpath_model::ids::{PipelineId, Scope};
use towpath_model::state::{Gate, StageGate};
use towpath_model::time::Timestamp;

use crate::validation::uses_v2_features;

/// The version CreatePipeline gives.
pub const FIRST_VERSION: u32 = 1;

/// The gate of a new pipeline, at definition version 1, with every transition enabled.
pub fn create(declaration: &PipelineDeclaration, scope: Scope, pipeline: PipelineId, now: Timestamp) -> Gate {
    Gate {
        pipeline,
        scope,
        name: declaration.name.clone(),
        definition_version: FIRST_VERSION,
        created: now,
        updated: now,
        next_sequence: 1,
        stages: declaration.stages.iter().map(|stage| StageGate::new(stage.name.clone())).collect(),
        active: Vec::new(),
        parallel: Vec::new(),
    }
}

/// Fills in what GetPipeline always shows: run order (already a default of the type), execution mode, pipeline type
/// and version. An absent pipeline type is V2 where a V2 feature is used and V1 otherwise.
#[must_use]
pub fn normalise(
    declaration: &PipelineDeclaration,
    action_types: &dyn ActionTypes,
    version: u32,
) -> PipelineDeclaration {
    let mut stored = declaration.clone();
    stored.version = Some(version);
    stored.execution_mode = Some(declaration.mode());
    stored.pipeline_type = Some(declaration.pipeline_type.unwrap_or(if uses_v2_features(declaration, action_types) {
        PipelineType::V2
    } else {
        PipelineType::V1
    }));
    stored
}
