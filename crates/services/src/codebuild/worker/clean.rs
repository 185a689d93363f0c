//! The build is over for its users: end what still runs, remove its files, take it off the list of open builds.

use std::time::Duration;

use towpath_builds::{BuildsError, Liveness, Seen};
use towpath_store::{Expect, Write};

use super::super::names::{build_key, open_key};
use super::super::records::Stage;
use super::prepare::adopt;
use super::{Loaded, Next, StepError, Worker};

/// How long a runner may take from its outcome to its end: it only has to exit.
const ENDING: Duration = Duration::from_millis(5);
const ENDINGS_MAX: u32 = 2_000;

impl Worker {
    pub(super) async fn clean(&mut self, mut loaded: Loaded) -> Result<Next, StepError> {
        let files = self.files();
        match adopt(&files) {
            Err(BuildsError::NoRequest { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(handle) => {
                handle.stop()?;
                let mut seen = Seen::default();
                loop {
                    let observation = tokio::select! {
                        biased;
                        () = self.service.closing.cancelled() => return Ok(Next::Leave),
                        observation = handle.wait_change(seen) => observation?,
                    };
                    seen = observation.seen;
                    match observation.liveness {
                        Liveness::Running | Liveness::Starting => {}
                        Liveness::Gone => {
                            handle.sweep().await?;
                            break;
                        }
                        Liveness::Finished | Liveness::NotStarted => break,
                    }
                }
                // The runner writes its outcome a moment before it ends; its lock tells when it has.
                for _ in 0..ENDINGS_MAX {
                    if !handle.is_alive()? {
                        break;
                    }
                    tokio::time::sleep(ENDING).await;
                }
            }
        }
        let leftover = files.clone();
        tokio::task::spawn_blocking(move || leftover.finish()).await??;
        self.permit = None;
        loaded.record.stage = Stage::Done;
        let record =
            Write::put_json(build_key(&self.scope, &self.id), &loaded.record, Expect::Version(loaded.version))?;
        let writes = vec![record, Write::delete(open_key(&self.scope, &self.id), Expect::Any)];
        match self.service.documents.write(writes).await {
            Ok(_) => {
                self.service.changed(&self.scope, &self.id, true);
                Ok(Next::Over)
            }
            Err(error) if error.is_conflict() => Ok(Next::Again),
            Err(error) => Err(error.into()),
        }
    }
}
