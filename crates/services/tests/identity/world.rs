//! Identity behind a real door, and the official clients that knock.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use tempfile::TempDir;
use towpath_services::identity::policy::Context;
use towpath_services::identity::{CODEPIPELINE_PRINCIPAL, Identity, Refusal};
use towpath_store::{Documents, MemoryStore};

use crate::loopback::{self, ACCOUNT, REGION, TestClock};

pub const TRUST_PIPELINE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"codepipeline.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

pub struct World {
    pub directory: TempDir,
    pub documents: Arc<dyn Documents>,
    pub clock: Arc<TestClock>,
    pub identity: Arc<Identity>,
    endpoint: String,
}

impl World {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let documents: Arc<dyn Documents> = Arc::new(MemoryStore::new());
        let clock = Arc::new(TestClock::default());
        let identity = Identity::open(Arc::clone(&documents), loopback::ambient(&clock), ACCOUNT, directory.path())
            .await
            .expect("identity opens");
        let identity = Arc::new(identity);
        let served = Arc::clone(&identity);
        let handler: loopback::Handler = Arc::new(move |service, call| {
            let identity = Arc::clone(&served);
            Box::pin(async move {
                match service {
                    "iam" => identity.handle_iam(&call).await,
                    _ => identity.handle_sts(&call).await,
                }
            })
        });
        let endpoint = loopback::serve(Arc::clone(&identity), loopback::ambient(&clock), handler).await;
        Self { directory, documents, clock, identity, endpoint }
    }

    pub fn root(&self) -> Credentials {
        loopback::credentials(self.identity.root_key(), None)
    }

    pub fn service(&self) -> Credentials {
        loopback::credentials(self.identity.service_key(CODEPIPELINE_PRINCIPAL).expect("a service key"), None)
    }

    pub fn iam(&self, credentials: Credentials) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
            .region(aws_sdk_iam::config::Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_iam::Client::from_conf(config)
    }

    pub fn sts(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }

    pub async fn create_role(&self, name: &str, trust: &str) {
        let request = self.iam(self.root()).create_role().role_name(name).assume_role_policy_document(trust);
        request.send().await.expect("a role");
    }

    pub async fn allow(&self, role: &str, statements: &str) {
        let document = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let request =
            self.iam(self.root()).put_role_policy().role_name(role).policy_name("p").policy_document(document);
        request.send().await.expect("a policy");
    }

    /// What identity says to one question: "allowed", or the sentence of the refusal.
    pub async fn asked(&self, credentials: &Credentials, action: &str, resource: &str, context: Context) -> String {
        let signer =
            self.identity.lookup(credentials.access_key_id(), credentials.session_token()).await.expect("a holder");
        match self.identity.authorize(&signer.principal, action, resource, context).await {
            Ok(()) => "allowed".to_owned(),
            Err(Refusal::Denied(denied)) => denied.to_string(),
            Err(Refusal::Unavailable(error)) => panic!("{error}"),
        }
    }

    /// A new user with a key.
    pub async fn user(&self, name: &str) -> Credentials {
        let iam = self.iam(self.root());
        iam.create_user().user_name(name).send().await.expect("a user");
        self.key_of(name).await
    }

    pub async fn key_of(&self, user: &str) -> Credentials {
        let made = self.iam(self.root()).create_access_key().user_name(user).send().await.expect("a key");
        let key = made.access_key.expect("a key");
        Credentials::new(key.access_key_id, key.secret_access_key, None, None, "test")
    }

    /// Gives a user an inline policy of these statements.
    pub async fn let_user(&self, user: &str, statements: &str) {
        let document = policy(statements);
        let iam = self.iam(self.root());
        iam.put_user_policy()
            .user_name(user)
            .policy_name("p")
            .policy_document(document)
            .send()
            .await
            .expect("a policy");
    }

    /// A managed policy; answers its ARN.
    pub async fn managed(&self, name: &str, statements: &str) -> String {
        let request = self.iam(self.root()).create_policy().policy_name(name).policy_document(policy(statements));
        request.send().await.expect("a policy").policy.expect("a policy").arn.expect("an ARN")
    }

    pub async fn session(&self, role: &str, name: &str, policy: Option<&str>) -> Credentials {
        let sts = self.sts(self.service());
        let output =
            sts.assume_role().role_arn(role_arn(role)).role_session_name(name).set_policy(policy.map(str::to_owned));
        from_wire(output.send().await.expect("a session").credentials.expect("credentials"))
    }
}

pub fn from_wire(credentials: aws_sdk_sts::types::Credentials) -> Credentials {
    let token = Some(credentials.session_token);
    Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "test")
}

pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// Code and message of a refused call.
pub fn refused<T: std::fmt::Debug, E, R>(result: Result<T, SdkError<E, R>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    let error = result.expect_err("the call must be refused");
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

pub fn pair(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

pub fn policy(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

pub fn allow(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
}

pub fn deny(action: &str, resource: &str) -> String {
    allow(action, resource).replace("Allow", "Deny")
}

pub fn user_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{name}")
}
