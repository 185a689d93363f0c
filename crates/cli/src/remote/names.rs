//! Names that users give: executions by a part of their id, approvals by stage and action.

use serde_json::Value as Json;

use super::{Remote, read, shape};
use crate::errors::ExpectedError;
use crate::limits;

/// The first characters of an execution's id, enough to tell it from its neighbours.
pub fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

impl Remote<'_> {
    /// An id as tables show it: short on a terminal, whole for whoever reads lines.
    pub fn shown(&self, id: &str) -> String {
        if self.terminal.redacted {
            return "0".repeat(if self.terminal.live { 8 } else { 36 });
        }
        if self.terminal.live { short(id).to_owned() } else { id.to_owned() }
    }

    /// The execution that the user named, by its id or the beginning of it.
    pub async fn execution(&self, pipeline: &str, given: &str) -> Result<String, ExpectedError> {
        let whole = given.len() == 36;
        if whole {
            return Ok(given.to_owned());
        }
        let executions = read::executions(self, pipeline, limits::EXECUTIONS_SEARCHED).await?;
        let ids = executions.iter().filter_map(|e| shape::text(e, "pipelineExecutionId"));
        let fitting: Vec<&str> = ids.filter(|id| !given.is_empty() && id.starts_with(given)).collect();
        match fitting.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(ExpectedError::Unclear {
                message: format!("the pipeline `{pipeline}` has no execution that begins with `{given}`"),
                hint: format!("`{}` lists them", self.place.command(&["history", pipeline])),
            }),
            several => Err(ExpectedError::Unclear {
                message: format!("several executions begin with `{given}`: {}", several.join(", ")),
                hint: "give more of the id".to_owned(),
            }),
        }
    }

    /// The stage as the pipeline spells it; an error names those there are.
    pub fn stage<'a>(&self, pipeline: &str, state: &'a Json, given: &str) -> Result<&'a Json, ExpectedError> {
        let stages = || shape::list(&state["stageStates"]);
        if let Some(stage) = stages().find(|stage| stage["stageName"] == given) {
            return Ok(stage);
        }
        let names: Vec<&str> = stages().filter_map(|stage| shape::text(stage, "stageName")).collect();
        Err(no_stage(pipeline, given, &names))
    }
}

pub fn no_stage(pipeline: &str, given: &str, names: &[&str]) -> ExpectedError {
    let near = crate::document::shape::did_you_mean(given, names.iter().copied());
    ExpectedError::Unclear {
        message: format!("the pipeline `{pipeline}` has no stage `{given}`"),
        hint: near.map_or_else(|| format!("it has {}", names.join(", ")), |near| format!("did you mean `{near}`?")),
    }
}
