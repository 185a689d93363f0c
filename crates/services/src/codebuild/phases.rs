//! The list of phases in a build's answer: each begins when the one before it ended, COMPLETED has only a beginning.

use towpath_builds::status::{PhaseRecord, PhaseStatus, PhaseType, Status};
use towpath_model::time::Timestamp;
use towpath_wire::codebuild::{Build, BuildPhase, PhaseContext};
use towpath_wire::types::Timestamp as WireTime;

pub(super) fn wire_time(time: Timestamp) -> WireTime {
    WireTime::from_millis(time.millis())
}

/// A context with a code and a message.
pub(super) fn context(code: &str, message: &str) -> PhaseContext {
    PhaseContext { status_code: Some(code.to_owned()), message: Some(message.to_owned()) }
}

/// Begins a phase; it becomes the build's current one.
pub(super) fn begin(build: &mut Build, phase: &str, now: Timestamp) {
    let phases = build.phases.get_or_insert_default();
    let start = phases.last().and_then(|last| last.end_time).unwrap_or(wire_time(now));
    phases.push(BuildPhase { phase_type: Some(phase.to_owned()), start_time: Some(start), ..BuildPhase::default() });
    build.current_phase = Some(phase.to_owned());
}

/// Ends the phase under way.
pub(super) fn end(build: &mut Build, status: &str, contexts: Option<Vec<PhaseContext>>, now: Timestamp) {
    if let Some(phase) = build.phases.as_mut().and_then(|phases| phases.last_mut()) {
        close(phase, status, contexts, wire_time(now));
    }
}

/// Ends the phase under way with success; CodeBuild shows one empty context for it.
pub(super) fn succeed(build: &mut Build, now: Timestamp) {
    end(build, "SUCCEEDED", Some(vec![context("", "")]), now);
}

fn close(phase: &mut BuildPhase, status: &str, contexts: Option<Vec<PhaseContext>>, now: WireTime) {
    let start = phase.start_time.unwrap_or(now);
    let end = now.max(start);
    phase.phase_status = Some(status.to_owned());
    phase.end_time = Some(end);
    phase.duration_in_seconds = Some((end.as_millis() - start.as_millis()) / 1000);
    phase.contexts = contexts;
}

/// Closes the build: COMPLETED begins when the last phase ended, and the build ends with it.
pub(super) fn complete(build: &mut Build, status: &str, now: Timestamp) {
    begin(build, "COMPLETED", now);
    let ended = build.phases.as_ref().and_then(|phases| phases.last()).and_then(|phase| phase.start_time);
    build.end_time = ended;
    build.build_complete = Some(true);
    build.build_status = Some(status.to_owned());
}

/// Joins the runner's phases to those of the service. The service's PROVISIONING and DOWNLOAD_SOURCE began before the
/// runner's; the runner's UPLOAD_ARTIFACTS ends later, when the service has uploaded.
pub(super) fn join(prepared: &[BuildPhase], status: &Status) -> Vec<BuildPhase> {
    let mut phases = prepared.to_vec();
    let ours =
        |phases: &[BuildPhase], name: &str| phases.iter().position(|phase| phase.phase_type.as_deref() == Some(name));
    for record in &status.phases {
        match record.phase_type {
            // What the runner provisions is the sandbox; it is told only when that fails.
            PhaseType::Provisioning if matches!(record.status, PhaseStatus::Succeeded | PhaseStatus::InProgress) => {}
            PhaseType::Provisioning | PhaseType::DownloadSource => {
                if let Some(at) = ours(&phases, record.phase_type.as_str()) {
                    phases.truncate(at + 1);
                    fill(&mut phases[at], record);
                }
            }
            PhaseType::UploadArtifacts if record.status == PhaseStatus::Succeeded && status.upload_artifacts => {
                phases.push(BuildPhase { start_time: Some(millis(record.start_ms)), ..named(record) });
            }
            _ => {
                let mut phase = BuildPhase { start_time: Some(millis(record.start_ms)), ..named(record) };
                fill(&mut phase, record);
                phases.push(phase);
            }
        }
    }
    phases
}

fn named(record: &PhaseRecord) -> BuildPhase {
    BuildPhase { phase_type: Some(record.phase_type.as_str().to_owned()), ..BuildPhase::default() }
}

fn millis(ms: u64) -> WireTime {
    WireTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn fill(phase: &mut BuildPhase, record: &PhaseRecord) {
    let Some(end) = record.end_ms else { return };
    let contexts: Vec<PhaseContext> =
        record.contexts.iter().map(|found| context(&found.status_code, &found.message)).collect();
    let contexts = (!contexts.is_empty()).then_some(contexts);
    close(phase, record.status.as_str(), contexts, millis(end));
}

#[cfg(test)]
mod tests {
    use towpath_builds::status::Context;

    use super::*;

    fn record(phase_type: PhaseType, status: PhaseStatus, start_ms: u64, end_ms: Option<u64>) -> PhaseRecord {
        PhaseRecord { phase_type, status, start_ms, end_ms, duration_seconds: None, contexts: vec![Context::default()] }
    }

    fn shown(phases: &[BuildPhase]) -> Vec<String> {
        let time = |time: Option<WireTime>| time.map_or("-".to_owned(), |time| time.as_millis().to_string());
        phases
            .iter()
            .map(|phase| {
                format!(
                    "{} {} {}..{}",
                    phase.phase_type.as_deref().unwrap_or_default(),
                    phase.phase_status.as_deref().unwrap_or("-"),
                    time(phase.start_time),
                    time(phase.end_time)
                )
            })
            .collect()
    }

    fn prepared() -> Build {
        let mut build = Build::default();
        begin(&mut build, "PROVISIONING", Timestamp(100));
        succeed(&mut build, Timestamp(150));
        begin(&mut build, "DOWNLOAD_SOURCE", Timestamp(151));
        build
    }

    #[test]
    fn the_runners_phases_continue_the_services() {
        let build = prepared();
        let own = build.phases.as_deref().unwrap_or_default();
        let status = Status {
            phases: vec![
                record(PhaseType::Provisioning, PhaseStatus::Succeeded, 200, Some(210)),
                record(PhaseType::DownloadSource, PhaseStatus::Succeeded, 210, Some(1_260)),
                record(PhaseType::Install, PhaseStatus::InProgress, 1_260, None),
            ],
            ..Status::default()
        };
        let joined = join(own, &status);
        assert_eq!(
            shown(&joined),
            ["PROVISIONING SUCCEEDED 100..150", "DOWNLOAD_SOURCE SUCCEEDED 150..1260", "INSTALL - 1260..-"]
        );
        assert_eq!(joined[1].duration_in_seconds, Some(1));
    }

    #[test]
    fn a_sandbox_that_fails_is_provisioning_that_failed() {
        let build = prepared();
        let status = Status {
            phases: vec![record(PhaseType::Provisioning, PhaseStatus::Failed, 200, Some(210))],
            ..Status::default()
        };
        let joined = join(build.phases.as_deref().unwrap_or_default(), &status);
        assert_eq!(shown(&joined), ["PROVISIONING FAILED 100..210"]);
    }

    #[test]
    fn found_artifacts_are_not_yet_uploaded() {
        let status = Status {
            phases: vec![record(PhaseType::UploadArtifacts, PhaseStatus::Succeeded, 10, Some(20))],
            upload_artifacts: true,
            ..Status::default()
        };
        assert_eq!(shown(&join(&[], &status)), ["UPLOAD_ARTIFACTS - 10..-"]);
    }

    #[test]
    fn completed_begins_where_the_last_phase_ended() {
        let mut build = prepared();
        end(&mut build, "STOPPED", None, Timestamp(500));
        complete(&mut build, "STOPPED", Timestamp(900));
        let phases = build.phases.clone().unwrap_or_default();
        assert_eq!(shown(&phases)[2], "COMPLETED - 500..-");
        assert_eq!(build.end_time, Some(WireTime::from_millis(500)));
        assert_eq!(phases[1].contexts, None);
    }
}
