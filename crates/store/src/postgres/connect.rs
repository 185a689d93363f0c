//! From a URL to connections: one pool for everybody, and what every connection is told first.

use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};

use super::errors::Named;
use crate::StoreError;
use crate::limits::{
    POSTGRES_CONNECT_SECONDS, POSTGRES_CONNECTIONS_MAX, POSTGRES_IDLE_SECONDS, POSTGRES_STATEMENT_SECONDS,
    POSTGRES_WAIT_SECONDS,
};

/// What every connection begins with. A node that stops in the middle of a transaction (a suspended machine, a cut
/// network) must not hold its locks for long; and what is answered is durable, even where the database's owner chose
/// otherwise for its other users. Someone who asked for more than that (`remote_apply`) keeps it.
fn greeting() -> String {
    format!(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
         SET idle_in_transaction_session_timeout = '{POSTGRES_IDLE_SECONDS}s'; \
         SET statement_timeout = '{POSTGRES_STATEMENT_SECONDS}s'; \
         SET client_min_messages = warning; \
         {PLANS}"
    )
}

/// Every statement goes by an index, from the first row on, and not only once the database has counted its rows.
pub(super) const PLANS: &str = "SET enable_seqscan = off; SET enable_mergejoin = off; \
     SET enable_sort = off; \
     SET plan_cache_mode = force_generic_plan; SET jit = off";

/// Parses the URL. Nothing of it that may be secret gets into a message.
pub(super) fn config(url: &str) -> Result<(Config, Named), StoreError> {
    let invalid = |reason: String| StoreError::DatabaseUrl { reason };
    let mut config = Config::from_str(url).map_err(|error| {
        let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        invalid(reason)
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(invalid(
            "sslmode=require is asked for, and this towpath speaks to PostgreSQL without TLS: use sslmode=disable over \
             a network you trust, or a local TLS proxy (stunnel, pgbouncer)"
                .to_owned(),
        ));
    }
    if config.get_hosts().is_empty() {
        return Err(invalid("it names no host".to_owned()));
    }
    config.ssl_mode(SslMode::Disable);
    if config.get_application_name().is_none() {
        config.application_name("towpath");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(POSTGRES_CONNECT_SECONDS));
    }
    let named = named(&config);
    Ok((config, named))
}

fn named(config: &Config) -> Named {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "?".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let name = config.get_dbname().or(config.get_user()).unwrap_or("?");
    Named(format!("`{name}` at {host}:{port}"))
}

pub(super) fn pool(config: Config, named: &Named) -> Result<Pool, StoreError> {
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    Pool::builder(manager)
        .max_size(POSTGRES_CONNECTIONS_MAX)
        .runtime(Runtime::Tokio1)
        .wait_timeout(seconds(POSTGRES_WAIT_SECONDS))
        .create_timeout(seconds(POSTGRES_CONNECT_SECONDS))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(&greeting()).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| StoreError::io(format!("prepare connections to the database {}", named.0), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_named_without_its_password() {
        let (_, named) = config("postgresql://someone:s3cret@db.example:6543/towpath").unwrap();
        assert_eq!(named.0, "`towpath` at db.example:6543");
        let (_, named) = config("postgresql:///towpath?host=/run/postgresql&user=someone").unwrap();
        assert_eq!(named.0, "`towpath` at /run/postgresql:5432");
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (url, reason) in [
            ("postgresql://db.example/towpath?sslmode=require", "without TLS"),
            ("postgresql:///towpath", "it names no host"),
            ("postgresql://db.example/towpath?colour=red", "unknown option `colour`"),
            ("mysql://someone:s3cret@db.example/towpath", "unexpected EOF"),
        ] {
            let message = config(url).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
            assert!(message.contains("--database-url") && !message.contains("s3cret"), "{message}");
        }
    }
}
