//! Keeps the test reports of a build. A report's id follows from the build and the group, so that keeping it again after a
//! crash is the same report. A role without the permission loses its reports, not its build.

use sha2::{Digest as _, Sha256};
use towpath_builds::status::{CaseStatus, Collected, ReportResult, ReportStatus};
use towpath_store::{DocumentsExt as _, Expect, Key};
use towpath_wire::codebuild::{Report, ReportExportConfig, ReportGroup, TestCase, TestReportSummary};
use towpath_wire::types::Timestamp as WireTime;

use super::super::errors;
use super::super::names::{
    REPORT_GROUPS, REPORTS, REPORTS_BY_TIME, partition, report_arn, report_group_arn, strip_arn,
};
use super::super::phases::wire_time;
use super::super::records::{BuildRecord, FORMAT, ReportGroupRecord, ReportRecord};
use super::{StepError, Worker};
use crate::identity::policy::Context;
use crate::identity::{Principal, Refusal};

const LIFE_MILLIS: i64 = 30 * 24 * 3_600_000;

impl Worker {
    /// The ARNs of the reports that were kept.
    pub(super) async fn keep_reports(
        &self,
        record: &BuildRecord,
        collected: &Collected,
        role: &Principal,
    ) -> Result<Option<Vec<String>>, StepError> {
        let mut arns = Vec::new();
        for result in &collected.reports {
            match self.keep_report(record, result, role).await? {
                Ok(arn) => arns.push(arn),
                Err(why) => {
                    let line = format!("Error processing report {}: {why}", result.group);
                    self.files().say(self.service.ambient.now(), &line)?;
                }
            }
        }
        Ok((!arns.is_empty()).then_some(arns))
    }

    async fn keep_report(
        &self,
        record: &BuildRecord,
        result: &ReportResult,
        role: &Principal,
    ) -> Result<Result<String, String>, StepError> {
        let named = strip_arn(&self.scope, &result.group, "report-group/");
        let Some(name) = named else {
            return Ok(Err("the report group's ARN is of another account or Region".to_owned()));
        };
        let by_arn = result.group.starts_with("arn:");
        let name = if by_arn { name.to_owned() } else { format!("{}-{name}", record.project_name()) };
        let group_arn = report_group_arn(&self.scope, &name);
        let documents = &self.service.documents;
        let group_key = Key::new(REPORT_GROUPS, partition(&self.scope), name.as_str());
        let known =
            documents.get_json::<ReportGroupRecord>(&group_key.collection, &group_key.partition, &group_key.key);
        let known = known.await?;
        let mut actions = vec!["codebuild:CreateReport", "codebuild:UpdateReport", "codebuild:BatchPutTestCases"];
        if known.is_none() {
            if by_arn {
                return Ok(Err(format!("Report group not found: {group_arn}")));
            }
            actions.insert(0, "codebuild:CreateReportGroup");
        }
        for action in actions {
            match self.service.identity.authorize(role, action, &group_arn, Context::new()).await {
                Ok(()) => {}
                Err(Refusal::Denied(denied)) => return Ok(Err(format!("AccessDeniedException: {denied}"))),
                Err(Refusal::Unavailable(error)) => return Err(StepError::Service(errors::store(error))),
            }
        }
        let now = wire_time(self.service.ambient.now());
        if known.is_none() {
            let group = ReportGroup {
                arn: Some(group_arn.clone()),
                created: Some(now),
                export_config: Some(no_export()),
                last_modified: Some(now),
                name: Some(name.clone()),
                status: Some("ACTIVE".to_owned()),
                tags: Some(Vec::new()),
                r#type: Some("TEST".to_owned()),
            };
            let group = ReportGroupRecord { format: FORMAT, group };
            match documents.put_json(group_key, &group, Expect::Absent).await {
                Err(error) if !error.is_conflict() => return Err(error.into()),
                _ => {}
            }
        }
        let uuid = derived_uuid(record.uuid(), &result.group);
        let arn = report_arn(&self.scope, &name, &uuid);
        let kept = report_record(record, result, &arn, &group_arn, &name, now);
        let key = Key::new(REPORTS, partition(&self.scope), format!("{name}:{uuid}"));
        match documents.put_json(key, &kept, Expect::Absent).await {
            Ok(_) => {
                let key = format!("{:015}/{name}:{uuid}", now.as_millis());
                documents.put_json(Key::new(REPORTS_BY_TIME, partition(&self.scope), key), &arn, Expect::Any).await?;
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Ok(arn))
    }
}

fn no_export() -> ReportExportConfig {
    ReportExportConfig { export_config_type: Some("NO_EXPORT".to_owned()), s3_destination: None }
}

/// The same for the same build and group.
fn derived_uuid(build: &str, group: &str) -> String {
    let digest = Sha256::digest(format!("{build}\n{group}"));
    let hex = hex::encode(&digest[..16]);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

fn report_record(
    record: &BuildRecord,
    result: &ReportResult,
    arn: &str,
    group_arn: &str,
    name: &str,
    now: WireTime,
) -> ReportRecord {
    let expired = WireTime::from_millis(now.as_millis() + LIFE_MILLIS);
    let nanoseconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let count = |value: u64| i32::try_from(value).unwrap_or(i32::MAX);
    let counts = &result.counts;
    let status_counts = [
        ("ERROR", counts.error),
        ("FAILED", counts.failed),
        ("SKIPPED", counts.skipped),
        ("SUCCEEDED", counts.succeeded),
        ("UNKNOWN", counts.unknown),
    ];
    let report = Report {
        arn: Some(arn.to_owned()),
        created: Some(now),
        execution_id: record.build.arn.clone(),
        expired: Some(expired),
        export_config: Some(no_export()),
        name: Some(name.to_owned()),
        report_group_arn: Some(group_arn.to_owned()),
        status: Some(
            match result.status {
                ReportStatus::Succeeded => "SUCCEEDED",
                ReportStatus::Failed => "FAILED",
                ReportStatus::Incomplete => "INCOMPLETE",
            }
            .to_owned(),
        ),
        test_summary: Some(TestReportSummary {
            duration_in_nano_seconds: nanoseconds(result.duration_ns),
            status_counts: status_counts.iter().map(|(name, value)| ((*name).to_owned(), count(*value))).collect(),
            total: count(result.total),
        }),
        truncated: Some(result.truncated),
        r#type: Some("TEST".to_owned()),
        ..Report::default()
    };
    let cases = result.cases.iter().map(|case| TestCase {
        duration_in_nano_seconds: Some(nanoseconds(case.duration_ns)),
        expired: Some(expired),
        message: Some(case.message.clone()).filter(|message| !message.is_empty()),
        name: Some(case.name.clone()),
        prefix: Some(case.prefix.clone()),
        report_arn: Some(arn.to_owned()),
        status: Some(
            match case.status {
                CaseStatus::Succeeded => "SUCCEEDED",
                CaseStatus::Failed => "FAILED",
                CaseStatus::Error => "ERROR",
                CaseStatus::Skipped => "SKIPPED",
                CaseStatus::Unknown => "UNKNOWN",
            }
            .to_owned(),
        ),
        test_raw_data_path: Some(case.raw_data_path.clone()),
        test_suite_name: Some(case.test_suite_name.clone()),
    });
    ReportRecord { format: FORMAT, report, cases: cases.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reports_id_is_a_uuid_and_follows_from_build_and_group() {
        let one = derived_uuid("b", "g");
        assert_eq!(one, derived_uuid("b", "g"));
        assert_ne!(one, derived_uuid("b", "h"));
        assert_eq!(one.len(), 36);
        assert_eq!((&one[14..15], &one[19..20]), ("4", "a"));
    }
}
