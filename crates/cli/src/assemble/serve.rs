//! `towpath serve`: the system behind a port, until SIGTERM.

use std::collections::BTreeSet;
use std::io::Write as _;

use tokio::signal::unix::{SignalKind, signal};
use towpath_server::listen;

use super::{Purpose, Site, System, broken};
use crate::args::ServeArgs;
use crate::commands::validate::DEFAULT_REGION;
use crate::config::Loaded;
use crate::errors::ExpectedError;

/// Serves until SIGTERM or Ctrl-C. Prints one line when it is ready.
pub async fn serve(args: &ServeArgs) -> Result<u8, ExpectedError> {
    let Loaded { config, directory: config_dir, .. } = match &args.config {
        Some(file) => Loaded::read(file).map_err(ExpectedError::from)?,
        None => Loaded::default(),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| broken("listen for SIGTERM", &e))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| broken("listen for Ctrl-C", &e))?;
    let listener = listen::bind(args.listen).await.map_err(|error| unbound(args, &error))?;
    let data_dir = std::path::absolute(&args.data_dir).map_err(|e| broken("resolve the data directory", &e))?;
    let system = System::open(Site {
        data_dir: &data_dir,
        database_url: args.database_url.as_deref(),
        account: &args.account_id,
        region: DEFAULT_REGION,
        config: &config,
        config_dir: &config_dir,
        listener,
        public_url: args.public_url.clone(),
        purpose: Purpose::Server,
        trees: BTreeSet::default(),
    })
    .await?;
    let ready = format!("towpath: ready at http://{}\n", system.address);
    let mut stdout = std::io::stdout().lock();
    // Whoever started us may not listen; the server runs all the same.
    let _ = stdout.write_all(ready.as_bytes()).and_then(|()| stdout.flush());
    drop(stdout);
    tracing::info!(data_dir = %data_dir.display(), address = %system.address, "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; running builds go on and are adopted by the next start");
    system.close().await;
    Ok(0)
}

fn unbound(args: &ServeArgs, error: &std::io::Error) -> ExpectedError {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => Some(
            "another program listens there; stop it, or choose another port with --listen (port 0 asks the system for a free one)",
        ),
        std::io::ErrorKind::PermissionDenied => {
            Some("ports below 1024 need privileges; choose a higher one with --listen")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            Some("this machine does not have that address; choose one it has with --listen")
        }
        _ => None,
    };
    ExpectedError::System {
        message: format!("cannot listen on {}: {error}", args.listen),
        hint: hint.map(str::to_owned),
        usage: false,
    }
}
