//! Who a caller is and what it may do: the root user, IAM roles, STS sessions, service principals, and the evaluation of
//! their policies. Knows no other service; whoever owns a resource asks here before it answers.

pub mod policy;

mod access;
mod assume;
mod error;
mod iam;
mod principal;
mod role;
mod root;
mod s3;
mod session;
mod sts;

use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use towpath_model::ids::Scope;
use towpath_model::secret::Secret;
use towpath_store::Documents;

use crate::ambient::Ambient;

pub use access::{Denied, Refusal};
pub use assume::{AssumeRequest, SessionCredentials};
pub use error::{IdentityError, LookupError};
pub use principal::{Principal, PrincipalKind, RoleSession, Signer};
pub use role::{RoleName, RoleRecord};

use role::Roles;
use session::Seal;

/// The service principals that Towpath's own parts act as, each with an access key that never leaves the process.
pub const INTERNAL_SERVICES: [&str; 2] = [CODEBUILD_PRINCIPAL, CODEPIPELINE_PRINCIPAL];
pub const CODEBUILD_PRINCIPAL: &str = "codebuild.amazonaws.com";
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
    account: String,
    root: AccessKey,
    services: Vec<(&'static str, AccessKey)>,
    seal: Seal,
    roles: Roles,
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
        let roles = Roles::new(documents);
        Ok(Self { ambient, account: account.into(), root, services, seal, roles })
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
    pub fn lookup(&self, access_key: &str, session_token: Option<&str>) -> Result<Signer, LookupError> {
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
        if access_key.starts_with("ASIA") { Err(LookupError::InvalidToken) } else { Err(LookupError::UnknownKey) }
    }

    /// IAM is global: its roles are the account's, whatever the Region.
    fn owns(&self, scope: &Scope) -> bool {
        scope.account == self.account
    }
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
