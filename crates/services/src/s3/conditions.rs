//! Conditional requests: what `If-Match` and its kin mean for a read, a write and the source of a copy. Pure decisions over
//! an ETag and a time.

use s3s::S3Result;
use s3s::dto::{ETagCondition, Timestamp};

use super::errors;
use super::preflight::to_system;
use super::records::Summary;

/// The conditions of a read, or of the source of a copy.
#[derive(Debug, Default)]
pub(super) struct ReadCondition {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == etag,
    }
}

fn seconds(time: &Timestamp) -> u64 {
    let since = to_system(time).and_then(|time| time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

impl ReadCondition {
    /// `copy`: a source that has not changed is a failed precondition, not a 304.
    pub(super) fn check(&self, etag: &str, modified_ms: u64, copy: bool) -> S3Result<()> {
        let unchanged = || if copy { errors::precondition_failed() } else { errors::not_modified() };
        let modified = modified_ms / 1000;
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, etag) => return Err(errors::precondition_failed()),
            // A matching ETag outweighs the date.
            (Some(_), _) => {}
            (None, Some(time)) if modified > seconds(time) => return Err(errors::precondition_failed()),
            (None, _) => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if matches(condition, etag) => Err(unchanged()),
            (Some(_), _) => Ok(()),
            (None, Some(time)) if modified <= seconds(time) => Err(unchanged()),
            (None, _) => Ok(()),
        }
    }
}

/// The conditions of a write or a deletion, judged against the latest version at the moment of the write.
#[derive(Debug, Default, Clone)]
pub(super) struct WriteCondition {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    /// A write may only ask for "nothing there yet".
    pub(super) fn of_write(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> S3Result<Self> {
        if if_none_match.as_ref().is_some_and(|condition| !matches!(condition, ETagCondition::Any))
            || if_match.as_ref().is_some_and(|condition| matches!(condition, ETagCondition::Any))
            || (if_match.is_some() && if_none_match.is_some())
        {
            return Err(errors::not_implemented("A header you provided implies functionality that is not implemented"));
        }
        Ok(Self { if_match, if_none_match })
    }

    pub(super) fn check(&self, latest: Option<&Summary>) -> S3Result<()> {
        let there = latest.filter(|latest| !latest.delete_marker);
        if self.if_none_match.is_some() && there.is_some() {
            return Err(errors::precondition_failed());
        }
        match (&self.if_match, there) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(errors::no_such_key()),
            (Some(condition), Some(latest)) if matches(condition, &latest.etag) => Ok(()),
            (Some(_), Some(_)) => Err(errors::precondition_failed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
    }

    fn etag(value: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(value.to_owned())))
    }

    fn code(condition: &ReadCondition, copy: bool) -> String {
        condition.check("e", 10_000, copy).map_or_else(|error| error.code().as_str().to_owned(), |()| "ok".to_owned())
    }

    #[test]
    fn reads_follow_the_rfc() {
        let none = ReadCondition::default;
        assert_eq!(code(&none(), false), "ok");
        assert_eq!(code(&ReadCondition { if_match: etag("x"), ..none() }, false), "PreconditionFailed");
        assert_eq!(code(&ReadCondition { if_none_match: etag("e"), ..none() }, false), "NotModified");
        assert_eq!(code(&ReadCondition { if_none_match: etag("e"), ..none() }, true), "PreconditionFailed");
        assert_eq!(code(&ReadCondition { if_modified_since: Some(at(10)), ..none() }, false), "NotModified");
        assert_eq!(code(&ReadCondition { if_modified_since: Some(at(9)), ..none() }, false), "ok");
        assert_eq!(code(&ReadCondition { if_unmodified_since: Some(at(9)), ..none() }, false), "PreconditionFailed");
        let outweighed = ReadCondition { if_match: etag("e"), if_unmodified_since: Some(at(9)), ..none() };
        assert_eq!(code(&outweighed, false), "ok");
        let outweighed = ReadCondition { if_none_match: etag("x"), if_modified_since: Some(at(99)), ..none() };
        assert_eq!(code(&outweighed, false), "ok");
    }

    #[test]
    fn writes_ask_for_nothing_or_for_one_etag() {
        let refused = WriteCondition::of_write(None, etag("x")).unwrap_err();
        assert_eq!(refused.code().as_str(), "NotImplemented");
        let absent = WriteCondition::of_write(None, Some(ETagCondition::Any)).unwrap();
        assert!(absent.check(None).is_ok());
        let exact = WriteCondition::of_write(etag("e"), None).unwrap();
        assert_eq!(exact.check(None).unwrap_err().code().as_str(), "NoSuchKey");
    }
}
