//! ListRuleTypes. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListRuleTypes.html

use towpath_model::catalogue::{ActionTypeEntry, ActionTypes as _, Category, Property};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ListRuleTypesInput, ListRuleTypesOutput, Operation as Name, RuleConfigurationProperty, RuleType, RuleTypeSettings,
};

use super::{Call, Operation, Resource, convert, list_action_types};

pub struct ListRuleTypes;

impl Operation for ListRuleTypes {
    type Input = ListRuleTypesInput;
    type Output = ListRuleTypesOutput;
    const NAME: Name = Name::ListRuleTypes;

    fn resource(input: &Self::Input) -> Resource {
        let _: &ListRuleTypesInput = input;
        Resource::Any
    }

    /// Every rule type is AWS's and is there in every Region, so no filter leaves anything out.
    async fn run(call: &Call, _input: Self::Input) -> Result<Self::Output, WireError> {
        let entries = call.orchestrator.catalogue().all();
        let rules = entries.into_iter().filter(|entry| entry.id.category == Category::Rule);
        Ok(ListRuleTypesOutput { rule_types: rules.map(shown).collect() })
    }
}

fn shown(entry: &ActionTypeEntry) -> RuleType {
    let property = |p: &Property| RuleConfigurationProperty {
        name: p.name.clone(),
        required: p.required,
        key: p.key,
        secret: p.secret,
        queryable: Some(p.queryable),
        description: convert::brief(&p.description),
        r#type: Some("String".to_owned()),
    };
    RuleType {
        id: convert::rule_type(&entry.id),
        rule_configuration_properties: Some(entry.properties.iter().map(property).collect()),
        input_artifact_details: list_action_types::artifact_details(entry.inputs),
        settings: Some(RuleTypeSettings {
            entity_url_template: entry.entity_url_template.clone(),
            execution_url_template: entry.execution_url_template.clone(),
            revision_url_template: entry.revision_url_template.clone(),
            third_party_configuration_url: None,
        }),
    }
}
