//! Every environment variable the command reads, in one place. The help of each option that has one names it.

/// One variable: its name and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
    /// The version that brought it.
    pub since: &'static str,
}

pub const ACCOUNT_ID: &str = "TOWPATH_ACCOUNT_ID";
pub const CLIENT_TOKEN: &str = "TOWPATH_CLIENT_TOKEN";
pub const CONFIG: &str = "TOWPATH_CONFIG";
pub const DATA_DIR: &str = "TOWPATH_DATA_DIR";
pub const DATABASE_URL: &str = "TOWPATH_DATABASE_URL";
pub const JENKINS_TOKEN: &str = "TOWPATH_JENKINS_TOKEN";
pub const JENKINS_USER: &str = "TOWPATH_JENKINS_USER";
pub const LISTEN: &str = "TOWPATH_LISTEN";
pub const LOG: &str = "TOWPATH_LOG";
pub const PUBLIC_URL: &str = "TOWPATH_PUBLIC_URL";
pub const REDACT: &str = "TOWPATH_REDACT";
pub const NO_COLOR: &str = "NO_COLOR";
pub const TERM: &str = "TERM";
pub const AWS_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";
pub const AWS_IGNORE_ENDPOINTS: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";

/// Alphabetical; `towpath help environment` and the reference print this list.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "AWS_...",
        meaning: "endpoint, Region, credentials of commands that call a server: docs/cli.md",
        since: "0.3.0",
    },
    Variable { name: NO_COLOR, meaning: "set to anything: no colour, also on a terminal", since: "0.1.0" },
    Variable { name: TERM, meaning: "`dumb`: no colour and no live tree, also on a terminal", since: "0.1.0" },
    Variable { name: ACCOUNT_ID, meaning: "the AWS account id that `serve` plays (--account-id)", since: "0.1.0" },
    Variable {
        name: CLIENT_TOKEN,
        meaning: "the client token of a partner's job worker (`worker --client-token`)",
        since: "0.3.0",
    },
    Variable { name: CONFIG, meaning: "the configuration file (--config)", since: "0.1.0" },
    Variable { name: DATA_DIR, meaning: "the directory that holds all state (--data-dir)", since: "0.1.0" },
    Variable {
        name: DATABASE_URL,
        meaning: "the PostgreSQL database that `serve` keeps its state in (--database-url)",
        since: "0.2.0",
    },
    Variable {
        name: JENKINS_TOKEN,
        meaning: "the API token that `worker jenkins` signs in with (--token)",
        since: "0.3.0",
    },
    Variable { name: JENKINS_USER, meaning: "the user that `worker jenkins` signs in as (--user)", since: "0.3.0" },
    Variable { name: LISTEN, meaning: "the address and port that `serve` listens on (--listen)", since: "0.1.0" },
    Variable {
        name: LOG,
        meaning: "logs on stderr: a level, or directives like `towpath_engine=debug`",
        since: "0.1.0",
    },
    Variable { name: PUBLIC_URL, meaning: "the URL that others reach `serve` under (--public-url)", since: "0.1.0" },
    Variable {
        name: REDACT,
        meaning: "set to anything: placeholders for times and ids (documentation, tests)",
        since: "0.1.0",
    },
];
