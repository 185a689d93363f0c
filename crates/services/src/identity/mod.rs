//! Who a caller is and what it may do: the root user, IAM users, groups and roles, STS sessions, service principals, and
//! the evaluation of their policies. Knows no other service; whoever owns a resource asks here before it answers.

pub mod policy;

mod access;
mod assume;
mod error;
mod held;
mod holder;
mod iam;
mod keys;
mod limits;
mod managed;
mod principal;
mod root;
mod s3;
mod session;
mod shelf;
mod sts;

use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use towpath_model::ids::Scope;
use towpath_model::secret::Secret;
use towpath_store::{Documents, StoreError};

use crate::ambient::Ambient;

pub use access::{Denied, Refusal};
pub use assume::{AssumeRequest, SessionCredentials};
pub use error::{IdentityError, LookupError};
pub use principal::{Federated, Principal, PrincipalKind, RoleSession, Signer, UserCaller, UserSession};

use holder::{GroupRecord, Holder as _, RoleRecord, UserRecord, name_key};
use keys::{LastUse, Uses};
use managed::Policies;
use session::Seal;
use shelf::Shelf;

/// The service principals that Towpath's own parts act as, each with an access key that never leaves the process.
pub const INTERNAL_SERVICES: [&str; 2] = [CODEBUILD_PRINCIPAL, CODEPIPELINE_PRINCIPAL];
pub const CODEBUILD_PRINCIPAL: &str = "codebuild.amazonaws.com";
/// Nobody here signs as Lambda; it is asked for by name when a function's role is assumed.
pub const LAMBDA_PRINCIPAL: &str = "lambda.amazonaws.com";
pub const CODEPIPELINE_PRINCIPAL: &str = "codepipeline.amazonaws.com";

/// A long-term access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
}

/// The identity service of one account.
pub struct Identity {
    ambient: Ambient,
    documents: Arc<dyn Documents>,
    account: String,
    root: AccessKey,
    services: Vec<(&'static str, AccessKey)>,
    seal: Seal,
    users: Shelf<UserRecord>,
    groups: Shelf<GroupRecord>,
    roles: Shelf<RoleRecord>,
    policies: Policies,
    uses: Uses,
}

impl Identity {
    /// Opens the service on its documents. On the first start this makes the root user's key and writes it to
    /// `data_dir/credentials`; later starts never change it.
    pub async fn open(
        documents: Arc<dyn Documents>,
        ambient: Ambient,
        account: impl Into<String>,
        data_dir: &Path,
    ) -> Result<Self, IdentityError> {
        let root = root::ensure_root(data_dir, documents.as_ref(), &ambient).await?;
        let seal = session::load_seal(documents.as_ref(), &ambient).await?;
        let services = INTERNAL_SERVICES.iter().map(|service| (*service, seal.service_key(service))).collect();
        Ok(Self {
            ambient,
            account: account.into(),
            root,
            services,
            seal,
            users: Shelf::new(Arc::clone(&documents)),
            groups: Shelf::new(Arc::clone(&documents)),
            roles: Shelf::new(Arc::clone(&documents)),
            policies: Policies::new(Arc::clone(&documents)),
            uses: Uses::default(),
            documents,
        })
    }

    /// The root user's access key, for parts of this process that act as its owner (`towpath run`).
    pub fn root_key(&self) -> &AccessKey {
        &self.root
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    /// The access key of one of [`INTERNAL_SERVICES`]. It is derived from the server's own key and lives in no file.
    pub fn service_key(&self, service: &str) -> Option<&AccessKey> {
        self.services.iter().find(|(name, _)| *name == service).map(|(_, key)| key)
    }

    /// The holder of an access key and the secret that its signatures are made with.
    pub async fn lookup(&self, access_key: &str, session_token: Option<&str>) -> Result<Signer, LookupError> {
        if let Some(token) = session_token {
            let (principal, secret) = self.seal.open(token, access_key, self.ambient.now())?;
            return Ok(Signer { principal, secret });
        }
        if same(access_key, &self.root.id) {
            return Ok(Signer { principal: Principal::root(&self.account), secret: self.root.secret.clone() });
        }
        if let Some((service, key)) = self.services.iter().find(|(_, key)| same(access_key, &key.id)) {
            return Ok(Signer { principal: Principal::service(&self.account, service), secret: key.secret.clone() });
        }
        // A temporary key whose token was left out is told apart, as AWS does for S3.
        if access_key.starts_with("ASIA") {
            return Err(LookupError::InvalidToken);
        }
        self.user_of(access_key).await.map_err(|error| {
            tracing::error!(%error, "an access key cannot be looked up");
            LookupError::Unavailable
        })?
    }

    async fn user_of(&self, access_key: &str) -> Result<Result<Signer, LookupError>, StoreError> {
        let unknown = Ok(Err(LookupError::UnknownKey));
        // What cannot be a key is not looked for.
        if access_key.len() != 20 || !access_key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return unknown;
        }
        let Some(key) = keys::find(self.documents.as_ref(), access_key).await? else { return unknown };
        let key = key.value;
        if !key.active {
            return unknown;
        }
        let user = self.users.load(&key.account, &name_key(&key.user)).await?;
        let Some(user) = user.filter(|user| user.record.id == key.user_id) else { return unknown };
        let caller = UserCaller {
            name: user.record.name.clone(),
            id: key.user_id,
            access_key: Some(access_key.to_owned()),
            session: None,
        };
        Ok(Ok(Signer { principal: Principal::user(&key.account, user.record.arn(), caller), secret: key.secret }))
    }

    /// Notes that a request which `principal` had signed was verified.
    pub async fn used(&self, principal: &Principal, service: &str, region: &str) {
        let id = match &principal.kind {
            PrincipalKind::User(caller) => caller.access_key.as_deref(),
            PrincipalKind::AssumedRole(session) => Some(session.role_id.as_str()),
            PrincipalKind::Root | PrincipalKind::Service(_) => None,
        };
        if let Some(id) = id {
            let used = LastUse { at: self.ambient.now(), service: service.to_owned(), region: region.to_owned() };
            self.uses.note(self.documents.as_ref(), id, used).await;
        }
    }

    /// IAM is global: what it keeps is the account's, whatever the Region.
    fn owns(&self, scope: &Scope) -> bool {
        scope.account == self.account
    }
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
