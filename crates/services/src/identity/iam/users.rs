//! CreateUser, GetUser, ListUsers, UpdateUser, DeleteUser.

use towpath_model::time::Timestamp;
use towpath_store::{Expect, StoreError, Write};
use towpath_wire::iam::{
    CreateUserRequest, CreateUserResponse, DeleteUserRequest, GetUserRequest, GetUserResponse, ListUsersRequest,
    ListUsersResponse, UpdateUserRequest, User,
};
use towpath_wire::types::Timestamp as WireTime;

use super::super::holder::{Grants, Holder as _, Kind, UserRecord, name_key};
use super::super::managed::{Usage, Use};
use super::super::policy::Context;
use super::super::shelf::{put, remove};
use super::super::{Identity, PrincipalKind, keys};
use super::{Answer, boundary, conflict, done, members, page_size, quota, request_tags, respond, taken, wire_tags};
use crate::call::Call;

impl Identity {
    pub(super) async fn create_user(&self, call: &Call, input: CreateUserRequest) -> Answer {
        let tags = super::tags::checked(input.tags.unwrap_or_default())?;
        let user = UserRecord {
            name: input.user_name,
            path: input.path.unwrap_or_else(|| "/".to_owned()),
            id: self.unique_id("AIDA"),
            account: self.account.clone(),
            created: self.ambient.now(),
            tags,
            groups: Vec::new(),
            keys: Vec::new(),
            grants: Grants { boundary: input.permissions_boundary, ..Grants::default() },
        };
        let context = Context::new().with_optional("iam:PermissionsBoundary", user.grants.boundary.clone());
        self.may(call, &user.arn(), request_tags(context, &user.tags)).await?;
        if self.users.find(&self.account, &user.name).await?.is_some() {
            return Err(taken(Kind::User, &user.name).into());
        }
        if self.users.count(&self.account).await? >= Kind::User.count_max() {
            return Err(quota("UsersPerAccount", Kind::User.count_max()).into());
        }
        let mut writes = vec![put(&user, Expect::Absent)?];
        if let Some(arn) = &user.grants.boundary {
            writes.extend(self.bind(&user, arn).await?);
        }
        self.commit(writes).await?;
        respond(&CreateUserResponse { user: Some(wire_user(&user, true)) }, call)
    }

    pub(super) async fn get_user(&self, call: &Call, input: GetUserRequest) -> Answer {
        if input.user_name.is_none() && matches!(call.principal.kind, PrincipalKind::Root) {
            return respond(&GetUserResponse { user: self.root_user() }, call);
        }
        let name = Self::or_caller(call, input.user_name)?;
        let user = self.named_user(call, &name).await?;
        respond(&GetUserResponse { user: wire_user(&user.record, true) }, call)
    }

    /// The root user is no user of IAM's; this much is known of it.
    fn root_user(&self) -> User {
        User {
            arn: format!("arn:aws:iam::{}:root", self.account),
            create_date: WireTime::from_millis(0),
            path: "/".to_owned(),
            user_id: self.account.clone(),
            user_name: "root".to_owned(),
            ..User::default()
        }
    }

    pub(super) async fn list_users(&self, call: &Call, input: ListUsersRequest) -> Answer {
        self.may(call, "*", Context::new()).await?;
        let prefix = input.path_prefix.as_deref().unwrap_or("/");
        let (users, marker) = self.users.page(&self.account, prefix, input.marker, page_size(input.max_items)).await?;
        let users = users.iter().map(|user| wire_user(user, false)).collect();
        respond(&ListUsersResponse { is_truncated: Some(marker.is_some()), marker, users }, call)
    }

    pub(super) async fn update_user(&self, call: &Call, input: UpdateUserRequest) -> Answer {
        let found = self.named_user(call, &input.user_name).await?;
        let mut user = found.record.clone();
        if let Some(name) = input.new_user_name {
            user.name = name;
        }
        if let Some(path) = input.new_path {
            user.path = path;
        }
        // The new place is changed as well, and must be allowed.
        if user.arn() != found.record.arn() {
            self.may(call, &user.arn(), Context::new()).await?;
        }
        let moved = user.key() != found.record.key();
        if moved && self.users.find(&self.account, &user.name).await?.is_some() {
            return Err(taken(Kind::User, &user.name).into());
        }
        let mut writes = Vec::new();
        if moved {
            writes.push(remove(&found));
            writes.push(put(&user, Expect::Absent)?);
        } else {
            writes.push(put(&user, Expect::Version(found.version))?);
        }
        for id in &user.keys {
            if let Some(key) = keys::find(self.documents.as_ref(), id).await? {
                let renamed = keys::AccessKeyRecord { user: user.name.clone(), ..key.value };
                writes.push(keys::put(&renamed, Expect::Version(key.version))?);
            }
        }
        for group in &user.groups {
            writes.push(members::remove(&self.account, group, &found.record.name));
            writes.push(members::put(&self.account, group, &user.name)?);
        }
        writes.extend(self.uses_of(&user)?);
        self.commit(writes).await?;
        done(call)
    }

    /// What managed policies know of a user, written anew.
    fn uses_of(&self, user: &UserRecord) -> Result<Vec<Write>, StoreError> {
        let attached = user.grants.attached.iter().map(|arn| (Usage::Attached, arn));
        let bounds = user.grants.boundary.iter().map(|arn| (Usage::Boundary, arn));
        attached.chain(bounds).map(|(usage, arn)| Use::of(usage, user).put(&self.account, arn)).collect()
    }

    pub(super) async fn delete_user(&self, call: &Call, input: DeleteUserRequest) -> Answer {
        let found = self.named_user(call, &input.user_name).await?;
        let user = &found.record;
        for (holds, what) in [
            (!user.grants.attached.is_empty(), "must detach all policies first."),
            (!user.grants.policies.is_empty(), "must delete policies first."),
            (!user.keys.is_empty(), "must delete access keys first."),
            (!user.groups.is_empty(), "must remove users from group first."),
        ] {
            if holds {
                return Err(conflict(&format!("Cannot delete entity, {what}")).into());
            }
        }
        let mut writes = vec![remove(&found)];
        writes.extend(self.unbind(user).await?);
        self.commit(writes).await?;
        done(call)
    }
}

/// A user as answers show it; lists leave tags and boundary out.
pub(super) fn wire_user(user: &UserRecord, whole: bool) -> User {
    User {
        arn: user.arn(),
        create_date: wire_time(user.created),
        password_last_used: None,
        path: user.path.clone(),
        permissions_boundary: boundary::shown(user.grants.boundary.as_ref().filter(|_| whole)),
        tags: (whole && !user.tags.is_empty()).then(|| wire_tags(&user.tags)),
        user_id: user.id.clone(),
        user_name: user.name.clone(),
    }
}

/// IAM's times have no fraction.
pub(super) fn wire_time(time: Timestamp) -> WireTime {
    WireTime::from_millis(time.millis() / 1_000 * 1_000)
}

/// The key of a user's name.
pub(super) fn key_of(name: &str) -> String {
    name_key(name)
}
