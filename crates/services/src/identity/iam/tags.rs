//! Tags of roles: TagRole, UntagRole, ListRoleTags. Keys are compared without regard to case and kept as given.

use towpath_wire::WireError;
use towpath_wire::iam::{ListRoleTagsRequest, ListRoleTagsResponse, SERVICE, Tag, TagRoleRequest, UntagRoleRequest};

use super::super::{Identity, RoleRecord};
use super::{TAGS_MAX, changed, done, page, respond, wire_tags};
use crate::call::{Call, Response};

impl Identity {
    pub(super) async fn tag_role(&self, call: &Call, input: TagRoleRequest) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let tags = checked(input.tags)?;
        let change = |role: &mut RoleRecord| {
            for (key, value) in &tags {
                match role.tags.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
                    Some(known) => *known = (key.clone(), value.clone()),
                    None => role.tags.push((key.clone(), value.clone())),
                }
            }
            if role.tags.len() > TAGS_MAX {
                let text = format!("Cannot exceed quota for TagsPerRole: {TAGS_MAX}");
                return Err(WireError::modeled(&SERVICE, "LimitExceeded", text));
            }
            Ok(())
        };
        self.roles.change(&self.account, &input.role_name, change).await.map_err(changed(&input.role_name))?;
        Ok(done(call))
    }

    pub(super) async fn untag_role(&self, call: &Call, input: UntagRoleRequest) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let change = |role: &mut RoleRecord| {
            role.tags.retain(|(known, _)| !input.tag_keys.iter().any(|key| known.eq_ignore_ascii_case(key)));
            Ok(())
        };
        self.roles.change(&self.account, &input.role_name, change).await.map_err(changed(&input.role_name))?;
        Ok(done(call))
    }

    pub(super) async fn list_role_tags(&self, call: &Call, input: ListRoleTagsRequest) -> Result<Response, WireError> {
        let role = self.named_role(call, &input.role_name).await?;
        let mut tags = wire_tags(&role.record.tags);
        tags.sort_by(|a, b| a.key.cmp(&b.key));
        let (tags, marker) = page(&tags, |tag: &Tag| tag.key.as_str(), input.marker.as_deref(), input.max_items);
        respond(&ListRoleTagsResponse { is_truncated: Some(marker.is_some()), marker, tags }, call)
    }
}

/// Refuses keys that differ only in case.
pub(super) fn checked(tags: Vec<Tag>) -> Result<Vec<(String, String)>, WireError> {
    let mut kept: Vec<(String, String)> = Vec::with_capacity(tags.len());
    for tag in tags {
        if kept.iter().any(|(known, _)| known.eq_ignore_ascii_case(&tag.key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(WireError::modeled(&SERVICE, "InvalidInput", text));
        }
        kept.push((tag.key, tag.value));
    }
    Ok(kept)
}
