//! ListActionTypes. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListActionTypes.html

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category};
use towpath_orchestrator::{CommandError, CustomActionType, PartnerType};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ActionConfigurationProperty, ActionType, ActionTypeSettings, ArtifactDetails, ListActionTypesInput,
    ListActionTypesOutput, Operation as Name,
};

use super::{Call, Operation, Resource, convert, errors};

pub struct ListActionTypes;

impl Operation for ListActionTypes {
    type Input = ListActionTypesInput;
    type Output = ListActionTypesOutput;
    const NAME: Name = Name::ListActionTypes;

    fn resource(input: &Self::Input) -> Resource {
        let _: &ListActionTypesInput = input;
        Resource::Any
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        if input.next_token.is_some() {
            // Everything fits in one page, so no token was ever given out.
            return Err(errors::wire(CommandError::InvalidNextToken));
        }
        let owner = input.action_owner_filter.as_deref();
        let wanted = |id: &ActionTypeId| owner.is_none_or(|wanted| id.owner.as_str() == wanted);
        let types = call.orchestrator.types_of_scope(call.scope()).await.map_err(errors::wire)?;
        let known = call.orchestrator.catalogue().entries();
        // Rules are listed by ListRuleTypes.
        let known = known.filter(|entry| entry.id.category != Category::Rule && wanted(&entry.id)).map(shown);
        let made = types.custom().filter(|made| wanted(&made.entry.id)).map(custom);
        let partners = types.partners().filter(|partner| wanted(&partner.entry.id)).map(partner);
        Ok(ListActionTypesOutput { action_types: known.chain(made).chain(partners).collect(), next_token: None })
    }
}

/// A custom type as it was created.
pub fn custom(made: &CustomActionType) -> ActionType {
    let mut shown = shown(&made.entry);
    for property in shown.action_configuration_properties.iter_mut().flatten() {
        property.r#type = made.property_types.get(&property.name).cloned();
    }
    if let Some(settings) = &mut shown.settings {
        settings.third_party_configuration_url.clone_from(&made.configuration_url);
    }
    shown
}

fn partner(made: &PartnerType) -> ActionType {
    let mut shown = shown(&made.entry);
    if let Some(settings) = &mut shown.settings {
        settings.third_party_configuration_url.clone_from(&made.configuration_url);
    }
    shown
}

pub fn artifact_details(bounds: Bounds) -> ArtifactDetails {
    ArtifactDetails { minimum_count: convert::int(bounds.min), maximum_count: convert::int(bounds.max) }
}

fn shown(entry: &ActionTypeEntry) -> ActionType {
    let property = |p: &towpath_model::catalogue::Property| ActionConfigurationProperty {
        name: p.name.clone(),
        required: p.required,
        key: p.key,
        secret: p.secret,
        queryable: Some(p.queryable),
        description: convert::brief(&p.description),
        r#type: Some("String".to_owned()),
    };
    ActionType {
        id: convert::action_type(&entry.id),
        action_configuration_properties: Some(entry.properties.iter().map(property).collect()),
        input_artifact_details: artifact_details(entry.inputs),
        output_artifact_details: artifact_details(entry.outputs),
        settings: Some(ActionTypeSettings {
            entity_url_template: entry.entity_url_template.clone(),
            execution_url_template: entry.execution_url_template.clone(),
            revision_url_template: entry.revision_url_template.clone(),
            third_party_configuration_url: None,
        }),
    }
}
