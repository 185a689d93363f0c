//! CreateCustomActionType. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_CreateCustomActionType.html

use std::collections::BTreeMap;

use towpath_model::catalogue::{ActionTypeId, Bounds, Owner, Property, ValidValues};
use towpath_orchestrator::{CustomActionType, NewActionType, custom_entry};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ActionConfigurationProperty, ArtifactDetails, CreateCustomActionTypeInput, CreateCustomActionTypeOutput,
    Operation as Name,
};

use super::{Call, Operation, Resource, Tagging, convert, errors, list_action_types};

pub struct CreateCustomActionType;

impl Operation for CreateCustomActionType {
    type Input = CreateCustomActionTypeInput;
    type Output = CreateCustomActionTypeOutput;
    const NAME: Name = Name::CreateCustomActionType;

    fn resource(input: &Self::Input) -> Resource {
        Resource::custom_type(&input.category, &input.provider, &input.version)
    }

    fn tagging(input: &Self::Input) -> Tagging {
        Tagging::of(input.tags.as_deref())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        super::tags::check(input.tags.as_deref().unwrap_or_default())?;
        let tags = input.tags.iter().flatten().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        let answered = input.tags.clone();
        let new = NewActionType { scope: call.scope().clone(), custom: custom(input)?, tags };
        let custom = call.orchestrator.create_action_type(new).await.map_err(errors::wire)?;
        Ok(CreateCustomActionTypeOutput { action_type: list_action_types::custom(&custom), tags: answered })
    }
}

fn custom(input: CreateCustomActionTypeInput) -> Result<CustomActionType, WireError> {
    let id = ActionTypeId {
        category: convert::category(&input.category)?,
        owner: Owner::Custom,
        provider: input.provider,
        version: input.version,
    };
    let declared = input.configuration_properties.unwrap_or_default();
    let property_types: BTreeMap<String, String> =
        declared.iter().filter_map(|p| Some((p.name.clone(), p.r#type.clone()?))).collect();
    let properties = declared.into_iter().map(property).collect();
    let mut entry =
        custom_entry(id, properties, bounds(&input.input_artifact_details), bounds(&input.output_artifact_details));
    let settings = input.settings.unwrap_or_default();
    entry.entity_url_template = settings.entity_url_template;
    entry.execution_url_template = settings.execution_url_template;
    entry.revision_url_template = settings.revision_url_template;
    Ok(CustomActionType { entry, configuration_url: settings.third_party_configuration_url, property_types })
}

fn property(declared: ActionConfigurationProperty) -> Property {
    Property {
        name: declared.name,
        required: declared.required,
        secret: declared.secret,
        key: declared.key,
        queryable: declared.queryable.unwrap_or(false),
        description: declared.description.unwrap_or_default(),
        valid: ValidValues::Any,
        refused: None,
    }
}

/// Counts, which the wire has already bounded.
fn bounds(details: &ArtifactDetails) -> Bounds {
    let count = |n: i32| usize::try_from(n).unwrap_or(0);
    Bounds::new(count(details.minimum_count), count(details.maximum_count))
}
