//! Custom action types: kept per account and Region as documents, and shown to the engine together with the catalogue and
//! the types of partners (`partner_types`). Nothing here runs an action; what a custom type's action does is for its job
//! workers (`jobs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use towpath_model::action::ActionInvocation;
use towpath_model::arn::Resource;
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, ActionTypes, Executor, Owner, ValidValues};
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::event::Event;
use towpath_model::ids::Scope;
use towpath_model::limits::LAMBDA_REPLY_SECONDS;
use towpath_providers::{Catalogue, Provider};
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Write};

use crate::Orchestrator;
use crate::error::CommandError;
use crate::limits::TYPE_PAGE;
use crate::partner_types::{PartnerExecutor, PartnerType};
use crate::tags::{delete_tags, put_tags};

const TYPES: &str = "codepipeline.action-types";
/// Deleted types stay known: their version is never given to another definition, and their secrets stay masked.
const DELETED: &str = "codepipeline.action-types.deleted";

const EXTERNAL_ID: &str = "{ExternalExecutionId}";
const CONFIG: &str = "{Config:";

/// A custom action type as CreateCustomActionType was given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomActionType {
    pub entry: ActionTypeEntry,
    pub configuration_url: Option<String>,
    /// `String`, `Number` or `Boolean` by property, where the request said.
    pub property_types: BTreeMap<String, String>,
}

impl CustomActionType {
    /// What the types of its properties mean for their values.
    fn typed(mut self) -> Self {
        for property in &mut self.entry.properties {
            property.valid = match self.property_types.get(&property.name).map(String::as_str) {
                Some("Number") => ValidValues::Number,
                Some("Boolean") => ValidValues::Boolean,
                _ => ValidValues::Any,
            };
        }
        self
    }
}

/// The catalogue and, beside it, custom action types of one account and Region.
#[derive(Clone)]
pub struct Types {
    catalogue: Arc<Catalogue>,
    live: BTreeMap<ActionTypeId, CustomActionType>,
    deleted: BTreeMap<ActionTypeId, CustomActionType>,
    partners: BTreeMap<ActionTypeId, PartnerType>,
}

impl Types {
    fn new(catalogue: &Arc<Catalogue>) -> Self {
        let (live, deleted, partners) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { catalogue: Arc::clone(catalogue), live, deleted, partners }
    }

    /// The partners' types of this view.
    pub fn partners(&self) -> impl Iterator<Item = &PartnerType> {
        self.partners.values()
    }

    /// Seconds that one job of the type may take, where it says; a function has AWS's where it does not.
    pub(crate) fn job_timeout(&self, id: &ActionTypeId) -> Option<u32> {
        let usual = || self.is_lambda(id).then_some(LAMBDA_REPLY_SECONDS);
        self.partners.get(id).and_then(|partner| partner.job_timeout).or_else(usual)
    }

    fn is_lambda(&self, id: &ActionTypeId) -> bool {
        self.find(id).is_some_and(|entry| entry.executor == Executor::Lambda)
    }

    /// The function that is handed the action's job, where a function carries it out.
    pub(crate) fn function(&self, invocation: &ActionInvocation) -> Option<String> {
        let id = &invocation.action_type;
        if let Some(PartnerExecutor::Lambda { function_arn }) = self.partners.get(id).map(|partner| &partner.executor) {
            return Some(function_arn.clone());
        }
        self.is_lambda(id).then(|| invocation.config("FunctionName").unwrap_or_default().to_owned())
    }

    /// The custom types of this view, deleted ones left out.
    pub fn custom(&self) -> impl Iterator<Item = &CustomActionType> {
        self.live.values()
    }
}

impl ActionTypes for Types {
    fn find(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        let own = self.catalogue.get(id).map(Provider::entry);
        let made = || self.live.get(id).map(|custom| &custom.entry);
        own.or_else(made).or_else(|| Some(&self.partners.get(id)?.entry))
    }

    fn all(&self) -> Vec<&ActionTypeEntry> {
        let mut all: Vec<_> = self.catalogue.entries().collect();
        all.extend(self.live.values().map(|custom| &custom.entry));
        all.extend(self.partners.values().map(|partner| &partner.entry));
        all
    }

    fn described(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        self.find(id).or_else(|| Some(&self.deleted.get(id)?.entry))
    }

    fn check_value(&self, id: &ActionTypeId, key: &str, value: &str) -> Result<(), String> {
        self.catalogue.check_value(id, key, value)
    }
}

/// CreateCustomActionType.
pub struct NewActionType {
    pub scope: Scope,
    pub custom: CustomActionType,
    pub tags: Vec<(String, String)>,
}

impl Orchestrator {
    /// Everything these declarations name. Without custom types nothing is read.
    pub async fn types_for<'d>(
        &self,
        scope: &Scope,
        declarations: impl IntoIterator<Item = &'d PipelineDeclaration>,
    ) -> Result<Types, CommandError> {
        let actions = declarations.into_iter().flat_map(|d| &d.stages).flat_map(|stage| &stage.actions);
        // A definition has many actions of few types; this runs with every command.
        let mut wanted: Vec<&ActionTypeId> = Vec::new();
        for action in actions {
            let id = &action.action_type_id;
            if id.owner != Owner::Aws && !wanted.contains(&id) {
                wanted.push(id);
            }
        }
        wanted.retain(|id| self.has_jobs(id));
        let mut types = Types::new(&self.catalogue);
        for id in wanted {
            if id.owner == Owner::ThirdParty {
                let partner = self.find_partner_type(scope, id).await?.filter(|partner| partner.may_be_used(scope));
                types.partners.extend(partner.map(|partner| (id.clone(), partner)));
            } else if let Some(custom) = self.custom_type(TYPES, scope, id).await? {
                types.live.insert(id.clone(), custom);
            } else if let Some(custom) = self.custom_type(DELETED, scope, id).await? {
                types.deleted.insert(id.clone(), custom);
            }
        }
        Ok(types)
    }

    /// The catalogue and every other type, for lists and for advice on a type that is not there.
    pub async fn types_of_scope(&self, scope: &Scope) -> Result<Types, CommandError> {
        let mut live = BTreeMap::new();
        let mut scan = Scan::all().limit(TYPE_PAGE);
        loop {
            let page = self.store.scan_json::<CustomActionType>(TYPES, &partition(scope), scan).await?;
            let last = page.last().map(|(key, _)| key.clone()).filter(|_| page.len() == TYPE_PAGE);
            live.extend(page.into_iter().map(|(_, custom)| (custom.value.entry.id.clone(), custom.value.typed())));
            let Some(last) = last else { break };
            scan = Scan::all().limit(TYPE_PAGE).after(last);
        }
        let usable = self.partner_types(scope).await?.into_iter().filter(|partner| partner.may_be_used(scope));
        let partners = usable.map(|partner| (partner.entry.id.clone(), partner)).collect();
        Ok(Types { live, partners, ..Types::new(&self.catalogue) })
    }

    /// The custom type, unless it does not exist or was deleted.
    pub(crate) async fn live_type(&self, scope: &Scope, id: &ActionTypeId) -> Result<ActionTypeEntry, CommandError> {
        let custom = if self.may_be_custom(id) { self.custom_type(TYPES, scope, id).await? } else { None };
        custom.map(|custom| custom.entry).ok_or_else(|| not_available(id))
    }

    /// A type made before with the same words, deleted since or not, is the answer; with other words it is refused.
    pub async fn create_action_type(&self, new: NewActionType) -> Result<CustomActionType, CommandError> {
        let NewActionType { scope, custom, tags } = new;
        check(&custom.entry, "thirdPartyConfigurationUrl", custom.configuration_url.as_deref())
            .map_err(CommandError::Validation)?;
        let id = &custom.entry.id;
        if !self.may_be_custom(id) {
            return Err(exists(id));
        }
        if let Some(known) = self.custom_type(TYPES, &scope, id).await? {
            return if known == custom.clone().typed() { Ok(custom) } else { Err(exists(id)) };
        }
        let deleted = self.store.get_json::<CustomActionType>(DELETED, &partition(&scope), &name(id)).await?;
        let mut writes = Vec::new();
        if let Some(deleted) = deleted {
            if deleted.value != custom {
                return Err(exists(id));
            }
            writes.push(Write::delete(key(DELETED, &scope, id), Expect::Version(deleted.version)));
        }
        let limit = self.quotas.custom_action_types_per_region;
        if self.types_of_scope(&scope).await?.live.len() >= limit {
            return Err(CommandError::LimitExceeded(format!(
                "The number of custom action types in the account '{}' in region '{}' has reached its limit of {limit}. \
                 Delete custom action types you no longer need.",
                scope.account, scope.region
            )));
        }
        writes.push(Write::put_json(key(TYPES, &scope, id), &custom, Expect::Absent)?);
        writes.push(put_tags(&scope, &resource(id), &tags)?);
        self.store.write(writes).await.map_err(concurrent)?;
        Ok(custom)
    }

    /// DeleteCustomActionType. What runs goes on; a type that is not there is no error, as on AWS.
    pub async fn delete_action_type(&self, scope: &Scope, id: &ActionTypeId) -> Result<(), CommandError> {
        let known = self.store.get_json::<CustomActionType>(TYPES, &partition(scope), &name(id)).await?;
        let Some(known) = known else { return Ok(()) };
        let writes = vec![
            Write::delete(key(TYPES, scope, id), Expect::Version(known.version)),
            Write::put_json(key(DELETED, scope, id), &known.value, Expect::Any)?,
            delete_tags(scope, &resource(id)),
        ];
        self.store.write(writes).await.map(drop).map_err(concurrent)
    }

    /// Whether an action of this type is carried out by job workers or functions, whoever made the type.
    pub(crate) fn has_jobs(&self, id: &ActionTypeId) -> bool {
        match self.catalogue.get(id) {
            Some(provider) => provider.entry().executor == Executor::Lambda,
            None => id.owner != Owner::Aws,
        }
    }

    fn may_be_custom(&self, id: &ActionTypeId) -> bool {
        id.owner == Owner::Custom && self.catalogue.get(id).is_none()
    }

    async fn custom_type(
        &self,
        collection: &str,
        scope: &Scope,
        id: &ActionTypeId,
    ) -> Result<Option<CustomActionType>, CommandError> {
        let found = self.store.get_json::<CustomActionType>(collection, &partition(scope), &name(id)).await?;
        Ok(found.map(|found| found.value.typed()))
    }
}

/// AWS's words for a type that is not there.
pub(crate) fn not_available(id: &ActionTypeId) -> CommandError {
    CommandError::ActionTypeNotFound(format!(
        "ActionType (Category: '{}', Owner: '{}', Provider: '{}', Version: '{}') is not available",
        id.category.as_str(),
        id.owner.as_str(),
        id.provider,
        id.version
    ))
}

/// The definition an event brings along, whose types are not those of the stored versions.
pub(crate) fn declared(event: &Event) -> Option<&PipelineDeclaration> {
    match event {
        Event::DefinitionUpdated { declaration } => Some(declaration),
        _ => None,
    }
}

/// The template with a run's values; None where it asks for an external id that nobody has told.
pub(crate) fn filled(
    template: &str,
    configuration: &BTreeMap<String, String>,
    external_id: Option<&str>,
) -> Option<String> {
    if external_id.is_none() && template.contains(EXTERNAL_ID) {
        return None;
    }
    let url = template.replace(EXTERNAL_ID, external_id.unwrap_or_default());
    let known = configuration.iter();
    Some(known.fold(url, |url, (key, value)| url.replace(&format!("{CONFIG}{key}}}"), value)))
}

/// AWS's rules that the shape of the request does not carry (jobs.md section 1).
pub(crate) fn check(
    entry: &ActionTypeEntry,
    configuration: &'static str,
    configuration_url: Option<&str>,
) -> Result<(), String> {
    let properties = &entry.properties;
    let mut seen = BTreeSet::new();
    if let Some(twice) = properties.iter().find(|property| !seen.insert(&property.name)) {
        return Err(format!("The configuration property '{}' is given more than once.", twice.name));
    }
    let queryable: Vec<_> = properties.iter().filter(|property| property.queryable).collect();
    if queryable.len() > 1 {
        return Err(format!(
            "At most one configuration property can be queryable; {} are: {}.",
            queryable.len(),
            queryable.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(property) = queryable.first().filter(|property| !property.required || property.secret) {
        return Err(format!(
            "The queryable configuration property '{}' must be required and must not be secret.",
            property.name
        ));
    }
    for (what, bounds) in [("inputArtifactDetails", entry.inputs), ("outputArtifactDetails", entry.outputs)] {
        if bounds.min > bounds.max {
            return Err(format!(
                "{what}: the minimumCount {} is greater than the maximumCount {}.",
                bounds.min, bounds.max
            ));
        }
    }
    let templates = [
        ("entityUrlTemplate", entry.entity_url_template.as_deref()),
        ("executionUrlTemplate", entry.execution_url_template.as_deref()),
        ("revisionUrlTemplate", entry.revision_url_template.as_deref()),
        (configuration, configuration_url),
    ];
    for (what, template) in templates {
        if let Some(template) = template {
            check_template(what, template, entry)?;
        }
    }
    Ok(())
}

fn check_template(what: &str, template: &str, entry: &ActionTypeEntry) -> Result<(), String> {
    // The link is shown to people; nothing but a page may be behind it.
    if !template.starts_with("https://") && !template.starts_with("http://") {
        return Err(format!("{what} must be a URL that starts with https:// or http://."));
    }
    if template.contains(EXTERNAL_ID) && what != "executionUrlTemplate" {
        return Err(format!("{what} cannot contain {EXTERNAL_ID}; only executionUrlTemplate can."));
    }
    for part in template.split(CONFIG).skip(1) {
        let Some((name, _)) = part.split_once('}') else {
            return Err(format!("{what} has a {CONFIG} without a closing brace."));
        };
        if !entry.property(name).is_some_and(|property| property.required && !property.secret) {
            return Err(format!(
                "{what} refers to the configuration property '{name}'; only properties that are required and not secret can be \
                 used in a URL template."
            ));
        }
    }
    Ok(())
}

fn exists(id: &ActionTypeId) -> CommandError {
    CommandError::ActionTypeAlreadyExists(format!(
        "The action type with category '{}', provider '{}' and version '{}' already exists, or existed, with a different \
         definition. Use a version that has never been used.",
        id.category.as_str(),
        id.provider,
        id.version
    ))
}

fn concurrent(error: towpath_store::StoreError) -> CommandError {
    if error.is_conflict() {
        CommandError::ConcurrentModification(
            "Another request changed the action type at the same time. Try again.".to_owned(),
        )
    } else {
        error.into()
    }
}

pub(crate) fn partition(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

fn name(id: &ActionTypeId) -> String {
    format!("{}/{}/{}", id.category.as_str(), id.provider, id.version)
}

fn key(collection: &str, scope: &Scope, id: &ActionTypeId) -> Key {
    Key::new(collection, partition(scope), name(id))
}

fn resource(id: &ActionTypeId) -> Resource {
    Resource::ActionType {
        owner: id.owner.as_str().to_owned(),
        category: id.category.as_str().to_owned(),
        provider: id.provider.clone(),
        version: id.version.clone(),
    }
}

/// The entry of a custom type: what CreateCustomActionType does not say is the same for all of them.
pub fn custom_entry(
    id: ActionTypeId,
    properties: Vec<towpath_model::catalogue::Property>,
    inputs: towpath_model::catalogue::Bounds,
    outputs: towpath_model::catalogue::Bounds,
) -> ActionTypeEntry {
    ActionTypeEntry {
        id,
        description: String::new(),
        properties,
        inputs,
        outputs,
        output_variables: Vec::new(),
        default_timeout_minutes: towpath_model::limits::TIMEOUT_CUSTOM_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        // The job carries its id; whether its work is done twice is for the worker.
        repeat: towpath_model::catalogue::Repeat::AtLeastOnce,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::JobWorker,
        artifact_suffix: None,
        documentation: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::catalogue::{Bounds, Category, Property};

    use super::*;

    type Case = (fn(&mut CustomActionType), &'static str);

    fn farm() -> CustomActionType {
        let id = ActionTypeId::new(Category::Build, Owner::Custom, "FarmBuild", "1");
        let project = Property { queryable: true, ..Property::required("Project", "") };
        let key = Property { secret: true, ..Property::required("Key", "") };
        let entry =
            custom_entry(id, vec![project, key, Property::optional("Note", "")], Bounds::new(0, 1), Bounds::new(0, 2));
        CustomActionType { entry, configuration_url: None, property_types: BTreeMap::new() }
    }

    fn with_template(set: impl Fn(&mut CustomActionType)) -> Result<(), String> {
        let mut custom = farm();
        set(&mut custom);
        check(&custom.entry, "thirdPartyConfigurationUrl", custom.configuration_url.as_deref())
    }

    #[test]
    fn what_a_definition_may_say() {
        assert_eq!(with_template(|_| ()), Ok(()));
        let url = |text: &str| Some(text.to_owned());
        let refused: [Case; 7] = [
            (|c| c.entry.properties[1].queryable = true, "At most one"),
            (|c| c.entry.properties[0].required = false, "must be required"),
            (|c| c.entry.properties[0].secret = true, "must not be secret"),
            (|c| c.entry.properties[2].name = "Key".to_owned(), "more than once"),
            (|c| c.entry.inputs = Bounds::new(2, 1), "greater than the maximumCount"),
            (|c| c.configuration_url = Some("javascript:alert(1)".to_owned()), "https://"),
            (|c| c.entry.revision_url_template = Some("https://x/{Config:Project".to_owned()), "closing brace"),
        ];
        for (change, why) in refused {
            let answer = with_template(change);
            assert!(answer.as_ref().is_err_and(|text| text.contains(why)), "{why}: {answer:?}");
        }
        for name in ["Key", "Note", "Nothing"] {
            let answer = with_template(|c| c.entry.entity_url_template = url(&format!("https://x/{{Config:{name}}}")));
            assert!(answer.is_err_and(|text| text.contains(&format!("'{name}'"))), "{name}");
        }
        let id = "https://x/{Config:Project}/{ExternalExecutionId}";
        assert!(with_template(|c| c.entry.entity_url_template = url(id)).is_err(), "a static link knows no run");
        assert_eq!(with_template(|c| c.entry.execution_url_template = url(id)), Ok(()));
    }

    #[test]
    fn a_template_is_filled_once_the_run_is_known() {
        let configuration = BTreeMap::from([("Project".to_owned(), "ferry".to_owned())]);
        let template = "https://x/{Config:Project}/{ExternalExecutionId}";
        assert_eq!(filled(template, &configuration, Some("7")).as_deref(), Some("https://x/ferry/7"));
        assert_eq!(filled(template, &configuration, None), None);
        assert_eq!(filled("https://x/{Config:Project}", &configuration, None).as_deref(), Some("https://x/ferry"));
    }
}
