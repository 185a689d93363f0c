//! Whether a pipeline declaration may run: every rule of AWS's pipeline structure, in AWS's words, all violations at
//! once. One function serves the API, `run` and `validate`. It decides nothing about executions and changes nothing.
//!
//! The constraints on lengths and characters are those of the wire model. They stand here too, because a file never
//! passes the wire.

mod actions;
mod artifacts;
mod conditions;
pub(crate) mod config;
mod path;
mod references;
mod secrets;
mod shape;
mod stages;
mod stores;
mod structure;
mod suggest;

use towpath_model::catalogue::ActionTypes;
use towpath_model::declaration::{ExecutionMode, PipelineDeclaration};

pub(crate) use path::Path;
pub use path::{PathSegment, spell};
pub use secrets::{is_mask, merge_masked};
pub(crate) use stores::region_enum;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// From the declaration itself: `stages`, 0, `actions`, 1, `runOrder`.
    pub path: Vec<PathSegment>,
    pub code: ViolationCode,
    /// AWS's words where they are known.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The AWS exception a violation becomes at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationCode {
    InvalidStructure,
    InvalidStageDeclaration,
    InvalidActionDeclaration,
    InvalidBlockerDeclaration,
    Validation,
    LimitExceeded,
}

impl ViolationCode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidStructure => "InvalidStructureException",
            Self::InvalidStageDeclaration => "InvalidStageDeclarationException",
            Self::InvalidActionDeclaration => "InvalidActionDeclarationException",
            Self::InvalidBlockerDeclaration => "InvalidBlockerDeclarationException",
            Self::Validation => "ValidationException",
            Self::LimitExceeded => "LimitExceededException",
        }
    }
}

/// Everything that is wrong with a declaration, the shape first, then the structure from the outside in. `region` is
/// the pipeline's own; `previous` is the stored version that an update replaces.
pub fn validate(
    declaration: &PipelineDeclaration,
    region: &str,
    action_types: &dyn ActionTypes,
    previous: Option<&PipelineDeclaration>,
) -> Vec<Violation> {
    let mut rules = Rules { declaration, region, action_types, previous, found: Vec::new() };
    shape::check(&mut rules);
    structure::check(&mut rules);
    stores::check(&mut rules);
    stages::check(&mut rules);
    conditions::check(&mut rules);
    actions::check(&mut rules);
    artifacts::check(&mut rules);
    references::check(&mut rules);
    secrets::check(&mut rules);
    rules.found
}

/// Whether anything in it needs pipeline type V2.
pub fn uses_v2_features(declaration: &PipelineDeclaration, action_types: &dyn ActionTypes) -> bool {
    !declaration.declared_variables().is_empty()
        || declaration.triggers.as_ref().is_some_and(|triggers| !triggers.is_empty())
        || matches!(declaration.execution_mode, Some(ExecutionMode::Queued | ExecutionMode::Parallel))
        || declaration.stages.iter().any(|stage| {
            stage.before_entry.is_some()
                || stage.on_success.is_some()
                || stage.on_failure.is_some()
                || stage
                    .actions
                    .iter()
                    .any(|action| action_types.find(&action.action_type_id).is_some_and(|entry| entry.v2_only))
        })
}

/// What the rules read, and what they have found.
pub(crate) struct Rules<'d> {
    pub declaration: &'d PipelineDeclaration,
    pub region: &'d str,
    pub action_types: &'d dyn ActionTypes,
    pub previous: Option<&'d PipelineDeclaration>,
    found: Vec<Violation>,
}

impl Rules<'_> {
    pub fn add(&mut self, path: Path, code: ViolationCode, message: impl Into<String>, hint: Option<String>) {
        self.found.push(Violation { path: path.0, code, message: message.into(), hint });
    }
}
