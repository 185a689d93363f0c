//! Links for people: AWS's console where a thing is on AWS, Towpath's own where it is embedded.

use percent_encoding::utf8_percent_encode;

use crate::http::PATH;
use crate::realm::Realm;

/// The S3 console, in the form CodePipeline gives for S3 sources.
pub fn s3_bucket(realm: &Realm, region: &str, bucket: &str) -> String {
    let region = realm.region(region);
    match realm.console_url() {
        Some(base) => format!("{}/s3/{bucket}", base.trim_end_matches('/')),
        None => format!("https://console.aws.amazon.com/s3/home?region={region}#"),
    }
}

/// What lies below a prefix of a bucket.
pub fn s3_objects(realm: &Realm, region: &str, bucket: &str, prefix: &str) -> String {
    let folder = utf8_percent_encode(prefix, PATH).to_string() + if prefix.is_empty() { "" } else { "/" };
    match realm.console_url() {
        Some(base) => format!("{}/s3/{bucket}/{folder}", base.trim_end_matches('/')),
        None if folder.is_empty() => format!("https://console.aws.amazon.com/s3/buckets/{bucket}?region={region}"),
        None => format!("https://console.aws.amazon.com/s3/buckets/{bucket}?region={region}&prefix={folder}"),
    }
}

/// A commit behind a connection, in the form CodePipeline gives: a page that leads on to the git host.
pub fn connection_commit(realm: &Realm, region: &str, connection: &str, repository: &str, commit: &str) -> String {
    let base = match realm.console_url() {
        Some(base) => format!("{}/connections", base.trim_end_matches('/')),
        None => format!("https://{region}.console.aws.amazon.com/codesuite/settings/connections"),
    };
    format!(
        "{base}/redirect?connectionArn={connection}&referenceType=COMMIT&FullRepositoryId={repository}&Commit={commit}"
    )
}

pub fn codebuild_build(realm: &Realm, region: &str, build_id: &str) -> String {
    let region = realm.region(region);
    match realm.console_url() {
        Some(base) => format!("{}/codebuild/builds/{build_id}", base.trim_end_matches('/')),
        None => format!("https://console.aws.amazon.com/codebuild/home?region={region}#/builds/{build_id}/view/new"),
    }
}

/// A batch of builds, in the console's newer form: the older one has no place for batches.
pub fn codebuild_batch(realm: &Realm, region: &str, arn: &str, batch_id: &str) -> String {
    let region = realm.region(region);
    if let Some(base) = realm.console_url() {
        return format!("{}/codebuild/batches/{batch_id}", base.trim_end_matches('/'));
    }
    let account = arn.split(':').nth(4).unwrap_or_default();
    let project = batch_id.split(':').next().unwrap_or_default();
    format!(
        "https://{region}.console.aws.amazon.com/codesuite/codebuild/{account}/projects/{project}/batch/{}",
        batch_id.replace(':', "%3A")
    )
}

/// A private repository. Towpath has no registry, so it is always on AWS.
pub fn ecr_repository(region: &str, registry: &str, repository: &str) -> String {
    format!("https://{region}.console.aws.amazon.com/ecr/repositories/private/{registry}/{repository}?region={region}")
}

/// The page of a pipeline; `realm` is where the pipeline is.
pub fn pipeline(realm: &Realm, region: &str, pipeline: &str) -> String {
    match realm.console_url() {
        Some(base) => format!("{}/pipelines/{pipeline}/view?region={region}", base.trim_end_matches('/')),
        None => {
            format!("https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline}/view?region={region}")
        }
    }
}

/// The log group of a function, as CodePipeline links to it.
pub fn lambda_logs(realm: &Realm, region: &str, function: &str) -> String {
    let region = realm.region(region);
    let function = function_name(function);
    match realm.console_url() {
        Some(base) => format!("{}/lambda/functions/{function}", base.trim_end_matches('/')),
        None => format!(
            "https://console.aws.amazon.com/cloudwatch/home?region={region}#logStream:group=/aws/lambda/{function}"
        ),
    }
}

/// The bare name in a name, an ARN or the rest of one, each with or without a version or an alias.
pub fn function_name(reference: &str) -> &str {
    let rest = match reference.split_once("function:") {
        Some((before, rest)) if before.is_empty() || before.ends_with(':') => rest,
        _ => reference,
    };
    rest.split(':').next().unwrap_or(rest)
}

/// An execution of a state machine. Towpath has no Step Functions, so it is always somebody else's page.
pub fn state_machine_execution(region: &str, execution_arn: &str) -> String {
    // Express executions have a page of their own.
    let page = if execution_arn.contains(":express:") { "express-executions" } else { "executions" };
    format!("https://console.aws.amazon.com/states/home?region={region}#/{page}/details/{execution_arn}")
}

pub fn pipeline_execution(realm: &Realm, region: &str, pipeline: &str, execution: &str) -> String {
    let region = realm.region(region);
    match realm.console_url() {
        Some(base) => format!("{}/pipelines/{pipeline}/executions/{execution}", base.trim_end_matches('/')),
        None => format!(
            "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline}/executions/{execution}/timeline?region={region}"
        ),
    }
}

pub fn codecommit_commit(realm: &Realm, region: &str, repository: &str, commit: &str) -> String {
    let region = realm.region(region);
    match realm.console_url() {
        Some(base) => format!("{}/codecommit/repositories/{repository}/commits/{commit}", base.trim_end_matches('/')),
        None => format!(
            "https://console.aws.amazon.com/codecommit/home?region={region}#/repository/{repository}/commit/{commit}"
        ),
    }
}

/// A published version of a function. An ARN in place of its name is cut to the name.
pub fn lambda_version(realm: &Realm, region: &str, function: &str, version: &str) -> String {
    let region = realm.region(region);
    let name = function.rsplit_once(":function:").map_or(function, |(_, name)| name);
    match realm.console_url() {
        Some(base) => format!("{}/lambda/functions/{name}", base.trim_end_matches('/')),
        None => {
            format!("https://console.aws.amazon.com/lambda/home?region={region}#/functions/{name}/versions/{version}")
        }
    }
}

/// An environment of an AppConfig application, always on AWS.
pub fn appconfig_environment(region: &str, application: &str, environment: &str) -> String {
    format!(
        "https://console.aws.amazon.com/systems-manager/appconfig/applications/{application}/environments/{environment}?region={region}"
    )
}

/// The dashboard of an Elastic Beanstalk environment, always on AWS.
pub fn beanstalk_environment(region: &str, application: &str, environment_id: &str) -> String {
    format!(
        "https://console.aws.amazon.com/elasticbeanstalk/home?region={region}#/environment/dashboard?applicationName={application}&environmentId={environment_id}"
    )
}

/// A Service Catalog product, always on AWS.
pub fn service_catalog_product(region: &str, product: &str) -> String {
    format!("https://console.aws.amazon.com/servicecatalog/home?region={region}#admin-products/{product}")
}

/// A deployment of OpsWorks Stacks, where AWS's console had it.
pub fn opsworks_deployment(region: &str, stack: &str, deployment: &str) -> String {
    format!("https://console.aws.amazon.com/opsworks/home?region={region}#/stack/{stack}/deployments/{deployment}")
}

/// A run of Device Farm, which is in one Region alone.
pub fn device_farm_run(arn: &str) -> String {
    let (project, run) = arn.rsplit(':').next().and_then(|ids| ids.split_once('/')).unwrap_or(("", ""));
    format!(
        "https://us-west-2.console.aws.amazon.com/devicefarm/home?region=us-west-2#/mobile/projects/{project}/runs/{run}"
    )
}

/// The deployments of an ECS service. Towpath has no ECS, so the page is always AWS's.
pub fn ecs_deployments(region: &str, cluster: &str, service: &str) -> String {
    let cluster = cluster.rsplit('/').next().unwrap_or(cluster);
    let service = service.rsplit('/').next().unwrap_or(service);
    format!(
        "https://console.aws.amazon.com/ecs/home?region={region}#/clusters/{cluster}/services/{service}/deployments"
    )
}

/// A deployment of CodeDeploy, in the form CodePipeline gives. Towpath has no CodeDeploy, so the page is always AWS's.
pub fn codedeploy_deployment(region: &str, deployment: &str) -> String {
    format!("https://console.aws.amazon.com/codedeploy/home?region={region}#/deployments/{deployment}")
}

/// A command of Systems Manager. Towpath has none, so the page is always AWS's.
pub fn ssm_command(region: &str, command: &str) -> String {
    format!("https://console.aws.amazon.com/systems-manager/run-command/{command}?region={region}")
}

/// A stream of CloudWatch Logs on AWS, whose console escapes what an address escapes once more.
pub fn log_stream(region: &str, group: &str, stream: &str) -> String {
    let escaped = |text: &str| text.replace('/', "$252F");
    format!(
        "https://console.aws.amazon.com/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{}/log-events/{}",
        escaped(group),
        escaped(stream)
    )
}

/// A page of the CloudFormation console, such as `stack/detail?stackId=ARN`. Towpath has no CloudFormation, so it is always
/// somebody else's page.
pub fn cloudformation(region: &str, page: &str) -> String {
    format!("https://console.aws.amazon.com/cloudformation/home?region={region}#/{page}")
}

#[cfg(test)]
mod tests {
    use super::function_name;

    #[test]
    fn functions_have_many_names() {
        for reference in [
            "ferry",
            "ferry:live",
            "123456789012:function:ferry",
            "function:ferry:1",
            "arn:aws:lambda:eu-west-1:123456789012:function:ferry",
            "arn:aws:lambda:eu-west-1:123456789012:function:ferry:live",
        ] {
            assert_eq!(function_name(reference), "ferry", "{reference}");
        }
        assert_eq!(function_name("my-function"), "my-function");
    }
}
