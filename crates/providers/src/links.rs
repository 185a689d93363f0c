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
