//! The connections to git hosts of `[connections.NAME]` in towpath.toml, with their secrets read from where the tables
//! say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use towpath_model::secret::Secret;
use towpath_providers::connection_source::ConnectionTypes;
use towpath_services::connections::{Access, Configured, Connections};

use crate::config::{Config, Connection};
use crate::errors::ExpectedError;
use crate::limits::SECRET_FILE_BYTES_MAX;

/// The embedded connections know what they lead to.
pub struct HostTypes(pub Arc<Connections>);

#[async_trait]
impl ConnectionTypes for HostTypes {
    async fn provider_type(&self, connection_arn: &str) -> Option<String> {
        self.0.provider_type(connection_arn).await
    }
}

/// Relative files start at `directory`, that of towpath.toml.
pub fn connections(config: &Config, directory: &Path) -> Result<Vec<Configured>, ExpectedError> {
    let tables = config.connections.iter();
    tables.map(|(name, table)| configured(name, table, directory).map_err(|why| wrong(name, &why))).collect()
}

fn configured(name: &str, table: &Connection, directory: &Path) -> Result<Configured, String> {
    let read = |file: &PathBuf| read(&directory.join(file));
    let mut secrets = Vec::new();
    if let Some(token) = &table.token {
        secrets.push((false, token.expose().to_owned()));
    }
    for (key, file) in [(false, &table.token_file), (true, &table.ssh_key_file)] {
        if let Some(file) = file {
            secrets.push((key, read(file)?));
        }
    }
    for (key, variable) in [(false, &table.token_env), (true, &table.ssh_key_env)] {
        if let Some(variable) = variable {
            let value =
                std::env::var(variable).map_err(|_| format!("names the variable {variable}, which is not set"))?;
            secrets.push((key, value));
        }
    }
    let [(is_key, secret)] = secrets.as_slice() else {
        return Err("needs exactly one of token, token-file, token-env, ssh-key-file and ssh-key-env".to_owned());
    };
    let access = if *is_key {
        Access::ssh_key(Secret::new(secret.as_str()))
    } else {
        Access::token(table.username.clone(), Secret::new(secret.trim_end_matches(['\n', '\r'])))
    };
    if *is_key && table.username.is_some() {
        return Err("has a username beside an SSH key; write it into the url: ssh://USER@HOST".to_owned());
    }
    Ok(Configured {
        name: name.to_owned(),
        arn: table.arn.clone(),
        provider_type: table.provider_type.clone(),
        access: Access {
            url: table.url.clone(),
            api_url: table.api_url.clone(),
            known_hosts: table.known_hosts.as_ref().map(read).transpose()?,
            ..access
        },
    })
}

fn read(path: &Path) -> Result<String, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("names the file {}, which cannot be read: {error}", path.display());
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > SECRET_FILE_BYTES_MAX {
        return Err(format!("names the file {}, which is larger than {SECRET_FILE_BYTES_MAX} bytes", path.display()));
    }
    std::fs::read_to_string(path).map_err(|error| failed(&error))
}

fn wrong(name: &str, why: &str) -> ExpectedError {
    ExpectedError::System {
        message: format!("[connections.{name}] {why}"),
        hint: Some("docs/connections.md describes connections".to_owned()),
        usage: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Text;

    fn configured(text: &str, directory: &Path) -> Result<Vec<Configured>, ExpectedError> {
        let loaded = crate::config::Loaded::parse(Text::new("towpath.toml", text)).expect("it can be read");
        connections(&loaded.config, directory)
    }

    #[test]
    fn a_secret_has_one_place() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("t"), "hunter2\n").expect("written");
        for good in ["token = \"hunter2\"", "token-file = \"t\""] {
            let read = configured(&format!("[connections.hub]\n{good}\n"), directory.path()).expect(good);
            assert_eq!((read[0].name.as_str(), read[0].provider_type.as_str()), ("hub", "GitHub"));
            assert_eq!(read[0].access, Access::token(None, Secret::new("hunter2")));
        }
        for (bad, why) in [
            ("", "exactly one of"),
            ("token = \"hunter2\"\ntoken-file = \"t\"", "exactly one of"),
            ("token-file = \"nowhere\"", "cannot be read"),
            ("token-env = \"TOWPATH_TEST_NEVER_SET\"", "not set"),
        ] {
            let error =
                configured(&format!("[connections.hub]\n{bad}\n"), directory.path()).expect_err(bad).to_string();
            assert!(error.starts_with("[connections.hub]") && error.contains(why), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }
}
