//! From INSTALL to the end of the runner: its status becomes the build's, change by change. A runner that is gone without
//! an outcome is a fault of this build; it is never started a second time.

use towpath_builds::{BuildsError, Handle, Liveness, Outcome, Seen, Status, spawn};
use towpath_wire::codebuild::ExportedEnvironmentVariable;

use super::super::phases::{begin, complete, context, end, join, succeed};
use super::super::records::Stage;
use super::prepare::{adopt, chain};
use super::{Loaded, Next, StepError, Worker};

/// Runners that end before they take their request, tried again this often.
const STARTS_MAX: u32 = 3;

impl Worker {
    pub(super) async fn follow(&mut self, mut loaded: Loaded) -> Result<Next, StepError> {
        let files = self.files();
        let mut handle = match adopt(&files) {
            Err(BuildsError::NoRequest { .. }) => {
                return self.fault(&mut loaded, "The build's files are gone from the data directory.").await;
            }
            adopted => adopted?,
        };
        let (mut seen, mut starts, mut shown) = (Seen::default(), 0, 0);
        loop {
            let observation = tokio::select! {
                biased;
                () = self.service.closing.cancelled() => return Ok(Next::Leave),
                () = self.wake.notified() => return Ok(Next::Again),
                observation = handle.wait_change(seen) => observation?,
            };
            seen = observation.seen;
            match observation.liveness {
                Liveness::NotStarted if starts < STARTS_MAX => {
                    starts += 1;
                    handle = match spawn(&handle.request()?, &self.service.settings.runner_command) {
                        Err(error @ (BuildsError::Runner { .. } | BuildsError::NoRunnerCommand)) => {
                            return self.fault(&mut loaded, &chain(&error)).await;
                        }
                        // A runner that was slow to take the request is there now.
                        Err(BuildsError::AlreadyStarted { .. }) => handle,
                        spawned => spawned?,
                    };
                    seen = Seen::default();
                    continue;
                }
                Liveness::NotStarted => {
                    let text = format!(
                        "the build runner ended before it began; see {}",
                        files.run().join("runner.out").display()
                    );
                    return self.fault(&mut loaded, &text).await;
                }
                Liveness::Starting => continue,
                Liveness::Running | Liveness::Finished | Liveness::Gone => {}
            }
            if observation.status.version == shown && observation.liveness == Liveness::Running {
                // Only the log has grown.
                self.service.changed(&self.scope, &self.id, false);
                continue;
            }
            shown = observation.status.version;
            let status = observation.status;
            show(&mut loaded, &status);
            match (observation.liveness, status.outcome) {
                (Liveness::Gone, _) => {
                    handle.sweep().await?;
                    return self.fault(&mut loaded, "The build's runner ended without a result.").await;
                }
                (_, Some(outcome)) => return self.conclude(loaded, &status, outcome, &handle).await,
                (_, None) => {
                    if !self.save(&mut loaded).await? {
                        return Ok(Next::Again);
                    }
                }
            }
        }
    }

    async fn conclude(
        &mut self,
        mut loaded: Loaded,
        status: &Status,
        outcome: Outcome,
        handle: &Handle,
    ) -> Result<Next, StepError> {
        let now = self.service.ambient.now();
        match outcome {
            Outcome::Succeeded | Outcome::Failed if status.upload_artifacts => loaded.record.stage = Stage::Uploading,
            Outcome::Succeeded | Outcome::Failed | Outcome::TimedOut => {
                // INSTALL or PRE_BUILD failed, or time ran out: nothing to upload, but an orderly end.
                begin(&mut loaded.record.build, "FINALIZING", now);
                succeed(&mut loaded.record.build, now);
                let succeeded = outcome == Outcome::Succeeded;
                complete(&mut loaded.record.build, if succeeded { "SUCCEEDED" } else { "FAILED" }, now);
                loaded.record.stage = Stage::Cleaning;
            }
            Outcome::Stopped => {
                complete(&mut loaded.record.build, "STOPPED", now);
                loaded.record.stage = Stage::Cleaning;
            }
            Outcome::Fault => {
                handle.sweep().await?;
                complete(&mut loaded.record.build, "FAULT", now);
                loaded.record.stage = Stage::Cleaning;
            }
        }
        self.save(&mut loaded).await?;
        Ok(Next::Again)
    }

    /// The phase under way and the build end as a fault of the service.
    pub(super) async fn fault(&mut self, loaded: &mut Loaded, message: &str) -> Result<Next, StepError> {
        let now = self.service.ambient.now();
        let build = &mut loaded.record.build;
        let over = build.phases.as_ref().and_then(|phases| phases.last()).is_some_and(|phase| phase.end_time.is_some());
        if !over {
            end(build, "FAULT", Some(vec![context("INTERNAL_SERVICE_ERROR", message)]), now);
        }
        complete(build, "FAULT", now);
        loaded.record.stage = Stage::Cleaning;
        self.save(loaded).await?;
        Ok(Next::Again)
    }
}

/// The runner's status in the build's answer.
fn show(loaded: &mut Loaded, status: &Status) {
    let phases = join(&loaded.record.prepared, status);
    let build = &mut loaded.record.build;
    build.current_phase = phases.last().and_then(|phase| phase.phase_type.clone());
    build.phases = Some(phases);
    if !status.exported_variables.is_empty() {
        let exported = status
            .exported_variables
            .iter()
            .map(|(name, value)| ExportedEnvironmentVariable { name: Some(name.clone()), value: Some(value.clone()) });
        build.exported_environment_variables = Some(exported.collect());
    }
}
