//! Log groups: create, delete, describe.

use serde::{Deserialize, Serialize};
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Write};
use towpath_wire::WireError;
use towpath_wire::logs::{
    CreateLogGroupRequest, DeleteLogGroupRequest, DescribeLogGroupsRequest, DescribeLogGroupsResponse, LogGroup,
    SERVICE,
};

use super::{GROUPS, Logs, STREAMS, group_arn, invalid, no_group, partition, store_error};
use crate::call::Call;

const PAGE_MAX: usize = 50;
const SCAN_PAGE: usize = 500;
/// Documents removed in one write when a group goes.
const DELETE_BATCH: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GroupRecord {
    pub created: Timestamp,
}

impl Logs {
    pub(super) async fn group(&self, scope: &Scope, name: &str) -> Result<Option<GroupRecord>, WireError> {
        let found = self.documents.get_json::<GroupRecord>(GROUPS, &partition(scope), name).await;
        Ok(found.map_err(|error| store_error(&error))?.map(|group| group.value))
    }

    /// Makes the group; `false` when it is there already.
    pub(super) async fn ensure_group(&self, scope: &Scope, name: &str) -> Result<bool, WireError> {
        let key = Key::new(GROUPS, partition(scope), name);
        let record = GroupRecord { created: self.ambient.now() };
        match self.documents.put_json(key, &record, Expect::Absent).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(store_error(&error)),
        }
    }

    pub(super) async fn create_log_group(&self, call: &Call, input: CreateLogGroupRequest) -> Result<(), WireError> {
        self.may(call, &group_arn(&call.scope, &input.log_group_name)).await?;
        if input.kms_key_id.is_some() {
            return Err(invalid("kmsKeyId is not supported: there is no KMS here yet. Leave it out."));
        }
        if self.ensure_group(&call.scope, &input.log_group_name).await? {
            return Ok(());
        }
        let text = "The specified log group already exists";
        Err(WireError::modeled(&SERVICE, "ResourceAlreadyExistsException", text))
    }

    pub(super) async fn delete_log_group(&self, call: &Call, input: DeleteLogGroupRequest) -> Result<(), WireError> {
        let (scope, name) = (&call.scope, input.log_group_name.as_str());
        self.may(call, &group_arn(scope, name)).await?;
        if self.group(scope, name).await?.is_none() {
            return Err(no_group());
        }
        // The group goes last: a deletion that is cut short is repeated by asking again.
        loop {
            let streams = self.stream_records(scope, name, "", None, DELETE_BATCH).await?;
            if streams.is_empty() {
                break;
            }
            let mut writes = Vec::with_capacity(streams.len());
            for (stream, record) in streams {
                if record.own {
                    let path = self.path(&record.file);
                    super::blocking(move || match std::fs::remove_file(path) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                        _ => Ok(()),
                    })
                    .await?;
                }
                writes.push(Write::delete(super::streams::key(scope, name, &stream), Expect::Any));
            }
            self.documents.write(writes).await.map_err(|error| store_error(&error))?;
        }
        let key = Key::new(GROUPS, partition(scope), name);
        self.documents.delete(key, Expect::Any).await.map_err(|error| store_error(&error))
    }

    pub(super) async fn describe_log_groups(
        &self,
        call: &Call,
        input: DescribeLogGroupsRequest,
    ) -> Result<DescribeLogGroupsResponse, WireError> {
        self.may(call, &group_arn(&call.scope, "*")).await?;
        if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
            return Err(invalid("LogGroupNamePrefix and LogGroupNamePattern are mutually exclusive parameters."));
        }
        let size = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_MAX);
        let prefix = input.log_group_name_prefix.unwrap_or_default();
        let pattern = input.log_group_name_pattern.unwrap_or_default().to_lowercase();
        let (mut groups, mut after, mut next) = (Vec::new(), input.next_token, None);
        'pages: loop {
            let mut scan = Scan::prefix(&prefix).limit(SCAN_PAGE);
            if let Some(after) = &after {
                scan = scan.after(after.as_str());
            }
            let found = self.documents.scan_json::<GroupRecord>(GROUPS, &partition(&call.scope), scan).await;
            let found = found.map_err(|error| store_error(&error))?;
            let last = found.len() < SCAN_PAGE;
            for (name, group) in found {
                if name.to_lowercase().contains(&pattern) {
                    if groups.len() == size {
                        next = after;
                        break 'pages;
                    }
                    groups.push(wire_group(&call.scope, &name, &group.value));
                }
                after = Some(name);
            }
            if last {
                break;
            }
        }
        Ok(DescribeLogGroupsResponse { log_groups: Some(groups), next_token: next })
    }

    /// Streams of a group in name order.
    pub(super) async fn stream_records(
        &self,
        scope: &Scope,
        group: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, super::streams::StreamRecord)>, WireError> {
        let start = format!("{group}:");
        let mut scan = Scan::prefix(&format!("{start}{prefix}")).limit(limit);
        if let Some(after) = after {
            scan = scan.after(format!("{start}{after}"));
        }
        let found =
            self.documents.scan_json(STREAMS, &partition(scope), scan).await.map_err(|error| store_error(&error))?;
        Ok(found.into_iter().map(|(key, record)| (key[start.len()..].to_owned(), record.value)).collect())
    }
}

fn wire_group(scope: &Scope, name: &str, group: &GroupRecord) -> LogGroup {
    let arn = group_arn(scope, name);
    LogGroup {
        arn: Some(format!("{arn}:*")),
        log_group_arn: Some(arn),
        log_group_name: Some(name.to_owned()),
        creation_time: Some(group.created.millis()),
        metric_filter_count: Some(0),
        stored_bytes: Some(0),
        log_group_class: Some("STANDARD".to_owned()),
        ..LogGroup::default()
    }
}
