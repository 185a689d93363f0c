//! Tags of users, roles and managed policies. Keys are compared without regard to case and kept as given.

use towpath_store::Expect;
use towpath_wire::WireError;
use towpath_wire::iam::{
    ListPolicyTagsRequest, ListPolicyTagsResponse, ListRoleTagsRequest, ListRoleTagsResponse, ListUserTagsRequest,
    ListUserTagsResponse, Tag, TagPolicyRequest, TagRoleRequest, TagUserRequest, UntagPolicyRequest, UntagRoleRequest,
    UntagUserRequest,
};

use super::super::Identity;
use super::super::holder::{RoleRecord, Tagged, UserRecord};
use super::super::limits::TAGS_MAX;
use super::super::managed::{self, Managed};
use super::super::policy::Context;
use super::super::shelf::put;
use super::{Answer, done, page, quota, refused, request_tags, respond, tag_keys, wire_tags};
use crate::call::Call;

type Tags = Vec<(String, String)>;

impl Identity {
    async fn tag<R: Tagged>(&self, call: &Call, name: &str, tags: Vec<Tag>) -> Answer {
        let tags = checked(tags)?;
        let found = self.named::<R>(call, name, request_tags(Context::new(), &tags)).await?;
        let mut record = found.record.clone();
        add(record.tags_mut(), tags, R::KIND.title())?;
        self.commit(vec![put(&record, Expect::Version(found.version))?]).await?;
        done(call)
    }

    async fn untag<R: Tagged>(&self, call: &Call, name: &str, keys: Vec<String>) -> Answer {
        let found = self.named::<R>(call, name, tag_keys(Context::new(), keys.clone())).await?;
        let mut record = found.record.clone();
        remove(record.tags_mut(), &keys);
        self.commit(vec![put(&record, Expect::Version(found.version))?]).await?;
        done(call)
    }

    pub(super) async fn tag_user(&self, call: &Call, input: TagUserRequest) -> Answer {
        self.tag::<UserRecord>(call, &input.user_name, input.tags).await
    }

    pub(super) async fn tag_role(&self, call: &Call, input: TagRoleRequest) -> Answer {
        self.tag::<RoleRecord>(call, &input.role_name, input.tags).await
    }

    pub(super) async fn untag_user(&self, call: &Call, input: UntagUserRequest) -> Answer {
        self.untag::<UserRecord>(call, &input.user_name, input.tag_keys).await
    }

    pub(super) async fn untag_role(&self, call: &Call, input: UntagRoleRequest) -> Answer {
        self.untag::<RoleRecord>(call, &input.role_name, input.tag_keys).await
    }

    pub(super) async fn list_user_tags(&self, call: &Call, input: ListUserTagsRequest) -> Answer {
        let user = self.named_user(call, &input.user_name).await?;
        let (tags, marker) = listed(&user.record.tags, input.marker.as_deref(), input.max_items);
        respond(&ListUserTagsResponse { is_truncated: Some(marker.is_some()), marker, tags }, call)
    }

    pub(super) async fn list_role_tags(&self, call: &Call, input: ListRoleTagsRequest) -> Answer {
        let role = self.named_role(call, &input.role_name).await?;
        let (tags, marker) = listed(&role.record.tags, input.marker.as_deref(), input.max_items);
        respond(&ListRoleTagsResponse { is_truncated: Some(marker.is_some()), marker, tags }, call)
    }

    pub(super) async fn tag_policy(&self, call: &Call, input: TagPolicyRequest) -> Answer {
        let (mut record, version) = self.own_policy(call, &input.policy_arn).await?;
        add(&mut record.tags, checked(input.tags)?, "Policy")?;
        self.commit(vec![managed::put(&record, Expect::Version(version))?]).await?;
        done(call)
    }

    pub(super) async fn untag_policy(&self, call: &Call, input: UntagPolicyRequest) -> Answer {
        let (mut record, version) = self.own_policy(call, &input.policy_arn).await?;
        remove(&mut record.tags, &input.tag_keys);
        self.commit(vec![managed::put(&record, Expect::Version(version))?]).await?;
        done(call)
    }

    pub(super) async fn list_policy_tags(&self, call: &Call, input: ListPolicyTagsRequest) -> Answer {
        let tags = match self.named_policy(call, &input.policy_arn).await? {
            Managed::Own { record, .. } => record.tags,
            Managed::Aws(_) => Vec::new(),
        };
        let (tags, marker) = listed(&tags, input.marker.as_deref(), input.max_items);
        respond(&ListPolicyTagsResponse { is_truncated: Some(marker.is_some()), marker, tags }, call)
    }
}

/// Gives each key its new value.
fn add(known: &mut Tags, tags: Tags, title: &str) -> Result<(), WireError> {
    for (key, value) in tags {
        match known.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(&key)) {
            Some(other) => *other = (key, value),
            None => known.push((key, value)),
        }
    }
    if known.len() > TAGS_MAX { Err(quota(&format!("TagsPer{title}"), TAGS_MAX)) } else { Ok(()) }
}

fn remove(known: &mut Tags, keys: &[String]) {
    known.retain(|(other, _)| !keys.iter().any(|key| other.eq_ignore_ascii_case(key)));
}

fn listed(tags: &[(String, String)], marker: Option<&str>, max_items: Option<i32>) -> (Vec<Tag>, Option<String>) {
    let mut tags = wire_tags(tags);
    tags.sort_by(|a, b| a.key.cmp(&b.key));
    page(&tags, |tag: &Tag| tag.key.as_str(), marker, max_items)
}

/// Refuses keys that differ only in case, and those that are AWS's.
pub(super) fn checked(tags: Vec<Tag>) -> Result<Tags, WireError> {
    let mut kept: Tags = Vec::with_capacity(tags.len());
    for tag in tags {
        if kept.iter().any(|(known, _)| known.eq_ignore_ascii_case(&tag.key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(refused("InvalidInput", text));
        }
        if tag.key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(refused("InvalidInput", format!("Tag keys that begin with aws: are reserved: {}", tag.key)));
        }
        kept.push((tag.key, tag.value));
    }
    Ok(kept)
}
