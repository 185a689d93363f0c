//! Hosts: where a GitHub Enterprise Server or a self-managed GitLab is.

use towpath_store::{DocumentsExt as _, Expect};
use towpath_wire::WireError;
use towpath_wire::codeconnections::{
    CreateHostInput, CreateHostOutput, DeleteHostInput, DeleteHostOutput, GetHostInput, GetHostOutput, ListHostsInput,
    ListHostsOutput, UpdateHostInput, UpdateHostOutput,
};

use super::connection::page;
use super::credential::{check_url, needs_host};
use super::names::{Named, Prefix};
use super::records::{CONNECTIONS, ConnectionRecord, HOSTS, HostRecord, Vpc, key, pairs};
use super::{Connections, errors, limits, tags};
use crate::call::Call;
use crate::identity::policy::Context;

const HEX: &[u8] = b"0123456789abcdef";

impl Connections {
    pub(super) async fn create_host(
        &self,
        prefix: Prefix,
        call: &Call,
        input: CreateHostInput,
    ) -> Result<CreateHostOutput, WireError> {
        // The name is part of the ARN.
        let plain: String =
            input.name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        let id = format!("{plain}-{}", self.ambient.text(HEX, 8));
        let arn = prefix.host_arn(&call.scope, &id);
        let given = input.tags.as_deref().unwrap_or_default();
        let context =
            tags::requested(given).with(&format!("{}:ProviderType", prefix.as_str()), input.provider_type.as_str());
        self.may(call, prefix, &arn, context).await?;
        tags::check(given)?;
        if !needs_host(&input.provider_type) {
            return Err(errors::invalid(format!(
                "A host cannot be of the provider type {}; it must be GitHubEnterpriseServer or GitLabSelfManaged.",
                input.provider_type
            )));
        }
        check_endpoint(&input.provider_endpoint)?;
        if self.scan::<HostRecord>(HOSTS, &call.scope).await?.len() >= limits::HOSTS_MAX {
            return Err(errors::limit(format!("An account may have at most {} hosts in a Region.", limits::HOSTS_MAX)));
        }
        let record = HostRecord {
            prefix,
            name: input.name,
            provider_type: input.provider_type,
            endpoint: input.provider_endpoint,
            vpc: input.vpc_configuration.map(Vpc::of),
            created: self.ambient.now(),
            tags: pairs(input.tags.clone()),
        };
        let written = self.documents.put_json(key(HOSTS, &call.scope, &id), &record, Expect::Absent).await;
        written.map_err(|error| errors::store(&error))?;
        Ok(CreateHostOutput { host_arn: Some(arn), tags: input.tags })
    }

    pub(super) async fn get_host(&self, call: &Call, input: GetHostInput) -> Result<GetHostOutput, WireError> {
        let (named, record, _) = self.host(call, &input.host_arn).await?;
        let host = record.shown(&named.scope, &named.id);
        Ok(GetHostOutput {
            name: host.name,
            provider_endpoint: host.provider_endpoint,
            provider_type: host.provider_type,
            status: host.status,
            vpc_configuration: host.vpc_configuration,
        })
    }

    pub(super) async fn list_hosts(
        &self,
        prefix: Prefix,
        call: &Call,
        input: ListHostsInput,
    ) -> Result<ListHostsOutput, WireError> {
        self.may(call, prefix, "*", Context::new()).await?;
        let all = self.scan::<HostRecord>(HOSTS, &call.scope).await?;
        let (hosts, next_token) = page(all, input.max_results, input.next_token.as_deref(), |_| true);
        let hosts = hosts.into_iter().map(|(id, record)| record.shown(&call.scope, &id)).collect();
        Ok(ListHostsOutput { hosts: Some(hosts), next_token })
    }

    pub(super) async fn update_host(&self, call: &Call, input: UpdateHostInput) -> Result<UpdateHostOutput, WireError> {
        let (named, mut record, version) = self.host(call, &input.host_arn).await?;
        if let Some(endpoint) = input.provider_endpoint {
            check_endpoint(&endpoint)?;
            record.endpoint = endpoint;
        }
        if let Some(vpc) = input.vpc_configuration {
            record.vpc = Some(Vpc::of(vpc));
        }
        let place = key(HOSTS, &named.scope, &named.id);
        let written = self.documents.put_json(place, &record, Expect::Version(version)).await;
        written.map_err(|error| errors::store(&error))?;
        Ok(UpdateHostOutput {})
    }

    pub(super) async fn delete_host(&self, call: &Call, input: DeleteHostInput) -> Result<DeleteHostOutput, WireError> {
        let (named, record, version) = self.host(call, &input.host_arn).await?;
        let arn = record.prefix.host_arn(&named.scope, &named.id);
        let connections = self.scan::<ConnectionRecord>(CONNECTIONS, &named.scope).await?;
        if connections.iter().any(|(_, connection)| connection.value.host.as_deref() == Some(arn.as_str())) {
            return Err(errors::unavailable(
                "The host has connections. Delete all connections of the host before you delete it.",
            ));
        }
        let place = key(HOSTS, &named.scope, &named.id);
        let deleted = self.documents.delete(place, Expect::Version(version)).await;
        deleted.map_err(|error| errors::store(&error))?;
        Ok(DeleteHostOutput {})
    }

    /// A host that the caller may do this to.
    async fn host(&self, call: &Call, arn: &str) -> Result<(Named, HostRecord, u64), WireError> {
        let named = Self::own(call, Named::host(arn))?;
        let found = self.find_host(&named.scope, &named.id).await?;
        let context = found.as_ref().map_or_else(Context::new, |host| tags::held(&host.value.tags));
        self.may(call, named.prefix, arn, context).await?;
        let found = found.ok_or_else(errors::not_found)?;
        Ok((named, found.value, found.version))
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), WireError> {
    check_url(endpoint, "ProviderEndpoint").map_err(errors::invalid)?;
    if endpoint.starts_with("ssh:") {
        return Err(errors::invalid("ProviderEndpoint must begin with https:// or http://"));
    }
    Ok(())
}
