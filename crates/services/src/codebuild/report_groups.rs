//! Report groups, which builds make: ListReportGroups, BatchGetReportGroups.

use towpath_store::{DocumentsExt as _, Scan};
use towpath_wire::WireError;
use towpath_wire::codebuild::{
    BatchGetReportGroupsInput, BatchGetReportGroupsOutput, ListReportGroupsInput, ListReportGroupsOutput, ReportGroup,
    report_group_sort_by_type, sort_order_type,
};

use super::CodeBuild;
use super::errors::{invalid, not_found, store};
use super::names::{REPORT_GROUPS, partition, report_group_arn, strip_arn};
use super::page;
use super::records::ReportGroupRecord;
use crate::call::Call;
use crate::identity::policy::Context;

/// Groups of an account that a list looks at.
const GROUPS_MAX: usize = 5_000;
const SCAN_PAGE: usize = 500;

impl CodeBuild {
    /// The name of a group that must be there, once the caller may do this to it.
    pub(super) async fn group_of(&self, call: &Call, arn: &str, action: &str) -> Result<String, WireError> {
        let name = strip_arn(&call.scope, arn, "report-group/");
        let name = name.ok_or_else(|| invalid(format!("Invalid report group ARN: {arn}")))?;
        self.may(call, action, &report_group_arn(&call.scope, name), Context::new()).await?;
        let found = self.documents.get(REPORT_GROUPS, &partition(&call.scope), name).await.map_err(store)?;
        found.map(|_| name.to_owned()).ok_or_else(|| not_found(format!("Report group not found: {arn}")))
    }

    pub(super) async fn list_report_groups(
        &self,
        call: &Call,
        input: ListReportGroupsInput,
    ) -> Result<ListReportGroupsOutput, WireError> {
        self.may(call, "ListReportGroups", "*", Context::new()).await?;
        let mut groups = Vec::new();
        let mut after: Option<String> = None;
        while groups.len() < GROUPS_MAX {
            let scan =
                after.as_ref().map_or_else(Scan::all, |after| Scan::all().after(after.as_str())).limit(SCAN_PAGE);
            let found =
                self.documents.scan_json::<ReportGroupRecord>(REPORT_GROUPS, &partition(&call.scope), scan).await;
            let found = found.map_err(store)?;
            let last = found.len() < SCAN_PAGE;
            after = found.last().map(|(name, _)| name.clone());
            groups.extend(found.into_iter().map(|(name, record)| {
                let time = match input.sort_by.as_deref() {
                    Some(report_group_sort_by_type::CREATED_TIME) => record.value.group.created,
                    Some(report_group_sort_by_type::LAST_MODIFIED_TIME) => record.value.group.last_modified,
                    _ => None,
                };
                (time, report_group_arn(&call.scope, &name))
            }));
            if last {
                break;
            }
        }
        groups.sort();
        if input.sort_order.as_deref() == Some(sort_order_type::DESCENDING) {
            groups.reverse();
        }
        let size = page::size(input.max_results);
        let (groups, next_token) = page::of(groups, |(_, arn)| arn.clone(), input.next_token.as_deref(), size)?;
        Ok(ListReportGroupsOutput { next_token, report_groups: Some(groups.into_iter().map(|(_, arn)| arn).collect()) })
    }

    pub(super) async fn batch_get_report_groups(
        &self,
        call: &Call,
        input: BatchGetReportGroupsInput,
    ) -> Result<BatchGetReportGroupsOutput, WireError> {
        let (mut groups, mut missing): (Vec<ReportGroup>, Vec<String>) = (Vec::new(), Vec::new());
        for arn in input.report_group_arns {
            let Some(name) = strip_arn(&call.scope, &arn, "report-group/") else {
                missing.push(arn);
                continue;
            };
            self.may(call, "BatchGetReportGroups", &report_group_arn(&call.scope, name), Context::new()).await?;
            let found =
                self.documents.get_json::<ReportGroupRecord>(REPORT_GROUPS, &partition(&call.scope), name).await;
            match found.map_err(store)? {
                Some(found) => groups.push(found.value.group),
                None => missing.push(arn),
            }
        }
        Ok(BatchGetReportGroupsOutput { report_groups: Some(groups), report_groups_not_found: Some(missing) })
    }
}
