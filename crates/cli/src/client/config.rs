//! Where the client calls and as whom: options first, then what the environment and AWS's configuration files say, as in
//! every AWS tool; then the local server and the key it wrote on its first start. Reads files and the environment; calls
//! nobody itself, though finding credentials may (an assumed role, an instance's role).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_credential_types::Credentials;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::EnvConfigSections as Profiles;
use aws_runtime::env_config::{EnvConfigValue, source};
use aws_types::os_shim_internal::{Env, Fs};
use clap::Args;

use super::credentials::{Keys, Origin};
use super::service::SERVICES;
use crate::env;

/// Where a server listens unless told otherwise.
pub const LOCAL_ENDPOINT: &str = "http://127.0.0.1:7400";
/// What stands for AWS's own endpoints in `--endpoint-url`.
const AWS_ITSELF: &str = "aws";
const DEFAULT_REGION: &str = "us-east-1";
/// Where a server that was started in this directory keeps its data, unless told otherwise.
const DEFAULT_DATA_DIR: &str = ".towpath";
/// Which endpoint, in which Region, as whom. The same for every command that speaks to a server.
#[derive(Debug, Clone, Default, Args)]
pub struct Connection {
    /// Where to call: a server's URL, or `aws` for AWS itself. The default is what AWS's own settings say
    /// (`AWS_ENDPOINT_URL`, `endpoint_url` of the profile), else the server on this machine, <http://127.0.0.1:7400>
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub endpoint_url: Option<String>,
    /// The Region; the default is `AWS_REGION`, the profile's, else us-east-1
    #[arg(long, value_name = "REGION", help_heading = "Connection")]
    pub region: Option<String>,
    /// A profile of AWS's configuration files; the default is `AWS_PROFILE`, else `default`
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub profile: Option<String>,
}

impl Connection {
    /// Something here says that a server is meant.
    pub const fn is_given(&self) -> bool {
        self.endpoint_url.is_some() || self.region.is_some() || self.profile.is_some()
    }
}

/// Everything a client needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    pub region: String,
    pub(super) credentials: Keys,
    endpoints: BTreeMap<&'static str, String>,
    /// Every endpoint is on this machine.
    local: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("`--endpoint-url {url}` is no URL: {reason}")]
    Endpoint { url: String, reason: String },
    #[error("there are no credentials in {}", file.display())]
    NoFile { file: PathBuf, data_dir: PathBuf },
    #[error("AWS's configuration files cannot be read: {reason}")]
    Files { reason: String },
}

impl SettingsError {
    pub fn hint(&self) -> String {
        match self {
            Self::Endpoint { .. } => "write it as http://HOST:PORT or https://HOST, or `aws` for AWS itself".to_owned(),
            Self::Files { .. } => "mend the file that is named, or name others with AWS_CONFIG_FILE and \
                                   AWS_SHARED_CREDENTIALS_FILE"
                .to_owned(),
            Self::NoFile { data_dir, .. } => format!(
                "the first `towpath serve --data-dir {}` writes them; or leave --data-dir out to use AWS's own settings",
                data_dir.display()
            ),
        }
    }
}

impl Settings {
    /// Reads options, environment and files. `data_dir` is a server's data directory, whose key is used where it is
    /// given, and where nothing else is configured.
    pub async fn load(connection: &Connection, data_dir: Option<&Path>) -> Result<Self, SettingsError> {
        let found = Found { env: Env::real(), profiles: profiles(EnvConfigFiles::default(), connection).await? };
        let region = connection.region.clone().or_else(|| found.region()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let (endpoints, local) = endpoints(connection, &found, &region)?;
        let origin = origin(connection, data_dir, local, &found).await?;
        Ok(Self { region, credentials: Keys::new(origin), endpoints, local })
    }

    pub(super) fn signed_by(&self, credentials: Credentials) -> Self {
        let mut settings = self.clone();
        settings.credentials = Keys::new(Origin::Fixed(credentials));
        settings
    }

    /// The URL of a service, without a path.
    pub fn endpoint(&self, service: &str) -> String {
        self.endpoints.get(service).cloned().unwrap_or_default()
    }

    /// It calls this machine and nothing else.
    pub const fn is_local(&self) -> bool {
        self.local
    }
}

/// What the environment and AWS's files say.
struct Found {
    env: Env,
    profiles: Profiles,
}

impl Found {
    fn variable(&self, name: &str) -> Option<String> {
        self.env.get(name).ok().filter(|value| !value.is_empty())
    }

    fn region(&self) -> Option<String> {
        let variable = self.variable("AWS_REGION").or_else(|| self.variable("AWS_DEFAULT_REGION"));
        variable.or_else(|| self.profiles.get("region").map(str::to_owned))
    }

    fn endpoint(&self, service: &str) -> Option<String> {
        let value = EnvConfigValue::new().env(env::AWS_ENDPOINT_URL).profile("endpoint_url").service_id(service);
        value.load(&self.env, Some(&self.profiles)).map(|(url, _)| url.into_owned())
    }

    fn ignores_endpoints(&self) -> bool {
        let value = EnvConfigValue::new().env(env::AWS_IGNORE_ENDPOINTS).profile("ignore_configured_endpoint_urls");
        value.load(&self.env, Some(&self.profiles)).is_some_and(|(value, _)| value.eq_ignore_ascii_case("true"))
    }
}

async fn profiles(files: EnvConfigFiles, connection: &Connection) -> Result<Profiles, SettingsError> {
    let unread = |error: &dyn std::error::Error| SettingsError::Files { reason: super::network::innermost(error) };
    let mut source = source::load(&Env::real(), &Fs::real(), &files).await.map_err(|error| unread(&error))?;
    if let Some(name) = &connection.profile {
        source.profile = Cow::Owned(name.clone());
    }
    Profiles::parse(source).map_err(|error| unread(&error))
}

type Urls = BTreeMap<&'static str, String>;

/// The URL of each service, and whether all of them are on this machine.
fn endpoints(connection: &Connection, found: &Found, region: &str) -> Result<(Urls, bool), SettingsError> {
    let at_aws = || -> Urls { SERVICES.iter().map(|service| (service.name, service.at_aws(region))).collect() };
    let all = |url: &str| -> Urls { SERVICES.iter().map(|service| (service.name, url.to_owned())).collect() };
    match connection.endpoint_url.as_deref() {
        Some(AWS_ITSELF) => return Ok((at_aws(), false)),
        Some(url) => {
            let url = checked(url).map_err(|reason| SettingsError::Endpoint { url: url.to_owned(), reason })?;
            return Ok((all(&url), is_local(&url)));
        }
        None if found.ignores_endpoints() => return Ok((at_aws(), false)),
        None => {}
    }
    let mut urls = BTreeMap::new();
    for service in SERVICES {
        if let Some(url) = found.endpoint(service.id) {
            let url = checked(&url).map_err(|reason| SettingsError::Endpoint { url, reason })?;
            urls.insert(service.name, url);
        }
    }
    // Where one service has an endpoint of its own and another has none, the other is at AWS.
    let rest = if urls.contains_key("codepipeline") { at_aws() } else { all(LOCAL_ENDPOINT) };
    for (name, url) in rest {
        urls.entry(name).or_insert(url);
    }
    let local = urls.values().all(|url| is_local(url));
    Ok((urls, local))
}

fn checked(url: &str) -> Result<String, String> {
    let parsed: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    match parsed.scheme_str() {
        Some("http" | "https") if parsed.host().is_some_and(|host| !host.is_empty()) => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        Some("http" | "https") => Err("it names no host".to_owned()),
        _ => Err("it begins with neither http:// nor https://".to_owned()),
    }
}

/// The host is this machine's loopback.
fn is_local(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Options, then the environment, then (for a server on this machine) the key that it wrote, then AWS's files.
async fn origin(
    connection: &Connection,
    data_dir: Option<&Path>,
    local: bool,
    found: &Found,
) -> Result<Origin, SettingsError> {
    if connection.profile.is_some() {
        return Ok(Origin::of_profile(&found.profiles, found.profiles.selected_profile()));
    }
    if let Some(data_dir) = data_dir {
        let file = data_dir.join("credentials");
        if !file.is_file() {
            return Err(SettingsError::NoFile { file, data_dir: data_dir.to_owned() });
        }
        return of_server(&file).await;
    }
    if let (Some(id), Some(secret)) = (found.variable("AWS_ACCESS_KEY_ID"), found.variable("AWS_SECRET_ACCESS_KEY")) {
        let token = found.variable("AWS_SESSION_TOKEN");
        return Ok(Origin::Fixed(Credentials::new(id, secret, token, None, "the environment")));
    }
    let file = Path::new(DEFAULT_DATA_DIR).join("credentials");
    let named = ["AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"].iter().any(|name| found.variable(name).is_some());
    if local && !named && file.is_file() {
        return of_server(&file).await;
    }
    Ok(Origin::of_profile(&found.profiles, found.profiles.selected_profile()))
}

/// The root user's key, in the form of a shared-credentials file.
async fn of_server(file: &Path) -> Result<Origin, SettingsError> {
    let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file).build();
    let connection = Connection { profile: Some("default".to_owned()), ..Connection::default() };
    Ok(Origin::of_profile(&profiles(files, &connection).await?, "default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_called() {
        assert_eq!(checked("http://127.0.0.1:7400/").unwrap(), "http://127.0.0.1:7400");
        assert_eq!(checked("127.0.0.1:7400").unwrap_err(), "it begins with neither http:// nor https://");
        assert!(checked("http://").is_err());
        assert!(checked("ftp://host").is_err());
    }

    #[test]
    fn only_loopback_is_local() {
        for url in ["http://127.0.0.1:7400", "http://localhost", "https://[::1]:7400", "http://a.localhost:1"] {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://10.0.0.1", "https://codepipeline.us-east-1.amazonaws.com", "http://localhost.example.com"] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[tokio::test]
    async fn aws_itself_has_an_endpoint_for_each_service() {
        let connection = Connection {
            endpoint_url: Some("aws".into()),
            region: Some("eu-west-1".into()),
            profile: Some("p".into()),
        };
        let settings = Settings::load(&connection, None).await.unwrap();
        assert_eq!(settings.endpoint("logs"), "https://logs.eu-west-1.amazonaws.com");
        assert!(!settings.is_local());
    }

    #[tokio::test]
    async fn a_data_directory_without_credentials_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection { endpoint_url: Some(LOCAL_ENDPOINT.into()), ..Connection::default() };
        let error = Settings::load(&connection, Some(directory.path())).await.unwrap_err();
        assert!(matches!(error, SettingsError::NoFile { .. }), "{error}");
    }
}
