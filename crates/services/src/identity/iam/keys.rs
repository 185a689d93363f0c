//! CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey, GetAccessKeyLastUsed. A secret is told once.

use std::sync::Arc;

use towpath_model::secret::Secret;
use towpath_store::{Expect, Versioned};
use towpath_wire::WireError;
use towpath_wire::iam::{
    AccessKey, AccessKeyLastUsed, AccessKeyMetadata, CreateAccessKeyRequest, CreateAccessKeyResponse,
    DeleteAccessKeyRequest, GetAccessKeyLastUsedRequest, GetAccessKeyLastUsedResponse, ListAccessKeysRequest,
    ListAccessKeysResponse, UpdateAccessKeyRequest,
};
use towpath_wire::types::Sensitive;

use super::super::holder::{Holder as _, UserRecord};
use super::super::keys::{self, AccessKeyRecord};
use super::super::limits::KEYS_PER_USER_MAX;
use super::super::policy::Context;
use super::super::root::{KEY_ID_ALPHABET, SECRET_ALPHABET};
use super::super::shelf::{Loaded, put};
use super::super::{Identity, PrincipalKind};
use super::users::wire_time;
use super::{Answer, Failure, done, page, quota, refused, respond};
use crate::call::Call;

const ACTIVE: &str = "Active";
const INACTIVE: &str = "Inactive";
/// What AWS says of a key that was never used.
const NEVER: &str = "N/A";

impl Identity {
    pub(super) async fn create_access_key(&self, call: &Call, input: CreateAccessKeyRequest) -> Answer {
        let name = Self::or_caller(call, input.user_name)?;
        let user = self.named_user(call, &name).await?;
        if user.record.keys.len() >= KEYS_PER_USER_MAX {
            return Err(quota("AccessKeysPerUser", KEYS_PER_USER_MAX).into());
        }
        let key = AccessKeyRecord {
            id: format!("AKIA{}", self.ambient.text(KEY_ID_ALPHABET, 16)),
            secret: Secret::new(self.ambient.text(SECRET_ALPHABET, 40)),
            account: self.account.clone(),
            user: user.record.name.clone(),
            user_id: user.record.id.clone(),
            active: true,
            created: self.ambient.now(),
        };
        let mut record = user.record.clone();
        record.keys.push(key.id.clone());
        self.commit(vec![put(&record, Expect::Version(user.version))?, keys::put(&key, Expect::Absent)?]).await?;
        let access_key = AccessKey {
            access_key_id: key.id,
            create_date: Some(wire_time(key.created)),
            secret_access_key: Sensitive::new(key.secret.expose()),
            status: ACTIVE.to_owned(),
            user_name: record.name,
        };
        respond(&CreateAccessKeyResponse { access_key }, call)
    }

    pub(super) async fn list_access_keys(&self, call: &Call, input: ListAccessKeysRequest) -> Answer {
        if input.user_name.is_none() && matches!(call.principal.kind, PrincipalKind::Root) {
            let own = AccessKeyMetadata {
                access_key_id: Some(self.root.id.clone()),
                create_date: None,
                status: Some(ACTIVE.to_owned()),
                user_name: None,
            };
            let output =
                ListAccessKeysResponse { access_key_metadata: vec![own], is_truncated: Some(false), marker: None };
            return respond(&output, call);
        }
        let name = Self::or_caller(call, input.user_name)?;
        let user = self.named_user(call, &name).await?;
        let mut ids = user.record.keys.clone();
        ids.sort();
        let (ids, marker) = page(&ids, String::as_str, input.marker.as_deref(), input.max_items);
        let mut access_key_metadata = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(key) = keys::find(self.documents.as_ref(), &id).await? else { continue };
            access_key_metadata.push(AccessKeyMetadata {
                access_key_id: Some(id),
                create_date: Some(wire_time(key.value.created)),
                status: Some(if key.value.active { ACTIVE } else { INACTIVE }.to_owned()),
                user_name: Some(user.record.name.clone()),
            });
        }
        respond(&ListAccessKeysResponse { access_key_metadata, is_truncated: Some(marker.is_some()), marker }, call)
    }

    pub(super) async fn update_access_key(&self, call: &Call, input: UpdateAccessKeyRequest) -> Answer {
        let (_, key) = self.key_of(call, input.user_name, &input.access_key_id).await?;
        let record = AccessKeyRecord { active: input.status == ACTIVE, ..key.value };
        self.commit(vec![keys::put(&record, Expect::Version(key.version))?]).await?;
        done(call)
    }

    pub(super) async fn delete_access_key(&self, call: &Call, input: DeleteAccessKeyRequest) -> Answer {
        let (user, key) = self.key_of(call, input.user_name, &input.access_key_id).await?;
        let mut record = user.record.clone();
        record.keys.retain(|id| *id != key.value.id);
        let mut writes = vec![put(&record, Expect::Version(user.version))?];
        writes.extend(keys::remove(&key.value.id));
        self.commit(writes).await?;
        done(call)
    }

    pub(super) async fn get_access_key_last_used(&self, call: &Call, input: GetAccessKeyLastUsedRequest) -> Answer {
        let id = input.access_key_id;
        let key = keys::find(self.documents.as_ref(), &id).await?;
        let user = match &key {
            Some(key) => self.users.find(&key.value.account, &key.value.user).await?,
            None => None,
        };
        let arn = user.as_ref().map_or_else(|| "*".to_owned(), |user| user.record.arn());
        self.may(call, &arn, Context::new()).await?;
        if key.is_none() {
            return Err(no_such_key(&id).into());
        }
        let used = keys::last_use(self.documents.as_ref(), &id).await?;
        let output = GetAccessKeyLastUsedResponse {
            access_key_last_used: Some(match used {
                Some(used) => AccessKeyLastUsed {
                    last_used_date: Some(wire_time(used.at)),
                    region: used.region,
                    service_name: used.service,
                },
                None => {
                    AccessKeyLastUsed { last_used_date: None, region: NEVER.to_owned(), service_name: NEVER.to_owned() }
                }
            }),
            user_name: user.map(|user| user.record.name.clone()),
        };
        respond(&output, call)
    }

    /// A user and one of its keys. Without a name it is the caller, or whose key it is when root asks.
    async fn key_of(
        &self,
        call: &Call,
        name: Option<String>,
        id: &str,
    ) -> Result<(Arc<Loaded<UserRecord>>, Versioned<AccessKeyRecord>), Failure> {
        let key = keys::find(self.documents.as_ref(), id).await?;
        let name = match (name, &call.principal.kind, &key) {
            (None, PrincipalKind::Root, Some(key)) => key.value.user.clone(),
            (name, ..) => Self::or_caller(call, name)?,
        };
        let user = self.named_user(call, &name).await?;
        let key = key.filter(|key| key.value.user_id == user.record.id).ok_or_else(|| no_such_key(id))?;
        Ok((user, key))
    }
}

fn no_such_key(id: &str) -> WireError {
    refused("NoSuchEntity", format!("The Access Key with id {id} cannot be found."))
}
