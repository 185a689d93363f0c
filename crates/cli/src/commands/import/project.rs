//! CodeBuild projects.

use serde_json::{Value as Json, json};

use super::work::{Call, Work, without};
use crate::flow::prepare::covers;
use crate::host::{ApiError, Target};
use crate::template::Planned;

pub async fn look(target: &dyn Target, item: &Planned) -> Result<Work, ApiError> {
    let name = item.body["name"].as_str().unwrap_or_default();
    let found = target.call("codebuild", "BatchGetProjects", json!({"names": [name]})).await?;
    let Some(stored) = found["projects"].get(0) else {
        return Ok(Work::create(vec![Call::codebuild("CreateProject", item.body.clone())]));
    };
    let update = complete(stored, &item.body);
    // The badge is asked for by one name and told under another.
    let badge = item.body["badgeEnabled"].as_bool().unwrap_or(false);
    let same_badge = stored["badge"]["badgeEnabled"].as_bool().unwrap_or(false) == badge;
    if same_badge && covers(stored, &without(&update, &["badgeEnabled"])) {
        return Ok(Work::existing(Vec::new()));
    }
    Ok(Work::existing(vec![Call::codebuild("UpdateProject", update)]))
}

/// UpdateProject leaves alone what it is not told; what the template has dropped is told to be as if it had never been.
fn complete(stored: &Json, wanted: &Json) -> Json {
    let blank = [
        ("description", json!("")),
        ("secondarySources", json!([])),
        ("secondarySourceVersions", json!([])),
        ("secondaryArtifacts", json!([])),
        ("tags", json!([])),
        ("sourceVersion", json!("")),
        ("cache", json!({"type": "NO_CACHE"})),
        ("timeoutInMinutes", json!(60)),
        ("queuedTimeoutInMinutes", json!(480)),
        ("vpcConfig", json!({})),
        ("buildBatchConfig", json!({})),
        ("concurrentBuildLimit", json!(-1)),
    ];
    let mut update = wanted.clone();
    for (member, value) in blank {
        let has = stored.get(member).is_some_and(|s| !s.is_null() && *s != value);
        if wanted.get(member).is_none() && has {
            update[member] = value;
        }
    }
    update
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_template_has_dropped_is_reset() {
        let stored = json!({"name": "p", "description": "old", "tags": [], "timeoutInMinutes": 60});
        assert_eq!(complete(&stored, &json!({"name": "p"})), json!({"name": "p", "description": ""}));
    }
}
