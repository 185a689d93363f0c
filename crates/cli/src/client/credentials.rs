//! Credentials of a profile: keys, the output of a program, or a role assumed with the keys of another profile. Kept until
//! shortly before they end. Single sign-on, web identities and the roles of containers and instances are the AWS CLI's: it
//! is run to export what it gets there.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_runtime::env_config::section::EnvConfigSections as Profiles;
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;
use towpath_model::time::Timestamp;

use super::failure;
use crate::host::ApiError;
use crate::limits;

/// Credentials are fetched again this long before they end.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// What a profile has whose credentials the AWS CLI gets.
const OF_AWS_CLI: [&str; 5] =
    ["sso_session", "sso_start_url", "login_session", "web_identity_token_file", "credential_source"];

/// Where credentials come from.
#[derive(Debug, Clone)]
pub enum Origin {
    Fixed(Credentials),
    /// The `credential_process` of a profile.
    Process(String),
    Role(Box<Role>),
    /// What the AWS CLI signs in with under this profile's name.
    AwsCli(String),
    /// Nowhere; says why.
    Nowhere(String),
}

#[derive(Debug, Clone)]
pub struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    pub session: String,
    pub from: Origin,
}

impl Origin {
    pub fn of_profile(profiles: &Profiles, name: &str) -> Self {
        Self::of(profiles, name, limits::PROFILES_CHAINED)
    }

    fn of(profiles: &Profiles, name: &str, deep: usize) -> Self {
        let Some(profile) = profiles.get_profile(name) else {
            return Self::Nowhere(match name {
                "default" => "the environment has none, and AWS's files have no profile `default`".to_owned(),
                name => format!("AWS's files have no profile `{name}`"),
            });
        };
        if deep == 0 {
            return Self::Nowhere(format!("the profiles behind `{name}` name each other in a circle"));
        }
        let text = |key: &str| profile.get(key).filter(|value| !value.is_empty()).map(str::to_owned);
        let keys = || {
            let (id, secret) = (text("aws_access_key_id")?, text("aws_secret_access_key")?);
            Some(Self::Fixed(Credentials::new(id, secret, text("aws_session_token"), None, "a profile")))
        };
        if let Some(arn) = text("role_arn") {
            let from = match text("source_profile") {
                // A profile may assume a role with its own keys.
                Some(source) if source == name => keys(),
                Some(source) => Some(Self::of(profiles, &source, deep - 1)),
                None => None,
            };
            return match from {
                Some(from) => Self::Role(Box::new(Role {
                    arn,
                    external_id: text("external_id"),
                    session: text("role_session_name").unwrap_or_else(|| "towpath".to_owned()),
                    from,
                })),
                None => Self::AwsCli(name.to_owned()),
            };
        }
        if let Some(keys) = keys() {
            return keys;
        }
        match text("credential_process") {
            Some(command) => Self::Process(command),
            None if OF_AWS_CLI.iter().any(|key| text(key).is_some()) => Self::AwsCli(name.to_owned()),
            None => Self::Nowhere(format!(
                "the profile `{name}` has neither keys, nor a role_arn, nor a credential_process, nor single sign-on"
            )),
        }
    }
}

/// Credentials, kept.
#[derive(Debug, Clone)]
pub struct Keys {
    origin: Origin,
    kept: Arc<Mutex<Option<Credentials>>>,
}

impl Keys {
    pub fn new(origin: Origin) -> Self {
        Self { origin, kept: Arc::default() }
    }

    pub async fn get(&self, now: Timestamp, sts: &dyn Sts) -> Result<Credentials, ApiError> {
        let mut kept = self.kept.lock().await;
        let soon = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap_or_default()) + EXPIRY_MARGIN;
        if let Some(credentials) = &*kept
            && credentials.expiry().is_none_or(|ends| ends > soon)
        {
            return Ok(credentials.clone());
        }
        // From the innermost outwards: the keys, then each role.
        let mut roles = Vec::new();
        let mut origin = &self.origin;
        while let Origin::Role(role) = origin {
            roles.push(&**role);
            origin = &role.from;
        }
        let mut credentials = match origin {
            Origin::Fixed(credentials) => credentials.clone(),
            Origin::Process(command) => {
                let mut shell = tokio::process::Command::new("sh");
                shell.args(["-c", command]);
                let told = |why: String| none(&format!("the profile's credential_process {why}"));
                of_process(shell, "credential_process").await.map_err(told)?
            }
            Origin::AwsCli(profile) => {
                let mut aws = tokio::process::Command::new("aws");
                aws.args(["configure", "export-credentials", "--format", "process", "--profile", profile]);
                of_process(aws, "the AWS CLI").await.map_err(|why| {
                    none(&format!(
                        "the profile `{profile}` signs in with the AWS CLI (version 2), and `aws configure \
                         export-credentials --profile {profile}` {why}. Install it, or sign in again: aws sso login --profile \
                         {profile}"
                    ))
                })?
            }
            Origin::Nowhere(why) => return Err(none(why)),
            Origin::Role(_) => return Err(none("a role has no source")),
        };
        for role in roles.into_iter().rev() {
            let answer = sts.assume(role, credentials, now).await?;
            credentials = read(&answer["Credentials"], "STS").map_err(|why| none(&why))?;
        }
        *kept = Some(credentials.clone());
        Ok(credentials)
    }
}

/// Asks STS for the credentials of a role, signed with others.
#[async_trait]
pub trait Sts: Send + Sync {
    async fn assume(&self, role: &Role, with: Credentials, now: Timestamp) -> Result<Json, ApiError>;
}

/// The input of AssumeRole.
pub fn assumed(role: &Role) -> Json {
    json!({"RoleArn": role.arn, "RoleSessionName": role.session, "ExternalId": role.external_id})
}

fn none(why: &str) -> ApiError {
    ApiError::new(failure::NO_CREDENTIALS, format!("there are no credentials to sign with: {why}"))
}

/// What a program prints; why it printed none, otherwise.
async fn of_process(mut program: tokio::process::Command, name: &'static str) -> Result<Credentials, String> {
    let child = program.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output();
    let output = tokio::time::timeout(limits::CREDENTIAL_PROCESS_TIMEOUT, child)
        .await
        .map_err(|_| "did not end in time".to_owned())?
        .map_err(|error| format!("cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("failed: {}", output.status));
    }
    if output.stdout.len() > limits::CREDENTIAL_PROCESS_BYTES {
        return Err("printed more than credentials".to_owned());
    }
    let printed = serde_json::from_slice(&output.stdout).map_err(|error| format!("printed no JSON: {error}"))?;
    read(&printed, name)
}

/// The same names in STS's answers and in what a process prints.
fn read(json: &Json, from: &'static str) -> Result<Credentials, String> {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let (Some(id), Some(secret)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
        return Err(format!("{from} gave neither AccessKeyId nor SecretAccessKey"));
    };
    let ends = match text("Expiration") {
        None => None,
        Some(text) => {
            let at: jiff::Timestamp =
                text.parse().map_err(|error| format!("{from} gave `{text}` as Expiration: {error}"))?;
            Some(SystemTime::from(at))
        }
    };
    Ok(Credentials::new(id, secret, text("SessionToken"), ends, from))
}

#[cfg(test)]
mod tests {
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
    use aws_runtime::env_config::source;
    use aws_types::os_shim_internal::{Env, Fs};

    use super::*;

    async fn profiles(text: &str) -> Profiles {
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, text).build();
        Profiles::parse(source::load(&Env::from_slice(&[]), &Fs::real(), &files).await.unwrap()).unwrap()
    }

    /// Gives keys of the role's name, and remembers what it was asked.
    #[derive(Default)]
    struct Asked(std::sync::Mutex<Vec<String>>);

    #[async_trait]
    impl Sts for Asked {
        async fn assume(&self, role: &Role, with: Credentials, _: Timestamp) -> Result<Json, ApiError> {
            self.0.lock().unwrap().push(format!("{} {} with {}", role.arn, assumed(role), with.access_key_id()));
            Ok(json!({"Credentials":
                {"AccessKeyId": role.arn, "SecretAccessKey": "s", "Expiration": "2036-01-01T00:00:00Z"}}))
        }
    }

    const NOW: Timestamp = Timestamp(1_790_862_000_000);

    #[tokio::test]
    async fn keys_and_processes_are_found() {
        let text = "[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n\
                    [profile p]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\
                    \"SessionToken\":\"T\",\"Expiration\":\"2036-01-01T00:00:00Z\"}'\n\
                    [profile broken]\ncredential_process = exit 3\n";
        let profiles = profiles(text).await;
        let key = Keys::new(Origin::of_profile(&profiles, "default")).get(NOW, &Asked::default()).await.unwrap();
        assert_eq!(key.access_key_id(), "AKID");
        let key = Keys::new(Origin::of_profile(&profiles, "p")).get(NOW, &Asked::default()).await.unwrap();
        assert_eq!((key.access_key_id(), key.session_token()), ("A", Some("T")));
        let error = Keys::new(Origin::of_profile(&profiles, "broken")).get(NOW, &Asked::default()).await.unwrap_err();
        assert!(error.message.contains("credential_process failed: exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn roles_are_assumed_one_after_the_other_and_kept() {
        let text = "[profile a]\naws_access_key_id = AKID\naws_secret_access_key = secret\n\
                    [profile b]\nrole_arn = arn:b\nsource_profile = a\n\
                    [profile c]\nrole_arn = arn:c\nsource_profile = b\nexternal_id = x\n";
        let keys = Keys::new(Origin::of_profile(&profiles(text).await, "c"));
        let asked = Asked::default();
        assert_eq!(keys.get(NOW, &asked).await.unwrap().access_key_id(), "arn:c");
        assert_eq!(keys.get(NOW, &asked).await.unwrap().access_key_id(), "arn:c", "kept");
        assert_eq!(
            *asked.0.lock().unwrap(),
            [
                "arn:b {\"RoleArn\":\"arn:b\",\"RoleSessionName\":\"towpath\",\"ExternalId\":null} with AKID",
                "arn:c {\"RoleArn\":\"arn:c\",\"RoleSessionName\":\"towpath\",\"ExternalId\":\"x\"} with arn:b",
            ]
        );
    }

    #[tokio::test]
    async fn what_cannot_be_done_here_is_said_with_a_way_out() {
        let text = "[profile sso]\nsso_session = s\n[profile empty]\nregion = eu-west-1\n\
                    [profile instance]\nrole_arn = arn:i\ncredential_source = Ec2InstanceMetadata\n\
                    [profile a]\nrole_arn = arn:a\nsource_profile = b\n[profile b]\nrole_arn = arn:b\nsource_profile = a\n";
        let profiles = profiles(text).await;
        for (name, why) in [
            ("sso", "`aws configure export-credentials --profile sso`"),
            ("instance", "`aws configure export-credentials --profile instance`"),
            ("empty", "the profile `empty` has neither keys, nor a role_arn, nor a credential_process"),
            ("gone", "AWS's files have no profile `gone`"),
            ("a", "name each other in a circle"),
        ] {
            let error = Keys::new(Origin::of_profile(&profiles, name)).get(NOW, &Asked::default()).await.unwrap_err();
            assert_eq!(error.code, failure::NO_CREDENTIALS);
            assert!(error.message.contains(why), "{error}");
        }
    }
}
