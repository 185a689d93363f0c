//! Everything that decides what a caller may do at this moment: identity policies, boundary, session policies; and the
//! decision over them, in AWS's order.

use std::sync::Arc;

use towpath_model::time::Timestamp;
use towpath_store::StoreError;

use super::access::Reason;
use super::holder::{GroupRecord, Holder, RoleRecord, UserRecord, name_key};
use super::policy::{Context, Grant, Kind, Policy, Request, Verdict, evaluate};
use super::shelf::Loaded;
use super::{Identity, Principal, PrincipalKind};

type Policies = Vec<Arc<Policy>>;

/// What a caller holds. A limit without a policy in it allows nothing.
#[derive(Debug, Default)]
pub(super) struct Held {
    identity: Policies,
    boundary: Option<Policies>,
    session: Option<Policies>,
    /// Tags of the user or of the role; a session's own come on top.
    tags: Vec<(String, String)>,
}

impl Held {
    /// The decision for a caller that is neither root nor a service. `grant` is what the resource's own policy says.
    pub(super) fn decide(&self, request: Request<'_>, grant: Grant) -> Result<(), Reason> {
        let within = |policies: &Option<Policies>| match policies {
            Some(policies) => evaluate(policies.iter().map(AsRef::as_ref), request),
            None => Verdict::Allow,
        };
        let identity = evaluate(self.identity.iter().map(AsRef::as_ref), request);
        let (boundary, session) = (within(&self.boundary), within(&self.session));
        if grant == Grant::ExplicitDeny {
            return Err(Reason::ResourceDeny);
        }
        for (verdict, reason) in
            [(identity, Reason::IdentityDeny), (boundary, Reason::BoundaryDeny), (session, Reason::SessionDeny)]
        {
            if verdict == Verdict::ExplicitDeny {
                return Err(reason);
            }
        }
        let limits = match (boundary, session) {
            (Verdict::Allow, Verdict::Allow) => Ok(()),
            (Verdict::Allow, _) => Err(Reason::NoSessionPolicy),
            _ => Err(Reason::NoBoundary),
        };
        match grant {
            // The user or the session itself is named: what is not said elsewhere does not count.
            Grant::Direct => Ok(()),
            Grant::Role => limits,
            _ if identity == Verdict::Allow => limits,
            _ => Err(Reason::NoIdentityPolicy),
        }
    }
}

impl Identity {
    /// The policies of a caller as they are now. Whoever was deleted holds nothing any more, nor does whoever took its
    /// name.
    pub(super) async fn held(&self, principal: &Principal) -> Result<Held, StoreError> {
        let account = principal.account.as_str();
        let mut held = Held::default();
        match &principal.kind {
            PrincipalKind::Root | PrincipalKind::Service(_) => {}
            PrincipalKind::User(caller) => {
                let user = self.users.load(account, &name_key(&caller.name)).await?;
                if let Some(user) = user.filter(|user| user.record.id == caller.id) {
                    self.add_user(&mut held, &user).await?;
                }
                if let Some(federated) = caller.session.as_ref().and_then(|session| session.federated.as_ref()) {
                    let passed = self.session_policies(account, federated.policy.as_deref(), &federated.policy_arns);
                    // Without session policies a federated user has no permissions.
                    held.session = Some(passed.await?.unwrap_or_default());
                }
            }
            PrincipalKind::AssumedRole(session) => {
                let role = self.roles.load(account, &name_key(&session.role_name)).await?;
                if let Some(role) = role.filter(|role| role.record.id == session.role_id) {
                    self.add_role(&mut held, &role).await?;
                }
                held.session =
                    self.session_policies(account, session.session_policy.as_deref(), &session.policy_arns).await?;
            }
        }
        Ok(held)
    }

    pub(super) async fn add_user(&self, held: &mut Held, user: &Loaded<UserRecord>) -> Result<(), StoreError> {
        self.add(held, user).await?;
        held.boundary = self.boundary(user).await?;
        held.tags.clone_from(&user.record.tags);
        for group in &user.record.groups {
            if let Some(group) = self.groups.load(&user.record.account, group).await? {
                self.add::<GroupRecord>(held, &group).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn add_role(&self, held: &mut Held, role: &Loaded<RoleRecord>) -> Result<(), StoreError> {
        self.add(held, role).await?;
        held.boundary = self.boundary(role).await?;
        held.tags.clone_from(&role.record.tags);
        Ok(())
    }

    async fn add<R: Holder>(&self, held: &mut Held, holder: &Loaded<R>) -> Result<(), StoreError> {
        held.identity.extend(holder.policies.iter().cloned());
        for arn in &holder.record.grants().attached {
            held.identity.extend(self.policies.effective(holder.record.account(), arn).await?);
        }
        Ok(())
    }

    async fn boundary<R: Holder>(&self, holder: &Loaded<R>) -> Result<Option<Policies>, StoreError> {
        match &holder.record.grants().boundary {
            None => Ok(None),
            Some(arn) => Ok(Some(self.policies.effective(holder.record.account(), arn).await?.into_iter().collect())),
        }
    }

    /// What was passed with a session; `None` where nothing was.
    async fn session_policies(
        &self,
        account: &str,
        text: Option<&str>,
        arns: &[String],
    ) -> Result<Option<Policies>, StoreError> {
        if text.is_none() && arns.is_empty() {
            return Ok(None);
        }
        // It was parsed when the session began; one that does not parse any more allows nothing.
        let own = text.and_then(|text| Policy::parse(text, Kind::Identity).ok()).map(Arc::new);
        let mut policies: Policies = own.into_iter().collect();
        for arn in arns {
            policies.extend(self.policies.effective(account, arn).await?);
        }
        Ok(Some(policies))
    }
}

impl Held {
    /// The condition keys of the caller and the moment, its tags among them.
    pub(super) fn context(&self, principal: &Principal, now: Timestamp) -> Context {
        let mut context = Context::new();
        for (key, value) in &self.tags {
            context.set(&format!("aws:PrincipalTag/{key}"), value.as_str());
        }
        context.merged(principal.context(now))
    }
}
