//! The credentials a job carries, for a job worker or a function: they read its input artifacts, write its output
//! artifacts, and do nothing else.

use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, ArtifactLocation};
use towpath_model::arn;
use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;

use crate::limits::JOB_CREDENTIALS_SECONDS;
use crate::problem::Problem;
use crate::realm::Realm;

/// Credentials for a job's artifacts and nothing else.
pub struct JobCredentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Secret,
    pub expires: Timestamp,
}

/// New ones, of the action's role where the artifacts are.
pub async fn job_credentials(artifacts: &Realm, invocation: &ActionInvocation) -> Result<JobCredentials, Problem> {
    let policy = policy(invocation);
    let (given, expires) = artifacts.narrowed_credentials(invocation, &policy, JOB_CREDENTIALS_SECONDS).await?;
    Ok(JobCredentials {
        access_key_id: given.access_key_id().to_owned(),
        secret_access_key: Secret::new(given.secret_access_key()),
        session_token: Secret::new(given.session_token().unwrap_or_default()),
        expires,
    })
}

/// The session policy of a job's credentials.
fn policy(invocation: &ActionInvocation) -> String {
    let partition = arn::partition(&invocation.region);
    let objects = |locations: &[ArtifactLocation]| -> Vec<String> {
        locations.iter().map(|l| format!("arn:{partition}:s3:::{}/{}", l.bucket, l.key)).collect()
    };
    let (inputs, outputs) = (objects(&invocation.input_artifacts), objects(&invocation.output_artifacts));
    let mut statements: Vec<Value> = Vec::new();
    if !inputs.is_empty() {
        statements.push(json!({
            "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": inputs,
        }));
    }
    if !outputs.is_empty() {
        statements.push(json!({
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": outputs,
        }));
    }
    if statements.is_empty() {
        statements.push(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
    } else {
        let key = invocation.encryption_key.as_deref().filter(|key| key.starts_with("arn:")).unwrap_or("*");
        statements.push(json!({
            "Effect": "Allow", "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"], "Resource": key,
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use towpath_model::catalogue::{ActionTypeId, Category, Owner};
    use towpath_model::ids::Scope;
    use towpath_model::time::Timestamp;

    use super::*;

    fn job(inputs: usize, outputs: usize) -> ActionInvocation {
        let artifacts = |count: usize, kind: &str| {
            let location = |n| ArtifactLocation {
                name: format!("{kind}{n}").into(),
                bucket: "b".repeat(63),
                key: format!("{}/{}/{n:07}", "p".repeat(20), "a".repeat(10)),
                region: "us-east-1".to_owned(),
                revision_id: None,
            };
            (0..count).map(location).collect::<Vec<_>>()
        };
        ActionInvocation {
            scope: Scope::new("123456789012", "us-east-1"),
            pipeline_name: "p".into(),
            pipeline_version: 1,
            execution_id: "e".into(),
            stage_name: "s".into(),
            action_name: "a".into(),
            action_execution_id: "x".into(),
            action_type: ActionTypeId::new(Category::Build, Owner::Custom, "Farm", "1"),
            condition: None,
            configuration: BTreeMap::new(),
            region: "us-east-1".to_owned(),
            pipeline_role_arn: "arn:aws:iam::123456789012:role/pipeline".to_owned(),
            role_arn: None,
            input_artifacts: artifacts(inputs, "in"),
            copies: Vec::new(),
            output_artifacts: artifacts(outputs, "out"),
            encryption_key: None,
            source_overrides: Vec::new(),
            commands: Vec::new(),
            environment_variables: Vec::new(),
            output_variables: Vec::new(),
            output_files: Vec::new(),
            started: Timestamp(0),
            deadline: Timestamp(0),
        }
    }

    #[test]
    fn the_largest_job_fits_into_a_session() {
        let policy = policy(&job(5, 5));
        assert!(policy.len() <= 2048, "STS takes 2,048 characters, this is {}", policy.len());
    }

    #[test]
    fn a_job_without_artifacts_may_nothing() {
        let policy: Value = serde_json::from_str(&policy(&job(0, 0))).expect("JSON");
        assert_eq!(policy["Statement"], json!([{"Effect": "Deny", "Action": "*", "Resource": "*"}]));
    }

    #[test]
    fn inputs_are_read_and_outputs_written() {
        let policy: Value = serde_json::from_str(&policy(&job(1, 1))).expect("JSON");
        let statements = policy["Statement"].as_array().expect("statements");
        let of = |n: usize| (statements[n]["Action"].to_string(), statements[n]["Resource"].to_string());
        assert!(of(0).0.contains("s3:GetObject") && !of(0).0.contains("Put"), "{statements:?}");
        assert!(of(1).0.contains("s3:PutObject") && !of(1).0.contains("GetObject"), "{statements:?}");
        assert_eq!(statements.len(), 3);
    }
}
