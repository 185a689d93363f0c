//! Session tokens. A session is kept nowhere: the token carries what it says under the server's seal, and key id and
//! secret follow from it. Losing the server's key ends every session; deleting a role ends its sessions' permissions.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;
use towpath_store::{Documents, DocumentsExt as _, Expect, Key};

use super::principal::{Federated, Principal, RoleSession, UserCaller, UserSession};
use super::{AccessKey, IdentityError, LookupError};
use crate::ambient::Ambient;

/// First byte of a token; another layout gets another one.
const FORMAT: u8 = 1;
const SEAL_BYTES: usize = 32;
/// AWS promises no length; its own SDKs and proxies take at least this much.
pub(super) const TOKEN_CHARS_MAX: usize = 8_192;
const KEY_ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The server's key and what is derived from it.
pub(super) struct Seal {
    key: Secret,
}

#[derive(Serialize, Deserialize)]
struct SealRecord {
    key: Secret,
}

/// What a token carries, with short names because it travels with every request.
#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "n")]
    nonce: String,
    #[serde(rename = "a")]
    account: String,
    /// The role's name and id; a user's for [`Claims::user`].
    #[serde(rename = "r")]
    role_name: String,
    #[serde(rename = "R")]
    role_arn: String,
    #[serde(rename = "i")]
    role_id: String,
    #[serde(rename = "s")]
    session_name: String,
    /// The session of a user or of root itself (`k`), or of a federated user (`f`), whose name is the session's.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    user: Option<UserForm>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    session_policy: Option<String>,
    #[serde(rename = "P", default, skip_serializing_if = "Vec::is_empty")]
    policy_arns: Vec<String>,
    #[serde(rename = "t")]
    issued: Timestamp,
    #[serde(rename = "e")]
    expires: Timestamp,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    source_identity: Option<String>,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    transitive_tags: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum UserForm {
    #[serde(rename = "k")]
    Itself,
    #[serde(rename = "f")]
    Federated,
}

/// A new session's credentials.
pub(super) struct Issued {
    pub key: AccessKey,
    pub token: Secret,
}

/// Reads the server's key, or makes it.
pub(super) async fn load_seal(documents: &dyn Documents, ambient: &Ambient) -> Result<Seal, IdentityError> {
    let store = |attempted| move |source| IdentityError::Store { attempted, source };
    let key = Key::new("identity", "server", "session-key");
    let read = || documents.get_json::<SealRecord>("identity", "server", "session-key");
    if let Some(record) = read().await.map_err(store("read the session key"))? {
        return Ok(Seal { key: record.value.key });
    }
    let fresh = Secret::new(hex::encode(ambient.bytes::<SEAL_BYTES>()));
    match documents.put_json(key, &SealRecord { key: fresh.clone() }, Expect::Absent).await {
        Ok(_) => Ok(Seal { key: fresh }),
        Err(error) if error.is_conflict() => {
            let record = read().await.map_err(store("read the session key"))?;
            Ok(Seal { key: record.map_or(fresh, |record| record.value.key) })
        }
        Err(source) => Err(store("keep the session key")(source)),
    }
}

impl Seal {
    /// The access key of an internal service.
    pub fn service_key(&self, service: &str) -> AccessKey {
        self.derive("AKIA", &[b"service", service.as_bytes()])
    }

    /// Credentials for the session of a role.
    pub fn issue(&self, account: &str, session: &RoleSession, ambient: &Ambient) -> Issued {
        self.seal(&Claims {
            nonce: nonce(ambient),
            account: account.to_owned(),
            role_name: session.role_name.clone(),
            role_arn: session.role_arn.clone(),
            role_id: session.role_id.clone(),
            session_name: session.session_name.clone(),
            user: None,
            session_policy: session.session_policy.clone(),
            policy_arns: session.policy_arns.clone(),
            issued: session.issued,
            expires: session.expires,
            source_identity: session.source_identity.clone(),
            tags: session.tags.clone(),
            transitive_tags: session.transitive_tags.clone(),
        })
    }

    /// Credentials that a user asked for itself or for a federated user. `name` and `id` are empty for the root user.
    pub fn issue_to_user(
        &self,
        account: &str,
        (arn, name, id): (&str, &str, &str),
        session: &UserSession,
        ambient: &Ambient,
    ) -> Issued {
        let federated = session.federated.clone();
        let form = if federated.is_some() { UserForm::Federated } else { UserForm::Itself };
        let federated = federated.unwrap_or_default();
        self.seal(&Claims {
            nonce: nonce(ambient),
            account: account.to_owned(),
            role_name: name.to_owned(),
            role_arn: arn.to_owned(),
            role_id: id.to_owned(),
            session_name: federated.name,
            user: Some(form),
            session_policy: federated.policy,
            policy_arns: federated.policy_arns,
            issued: session.issued,
            expires: session.expires,
            source_identity: None,
            tags: federated.tags,
            transitive_tags: Vec::new(),
        })
    }

    fn seal(&self, claims: &Claims) -> Issued {
        let mut body = vec![FORMAT];
        // Serializing strings and numbers into a vector cannot fail; an empty body would be refused by `open`.
        body.extend(serde_json::to_vec(claims).unwrap_or_default());
        let seal = self.mac(&[b"token", &body]);
        body.extend(seal);
        Issued { key: self.derive("ASIA", &[b"session", &body]), token: Secret::new(STANDARD.encode(&body)) }
    }

    /// The session of a token, if the token is ours, belongs to the access key and has not ended.
    pub fn open(&self, token: &str, access_key: &str, now: Timestamp) -> Result<(Principal, Secret), LookupError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(LookupError::InvalidToken);
        }
        let body = STANDARD.decode(token).map_err(|_| LookupError::InvalidToken)?;
        let signed = body.len().checked_sub(SEAL_BYTES).ok_or(LookupError::InvalidToken)?;
        let (content, seal) = body.split_at(signed);
        let mut mac = self.keyed();
        feed(&mut mac, &[b"token", content]);
        mac.verify_slice(seal).map_err(|_| LookupError::InvalidToken)?;
        let Some((&FORMAT, json)) = content.split_first() else { return Err(LookupError::InvalidToken) };
        let claims: Claims = serde_json::from_slice(json).map_err(|_| LookupError::InvalidToken)?;
        let key = self.derive("ASIA", &[b"session", &body]);
        if !super::same(&key.id, access_key) {
            return Err(LookupError::InvalidToken);
        }
        if now >= claims.expires {
            return Err(LookupError::Expired);
        }
        Ok((principal(claims), key.secret))
    }

    /// A key id of 20 and a secret of 40 characters that only the holder of the server's key can compute.
    fn derive(&self, prefix: &str, parts: &[&[u8]]) -> AccessKey {
        let id = self.mac(&[&[b"key-id".as_slice()], parts].concat());
        let id: String = id.iter().take(16).map(|byte| char::from(KEY_ID_ALPHABET[usize::from(byte % 32)])).collect();
        let secret = self.mac(&[&[b"secret".as_slice()], parts].concat());
        AccessKey { id: format!("{prefix}{id}"), secret: Secret::new(STANDARD.encode(&secret[..30])) }
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; SEAL_BYTES] {
        let mut mac = self.keyed();
        feed(&mut mac, parts);
        mac.finalize().into_bytes().into()
    }

    fn keyed(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.key.expose().as_bytes()).expect("HMAC takes a key of any length")
    }
}

fn nonce(ambient: &Ambient) -> String {
    URL_SAFE_NO_PAD.encode(ambient.bytes::<16>())
}

/// Who holds a token that was opened.
fn principal(claims: Claims) -> Principal {
    let account = claims.account;
    let Some(form) = claims.user else {
        let session = RoleSession {
            role_name: claims.role_name,
            role_arn: claims.role_arn,
            role_id: claims.role_id,
            session_name: claims.session_name,
            session_policy: claims.session_policy,
            policy_arns: claims.policy_arns,
            issued: claims.issued,
            expires: claims.expires,
            source_identity: claims.source_identity,
            tags: claims.tags,
            transitive_tags: claims.transitive_tags,
        };
        return Principal::session(&account, session);
    };
    if claims.role_id.is_empty() && form == UserForm::Itself {
        return Principal::root(&account);
    }
    let federated = (form == UserForm::Federated).then_some(Federated {
        name: claims.session_name,
        policy: claims.session_policy,
        policy_arns: claims.policy_arns,
        tags: claims.tags,
    });
    let session = UserSession { issued: claims.issued, expires: claims.expires, federated };
    let caller = UserCaller { name: claims.role_name, id: claims.role_id, access_key: None, session: Some(session) };
    Principal::user(&account, claims.role_arn, caller)
}

/// Each part goes in with its length, so that no two lists of parts read the same.
fn feed(mac: &mut Hmac<Sha256>, parts: &[&[u8]]) {
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
}
