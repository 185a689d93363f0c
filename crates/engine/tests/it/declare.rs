//! Pipelines in a few words: `pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A")])`.

use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::declaration::{
    ActionDeclaration, ArtifactStore, Condition, ConditionType, Conditions, ExecutionMode, FailureConditions,
    InputArtifact, OutputArtifact, PipelineDeclaration, PipelineType, PipelineVariable, RetryConfiguration, RetryMode,
    RuleDeclaration, RuleTypeId, StageDeclaration,
};

#[derive(Clone)]
pub struct Action(pub ActionDeclaration);

pub fn action(name: &str, category: Category, owner: Owner, provider: &str) -> Action {
    Action(ActionDeclaration {
        name: name.into(),
        action_type_id: ActionTypeId::new(category, owner, provider, "1"),
        run_order: 1,
        configuration: None,
        commands: None,
        output_artifacts: Vec::new(),
        input_artifacts: Vec::new(),
        output_variables: None,
        role_arn: None,
        region: None,
        namespace: None,
        timeout_in_minutes: None,
        environment_variables: None,
    })
}

/// An S3 source; its artifact is called `<name>Out`.
pub fn source(name: &str) -> Action {
    action(name, Category::Source, Owner::Aws, "S3")
        .config("S3Bucket", "sources")
        .config("S3ObjectKey", "app.zip")
        .output(&format!("{name}Out"))
}

/// An action that does whatever the test says, with any artifacts and any variables.
pub fn work(name: &str) -> Action {
    action(name, Category::Test, Owner::Custom, "Rehearsal")
}

pub fn approval(name: &str) -> Action {
    action(name, Category::Approval, Owner::Aws, "Manual")
}

pub fn codebuild(name: &str) -> Action {
    action(name, Category::Build, Owner::Aws, "CodeBuild").config("ProjectName", "builder")
}

impl Action {
    pub fn order(mut self, run_order: u32) -> Self {
        self.0.run_order = run_order;
        self
    }

    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.0.configuration.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.0.configuration.get_or_insert_default().remove(key);
        self
    }

    pub fn input(mut self, name: &str) -> Self {
        self.0.input_artifacts.push(InputArtifact { name: name.into() });
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.0.output_artifacts.push(OutputArtifact { name: name.into(), files: None });
        self
    }

    pub fn without_outputs(mut self) -> Self {
        self.0.output_artifacts.clear();
        self
    }

    pub fn namespace(mut self, namespace: &str) -> Self {
        self.0.namespace = Some(namespace.into());
        self
    }

    pub fn region(mut self, region: &str) -> Self {
        self.0.region = Some(region.to_owned());
        self
    }

    /// Any other field.
    pub fn with(mut self, change: impl FnOnce(&mut ActionDeclaration)) -> Self {
        change(&mut self.0);
        self
    }
}

#[derive(Clone)]
pub struct Pipeline(pub PipelineDeclaration);

pub fn store(bucket: &str) -> ArtifactStore {
    ArtifactStore { kind: "S3".to_owned(), location: bucket.to_owned(), encryption_key: None }
}

pub fn pipeline(name: &str) -> Pipeline {
    Pipeline(PipelineDeclaration {
        name: name.into(),
        role_arn: "arn:aws:iam::123456789012:role/pipeline".to_owned(),
        artifact_store: Some(store("artifacts")),
        artifact_stores: None,
        stages: Vec::new(),
        version: None,
        execution_mode: None,
        pipeline_type: None,
        variables: None,
        triggers: None,
    })
}

impl Pipeline {
    pub fn stage<const N: usize>(mut self, name: &str, actions: [Action; N]) -> Self {
        self.0.stages.push(StageDeclaration {
            name: name.into(),
            blockers: None,
            actions: actions.into_iter().map(|action| action.0).collect(),
            before_entry: None,
            on_success: None,
            on_failure: None,
        });
        self
    }

    /// A condition with these rules at a gate of the last stage.
    pub fn gate(mut self, gate: ConditionType, result: &str, rules: &[&str]) -> Self {
        let rules = rules.iter().map(|name| RuleDeclaration {
            name: (*name).to_owned(),
            rule_type_id: RuleTypeId {
                category: "Rule".to_owned(),
                owner: Some("AWS".to_owned()),
                provider: "VariableCheck".to_owned(),
                version: Some("1".to_owned()),
            },
            configuration: None,
            commands: None,
            input_artifacts: None,
            role_arn: None,
            region: None,
            timeout_in_minutes: None,
        });
        let conditions = vec![Condition { result: Some(result.to_owned()), rules: Some(rules.collect()) }];
        let stage = self.0.stages.last_mut().expect("a stage");
        match gate {
            ConditionType::BeforeEntry => stage.before_entry = Some(Conditions { conditions }),
            ConditionType::OnSuccess => stage.on_success = Some(Conditions { conditions }),
            ConditionType::OnFailure => {
                stage.on_failure =
                    Some(FailureConditions { result: None, retry_configuration: None, conditions: Some(conditions) });
            }
        }
        self
    }

    /// What the last stage does by itself when an action of it fails.
    pub fn on_failure(mut self, result: &str, mode: Option<RetryMode>) -> Self {
        self.0.stages.last_mut().expect("a stage").on_failure = Some(FailureConditions {
            result: Some(result.to_owned()),
            retry_configuration: mode.map(|mode| RetryConfiguration { retry_mode: Some(mode) }),
            conditions: None,
        });
        self
    }

    pub fn mode(mut self, mode: ExecutionMode) -> Self {
        self.0.execution_mode = Some(mode);
        self
    }

    pub fn v1(mut self) -> Self {
        self.0.pipeline_type = Some(PipelineType::V1);
        self
    }

    pub fn variable(mut self, name: &str, default: Option<&str>) -> Self {
        self.0.variables.get_or_insert_default().push(PipelineVariable {
            name: name.to_owned(),
            default_value: default.map(str::to_owned),
            description: None,
        });
        self
    }

    /// Any other field.
    pub fn with(mut self, change: impl FnOnce(&mut PipelineDeclaration)) -> Self {
        change(&mut self.0);
        self
    }
}

/// Source, then two stages of one action each: the pipeline most tests need.
pub fn three_stages() -> Pipeline {
    pipeline("p").stage("Source", [source("S")]).stage("Build", [work("B")]).stage("Deploy", [work("D")])
}
