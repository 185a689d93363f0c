//! The decision over a set of policies: an explicit deny wins, then an allow, else nothing was said.

use super::pattern::{action_matches, resource_matches, split_arn};
use super::{Context, Covers, Effect, Policy, PrincipalPattern, Statement};

/// What is asked. `resource` is an ARN, or `*` for an action without resource types.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub action: &'a str,
    pub resource: &'a str,
    pub context: &'a Context,
}

/// Who asks, as principal elements see it.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// `arn` is the ARN of the root user, of a user or of a session; `id` is a user's, `role` ARN and id of the role
    /// behind a session.
    Aws {
        account: &'a str,
        arn: &'a str,
        id: Option<&'a str>,
        role: Option<(&'a str, &'a str)>,
    },
    Service(&'a str),
    Anonymous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    ExplicitDeny,
    Allow,
    /// No statement applies: an implicit deny.
    Silent,
}

/// How a resource policy's allow names the caller; AWS treats the two ways differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    ExplicitDeny,
    /// The session, the user, the service or everyone is named: the grant stands alone.
    Direct,
    /// The role behind the session is named: its session policy still limits.
    Role,
    /// Only the account is named: its own identity policies decide.
    Account,
    Silent,
}

/// Evaluates policies that carry no principal.
pub fn evaluate<'p>(policies: impl IntoIterator<Item = &'p Policy>, request: Request<'_>) -> Verdict {
    let mut verdict = Verdict::Silent;
    for policy in policies {
        for statement in &policy.statements {
            if statement.applies(policy.variables, request) {
                match statement.effect {
                    Effect::Deny => return Verdict::ExplicitDeny,
                    Effect::Allow => verdict = Verdict::Allow,
                }
            }
        }
    }
    verdict
}

/// Evaluates one policy that names principals: a trust policy or the policy on a resource.
pub fn evaluate_resource_policy(policy: &Policy, caller: Caller<'_>, request: Request<'_>) -> Grant {
    let mut grant = Grant::Silent;
    for statement in &policy.statements {
        let Some((covers, principals)) = &statement.principals else { continue };
        let named = principals.iter().map(|principal| names(principal, caller)).max().unwrap_or(Named::No);
        let named = match covers {
            Covers::Listed => named,
            Covers::Unlisted if named == Named::No => Named::Directly,
            Covers::Unlisted => Named::No,
        };
        if named == Named::No || !statement.applies(policy.variables, request) {
            continue;
        }
        grant = match (statement.effect, named, grant) {
            (Effect::Deny, ..) => return Grant::ExplicitDeny,
            (Effect::Allow, Named::Directly, _) | (Effect::Allow, _, Grant::Direct) => Grant::Direct,
            (Effect::Allow, Named::ByRole, _) | (Effect::Allow, _, Grant::Role) => Grant::Role,
            (Effect::Allow, ..) => Grant::Account,
        };
    }
    grant
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    No,
    ByAccount,
    ByRole,
    Directly,
}

fn names(principal: &PrincipalPattern, caller: Caller<'_>) -> Named {
    match (principal, caller) {
        (PrincipalPattern::Everyone, _) => Named::Directly,
        (PrincipalPattern::Service(name), Caller::Service(service)) if name == service => Named::Directly,
        (PrincipalPattern::Aws(text), Caller::Aws { account, arn, id, role }) => {
            let is_account = text == account
                || split_arn(text).is_some_and(|parts| parts[2] == "iam" && parts[4] == account && parts[5] == "root");
            if (text == arn || Some(text.as_str()) == id) && !is_account {
                Named::Directly
            } else if role.is_some_and(|(arn, id)| text == arn || text == id) {
                Named::ByRole
            } else if is_account {
                Named::ByAccount
            } else {
                Named::No
            }
        }
        _ => Named::No,
    }
}

impl Statement {
    fn applies(&self, variables: bool, request: Request<'_>) -> bool {
        let variables = variables.then_some(request.context);
        let listed = |(covers, matched): (Covers, bool)| matched == (covers == Covers::Listed);
        listed((self.actions.0, self.actions.1.iter().any(|pattern| action_matches(pattern, request.action))))
            && self.resources.as_ref().is_none_or(|(covers, patterns)| {
                listed((*covers, patterns.iter().any(|pattern| resource_matches(pattern, request.resource, variables))))
            })
            && self.conditions.iter().all(|condition| condition.holds(request.context, variables))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn policy(statements: &str, kind: Kind) -> Policy {
        Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#), kind).expect("a policy")
    }

    fn verdict(statements: &str, action: &str, resource: &str) -> Verdict {
        let context = Context::new().with("aws:PrincipalAccount", "123456789012");
        evaluate([&policy(statements, Kind::Identity)], Request { action, resource, context: &context })
    }

    const ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;

    #[test]
    fn an_explicit_deny_wins_in_any_order() {
        let deny = r#"{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::b/*"}"#;
        for statements in [format!("{ALL},{deny}"), format!("{deny},{ALL}")] {
            assert_eq!(verdict(&statements, "s3:DeleteObject", "arn:aws:s3:::b/k"), Verdict::ExplicitDeny);
            assert_eq!(verdict(&statements, "s3:GetObject", "arn:aws:s3:::b/k"), Verdict::Allow);
        }
    }

    #[test]
    fn not_action_and_not_resource_cover_the_rest() {
        let statement = r#"{"Effect":"Allow","NotAction":"iam:*","NotResource":"arn:aws:s3:::secret/*"}"#;
        assert_eq!(verdict(statement, "s3:GetObject", "arn:aws:s3:::b/k"), Verdict::Allow);
        assert_eq!(verdict(statement, "s3:GetObject", "arn:aws:s3:::secret/k"), Verdict::Silent);
        assert_eq!(verdict(statement, "iam:GetRole", "arn:aws:iam::1:role/x"), Verdict::Silent);
    }

    #[test]
    fn an_action_without_resource_types_needs_a_bare_star() {
        let narrow =
            r#"{"Effect":"Allow","Action":"codepipeline:ListPipelines","Resource":"arn:aws:codepipeline:*:*:*"}"#;
        assert_eq!(verdict(narrow, "codepipeline:ListPipelines", "*"), Verdict::Silent);
        assert_eq!(verdict(ALL, "codepipeline:ListPipelines", "*"), Verdict::Allow);
    }

    #[test]
    fn variables_work_in_2012_documents_only() {
        let statement = r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b-${aws:PrincipalAccount}"}"#;
        assert_eq!(verdict(statement, "s3:ListBucket", "arn:aws:s3:::b-123456789012"), Verdict::Allow);
        let old = Policy::parse(&format!(r#"{{"Statement":[{statement}]}}"#), Kind::Identity).expect("a policy");
        let context = Context::new().with("aws:PrincipalAccount", "123456789012");
        let request = Request { action: "s3:ListBucket", resource: "arn:aws:s3:::b-123456789012", context: &context };
        assert_eq!(evaluate([&old], request), Verdict::Silent);
    }

    #[test]
    fn trust_policies_distinguish_how_the_caller_is_named() {
        let grant = |principal: &str, caller: Caller<'_>| {
            let text = format!(r#"{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{principal}}}"#);
            let request = Request {
                action: "sts:AssumeRole",
                resource: "arn:aws:iam::123456789012:role/r",
                context: &Context::new(),
            };
            evaluate_resource_policy(&policy(&text, Kind::Trust), caller, request)
        };
        let session = Caller::Aws {
            account: "123456789012",
            arn: "arn:aws:sts::123456789012:assumed-role/dev/me",
            id: None,
            role: Some(("arn:aws:iam::123456789012:role/team/dev", "AROAEXAMPLEEXAMPLE123")),
        };
        assert_eq!(grant(r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/dev/me"}"#, session), Grant::Direct);
        assert_eq!(grant(r#"{"AWS":"arn:aws:iam::123456789012:role/team/dev"}"#, session), Grant::Role);
        assert_eq!(grant(r#"{"AWS":"AROAEXAMPLEEXAMPLE123"}"#, session), Grant::Role);
        assert_eq!(grant(r#"{"AWS":"123456789012"}"#, session), Grant::Account);
        assert_eq!(grant(r#"{"AWS":["arn:aws:iam::123456789012:root"]}"#, session), Grant::Account);
        assert_eq!(grant(r#"{"AWS":"210987654321"}"#, session), Grant::Silent);
        assert_eq!(grant("\"*\"", session), Grant::Direct);
        let service = Caller::Service("codepipeline.amazonaws.com");
        assert_eq!(
            grant(r#"{"Service":["codebuild.amazonaws.com","codepipeline.amazonaws.com"]}"#, service),
            Grant::Direct
        );
        assert_eq!(grant(r#"{"Service":"codebuild.amazonaws.com"}"#, service), Grant::Silent);
        assert_eq!(grant(r#"{"AWS":"123456789012"}"#, service), Grant::Silent);
    }
}
