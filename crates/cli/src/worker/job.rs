//! A job as the API hands it out.

use std::collections::BTreeMap;
use std::fmt;

use aws_credential_types::Credentials;
use serde::Deserialize;

/// A job that was polled for and not yet acknowledged, or was.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub id: String,
    #[serde(default)]
    pub nonce: Option<String>,
    #[serde(rename = "accountId", default)]
    pub account: String,
    #[serde(default)]
    pub data: Data,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Data {
    pub action_configuration: ActionConfiguration,
    pub action_type_id: TypeId,
    pub pipeline_context: Context,
    pub input_artifacts: Vec<Artifact>,
    pub output_artifacts: Vec<Artifact>,
    pub artifact_credentials: Option<Keys>,
    pub continuation_token: Option<String>,
    pub encryption_key: Option<EncryptionKey>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ActionConfiguration {
    /// With secrets in clear.
    pub configuration: BTreeMap<String, String>,
}

impl fmt::Debug for ActionConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configuration.keys()).finish()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TypeId {
    pub category: String,
    pub owner: String,
    pub provider: String,
    pub version: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    pub pipeline_name: String,
    pub pipeline_arn: Option<String>,
    pub pipeline_execution_id: Option<String>,
    pub stage: Stage,
    pub action: Action,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stage {
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Action {
    pub name: String,
    pub action_execution_id: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Artifact {
    pub name: String,
    pub revision: Option<String>,
    pub location: Location,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Location {
    #[serde(rename = "s3Location")]
    pub s3: S3Location,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct S3Location {
    pub bucket_name: String,
    pub object_key: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct EncryptionKey {
    pub id: String,
}

/// The job's own keys, good for its artifacts for about 15 minutes.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    pub fn credentials(&self) -> Credentials {
        let Self { access_key_id, secret_access_key, session_token } = self.clone();
        Credentials::new(access_key_id, secret_access_key, Some(session_token), None, "job")
    }
}

impl Job {
    /// How the job is named to people: pipeline, stage and action.
    pub fn title(&self) -> String {
        let context = &self.data.pipeline_context;
        format!("{}/{}/{}", context.pipeline_name, context.stage.name, context.action.name)
    }

    pub fn configured(&self, key: &str) -> Option<&str> {
        self.data.action_configuration.configuration.get(key).map(String::as_str)
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    pub fn job() -> Job {
        serde_json::from_value(json!({
            "id": "7d0e2c1a-9f4b-4a0f-8b68-0d2b6b6f1c11", "nonce": "3", "accountId": "123456789012",
            "data": {
                "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "Farm", "version": "1"},
                "actionConfiguration": {"configuration": {"Project": "ferry", "api-key": "hush"}},
                "pipelineContext": {"pipelineName": "p", "stage": {"name": "Build"}, "pipelineExecutionId": "e",
                    "action": {"name": "Make", "actionExecutionId": "a"}, "pipelineArn": "arn"},
                "inputArtifacts": [{"name": "src", "revision": "r", "location": {"type": "S3",
                    "s3Location": {"bucketName": "b", "objectKey": "p/src/x"}}}],
                "outputArtifacts": [{"name": "out-1", "location": {"type": "S3",
                    "s3Location": {"bucketName": "b", "objectKey": "p/out/y"}}}],
                "artifactCredentials": {"accessKeyId": "A", "secretAccessKey": "hush", "sessionToken": "hush"}
            }
        }))
        .expect("a job")
    }

    #[test]
    fn a_job_is_read_and_shows_no_secret() {
        let job = job();
        assert_eq!(job.title(), "p/Build/Make");
        assert_eq!(job.configured("Project"), Some("ferry"));
        assert_eq!(job.data.input_artifacts[0].location.s3.object_key, "p/src/x");
        assert!(!format!("{job:?}").contains("hush"));
    }
}
