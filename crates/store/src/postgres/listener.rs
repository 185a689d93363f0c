//! Hears of commits, other nodes' and one's own: a connection that listens on the channel on which every commit
//! announces its version. While it is broken nothing is heard; when it is there again, the watch is brought up to date.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls};
use tracing::{debug, warn};

use super::errors::Named;
use crate::limits::{POSTGRES_RETRY_MS, POSTGRES_RETRY_MS_MAX};
use crate::nodes::announce;
use crate::stored::to_u64;

#[derive(Debug)]
pub(super) struct Listener {
    committed: Arc<watch::Sender<u64>>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(config: Config, named: Named, channel: String, committed: Arc<watch::Sender<u64>>) -> Self {
        let heard = Arc::clone(&committed);
        let task = tokio::spawn(async move {
            let mut wait = POSTGRES_RETRY_MS;
            loop {
                match listen(&config, &channel, &heard).await {
                    Ok(()) => {
                        debug!(database = %named.0, "the connection that hears of commits was closed; opening another");
                        wait = POSTGRES_RETRY_MS;
                    }
                    Err(error) => {
                        warn!(database = %named.0, %error, "cannot hear of other nodes' commits; trying again");
                        wait = (wait * 2).min(POSTGRES_RETRY_MS_MAX);
                    }
                }
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        });
        Self { committed, task }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends when the connection does.
async fn listen(config: &Config, channel: &str, committed: &watch::Sender<u64>) -> Result<(), Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let messages = async {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message?
                && let Ok(version) = notification.payload().parse()
            {
                announce(committed, version);
            }
        }
        Ok(())
    };
    let start = async {
        catch_up(&client, channel, committed).await?;
        // The connection ends with its client.
        std::future::pending::<Result<(), Error>>().await
    };
    tokio::select! {
        ended = messages => ended,
        failed = start => failed,
    }
}

/// First listens and then reads, so that no commit falls between the two.
async fn catch_up(client: &Client, channel: &str, committed: &watch::Sender<u64>) -> Result<(), Error> {
    client.batch_execute(&format!("LISTEN \"{}\"", channel.replace('"', "\"\""))).await?;
    let row = client.query_one("SELECT version FROM counters WHERE id = 0", &[]).await?;
    announce(committed, to_u64(row.get(0)));
    Ok(())
}
