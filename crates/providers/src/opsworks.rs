//! Deploy / AWS / OpsWorks: the type of a service that AWS has switched off for everybody. Pipelines that name it are read,
//! shown and handed on as they are; its actions fail and say why.

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::deploys::failed;
use crate::provider::{Call, Provider};

const RETIRED: &str = "AWS OpsWorks Stacks was retired on 2024-05-26. Use a CodeDeploy, EC2 or Commands action in place of \
                       this one.";

pub struct OpsWorks {
    entry: ActionTypeEntry,
}

impl Default for OpsWorks {
    fn default() -> Self {
        Self::new()
    }
}

impl OpsWorks {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "OpsWorks", "1"),
        description: "Deployed an app with AWS OpsWorks Stacks, which AWS retired on 2024-05-26: the action fails."
            .to_owned(),
        properties: vec![
            Property::required("Stack", "Id of the stack."),
            Property::required("App", "Id of the app."),
            Property::optional("Layer", "Id of the layer."),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Internal,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-action-artifacts.html"
            .to_owned(),
    }
}

#[async_trait]
impl Provider for OpsWorks {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    async fn start(&self, _cx: &Call<'_>, _action: &ActionInvocation) -> Outcome {
        failed(Progress::default(), error_code::JOB_FAILED, RETIRED)
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// Nothing was ever begun.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}
