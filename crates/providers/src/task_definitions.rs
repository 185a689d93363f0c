//! ECS task definitions as documents: read, changed and registered as JSON, so that members which no SDK here knows
//! survive. Must not know why one is registered.

use serde_json::{Map, Value, json};
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::problem::{Kind, Problem};
use crate::provider::Call;
use crate::raw::RawCall;
use crate::realms::Service;

pub const SERVICE: &str = "AmazonECS";
const PREFIX: &str = "AmazonEC2ContainerServiceV20141113";

/// How ECS says that time helps, under the code of every wrong request.
const BUSY: &str = "Too many concurrent attempts to create a new revision";

/// What DescribeTaskDefinition tells and RegisterTaskDefinition does not take.
const TOLD_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// One registered revision.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDefinition {
    told: Map<String, Value>,
    tags: Vec<Value>,
}

impl TaskDefinition {
    /// The revision of this ARN or `family:revision`; of a family the newest active one.
    pub async fn describe(cx: &Call<'_>, action: &ActionInvocation, name: &str) -> Result<Self, Problem> {
        let body = json!({"taskDefinition": name, "include": ["TAGS"]});
        let mut answer = call(cx, action, "DescribeTaskDefinition", &body).await?;
        let Some(Value::Object(told)) = answer.get_mut("taskDefinition").map(Value::take) else {
            return Err(Problem::broken(SERVICE, "DescribeTaskDefinition answered without a task definition"));
        };
        let tags = answer["tags"].as_array().cloned().unwrap_or_default();
        Ok(Self { told, tags })
    }

    pub fn family(&self) -> &str {
        self.told.get("family").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn arn(&self) -> &str {
        self.told.get("taskDefinitionArn").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn revision(&self) -> u64 {
        self.told.get("revision").and_then(Value::as_u64).unwrap_or_default()
    }

    /// Whether it was registered at `time` or later, as ECS tells.
    pub fn is_since(&self, time: Timestamp) -> bool {
        let seconds = self.told.get("registeredAt").and_then(Value::as_f64);
        // AWS's seconds have fractions; a whole second is less than clocks differ.
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of our time are exact in 53 bits")]
        seconds.is_some_and(|seconds| seconds * 1000.0 >= time.millis() as f64)
    }

    /// What registering it again takes.
    pub fn as_input(&self) -> Value {
        let mut input = self.told.clone();
        if !self.tags.is_empty() {
            input.insert("tags".to_owned(), Value::Array(self.tags.clone()));
        }
        without_told(Value::Object(input))
    }
}

/// A document without what only answers have: somebody may have kept a whole answer as a template.
pub fn without_told(mut document: Value) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| !TOLD_ONLY.contains(&name.as_str()));
    }
    document
}

/// Registers a revision and gives its ARN. Every call makes one more.
pub async fn register(cx: &Call<'_>, action: &ActionInvocation, document: &Value) -> Result<String, Problem> {
    let answer = call(cx, action, "RegisterTaskDefinition", document).await.map_err(|problem| match problem.kind {
        // Somebody registers another revision of the family at this moment.
        Kind::Rejected if problem.message.starts_with(BUSY) => Problem { kind: Kind::Transient, ..problem },
        _ => problem,
    })?;
    let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str().map(ToOwned::to_owned);
    arn.ok_or_else(|| Problem::broken(SERVICE, "RegisterTaskDefinition answered without an ARN"))
}

async fn call(
    cx: &Call<'_>,
    action: &ActionInvocation,
    operation: &'static str,
    body: &Value,
) -> Result<Value, Problem> {
    let answer = RawCall::json(Service::Ecs, SERVICE, PREFIX, operation, body).send(cx, action).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| Problem::broken(SERVICE, format!("{operation} answered something that is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_again_keeps_members_nobody_here_knows() {
        let told = json!({"taskDefinitionArn": "arn:aws:ecs:r:1:task-definition/web:7", "family": "web", "revision": 7,
            "status": "ACTIVE", "registeredAt": 12.5, "registeredBy": "x", "compatibilities": ["EC2"],
            "requiresAttributes": [], "newestMember": {"a": 1}, "containerDefinitions": [{"name": "web"}]});
        let Value::Object(told) = told else { panic!("an object") };
        let definition = TaskDefinition { told, tags: vec![json!({"key": "team", "value": "harbour"})] };
        assert_eq!(
            definition.as_input(),
            json!({"family": "web", "newestMember": {"a": 1}, "containerDefinitions": [{"name": "web"}],
                "tags": [{"key": "team", "value": "harbour"}]})
        );
        assert_eq!((definition.revision(), definition.family()), (7, "web"));
        assert!(definition.is_since(Timestamp::from_millis(12_500)));
        assert!(!definition.is_since(Timestamp::from_millis(12_501)));
    }
}
