//! CreateAlias, GetAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::collections::BTreeMap;

use towpath_model::ids::Scope;
use towpath_wire::WireError;
use towpath_wire::lambda::{
    AliasConfiguration, AliasRoutingConfiguration, CreateAliasRequest, DeleteAliasRequest, GetAliasRequest,
    ListAliasesRequest, ListAliasesResponse, UpdateAliasRequest,
};

use super::Lambda;
use super::errors::{conflict, invalid, not_found, stale, validation};
use super::limits::ALIASES_MAX;
use super::names::{LATEST, Reference, parse};
use super::read::{encode, marker, page_size};
use super::records::{Alias, Function};
use crate::call::Call;

impl Lambda {
    pub(super) async fn create_alias(
        &self,
        call: &Call,
        input: CreateAliasRequest,
    ) -> Result<AliasConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        let arn = alias_arn(scope, &reference, &input.name);
        self.may(call, &reference.arn(scope)).await?;
        let weights = weights(input.routing_config)?;
        let function = self.function(scope, &reference).await?;
        self.check_routing(scope, &reference, &function, &input.function_version, &weights).await?;
        let alias = Alias {
            version: input.function_version,
            description: input.description.unwrap_or_default(),
            weights,
            revision: self.ambient.uuid(),
        };
        self.change(scope, &reference, |function| {
            if function.aliases.contains_key(&input.name) {
                return Err(conflict(format!("Alias already exists: {arn}")));
            }
            if function.aliases.len() >= ALIASES_MAX {
                return Err(invalid(format!("A function can have at most {ALIASES_MAX} aliases here.")));
            }
            function.aliases.insert(input.name.clone(), alias.clone());
            Ok(())
        })
        .await?;
        Ok(shown(scope, &reference, &input.name, &alias))
    }

    pub(super) async fn get_alias(&self, call: &Call, input: GetAliasRequest) -> Result<AliasConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        self.may(call, &reference.arn(scope)).await?;
        let function = self.find(scope, &reference.name).await?.map(|found| found.value);
        let alias = function.as_ref().and_then(|function| function.aliases.get(&input.name));
        let alias = alias.ok_or_else(|| no_alias(scope, &reference, &input.name))?;
        Ok(shown(scope, &reference, &input.name, alias))
    }

    pub(super) async fn update_alias(
        &self,
        call: &Call,
        input: UpdateAliasRequest,
    ) -> Result<AliasConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        let arn = alias_arn(scope, &reference, &input.name);
        self.may(call, &reference.arn(scope)).await?;
        let given = input.routing_config.map(|config| weights(Some(config))).transpose()?;
        let function = self.function(scope, &reference).await?;
        let missing = || not_found(format!("Alias not found: {arn}"));
        let alias = function.aliases.get(&input.name).ok_or_else(missing)?;
        let target = input.function_version.as_ref().unwrap_or(&alias.version);
        let routed = given.as_ref().unwrap_or(&alias.weights);
        self.check_routing(scope, &reference, &function, target, routed).await?;
        let revision = self.ambient.uuid();
        let updated = self
            .change(scope, &reference, |function| {
                let alias = function.aliases.get_mut(&input.name).ok_or_else(missing)?;
                if input.revision_id.as_ref().is_some_and(|given| *given != alias.revision) {
                    return Err(stale("GetFunction/GetAlias"));
                }
                if let Some(version) = &input.function_version {
                    alias.version.clone_from(version);
                }
                if let Some(description) = &input.description {
                    alias.description.clone_from(description);
                }
                if let Some(weights) = &given {
                    alias.weights.clone_from(weights);
                }
                alias.revision.clone_from(&revision);
                Ok(alias.clone())
            })
            .await?;
        Ok(shown(scope, &reference, &input.name, &updated))
    }

    pub(super) async fn delete_alias(&self, call: &Call, input: DeleteAliasRequest) -> Result<(), WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        self.may(call, &reference.arn(scope)).await?;
        if self.find(scope, &reference.name).await?.is_none() {
            return Err(no_alias(scope, &reference, &input.name));
        }
        self.change(scope, &reference, |function| {
            let gone = function.aliases.remove(&input.name);
            function.policies.remove(&input.name);
            function.event_configs.remove(&input.name);
            gone.map(|_| ()).ok_or_else(|| no_alias(scope, &reference, &input.name))
        })
        .await
    }

    pub(super) async fn list_aliases(
        &self,
        call: &Call,
        input: ListAliasesRequest,
    ) -> Result<ListAliasesResponse, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        self.may(call, &reference.arn(scope)).await?;
        let function = self.function(scope, &reference).await?;
        let after = marker(input.marker.as_deref())?;
        let size = page_size(input.max_items);
        let of_version = |alias: &Alias| {
            let wanted = input.function_version.as_ref();
            wanted.is_none_or(|wanted| alias.version == *wanted || alias.weights.contains_key(wanted))
        };
        let mut found = function
            .aliases
            .iter()
            .filter(|(name, alias)| of_version(alias) && after.as_ref().is_none_or(|after| *name > after));
        let page: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        Ok(ListAliasesResponse {
            next_marker: page.last().filter(|_| more).map(|(name, _)| encode(name)),
            aliases: Some(page.into_iter().map(|(name, alias)| shown(scope, &reference, name, alias)).collect()),
        })
    }

    async fn check_routing(
        &self,
        scope: &Scope,
        reference: &Reference,
        function: &Function,
        version: &str,
        weights: &BTreeMap<String, f64>,
    ) -> Result<(), WireError> {
        self.numbered(scope, &reference.name, function, version).await?;
        for other in weights.keys() {
            if version == LATEST || other == LATEST {
                return Err(invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
            }
            if other == version {
                return Err(invalid(format!(
                    "Invalid function version {version}. Function version {version} is already included in routing \
                     configuration."
                )));
            }
            self.numbered(scope, &reference.name, function, other).await?;
        }
        Ok(())
    }
}

fn weights(config: Option<AliasRoutingConfiguration>) -> Result<BTreeMap<String, f64>, WireError> {
    let weights = config.and_then(|config| config.additional_version_weights).unwrap_or_default();
    if weights.len() > 1 {
        return Err(invalid("Number of items in AdditionalVersionWeights cannot be greater than 1"));
    }
    if let Some(weight) = weights.values().find(|weight| !(0.0..=1.0).contains(*weight)) {
        let constraint = "Member must have value less than or equal to 1.0";
        return Err(validation(&weight.to_string(), "routingConfig.additionalVersionWeights", constraint));
    }
    Ok(weights)
}

fn alias_arn(scope: &Scope, reference: &Reference, name: &str) -> String {
    format!("{}:{name}", reference.arn(scope))
}

fn no_alias(scope: &Scope, reference: &Reference, name: &str) -> WireError {
    not_found(format!("Cannot find alias arn: {}", alias_arn(scope, reference, name)))
}

fn shown(scope: &Scope, reference: &Reference, name: &str, alias: &Alias) -> AliasConfiguration {
    let routed = !alias.weights.is_empty();
    AliasConfiguration {
        alias_arn: Some(alias_arn(scope, reference, name)),
        description: Some(alias.description.clone()),
        function_version: Some(alias.version.clone()),
        name: Some(name.to_owned()),
        revision_id: Some(alias.revision.clone()),
        routing_config: routed
            .then(|| AliasRoutingConfiguration { additional_version_weights: Some(alias.weights.clone()) }),
    }
}
