//! ARNs of CodePipeline resources. One place that knows their spelling.

use crate::ids::Scope;

/// The partition a Region belongs to.
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

pub fn pipeline(scope: &Scope, name: &str) -> String {
    format!("arn:{}:codepipeline:{}:{}:{name}", partition(&scope.region), scope.region, scope.account)
}

pub fn stage(scope: &Scope, pipeline_name: &str, stage: &str) -> String {
    format!("{}/{stage}", pipeline(scope, pipeline_name))
}

pub fn action(scope: &Scope, pipeline_name: &str, stage_name: &str, action: &str) -> String {
    format!("{}/{action}", stage(scope, pipeline_name, stage_name))
}

pub fn action_type(scope: &Scope, owner: &str, category: &str, provider: &str, version: &str) -> String {
    pipeline(scope, &format!("actiontype:{owner}/{category}/{provider}/{version}"))
}

pub fn webhook(scope: &Scope, name: &str) -> String {
    pipeline(scope, &format!("webhook:{name}"))
}

/// What an ARN of CodePipeline names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Pipeline(String),
    Stage(String, String),
    Action(String, String, String),
    Webhook(String),
    ActionType { owner: String, category: String, provider: String, version: String },
}

impl Resource {
    /// The spelling that Towpath stores and shows.
    pub fn arn(&self, scope: &Scope) -> String {
        match self {
            Self::Pipeline(name) => pipeline(scope, name),
            Self::Stage(name, stage_name) => stage(scope, name, stage_name),
            Self::Action(name, stage_name, action_name) => action(scope, name, stage_name, action_name),
            Self::Webhook(name) => webhook(scope, name),
            Self::ActionType { owner, category, provider, version } => {
                action_type(scope, owner, category, provider, version)
            }
        }
    }
}

/// An ARN of CodePipeline, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub partition: String,
    pub region: String,
    pub account: String,
    pub resource: Resource,
}

impl Parsed {
    /// Whether the resource would be in this account and Region.
    pub fn is_of(&self, scope: &Scope) -> bool {
        self.region == scope.region && self.account == scope.account && self.partition == partition(&scope.region)
    }
}

/// Reads every form that AWS writes: names hold neither `:` nor `/`, and action types are spelled `actiontype` as well
/// as `actionType`.
pub fn parse(text: &str) -> Option<Parsed> {
    let mut parts = text.splitn(6, ':');
    let ("arn", partition, "codepipeline", region, account, rest) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    let resource = match rest.split_once(':') {
        None => {
            let mut names = rest.split('/').map(str::to_owned);
            match (names.next()?, names.next(), names.next(), names.next()) {
                (name, None, ..) => Resource::Pipeline(name),
                (name, Some(stage), None, _) => Resource::Stage(name, stage),
                (name, Some(stage), Some(action), None) => Resource::Action(name, stage, action),
                _ => return None,
            }
        }
        Some(("webhook", name)) if !name.contains([':', '/']) => Resource::Webhook(name.to_owned()),
        Some(("actiontype" | "actionType", id)) if !id.contains(':') => {
            let mut parts = id.split('/').map(str::to_owned);
            let (owner, category, provider, version) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            Resource::ActionType { owner, category, provider, version }
        }
        Some(_) => return None,
    };
    let whole = match &resource {
        Resource::Pipeline(a) | Resource::Webhook(a) => !a.is_empty(),
        Resource::Stage(a, b) => ![a, b].into_iter().any(String::is_empty),
        Resource::Action(a, b, c) => ![a, b, c].into_iter().any(String::is_empty),
        Resource::ActionType { owner: a, category: b, provider: c, version: d } => {
            ![a, b, c, d].into_iter().any(String::is_empty)
        }
    };
    whole.then(|| Parsed {
        partition: partition.to_owned(),
        region: region.to_owned(),
        account: account.to_owned(),
        resource,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for region in ["eu-west-1", "cn-north-1", "us-gov-west-1"] {
            let scope = Scope::new("111122223333", region);
            for resource in [
                Resource::Pipeline("release.v2@x-1_".to_owned()),
                Resource::Stage("p".to_owned(), "Build".to_owned()),
                Resource::Action("p".to_owned(), "Build".to_owned(), "Make".to_owned()),
                Resource::Webhook("hook".to_owned()),
                Resource::ActionType {
                    owner: "Custom".to_owned(),
                    category: "Build".to_owned(),
                    provider: "Farm".to_owned(),
                    version: "1".to_owned(),
                },
            ] {
                let parsed = parse(&resource.arn(&scope)).expect("our own spelling");
                assert!(parsed.is_of(&scope), "{parsed:?}");
                assert_eq!(parsed.resource, resource);
                assert!(!parsed.is_of(&Scope::new("111122223333", "eu-north-1")));
                assert!(!parsed.is_of(&Scope::new("444455556666", region)));
            }
        }
        let spelled = parse("arn:aws:codepipeline:eu-west-1:111122223333:actionType:Custom/Build/Farm/1");
        assert_eq!(
            spelled.map(|p| p.resource.arn(&Scope::new("111122223333", "eu-west-1"))).as_deref(),
            Some("arn:aws:codepipeline:eu-west-1:111122223333:actiontype:Custom/Build/Farm/1")
        );
    }

    #[test]
    fn what_names_nothing_is_no_arn() {
        for rest in [
            "",
            "/",
            "p/",
            "p//a",
            "p/s/a/b",
            "webhook:",
            "webhook:a/b",
            "webhook:a:b",
            "actiontype:Custom/Build/Farm",
            "actiontype:Custom/Build/Farm/1/2",
            "actiontype:Custom//Farm/1",
            "pipeline:p",
        ] {
            assert_eq!(parse(&format!("arn:aws:codepipeline:eu-west-1:111122223333:{rest}")), None, "{rest}");
        }
        for text in ["", "arn:aws:codepipeline:eu-west-1", "arn:aws:codebuild:eu-west-1:111122223333:p", "p"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
