//! Tags of connections and hosts, which lie in their records.

use std::collections::BTreeSet;

use towpath_store::{DocumentsExt as _, Expect};
use towpath_wire::WireError;
use towpath_wire::codeconnections::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput,
    UntagResourceOutput,
};

use super::names::{Kind, Named};
use super::records::{CONNECTIONS, ConnectionRecord, HOSTS, HostRecord, Tags, key, shown_tags};
use super::{Connections, errors, limits};
use crate::call::Call;
use crate::identity::policy::Context;

/// A record that carries tags.
enum Tagged {
    Connection(ConnectionRecord, u64),
    Host(HostRecord, u64),
}

impl Tagged {
    fn tags(&mut self) -> &mut Tags {
        match self {
            Self::Connection(record, _) => &mut record.tags,
            Self::Host(record, _) => &mut record.tags,
        }
    }
}

/// Refuses tags that AWS refuses.
pub(super) fn check(tags: &[Tag]) -> Result<(), WireError> {
    let mut seen = BTreeSet::new();
    for tag in tags {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid(format!("The tag key '{}' is not valid: aws: is reserved.", tag.key)));
        }
        if !seen.insert(tag.key.as_str()) {
            return Err(errors::invalid(format!("The tag key '{}' is given more than once.", tag.key)));
        }
    }
    within(tags.len())
}

fn within(count: usize) -> Result<(), WireError> {
    if count <= limits::TAGS_MAX {
        return Ok(());
    }
    Err(errors::limit(format!("A resource may have at most {} tags.", limits::TAGS_MAX)))
}

/// The condition keys of tags in a request.
pub(super) fn requested(tags: &[Tag]) -> Context {
    let keys = tags.iter().map(|tag| tag.key.clone()).collect();
    let context = Context::new().with_many("aws:TagKeys", keys);
    tags.iter().fold(context, |context, tag| context.with(&format!("aws:RequestTag/{}", tag.key), tag.value.as_str()))
}

/// The condition keys of tags that a resource has.
pub(super) fn held(tags: &Tags) -> Context {
    tags.iter()
        .fold(Context::new(), |context, (key, value)| context.with(&format!("aws:ResourceTag/{key}"), value.as_str()))
}

impl Connections {
    pub(super) async fn list_tags_for_resource(
        &self,
        call: &Call,
        input: ListTagsForResourceInput,
    ) -> Result<ListTagsForResourceOutput, WireError> {
        let mut tagged = self.tagged(call, &input.resource_arn, Context::new()).await?.1;
        Ok(ListTagsForResourceOutput { tags: Some(shown_tags(tagged.tags())) })
    }

    pub(super) async fn tag_resource(
        &self,
        call: &Call,
        input: TagResourceInput,
    ) -> Result<TagResourceOutput, WireError> {
        check(&input.tags)?;
        let (named, mut tagged) = self.tagged(call, &input.resource_arn, requested(&input.tags)).await?;
        let tags = tagged.tags();
        for tag in input.tags {
            tags.retain(|(key, _)| *key != tag.key);
            tags.push((tag.key, tag.value));
        }
        within(tags.len())?;
        self.keep(&named, tagged).await?;
        Ok(TagResourceOutput {})
    }

    pub(super) async fn untag_resource(
        &self,
        call: &Call,
        input: UntagResourceInput,
    ) -> Result<UntagResourceOutput, WireError> {
        let context = Context::new().with_many("aws:TagKeys", input.tag_keys.clone());
        let (named, mut tagged) = self.tagged(call, &input.resource_arn, context).await?;
        tagged.tags().retain(|(key, _)| !input.tag_keys.contains(key));
        self.keep(&named, tagged).await?;
        Ok(UntagResourceOutput {})
    }

    async fn tagged(&self, call: &Call, arn: &str, context: Context) -> Result<(Named, Tagged), WireError> {
        let named = Self::own(call, Named::parse(arn))?;
        let found = match named.kind {
            Kind::Connection => {
                let found = self.find_connection(&named.scope, &named.id).await?;
                found.map(|found| Tagged::Connection(found.value, found.version))
            }
            Kind::Host => {
                let found = self.find_host(&named.scope, &named.id).await?;
                found.map(|found| Tagged::Host(found.value, found.version))
            }
        };
        let mut found = found;
        let context = found.as_mut().map_or_else(Context::new, |tagged| held(tagged.tags())).merged(context);
        self.may(call, named.prefix, arn, context).await?;
        found.map(|tagged| (named, tagged)).ok_or_else(errors::not_found)
    }

    async fn keep(&self, named: &Named, tagged: Tagged) -> Result<(), WireError> {
        let (scope, id) = (&named.scope, named.id.as_str());
        let written = match &tagged {
            Tagged::Connection(record, version) => {
                self.documents.put_json(key(CONNECTIONS, scope, id), record, Expect::Version(*version)).await
            }
            Tagged::Host(record, version) => {
                self.documents.put_json(key(HOSTS, scope, id), record, Expect::Version(*version)).await
            }
        };
        written.map(drop).map_err(|error| errors::store(&error))
    }
}
