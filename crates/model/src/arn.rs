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
