//! Who is a member of a group, both ways: AddUserToGroup, RemoveUserFromGroup, ListGroupsForUser, and the index from a
//! group to its members.

use towpath_store::{DocumentsExt as _, Expect, Key, Scan, StoreError, Write};
use towpath_wire::iam::{
    AddUserToGroupRequest, ListGroupsForUserRequest, ListGroupsForUserResponse, RemoveUserFromGroupRequest,
};

use super::super::Identity;
use super::super::limits::GROUPS_PER_USER_MAX;
use super::super::shelf;
use super::groups::wire_group;
use super::users::key_of;
use super::{Answer, done, no_such, page, quota, refused, respond};
use crate::call::Call;
use crate::identity::holder::Kind;

/// One document for each member, in the group's partition, under the user's key.
const MEMBERS: &str = "iam.group-member";

fn key(account: &str, group: &str, user: &str) -> Key {
    Key::new(MEMBERS, format!("{account}/{group}"), key_of(user))
}

pub(super) fn put(account: &str, group: &str, user: &str) -> Result<Write, StoreError> {
    Write::put_json(key(account, group, user), user, Expect::Any)
}

pub(super) fn remove(account: &str, group: &str, user: &str) -> Write {
    Write::delete(key(account, group, user), Expect::Any)
}

impl Identity {
    /// The names of a group's members, in order.
    pub(super) async fn members(&self, group: &str) -> Result<Vec<String>, StoreError> {
        let partition = format!("{}/{group}", self.account);
        let found = self.documents.scan_json::<String>(MEMBERS, &partition, Scan::all()).await?;
        Ok(found.into_iter().map(|(_, name)| name.value).collect())
    }

    pub(super) async fn add_user_to_group(&self, call: &Call, input: AddUserToGroupRequest) -> Answer {
        let group = self.named_group(call, &input.group_name).await?;
        let user = self.users.find(&self.account, &input.user_name).await?;
        let user = user.ok_or_else(|| no_such(Kind::User, &input.user_name))?;
        if user.record.groups.contains(&group.record.id) {
            return done(call);
        }
        if user.record.groups.len() >= GROUPS_PER_USER_MAX {
            return Err(quota("GroupsPerUser", GROUPS_PER_USER_MAX).into());
        }
        let mut record = user.record.clone();
        record.groups.push(group.record.id.clone());
        // The group is written too, so that it cannot be deleted meanwhile.
        self.commit(vec![
            shelf::put(&record, Expect::Version(user.version))?,
            shelf::put(&group.record, Expect::Version(group.version))?,
            put(&self.account, &group.record.id, &record.name)?,
        ])
        .await?;
        done(call)
    }

    pub(super) async fn remove_user_from_group(&self, call: &Call, input: RemoveUserFromGroupRequest) -> Answer {
        let group = self.named_group(call, &input.group_name).await?;
        let user = self.users.find(&self.account, &input.user_name).await?;
        let user = user.ok_or_else(|| no_such(Kind::User, &input.user_name))?;
        let mut record = user.record.clone();
        record.groups.retain(|id| *id != group.record.id);
        if record.groups.len() == user.record.groups.len() {
            let text = format!("User {} is not in group {}", record.name, group.record.name);
            return Err(refused("NoSuchEntity", text).into());
        }
        self.commit(vec![
            shelf::put(&record, Expect::Version(user.version))?,
            remove(&self.account, &group.record.id, &record.name),
        ])
        .await?;
        done(call)
    }

    pub(super) async fn list_groups_for_user(&self, call: &Call, input: ListGroupsForUserRequest) -> Answer {
        let user = self.named_user(call, &input.user_name).await?;
        let mut groups = Vec::new();
        for id in &user.record.groups {
            groups.extend(self.groups.load(&self.account, id).await?.map(|group| wire_group(&group.record)));
        }
        groups.sort_by(|a, b| a.group_name.cmp(&b.group_name));
        let (groups, marker) = page(&groups, |group| &group.group_name, input.marker.as_deref(), input.max_items);
        respond(&ListGroupsForUserResponse { groups, is_truncated: Some(marker.is_some()), marker }, call)
    }
}
