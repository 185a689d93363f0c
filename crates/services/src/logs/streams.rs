//! Log streams: create, attach, describe.

use serde::{Deserialize, Serialize};
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Expect, Key};
use towpath_wire::WireError;
use towpath_wire::logs::{
    CreateLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse, LogStream, SERVICE, order_by,
};

use super::lines::{first, last};
use super::{Logs, STREAMS, group_arn, group_name, invalid, no_group, no_stream, partition, store_error, stream_arn};
use crate::call::Call;
use crate::identity::Principal;
use crate::identity::policy::Context;

const PAGE_MAX: usize = 50;
const SCAN_PAGE: usize = 500;
/// Streams of one group that are put in order of their last event; what is beyond is not listed that way.
const SORTED_STREAMS_MAX: usize = 10_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StreamRecord {
    pub created: Timestamp,
    /// Below the data directory.
    pub file: String,
    /// The file is this service's: PutLogEvents appends to it, and it goes when the stream goes.
    pub own: bool,
}

pub(super) fn key(scope: &Scope, group: &str, stream: &str) -> Key {
    // Neither name can hold a colon.
    Key::new(STREAMS, partition(scope), format!("{group}:{stream}"))
}

impl Logs {
    /// The stream, or which of group and stream is missing.
    pub(super) async fn stream(&self, scope: &Scope, group: &str, stream: &str) -> Result<StreamRecord, WireError> {
        let key = key(scope, group, stream);
        let found = self.documents.get_json::<StreamRecord>(&key.collection, &key.partition, &key.key).await;
        match found.map_err(|error| store_error(&error))? {
            Some(record) => Ok(record.value),
            None if self.group(scope, group).await?.is_none() => Err(no_group()),
            None => Err(no_stream()),
        }
    }

    /// Makes `file`, a path below the data directory that somebody else appends JSON lines to, the content of a stream.
    /// Group and stream are made in the name of `principal`, which must be allowed to; attaching again changes nothing.
    pub async fn attach(
        &self,
        principal: &Principal,
        scope: &Scope,
        group: &str,
        stream: &str,
        file: &str,
    ) -> Result<(), WireError> {
        self.stream_over(principal, scope, group, stream, file, false).await
    }

    /// The same with a file that becomes the stream's: it goes when the stream goes. Answers where to write it.
    pub async fn provide(
        &self,
        principal: &Principal,
        scope: &Scope,
        group: &str,
        stream: &str,
    ) -> Result<std::path::PathBuf, WireError> {
        let file = format!("logs/{}/{}/{}.jsonl", scope.account, scope.region, self.ambient.uuid());
        self.stream_over(principal, scope, group, stream, &file, true).await?;
        Ok(self.path(&file))
    }

    async fn stream_over(
        &self,
        principal: &Principal,
        scope: &Scope,
        group: &str,
        stream: &str,
        file: &str,
        own: bool,
    ) -> Result<(), WireError> {
        let arn = stream_arn(scope, group, stream);
        if self.group(scope, group).await?.is_none() {
            self.permitted(principal, "logs:CreateLogGroup", &group_arn(scope, group), Context::new()).await?;
            self.ensure_group(scope, group).await?;
        }
        self.permitted(principal, "logs:CreateLogStream", &arn, Context::new()).await?;
        self.permitted(principal, "logs:PutLogEvents", &arn, Context::new()).await?;
        let record = StreamRecord { created: self.ambient.now(), file: file.to_owned(), own };
        match self.documents.put_json(key(scope, group, stream), &record, Expect::Absent).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(store_error(&error)),
        }
    }

    pub(super) async fn create_log_stream(&self, call: &Call, input: CreateLogStreamRequest) -> Result<(), WireError> {
        let (group, stream) = (input.log_group_name.as_str(), input.log_stream_name.as_str());
        self.may(call, &stream_arn(&call.scope, group, stream)).await?;
        if self.group(&call.scope, group).await?.is_none() {
            return Err(no_group());
        }
        let file = format!("logs/{}/{}/{}.jsonl", call.scope.account, call.scope.region, self.ambient.uuid());
        let record = StreamRecord { created: self.ambient.now(), file, own: true };
        match self.documents.put_json(key(&call.scope, group, stream), &record, Expect::Absent).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => {
                let text = "The specified log stream already exists";
                Err(WireError::modeled(&SERVICE, "ResourceAlreadyExistsException", text))
            }
            Err(error) => Err(store_error(&error)),
        }
    }

    pub(super) async fn describe_log_streams(
        &self,
        call: &Call,
        input: DescribeLogStreamsRequest,
    ) -> Result<DescribeLogStreamsResponse, WireError> {
        let group = group_name(input.log_group_name, input.log_group_identifier)?;
        self.may(call, &group_arn(&call.scope, &group)).await?;
        if self.group(&call.scope, &group).await?.is_none() {
            return Err(no_group());
        }
        let by_time = input.order_by.as_deref() == Some(order_by::LAST_EVENT_TIME);
        let prefix = input.log_stream_name_prefix.unwrap_or_default();
        if by_time && !prefix.is_empty() {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let size = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_MAX);
        let descending = input.descending.unwrap_or(false);
        let mut streams = Vec::new();
        if !by_time && !descending {
            // The stored order: read no more than the page and one.
            let after = input.next_token.as_deref();
            let found = self.stream_records(&call.scope, &group, &prefix, after, size + 1).await?;
            for (name, record) in found {
                streams.push(self.described(&call.scope, &group, &name, record).await?);
            }
        } else {
            let mut after: Option<String> = None;
            while streams.len() < SORTED_STREAMS_MAX {
                let found = self.stream_records(&call.scope, &group, &prefix, after.as_deref(), SCAN_PAGE).await?;
                let end = found.len() < SCAN_PAGE;
                for (name, record) in found {
                    streams.push(self.described(&call.scope, &group, &name, record).await?);
                    after = Some(name);
                }
                if end {
                    break;
                }
            }
            let time = |stream: &LogStream| by_time.then(|| stream.last_event_timestamp.unwrap_or(i64::MIN));
            streams.sort_by(|a, b| time(a).cmp(&time(b)).then_with(|| a.log_stream_name.cmp(&b.log_stream_name)));
            if descending {
                streams.reverse();
            }
            if let Some(token) = &input.next_token {
                let at = streams.iter().position(|stream| stream.log_stream_name.as_ref() == Some(token));
                let at = at.ok_or_else(|| invalid("The specified nextToken is invalid."))?;
                streams.drain(..=at);
            }
        }
        let more = streams.len() > size;
        streams.truncate(size);
        let next_token = streams.last().filter(|_| more).and_then(|stream| stream.log_stream_name.clone());
        Ok(DescribeLogStreamsResponse { log_streams: Some(streams), next_token })
    }

    async fn described(
        &self,
        scope: &Scope,
        group: &str,
        name: &str,
        record: StreamRecord,
    ) -> Result<LogStream, WireError> {
        let path = self.path(&record.file);
        let (first, last) = super::blocking(move || Ok((first(&path)?, last(&path)?))).await?;
        Ok(LogStream {
            arn: Some(stream_arn(scope, group, name)),
            creation_time: Some(record.created.millis()),
            first_event_timestamp: first.map(|line| line.time),
            last_event_timestamp: last.as_ref().map(|line| line.time),
            last_ingestion_time: last.as_ref().map(|line| line.ingested),
            log_stream_name: Some(name.to_owned()),
            stored_bytes: Some(0),
            upload_sequence_token: Some(format!("{:056}", last.map_or(0, |line| line.end))),
        })
    }
}
