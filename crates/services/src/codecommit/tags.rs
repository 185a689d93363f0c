//! Tags of repositories.

use std::collections::BTreeMap;

use towpath_wire::WireError;
use towpath_wire::codecommit::{
    ListTagsForResourceInput, ListTagsForResourceOutput, TagResourceInput, UntagResourceInput,
};

use super::CodeCommit;
use super::errors::of;
use super::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX};
use crate::call::Call;
use crate::identity::policy::Context;

impl CodeCommit {
    pub(super) async fn list_tags_for_resource(
        &self,
        call: &Call,
        input: ListTagsForResourceInput,
    ) -> Result<ListTagsForResourceOutput, WireError> {
        self.may_with(call, &input.resource_arn, Context::new()).await?;
        let found = self.find(&call.scope, name_of(call, &input.resource_arn)?).await?;
        Ok(ListTagsForResourceOutput { tags: Some(found.record.tags), next_token: None })
    }

    pub(super) async fn tag_resource(&self, call: &Call, input: TagResourceInput) -> Result<(), WireError> {
        self.may_with(call, &input.resource_arn, request_tags(&input.tags)).await?;
        check_tags(&input.tags)?;
        self.change(&call.scope, name_of(call, &input.resource_arn)?, |record| {
            record.tags.extend(input.tags.clone());
            check_tags(&record.tags)
        })
        .await
    }

    pub(super) async fn untag_resource(&self, call: &Call, input: UntagResourceInput) -> Result<(), WireError> {
        let keys = Context::new().with_many("aws:TagKeys", input.tag_keys.clone());
        self.may_with(call, &input.resource_arn, keys).await?;
        self.change(&call.scope, name_of(call, &input.resource_arn)?, |record| {
            record.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        })
        .await
    }
}

/// The repository that an ARN of the caller's account and Region names.
fn name_of<'a>(call: &Call, arn: &'a str) -> Result<&'a str, WireError> {
    let prefix = super::records::arn(&call.scope, "");
    arn.strip_prefix(&prefix).ok_or_else(|| {
        of("InvalidResourceArnException", format!("{arn} is not the ARN of a repository in this account and Region."))
    })
}

pub(super) fn request_tags(tags: &BTreeMap<String, String>) -> Context {
    let mut context = Context::new();
    for (key, value) in tags {
        context.set(&format!("aws:RequestTag/{key}"), value.as_str());
    }
    if tags.is_empty() { context } else { context.with_many("aws:TagKeys", tags.keys().cloned().collect()) }
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), WireError> {
    if tags.len() > TAGS_MAX {
        return Err(of("TooManyTagsException", format!("A repository has at most {TAGS_MAX} tags.")));
    }
    for (key, value) in tags {
        if key.starts_with("aws:") {
            let text = "Tag keys that start with aws: are reserved.";
            return Err(of("InvalidSystemTagUsageException", text));
        }
        let fits =
            (1..=TAG_KEY_CHARS_MAX).contains(&key.chars().count()) && value.chars().count() <= TAG_VALUE_CHARS_MAX;
        if !fits {
            let text =
                format!("Tag keys have 1 to {TAG_KEY_CHARS_MAX} characters, tag values at most {TAG_VALUE_CHARS_MAX}.");
            return Err(of("InvalidTagsMapException", text));
        }
    }
    Ok(())
}
