//! QUEUED: waiting for one of the slots, up to the queued timeout. Nothing of the build exists but its record.

use std::sync::Arc;
use std::time::Duration;

use towpath_model::ids::Scope;
use towpath_wire::codebuild::Build;

use super::super::phases::{begin, complete, context, end};
use super::super::records::Stage;
use super::{Loaded, Next, StepError, Worker};
use crate::logs::stream_arn;

impl Worker {
    pub(super) async fn queue(&mut self, mut loaded: Loaded) -> Result<Next, StepError> {
        let build = &loaded.record.build;
        let started = build.start_time.unwrap_or_default().as_millis();
        let minutes = i64::from(build.queued_timeout_in_minutes.unwrap_or_default());
        let left = started + minutes * 60_000 - self.service.ambient.now().millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        if self.permit.is_none() {
            let slots = Arc::clone(&self.service.slots);
            tokio::select! {
                biased;
                () = self.service.closing.cancelled() => return Ok(Next::Leave),
                // StopBuild has changed the record.
                () = self.wake.notified() => return Ok(Next::Again),
                permit = slots.acquire_owned() => self.permit = permit.ok(),
                () = tokio::time::sleep(left) => {
                    let now = self.service.ambient.now();
                    let contexts = vec![context("BUILD_TIMED_OUT", "Build has timed out. ")];
                    end(&mut loaded.record.build, "TIMED_OUT", Some(contexts), now);
                    complete(&mut loaded.record.build, "FAILED", now);
                    loaded.record.stage = Stage::Cleaning;
                    self.save(&mut loaded).await?;
                    return Ok(Next::Again);
                }
            }
        }
        let now = self.service.ambient.now();
        end(&mut loaded.record.build, "SUCCEEDED", None, now);
        begin(&mut loaded.record.build, "PROVISIONING", now);
        loaded.record.stage = Stage::Preparing;
        self.save(&mut loaded).await?;
        Ok(Next::Again)
    }
}

/// Group and stream of a build's log; `None` where the project has switched it off.
pub(super) fn log_place(build: &Build) -> Option<(String, String)> {
    let config = build.logs.as_ref()?.cloud_watch_logs.as_ref()?;
    if config.status != "ENABLED" {
        return None;
    }
    let (project, uuid) = super::super::names::split_build_id(build.id.as_deref()?)?;
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let group = set(&config.group_name).unwrap_or_else(|| format!("/aws/codebuild/{project}"));
    let stream = set(&config.stream_name).map_or_else(|| uuid.to_owned(), |prefix| format!("{prefix}/{uuid}"));
    Some((group, stream))
}

/// Says where the log is. Not before the stream is there: whoever reads the answer may read the log next.
pub(super) fn show_logs(build: &mut Build, scope: &Scope, console: Option<&str>) {
    let place = log_place(build);
    let id = build.id.clone().unwrap_or_default();
    let Some(logs) = build.logs.as_mut() else { return };
    let Some((group, stream)) = place else {
        logs.cloud_watch_logs_arn = None;
        logs.deep_link = None;
        return;
    };
    let escaped = |text: &str| text.replace('/', "$252F");
    logs.cloud_watch_logs_arn = Some(stream_arn(scope, &group, &stream));
    logs.deep_link = Some(match console {
        Some(base) => format!("{}/codebuild/builds/{id}", base.trim_end_matches('/')),
        None => format!(
            "https://console.aws.amazon.com/cloudwatch/home?region={}#logsV2:log-groups/log-group/{}/log-events/{}",
            scope.region,
            escaped(&group),
            escaped(&stream)
        ),
    });
    logs.group_name = Some(group);
    logs.stream_name = Some(stream);
}
