//! GetActionType, and between a partner's type and its wire form.
//! Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetActionType.html

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Owner, Property, ValidValues};
use towpath_orchestrator::{DescribedType, PartnerExecutor, PartnerType, custom_entry};
use towpath_services::identity::CODEPIPELINE_PRINCIPAL;
use towpath_wire::codepipeline::{
    ActionTypeArtifactDetails, ActionTypeDeclaration, ActionTypeExecutor, ActionTypeIdentifier, ActionTypePermissions,
    ActionTypeProperty, ActionTypeUrls, ExecutorConfiguration, GetActionTypeInput, GetActionTypeOutput,
    JobWorkerExecutorConfiguration, LambdaExecutorConfiguration, Operation as Name, SERVICE, executor_type,
};
use towpath_wire::{Dialect, WireError};

use super::{Call, Operation, Resource, convert, errors};

pub struct GetActionType;

impl Operation for GetActionType {
    type Input = GetActionTypeInput;
    type Output = GetActionTypeOutput;
    const NAME: Name = Name::GetActionType;

    fn resource(input: &Self::Input) -> Resource {
        let Self::Input { category, owner, provider, version } = input.clone();
        Resource::ActionType(owner, category, provider, version)
    }

    fn alternative(_: &Self::Input) -> Option<Resource> {
        Some(Resource::Any)
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let Self::Input { category, owner, provider, version } = input;
        let id = identified(&ActionTypeIdentifier { category, owner, provider, version })?;
        let found = call.orchestrator.action_type(call.scope(), &id).await.map_err(errors::wire)?;
        let shown = match found {
            DescribedType::Own(entry) => own(&entry),
            DescribedType::Partner(partner) => declared(*partner),
        };
        Ok(GetActionTypeOutput { action_type: Some(shown) })
    }
}

pub fn identified(id: &ActionTypeIdentifier) -> Result<ActionTypeId, WireError> {
    let owner = [Owner::Aws, Owner::ThirdParty].into_iter().find(|owner| owner.as_str() == id.owner);
    Ok(ActionTypeId {
        category: convert::category(&id.category)?,
        // The pattern of the member lets nothing else pass.
        owner: owner.ok_or_else(|| WireError::internal(Dialect::Json))?,
        provider: id.provider.clone(),
        version: id.version.clone(),
    })
}

/// A type of Towpath's own: CodePipeline itself carries it out.
fn own(entry: &ActionTypeEntry) -> ActionTypeDeclaration {
    let executor = ActionTypeExecutor {
        configuration: ExecutorConfiguration {
            job_worker_executor_configuration: Some(JobWorkerExecutorConfiguration {
                polling_accounts: None,
                polling_service_principals: Some(vec![CODEPIPELINE_PRINCIPAL.to_owned()]),
            }),
            lambda_executor_configuration: None,
        },
        r#type: executor_type::JOB_WORKER.to_owned(),
        ..ActionTypeExecutor::default()
    };
    described(entry, executor, None, None)
}

fn declared(partner: PartnerType) -> ActionTypeDeclaration {
    let mut executor = ActionTypeExecutor {
        job_timeout: partner.job_timeout.map(convert::int),
        policy_statements_template: partner.policy_statements_template,
        ..ActionTypeExecutor::default()
    };
    match partner.executor {
        PartnerExecutor::JobWorker { accounts, principals } => {
            executor_type::JOB_WORKER.clone_into(&mut executor.r#type);
            executor.configuration.job_worker_executor_configuration = Some(JobWorkerExecutorConfiguration {
                polling_accounts: accounts,
                polling_service_principals: principals,
            });
        }
        PartnerExecutor::Lambda { function_arn } => {
            executor_type::LAMBDA.clone_into(&mut executor.r#type);
            executor.configuration.lambda_executor_configuration =
                Some(LambdaExecutorConfiguration { lambda_function_arn: function_arn });
        }
    }
    described(&partner.entry, executor, partner.allowed_accounts, partner.configuration_url)
}

fn described(
    entry: &ActionTypeEntry,
    executor: ActionTypeExecutor,
    allowed_accounts: Option<Vec<String>>,
    configuration_url: Option<String>,
) -> ActionTypeDeclaration {
    let id = convert::action_type(&entry.id);
    let urls = ActionTypeUrls {
        configuration_url,
        entity_url_template: entry.entity_url_template.clone(),
        execution_url_template: entry.execution_url_template.clone(),
        revision_url_template: entry.revision_url_template.clone(),
    };
    let property = |property: &Property| ActionTypeProperty {
        description: Some(property.description.clone()).filter(|text| !text.is_empty()),
        key: property.key,
        name: property.name.clone(),
        no_echo: property.secret,
        optional: !property.required,
        queryable: Some(property.queryable),
    };
    ActionTypeDeclaration {
        description: Some(entry.description.clone()).filter(|text| !text.is_empty()),
        executor,
        id: ActionTypeIdentifier { category: id.category, owner: id.owner, provider: id.provider, version: id.version },
        input_artifact_details: counts(entry.inputs),
        output_artifact_details: counts(entry.outputs),
        permissions: allowed_accounts.map(|allowed_accounts| ActionTypePermissions { allowed_accounts }),
        properties: Some(entry.properties.iter().map(property).collect()),
        urls: Some(urls).filter(|urls| *urls != ActionTypeUrls::default()),
    }
}

fn counts(bounds: Bounds) -> ActionTypeArtifactDetails {
    ActionTypeArtifactDetails { minimum_count: convert::int(bounds.min), maximum_count: convert::int(bounds.max) }
}

/// The type that a request declares.
pub fn partner(declared: ActionTypeDeclaration) -> Result<PartnerType, WireError> {
    let bounds = |details: &ActionTypeArtifactDetails| {
        let count = |n: i32| usize::try_from(n).unwrap_or(0);
        Bounds::new(count(details.minimum_count), count(details.maximum_count))
    };
    let executor = executor(&declared.executor)?;
    let properties = declared.properties.unwrap_or_default().into_iter().map(|property| Property {
        name: property.name,
        required: !property.optional,
        secret: property.no_echo,
        key: property.key,
        queryable: property.queryable.unwrap_or(false),
        description: property.description.unwrap_or_default(),
        valid: ValidValues::Any,
        refused: None,
    });
    let (inputs, outputs) = (bounds(&declared.input_artifact_details), bounds(&declared.output_artifact_details));
    let job_timeout = declared.executor.job_timeout.and_then(|seconds| u32::try_from(seconds).ok());
    let urls = declared.urls.unwrap_or_default();
    let mut entry = custom_entry(identified(&declared.id)?, properties.collect(), inputs, outputs);
    entry.description = declared.description.unwrap_or_default();
    entry.default_timeout_minutes =
        job_timeout.map_or(towpath_model::limits::TIMEOUT_DEFAULT_MINUTES, |seconds| seconds.div_ceil(60));
    entry.entity_url_template = urls.entity_url_template;
    entry.execution_url_template = urls.execution_url_template;
    entry.revision_url_template = urls.revision_url_template;
    entry.executor = match &executor {
        PartnerExecutor::JobWorker { .. } => towpath_model::catalogue::Executor::JobWorker,
        PartnerExecutor::Lambda { .. } => towpath_model::catalogue::Executor::Lambda,
    };
    Ok(PartnerType {
        entry,
        executor,
        job_timeout,
        policy_statements_template: declared.executor.policy_statements_template,
        allowed_accounts: declared.permissions.map(|permissions| permissions.allowed_accounts),
        configuration_url: urls.configuration_url,
    })
}

fn executor(declared: &ActionTypeExecutor) -> Result<PartnerExecutor, WireError> {
    let refused = |text: &str| Err(WireError::validation(&SERVICE, text.to_owned()));
    let configuration = declared.configuration.clone();
    let (worker, lambda) =
        (configuration.job_worker_executor_configuration, configuration.lambda_executor_configuration);
    match (declared.r#type == executor_type::LAMBDA, worker, lambda) {
        (true, None, Some(lambda)) => Ok(PartnerExecutor::Lambda { function_arn: lambda.lambda_function_arn }),
        (true, _, None) => refused("An executor of type Lambda needs a lambdaExecutorConfiguration."),
        (true, Some(_), Some(_)) => refused("An executor of type Lambda has no jobWorkerExecutorConfiguration."),
        (false, _, Some(_)) => refused("An executor of type JobWorker has no lambdaExecutorConfiguration."),
        (false, worker, None) => {
            let worker = worker.unwrap_or_default();
            Ok(PartnerExecutor::JobWorker {
                accounts: worker.polling_accounts,
                principals: worker.polling_service_principals,
            })
        }
    }
}
