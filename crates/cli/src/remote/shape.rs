//! JSON for scripts: the API's own answers under their own names. The one change is that points in time, which the wire
//! has as numbers, become ISO 8601, as the AWS CLI prints them.

use serde_json::Value as Json;
use towpath_model::time::Timestamp;

/// The members of CodePipeline's answers that are points in time.
const TIMES: [&str; 11] = [
    "approvedAt",
    "created",
    "lastChangedAt",
    "lastStatusChange",
    "lastUpdateTime",
    "overriddenAt",
    "pollingDisabledAt",
    "startTime",
    "timestamp",
    "updated",
    "lastTriggered",
];

/// A point in time of an answer.
pub fn time(value: &Json) -> Option<Timestamp> {
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 in milliseconds fit an i64")]
    value.as_f64().map(|seconds| Timestamp::from_millis((seconds * 1000.0).round() as i64))
}

/// The answer with its times spelled out.
pub fn readable(value: &Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.iter().map(readable).collect()),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| {
                let value = match time(value) {
                    Some(time) if TIMES.contains(&name.as_str()) => Json::String(time.iso8601()),
                    _ => readable(value),
                };
                (name.clone(), value)
            };
            Json::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

pub fn text<'a>(value: &'a Json, name: &str) -> Option<&'a str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

pub fn list(value: &Json) -> impl DoubleEndedIterator<Item = &Json> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_spelled_out_and_numbers_stay() {
        let answer =
            json!({"created": 1_790_862_000.125, "version": 3, "stages": [{"lastStatusChange": 1_790_862_000}]});
        assert_eq!(
            readable(&answer),
            json!({"created": "2026-10-01T13:40:00.125Z", "version": 3,
                   "stages": [{"lastStatusChange": "2026-10-01T13:40:00.000Z"}]})
        );
    }
}
