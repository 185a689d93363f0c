//! Reports as they are asked about: ListReports, ListReportsForReportGroup, BatchGetReports, DescribeTestCases.

use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Scan};
use towpath_wire::WireError;
use towpath_wire::codebuild::{
    BatchGetReportsInput, BatchGetReportsOutput, DescribeTestCasesInput, DescribeTestCasesOutput,
    ListReportsForReportGroupInput, ListReportsForReportGroupOutput, ListReportsInput, ListReportsOutput, Report,
    ReportFilter, TestCase, sort_order_type,
};

use super::CodeBuild;
use super::errors::{invalid, not_found, store};
use super::names::{REPORTS, REPORTS_BY_TIME, partition, report_group_arn, strip_arn};
use super::page;
use super::records::ReportRecord;
use crate::call::Call;
use crate::identity::policy::Context;

const SCAN_PAGE: usize = 100;

impl CodeBuild {
    pub(super) async fn list_reports(
        &self,
        call: &Call,
        input: ListReportsInput,
    ) -> Result<ListReportsOutput, WireError> {
        self.may(call, "ListReports", "*", Context::new()).await?;
        let (reports, next_token) = self
            .reports_in_order(
                &call.scope,
                None,
                input.filter.as_ref(),
                input.sort_order.as_deref(),
                input.next_token.as_deref(),
                page::size(input.max_results),
            )
            .await?;
        Ok(ListReportsOutput { next_token, reports: Some(reports) })
    }

    pub(super) async fn list_reports_for_report_group(
        &self,
        call: &Call,
        input: ListReportsForReportGroupInput,
    ) -> Result<ListReportsForReportGroupOutput, WireError> {
        let group = self.group_of(call, &input.report_group_arn, "ListReportsForReportGroup").await?;
        let (reports, next_token) = self
            .reports_in_order(
                &call.scope,
                Some(&group),
                input.filter.as_ref(),
                input.sort_order.as_deref(),
                input.next_token.as_deref(),
                page::size(input.max_results),
            )
            .await?;
        Ok(ListReportsForReportGroupOutput { next_token, reports: Some(reports) })
    }

    /// ARNs of reports by time, newest first unless asked otherwise.
    async fn reports_in_order(
        &self,
        scope: &Scope,
        group: Option<&str>,
        filter: Option<&ReportFilter>,
        order: Option<&str>,
        token: Option<&str>,
        size: usize,
    ) -> Result<(Vec<String>, Option<String>), WireError> {
        let wanted = filter.and_then(|filter| filter.status.as_deref());
        let prefix = group.map(|group| format!("{group}:"));
        let (mut arns, mut after, mut next) = (Vec::new(), page::decode(token)?, None);
        'pages: loop {
            let mut scan = Scan::all();
            if order != Some(sort_order_type::ASCENDING) {
                scan = scan.reversed();
            }
            if let Some(after) = &after {
                scan = scan.after(after.as_str());
            }
            let found =
                self.documents.scan_json::<String>(REPORTS_BY_TIME, &partition(scope), scan.limit(SCAN_PAGE)).await;
            let found = found.map_err(store)?;
            let last = found.len() < SCAN_PAGE;
            for (key, arn) in found {
                let report = key.split_once('/').map_or("", |(_, report)| report);
                let of_group = prefix.as_ref().is_none_or(|prefix| report.starts_with(prefix.as_str()));
                if of_group && self.has_status(scope, report, wanted).await? {
                    if arns.len() == size {
                        next = after.as_deref().map(page::encode);
                        break 'pages;
                    }
                    arns.push(arn.value);
                }
                after = Some(key);
            }
            if last {
                break;
            }
        }
        Ok((arns, next))
    }

    async fn has_status(&self, scope: &Scope, report: &str, wanted: Option<&str>) -> Result<bool, WireError> {
        let Some(wanted) = wanted else { return Ok(true) };
        let found = self.report(scope, report).await?;
        Ok(found.is_some_and(|found| found.report.status.as_deref() == Some(wanted)))
    }

    async fn report(&self, scope: &Scope, name: &str) -> Result<Option<ReportRecord>, WireError> {
        let found = self.documents.get_json::<ReportRecord>(REPORTS, &partition(scope), name).await.map_err(store)?;
        Ok(found.map(|found| found.value))
    }

    pub(super) async fn batch_get_reports(
        &self,
        call: &Call,
        input: BatchGetReportsInput,
    ) -> Result<BatchGetReportsOutput, WireError> {
        let (mut reports, mut missing): (Vec<Report>, Vec<String>) = (Vec::new(), Vec::new());
        for arn in input.report_arns {
            let Some(name) = strip_arn(&call.scope, &arn, "report/") else {
                missing.push(arn);
                continue;
            };
            self.may_report(call, name, "BatchGetReports").await?;
            match self.report(&call.scope, name).await? {
                Some(found) => reports.push(found.report),
                None => missing.push(arn),
            }
        }
        Ok(BatchGetReportsOutput { reports: Some(reports), reports_not_found: Some(missing) })
    }

    pub(super) async fn describe_test_cases(
        &self,
        call: &Call,
        input: DescribeTestCasesInput,
    ) -> Result<DescribeTestCasesOutput, WireError> {
        let name = strip_arn(&call.scope, &input.report_arn, "report/");
        let name = name.ok_or_else(|| invalid(format!("Invalid report ARN: {}", input.report_arn)))?;
        self.may_report(call, name, "DescribeTestCases").await?;
        let missing = || not_found(format!("Report not found: {}", input.report_arn));
        let report = self.report(&call.scope, name).await?.ok_or_else(missing)?;
        let filter = input.filter.unwrap_or_default();
        let wanted = |case: &TestCase| {
            filter.status.as_ref().is_none_or(|status| case.status.as_ref() == Some(status))
                && filter.keyword.as_ref().is_none_or(|keyword| {
                    let has =
                        |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains(keyword.as_str()));
                    has(&case.name) || has(&case.prefix)
                })
        };
        let cases: Vec<(usize, TestCase)> = report.cases.into_iter().filter(wanted).enumerate().collect();
        let size = page::size(input.max_results);
        let (cases, next_token) = page::of(cases, |(index, _)| index.to_string(), input.next_token.as_deref(), size)?;
        Ok(DescribeTestCasesOutput { next_token, test_cases: Some(cases.into_iter().map(|(_, case)| case).collect()) })
    }

    /// Permission for a report is permission on its group.
    async fn may_report(&self, call: &Call, report: &str, action: &str) -> Result<(), WireError> {
        let group = report.rsplit_once(':').map_or(report, |(group, _)| group);
        self.may(call, action, &report_group_arn(&call.scope, group), Context::new()).await
    }
}
