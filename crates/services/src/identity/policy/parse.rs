//! Reads policy documents and refuses what IAM refuses, in its words where they are known.

use std::collections::BTreeSet;

use super::condition::{Condition, Operator};
use super::json::Json;
use super::pattern::split_arn;
use super::{Covers, Effect, Policy, PrincipalPattern, Statement};

/// Bytes of a document parameter, and statements in one document, that are looked at.
const DOCUMENT_BYTES_MAX: usize = 131_072;
const STATEMENTS_MAX: usize = 1_000;

/// Where a document is used decides which elements it must and must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A role's inline policy, or a session policy.
    Identity,
    /// A role's trust policy.
    Trust,
    /// A policy on a bucket, key or topic.
    Resource,
}

/// Why a document is not a policy. The text is the message of `MalformedPolicyDocument`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedPolicy(pub String);

const SYNTAX: &str = "Syntax errors in policy.";

fn malformed<T>(message: impl Into<String>) -> Result<T, MalformedPolicy> {
    Err(MalformedPolicy(message.into()))
}

pub fn parse(text: &str, kind: Kind) -> Result<Policy, MalformedPolicy> {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FF}');
    if text.len() > DOCUMENT_BYTES_MAX || !text.chars().all(legal) {
        return malformed(SYNTAX);
    }
    let Ok(Json::Object(members)) = serde_json::from_str::<Json>(text) else {
        return malformed("This policy contains invalid Json");
    };
    let (mut variables, mut statements) = (false, None);
    for (key, value) in members {
        match (key.as_str(), value) {
            ("Version", Json::Text(version)) => match version.as_str() {
                "2012-10-17" => variables = true,
                "2008-10-17" => variables = false,
                _ => return malformed(SYNTAX),
            },
            ("Id", Json::Text(_)) if kind != Kind::Identity => {}
            ("Statement", Json::Object(statement)) => statements = Some(vec![Json::Object(statement)]),
            ("Statement", Json::List(list)) if list.len() <= STATEMENTS_MAX => statements = Some(list),
            _ => return malformed(SYNTAX),
        }
    }
    let Some(raw) = statements.filter(|list| !list.is_empty()) else { return malformed(SYNTAX) };
    let mut sids = BTreeSet::new();
    let statements =
        raw.into_iter().map(|statement| parse_statement(statement, kind, &mut sids)).collect::<Result<Vec<_>, _>>()?;
    Ok(Policy { variables, statements })
}

fn parse_statement(raw: Json, kind: Kind, sids: &mut BTreeSet<String>) -> Result<Statement, MalformedPolicy> {
    let Json::Object(members) = raw else { return malformed(SYNTAX) };
    let (mut effect, mut principals, mut actions, mut resources) = (None, None, None, None);
    let mut conditions = Vec::new();
    for (key, value) in members {
        match key.as_str() {
            "Sid" => {
                let Json::Text(sid) = value else { return malformed(SYNTAX) };
                if kind != Kind::Resource && !sid.chars().all(|c| c.is_ascii_alphanumeric()) {
                    return malformed(SYNTAX);
                }
                if !sid.is_empty() && !sids.insert(sid) {
                    return malformed("Statement IDs (SID) in a single policy must be unique.");
                }
            }
            "Effect" => {
                effect = match value {
                    Json::Text(text) if text == "Allow" => Some(Effect::Allow),
                    Json::Text(text) if text == "Deny" => Some(Effect::Deny),
                    _ => return malformed(SYNTAX),
                }
            }
            "Principal" | "NotPrincipal" => {
                if kind == Kind::Identity {
                    return malformed("Has prohibited field Principal");
                }
                if principals.is_some() || (kind == Kind::Trust && key == "NotPrincipal") {
                    return malformed(SYNTAX);
                }
                principals = Some((covers(&key), parse_principals(value)?));
            }
            "Action" | "NotAction" => {
                if actions.is_some() {
                    return malformed(SYNTAX);
                }
                actions = Some((covers(&key), texts(value)?));
            }
            "Resource" | "NotResource" => {
                if kind == Kind::Trust {
                    return malformed("Has prohibited field Resource");
                }
                if resources.is_some() {
                    return malformed(SYNTAX);
                }
                resources = Some((covers(&key), texts(value)?));
            }
            "Condition" => conditions = parse_conditions(value)?,
            _ => return malformed(SYNTAX),
        }
    }

    let Some(effect) = effect else { return malformed(SYNTAX) };
    let Some(actions) = actions.filter(|(_, list)| !list.is_empty()) else {
        return malformed("Policy statement must contain actions.");
    };
    for action in &actions.1 {
        check_action(action, kind)?;
    }
    match kind {
        Kind::Trust | Kind::Resource if principals.is_none() => return malformed("Missing required field Principal"),
        Kind::Identity | Kind::Resource if resources.as_ref().is_none_or(|(_, list)| list.is_empty()) => {
            return malformed("Policy statement must contain resources.");
        }
        _ => {}
    }
    for resource in resources.iter().flat_map(|(_, list)| list) {
        check_resource(resource)?;
    }
    Ok(Statement { effect, principals, actions, resources, conditions })
}

fn covers(key: &str) -> Covers {
    if key.starts_with("Not") { Covers::Unlisted } else { Covers::Listed }
}

/// One text or a list of texts.
fn texts(value: Json) -> Result<Vec<String>, MalformedPolicy> {
    let list = match value {
        Json::List(list) => list,
        one => vec![one],
    };
    list.into_iter()
        .map(|item| match item {
            Json::Text(text) => Ok(text),
            _ => malformed(SYNTAX),
        })
        .collect()
}

fn parse_principals(value: Json) -> Result<Vec<PrincipalPattern>, MalformedPolicy> {
    let entries = match value {
        Json::Text(text) if text == "*" => return Ok(vec![PrincipalPattern::Everyone]),
        Json::Text(text) => return malformed(format!("Invalid principal in policy: \"STAR\":\"{text}\"")),
        Json::Object(entries) => entries,
        _ => return malformed(SYNTAX),
    };
    let mut principals = Vec::new();
    for (kind, value) in entries {
        for text in texts(value)? {
            let invalid = || malformed(format!("Invalid principal in policy: \"{kind}\":\"{text}\""));
            principals.push(match kind.as_str() {
                "AWS" if text == "*" => PrincipalPattern::Everyone,
                "AWS" if is_aws_principal(&text) => PrincipalPattern::Aws(text),
                "Service" if text.contains('.') && !text.contains(['*', ' ', ':']) => PrincipalPattern::Service(text),
                "AWS" | "Service" => return invalid(),
                "Federated" | "CanonicalUser" => PrincipalPattern::Other,
                _ => return malformed(SYNTAX),
            });
        }
    }
    if principals.is_empty() {
        return malformed(
            "Invalid principal in policy: com.amazon.balsa.error.InvalidPolicyException: The passed in policy has a \
             statement with no principals!",
        );
    }
    Ok(principals)
}

/// An account id, or an ARN of the account root, a user, a role or a session, without wildcards.
fn is_aws_principal(text: &str) -> bool {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_account(text) {
        return true;
    }
    // A unique id takes the place of the ARN of a deleted role or user.
    if text.len() >= 16 && (text.starts_with("AROA") || text.starts_with("AIDA")) {
        return text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    }
    let Some(["arn", _, service, "", account, resource]) = split_arn(text) else { return false };
    if !is_account(account) || resource.contains('*') {
        return false;
    }
    match service {
        "iam" => resource == "root" || resource.starts_with("user/") || resource.starts_with("role/"),
        "sts" => resource.starts_with("assumed-role/") || resource.starts_with("federated-user/"),
        _ => false,
    }
}

fn check_action(action: &str, kind: Kind) -> Result<(), MalformedPolicy> {
    if action == "*" && kind != Kind::Trust {
        return Ok(());
    }
    if kind == Kind::Trust {
        return match action.split_once(':') {
            Some((vendor, _)) if vendor.eq_ignore_ascii_case("sts") => Ok(()),
            _ => malformed("AssumeRole policy may only specify STS AssumeRole actions."),
        };
    }
    let Some((vendor, name)) = action.split_once(':') else {
        return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
    };
    if name.contains(':') {
        return malformed("Actions/Condition can contain only one colon.");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if vendor.is_empty() || !vendor.chars().all(legal) {
        return malformed(format!("Vendor {vendor} is not valid"));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '?' | '-' | '_' | '/' | '.');
    if name.is_empty() || !name.chars().all(legal) {
        return malformed(SYNTAX);
    }
    Ok(())
}

fn check_resource(resource: &str) -> Result<(), MalformedPolicy> {
    if resource == "*" {
        return Ok(());
    }
    let Some([scheme, partition, service, region, ..]) = split_arn(resource).filter(|parts| parts[0] == "arn") else {
        return malformed(format!("Resource {resource} must be in ARN format or \"*\"."));
    };
    debug_assert_eq!(scheme, "arn");
    let partition_ok = partition == "aws" || partition.starts_with("aws-") || partition.contains(['*', '?', '$']);
    if !partition_ok {
        return malformed(format!("Partition \"{partition}\" is not valid for resource \"{resource}\"."));
    }
    if service.is_empty() || service.contains(['*', '?']) {
        return malformed("Resource vendor must be fully qualified and cannot contain regexes.");
    }
    if service == "iam" && !region.is_empty() && region != "*" {
        return malformed(format!("IAM resource {resource} cannot contain region information."));
    }
    Ok(())
}

fn parse_conditions(value: Json) -> Result<Vec<Condition>, MalformedPolicy> {
    let Json::Object(operators) = value else { return malformed(SYNTAX) };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let Some(operator) = Operator::parse(&name) else { return malformed(SYNTAX) };
        let Json::Object(keys) = keys else { return malformed(SYNTAX) };
        for (key, values) in keys {
            if !key.contains(':') {
                return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
            }
            let list = match values {
                Json::List(list) => list,
                one => vec![one],
            };
            let values = list
                .into_iter()
                .map(|item| match item {
                    Json::Text(text) | Json::Number(text) => Ok(text),
                    Json::Bool(value) => Ok(value.to_string()),
                    Json::Null | Json::List(_) | Json::Object(_) => malformed(SYNTAX),
                })
                .collect::<Result<Vec<_>, _>>()?;
            conditions.push(Condition { operator, key, values });
        }
    }
    Ok(conditions)
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Request, evaluate};
    use super::*;

    fn problem(text: &str, kind: Kind) -> String {
        parse(text, kind).expect_err(text).0
    }

    #[test]
    fn good_documents_of_each_kind() {
        let identity = r#"{"Version":"2012-10-17","Statement":{"Sid":"A1","Effect":"Allow","Action":"s3:*",
            "Resource":["arn:aws:s3:::b","arn:aws:s3:::b/${aws:username}"],"Condition":{"Bool":{"aws:SecureTransport":true}}}}"#;
        assert!(parse(identity, Kind::Identity).is_ok());
        let trust = r#"{"Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],
            "Principal":{"Service":["codepipeline.amazonaws.com","codebuild.amazonaws.com"],"AWS":"123456789012"}}]}"#;
        assert!(parse(trust, Kind::Trust).is_ok());
        let resource = r#"{"Id":"x","Statement":[{"Sid":"with spaces","Effect":"Deny","Principal":"*","Action":"s3:PutObject",
            "Resource":"arn:aws:s3:::b/*"}]}"#;
        assert!(parse(resource, Kind::Resource).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_in_iams_words() {
        let identity = |statement: &str| {
            problem(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#), Kind::Identity)
        };
        assert_eq!(problem("", Kind::Identity), "This policy contains invalid Json");
        assert_eq!(
            problem(r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#, Kind::Identity),
            "This policy contains invalid Json"
        );
        assert_eq!(problem("{}", Kind::Identity), SYNTAX);
        assert_eq!(problem(r#"{"Version":"2020-01-01","Statement":[]}"#, Kind::Identity), SYNTAX);
        assert_eq!(identity(r#"{"Effect":"allow","Action":"s3:*","Resource":"*"}"#), SYNTAX);
        assert_eq!(identity(r#"{"Effect":"Allow","Resource":"*"}"#), "Policy statement must contain actions.");
        assert_eq!(identity(r#"{"Effect":"Allow","Action":"s3:*"}"#), "Policy statement must contain resources.");
        assert_eq!(
            identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}"#),
            "Has prohibited field Principal"
        );
        assert_eq!(
            identity(r#"{"Effect":"Allow","Action":"GetObject","Resource":"*"}"#),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        );
        assert_eq!(
            identity(r#"{"Effect":"Allow","Action":"s3:a:b","Resource":"*"}"#),
            "Actions/Condition can contain only one colon."
        );
        assert_eq!(
            identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"my-bucket"}"#),
            "Resource my-bucket must be in ARN format or \"*\"."
        );
        assert_eq!(
            identity(
                r#"{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}"#
            ),
            "Statement IDs (SID) in a single policy must be unique."
        );
        assert_eq!(
            identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"a:b":"c"}}}"#),
            SYNTAX
        );

        let trust =
            |statement: &str| problem(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#), Kind::Trust);
        assert_eq!(trust(r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#), "Missing required field Principal");
        assert_eq!(
            trust(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}"#),
            "Has prohibited field Resource"
        );
        assert_eq!(
            trust(r#"{"Effect":"Allow","Action":"s3:GetObject","Principal":"*"}"#),
            "AssumeRole policy may only specify STS AssumeRole actions."
        );
        assert_eq!(
            trust(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::1:role/x"}}"#),
            "Invalid principal in policy: \"AWS\":\"arn:aws:iam::1:role/x\""
        );
        assert_eq!(
            trust(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":[]}}"#),
            "Invalid principal in policy: com.amazon.balsa.error.InvalidPolicyException: The passed in policy has a \
             statement with no principals!"
        );
    }

    proptest::proptest! {
        /// Whatever comes in is a policy or an error; what is a policy can be asked.
        #[test]
        fn nothing_makes_the_parser_panic(text in ".{0,300}", action in ".{0,40}", resource in ".{0,60}", key in ".{0,20}") {
            let json = |text: &str| serde_json::Value::from(text).to_string();
            let shaped = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{},"Resource":{},"Condition":{{"StringLike":{{{}:{}}}}}}}]}}"#,
                json(&action), json(&resource), json(&key), json(&text),
            );
            for document in [text.as_str(), shaped.as_str()] {
                for kind in [Kind::Identity, Kind::Trust, Kind::Resource] {
                    if let Ok(policy) = parse(document, kind) {
                        let context = Context::new().with(&key, text.as_str());
                        let request = Request { action: &action, resource: &resource, context: &context };
                        let _ = evaluate([&policy], request);
                    }
                }
            }
        }
    }
}
