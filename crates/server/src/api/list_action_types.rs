//! ListActionTypes. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListActionTypes.html

use towpath_model::catalogue::{ActionTypeEntry, ActionTypes, Bounds};
use towpath_orchestrator::CommandError;
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
        let types = call.orchestrator.catalogue().all();
        Ok(ListActionTypesOutput {
            action_types: types
                .into_iter()
                .filter(|entry| owner.is_none_or(|wanted| entry.id.owner.as_str() == wanted))
                .map(shown)
                .collect(),
            next_token: None,
        })
    }
}

fn shown(entry: &ActionTypeEntry) -> ActionType {
    let bounds = |b: Bounds| ArtifactDetails { minimum_count: convert::int(b.min), maximum_count: convert::int(b.max) };
    let property = |p: &towpath_model::catalogue::Property| ActionConfigurationProperty {
        name: p.name.clone(),
        required: p.required,
        key: p.key,
        secret: p.secret,
        queryable: Some(p.queryable),
        description: Some(p.description.clone()),
        r#type: Some("String".to_owned()),
    };
    ActionType {
        id: convert::action_type(&entry.id),
        action_configuration_properties: Some(entry.properties.iter().map(property).collect()),
        input_artifact_details: bounds(entry.inputs),
        output_artifact_details: bounds(entry.outputs),
        settings: Some(ActionTypeSettings {
            entity_url_template: entry.entity_url_template.clone(),
            execution_url_template: entry.execution_url_template.clone(),
            revision_url_template: entry.revision_url_template.clone(),
            third_party_configuration_url: None,
        }),
    }
}
