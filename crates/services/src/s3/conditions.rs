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
    pub matches: Option<ETagCondition>,
    pub none_match: Option<ETagCondition>,
    pub modified_since: Option<Timestamp>,
    pub unmodified_since: Option<Timestamp>,
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
        let modified = modified_ms / 1000;
        // Where both are given, the ETag outweighs the date.
        let failed = match &self.matches {
            Some(condition) => !matches(condition, etag),
            None => self.unmodified_since.as_ref().is_some_and(|time| modified > seconds(time)),
        };
        if failed {
            return Err(errors::precondition_failed());
        }
        let unchanged = match &self.none_match {
            Some(condition) => matches(condition, etag),
            None => self.modified_since.as_ref().is_some_and(|time| modified <= seconds(time)),
        };
        match (unchanged, copy) {
            (false, _) => Ok(()),
            (true, false) => Err(errors::not_modified()),
            (true, true) => Err(errors::precondition_failed()),
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

    fn etag(value: &str) -> ETagCondition {
        ETagCondition::ETag(ETag::Strong(value.to_owned()))
    }

    fn code(condition: &ReadCondition, copy: bool) -> String {
        condition.check("e", 10_000, copy).map_or_else(|error| error.code().as_str().to_owned(), |()| "ok".to_owned())
    }

    #[test]
    fn reads_follow_the_rfc() {
        let none = ReadCondition::default;
        assert_eq!(code(&none(), false), "ok");
        assert_eq!(code(&ReadCondition { matches: Some(etag("x")), ..none() }, false), "PreconditionFailed");
        assert_eq!(code(&ReadCondition { none_match: Some(etag("e")), ..none() }, false), "NotModified");
        assert_eq!(code(&ReadCondition { none_match: Some(etag("e")), ..none() }, true), "PreconditionFailed");
        assert_eq!(code(&ReadCondition { modified_since: Some(at(10)), ..none() }, false), "NotModified");
        assert_eq!(code(&ReadCondition { modified_since: Some(at(9)), ..none() }, false), "ok");
        assert_eq!(code(&ReadCondition { unmodified_since: Some(at(9)), ..none() }, false), "PreconditionFailed");
        let outweighed = ReadCondition { matches: Some(etag("e")), unmodified_since: Some(at(9)), ..none() };
        assert_eq!(code(&outweighed, false), "ok");
        let outweighed = ReadCondition { none_match: Some(etag("x")), modified_since: Some(at(99)), ..none() };
        assert_eq!(code(&outweighed, false), "ok");
    }

    #[test]
    fn writes_ask_for_nothing_or_for_one_etag() {
        let refused = WriteCondition::of_write(None, Some(etag("x"))).unwrap_err();
        assert_eq!(refused.code().as_str(), "NotImplemented");
        let absent = WriteCondition::of_write(None, Some(ETagCondition::Any)).unwrap();
        assert!(absent.check(None).is_ok());
        let exact = WriteCondition::of_write(Some(etag("e")), None).unwrap();
        assert_eq!(exact.check(None).unwrap_err().code().as_str(), "NoSuchKey");
    }
}
