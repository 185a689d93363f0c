//! Links for people: AWS's console where a thing is on AWS, Towpath's own where it is embedded.

use crate::realm::Realm;

/// The S3 console, in the form CodePipeline gives for S3 sources.
pub fn s3_bucket(realm: &Realm, region: &str, bucket: &str) -> String {
    match realm.console_url() {
        Some(base) => format!("{}/s3/{bucket}", base.trim_end_matches('/')),
        None => format!("https://console.aws.amazon.com/s3/home?region={region}#"),
    }
}

pub fn codebuild_build(realm: &Realm, region: &str, build_id: &str) -> String {
    match realm.console_url() {
        Some(base) => format!("{}/codebuild/builds/{build_id}", base.trim_end_matches('/')),
        None => format!("https://console.aws.amazon.com/codebuild/home?region={region}#/builds/{build_id}/view/new"),
    }
}

/// A batch of builds, in the console's newer form: the older one has no place for batches.
pub fn codebuild_batch(realm: &Realm, region: &str, arn: &str, batch_id: &str) -> String {
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

pub fn codecommit_commit(realm: &Realm, region: &str, repository: &str, commit: &str) -> String {
    match realm.console_url() {
        Some(base) => format!("{}/codecommit/repositories/{repository}/commits/{commit}", base.trim_end_matches('/')),
        None => format!(
            "https://console.aws.amazon.com/codecommit/home?region={region}#/repository/{repository}/commit/{commit}"
        ),
    }
}
