//! `[connections.NAME]`: a git host and the secret for it. The secret may stand in the table, in a file or in a variable
//! of the environment; it is read when the system opens.

use std::path::PathBuf;

use serde::Deserialize;
use towpath_model::secret::Secret;

use crate::document::shape::{Object, Shape, optional};

pub(super) static CONNECTION: Object = Object {
    what: "a connection",
    fields: &[
        optional(
            "provider-type",
            Shape::Choice(&[
                "AzureDevOps",
                "Bitbucket",
                "GitHub",
                "GitHubEnterpriseServer",
                "GitLab",
                "GitLabSelfManaged",
            ]),
        ),
        optional("arn", Shape::Text),
        optional("url", Shape::Text),
        optional("api-url", Shape::Text),
        optional("username", Shape::Text),
        optional("token", Shape::Text),
        optional("token-file", Shape::Text),
        optional("token-env", Shape::Text),
        optional("ssh-key-file", Shape::Text),
        optional("ssh-key-env", Shape::Text),
        optional("known-hosts", Shape::Text),
    ],
};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Connection {
    pub provider_type: String,
    /// Where pipelines already name the connection by an ARN.
    pub arn: Option<String>,
    /// Where the repositories are.
    pub url: Option<String>,
    /// Where commit statuses go.
    pub api_url: Option<String>,
    /// The user whose password the token is.
    pub username: Option<String>,
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub token_env: Option<String>,
    pub ssh_key_file: Option<PathBuf>,
    pub ssh_key_env: Option<String>,
    /// A file of known_hosts lines.
    pub known_hosts: Option<PathBuf>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            provider_type: "GitHub".to_owned(),
            arn: None,
            url: None,
            api_url: None,
            username: None,
            token: None,
            token_file: None,
            token_env: None,
            ssh_key_file: None,
            ssh_key_env: None,
            known_hosts: None,
        }
    }
}
