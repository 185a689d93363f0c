//! A small catalogue of action types, one of each kind that a rule speaks of.

use towpath_model::catalogue::{
    ActionTypeEntry, ActionTypeId, ActionTypes, Bounds, Category, Executor, Owner, Property, Repeat, ValidValues,
};

pub struct Types(Vec<ActionTypeEntry>);

impl ActionTypes for Types {
    fn find(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        self.0.iter().find(|entry| entry.id == *id)
    }

    fn all(&self) -> Vec<&ActionTypeEntry> {
        self.0.iter().collect()
    }
}

fn entry(
    category: Category,
    owner: Owner,
    provider: &str,
    inputs: (usize, usize),
    outputs: (usize, usize),
) -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(category, owner, provider, "1"),
        description: String::new(),
        properties: Vec::new(),
        inputs: Bounds::new(inputs.0, inputs.1),
        outputs: Bounds::new(outputs.0, outputs.1),
        output_variables: Vec::new(),
        default_timeout_minutes: 60,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Internal,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: String::new(),
    }
}

pub fn types() -> Types {
    let s3_source = ActionTypeEntry {
        properties: vec![
            Property::required("S3Bucket", "The bucket to watch."),
            Property::required("S3ObjectKey", "The object to watch."),
            Property::optional("AllowOverrideForS3ObjectKey", "").boolean(),
            Property::optional("PollForSourceChanges", ""),
        ],
        artifact_suffix: Some(".zip".to_owned()),
        ..entry(Category::Source, Owner::Aws, "S3", (0, 0), (1, 1))
    };
    let github = ActionTypeEntry {
        properties: vec![
            Property::required("Repo", ""),
            Property::required("OAuthToken", "A personal access token.").secret(),
        ],
        ..entry(Category::Source, Owner::ThirdParty, "GitHub", (0, 0), (1, 1))
    };
    let connection = ActionTypeEntry {
        properties: vec![Property::required("ConnectionArn", "")],
        ..entry(Category::Source, Owner::Aws, "CodeStarSourceConnection", (0, 0), (1, 1))
    };
    let codebuild = ActionTypeEntry {
        properties: vec![
            Property::required("ProjectName", "The project that builds."),
            Property::optional("PrimarySource", ""),
            Property::optional("EnvironmentVariables", "").json(),
            Property::optional("BatchEnabled", "")
                .boolean()
                .refused("BatchEnabled: batch builds are not in this version of Towpath yet"),
        ],
        default_timeout_minutes: 36 * 60,
        ..entry(Category::Build, Owner::Aws, "CodeBuild", (1, 5), (0, 5))
    };
    let work = ActionTypeEntry {
        properties: vec![
            Property::optional("Text", ""),
            Property::optional("Other", ""),
            Property::optional("Kind", "").one_of(&["small", "large"]),
            Property { valid: ValidValues::Integer(1, 9), ..Property::optional("Count", "") },
            Property { queryable: true, ..Property::optional("Project", "") },
            Property::optional("Password", "").secret(),
        ],
        ..entry(Category::Test, Owner::Custom, "Rehearsal", (0, 5), (0, 5))
    };
    let approval = ActionTypeEntry {
        properties: vec![
            Property::optional("CustomData", ""),
            Property::optional("IsSummaryRequired", "").boolean(),
            Property::optional("NotificationArn", ""),
        ],
        default_timeout_minutes: 7 * 24 * 60,
        timeout_configurable: true,
        executor: Executor::Approval,
        ..entry(Category::Approval, Owner::Aws, "Manual", (0, 0), (0, 0))
    };
    let commands =
        ActionTypeEntry { v2_only: true, ..entry(Category::Compute, Owner::Aws, "Commands", (1, 10), (0, 1)) };
    let farm = ActionTypeEntry {
        executor: Executor::JobWorker,
        ..entry(Category::Invoke, Owner::Custom, "Farm", (0, 5), (0, 5))
    };
    let mut all = vec![farm, s3_source, github, connection, codebuild, work, approval, commands];
    for provider in ["VariableCheck", "DeploymentWindow", "CloudWatchAlarm", "LambdaInvoke"] {
        all.push(ActionTypeEntry {
            properties: vec![Property::optional("Variable", "")],
            timeout_configurable: true,
            ..entry(Category::Rule, Owner::Aws, provider, (0, 5), (0, 0))
        });
    }
    Types(all)
}
