//! PutLogEvents: appends to a stream of this service's own and syncs before it answers.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use towpath_wire::WireError;
use towpath_wire::logs::{PutLogEventsRequest, PutLogEventsResponse, RejectedLogEventsInfo};

use super::lines::StoredLine;
use super::{Logs, internal, invalid, stream_arn};
use crate::call::Call;

const BATCH_BYTES_MAX: usize = 1024 * 1024;
const MESSAGE_BYTES_MAX: usize = 256 * 1024 - 26;
const OLDEST_MILLIS: i64 = 14 * 24 * 3_600_000;
const NEWEST_MILLIS: i64 = 2 * 3_600_000;

impl Logs {
    pub(super) async fn put_log_events(
        &self,
        call: &Call,
        input: PutLogEventsRequest,
    ) -> Result<PutLogEventsResponse, WireError> {
        let (group, name) = (input.log_group_name.as_str(), input.log_stream_name.as_str());
        self.may(call, &stream_arn(&call.scope, group, name)).await?;
        let stream = self.stream(&call.scope, group, name).await?;
        if !stream.own {
            return Err(invalid("This stream is the log of a build; only the build writes to it."));
        }
        if !input.log_events.is_sorted_by_key(|event| event.timestamp) {
            return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
        }
        let bytes: usize = input.log_events.iter().map(|event| event.message.len() + 26).sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}")));
        }
        if let Some(event) = input.log_events.iter().find(|event| event.message.len() > MESSAGE_BYTES_MAX) {
            let text = format!("Log event too large: {} bytes exceeds limit of 262144", event.message.len() + 26);
            return Err(invalid(text));
        }

        let now = self.ambient.now().millis();
        let too_old = input.log_events.partition_point(|event| event.timestamp < now - OLDEST_MILLIS);
        let too_new = input.log_events.partition_point(|event| event.timestamp <= now + NEWEST_MILLIS);
        let mut text = Vec::new();
        for event in &input.log_events[too_old..too_new.max(too_old)] {
            let line = StoredLine { time: event.timestamp, message: event.message.clone(), ingested: Some(now) };
            serde_json::to_writer(&mut text, &line).map_err(|error| internal(&error))?;
            text.push(b'\n');
        }
        let path = self.path(&stream.file);
        let guard = self.append.lock().await;
        let end = super::blocking(move || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            // Nodes that share the directory take turns too. Given back when the file is closed.
            file.lock()?;
            let before = file.metadata()?.len();
            let written = file.write_all(&text).and_then(|()| file.sync_data());
            if written.is_err() {
                // Half a batch must not stay: the client will send it again.
                file.set_len(before)?;
            }
            written.map(|()| before + text.len() as u64)
        })
        .await?;
        drop(guard);
        let index = |position: usize| i32::try_from(position).ok();
        let rejected = RejectedLogEventsInfo {
            expired_log_event_end_index: None,
            too_new_log_event_start_index: index(too_new).filter(|_| too_new < input.log_events.len()),
            too_old_log_event_end_index: index(too_old).filter(|_| too_old > 0),
        };
        let any = rejected.too_new_log_event_start_index.is_some() || rejected.too_old_log_event_end_index.is_some();
        Ok(PutLogEventsResponse {
            next_sequence_token: Some(format!("{end:056}")),
            rejected_entity_info: None,
            rejected_log_events_info: any.then_some(rejected),
        })
    }
}
