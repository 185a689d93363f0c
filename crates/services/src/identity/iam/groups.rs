//! CreateGroup, GetGroup, ListGroups, UpdateGroup, DeleteGroup.

use towpath_store::{Expect, Key, StoreError, Write};
use towpath_wire::iam::{
    CreateGroupRequest, CreateGroupResponse, DeleteGroupRequest, GetGroupRequest, GetGroupResponse, Group,
    ListGroupsRequest, ListGroupsResponse, UpdateGroupRequest,
};

use super::super::Identity;
use super::super::holder::{Grants, GroupRecord, Holder as _, Kind, name_key};
use super::super::managed::{Usage, Use};
use super::super::policy::Context;
use super::super::shelf::{put, remove};
use super::users::{wire_time, wire_user};
use super::{Answer, conflict, done, page, quota, respond, taken};
use crate::call::Call;

const NAMES: &str = "iam.group-name";

/// The place of a name, which leads to the group's id.
fn name_at(account: &str, name: &str) -> Key {
    Key::new(NAMES, account, name_key(name))
}

fn put_name(group: &GroupRecord) -> Result<Write, StoreError> {
    Write::put_json(name_at(&group.account, &group.name), group.id.as_str(), Expect::Absent)
}

impl Identity {
    pub(super) async fn create_group(&self, call: &Call, input: CreateGroupRequest) -> Answer {
        let group = GroupRecord {
            name: input.group_name,
            path: input.path.unwrap_or_else(|| "/".to_owned()),
            id: self.unique_id("AGPA"),
            account: self.account.clone(),
            created: self.ambient.now(),
            grants: Grants::default(),
        };
        self.may(call, &group.arn(), Context::new()).await?;
        if self.groups.find(&self.account, &group.name).await?.is_some() {
            return Err(taken(Kind::Group, &group.name).into());
        }
        if self.groups.count(&self.account).await? >= Kind::Group.count_max() {
            return Err(quota("GroupsPerAccount", Kind::Group.count_max()).into());
        }
        self.commit(vec![put_name(&group)?, put(&group, Expect::Absent)?]).await?;
        respond(&CreateGroupResponse { group: wire_group(&group) }, call)
    }

    pub(super) async fn get_group(&self, call: &Call, input: GetGroupRequest) -> Answer {
        let group = self.named_group(call, &input.group_name).await?;
        let members = self.members(&group.record.id).await?;
        let (members, marker) = page(&members, String::as_str, input.marker.as_deref(), input.max_items);
        let mut users = Vec::with_capacity(members.len());
        for name in members {
            users.extend(self.users.find(&self.account, &name).await?.map(|user| wire_user(&user.record, false)));
        }
        let group = wire_group(&group.record);
        respond(&GetGroupResponse { group, is_truncated: Some(marker.is_some()), marker, users }, call)
    }

    pub(super) async fn list_groups(&self, call: &Call, input: ListGroupsRequest) -> Answer {
        self.may(call, "*", Context::new()).await?;
        let prefix = input.path_prefix.as_deref().unwrap_or("/");
        // There are so few that all are looked at: they are kept by id, and listed by name.
        let (groups, _) = self.groups.page(&self.account, prefix, None, Kind::Group.count_max()).await?;
        let mut groups: Vec<Group> = groups.iter().map(wire_group).collect();
        groups.sort_by(|a, b| a.group_name.cmp(&b.group_name));
        let (groups, marker) = page(&groups, |group| &group.group_name, input.marker.as_deref(), input.max_items);
        respond(&ListGroupsResponse { groups, is_truncated: Some(marker.is_some()), marker }, call)
    }

    pub(super) async fn update_group(&self, call: &Call, input: UpdateGroupRequest) -> Answer {
        let found = self.named_group(call, &input.group_name).await?;
        let mut group = found.record.clone();
        if let Some(name) = input.new_group_name {
            group.name = name;
        }
        if let Some(path) = input.new_path {
            group.path = path;
        }
        if group.arn() != found.record.arn() {
            self.may(call, &group.arn(), Context::new()).await?;
        }
        let mut writes = vec![put(&group, Expect::Version(found.version))?];
        if name_key(&group.name) != name_key(&found.record.name) {
            if self.groups.find(&self.account, &group.name).await?.is_some() {
                return Err(taken(Kind::Group, &group.name).into());
            }
            writes.push(Write::delete(name_at(&self.account, &found.record.name), Expect::Any));
            writes.push(put_name(&group)?);
        }
        for arn in &group.grants.attached {
            writes.push(Use::of(Usage::Attached, &group).put(&self.account, arn)?);
        }
        self.commit(writes).await?;
        done(call)
    }

    pub(super) async fn delete_group(&self, call: &Call, input: DeleteGroupRequest) -> Answer {
        let found = self.named_group(call, &input.group_name).await?;
        let group = &found.record;
        for (holds, what) in [
            (!group.grants.attached.is_empty(), "must detach all policies first."),
            (!group.grants.policies.is_empty(), "must delete policies first."),
            (!self.members(&group.id).await?.is_empty(), "must remove users from group first."),
        ] {
            if holds {
                return Err(conflict(&format!("Cannot delete entity, {what}")).into());
            }
        }
        self.commit(vec![remove(&found), Write::delete(name_at(&self.account, &group.name), Expect::Any)]).await?;
        done(call)
    }
}

pub(super) fn wire_group(group: &GroupRecord) -> Group {
    Group {
        arn: group.arn(),
        create_date: wire_time(group.created),
        group_id: group.id.clone(),
        group_name: group.name.clone(),
        path: group.path.clone(),
    }
}
