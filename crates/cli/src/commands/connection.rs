//! `towpath connection`: lists connections to git hosts, and stores the secret that makes one available. AWS has that step
//! in its console only. A secret is read from stdin, so that no command line and no shell history holds it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value as Json, json};

use crate::display::style::Style;
use crate::errors::{ExpectedError, exit};
use crate::limits::SECRET_FILE_BYTES_MAX;
use crate::remote::refusal::explained;
use crate::remote::shape::{list, text};
use crate::remote::table::{Cell, Column, draw};
use crate::remote::{Remote, RemoteArgs};

const SERVICE: &str = "codeconnections";

/// Connections to git hosts: list them, store the secret that a pending one waits for
///
/// CreateConnection (`aws codeconnections create-connection`) makes a connection that is PENDING. AWS finishes it in its
/// console; here a token or an SSH key does, after which it is AVAILABLE. Connections can also be written into
/// towpath.toml: see docs/connections.md.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    List(ListArgs),
    SetToken(SetTokenArgs),
    SetSshKey(SetSshKeyArgs),
}

impl Args {
    pub const fn remote(&self) -> &RemoteArgs {
        match &self.command {
            Command::List(args) => &args.remote,
            Command::SetToken(args) => &args.remote,
            Command::SetSshKey(args) => &args.remote,
        }
    }
}

/// List the connections, with their status
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Exit codes: 0 listed, 1 refused, 2 no credentials

JSON: {\"Connections\": [each as ListConnections has it]}")]
pub struct ListArgs {
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Store a token, or a password, read from stdin
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath connection set-token ARN < token.txt
  pass show github | towpath connection set-token ARN
  towpath connection set-token ARN --username ci --url https://git.example.com < password.txt

Exit codes: 0 stored, 1 refused, 2 no such connection, or a secret that cannot be one

JSON: {\"ConnectionArn\", \"ConnectionStatus\"}")]
pub struct SetTokenArgs {
    /// The connection's ARN
    #[arg(value_name = "ARN")]
    pub connection: String,
    /// The user whose password it is; without one the token stands alone, as the host's type wants it
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    #[command(flatten)]
    pub place: Where,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Store a private SSH key without a passphrase, read from stdin
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath connection set-ssh-key ARN < deploy_key
  towpath connection set-ssh-key ARN --url ssh://git@git.example.com:2222 --known-hosts hosts < deploy_key

Exit codes: 0 stored, 1 refused, 2 no such connection, or a secret that cannot be one

JSON: {\"ConnectionArn\", \"ConnectionStatus\"}")]
pub struct SetSshKeyArgs {
    /// The connection's ARN
    #[arg(value_name = "ARN")]
    pub connection: String,
    /// A file of known_hosts lines for the git host; without one the key that it shows first is kept
    #[arg(long, value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
    #[command(flatten)]
    pub place: Where,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

#[derive(Debug, ClapArgs)]
pub struct Where {
    /// Where the repositories are: a base to which `/OWNER/REPOSITORY.git` is added, or a URL with `{repo}` in it; the
    /// default is the host of the connection's type, or that of its host
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The API of the git host that takes commit statuses; the default is that of the connection's type
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
}

pub async fn run(args: &Args, remote: Remote<'_>) -> Result<u8, ExpectedError> {
    match &args.command {
        Command::List(_) => all(remote).await,
        Command::SetToken(args) => {
            let secret = secret()?;
            let secret = secret.trim_end_matches(['\n', '\r']);
            let input = json!({"Username": args.username, "Token": secret});
            store(&args.connection, &args.place, input, remote).await
        }
        Command::SetSshKey(args) => {
            let known_hosts = args.known_hosts.as_deref().map(file).transpose()?;
            let input = json!({"SshKey": secret()?, "KnownHosts": known_hosts});
            store(&args.connection, &args.place, input, remote).await
        }
    }
}

async fn all(mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    let mut connections: Vec<Json> = Vec::new();
    let mut input = json!({});
    loop {
        let answer = match remote.api.call(SERVICE, "ListConnections", input.clone()).await {
            Ok(answer) => answer,
            Err(error) => return Err(explained(&remote, "list the connections", None, error).await),
        };
        connections.extend(list(&answer["Connections"]).cloned());
        match &answer["NextToken"] {
            Json::Null => break,
            next => input["NextToken"] = next.clone(),
        }
    }
    if remote.json {
        remote.show_json(&json!({"Connections": connections}));
        return Ok(exit::SUCCEEDED);
    }
    if connections.is_empty() {
        let region = &remote.place.region;
        remote.terminal.note(&format!("There are no connections in {region}.\n"));
        return Ok(exit::SUCCEEDED);
    }
    let columns = [
        Column::shrinking("CONNECTION", 12),
        Column::whole("TYPE").leaving(1),
        Column::whole("STATUS"),
        Column::whole("ARN"),
    ];
    let rows: Vec<Vec<Cell>> = connections
        .iter()
        .map(|connection| {
            let of = |name: &str| text(connection, name).unwrap_or_default();
            let style = if of("ConnectionStatus") == "AVAILABLE" { Style::Good } else { Style::Plain };
            vec![
                Cell::plain(of("ConnectionName")),
                Cell::plain(of("ProviderType")),
                Cell::new(style, of("ConnectionStatus")),
                Cell::dim(of("ConnectionArn")),
            ]
        })
        .collect();
    let lines = draw(&columns, &rows, remote.width());
    remote.show(&lines);
    Ok(exit::SUCCEEDED)
}

async fn store(arn: &str, place: &Where, mut input: Json, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    input["ConnectionArn"] = json!(arn);
    input["Url"] = json!(place.url);
    input["ApiUrl"] = json!(place.api_url);
    let answer = match remote.api.call(SERVICE, "PutConnectionCredential", input).await {
        Ok(answer) => answer,
        Err(error) => return Err(explained(&remote, "store the secret of the connection", None, error).await),
    };
    let status = text(&answer, "ConnectionStatus").unwrap_or_default().to_owned();
    let document = json!({"ConnectionArn": arn, "ConnectionStatus": status});
    remote.done(&format!("{arn} is {status}."), &document);
    Ok(exit::SUCCEEDED)
}

/// All of stdin, which must be a text of reasonable size.
fn secret() -> Result<String, ExpectedError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text);
    let wrong = |message: String| ExpectedError::System {
        message,
        hint: Some("give it on stdin: `towpath connection set-token ARN < FILE`".to_owned()),
        usage: true,
    };
    let read = read.map_err(|error| wrong(format!("cannot read the secret from stdin: {error}")))?;
    if read as u64 > SECRET_FILE_BYTES_MAX {
        return Err(wrong(format!("what stands on stdin is larger than {SECRET_FILE_BYTES_MAX} bytes")));
    }
    if text.trim().is_empty() {
        return Err(wrong("there is no secret on stdin".to_owned()));
    }
    Ok(text)
}

fn file(path: &Path) -> Result<String, ExpectedError> {
    std::fs::read_to_string(path).map_err(|error| ExpectedError::System {
        message: format!("cannot read {}: {error}", path.display()),
        hint: None,
        usage: true,
    })
}
