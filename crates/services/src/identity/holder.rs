//! What users, groups and roles have in common: a name under a path, policies of their own, attached ones, a boundary.
//! Says how they are kept; knows neither the wire nor who may change them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use towpath_model::time::Timestamp;

use super::Identity;
use super::shelf::Shelf;

/// The permissions that a holder has by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Inline policies by name, byte for byte as they were put.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// ARNs of managed policies, in the order they were attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<String>,
    /// The managed policy that bounds what the others allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Group,
    Role,
    User,
}

impl Kind {
    /// As it stands in ARNs and in the middle of a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Role => "role",
            Self::User => "user",
        }
    }

    /// As it stands at the beginning of a sentence and in the names of quotas.
    pub fn title(self) -> &'static str {
        match self {
            Self::Group => "Group",
            Self::Role => "Role",
            Self::User => "User",
        }
    }

    /// Characters of all inline policies together.
    pub fn inline_chars_max(self) -> usize {
        match self {
            Self::Group => 5_120,
            Self::Role => 10_240,
            Self::User => 2_048,
        }
    }

    pub fn count_max(self) -> usize {
        match self {
            Self::Group => super::limits::GROUPS_MAX,
            Self::Role => super::limits::ROLES_MAX,
            Self::User => super::limits::USERS_MAX,
        }
    }
}

/// A user, a group or a role.
pub trait Holder: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    const KIND: Kind;
    const COLLECTION: &'static str;
    /// Where names lead to keys; `None`: the name in lower case is the key.
    const NAMES: Option<&'static str> = None;

    fn account(&self) -> &str;
    fn name(&self) -> &str;
    fn path(&self) -> &str;
    fn id(&self) -> &str;
    fn grants(&self) -> &Grants;
    fn grants_mut(&mut self) -> &mut Grants;
    fn shelf(identity: &Identity) -> &Shelf<Self>;

    fn key(&self) -> String {
        name_key(self.name())
    }

    fn tags(&self) -> &[(String, String)] {
        &[]
    }

    fn trust(&self) -> Option<&str> {
        None
    }

    fn arn(&self) -> String {
        format!("arn:aws:iam::{}:{}{}{}", self.account(), Self::KIND.word(), self.path(), self.name())
    }
}

/// A holder that can be tagged.
pub trait Tagged: Holder {
    fn tags_mut(&mut self) -> &mut Vec<(String, String)>;
}

/// Names are unique without regard to case.
pub fn name_key(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserRecord {
    pub name: String,
    pub path: String,
    pub id: String,
    pub account: String,
    pub created: Timestamp,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    /// Ids of the groups it is a member of.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Ids of its access keys.
    #[serde(default)]
    pub keys: Vec<String>,
    #[serde(flatten)]
    pub grants: Grants,
}

impl Holder for UserRecord {
    const KIND: Kind = Kind::User;
    const COLLECTION: &'static str = "iam.user";

    fn account(&self) -> &str {
        &self.account
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn grants(&self) -> &Grants {
        &self.grants
    }

    fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }

    fn shelf(identity: &Identity) -> &Shelf<Self> {
        &identity.users
    }

    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }
}

impl Tagged for UserRecord {
    fn tags_mut(&mut self) -> &mut Vec<(String, String)> {
        &mut self.tags
    }
}

/// A group is kept under its id, so that its members need not know when it is renamed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupRecord {
    pub name: String,
    pub path: String,
    pub id: String,
    pub account: String,
    pub created: Timestamp,
    #[serde(flatten)]
    pub grants: Grants,
}

impl Holder for GroupRecord {
    const KIND: Kind = Kind::Group;
    const COLLECTION: &'static str = "iam.group";
    const NAMES: Option<&'static str> = Some("iam.group-name");

    fn account(&self) -> &str {
        &self.account
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn grants(&self) -> &Grants {
        &self.grants
    }

    fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }

    fn shelf(identity: &Identity) -> &Shelf<Self> {
        &identity.groups
    }

    fn key(&self) -> String {
        self.id.clone()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleRecord {
    pub name: String,
    pub path: String,
    pub id: String,
    pub account: String,
    pub created: Timestamp,
    pub trust: String,
    #[serde(default)]
    pub description: Option<String>,
    pub max_session_seconds: i32,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(flatten)]
    pub grants: Grants,
}

impl Holder for RoleRecord {
    const KIND: Kind = Kind::Role;
    const COLLECTION: &'static str = "iam.role";

    fn account(&self) -> &str {
        &self.account
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn grants(&self) -> &Grants {
        &self.grants
    }

    fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }

    fn shelf(identity: &Identity) -> &Shelf<Self> {
        &identity.roles
    }

    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    fn trust(&self) -> Option<&str> {
        Some(&self.trust)
    }
}

impl Tagged for RoleRecord {
    fn tags_mut(&mut self) -> &mut Vec<(String, String)> {
        &mut self.tags
    }
}

/// Account and name of `arn:PARTITION:iam::ACCOUNT:KIND/PATH/NAME`.
pub fn split_arn(arn: &str, kind: Kind) -> Option<(&str, &str)> {
    let (account, resource) = split_iam_arn(arn)?;
    let name = resource.strip_prefix(kind.word())?.strip_prefix('/')?.rsplit('/').next()?;
    (is_account(account) && !name.is_empty()).then_some((account, name))
}

/// Account and resource of an IAM ARN. The account of AWS's own policies is `aws`.
pub fn split_iam_arn(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(_), Some("iam"), Some("")) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    Some((parts.next()?, parts.next()?))
}

pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
