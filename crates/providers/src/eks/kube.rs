//! How `kubectl` and `helm` reach a cluster of EKS: a kubeconfig with a token, which is a presigned question to STS who is
//! asking. Cluster and token are asked and made as the action's role.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use towpath_model::time::Clock;

use crate::raw::{Signing, regional};

/// What EKS takes; the token itself is good for about a quarter of an hour.
const LIFE: Duration = Duration::from_mins(1);

/// A cluster, and who calls it.
#[derive(Clone)]
pub struct Access {
    pub cluster: String,
    pub region: String,
    pub endpoint: String,
    /// Base64 of its certificate authority's PEM.
    pub authority: String,
    pub namespace: String,
    pub credentials: Credentials,
    pub clock: Arc<dyn Clock>,
}

impl Access {
    /// `k8s-aws-v1.` and the presigned URL.
    pub fn token(&self) -> Result<String, String> {
        let signing =
            Signing { service: "sts", region: &self.region, credentials: &self.credentials, now: self.clock.now() };
        let url = format!("{}/?Action=GetCallerIdentity&Version=2011-06-15", regional("sts", &self.region));
        let url = signing.presigned(&url, ("x-k8s-aws-id", &self.cluster), LIFE)?;
        Ok(format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(url)))
    }

    /// Writes a kubeconfig with a new token, for this user alone.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.cluster,
                "cluster": {"server": self.endpoint, "certificate-authority-data": self.authority}}],
            "users": [{"name": "codepipeline", "user": {"token": self.token()?}}],
            "contexts": [{"name": "pipeline",
                "context": {"cluster": self.cluster, "user": "codepipeline", "namespace": self.namespace}}],
            "current-context": "pipeline",
        });
        let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let written = opened.and_then(|mut file| file.write_all(config.to_string().as_bytes()));
        written.map_err(|error| format!("cannot write the kubeconfig: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use towpath_model::time::Timestamp;

    use super::*;

    struct Then;

    impl Clock for Then {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_440_938_160_000)
        }
    }

    #[test]
    fn a_kubeconfig_has_a_token_that_is_a_presigned_question() {
        let access = Access {
            cluster: "harbour".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "https://harbour.example".to_owned(),
            authority: "UEVN".to_owned(),
            namespace: "ferry".to_owned(),
            credentials: Credentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "test"),
            clock: Arc::new(Then),
        };
        let token = access.token().unwrap();
        let url =
            String::from_utf8(URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap()).unwrap();
        assert!(url.starts_with("https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&"));
        assert!(url.contains("X-Amz-SignedHeaders=host%3Bx-k8s-aws-id") && url.contains("X-Amz-Expires=60"), "{url}");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        access.write(&path).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(written["clusters"][0]["cluster"]["server"], "https://harbour.example");
        assert_eq!(written["contexts"][0]["context"]["namespace"], "ferry");
        assert_eq!(written["users"][0]["user"]["token"], token);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
