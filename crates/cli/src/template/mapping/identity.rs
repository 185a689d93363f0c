//! `AWS::IAM::Role`, `Policy` and `ManagedPolicy`.

use super::super::shape::{IAM_TAG, Object, Shape, may, needs};
use super::{Mapping, items};
use crate::document::Node;

const USERS: &str = "policies are put to roles only";

static ROLE: Object = Object {
    what: "a role",
    fields: &[
        may("RoleName", "RoleName", Shape::Text),
        may("Path", "Path", Shape::Text),
        needs("AssumeRolePolicyDocument", "AssumeRolePolicyDocument", Shape::Any),
        may("Description", "Description", Shape::Text),
        may("MaxSessionDuration", "MaxSessionDuration", Shape::Whole),
        may("PermissionsBoundary", "PermissionsBoundary", Shape::Text),
        may("Policies", "Policies", Shape::List(&Shape::Object(&INLINE))),
        may("ManagedPolicyArns", "ManagedPolicyArns", Shape::List(&Shape::Text)),
        may("Tags", "Tags", Shape::List(&Shape::Object(&IAM_TAG))),
    ],
};

static INLINE: Object = Object {
    what: "a policy",
    fields: &[needs("PolicyName", "PolicyName", Shape::Text), needs("PolicyDocument", "PolicyDocument", Shape::Any)],
};

static POLICY: Object = Object {
    what: "a policy",
    fields: &[
        needs("PolicyName", "PolicyName", Shape::Text),
        needs("PolicyDocument", "PolicyDocument", Shape::Any),
        may("Roles", "Roles", Shape::List(&Shape::Text)),
        may("Users", "", Shape::Left(USERS)),
        may("Groups", "", Shape::Left(USERS)),
    ],
};

static MANAGED: Object = Object {
    what: "a managed policy",
    fields: &[
        may("ManagedPolicyName", "PolicyName", Shape::Text),
        may("Path", "Path", Shape::Text),
        may("Description", "Description", Shape::Text),
        needs("PolicyDocument", "PolicyDocument", Shape::Any),
        may("Roles", "Roles", Shape::List(&Shape::Text)),
        may("Users", "", Shape::Left(USERS)),
        may("Groups", "", Shape::Left(USERS)),
    ],
};

impl Mapping<'_, '_> {
    pub(super) fn role(&mut self) -> Option<Node> {
        let (_, mut made) = self.properties(&ROLE)?;
        self.named(&mut made, "RoleName");
        Some(made)
    }

    pub(super) fn policy(&mut self) -> Option<Node> {
        let (_, made) = self.properties(&POLICY)?;
        let roles: Vec<&str> = made.get("Roles").map(items).unwrap_or_default().iter().filter_map(Node::text).collect();
        self.name = format!("{} of {}", self.name, roles.join(", "));
        Some(made)
    }

    pub(super) fn managed_policy(&mut self) -> Option<Node> {
        let (_, mut made) = self.properties(&MANAGED)?;
        self.named(&mut made, "PolicyName");
        Some(made)
    }
}
