//! Spelling of CodeBuild's ARNs, ids and document keys, in one place.

use towpath_model::ids::Scope;
use towpath_store::Key;

pub(super) const PROJECTS: &str = "codebuild.project";
pub(super) const BUILDS: &str = "codebuild.build";
/// Builds by time of start, over all projects.
pub(super) const BUILDS_BY_TIME: &str = "codebuild.build-by-time";
/// Builds of a project by number.
pub(super) const BUILDS_BY_NUMBER: &str = "codebuild.build-by-number";
/// Builds with work left to do, of all scopes, and whose they are: what a start resumes.
pub(super) const OPEN_BUILDS: &str = "codebuild.open";
/// Processes that share the open builds, and until when each is known to live.
pub(super) const NODES: &str = "codebuild.node";
pub(super) const TOKENS: &str = "codebuild.token";
pub(super) const REPORT_GROUPS: &str = "codebuild.report-group";
pub(super) const REPORTS: &str = "codebuild.report";
/// Reports by time of creation, over all groups.
pub(super) const REPORTS_BY_TIME: &str = "codebuild.report-by-time";

/// Open builds of all scopes are in one partition.
pub(super) const OPEN_PARTITION: &str = "all";

pub(super) fn partition(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

fn arn(scope: &Scope, resource: &str) -> String {
    format!("arn:aws:codebuild:{}:{}:{resource}", scope.region, scope.account)
}

pub(super) fn project_arn(scope: &Scope, name: &str) -> String {
    arn(scope, &format!("project/{name}"))
}

pub(super) fn build_arn(scope: &Scope, id: &str) -> String {
    arn(scope, &format!("build/{id}"))
}

pub(super) fn report_group_arn(scope: &Scope, name: &str) -> String {
    arn(scope, &format!("report-group/{name}"))
}

pub(super) fn report_arn(scope: &Scope, group: &str, uuid: &str) -> String {
    arn(scope, &format!("report/{group}:{uuid}"))
}

/// The name behind `prefix` where the text is an ARN of this scope; the text itself where it is none.
pub(super) fn strip_arn<'a>(scope: &Scope, text: &'a str, prefix: &str) -> Option<&'a str> {
    if !text.starts_with("arn:") {
        return Some(text);
    }
    text.strip_prefix(&arn(scope, prefix)).filter(|rest| !rest.is_empty())
}

pub(super) fn project_key(scope: &Scope, name: &str) -> Key {
    Key::new(PROJECTS, partition(scope), name)
}

pub(super) fn build_key(scope: &Scope, id: &str) -> Key {
    Key::new(BUILDS, partition(scope), id)
}

pub(super) fn by_time_key(scope: &Scope, started_ms: i64, id: &str) -> Key {
    Key::new(BUILDS_BY_TIME, partition(scope), format!("{started_ms:015}/{id}"))
}

pub(super) fn by_number_key(scope: &Scope, project: &str, number: i64, id: &str) -> Key {
    Key::new(BUILDS_BY_NUMBER, partition(scope), format!("{project}/{number:012}/{id}"))
}

pub(super) fn open_key(scope: &Scope, id: &str) -> Key {
    Key::new(OPEN_BUILDS, OPEN_PARTITION, format!("{}/{id}", partition(scope)))
}

pub(super) fn node_key(node: &str) -> Key {
    Key::new(NODES, OPEN_PARTITION, node)
}

/// Scope and id of a key that [`open_key`] made.
pub(super) fn parse_open_key(key: &str) -> Option<(Scope, String)> {
    let mut parts = key.splitn(3, '/');
    let (account, region, id) = (parts.next()?, parts.next()?, parts.next()?);
    Some((Scope::new(account, region), id.to_owned()))
}

/// Project and uuid of a build id, `NAME:uuid`.
pub(super) fn split_build_id(id: &str) -> Option<(&str, &str)> {
    id.rsplit_once(':').filter(|(project, uuid)| !project.is_empty() && !uuid.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_of_their_arns() {
        let scope = Scope::new("123456789012", "us-east-1");
        assert_eq!(strip_arn(&scope, "demo", "project/"), Some("demo"));
        assert_eq!(strip_arn(&scope, &project_arn(&scope, "demo"), "project/"), Some("demo"));
        assert_eq!(strip_arn(&scope, "arn:aws:codebuild:eu-west-1:123456789012:project/demo", "project/"), None);
        assert_eq!(split_build_id("demo:1-2"), Some(("demo", "1-2")));
        assert_eq!(split_build_id("demo"), None);
        let key = open_key(&scope, "demo:1");
        assert_eq!(parse_open_key(&key.key), Some((scope, "demo:1".to_owned())));
    }
}
